// softmax-inl.h - softmax of rows and of columns. Contract: SoftmaxArgs. Knows registers.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "reduce-inl.h"
#include "simd.h"

extern "C" double log(double);

namespace onebyone {
namespace {

// Sums are made by blocks of this many vectors, as the GEMM's (gemm-inl.h).
constexpr int64_t kSoftmaxBlock = 128;

template <class S>
struct Softmax {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  using Math = typename MathOf<T, static_cast<int>(sizeof(Vec))>::Type;
  using Max = Reduction<S, ReductionKind::kMax>;
  using Sum = Reduction<S, ReductionKind::kSum>;

  // Of one contiguous row.
  static void row(const T* src, T* dst, int64_t n, bool log) {
    const int rest = static_cast<int>(n % S::kLanes);
    const int64_t whole = n - rest;
    Vec largest = S::broadcast(Max::kNeutral);
    for (int64_t i = 0; i < whole; i += S::kLanes) largest = Max::combine(largest, S::load(src + i));
    if (rest) largest = Max::combine(largest, neutral_from<S, Max>(S::load_first(src + whole, rest), rest));
    largest = combine_lanes<S, Max>(largest);

    // Exponentials are kept where they are the result.
    Vec sum{};
    for (int64_t i = 0; i < whole;) {
      const int64_t block = kSoftmaxBlock * S::kLanes, end = whole - i < block ? whole : i + block;
      Vec part{};
      for (; i < end; i += S::kLanes) {
        const Vec e = Math::exp(S::load(src + i) - largest);
        if (!log) S::store(dst + i, e);
        part += e;
      }
      sum += part;
    }
    if (rest) {
      const Vec e = neutral_from<S, Sum>(Math::exp(S::load_first(src + whole, rest) - largest), rest);
      if (!log) S::store_first(dst + whole, e, rest);
      sum += e;
    }
    sum = combine_lanes<S, Sum>(sum);
    if (log) {
      const Vec logarithm = S::broadcast(static_cast<T>(::log(static_cast<double>(sum[0]))));
      map<S>(src, dst, n, [=](Vec v) { return (v - largest) - logarithm; });
    } else {
      const Vec factor = T(1) / sum;
      map<S>(dst, dst, n, [=](Vec v) { return v * factor; });
    }
  }

  // Of `lanes` columns.
  template <class Load, class Store>
  static ONEBYONE_INLINE void columns(const SoftmaxArgs<T>& args, int64_t j, Load load, Store store) {
    const T* const src = args.src + j;
    T* const dst = args.dst + j;
    Vec largest = load(src);
    for (int64_t r = 1; r < args.rows; ++r) largest = Max::combine(largest, load(src + r * args.src_stride));
    Vec sum{};
    for (int64_t r = 0; r < args.rows;) {
      const int64_t end = args.rows - r < kSoftmaxBlock ? args.rows : r + kSoftmaxBlock;
      Vec part{};
      for (; r < end; ++r) {
        const Vec e = Math::exp(load(src + r * args.src_stride) - largest);
        if (!args.log) store(dst + r * args.dst_stride, e);
        part += e;
      }
      sum += part;
    }
    if (args.log) {
      for (int l = 0; l < S::kLanes; ++l) sum[l] = static_cast<T>(::log(static_cast<double>(sum[l])));
      for (int64_t r = 0; r < args.rows; ++r)
        store(dst + r * args.dst_stride, (load(src + r * args.src_stride) - largest) - sum);
    } else {
      const Vec factor = T(1) / sum;
      for (int64_t r = 0; r < args.rows; ++r)
        store(dst + r * args.dst_stride, load(dst + r * args.dst_stride) * factor);
    }
  }
};

template <class T, int kBytes>
void softmax_within(const SoftmaxArgs<T>& args) {
  for (int64_t r = 0; r < args.rows; ++r)
    Softmax<Simd<T, kBytes>>::row(args.src + r * args.src_stride, args.dst + r * args.dst_stride, args.n,
                                  args.log);
}

template <class T, int kBytes>
void softmax_rows(const SoftmaxArgs<T>& args) {
  using S = Simd<T, kBytes>;
  using Vec = typename S::Vec;
  int64_t j = 0;
  for (; j + S::kLanes <= args.n; j += S::kLanes)
    Softmax<S>::columns(args, j, [](const T* p) { return S::load(p); }, [](T* p, Vec v) { S::store(p, v); });
  if (const int rest = static_cast<int>(args.n - j); rest > 0)
    Softmax<S>::columns(
        args, j, [rest](const T* p) { return S::load_first(p, rest); },
        [rest](T* p, Vec v) { S::store_first(p, v, rest); });
}

}  // namespace
}  // namespace onebyone
