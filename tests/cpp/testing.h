// testing.h - what the C++ tests share: every kernel table and type, random data, exactly sized buffers.
// Buffers that a kernel reads or writes are std::vectors sized to the element, so that AddressSanitizer sees
// the first byte outside.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/tensor_view.h"
#include "cpu/isa.h"

namespace onebyone {

using RealTypes = ::testing::Types<float, double>;

template <class T>
inline constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
template <class T>
inline constexpr double kEps = std::numeric_limits<T>::epsilon();

// Uniform in [-1, 1), the same values on every machine (std::uniform_real_distribution differs between
// libraries).
class Random {
 public:
  explicit Random(uint64_t seed = 1) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  template <class T>
  T value() {
    return static_cast<T>(static_cast<double>(bits() >> 40) / (1 << 23) - 1);
  }
  template <class T>
  std::vector<T> values(int64_t n) {
    std::vector<T> v(n);
    for (T& x : v) x = value<T>();
    return v;
  }

 private:
  uint64_t state_;
};

// Calls f(table) for every table that runs on this machine.
template <class F>
void for_each_table(F f) {
  for (const RunnableIsa& isa : runnable_isas()) {
    SCOPED_TRACE(isa.kernels->isa);
    f(*isa.kernels);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// Every kind, with parameters where it has some.
inline const std::vector<Activation>& all_activations() {
  static const std::vector<Activation> all = {
      {ActivationKind::kNone, 0, 0},
      {ActivationKind::kClip, 0, std::numeric_limits<double>::infinity()},
      {ActivationKind::kClip, -0.5, 0.75},
      {ActivationKind::kLeakyRelu, 0.1, 0},
      {ActivationKind::kSigmoid, 0, 0},
      {ActivationKind::kTanh, 0, 0},
      {ActivationKind::kSilu, 0, 0},
      {ActivationKind::kHardswish, 0, 0},
      {ActivationKind::kHardsigmoid, 0, 0},
      {ActivationKind::kGelu, 0, 0}};
  return all;
}

// The definition in the widest type; parameters are rounded to T first, as the kernels do.
template <class T>
long double activate_exactly(const Activation& activation, long double v) {
  const long double a = static_cast<T>(activation.a), b = static_cast<T>(activation.b);
  const auto clip = [](long double x, long double lo, long double hi) {
    return x < lo ? lo : x > hi ? hi : x;
  };
  switch (activation.kind) {
    case ActivationKind::kNone: return v;
    case ActivationKind::kClip: return clip(v, a, b);
    case ActivationKind::kLeakyRelu: return v > 0 ? v : a * v;
    case ActivationKind::kSigmoid: return 1 / (1 + std::exp(-v));
    case ActivationKind::kTanh: return std::tanh(v);
    case ActivationKind::kSilu: return v / (1 + std::exp(-v));
    case ActivationKind::kHardswish: return v * clip(v + 3, 0, 6) / 6;
    case ActivationKind::kHardsigmoid: return clip(v + 3, 0, 6) / 6;
    case ActivationKind::kGelu: return v / 2 * std::erfc(-v * std::sqrt(0.5L));
  }
  return kNan<long double>;
}

// An image with any strides in a buffer of exactly its extent: random where the view reaches, NaN between.
template <class T>
struct StridedImage {
  std::vector<T> memory;
  ImageView<const T> view;

  // `shape` holds sizes and strides; its data pointer is ignored.
  StridedImage(ImageView<const T> shape, Random& random) : view(shape) {
    const auto [low, high] = view.extent();
    memory.assign(high - low, kNan<T>);
    view.data = memory.data() - low;
    for (int64_t n = 0; n < view.batch; ++n)
      for (int64_t c = 0; c < view.channels; ++c)
        for (int64_t h = 0; h < view.height; ++h)
          for (int64_t w = 0; w < view.width; ++w)
            memory[n * view.sn + c * view.sc + h * view.sh + w * view.sw - low] = random.value<T>();
  }
  StridedImage(const StridedImage&) = delete;
  StridedImage& operator=(const StridedImage&) = delete;
};

}  // namespace onebyone
