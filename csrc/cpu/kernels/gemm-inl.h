// gemm-inl.h - the microkernel: a register tile of C, fed by scalars of A and packed vectors of B.
// Serves 1x1 and KxK convolution in both layouts (conv/implicit_gemm_*.cc). Contract: GemmArgs.
// Knows registers. Does not know cache blocks, threads or convolution.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

template <class S, int kMr, int kNv>
struct GemmTile {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  static constexpr int kNr = kNv * S::kLanes;

  // One tile at row i, column j. `tail` is the width of its last vector, 1..kLanes.
  static void run(const GemmArgs<T>& args, int64_t i, int64_t j, const T* b, int64_t b_step, int tail) {
    Vec acc[kMr][kNv];
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] = Vec{};
    }
    const T* const* rows = args.a_rows + i;
    const int64_t kc = args.kc;
    for (int64_t t = 0; t < args.taps; ++t, rows += args.a_tap_stride) {
      const T* a[kMr];
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) a[r] = rows[r] + args.a_offset;
      for (int64_t p = 0; p < kc; ++p, b += b_step) {
        Vec bv[kNv];
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) bv[v] = S::load(b + v * S::kLanes);
        ONEBYONE_UNROLL
        for (int r = 0; r < kMr; ++r) {
          const Vec av = S::broadcast(a[r][p]);
          ONEBYONE_UNROLL
          for (int v = 0; v < kNv; ++v) acc[r][v] += av * bv[v];
        }
      }
    }

    T* c = args.c + i * args.ldc + j;
    const bool full = tail == S::kLanes;
    if (args.accumulate) add(acc, c, args.ldc, full, tail);
    if (const Epilogue<T>* e = args.epilogue) {
      if (e->bias_n) {
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) {
          const Vec bias = S::load(e->bias_n + j + v * S::kLanes);
          ONEBYONE_UNROLL
          for (int r = 0; r < kMr; ++r) acc[r][v] += bias;
        }
      }
      if (e->bias_m) {
        ONEBYONE_UNROLL
        for (int r = 0; r < kMr; ++r) {
          const Vec bias = S::broadcast(e->bias_m[i + r]);
          ONEBYONE_UNROLL
          for (int v = 0; v < kNv; ++v) acc[r][v] += bias;
        }
      }
      if (e->residual) add(acc, e->residual + i * args.ldc + j, args.ldc, full, tail);
      if (e->activation.kind == ActivationKind::kClip) {
        const T lo = static_cast<T>(e->activation.a), hi = static_cast<T>(e->activation.b);
        ONEBYONE_UNROLL
        for (int r = 0; r < kMr; ++r) {
          ONEBYONE_UNROLL
          for (int v = 0; v < kNv; ++v) acc[r][v] = clip<S>(acc[r][v], lo, hi);
        }
      }
    }
    store(acc, c, args.ldc, full, tail);
  }

 private:
  static ONEBYONE_INLINE void add(Vec (&acc)[kMr][kNv], const T* src, int64_t ld, bool full, int tail) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv - 1; ++v) acc[r][v] += S::load(src + r * ld + v * S::kLanes);
    }
    const T* last = src + (kNv - 1) * S::kLanes;
    if (full) {
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) acc[r][kNv - 1] += S::load(last + r * ld);
    } else {
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) acc[r][kNv - 1] += S::load_first(last + r * ld, tail);
    }
  }

  static ONEBYONE_INLINE void store(const Vec (&acc)[kMr][kNv], T* dst, int64_t ld, bool full, int tail) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv - 1; ++v) S::store(dst + r * ld + v * S::kLanes, acc[r][v]);
    }
    T* last = dst + (kNv - 1) * S::kLanes;
    if (full) {
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) S::store(last + r * ld, acc[r][kNv - 1]);
    } else {
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) S::store_first(last + r * ld, acc[r][kNv - 1], tail);
    }
  }
};

// Every tile of up to kMr x kNv vectors, so that remainders cost what they hold.
template <class S, int kMr, int kNv>
struct GemmTiles {
  using T = typename S::Scalar;
  using Run = void (*)(const GemmArgs<T>&, int64_t, int64_t, const T*, int64_t, int);
  Run run[kMr][kNv];

  constexpr GemmTiles() : run{} { fill_rows<1>(); }

 private:
  template <int kRows>
  constexpr void fill_rows() {
    fill_columns<kRows, 1>();
    if constexpr (kRows < kMr) fill_rows<kRows + 1>();
  }
  template <int kRows, int kVecs>
  constexpr void fill_columns() {
    run[kRows - 1][kVecs - 1] = &GemmTile<S, kRows, kVecs>::run;
    if constexpr (kVecs < kNv) fill_columns<kRows, kVecs + 1>();
  }
};

// Panels outside, row tiles inside: a panel of B (kc <= 384: 24 KB) stays in L1 while A streams past at
// 4 bytes a cycle; the other order streams B at 11 bytes a cycle.
template <class T, int kBytes, int kMr, int kNv>
void gemm(const GemmArgs<T>& args) {
  using S = Simd<T, kBytes>;
  static constexpr GemmTiles<S, kMr, kNv> tiles;
  constexpr int64_t kNr = kNv * S::kLanes;
  // Rows are shared evenly: 49 rows are nine tiles of 5 or 6, not eight of 6 and one of 1.
  const int64_t tile_count = (args.m + kMr - 1) / kMr;
  const int64_t small = tile_count ? args.m / tile_count : 0;
  const int64_t larger = tile_count ? args.m % tile_count : 0;
  for (int64_t j = 0; j < args.n; j += kNr) {
    const int64_t cols = args.n - j < kNr ? args.n - j : kNr;
    const int vecs = static_cast<int>((cols + S::kLanes - 1) / S::kLanes);
    const int tail = static_cast<int>(cols - (vecs - 1) * S::kLanes);
    const T* b = args.b + j / kNr * args.b_panel_stride;
    int64_t i = 0;
    for (int64_t t = 0; t < tile_count; ++t) {
      const int64_t rows = small + (t < larger);
      tiles.run[rows - 1][vecs - 1](args, i, j, b, kNr, tail);
      i += rows;
    }
    // Costlier activations run over the panel's column of C while it is in L1.
    if (args.epilogue && args.epilogue->activation.kind > ActivationKind::kClip) {
      for (int64_t r = 0; r < args.m; ++r) {
        T* row = args.c + r * args.ldc + j;
        activate<T, kBytes>(args.epilogue->activation, row, row, cols);
      }
    }
  }
}

}  // namespace
}  // namespace onebyone
