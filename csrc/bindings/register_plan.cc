#include <pybind11/stl.h>

#include <variant>

#include "bindings/arguments.h"
#include "bindings/conv_call.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "core/check.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"

namespace onebyone::bindings {
namespace {

const std::string kOp = "Conv2dPlan";

// A Conv2d of either dtype with the shapes that Python sees.
class Plan {
 public:
  Plan(const py::object& weight, const py::object& bias, const py::object& stride, const py::object& padding,
       const py::object& dilation, const py::object& groups, const py::object& input_shape,
       const py::object& activation, const py::object& residual, const py::object& layout,
       const py::object& algorithm, const py::object& num_threads)
      : layout_name_(py::str(layout)),
        input_shape_(parse_shape(input_shape)),
        threads_(parse_threads(kOp, num_threads)) {
    const WeightArrays weights =
        weight_arrays(kOp, weight, bias, nullptr, 4, "(K, C/groups, R, S)", kWeightAxes2d);
    if (!PyBool_Check(residual.ptr()))
      throw py::type_error(concat(kOp,
                                  ": residual must be True or False (the array is given to the call), got ",
                                  std::string(py::repr(residual))));
    ConvSpec spec{.op = kOp,
                  .layout = parse_layout(kOp, layout, "NCHW", "NHWC"),
                  .stride = parse_pair(kOp, "stride", stride),
                  .padding = parse_padding(kOp, padding),
                  .dilation = parse_pair(kOp, "dilation", dilation),
                  .groups = parse_int(kOp, "groups", groups),
                  .activation = parse_activation(kOp, activation),
                  .residual = residual.cast<bool>(),
                  .algorithm = parse_algorithm(kOp, algorithm),
                  .exact = get_precision() == Precision::kExact};
    axes_ = image_axes_2d(static_cast<int>(input_shape_.size()), spec.layout);
    spec.x = image_shape(input_shape_, axes_);
    spec.channels_from = concat("input_shape[", axes_.c, "], layout ", layout_name_);
    dtype_ = dtype_of(weights.weight);
    if (dtype_ == Dtype::kFloat32)
      make<float>(spec, weights);
    else
      make<double>(spec, weights);
    output_shape_ =
        std::visit([&](const auto& conv) { return output_shape(conv.geometry(), axes_); }, *conv_);
  }

  py::object call(const py::object& x, const py::object& residual, const py::object& out) const {
    return std::visit([&](const auto& conv) { return call_with(conv, x, residual, out); }, *conv_);
  }

  template <class F>
  auto with(F f) const {
    return std::visit(f, *conv_);
  }
  int threads() const { return threads_ ? threads_ : get_num_threads(); }
  const Shape& input_shape() const { return input_shape_; }
  const Shape& output_shape_of_plan() const { return output_shape_; }
  const char* dtype() const { return to_string(dtype_); }
  const std::string& layout() const { return layout_name_; }

 private:
  static Shape parse_shape(const py::object& value) {
    if (!PyTuple_Check(value.ptr()) && !PyList_Check(value.ptr()))
      throw py::type_error(
          concat(kOp, ": input_shape must be a tuple of 3 or 4 ints, got ", std::string(py::repr(value))));
    Shape shape;
    for (const py::handle item : py::reinterpret_borrow<py::sequence>(value))
      shape.push_back(parse_int(kOp, "input_shape", item));
    if (shape.size() != 3 && shape.size() != 4)
      fail(kOp, ": input_shape must have 3 or 4 entries, got ", shape_text(shape));
    for (const py::ssize_t size : shape)
      if (size < 0) fail(kOp, ": input_shape must not be negative, got ", shape_text(shape));
    return shape;
  }

  template <class T>
  void make(const ConvSpec& spec, const WeightArrays& weights) {
    const ConvWeights<T> views = weight_views<T>(weights);
    const GilRelease release;
    conv_ = std::make_unique<Conv>(std::in_place_type<Conv2d<T>>, spec, views, active_kernels());
  }

  template <class T>
  py::object call_with(const Conv2d<T>& conv, const py::object& x_object, const py::object& residual_object,
                       const py::object& out_object) const {
    const py::array x = input_array(kOp, "x", x_object);
    check_same_dtype(kOp, "x", x, dtype_);
    if (!std::equal(input_shape_.begin(), input_shape_.end(), x.shape(), x.shape() + x.ndim()))
      fail(kOp, ": x has shape ", shape_text(x), ", the plan was made for input_shape ",
           shape_text(input_shape_));
    if (conv.problem().residual == residual_object.is_none())
      fail(kOp, ": residual ",
           residual_object.is_none() ? "is missing: the plan was made with residual=True"
                                     : "is given, but the plan was made with residual=False");
    const py::object residual = residual_array(kOp, residual_object, dtype_, output_shape_);
    py::array out = result_array(kOp, out_object, dtype_, output_shape_, {{"x", x}, {"residual", residual}});
    const ImageView<const T> image = image_view<T>(x, axes_);
    const T* residual_data =
        residual.is_none() ? nullptr : data_of<T>(py::reinterpret_borrow<py::array>(residual));
    T* out_data = data_of<T>(out);
    {
      const GilRelease release;
      conv.run(image, residual_data, out_data, threads());
    }
    return returned(out_object, x_object, out);
  }

  using Conv = std::variant<Conv2d<float>, Conv2d<double>>;
  std::unique_ptr<Conv> conv_;
  std::string layout_name_;
  Axes axes_;
  Dtype dtype_;
  Shape input_shape_, output_shape_;
  int threads_;
};

}  // namespace

void register_plan(py::module_& m) {
  const auto tuple = [](const Shape& shape) { return py::tuple(py::cast(shape)); };
  py::class_<Plan>(m, "Conv2dPlan")
      .def(py::init<const py::object&, const py::object&, const py::object&, const py::object&,
                    const py::object&, const py::object&, const py::object&, const py::object&,
                    const py::object&, const py::object&, const py::object&, const py::object&>(),
           py::arg("weight"), py::arg("bias") = py::none(), py::arg("stride") = 1, py::arg("padding") = 0,
           py::arg("dilation") = 1, py::arg("groups") = 1, py::kw_only(), py::arg("input_shape"),
           py::arg("activation") = py::none(), py::arg("residual") = false, py::arg("layout") = "NCHW",
           py::arg("algorithm") = "auto", py::arg("num_threads") = py::none())
      .def("__call__", &Plan::call, py::arg("x"), py::arg("residual") = py::none(),
           py::arg("out") = py::none())
      .def("__repr__",
           [](const Plan& p) { return p.with([&](const auto& conv) { return conv.describe(p.threads()); }); })
      .def_property_readonly(
          "algorithm",
          [](const Plan& p) {
            return p.with([](const auto& conv) { return to_string(conv.plan().algorithm); });
          })
      .def_property_readonly(
          "isa", [](const Plan& p) { return p.with([](const auto& conv) { return conv.plan().isa; }); })
      .def_property_readonly(
          "flops",
          [](const Plan& p) { return p.with([](const auto& conv) { return 2 * conv.geometry().macs(); }); })
      .def_property_readonly(
          "workspace_bytes",
          [](const Plan& p) {
            return p.with([&](const auto& conv) { return conv.workspace_bytes(p.threads()); });
          })
      .def_property_readonly("input_shape", [=](const Plan& p) { return tuple(p.input_shape()); })
      .def_property_readonly("output_shape", [=](const Plan& p) { return tuple(p.output_shape_of_plan()); })
      .def_property_readonly("dtype", &Plan::dtype)
      .def_property_readonly("layout", &Plan::layout);
}

}  // namespace onebyone::bindings
