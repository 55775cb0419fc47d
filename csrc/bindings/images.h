// bindings/images.h - which axis of an array is which of an image's: 2-D and 1-D, batched or not, both
// layouts.
#pragma once

#include <string>

#include "bindings/arrays.h"
#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone::bindings {

// The array's axis for each of an image's; -1: the array has none and the image has size 1 there.
struct Axes {
  int n, c, h, w;
};

inline constexpr Axes kWeightAxes2d{0, 1, 2, 3};
inline constexpr Axes kWeightAxes1d{0, 1, -1, 2};
inline constexpr Axes kMatrixAxes{0, 1, -1, -1};   // linear's weight (out, in)
inline constexpr Axes kRowsAxes{-1, 1, -1, 0};     // linear's x: rows are pixels
inline constexpr Axes kFewRowsAxes{0, 1, -1, -1};  // the same, rows are images of one pixel

// ndim 3 or 4; 2 or 3.
Axes image_axes_2d(int ndim, Layout layout);
Axes image_axes_1d(int ndim, Layout layout);

ImageShape image_shape(const Shape& shape, const Axes& axes);
// The shape of an array whose axes hold the output image.
Shape output_shape(const ConvGeometry& g, const Axes& axes);
Shape array_shape(const ImageShape& image, const Axes& axes);

template <class T>
ImageView<const T> image_view(const py::array& array, const Axes& axes) {
  const auto size = [&](int axis) -> int64_t { return axis < 0 ? 1 : array.shape(axis); };
  const auto stride = [&](int axis) -> int64_t {
    // NumPy lets an axis of one element have any stride.
    return size(axis) == 1 ? 0 : array.strides(axis) / static_cast<py::ssize_t>(sizeof(T));
  };
  return {data_of<T>(array), size(axes.n),   size(axes.c),   size(axes.h),  size(axes.w),
          stride(axes.n),    stride(axes.c), stride(axes.h), stride(axes.w)};
}

// The same of an array that may be written.
template <class T>
ImageView<T> output_view(py::array& array, const Axes& axes) {
  const ImageView<const T> v = image_view<T>(array, axes);
  return {data_of<T>(array), v.batch, v.channels, v.height, v.width, v.sn, v.sc, v.sh, v.sw};
}

}  // namespace onebyone::bindings
