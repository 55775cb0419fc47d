// elementwise-inl.h - arithmetic of two or three arrays. Contract: ElementwiseArgs.
// Knows registers. Does not know shapes: ops/loops.h makes rows of them.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// A costlier activation runs over this many elements while they are in L1.
constexpr int64_t kElementwiseChunk = 1024;

// An operand's row: a scalar becomes a vector that every step reads again.
template <class S>
struct ElementwiseRow {
  using T = typename S::Scalar;
  typename S::Vec scalar{};
  const T* p = nullptr;
  int64_t step = 0;

  ONEBYONE_INLINE void start(const ElementwiseOperand<T>& operand, int64_t row) {
    p = operand.data + row * operand.row;
    step = operand.step ? S::kLanes : 0;
    if (!operand.step) {
      scalar = S::broadcast(*p);
      p = reinterpret_cast<const T*>(&scalar);
    }
  }
  ONEBYONE_INLINE typename S::Vec next() {
    const typename S::Vec v = S::load(p);
    p += step;
    return v;
  }
  ONEBYONE_INLINE typename S::Vec first(int n) const { return S::load_first(p, n); }
};

// NaN if either is.
template <class S>
ONEBYONE_INLINE typename S::Vec nan_max(typename S::Vec a, typename S::Vec b) {
  const typename S::Vec larger = S::at_least(b, a);  // b's NaN comes through
  return a != a ? a : larger;
}
template <class S>
ONEBYONE_INLINE typename S::Vec nan_min(typename S::Vec a, typename S::Vec b) {
  const typename S::Vec smaller = S::at_most(b, a);
  return a != a ? a : smaller;
}

// out = activation(f(operands)). Every result is clipped, at infinity if nothing else is asked for: memory is
// what this waits for.
template <class S, int kOperands, class F>
ONEBYONE_INLINE void elementwise_rows(const ElementwiseArgs<typename S::Scalar>& args, F f) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const bool clips = args.activation.kind == ActivationKind::kClip;
  const T lo = clips ? static_cast<T>(args.activation.a) : -static_cast<T>(__builtin_inf());
  const T hi = clips ? static_cast<T>(args.activation.b) : static_cast<T>(__builtin_inf());
  for (int64_t r = 0; r < args.rows; ++r) {
    ElementwiseRow<S> in[kOperands];
    ONEBYONE_UNROLL
    for (int k = 0; k < kOperands; ++k) in[k].start(args.in[k], r);
    T* out = args.out + r * args.out_row;
    for (int64_t left = args.n; left > 0;) {
      const int64_t chunk = left < kElementwiseChunk ? left : kElementwiseChunk;
      int64_t i = 0;
      for (; i + S::kLanes <= chunk; i += S::kLanes) {
        Vec v[kOperands];
        ONEBYONE_UNROLL
        for (int k = 0; k < kOperands; ++k) v[k] = in[k].next();
        S::store(out + i, clip<S>(f(v), lo, hi));
      }
      if (const int rest = static_cast<int>(chunk - i); rest > 0) {
        Vec v[kOperands];
        ONEBYONE_UNROLL
        for (int k = 0; k < kOperands; ++k) v[k] = in[k].first(rest);
        S::store_first(out + i, clip<S>(f(v), lo, hi), rest);
      }
      if (args.activation.kind > ActivationKind::kClip)
        activate<T, static_cast<int>(sizeof(Vec))>(args.activation, out, out, chunk);
      out += chunk;
      left -= chunk;
    }
  }
}

template <class T, int kBytes>
void elementwise(const ElementwiseArgs<T>& args) {
  using S = Simd<T, kBytes>;
  using Vec = typename S::Vec;
  switch (args.kind) {
    case ElementwiseKind::kAdd: return elementwise_rows<S, 2>(args, [](Vec* v) { return v[0] + v[1]; });
    case ElementwiseKind::kSub: return elementwise_rows<S, 2>(args, [](Vec* v) { return v[0] - v[1]; });
    case ElementwiseKind::kMul: return elementwise_rows<S, 2>(args, [](Vec* v) { return v[0] * v[1]; });
    case ElementwiseKind::kDiv: return elementwise_rows<S, 2>(args, [](Vec* v) { return v[0] / v[1]; });
    case ElementwiseKind::kMax:
      return elementwise_rows<S, 2>(args, [](Vec* v) { return nan_max<S>(v[0], v[1]); });
    case ElementwiseKind::kMin:
      return elementwise_rows<S, 2>(args, [](Vec* v) { return nan_min<S>(v[0], v[1]); });
    case ElementwiseKind::kMulAdd:
      return elementwise_rows<S, 3>(args, [](Vec* v) { return v[0] * v[1] + v[2]; });
  }
}

}  // namespace
}  // namespace onebyone
