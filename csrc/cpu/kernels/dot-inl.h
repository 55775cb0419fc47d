// dot-inl.h - rows of A times rows of B: vectors along the sum, so that weights are read as the user stores
// them, once, from one end to the other. Serves convolution from one pixel to one pixel (conv/dot.cc).
// Contract: DotArgs. Knows registers. Does not know convolution or threads.
#pragma once

#include "activation-inl.h"
#include "gemm-inl.h"
#include "kernel_table.h"
#include "simd.h"
#include "transpose-inl.h"

namespace onebyone {
namespace {

// v[0]'s lanes c < kCount become the sums of all lanes of v[c]: a tree, in which two vectors share one once
// their halves, kBlock lanes of each 2 kBlock, are added. Every sum is of the same pairs whatever kCount.
// 48 -> 1152 takes 2.5 us from L2, and 3.9 with one sum after the other (AVX-512).
template <class S, int kCount, int kBlock = S::kLanes / 2>
ONEBYONE_INLINE void sum_lanes(typename S::Vec* v) {
  if constexpr (kCount > 1) {
    ONEBYONE_UNROLL
    for (int i = 0; i < kCount / 2; ++i) {
      const typename S::Vec a = v[i], b = v[i + kCount / 2];
      v[i] = shuffle<S>(a, b, [](int l) { return l & kBlock ? S::kLanes + l - kBlock : l; }) +
             shuffle<S>(a, b, [](int l) { return l & kBlock ? S::kLanes + l : l + kBlock; });
    }
    sum_lanes<S, kCount / 2, kBlock / 2>(v);
  } else if constexpr (kBlock > 0) {
    // No more vectors: the sums move together.
    constexpr auto low = [](int l) { return (l / kBlock * 2 * kBlock + l % kBlock) % S::kLanes; };
    v[0] = shuffle<S>(v[0], v[0], low) + shuffle<S>(v[0], v[0], [=](int l) { return low(l) + kBlock; });
    sum_lanes<S, 1, kBlock / 2>(v);
  }
}

// Where a vector is put together by branches GCC would multiply it on each way and add after they meet, not
// fused: an output's last bit would depend on its tile. Other ISAs load parts by masks, or fuse nothing.
template <class Vec>
ONEBYONE_INLINE Vec settled(Vec v) {
#if defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

// sums[r][c] = a_r . b_c for kRows rows of A and kColumns of B.
template <class S, int kRows, int kColumns>
ONEBYONE_INLINE void dot_tile(const DotArgs<typename S::Scalar>& args, const typename S::Scalar* a,
                              const typename S::Scalar* b, typename S::Vec (&sums)[kRows][kColumns]) {
  using Vec = typename S::Vec;
  const int64_t k = args.k, lda = args.lda, ldb = args.ldb;
  ONEBYONE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ONEBYONE_UNROLL
    for (int c = 0; c < kColumns; ++c) sums[r][c] = Vec{};
  }
  // By blocks, for the reason that kSumBlock gives.
  for (int64_t p = 0; p + S::kLanes <= k;) {
    const int64_t whole = k / S::kLanes * S::kLanes, block = p + kSumBlock * S::kLanes;
    const int64_t end = block < whole ? block : whole;
    Vec acc[kRows][kColumns];
    ONEBYONE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      ONEBYONE_UNROLL
      for (int c = 0; c < kColumns; ++c) acc[r][c] = Vec{};
    }
    for (; p < end; p += S::kLanes) {
      Vec av[kRows];
      ONEBYONE_UNROLL
      for (int r = 0; r < kRows; ++r) av[r] = S::load(a + r * lda + p);
      ONEBYONE_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const Vec bv = S::load(b + c * ldb + p);
        ONEBYONE_UNROLL
        for (int r = 0; r < kRows; ++r) acc[r][c] += av[r] * bv;
      }
    }
    ONEBYONE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      ONEBYONE_UNROLL
      for (int c = 0; c < kColumns; ++c) sums[r][c] += acc[r][c];
    }
  }
  const int rest = static_cast<int>(k % S::kLanes);
  if (rest == 0) return;
  Vec av[kRows], bv[kColumns];
  ONEBYONE_UNROLL
  for (int r = 0; r < kRows; ++r) av[r] = settled(S::load_first(a + r * lda + k - rest, rest));
  ONEBYONE_UNROLL
  for (int c = 0; c < kColumns; ++c) bv[c] = settled(S::load_first(b + c * ldb + k - rest, rest));
  ONEBYONE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ONEBYONE_UNROLL
    for (int c = 0; c < kColumns; ++c) sums[r][c] += av[r] * bv[c];
  }
}

