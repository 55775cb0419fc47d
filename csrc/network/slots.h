// network/slots.h - arithmetic on Slots: orders of axes in memory, views, what kernels ask of strides. Called
// by compile.cc.
#pragma once

#include <array>
#include <optional>

#include "network/network.h"

namespace onebyone {

// The axes of a tensor from the slowest in memory to the fastest.
using AxisOrder = std::array<int, kMaxRank>;

AxisOrder row_major();
AxisOrder channels_last();  // of an image (N, C, H, W)
// How a slot lies; row-major if it repeats elements.
AxisOrder order_of(const Slot& slot);

Slot dense_slot(int buffer, const Dims& shape, const AxisOrder& order);
Dims shape_of(const Slot& slot);
bool same_strides(const Slot& a, const Slot& b);  // of one shape; axes of one element do not count
bool is_dense(const Slot& slot, const AxisOrder& order);

// Part [start, start + size) of `axis`.
Slot narrow(const Slot& slot, int axis, int64_t start, int64_t size);
Slot transposed(const Slot& slot, const std::vector<int>& perm);
Slot sliced(const Slot& slot, const Dims& starts, const Dims& sizes, const Dims& steps);
// To a shape that it broadcasts to, of its rank or more.
Slot expanded(const Slot& slot, const Dims& shape);
// The same elements in another shape, if strides can say it.
std::optional<Slot> reshaped(const Slot& slot, const Dims& shape);

// Pixels at one distance from each other, channels contiguous: what a channels-last convolution writes
// (ConvProblem::output_step). The distance, or nothing.
std::optional<int64_t> pixel_step(const Slot& image);
// A tensor (..., features) as rows at one distance, features contiguous. The distance, or nothing.
std::optional<int64_t> row_step(const Slot& tensor);

template <class T>
ImageView<T> as_image(const TensorView<T>& v) {
  return {v.data,       v.shape[0],   v.shape[1],   v.shape[2],  v.shape[3],
          v.strides[0], v.strides[1], v.strides[2], v.strides[3]};
}

}  // namespace onebyone
