// bindings/conv_call.h - what conv2d, conv1d, linear and Conv2dPlan share: from Python's arguments to a
// ConvSpec and views, and the checks of weight, bias, residual and out against it.
#pragma once

#include "bindings/arrays.h"
#include "bindings/images.h"
#include "conv/conv2d.h"

namespace onebyone::bindings {

// What conv2d and Conv2dPlan are given beside x, as it was given.
struct ConvArguments {
  const py::object &weight, &bias, &stride, &padding, &dilation, &groups, &activation, &layout, &algorithm;
};

// Everything of a 2-D convolution but x's shape.
ConvSpec parse_spec(const std::string& op, const ConvArguments& arguments);

// weight and bias as given, of one dtype.
struct WeightArrays {
  py::array weight;
  py::object bias;  // py::array or None
  Axes axes;        // of weight
};

// Converts and checks ndim, dtype and bias's shape. `dtype` is x's, or null where weight decides; `ndim` is
// the number of axes that weight must have and `form` names them: "(K, C/groups, R, S)".
WeightArrays weight_arrays(const std::string& op, const py::object& weight, const py::object& bias,
                           const Dtype* dtype, std::size_t ndim, const char* form, const Axes& axes);

// The same for transposed convolutions, whose weight is (C, K/groups, R, S): bias has K values.
WeightArrays transposed_weight_arrays(const std::string& op, const py::object& weight, const py::object& bias,
                                      Dtype dtype, int64_t groups);

template <class T>
ConvWeights<T> weight_views(const WeightArrays& arrays) {
  ConvWeights<T> views{image_view<T>(arrays.weight, arrays.axes), nullptr, 1};
  if (!arrays.bias.is_none()) {
    const auto bias = py::reinterpret_borrow<py::array>(arrays.bias);
    views.bias = data_of<T>(bias);
    views.bias_stride = bias.strides(0) / static_cast<py::ssize_t>(sizeof(T));
  }
  return views;
}

// The shapes' checks, which throw ValueError: weight's number of axes, of which `form` is the text, bias's
// one value per output channel, x's 3 or 4 axes, residual's being the output's.
void check_weight_shape(const std::string& op, ShapeView weight, std::size_t ndim, const char* form);
void check_bias_shape(const std::string& op, ShapeView bias, py::ssize_t channels);
void check_image_shape(const std::string& op, ShapeView x, const std::string& layout);
void check_residual_shape(const std::string& op, ShapeView residual, ShapeView output);

// The spec's geometry, checked.
ConvGeometry geometry_of(const ConvSpec& spec, const WeightArrays& arrays);

// `channels_from` for messages: "x.shape[1], layout NCHW".
std::string channels_from(const Axes& axes, const std::string& layout);

// residual as a C-contiguous array of `shape` and `dtype`; None stays None.
py::object residual_array(const std::string& op, const py::object& residual, Dtype dtype, const Shape& shape);

// The array to write: the caller's `out`, checked against all inputs, or a fresh one.
struct NamedInput {
  const char* name;
  const py::object& array;  // py::array or None
};
py::array result_array(const std::string& op, const py::object& out, Dtype dtype, const Shape& shape,
                       std::initializer_list<NamedInput> inputs);

// What the caller gets: `out` itself if given, else the result in x's library.
py::object returned(const py::object& out, const py::object& x, const py::array& result);

}  // namespace onebyone::bindings
