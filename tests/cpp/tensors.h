// tensors.h - tensors of any strides for the tests of ops/: in buffers of exactly their extent, with canaries
// between their elements.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>

#include "testing.h"

namespace onebyone {

using Shape = std::vector<int64_t>;

// How a tensor lies in memory.
struct Arrangement {
  std::vector<int> order;     // axes, outermost first
  std::vector<int64_t> gaps;  // of each axis: 1: dense, 2: every other element, -1: backwards, 0: broadcast
};

template <class T>
struct Tensor {
  std::vector<T> memory;
  TensorView<T> view;

  explicit Tensor(const Shape& shape, const Arrangement& arrangement = {}, T fill = T(77)) {
    view.rank = static_cast<int>(shape.size());
    std::vector<int> order = arrangement.order;
    if (order.empty()) {
      order.resize(shape.size());
      std::iota(order.begin(), order.end(), 0);
    }
    int64_t dense = 1, low = 0, high = 0;
    for (int o = view.rank - 1; o >= 0; --o) {
      const int d = order[o];
      const int64_t gap = arrangement.gaps.empty() ? 1 : arrangement.gaps[d];
      view.shape[d] = shape[d];
      view.strides[d] = dense * gap;
      if (gap) dense *= std::max<int64_t>(shape[d], 1) * std::abs(gap);
      (gap < 0 ? low : high) += (std::max<int64_t>(shape[d], 1) - 1) * view.strides[d];
    }
    memory.assign(view.size() ? high - low + 1 : 0, fill);
    view.data = memory.data() - low;
  }
  Tensor(const Tensor& other) = delete;
  Tensor(Tensor&&) = default;  // a vector's memory moves with it

  TensorView<const T> read() const { return read_only(view); }
  T& at(const Shape& index) const {
    int64_t offset = 0;
    for (int d = 0; d < view.rank; ++d) offset += index[d] * view.strides[d];
    return view.data[offset];
  }
  void randomize(Random& random, double scale = 1);
};

// f(index) for every element of a shape.
inline void for_each_index(const Shape& shape, const std::function<void(const Shape&)>& f) {
  if (std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n == 0; })) return;
  Shape index(shape.size(), 0);
  while (true) {
    f(index);
    int d = static_cast<int>(shape.size()) - 1;
    for (; d >= 0 && ++index[d] == shape[d]; --d) index[d] = 0;
    if (d < 0) return;
  }
}

template <class T>
Shape shape_of(const TensorView<T>& view) {
  return Shape(view.shape, view.shape + view.rank);
}

template <class T>
void Tensor<T>::randomize(Random& random, double scale) {
  for_each_index(shape_of(view), [&](const Shape& i) { at(i) = static_cast<T>(scale * random.value<T>()); });
}

// The tensor's elements are `expected(index)` within `bound(expected)`, and what lies between is untouched.
template <class T, class Expected, class Bound>
void expect_tensor(Tensor<T>& got, const Expected& expected, const Bound& bound) {
  for_each_index(shape_of(got.view), [&](const Shape& i) {
    const double e = expected(i), g = got.at(i);
    if (std::isnan(e) || std::isinf(e))
      EXPECT_TRUE(std::isnan(e) ? std::isnan(g) : e == g) << "expected " << e << " got " << g;
    else
      EXPECT_NEAR(g, e, bound(e)) << ::testing::PrintToString(i);
    got.at(i) = T(77);
  });
  for (const T v : got.memory) ASSERT_EQ(v, T(77)) << "wrote between the elements";
}

// Any order of the axes, gaps in {1, 2, -1} and, if allowed, 0.
inline Arrangement random_arrangement(int rank, bool broadcast, Random& random) {
  Arrangement a;
  a.order.resize(rank);
  std::iota(a.order.begin(), a.order.end(), 0);
  for (int d = rank - 1; d > 0; --d) std::swap(a.order[d], a.order[random.below(d + 1)]);
  const bool dense = random.below(3) == 0;
  for (int d = 0; d < rank; ++d) {
    constexpr int64_t kGaps[] = {1, 1, 2, -1, 0};
    a.gaps.push_back(dense ? 1 : kGaps[random.below(broadcast ? 5 : 4)]);
  }
  return a;
}

inline Shape random_shape(int rank, Random& random) {
  Shape shape;
  const int64_t limit = rank <= 2 ? 70 : rank <= 4 ? 13 : 4;
  for (int d = 0; d < rank; ++d) shape.push_back(random.below(12) == 0 ? 0 : 1 + random.below(limit));
  return shape;
}

}  // namespace onebyone
