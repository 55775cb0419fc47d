#include "network/scaled_pixels.h"

#include <algorithm>

namespace onebyone {

template <class T>
ScaledPixels<T>::ScaledPixels(const std::vector<double>& scale, const std::vector<double>& shift,
                              const Activation& activation, const Kernels<T>& kernels)
    : scale_(static_cast<int64_t>(scale.size())),
      shift_(static_cast<int64_t>(shift.size())),
      activation_(activation),
      kernels_(kernels) {
  const auto rounded = [](double value) { return static_cast<T>(value); };
  std::transform(scale.begin(), scale.end(), scale_.data(), rounded);
  std::transform(shift.begin(), shift.end(), shift_.data(), rounded);
}

template <class T>
void ScaledPixels<T>::make(const ImageView<const T>& x, int64_t first, int64_t count, T* dst,
                           int64_t step) const {
  // Images whose rows follow each other are one run.
  const bool joins = x.sh == x.width * x.sw && x.sn == x.height * x.sh;
  for (int64_t pixel = first, end = first + count; pixel < end;) {
    const int64_t column = joins ? pixel : pixel % x.width, row = joins ? 0 : pixel / x.width;
    const int64_t pixels = joins ? count : std::min(end - pixel, x.width - column);
    make({.src = x.data + row / x.height * x.sn + row % x.height * x.sh + column * x.sw,
          .src_step = x.sw,
          .pixels = pixels,
          .channels = x.channels,
          .dst = dst + (pixel - first) * step,
          .dst_step = step});
    pixel += pixels;
  }
}

template <class T>
void ScaledPixels<T>::make(const Run& run) const {
  if (scale_.size() == 0) {
    for (int64_t i = 0; i < run.pixels; ++i)
      kernels_.activate(activation_, run.src + i * run.src_step, run.dst + i * run.dst_step, run.channels);
    return;
  }
  kernels_.elementwise({.kind = ElementwiseKind::kMulAdd,
                        .rows = run.pixels,
                        .n = run.channels,
                        .in = {{run.src, run.src_step, 1}, {scale_.data(), 0, 1}, {shift_.data(), 0, 1}},
                        .out = run.dst,
                        .out_row = run.dst_step,
                        .activation = activation_});
}

template <class T>
std::string ScaledPixels<T>::describe() const {
  const bool activates = activation_.kind != ActivationKind::kNone;
  return scale_.size() == 0 ? "activation" : activates ? "scale_shift and activation" : "scale_shift";
}

template class ScaledPixels<float>;
template class ScaledPixels<double>;

}  // namespace onebyone
