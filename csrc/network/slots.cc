#include "network/slots.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace onebyone {

AxisOrder row_major() {
  AxisOrder order;
  std::iota(order.begin(), order.end(), 0);
  return order;
}

AxisOrder channels_last() {
  AxisOrder order = row_major();
  order[1] = 2, order[2] = 3, order[3] = 1;
  return order;
}

AxisOrder order_of(const Slot& slot) {
  AxisOrder order = row_major();
  for (int d = 0; d < slot.rank; ++d)
    if (slot.shape[d] > 1 && slot.strides[d] == 0) return order;
  // Axes of one element stay before the axis that follows them.
  std::array<int64_t, kMaxRank> key{};
  int64_t next = 1;
  for (int d = slot.rank - 1; d >= 0; --d)
    key[d] = next = slot.shape[d] > 1 ? std::abs(slot.strides[d]) : next;
  std::stable_sort(order.begin(), order.begin() + slot.rank, [&](int a, int b) { return key[a] > key[b]; });
  return order;
}

Slot dense_slot(int buffer, const Dims& shape, const AxisOrder& order) {
  Slot slot;
  slot.buffer = buffer;
  slot.rank = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), slot.shape);
  int64_t stride = 1;
  for (int i = slot.rank - 1; i >= 0; --i) {
    slot.strides[order[i]] = stride;
    stride *= shape[order[i]];
  }
  return slot;
}

Dims shape_of(const Slot& slot) { return Dims(slot.shape, slot.shape + slot.rank); }

bool same_strides(const Slot& a, const Slot& b) {
  for (int d = 0; d < a.rank; ++d)
    if (a.shape[d] > 1 && a.strides[d] != b.strides[d]) return false;
  return true;
}

bool is_dense(const Slot& slot, const AxisOrder& order) {
  return same_strides(slot, dense_slot(slot.buffer, shape_of(slot), order));
}

Slot narrow(const Slot& slot, int axis, int64_t start, int64_t size) {
  Slot part = slot;
  part.offset += start * part.strides[axis];
  part.shape[axis] = size;
  return part;
}

Slot transposed(const Slot& slot, const std::vector<int>& perm) {
  Slot result = slot;
  for (int d = 0; d < slot.rank; ++d) {
    result.shape[d] = slot.shape[perm[d]];
    result.strides[d] = slot.strides[perm[d]];
  }
  return result;
}

Slot sliced(const Slot& slot, const Dims& starts, const Dims& sizes, const Dims& steps) {
  Slot result = slot;
  for (int d = 0; d < slot.rank; ++d) {
    result.shape[d] = sizes[d];
    if (sizes[d] == 0) continue;
    result.offset += starts[d] * slot.strides[d];
    result.strides[d] *= steps[d];
  }
  return result;
}

Slot expanded(const Slot& slot, const Dims& shape) {
  Slot result = slot;
  result.rank = static_cast<int>(shape.size());
  const int added = result.rank - slot.rank;
  for (int d = result.rank - 1; d >= 0; --d) {
    const bool repeats = d < added || slot.shape[d - added] == 1;
    result.shape[d] = shape[d];
    result.strides[d] = repeats ? 0 : slot.strides[d - added];
  }
  return result;
}

std::optional<Slot> reshaped(const Slot& slot, const Dims& shape) {
  Slot result = slot;
  result.rank = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), result.shape);
  if (element_count(shape) == 0) return dense_slot(slot.buffer, shape, row_major());
  // Runs of axes on both sides that hold the same number of elements; on the left each run must be contiguous
  // in itself.
  int from = 0, to = 0;
  while (from < slot.rank || to < result.rank) {
    int64_t left = from < slot.rank ? slot.shape[from] : 1, right = to < result.rank ? result.shape[to] : 1;
    const int first = from, begin = to;
    from = std::min(from + 1, slot.rank), to = std::min(to + 1, result.rank);
    while (left != right) {
      if (left < right)
        left *= slot.shape[from++];
      else
        right *= result.shape[to++];
    }
    // The stride of the run's last axis of more than one element; the others follow from it.
    int64_t stride = 1, expected = 0;
    bool found = false;
    for (int d = from - 1; d >= first; --d) {
      if (slot.shape[d] == 1) continue;
      if (found && slot.strides[d] != expected) return {};
      if (!found) stride = slot.strides[d], found = true;
      expected = slot.strides[d] * slot.shape[d];
    }
    for (int d = to - 1; d >= begin; --d) {
      result.strides[d] = stride;
      stride *= result.shape[d];
    }
  }
  return result;
}

std::optional<int64_t> pixel_step(const Slot& image) {
  const int64_t n = image.shape[0], c = image.shape[1], h = image.shape[2], w = image.shape[3];
  if (c > 1 && image.strides[1] != 1) return {};
  const int64_t step = w > 1   ? image.strides[3]
                       : h > 1 ? image.strides[2]
                       : n > 1 ? image.strides[0]
                               : std::max<int64_t>(c, 1);
  if (step < c || (h > 1 && image.strides[2] != w * step) || (n > 1 && image.strides[0] != h * w * step))
    return {};
  return step;
}

std::optional<int64_t> row_step(const Slot& tensor) {
  const int last = tensor.rank - 1;
  const int64_t features = tensor.shape[last];
  if (features > 1 && tensor.strides[last] != 1) return {};
  int64_t step = 0, expected = 0;
  for (int d = last - 1; d >= 0; --d) {
    if (tensor.shape[d] == 1) continue;
    if (step == 0)
      step = tensor.strides[d];
    else if (tensor.strides[d] != expected)
      return {};
    expected = tensor.strides[d] * tensor.shape[d];
    if (step < features) return {};
  }
  return step ? step : std::max<int64_t>(features, 1);
}

}  // namespace onebyone
