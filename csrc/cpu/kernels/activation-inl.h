// activation-inl.h - the elementwise nonlinearities, on vectors in registers or on arrays.
// float: polynomials, a few units in the last place; double: libm lane by lane.
#pragma once

#include "kernel_table.h"
#include "simd.h"

extern "C" {
double exp(double);
double tanh(double);
double erfc(double);
}

namespace onebyone {
namespace {

// Functions of one float vector. Polynomials are Chebyshev interpolants computed with 50 digits.
template <int kBytes>
struct FloatMath {
  using S = Simd<float, kBytes>;
  using Vec = typename S::Vec;
  using IntVec = typename S::IntVec;

  // e^x = 2^n e^r, n counted in steps of an octave. Where lanes are permuted by a register of indices in one
  // instruction the powers between octaves come from a table, of one register or AVX-512's two, and with that
  // many steps e^r is a polynomial of degree 2 or 3 instead of 5 or 6 (Zen 4, where a division takes the time
  // of two products, a store next to them that of one and a half). Clang has no builtin for every width.
#if defined(__AVX2__) && !defined(__clang__)
  static constexpr bool kTable = S::kLanes >= 8;
#else
  static constexpr bool kTable = false;
#endif
  static constexpr bool kLongTable = kTable && S::kLanes == 16;
  static constexpr int kSteps = kLongTable ? 32 : kTable ? 8 : 1;
  static constexpr int kStepBits = kLongTable ? 5 : kTable ? 3 : 0;
  static constexpr float kStepsPerUnit = 1.44269504088896f * kSteps;

  // Adding 1.5 * 2^23 rounds to an integer, n; and n + 126 - kLess octaves in the last bits of the sum are
  // the exponent of 2^(n - 1 - kLess): what it is multiplied by is 2 e^r, so that n = 128 overflows into
  // infinity.
  static ONEBYONE_INLINE Vec rounding(int less = 0) {
    return S::broadcast(12582912.0f + static_cast<float>((126 - less) * kSteps));
  }
  static ONEBYONE_INLINE Vec power(Vec rounded) {
    const IntVec exponent = (IntVec)rounded << (23 - kStepBits);
    if constexpr (kTable) {
      // 2^(i / 32) without its exponent, less what the last bits of n leave in the mantissa.
      constexpr int32_t kMantissas[] = {0x000000, 0x02cd87, 0x05aac3, 0x08980f, 0x0b95c2, 0x0ea43a, 0x11c3d3,
                                        0x14f4f0, 0x1837f0, 0x1b8d3a, 0x1ef532, 0x227043, 0x25fed7, 0x29a15b,
                                        0x2d583f, 0x3123f6, 0x3504f3, 0x38fbaf, 0x3d08a4, 0x412c4d, 0x45672a,
                                        0x49b9be, 0x4e248c, 0x52a81e, 0x5744fd, 0x5bfbb8, 0x60ccdf, 0x65b907,
                                        0x6ac0c7, 0x6fe4ba, 0x75257d, 0x7a83b3};
      const auto entry = [&](int i) { return kMantissas[i * 32 / kSteps] - (i << (23 - kStepBits)); };
      IntVec first, second;
      for (int i = 0; i < S::kLanes; ++i) first[i] = entry(i);
      if constexpr (kLongTable) {
        for (int i = 0; i < S::kLanes; ++i) second[i] = entry(S::kLanes + i);
        return (Vec)(exponent + __builtin_shuffle(first, second, (IntVec)rounded));
      }
      return (Vec)(exponent + __builtin_shuffle(first, (IntVec)rounded));
    }
    return (Vec)exponent;
  }
  // x - n ln2 / kSteps, ln2 in two parts (Cody and Waite): the product by the first is exact, so that it does
  // not matter what the compiler fuses.
  static ONEBYONE_INLINE Vec remainder(Vec x, Vec n) {
    return (x - n * (0.693359375f / kSteps)) + n * (2.12194440e-4f / kSteps);
  }

