// types.h - what arrays hold: float32, float16, bfloat16. Kernels read any of them as float and sum in float.
#pragma once

#include "hardware.h"

namespace onebyone::cuda {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

ONEBYONE_DEVICE float to_float(float value) { return value; }
ONEBYONE_DEVICE float to_float(Float16 value) { return float_of_half(value.bits); }
ONEBYONE_DEVICE float to_float(BFloat16 value) {
  return float_of_bits(static_cast<uint32_t>(value.bits) << 16);
}

template <class T>
ONEBYONE_DEVICE T from_float(float value);
template <>
ONEBYONE_DEVICE float from_float<float>(float value) {
  return value;
}
template <>
ONEBYONE_DEVICE Float16 from_float<Float16>(float value) {
  return {half_of_float(value)};
}
// To nearest even by integers: sm_75 has no instruction for it. A NaN keeps its sign and becomes quiet.
template <>
ONEBYONE_DEVICE BFloat16 from_float<BFloat16>(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// The tensor cores' product for each type (see hardware.h).
ONEBYONE_DEVICE void mma(float, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  mma_tf32(d, a, b);
}
ONEBYONE_DEVICE void mma(Float16, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  mma_float16(d, a, b);
}
ONEBYONE_DEVICE void mma(BFloat16, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  mma_bfloat16(d, a, b);
}

}  // namespace onebyone::cuda
