// bindings/register_ops.cc - functions of arrays of any shape that stand between convolutions.
#include <vector>

#include "bindings/arguments.h"
#include "bindings/conv_call.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "bindings/tensors.h"
#include "core/check.h"
#include "core/int_math.h"
#include "core/parallel.h"
#include "cpu/isa.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace onebyone::bindings {
namespace {

// Calls run(T{}) for the element type.
template <class Run>
void typed(Dtype dtype, const Run& run) {
  if (dtype == Dtype::kFloat32)
    run(float{});
  else
    run(double{});
}

int parse_axis(const std::string& op, const char* name, const py::object& value, int64_t rank,
               const std::string& shape) {
  const int64_t axis = parse_int(op, name, value);
  if (axis < -rank || axis >= rank)
    fail(op, ": ", name, " ", axis, " is none of the ", rank, " axes of an array of shape ", shape);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

py::object batch_norm(const py::object& x_object, const py::object& running_mean,
                      const py::object& running_var, const py::object& weight, const py::object& bias,
                      const py::object& eps_object, const py::object& activation,
                      const py::object& layout_object, const py::object& out_object) {
  const std::string op = "batch_norm";
  const py::array x = tensor(op, "x", x_object);
  const Layout layout = parse_layout(op, layout_object, "NCHW", "NHWC");
  if (x.ndim() < 2 || x.ndim() > 4)
    fail(op,
         ": x must have 4 dimensions (batch and channels, rows, columns in the layout's order), 3 without ",
         "a batch, or 2 (N, C), got ", x.ndim(), ": ", shape_text(x));
  const bool last = layout == Layout::kNhwc;
  const int axis = last ? static_cast<int>(x.ndim()) - 1 : x.ndim() == 3 ? 0 : 1;
  const Dtype dtype = dtype_of(x);
  const std::string from = concat("x.shape[", axis, "], layout ", last ? "NHWC" : "NCHW");
  const py::ssize_t channels = x.shape(axis);
  if (running_mean.is_none() || running_var.is_none())
    throw py::type_error(
        concat(op, ": ", running_mean.is_none() ? "running_mean" : "running_var",
               " must be an array of one value per channel; statistics of a batch are for training"));
  const py::object mean = channel_array(op, "running_mean", running_mean, dtype, channels, from);
  const py::object variance = channel_array(op, "running_var", running_var, dtype, channels, from);
  const py::object factor = channel_array(op, "weight", weight, dtype, channels, from);
  const py::object term = channel_array(op, "bias", bias, dtype, channels, from);
  const double eps = parse_number(op, "eps", eps_object);
  const Activation kind = parse_activation(op, activation);
  py::array out = result_array(
      op, out_object, dtype, shape_of(x),
      {{"x", x}, {"running_mean", mean}, {"running_var", variance}, {"weight", factor}, {"bias", term}});
  typed(dtype, [&]<class T>(T) {
    const T *m = channel_data<T>(mean), *v = channel_data<T>(variance);
    const T *w = channel_data<T>(factor), *b = channel_data<T>(term);
    const TensorView<const T> from_view = tensor_view<T>(x);
    const TensorView<T> to = output_view<T>(out);
    const int threads = get_num_threads();
    const GilRelease release;
    const ChannelFactors factors = batch_norm_factors(channels, m, v, w, b, eps);
    const std::vector<T> scale(factors.scale.begin(), factors.scale.end());
    const std::vector<T> shift(factors.shift.begin(), factors.shift.end());
    scale_shift(from_view, axis, scale.data(), shift.data(), kind, to, kernels_of<T>(active_kernels()),
                threads);
  });
  return returned(out_object, x_object, out);
}

py::object softmax(const py::object& x_object, const py::object& axis_object, const py::object& out_object) {
  const std::string op = "softmax";
  const py::array x = tensor(op, "x", x_object);
  const int axis = parse_axis(op, "axis", axis_object, x.ndim(), shape_text(x));
  py::array out = result_array(op, out_object, dtype_of(x), shape_of(x), {{"x", x}});
  typed(dtype_of(x), [&]<class T>(T) {
    const TensorView<const T> from = tensor_view<T>(x);
    const TensorView<T> to = output_view<T>(out);
    const int threads = get_num_threads();
    const GilRelease release;
    onebyone::softmax(from, axis, false, to, kernels_of<T>(active_kernels()), threads);
  });
  return returned(out_object, x_object, out);
}

// NumPy's broadcasting of two shapes.
Shape broadcast_shape(const std::string& op, const py::array& a, const py::array& b) {
  Shape shape(std::max(a.ndim(), b.ndim()));
  for (py::ssize_t d = 1; d <= std::ssize(shape); ++d) {
    const py::ssize_t p = d <= a.ndim() ? a.shape(a.ndim() - d) : 1;
    const py::ssize_t q = d <= b.ndim() ? b.shape(b.ndim() - d) : 1;
    if (p != q && p != 1 && q != 1)
      fail(op, ": shapes of a ", shape_text(a), " and b ", shape_text(b), " do not fit together (", p,
           " and ", q, " in axis -", d, "); sizes must be equal or 1");
    shape[shape.size() - d] = p == 1 ? q : p;
  }
  return shape;
}

py::object add(const py::object& a_object, const py::object& b_object, const py::object& activation,
               const py::object& out_object) {
  const std::string op = "add";
  const py::array a = tensor(op, "a", a_object), b = tensor(op, "b", b_object);
  if (dtype_of(a) != dtype_of(b))
    throw py::type_error(concat(op, ": b has dtype ", to_string(dtype_of(b)), ", a has ",
                                to_string(dtype_of(a)), "; convert one of them with astype"));
  const Shape shape = broadcast_shape(op, a, b);
  const Activation kind = parse_activation(op, activation);
  py::array out = result_array(op, out_object, dtype_of(a), shape, {{"a", a}, {"b", b}});
  typed(dtype_of(a), [&]<class T>(T) {
    const TensorView<const T> p = tensor_view<T>(a, shape), q = tensor_view<T>(b, shape);
    const TensorView<T> to = output_view<T>(out);
    const int threads = get_num_threads();
    const GilRelease release;
    binary(BinaryKind::kAdd, p, q, kind, to, kernels_of<T>(active_kernels()), threads);
  });
  return returned(out_object, a_object, out);
}

py::object concat_arrays(const py::object& arrays_object, const py::object& axis_object,
                         const py::object& out_object) {
  const std::string op = "concat";
  if (!PyTuple_Check(arrays_object.ptr()) && !PyList_Check(arrays_object.ptr()))
    throw py::type_error(concat(op, ": arrays must be a list or tuple of arrays, got ",
                                std::string(py::repr(py::type::of(arrays_object)))));
  const auto items = py::reinterpret_borrow<py::sequence>(arrays_object);
  if (items.size() == 0) fail(op, ": arrays must hold at least one array");
  std::vector<std::string> names;
  std::vector<py::array> arrays;
  for (std::size_t i = 0; i < items.size(); ++i) {
    names.push_back(concat("arrays[", i, "]"));
    arrays.push_back(tensor(op, names[i].c_str(), py::object(items[i])));
  }
  const py::array& first = arrays[0];
  const Dtype dtype = dtype_of(first);
  const int axis = parse_axis(op, "axis", axis_object, first.ndim(), shape_text(first));
  Shape shape = shape_of(first);
  int64_t size = 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (dtype_of(arrays[i]) != dtype)
      throw py::type_error(concat(op, ": ", names[i], " has dtype ", to_string(dtype_of(arrays[i])),
                                  ", arrays[0] has ", to_string(dtype), "; convert it with astype"));
    bool fits = arrays[i].ndim() == first.ndim();
    for (py::ssize_t d = 0; fits && d < first.ndim(); ++d)
      fits = d == axis || arrays[i].shape(d) == first.shape(d);
    if (!fits)
      fail(op, ": ", names[i], " has shape ", shape_text(arrays[i]), ", arrays[0] has ", shape_text(first),
           "; all sizes but those of axis ", axis, " must be equal");
    size = checked_add(size, arrays[i].shape(axis), "the result");
  }
  shape[axis] = size;
  py::array out = result_array(op, out_object, dtype, shape, {});
  if (!out_object.is_none())
    for (std::size_t i = 0; i < arrays.size(); ++i) check_no_overlap(op, out, names[i].c_str(), arrays[i]);
  typed(dtype, [&]<class T>(T) {
    std::vector<TensorView<const T>> parts;
    for (const py::array& array : arrays) parts.push_back(tensor_view<T>(array));
    TensorView<T> to = output_view<T>(out);
    const int threads = get_num_threads();
    const GilRelease release;
    for (const TensorView<const T>& part : parts) {
      to.shape[axis] = part.shape[axis];
      if (part.size() > 0) copy(part, to, kernels_of<T>(active_kernels()), threads);
      to.data += part.shape[axis] * to.strides[axis];
    }
  });
  return returned(out_object, py::object(items[0]), out);
}

PadMode parse_pad_mode(const std::string& op, const py::object& mode) {
  const std::string name = PyUnicode_Check(mode.ptr()) ? std::string(py::str(mode)) : "";
  if (name == "constant") return PadMode::kConstant;
  if (name == "reflect") return PadMode::kReflect;
  if (name == "replicate") return PadMode::kEdge;
  fail(op, ": mode must be 'constant', 'reflect' or 'replicate', got ", std::string(py::repr(mode)));
}

py::object pad_array(const py::object& x_object, const py::object& pad_object, const py::object& mode_object,
                     const py::object& value_object, const py::object& out_object) {
  const std::string op = "pad";
  const py::array x = tensor(op, "x", x_object);
  const PadMode mode = parse_pad_mode(op, mode_object);
  if (!PyTuple_Check(pad_object.ptr()) && !PyList_Check(pad_object.ptr()))
    throw py::type_error(concat(op,
                                ": pad must be a tuple (before, after) of the last axis, then of the one ",
                                "before it, ..., got ", std::string(py::repr(pad_object))));
  const auto items = py::reinterpret_borrow<py::sequence>(pad_object);
  if (items.size() % 2 != 0 || static_cast<py::ssize_t>(items.size()) > 2 * x.ndim())
    fail(op, ": pad must hold two numbers for each of at most ", x.ndim(), " axes, the last axis first, got ",
         std::string(py::repr(pad_object)));
  const double value = parse_number(op, "value", value_object);
  Shape shape = shape_of(x);
  int64_t before[kMaxRank] = {};
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const py::ssize_t d = x.ndim() - 1 - static_cast<py::ssize_t>(i / 2), old = shape[d];
    before[d] = parse_int(op, "pad", py::object(items[i]));
    const int64_t after = parse_int(op, "pad", py::object(items[i + 1]));
    if (mode == PadMode::kReflect && std::max(before[d], after) >= old && std::max(before[d], after) > 0)
      fail(op, ": pad (", before[d], ", ", after, ") must be less than x's size ", old, " in axis ", d,
           " to reflect it");
    if (mode == PadMode::kEdge && old == 0 && std::max(before[d], after) > 0)
      fail(op, ": x has no edge to replicate in axis ", d, ", its shape is ", shape_text(x));
    shape[d] = checked_add(checked_add(old, before[d], "pad"), after, "pad");
    if (shape[d] < 0 || old + std::min<int64_t>(before[d], 0) + std::min<int64_t>(after, 0) < 0)
      fail(op, ": pad (", before[d], ", ", after, ") crops more than x's size ", old, " in axis ", d);
  }
  py::array out = result_array(op, out_object, dtype_of(x), shape, {{"x", x}});
  typed(dtype_of(x), [&]<class T>(T) {
    const TensorView<const T> from = tensor_view<T>(x);
    const TensorView<T> to = output_view<T>(out);
    const int threads = get_num_threads();
    const GilRelease release;
    if (to.size() > 0)
      pad(from, before, mode, static_cast<T>(value), to, kernels_of<T>(active_kernels()), threads);
  });
  return returned(out_object, x_object, out);
}

}  // namespace

void register_ops(py::module_& m) {
  m.def("batch_norm", &batch_norm, py::arg("x"), py::arg("running_mean"), py::arg("running_var"),
        py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("eps") = 1e-5, py::kw_only(),
        py::arg("activation") = py::none(), py::arg("layout") = "NCHW", py::arg("out") = py::none());
  m.def("softmax", &softmax, py::arg("x"), py::arg("axis") = -1, py::kw_only(), py::arg("out") = py::none());
  m.def("add", &add, py::arg("a"), py::arg("b"), py::kw_only(), py::arg("activation") = py::none(),
        py::arg("out") = py::none());
  m.def("concat", &concat_arrays, py::arg("arrays"), py::arg("axis") = 0, py::kw_only(),
        py::arg("out") = py::none());
  m.def("pad", &pad_array, py::arg("x"), py::arg("pad"), py::arg("mode") = "constant", py::arg("value") = 0.0,
        py::kw_only(), py::arg("out") = py::none());
}

}  // namespace onebyone::bindings
