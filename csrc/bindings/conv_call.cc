#include "bindings/conv_call.h"

#include "core/check.h"
#include "core/int_math.h"

namespace onebyone::bindings {

WeightArrays weight_arrays(const std::string& op, const py::object& weight, const py::object& bias,
                           const Dtype* dtype, int ndim, const char* form, const Axes& axes) {
  WeightArrays arrays{input_array(op, "weight", weight), py::none(), axes};
  if (dtype) check_same_dtype(op, "weight", arrays.weight, *dtype);
  if (arrays.weight.ndim() != ndim)
    fail(op, ": weight must have ", ndim, " dimensions ", form, ", got ", arrays.weight.ndim(), ": ",
         shape_text(arrays.weight));
  if (bias.is_none()) return arrays;
  const py::array b = input_array(op, "bias", bias);
  check_same_dtype(op, "bias", b, dtype_of(arrays.weight));
  if (b.ndim() != 1 || b.shape(0) != arrays.weight.shape(0))
    fail(op, ": bias must have shape (", arrays.weight.shape(0),
         ",), one value per output channel (weight.shape[0]), ", "got ", shape_text(b));
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
  if (!std::equal(shape.begin(), shape.end(), array.shape(), array.shape() + array.ndim()))
    fail(op, ": residual has shape ", shape_text(array), ", the output has ", shape_text(shape));
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