  // 2^-kLess e^x for (kLess - 125) ln2 <= x <= 89, and NaN for NaN. Minimax polynomials of 2 e^r, relative
  // error 3e-8, with a table of 8 steps 4e-8.
  template <int kLess = 0>
  static ONEBYONE_INLINE Vec exp_in_range(Vec x) {
    const Vec rounded = x * kStepsPerUnit + rounding(kLess);
    const Vec r = remainder(x, rounded - rounding(kLess));
    Vec q;
    if constexpr (kTable) {
      q = r * 3.3336465e-1f + 1.0001566f;
    } else {
      q = S::broadcast(2.8122554e-3f);
      q = q * r + 1.6758041e-2f;
      q = q * r + 8.332955e-2f;
      q = q * r + 3.333273e-1f;
      q = q * r + 1.0000001f;
    }
    q = q * r + 2.0f;
    q = q * r + 2.0f;
    return q * power(rounded);
  }
  // The same for any x <= 89: 0 where the power would be a denormal, which costs whatever multiplies it a
  // hundred cycles.
  template <int kLess = 0>
  static ONEBYONE_INLINE Vec exp_or_zero(Vec x) {
    constexpr float kLeast = -0.693147180559945f * (125 - kLess);
    const Vec e = exp_in_range<kLess>(x);
    return x < kLeast ? Vec{} : e;
  }
  static ONEBYONE_INLINE Vec exp(Vec x) { return exp_or_zero(S::at_most(x, S::broadcast(89.0f))); }

  static ONEBYONE_INLINE Vec abs(Vec x) { return (Vec)((IntVec)x & 0x7fffffff); }

  // By e^x, which is 0 where the result would be a denormal, and not by e^-x; from x = 30 on it is 1.
  static ONEBYONE_INLINE Vec sigmoid(Vec x) {
    const Vec e = exp_or_zero(S::at_most(x, S::broadcast(30.0f)));
    return e / (1.0f + e);
  }

  // x / (1 + e^-x). The exponential is 2^n 2^f, f = -x log2(e) - n in steps by one product where exp takes
  // ln2 in two parts: log2(e)'s rounding adds a relative error of 1.3e-8 x (6e-8 x without FMA). With
  // polynomials of 2 2^f that err by 8e-8 at most it is 4e-7 from -10 on. From x = 86 on 1 + e^-x is 1.
  // Vectors side by side: 60 cycles of latency are more than a queue of operations hides (one after the other
  // two take 4 to 6 % more).
  template <int kCount>
  static ONEBYONE_INLINE void silu(Vec (&x)[kCount]) {
    Vec rounded[kCount], f[kCount], q[kCount];
    const auto each = [](const auto& step) __attribute__((always_inline)) {
      ONEBYONE_UNROLL
      for (int i = 0; i < kCount; ++i) step(i);
    };
    each([&](int i) { f[i] = S::at_least(S::at_most(x[i], S::broadcast(86.0f)), S::broadcast(-89.0f)); });
    each([&](int i) { rounded[i] = rounding() - f[i] * kStepsPerUnit; });
    each([&](int i) { f[i] = (rounding() - rounded[i]) - f[i] * kStepsPerUnit; });
    if constexpr (kLongTable) {
      each([&](int i) { q[i] = f[i] * 4.69188956e-4f + 4.33223340e-2f; });
    } else if constexpr (kTable) {
      each([&](int i) { q[i] = f[i] * 2.1679258e-4f + 7.5082523e-3f; });
      each([&](int i) { q[i] = q[i] * f[i] + 1.73286802e-1f; });
    } else {
      each([&](int i) { q[i] = f[i] * 2.65529443e-3f + 1.93510827e-2f; });
      each([&](int i) { q[i] = q[i] * f[i] + 1.11014265e-1f; });
      each([&](int i) { q[i] = q[i] * f[i] + 4.80442394e-1f; });
      each([&](int i) { q[i] = q[i] * f[i] + 1.38629393f; });
    }
    each([&](int i) { q[i] = q[i] * f[i] + 2.0f; });
    each([&](int i) { x[i] = x[i] / (1.0f + q[i] * power(rounded[i])); });
  }

