// transpose-inl.h - rows become columns: between channels-first and channels-last. Contract: TransposeArgs.
// Knows registers. Does not know images.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// Lanes of a and b by constant indices, b's counted from kLanes on.
template <class S, class Index>
ONEBYONE_INLINE typename S::Vec shuffle(typename S::Vec a, typename S::Vec b, Index index) {
#if defined(__clang__)
  typename S::Vec v{};
  for (int l = 0; l < S::kLanes; ++l) v[l] = index(l) < S::kLanes ? a[index(l)] : b[index(l) - S::kLanes];
  return v;
#else
  typename S::IntVec mask{};
  for (int l = 0; l < S::kLanes; ++l) mask[l] = index(l);
  return __builtin_shuffle(a, b, mask);
#endif
}

// Exchanges the off-diagonal blocks of kBlock lanes between rows that are kBlock apart: after kBlock =
// kLanes / 2, ..., 1 the square of kLanes rows is transposed.
template <class S, int kBlock = S::kLanes / 2>
ONEBYONE_INLINE void transpose_square(typename S::Vec* v) {
  if constexpr (kBlock > 0) {
    ONEBYONE_UNROLL
    for (int i = 0; i < S::kLanes; ++i) {
      if (i & kBlock) continue;
      const typename S::Vec a = v[i], b = v[i + kBlock];
      v[i] = shuffle<S>(a, b, [](int l) { return l & kBlock ? S::kLanes + l - kBlock : l; });
      v[i + kBlock] = shuffle<S>(a, b, [](int l) { return l & kBlock ? S::kLanes + l : l + kBlock; });
    }
    transpose_square<S, kBlock / 2>(v);
  }
}

template <class S>
ONEBYONE_INLINE typename S::Vec load_lanes(const typename S::Scalar* p, int n) {
  return n == S::kLanes ? S::load(p) : S::load_first(p, n);
}

// kRows rows that become dense pixels of as many channels: a photograph's. Each vector of the result takes
// from all rows; with three a square would be mostly empty and its rows shorter than a vector.
template <class S, int kRows>
void interleave(const TransposeArgs<typename S::Scalar>& args) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  constexpr int kLanes = S::kLanes;
  const T* src = args.src;
  T* dst = args.dst;
  int64_t j = 0;
  for (; j + kLanes <= args.columns; j += kLanes, src += kLanes, dst += kRows * kLanes) {
    Vec v[kRows];
    ONEBYONE_UNROLL
    for (int r = 0; r < kRows; ++r) v[r] = S::load(src + r * args.src_stride);
    ONEBYONE_UNROLL
    for (int part = 0; part < kRows; ++part) {
      Vec out = v[0];
      ONEBYONE_UNROLL
      for (int r = 1; r < kRows; ++r)
        out = shuffle<S>(out, v[r], [part, r](int l) {
          const int row = (part * kLanes + l) % kRows, column = (part * kLanes + l) / kRows;
          if (row == r) return kLanes + column;
          return row == 0 && r == 1 ? column : l;
        });
      S::store(dst + part * kLanes, out);
    }
  }
  for (; j < args.columns; ++j, ++src, dst += kRows)
    for (int r = 0; r < kRows; ++r) dst[r] = src[r * args.src_stride];
}

template <class T, int kBytes>
void transpose(const TransposeArgs<T>& args) {
  using S = Simd<T, kBytes>;
  constexpr int64_t kLanes = S::kLanes;
  if (args.rows == args.dst_stride && !args.residual && args.activation.kind == ActivationKind::kNone) {
    if (args.rows == 2) return interleave<S, 2>(args);
    if (args.rows == 3) return interleave<S, 3>(args);
    if (args.rows == 4) return interleave<S, 4>(args);
  }
  const bool clips = args.activation.kind == ActivationKind::kClip;
  const T lo = static_cast<T>(args.activation.a), hi = static_cast<T>(args.activation.b);
  for (int64_t j = 0; j < args.columns; j += kLanes) {
    const int64_t columns = args.columns - j < kLanes ? args.columns - j : kLanes;
    for (int64_t i = 0; i < args.rows; i += kLanes) {
      const int64_t rows = args.rows - i < kLanes ? args.rows - i : kLanes;
      const bool whole = rows == kLanes && columns == kLanes;
      const T* src = args.src + i * args.src_stride + j;
      // Channels-first Winograd gains 2 to 12 % by it on AVX2.
      if (kBytes < 64 && args.ahead)
        for (int64_t r = 0; r < rows; ++r) __builtin_prefetch(src + r * args.src_stride + args.ahead);
      typename S::Vec v[kLanes];
      if (whole) {
        ONEBYONE_UNROLL
        for (int64_t r = 0; r < kLanes; ++r) v[r] = S::load(src + r * args.src_stride);
      } else {
        for (int64_t r = 0; r < kLanes; ++r)
          v[r] = r < rows ? load_lanes<S>(src + r * args.src_stride, static_cast<int>(columns))
                          : typename S::Vec{};
      }
      transpose_square<S>(v);
      const int64_t at = j * args.dst_stride + i;
      if (whole && !args.residual && !clips) {
        ONEBYONE_UNROLL
        for (int64_t r = 0; r < kLanes; ++r) S::store(args.dst + at + r * args.dst_stride, v[r]);
      } else {
        const int lanes = static_cast<int>(rows);
        for (int64_t r = 0; r < columns; ++r) {
          typename S::Vec out = v[r];
          if (args.residual) out += load_lanes<S>(args.residual + at + r * args.dst_stride, lanes);
          if (clips) out = clip<S>(out, lo, hi);
          if (lanes == kLanes)
            S::store(args.dst + at + r * args.dst_stride, out);
          else
            S::store_first(args.dst + at + r * args.dst_stride, out, lanes);
        }
      }
    }
  }
  if (args.activation.kind > ActivationKind::kClip)
    activate_in_place<T, kBytes>(args.activation, args.dst, args.columns, args.rows, args.dst_stride);
}

}  // namespace
}  // namespace onebyone
