#include "bindings/conv_call.h"

#include <algorithm>

#include "bindings/arguments.h"
#include "core/check.h"
#include "core/int_math.h"
#include "core/precision.h"

namespace onebyone::bindings {

ConvSpec parse_spec(const std::string& op, const ConvArguments& arguments) {
  return {.op = op,
          .layout = parse_layout(op, arguments.layout, "NCHW", "NHWC"),
          .stride = parse_pair(op, "stride", arguments.stride),
          .padding = parse_padding(op, arguments.padding),
          .dilation = parse_pair(op, "dilation", arguments.dilation),
          .groups = parse_int(op, "groups", arguments.groups),
          .activation = parse_activation(op, arguments.activation),
          .algorithm = parse_algorithm(op, arguments.algorithm),
          .exact = get_precision() == Precision::kExact};
}

void check_weight_shape(const std::string& op, ShapeView weight, std::size_t ndim, const char* form) {
  if (weight.size() != ndim)
    fail(op, ": weight must have ", ndim, " dimensions ", form, ", got ", weight.size(), ": ",
         shape_text(weight));
}

void check_bias_shape(const std::string& op, ShapeView bias, py::ssize_t channels) {
  if (bias.size() != 1 || bias[0] != channels)
    fail(op, ": bias must have shape (", channels, ",), one value per output channel (weight.shape[0]), got ",
         shape_text(bias));
}

void check_image_shape(const std::string& op, ShapeView x, const std::string& layout) {
  if (x.size() != 3 && x.size() != 4)
    fail(op, ": x must have 4 dimensions ",
         layout == "NCHW" ? "(N, C, H, W) or 3 (C, H, W)" : "(N, H, W, C) or 3 (H, W, C)", " in layout ",
         layout, ", got ", x.size(), ": ", shape_text(x));
}

void check_residual_shape(const std::string& op, ShapeView residual, ShapeView output) {
  if (!std::ranges::equal(residual, output))
    fail(op, ": residual has shape ", shape_text(residual), ", the output has ", shape_text(output));
}

WeightArrays weight_arrays(const std::string& op, const py::object& weight, const py::object& bias,
                           const Dtype* dtype, std::size_t ndim, const char* form, const Axes& axes) {
  WeightArrays arrays{input_array(op, "weight", weight), py::none(), axes};
  if (dtype) check_same_dtype(op, "weight", arrays.weight, *dtype);
  check_weight_shape(op, shape_view(arrays.weight), ndim, form);
  if (bias.is_none()) return arrays;
  const py::array b = input_array(op, "bias", bias);
  check_same_dtype(op, "bias", b, dtype_of(arrays.weight));
  check_bias_shape(op, shape_view(b), arrays.weight.shape(0));
  arrays.bias = b;
  return arrays;
}

WeightArrays transposed_weight_arrays(const std::string& op, const py::object& weight, const py::object& bias,
                                      Dtype dtype, int64_t groups) {
  WeightArrays arrays =
      weight_arrays(op, weight, py::none(), &dtype, 4, "(C, K/groups, R, S)", kWeightAxes2d);
  const py::ssize_t group_outputs = arrays.weight.shape(1);
  const int64_t outputs = checked_mul(group_outputs, groups, "weight");
  if (bias.is_none()) return arrays;
  const py::array b = input_array(op, "bias", bias);
  check_same_dtype(op, "bias", b, dtype);
  if (b.ndim() != 1 || b.shape(0) != outputs)
    fail(op, ": bias must have shape (", outputs, ",), one value per output channel (weight.shape[1] ",
         group_outputs, " x groups ", groups, "), got ", shape_text(b));
  arrays.bias = b;
  return arrays;
}

ConvGeometry geometry_of(const ConvSpec& spec, const WeightArrays& arrays) {
  const auto size = [&](int axis) -> int64_t { return axis < 0 ? 1 : arrays.weight.shape(axis); };
  return make_geometry(spec.op, spec.x,
                       {size(arrays.axes.n), size(arrays.axes.c), size(arrays.axes.h), size(arrays.axes.w)},
                       spec.stride, spec.padding, spec.dilation, spec.groups, spec.channels_from);
}

std::string channels_from(const Axes& axes, const std::string& layout) {
  return concat("x.shape[", axes.c, "], layout ", layout);
}

py::object residual_array(const std::string& op, const py::object& residual, Dtype dtype,
                          const Shape& shape) {
  if (residual.is_none()) return residual;
  const py::array array = input_array(op, "residual", residual);
  check_same_dtype(op, "residual", array, dtype);
  check_residual_shape(op, shape_view(array), shape);
  return contiguous(array);
}

py::array result_array(const std::string& op, const py::object& out, Dtype dtype, const Shape& shape,
                       std::initializer_list<NamedInput> inputs) {
  if (out.is_none()) return empty_array(dtype, shape);
  const py::array array = output_array(op, out, dtype, shape);
  for (const NamedInput& input : inputs)
    if (!input.array.is_none())
      check_no_overlap(op, array, input.name, py::reinterpret_borrow<py::array>(input.array));
  return array;
}

py::object returned(const py::object& out, const py::object& x, const py::array& result) {
  return out.is_none() ? in_library_of(x, result) : out;
}

}  // namespace onebyone::bindings