// Rows [i, i + kRows) x columns [j, j + kColumns), with the epilogue but for costlier activations.
template <class S, int kRows, int kColumns>
ONEBYONE_INLINE void dot_block(const DotArgs<typename S::Scalar>& args, int64_t i, int64_t j) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  constexpr int kCount = kColumns < S::kLanes ? kColumns : S::kLanes;
  Vec sums[kRows][kColumns];
  dot_tile<S, kRows, kColumns>(args, args.a + i * args.lda, args.b + j * args.ldb, sums);
  const Epilogue<T>& e = *args.epilogue;
  ONEBYONE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ONEBYONE_UNROLL
    for (int c = 0; c < kColumns; c += kCount) {
      sum_lanes<S, kCount>(&sums[r][c]);
      const int64_t at = (i + r) * args.ldc + j + c;
      Vec sum = sums[r][c];
      if (e.bias_n) sum += load_lanes<S>(e.bias_n + j + c, kCount);
      if (e.residual) sum += load_lanes<S>(e.residual + at, kCount);
      if constexpr (kCount == S::kLanes)
        S::store(args.c + at, sum);
      else
        S::store_first(args.c + at, sum, kCount);
    }
  }
}

// Columns [j, j + kColumns) of all rows. 4 columns share the loads of a row of A; 3 rows those of B: 12
// accumulators + 3 + 1 = 16 registers.
template <class S, int kColumns>
void dot_columns(const DotArgs<typename S::Scalar>& args, int64_t j) {
  int64_t i = 0;
  if constexpr (kColumns == 4) {
    for (; i + 3 <= args.m; i += 3) dot_block<S, 3, 4>(args, i, j);
    if (i + 2 <= args.m) {
      dot_block<S, 2, 4>(args, i, j);
      i += 2;
    }
  }
  for (; i < args.m; ++i) dot_block<S, 1, kColumns>(args, i, j);
}

// A single row reads 8 columns side by side: more streams bring more from memory. 1280 -> 1000 takes 0.18 ms
// instead of 0.23 with 4. With 16, where there are registers and rows are long, 0.15; not where rows lie
// about a multiple of 4 KB apart, in the same sets of L1: 2048 -> 128 takes 20 us from L2 instead of 12, 1021
// -> 509 49 instead of 27. (Zen 4, one thread.)
template <class T, int kBytes>
void dot(const DotArgs<T>& args) {
  using S = Simd<T, kBytes>;
  constexpr int64_t kLongRow = 2048, kSets = 4096;  // bytes
  const int64_t row = args.k * static_cast<int64_t>(sizeof(T));
  const int64_t apart = args.ldb * static_cast<int64_t>(sizeof(T)) % kSets;
  int64_t j = 0;
  if (args.m == 1) {
    if (kBytes == 64 && row >= kLongRow && apart >= kLine && apart <= kSets - kLine)
      for (; j + 16 <= args.n; j += 16) dot_columns<S, 16>(args, j);
    for (; j + 8 <= args.n; j += 8) dot_columns<S, 8>(args, j);
  }
  for (; j + 4 <= args.n; j += 4) dot_columns<S, 4>(args, j);
  for (; j < args.n; ++j) dot_columns<S, 1>(args, j);
  if (args.epilogue->activation.kind != ActivationKind::kNone)
    for (int64_t i = 0; i < args.m; ++i)
      activate<T, kBytes>(args.epilogue->activation, args.c + i * args.ldc, args.c + i * args.ldc, args.n);
}

}  // namespace
}  // namespace onebyone
