// images.h - how an image may lie in memory, for the tests of operations on images.
#pragma once

#include "testing.h"

namespace onebyone {

enum class Strides { kNchw, kNhwc, kSlice, kReversed };
constexpr Strides kStrides[] = {Strides::kNchw, Strides::kNhwc, Strides::kSlice, Strides::kReversed};

// kSlice: channels of a wider channels-last image.
template <class T>
ImageView<T> view(T* data, int64_t n, int64_t c, int64_t h, int64_t w, Strides strides) {
  switch (strides) {
    case Strides::kNchw: return {data, n, c, h, w, c * h * w, h * w, w, 1};
    case Strides::kNhwc: return {data, n, c, h, w, h * w * c, 1, w * c, c};
    case Strides::kSlice: return {data, n, c, h, w, h * w * (c + 3), 1, w * (c + 3), c + 3};
    case Strides::kReversed: return {data, n, c, h, w, -c * h * w, h * w, -w, -1};
  }
  return {};
}

}  // namespace onebyone
