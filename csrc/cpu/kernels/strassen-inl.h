// strassen-inl.h - what Strassen's algorithm adds up of an image before it multiplies. Contract:
// StrassenSumsArgs. Knows registers. Does not know convolution.
#pragma once

#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

template <class T, int kBytes>
bool strassen_sums(const StrassenSumsArgs<T>& args) {
  using S = Simd<T, kBytes>;
  using Vec = typename S::Vec;
  // Elements beyond the limit overflow when scaled, and infinity times 0 is NaN.
  constexpr T kLargest = sizeof(T) == 4 ? static_cast<T>(__FLT_MAX__) : static_cast<T>(__DBL_MAX__);
  const Vec scale = S::broadcast(kLargest / args.limit), zero{};
  Vec wrong{};
  const int64_t n = args.n, whole = n / S::kLanes * S::kLanes, stride = args.sums_stride;
  const int rest = static_cast<int>(n - whole);
  T* s1 = args.sums;
  for (int64_t r = 0; r < args.rows; ++r, s1 += args.sums_row) {
    const T *const top = args.top[r], *const bottom = args.bottom[r];
    T *const s2 = s1 + stride, *const s3 = s2 + stride, *const s4 = s3 + stride;
    const auto add = [&](int64_t i, auto load, auto store) {
      const Vec a11 = load(top + i), a12 = load(top + n + i), a21 = load(bottom + i),
                a22 = load(bottom + n + i);
      const Vec lower = a21 + a22, less = lower - a11;
      store(s1 + i, lower);
      store(s2 + i, less);
      store(s3 + i, a11 - a21);
      store(s4 + i, a12 - less);
      wrong += (a11 * scale) * zero + (a12 * scale) * zero;
      wrong += (a21 * scale) * zero + (a22 * scale) * zero;
    };
    for (int64_t i = 0; i < whole; i += S::kLanes)
      add(i, [](const T* p) { return S::load(p); }, [](T* p, Vec v) { S::store(p, v); });
    if (rest)
      add(
          whole, [rest](const T* p) { return S::load_first(p, rest); },
          [rest](T* p, Vec v) { S::store_first(p, v, rest); });
  }
  return !S::has_nan(wrong);
}

}  // namespace
}  // namespace onebyone
