// reduce-inl.h - sums and their like of rows and of columns. Contract: ReduceArgs.
// Knows registers. Does not know shapes: ops/reduce.cc makes rows of them.
#pragma once

#include "elementwise-inl.h"
#include "kernel_table.h"
#include "pack-inl.h"
#include "simd.h"

namespace onebyone {
namespace {

// What is made of an element, how two are combined, and what changes nothing.
template <class S, ReductionKind kKind>
struct Reduction {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  static constexpr T kNeutral = kKind == ReductionKind::kProd  ? T(1)
                                : kKind == ReductionKind::kMax ? -static_cast<T>(__builtin_inf())
                                : kKind == ReductionKind::kMin ? static_cast<T>(__builtin_inf())
                                                               : T(0);
  static ONEBYONE_INLINE Vec map(Vec v) {
    if constexpr (kKind == ReductionKind::kSumAbs) return v < T(0) ? -v : v;
    if constexpr (kKind == ReductionKind::kSumSquare) return v * v;
    return v;
  }
  static ONEBYONE_INLINE Vec combine(Vec a, Vec b) {
    if constexpr (kKind == ReductionKind::kProd) return a * b;
    if constexpr (kKind == ReductionKind::kMax) return nan_max<S>(a, b);
    if constexpr (kKind == ReductionKind::kMin) return nan_min<S>(a, b);
    return a + b;
  }
};

// All lanes combined, in every lane.
template <class S, class R, int kHalf = S::kLanes / 2>
ONEBYONE_INLINE typename S::Vec combine_lanes(typename S::Vec v) {
  v = R::combine(v, shuffle<S>(v, v, [](int l) { return l ^ kHalf; }));
  if constexpr (kHalf > 1) return combine_lanes<S, R, kHalf / 2>(v);
  return v;
}

// The first n lanes of v, the others neutral.
template <class S, class R>
ONEBYONE_INLINE typename S::Vec neutral_from(typename S::Vec v, int n) {
  return lane_numbers<S>() < static_cast<typename S::Int>(n) ? v : S::broadcast(R::kNeutral);
}

// The rows are read as they lie, eight at a time: as many streams as the prefetchers follow, and chains of
// rounding errors an eighth as long.
constexpr int kReduceRows = 8;

template <class S, class R, int kRows>
ONEBYONE_INLINE typename S::Vec combine_rows(const typename S::Vec* v) {
  if constexpr (kRows == 1)
    return v[0];
  else
    return R::combine(combine_rows<S, R, kRows / 2>(v), combine_rows<S, R, kRows / 2>(v + kRows / 2));
}

template <class S, class R, int kRows>
ONEBYONE_INLINE void reduce_rows_pass(const ReduceArgs<typename S::Scalar>& args,
                                      const typename S::Scalar* src, bool accumulate) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const int64_t n = args.n, stride = args.row_stride;
  T* const dst = args.dst;
  const auto column = [&](int64_t j, auto load) {
    Vec v[kRows];
    ONEBYONE_UNROLL
    for (int r = 0; r < kRows; ++r) v[r] = R::map(load(src + r * stride + j));
    const Vec sum = combine_rows<S, R, kRows>(v);
    return accumulate ? R::combine(load(dst + j), sum) : sum;
  };
  int64_t j = 0;
  for (; j + S::kLanes <= n; j += S::kLanes)
    S::store(dst + j, column(j, [](const T* p) { return S::load(p); }));
  if (const int rest = static_cast<int>(n - j); rest > 0)
    S::store_first(dst + j, column(j, [rest](const T* p) { return S::load_first(p, rest); }), rest);
}

template <class S, ReductionKind kKind>
void reduce_rows_of(const ReduceArgs<typename S::Scalar>& args) {
  using R = Reduction<S, kKind>;
  int64_t r = 0;
  for (; r + kReduceRows <= args.rows; r += kReduceRows)
    reduce_rows_pass<S, R, kReduceRows>(args, args.src + r * args.row_stride, args.accumulate || r > 0);
  for (; r < args.rows; ++r)
    reduce_rows_pass<S, R, 1>(args, args.src + r * args.row_stride, args.accumulate || r > 0);
}

// Four chains a row, combined every kSumBlock vectors of each (gemm-inl.h).
template <class S, ReductionKind kKind>
void reduce_within_of(const ReduceArgs<typename S::Scalar>& args) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  using R = Reduction<S, kKind>;
  constexpr int64_t kStep = 4 * S::kLanes, kBlock = 128 * kStep;
  for (int64_t r = 0; r < args.rows; ++r) {
    const T* const src = args.src + r * args.row_stride;
    Vec total = S::broadcast(R::kNeutral);
    int64_t i = 0;
    while (i + kStep <= args.n) {
      const int64_t whole = (args.n - i) / kStep * kStep;
      const int64_t end = i + (whole < kBlock ? whole : kBlock);
      Vec acc[4];
      ONEBYONE_UNROLL
      for (int v = 0; v < 4; ++v) acc[v] = S::broadcast(R::kNeutral);
      for (; i < end; i += kStep) {
        ONEBYONE_UNROLL
        for (int v = 0; v < 4; ++v) acc[v] = R::combine(acc[v], R::map(S::load(src + i + v * S::kLanes)));
      }
      total = R::combine(total, combine_rows<S, R, 4>(acc));
    }
    for (; i + S::kLanes <= args.n; i += S::kLanes) total = R::combine(total, R::map(S::load(src + i)));
    if (const int rest = static_cast<int>(args.n - i); rest > 0)
      total = R::combine(total, neutral_from<S, R>(R::map(S::load_first(src + i, rest)), rest));
    args.dst[r] = combine_lanes<S, R>(total)[0];
  }
}

template <class T, int kBytes>
void reduce_rows(const ReduceArgs<T>& args) {
  using S = Simd<T, kBytes>;
  switch (args.kind) {
    case ReductionKind::kSum: return reduce_rows_of<S, ReductionKind::kSum>(args);
    case ReductionKind::kSumAbs: return reduce_rows_of<S, ReductionKind::kSumAbs>(args);
    case ReductionKind::kSumSquare: return reduce_rows_of<S, ReductionKind::kSumSquare>(args);
    case ReductionKind::kProd: return reduce_rows_of<S, ReductionKind::kProd>(args);
    case ReductionKind::kMax: return reduce_rows_of<S, ReductionKind::kMax>(args);
    case ReductionKind::kMin: return reduce_rows_of<S, ReductionKind::kMin>(args);
  }
}

template <class T, int kBytes>
void reduce_within(const ReduceArgs<T>& args) {
  using S = Simd<T, kBytes>;
  switch (args.kind) {
    case ReductionKind::kSum: return reduce_within_of<S, ReductionKind::kSum>(args);
    case ReductionKind::kSumAbs: return reduce_within_of<S, ReductionKind::kSumAbs>(args);
    case ReductionKind::kSumSquare: return reduce_within_of<S, ReductionKind::kSumSquare>(args);
    case ReductionKind::kProd: return reduce_within_of<S, ReductionKind::kProd>(args);
    case ReductionKind::kMax: return reduce_within_of<S, ReductionKind::kMax>(args);
    case ReductionKind::kMin: return reduce_within_of<S, ReductionKind::kMin>(args);
  }
}

}  // namespace
}  // namespace onebyone
