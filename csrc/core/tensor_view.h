// core/tensor_view.h - images somebody else owns: a pointer and strides in elements. A leaf.
#pragma once

#include <cstdint>
#include <utility>

namespace onebyone {

// Element (n, c, h, w) is at data[n * sn + c * sc + h * sh + w * sw]; strides may be negative or 0.
template <class T>
struct ImageView {
  T* data;
  int64_t batch, channels, height, width;
  int64_t sn, sc, sh, sw;

  bool empty() const { return batch == 0 || channels == 0 || height == 0 || width == 0; }

  // Offsets [first, last + 1) of the elements that the view can reach; {0, 0} if it is empty.
  std::pair<int64_t, int64_t> extent() const {
    if (empty()) return {0, 0};
    int64_t low = 0, high = 0;
    const int64_t reach[4] = {(batch - 1) * sn, (channels - 1) * sc, (height - 1) * sh, (width - 1) * sw};
    for (const int64_t r : reach) (r < 0 ? low : high) += r;
    return {low, high + 1};
  }
};

}  // namespace onebyone