  // Below 0.625 x + x^3 P(x^2), relative error 5e-9; above 1 - 2 / (e^2x + 1), where nothing cancels.
  static ONEBYONE_INLINE Vec tanh(Vec x) {
    const Vec z = x * x;
    Vec q = S::broadcast(2.2927448134928755e-3f);
    q = q * z - 8.343945512944958e-3f;
    q = q * z + 2.176891864989293e-2f;
    q = q * z - 5.395925957700947e-2f;
    q = q * z + 1.3333303556914372e-1f;
    q = q * z - 3.3333333172140334e-1f;
    const Vec small = q * z * x + x;
    const Vec magnitude = abs(x);
    const Vec large =
        1.0f - 2.0f / (exp_in_range(S::at_most(magnitude + magnitude, S::broadcast(89.0f))) + 1.0f);
    const IntVec sign = (IntVec)x & ~0x7fffffff;
    const Vec signed_large = (Vec)((IntVec)large | sign);
    return magnitude > 0.625f ? signed_large : small;
  }

  // x Phi(x) = max(x, 0) - a (1 - Phi(a)), a = |x|: nothing cancels. 1 - Phi(a) = t P(t) e^(-a^2 / 2),
  // t = 1 / (1 + 0.28 a), relative error 5e-8 (the form of Abramowitz and Stegun 7.1.26); P is four times
  // that. From a = 13.06 on the exponential is 0; what it is a little below is large enough that its products
  // are no denormals.
  static ONEBYONE_INLINE Vec gelu(Vec x) {
    const Vec a = S::at_most(abs(x), S::broadcast(13.06f));
    const Vec t = 1.0f / (1.0f + a * 0.28f);
    Vec q = S::broadcast(0.08897803f);
    q = q * t - 0.32264388f;
    q = q * t + 0.25635037f;
    q = q * t + 0.109945156f;
    q = q * t + 0.19427714f;
    q = q * t + 0.37650362f;
    q = q * t + 0.40156958f;
    q = q * t + 0.4482898f;
    q = q * t + 0.44673026f;
    const Vec tail = q * t * exp_or_zero<2>(a * a * -0.5f);
    return S::at_least(x, Vec{}) - a * tail;
  }
};

template <int kBytes>
struct DoubleMath {
  using S = Simd<double, kBytes>;
  using Vec = typename S::Vec;

