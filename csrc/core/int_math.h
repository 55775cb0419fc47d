// core/int_math.h - 64-bit sizes: rounding, and products and sums that throw instead of wrapping. A leaf.
#pragma once

#include <cstdint>

#include "core/check.h"

namespace onebyone {

// Rounded towards plus infinity; b > 0.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

inline int64_t checked_mul(int64_t a, int64_t b, const char* what) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product))
    fail(what, " is too large: ", a, " x ", b, " overflows 64 bits");
  return product;
}
inline int64_t checked_add(int64_t a, int64_t b, const char* what) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) fail(what, " is too large: ", a, " + ", b, " overflows 64 bits");
  return sum;
}

// Part `index` of `count` near-equal parts of 0..total: where it begins.
constexpr int64_t part_begin(int64_t total, int64_t count, int64_t index) {
  const int64_t base = total / count, extra = total % count;
  return base * index + (index < extra ? index : extra);
}

}  // namespace onebyone
