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

// The sum of all lanes, by halves.
template <class S, int kPart = S::kLanes / 2>
ONEBYONE_INLINE typename S::Scalar sum_lanes(typename S::Vec v) {
  if constexpr (kPart == 0) {
    return v[0];
  } else {
    return sum_lanes<S, kPart / 2>(v + shuffle<S>(v, v, [](int l) { return l ^ kPart; }));
  }
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
  for (int r = 0; r < kRows; ++r) {
    const Vec av = S::load_first(a + r * lda + k - rest, rest);
    for (int c = 0; c < kColumns; ++c) sums[r][c] += av * S::load_first(b + c * ldb + k - rest, rest);
  }
}

// Rows [i, i + kRows) x columns [j, j + kColumns), with the epilogue but for costlier activations.
template <class S, int kRows, int kColumns>
void dot_block(const DotArgs<typename S::Scalar>& args, int64_t i, int64_t j) {
  using T = typename S::Scalar;
  typename S::Vec sums[kRows][kColumns];
  dot_tile<S, kRows, kColumns>(args, args.a + i * args.lda, args.b + j * args.ldb, sums);
  const Epilogue<T>& e = *args.epilogue;
  ONEBYONE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ONEBYONE_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int64_t at = (i + r) * args.ldc + j + c;
      T sum = sum_lanes<S>(sums[r][c]);
      if (e.bias_n) sum += e.bias_n[j + c];
      if (e.residual) sum += e.residual[at];
      args.c[at] = sum;
    }
  }
}

// 4 columns share the loads of a row of A; 3 rows those of B: 12 accumulators + 3 + 1 = 16 registers. A
// single row has 4 sums on their way, as many as loads from beyond L1 can feed.
template <class T, int kBytes>
void dot(const DotArgs<T>& args) {
  using S = Simd<T, kBytes>;
  for (int64_t j = 0; j < args.n; j += 4) {
    const bool whole = j + 4 <= args.n;
    int64_t i = 0;
    for (; whole && i + 3 <= args.m; i += 3) dot_block<S, 3, 4>(args, i, j);
    for (; i < args.m; ++i) {
      if (whole) {
        dot_block<S, 1, 4>(args, i, j);
      } else {
        for (int64_t c = j; c < args.n; ++c) dot_block<S, 1, 1>(args, i, c);
      }
    }
  }
  if (args.epilogue->activation.kind != ActivationKind::kNone)
    for (int64_t i = 0; i < args.m; ++i)
      activate<T, kBytes>(args.epilogue->activation, args.c + i * args.ldc, args.c + i * args.ldc, args.n);
}

}  // namespace
}  // namespace onebyone
