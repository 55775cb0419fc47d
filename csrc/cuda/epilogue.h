// epilogue.h - from a sum to an output: bias, residual, activation, rounding; or, where k is split, a partial
// sum.
#pragma once

#include "cpu/kernels/kernel_table.h"
#include "problem.h"
#include "types.h"

namespace onebyone::cuda {

// min(max(v, lo), hi); a NaN stays (fminf and fmaxf would drop it).
ONEBYONE_DEVICE float clip(float v, float lo, float hi) {
  v = v < lo ? lo : v;
  return v > hi ? hi : v;
}

ONEBYONE_DEVICE float sigmoid(float x) { return reciprocal(1 + expf(-x)); }

// tanh and gelu as in cpu/kernels/activation-inl.h: shorter than the libraries' functions, of which every
// kernel would have a copy for each of the outputs it writes at once.
ONEBYONE_DEVICE float tanh_of(float x) {
  const float z = x * x;
  float q = 2.2927448134928755e-3f;
  q = q * z - 8.343945512944958e-3f;
  q = q * z + 2.176891864989293e-2f;
  q = q * z - 5.395925957700947e-2f;
  q = q * z + 1.3333303556914372e-1f;
  q = q * z - 3.3333333172140334e-1f;
  const float size = fabsf(x), large = 1 - 2 * reciprocal(expf(2 * size) + 1);
  return size > 0.625f ? copysignf(large, x) : q * z * x + x;
}

ONEBYONE_DEVICE float gelu(float x) {
  const float a = fabsf(x) * 0.70710678118654752f, t = reciprocal(1 + a * 0.4f);
  float q = -3.350112687150589e-2f;
  q = q * t + 2.1878535612963768e-1f;
  q = q * t - 5.465026177592626e-1f;
  q = q * t + 6.093421802854353e-1f;
  q = q * t - 3.3431187617263847e-1f;
  q = q * t + 2.979731945814202e-1f;
  q = q * t + 1.2105998246941302e-1f;
  q = q * t + 2.1668938595921514e-1f;
  q = q * t + 2.2474866527323548e-1f;
  q = q * t + 2.2571685743718481e-1f;
  const float half_erfc = q * t * expf(-(a * a)) * 0.5f;
  return x * (x > 0 ? 1 - half_erfc : half_erfc);
}

// v[i] = f(v[i])
template <int kCount, class F>
ONEBYONE_DEVICE void each(float (&v)[kCount], F f) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) v[i] = f(v[i]);
}

template <int kCount>
ONEBYONE_DEVICE void activate(const Problem& p, float (&v)[kCount]) {
  const float a = p.a, b = p.b;
  switch (static_cast<ActivationKind>(p.activation)) {
    case ActivationKind::kNone: return;
    case ActivationKind::kClip: return each(v, [=](float t) { return clip(t, a, b); });
    case ActivationKind::kLeakyRelu: return each(v, [=](float t) { return t > 0 ? t : t * a; });
    case ActivationKind::kSigmoid: return each(v, [](float t) { return sigmoid(t); });
    case ActivationKind::kTanh: return each(v, [](float t) { return tanh_of(t); });
    case ActivationKind::kSilu: return each(v, [](float t) { return t * sigmoid(t); });
    case ActivationKind::kHardswish:
      return each(v, [](float t) { return t * (clip(t + 3, 0, 6) * (1 / 6.0f)); });
    case ActivationKind::kHardsigmoid: return each(v, [](float t) { return clip(t + 3, 0, 6) * (1 / 6.0f); });
    case ActivationKind::kGelu: return each(v, [](float t) { return gelu(t); });
  }
}

// Sums v[i], i < count, become outputs at offset + i * step of y, of channels channel + i * channel_step.
template <class T, int kCount>
ONEBYONE_DEVICE void write_outputs(const Problem& p, int32_t split, int64_t offset, int64_t step,
                                   int32_t channel, int32_t channel_step, int32_t count, float (&v)[kCount]) {
  if (p.splits > 1) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (i < count) p.partial[split * p.y_size + offset + i * step] = v[i];
    return;
  }
  if (p.bias) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (i < count) v[i] += to_float(static_cast<const T*>(p.bias)[channel + i * channel_step]);
  }
  if (p.residual) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (i < count) v[i] += to_float(static_cast<const T*>(p.residual)[offset + i * step]);
  }
  activate(p, v);
#pragma unroll
  for (int i = 0; i < kCount; ++i)
    if (i < count) static_cast<T*>(p.y)[offset + i * step] = from_float<T>(v[i]);
}

}  // namespace onebyone::cuda
