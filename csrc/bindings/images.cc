#include "bindings/images.h"

#include <algorithm>

namespace onebyone::bindings {

Axes image_axes_2d(int ndim, Layout layout) {
  const Axes batched = layout == Layout::kNchw ? Axes{0, 1, 2, 3} : Axes{0, 3, 1, 2};
  return ndim == 4 ? batched : Axes{-1, batched.c - 1, batched.h - 1, batched.w - 1};
}

Axes image_axes_1d(int ndim, Layout layout) {
  const Axes batched = layout == Layout::kNchw ? Axes{0, 1, -1, 2} : Axes{0, 2, -1, 1};
  return ndim == 3 ? batched : Axes{-1, batched.c - 1, -1, batched.w - 1};
}

ImageShape image_shape(const Shape& shape, const Axes& axes) {
  const auto size = [&](int axis) -> int64_t { return axis < 0 ? 1 : shape[axis]; };
  return {size(axes.n), size(axes.c), size(axes.h), size(axes.w)};
}

Shape output_shape(const ConvGeometry& g, const Axes& axes) {
  return array_shape({g.batch, g.oc, g.oh, g.ow}, axes);
}

Shape array_shape(const ImageShape& image, const Axes& axes) {
  Shape shape(std::max({axes.n, axes.c, axes.h, axes.w}) + 1);
  const auto put = [&](int axis, int64_t size) {
    if (axis >= 0) shape[axis] = size;
  };
  put(axes.n, image.batch);
  put(axes.c, image.channels);
  put(axes.h, image.height);
  put(axes.w, image.width);
  return shape;
}

}  // namespace onebyone::bindings
