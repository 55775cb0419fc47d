// core/tensor_view.h - images and tensors somebody else owns: a pointer and strides in elements. A leaf.
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

inline constexpr int kMaxRank = 8;

// Element (i0, i1, ...) is at data[sum of i_d * strides[d]]; strides may be negative or 0. Rank 0 is a
// scalar.
template <class T>
struct TensorView {
  T* data = nullptr;
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};

  int64_t size() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= shape[d];
    return n;
  }
};

// For reading what may also be written.
template <class T>
TensorView<const T> read_only(const TensorView<T>& view) {
  TensorView<const T> result;
  result.data = view.data;
  result.rank = view.rank;
  for (int d = 0; d < kMaxRank; ++d) result.shape[d] = view.shape[d], result.strides[d] = view.strides[d];
  return result;
}
template <class T>
ImageView<const T> read_only(const ImageView<T>& v) {
  return {v.data, v.batch, v.channels, v.height, v.width, v.sn, v.sc, v.sh, v.sw};
}

}  // namespace onebyone