  template <class F>
  static ONEBYONE_INLINE Vec each(Vec x, F f) {
    for (int l = 0; l < S::kLanes; ++l) x[l] = f(x[l]);
    return x;
  }
  static ONEBYONE_INLINE Vec exp(Vec x) {
    return each(x, [](double v) { return ::exp(v); });
  }
  static ONEBYONE_INLINE Vec sigmoid(Vec x) { return 1.0 / (1.0 + exp(-x)); }
  template <int kCount>
  static ONEBYONE_INLINE void silu(Vec (&x)[kCount]) {
    for (Vec& v : x) v = v / (1.0 + exp(-v));
  }
  static ONEBYONE_INLINE Vec tanh(Vec x) {
    return each(x, [](double v) { return ::tanh(v); });
  }
  static ONEBYONE_INLINE Vec gelu(Vec x) {
    return each(x, [](double v) { return 0.5 * v * ::erfc(-0.70710678118654752440 * v); });
  }
};

template <class T, int kBytes>
struct MathOf {
  using Type = FloatMath<kBytes>;
};
template <int kBytes>
struct MathOf<double, kBytes> {
  using Type = DoubleMath<kBytes>;
};

template <class S>
ONEBYONE_INLINE typename S::Vec clip(typename S::Vec v, typename S::Scalar lo, typename S::Scalar hi) {
  return S::at_most(S::at_least(v, S::broadcast(lo)), S::broadcast(hi));
}

// dst[i] = f(src[i]), i < n. dst may be src.
template <class S, class F>
ONEBYONE_INLINE void map(const typename S::Scalar* src, typename S::Scalar* dst, int64_t n, F f) {
  if (n >= S::kLanes) {
    // The last vector may overlap the one before: it is made first.
    const typename S::Vec last = f(S::load(src + n - S::kLanes));
    for (int64_t i = 0; i < n - S::kLanes; i += S::kLanes) S::store(dst + i, f(S::load(src + i)));
    S::store(dst + n - S::kLanes, last);
  } else if (n > 0) {
    S::store_first(dst, f(S::load_first(src, static_cast<int>(n))), static_cast<int>(n));
  }
}

// Rows of an array.
template <class T>
struct ActivateArgs {
  const T* src;
  T* dst;
  int64_t rows, n, stride;
};

template <class S, class F>
ONEBYONE_INLINE void map_rows(const ActivateArgs<typename S::Scalar>& args, F f) {
  for (int64_t r = 0; r < args.rows; ++r)
    map<S>(args.src + r * args.stride, args.dst + r * args.stride, args.n, f);
}

// The same, f replacing the vectors of an array, two at a time.
template <class S, class F>
ONEBYONE_INLINE void map_pairs(const ActivateArgs<typename S::Scalar>& args, F f) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  constexpr int kCount = 2;
  const auto one = [&](Vec v) __attribute__((always_inline)) {
    Vec x[1] = {v};
    f(x);
    return x[0];
  };
  if (args.n % (kCount * S::kLanes) != 0) return map_rows<S>(args, one);
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* src = args.src + r * args.stride;
    T* dst = args.dst + r * args.stride;
    for (int64_t i = 0; i < args.n; i += kCount * S::kLanes) {
      Vec x[kCount];
      ONEBYONE_UNROLL
      for (int u = 0; u < kCount; ++u) x[u] = S::load(src + i + u * S::kLanes);
      f(x);
      ONEBYONE_UNROLL
      for (int u = 0; u < kCount; ++u) S::store(dst + i + u * S::kLanes, x[u]);
    }
  }
}

template <class T, int kBytes>
void activate_rows(const Activation& activation, const ActivateArgs<T>& args) {
  using S = Simd<T, kBytes>;
  using Math = typename MathOf<T, kBytes>::Type;
  using Vec = typename S::Vec;
  const T a = static_cast<T>(activation.a), b = static_cast<T>(activation.b);
  switch (activation.kind) {
    case ActivationKind::kNone: return map_rows<S>(args, [](Vec v) { return v; });
    case ActivationKind::kClip: return map_rows<S>(args, [a, b](Vec v) { return clip<S>(v, a, b); });
    case ActivationKind::kLeakyRelu: return map_rows<S>(args, [a](Vec v) { return v > T(0) ? v : v * a; });
    case ActivationKind::kSigmoid: return map_rows<S>(args, [](Vec v) { return Math::sigmoid(v); });
    case ActivationKind::kTanh: return map_rows<S>(args, [](Vec v) { return Math::tanh(v); });
    case ActivationKind::kSilu: return map_pairs<S>(args, [](auto& v) { Math::silu(v); });
    case ActivationKind::kHardswish:
      return map_rows<S>(args, [](Vec v) { return v * (clip<S>(v + T(3), 0, 6) * T(1.0 / 6)); });
    case ActivationKind::kHardsigmoid:
      return map_rows<S>(args, [](Vec v) { return clip<S>(v + T(3), 0, 6) * T(1.0 / 6); });
    case ActivationKind::kGelu: return map_rows<S>(args, [](Vec v) { return Math::gelu(v); });
  }
}

// Rows of n elements, `stride` apart, in place.
template <class T, int kBytes>
ONEBYONE_INLINE void activate_in_place(const Activation& activation, T* data, int64_t rows, int64_t n,
                                       int64_t stride) {
  const bool dense = n == stride;
  activate_rows<T, kBytes>(activation, {data, data, dense ? 1 : rows, dense ? rows * n : n, stride});
}

template <class T, int kBytes>
void activate(const Activation& activation, const T* src, T* dst, int64_t n) {
  activate_rows<T, kBytes>(activation, {src, dst, 1, n, n});
}

}  // namespace
}  // namespace onebyone
