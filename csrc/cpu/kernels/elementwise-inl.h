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

// out = activation(f(operands)). A scalar operand becomes a vector in memory that every step reads again.
// Every result is clipped, at infinity if nothing else is asked for: memory is what this waits for.
template <class S, int kOperands, class F>
ONEBYONE_INLINE void elementwise_rows(const ElementwiseArgs<typename S::Scalar>& args, F f) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  // Copied, because a store through out could change args for all that the compiler knows.
  const ActivationKind kind = args.activation.kind;
  const bool clips = kind == ActivationKind::kClip, costly = kind > ActivationKind::kClip;
  const T lo = clips ? static_cast<T>(args.activation.a) : -static_cast<T>(__builtin_inf());
  const T hi = clips ? static_cast<T>(args.activation.b) : static_cast<T>(__builtin_inf());
  const int64_t rows = args.rows, n = args.n, out_row = args.out_row;
  T* out = args.out;
  const T* data[kOperands];
  int64_t row[kOperands], step[kOperands];
  ONEBYONE_UNROLL
  for (int k = 0; k < kOperands; ++k)
    data[k] = args.in[k].data, row[k] = args.in[k].row, step[k] = args.in[k].step;
  const auto apply = [&](const T* const* p, int64_t i, auto load) {
    Vec v[kOperands];
    ONEBYONE_UNROLL
    for (int k = 0; k < kOperands; ++k) v[k] = load(p[k] + i * step[k]);
    return clip<S>(f(v), lo, hi);
  };
  const auto whole = [](const T* at) { return S::load(at); };

  for (int64_t r = 0; r < rows; ++r, out += out_row) {
    Vec scalars[kOperands];
    const T* p[kOperands];
    ONEBYONE_UNROLL
    for (int k = 0; k < kOperands; ++k) {
      p[k] = data[k] + r * row[k];
      if (step[k] == 0) {
        scalars[k] = S::broadcast(*p[k]);
        p[k] = reinterpret_cast<const T*>(&scalars[k]);
      }
    }
    if (n >= S::kLanes && !costly) {
      // The last vector may overlap the one before, and out an operand: it is made first.
      const Vec last = apply(p, n - S::kLanes, whole);
      for (int64_t i = 0; i < n - S::kLanes; i += S::kLanes) S::store(out + i, apply(p, i, whole));
      S::store(out + n - S::kLanes, last);
      continue;
    }
    for (int64_t begin = 0; begin < n; begin += kElementwiseChunk) {
      const int64_t end = n - begin < kElementwiseChunk ? n : begin + kElementwiseChunk;
      int64_t i = begin;
      for (; i + S::kLanes <= end; i += S::kLanes) S::store(out + i, apply(p, i, whole));
      if (const int rest = static_cast<int>(end - i); rest > 0)
        S::store_first(out + i, apply(p, i, [rest](const T* at) { return S::load_first(at, rest); }), rest);
      if (costly)
        activate<T, static_cast<int>(sizeof(Vec))>(args.activation, out + begin, out + begin, end - begin);
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
    case ElementwiseKind::kAddAdd:
      return elementwise_rows<S, 3>(args, [](Vec* v) { return v[0] + v[1] + v[2]; });
  }
}

}  // namespace
}  // namespace onebyone
