#include <numeric>

#include "bindings/arguments.h"
#include "bindings/conv_call.h"
#include "bindings/gil.h"
#include "bindings/gpu_call.h"
#include "bindings/register.h"
#include "core/check.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"

namespace onebyone::bindings {
namespace {

// Runs a convolution made for one call: packs the weights, computes, forgets.
template <class T>
void run_once(const ConvSpec& spec, const WeightArrays& weights, const py::array& x, const Axes& x_axes,
              const py::object& residual, py::array& out) {
  const ConvWeights<T> views = weight_views<T>(weights);
  const ImageView<const T> image = image_view<T>(x, x_axes);
  const T* residual_data =
      residual.is_none() ? nullptr : data_of<T>(py::reinterpret_borrow<py::array>(residual));
  T* out_data = data_of<T>(out);
  const int threads = get_num_threads();
  const GilRelease release;
  Conv2d<T>(spec, views, active_kernels()).run(image, residual_data, out_data, threads);
}

void run_once(const ConvSpec& spec, const WeightArrays& weights, const py::array& x, const Axes& x_axes,
              const py::object& residual, py::array& out) {
  if (dtype_of(x) == Dtype::kFloat32)
    run_once<float>(spec, weights, x, x_axes, residual, out);
  else
    run_once<double>(spec, weights, x, x_axes, residual, out);
}

// conv2d and conv1d once their arguments are parsed: x's axes are known, spec lacks x's shape.
py::object convolve(ConvSpec& spec, const py::object& x_object, const py::array& x, const Axes& axes,
                    const std::string& layout_name, const WeightArrays& weights,
                    const py::object& residual_object, const py::object& out_object) {
  const Dtype dtype = dtype_of(x);
  spec.x = image_shape(Shape(x.shape(), x.shape() + x.ndim()), axes);
  spec.channels_from = channels_from(axes, layout_name);
  const Shape shape = output_shape(geometry_of(spec, weights), axes);
  const py::object residual = residual_array(spec.op, residual_object, dtype, shape);
  spec.residual = !residual.is_none();
  py::array out =
      result_array(spec.op, out_object, dtype, shape,
                   {{"x", x}, {"weight", weights.weight}, {"bias", weights.bias}, {"residual", residual}});
  run_once(spec, weights, x, axes, residual, out);
  return returned(out_object, x_object, out);
}

py::object conv2d_on_cpu(const py::object& x_object, const ConvArguments& arguments,
                         const py::object& residual, const py::object& out) {
  const std::string op = "conv2d";
  const py::array x = input_array(op, "x", x_object);
  const Dtype dtype = dtype_of(x);
  const WeightArrays weights =
      weight_arrays(op, arguments.weight, arguments.bias, &dtype, 4, "(K, C/groups, R, S)", kWeightAxes2d);
  ConvSpec spec = parse_spec(op, arguments);
  spec.once = true;
  const std::string layout = py::str(arguments.layout);
  check_image_shape(op, shape_view(x), layout);
  return convolve(spec, x_object, x, image_axes_2d(static_cast<int>(x.ndim()), spec.layout), layout, weights,
                  residual, out);
}

py::object conv2d(const py::object& x, const py::object& weight, const py::object& bias,
                  const py::object& stride, const py::object& padding, const py::object& dilation,
                  const py::object& groups, const py::object& activation, const py::object& residual,
                  const py::object& layout, const py::object& algorithm, const py::object& out,
                  const py::object& stream) {
  const ConvArguments arguments{weight, bias,       stride, padding,  dilation,
                                groups, activation, layout, algorithm};
  if (const std::optional<int> device = gpu_of(x))
    return gpu_conv2d(x, arguments, residual, out, stream, *device);
  if (!stream.is_none()) fail("conv2d: stream is for CUDA arrays, x is ", place_of(x));
  return on_cpu("conv2d", "x", [&] { return conv2d_on_cpu(x, arguments, residual, out); });
}

py::object conv1d(const py::object& x_object, const py::object& weight, const py::object& bias,
                  const py::object& stride, const py::object& padding, const py::object& dilation,
                  const py::object& groups, const py::object& activation, const py::object& layout_object,
                  const py::object& algorithm, const py::object& out) {
  const std::string op = "conv1d";
  // The names of the 2-D layouts are understood too.
  const bool first = py::str("NCHW").equal(layout_object), last = py::str("NHWC").equal(layout_object);
  const py::object layout = first ? py::str("NCL") : last ? py::str("NLC") : layout_object;
  const py::array x = input_array(op, "x", x_object);
  const Dtype dtype = dtype_of(x);
  const WeightArrays weights = weight_arrays(op, weight, bias, &dtype, 3, "(K, C/groups, S)", kWeightAxes1d);
  ConvSpec spec{.op = op,
                .layout = parse_layout(op, layout, "NCL", "NLC"),
                .stride = parse_single(op, "stride", stride),
                .padding = parse_padding_1d(op, padding),
                .dilation = parse_single(op, "dilation", dilation),
                .groups = parse_int(op, "groups", groups),
                .activation = parse_activation(op, activation),
                .algorithm = parse_algorithm(op, algorithm),
                .once = true,
                .exact = get_precision() == Precision::kExact};
  const std::string name = py::str(layout);
  if (x.ndim() != 2 && x.ndim() != 3)
    fail(op, ": x must have 3 dimensions ", name == "NCL" ? "(N, C, L) or 2 (C, L)" : "(N, L, C) or 2 (L, C)",
         " in layout ", name, ", got ", x.ndim(), ": ", shape_text(x));
  return convolve(spec, x_object, x, image_axes_1d(static_cast<int>(x.ndim()), spec.layout), name, weights,
                  py::none(), out);
}

py::object linear(const py::object& x_object, const py::object& weight, const py::object& bias,
                  const py::object& activation, const py::object& out_object) {
  const std::string op = "linear";
  const py::array x = input_array(op, "x", x_object);
  const Dtype dtype = dtype_of(x);
  const WeightArrays weights =
      weight_arrays(op, weight, bias, &dtype, 2, "(out_features, in_features)", kMatrixAxes);
  if (x.ndim() < 1) fail(op, ": x must have at least 1 dimension (..., in_features), got a scalar");
  const py::ssize_t features = x.shape(x.ndim() - 1);
  if (features != weights.weight.shape(1))
    fail(op, ": weight expects ", weights.weight.shape(1), " features (weight.shape[1]), x has ", features,
         " (x.shape[-1])");

  Shape shape(x.shape(), x.shape() + x.ndim());
  const py::ssize_t rows =
      std::accumulate(shape.begin(), shape.end() - 1, py::ssize_t{1}, std::multiplies<>());
  const py::array matrix = x.attr("reshape")(rows, features);
  shape.back() = weights.weight.shape(0);
  const Axes axes = rows <= kFewRows ? kFewRowsAxes : kRowsAxes;
  const ConvSpec spec{.op = op,
                      .x = image_shape({rows, features}, axes),
                      .layout = Layout::kNhwc,
                      .channels_from = "x.shape[-1]",
                      .activation = parse_activation(op, activation),
                      .once = true};
  py::array out = result_array(op, out_object, dtype, shape,
                               {{"x", x}, {"weight", weights.weight}, {"bias", weights.bias}});
  run_once(spec, weights, matrix, axes, py::none(), out);
  return returned(out_object, x_object, out);
}

py::object activate(const py::object& x_object, const py::object& activation, const py::object& out_object) {
  const std::string op = "activate";
  const py::array x = input_array(op, "x", x_object);
  const Activation kind = parse_activation(op, activation);
  const Dtype dtype = dtype_of(x);
  py::array out = result_array(op, out_object, dtype, Shape(x.shape(), x.shape() + x.ndim()), {{"x", x}});
  const py::array source = contiguous(x);
  const auto run = [&]<class T>(T*) {
    const T* src = data_of<T>(source);
    T* dst = data_of<T>(out);
    const int64_t size = source.size();
    const GilRelease release;
    constexpr int64_t kChunk = 16 * 1024;
    parallel_for((size + kChunk - 1) / kChunk, get_num_threads(), [&](int64_t i) {
      const int64_t begin = i * kChunk;
      kernels_of<T>(active_kernels())
          .activate(kind, src + begin, dst + begin, std::min(kChunk, size - begin));
    });
  };
  if (dtype == Dtype::kFloat32)
    run(static_cast<float*>(nullptr));
  else
    run(static_cast<double*>(nullptr));
  return returned(out_object, x_object, out);
}

}  // namespace

void register_conv(py::module_& m) {
  // Called by position: each keyword would be a look-up of some 50 ns.
  m.def("conv2d", &conv2d, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("stride"),
        py::arg("padding"), py::arg("dilation"), py::arg("groups"), py::arg("activation"),
        py::arg("residual"), py::arg("layout"), py::arg("algorithm"), py::arg("out"), py::arg("stream"));
  m.def("conv1d", &conv1d, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1,
        py::kw_only(), py::arg("activation") = py::none(), py::arg("layout") = "NCL",
        py::arg("algorithm") = "auto", py::arg("out") = py::none());
  m.def("linear", &linear, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::kw_only(),
        py::arg("activation") = py::none(), py::arg("out") = py::none());
  m.def("activate", &activate, py::arg("x"), py::arg("activation"), py::arg("out") = py::none());
}

}  // namespace onebyone::bindings
