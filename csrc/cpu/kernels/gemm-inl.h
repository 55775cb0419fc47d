// gemm-inl.h - the microkernel: a register tile of C, fed by scalars of A and packed vectors of B.
// Serves 1x1 and KxK convolution in both layouts (conv/implicit_gemm_*.cc). Contract: GemmArgs.
// Knows registers. Does not know cache blocks, threads or convolution.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// Longer sums are summed by blocks: rounding errors grow with the length of a chain (Higham, "The accuracy of
// floating point summation", 1993). 128: no more error than the libraries behind torch; the additions cost 1
// to 2 %.
constexpr int64_t kSumBlock = 128;

// How far ahead B is fetched. The hardware's prefetcher starts anew on every page, and a panel is a page or
// two: filters that come from L3 (Winograd's of 512 -> 512 channels) arrive 1.4 times as fast, those in L2
// as before.
constexpr int kPrefetchRows = 64;

// One copy for all tiles: inlined into each, its loops would be most of the code.
template <class T>
__attribute__((noinline)) void copy_block(const T* src, int64_t src_ld, T* dst, int64_t dst_ld, int64_t rows,
                                          int64_t columns) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < columns; ++j) dst[r * dst_ld + j] = src[r * src_ld + j];
}

// Tiles of kMr rows x kNv vectors; B's panels are kNr wide, kNr >= kNv * kLanes.
template <class S, int kMr, int kNv, int kNr>
struct GemmTile {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  static constexpr int kColumns = kNv * S::kLanes;

  // `tiles` tiles below each other from row i, all at column j, where b's panel begins.
  static __attribute__((noinline)) void run(const GemmArgs<T>& args, int64_t i, int64_t tiles, int64_t j,
                                            const T* b) {
    if (args.taps * args.kc <= kSumBlock) {
      for (; tiles > 0; --tiles, i += kMr) {
        Vec acc[kMr][kNv];
        multiply(args, args.a_rows + i, b, acc);
        finish(args, i, j, acc);
      }
    } else {
      for (; tiles > 0; --tiles, i += kMr) {
        Vec acc[kMr][kNv];
        multiply_by_blocks(args, args.a_rows + i, b, acc);
        finish(args, i, j, acc);
      }
    }
  }

  // The same for a tile that reaches past the last column: by way of a whole tile on the stack.
  static void run_ragged(const GemmArgs<T>& args, int64_t i, int64_t tiles, int64_t j, const T* b) {
    const int64_t columns = args.n - j;
    T c[kMr * kColumns] = {}, residual[kMr * kColumns] = {};
    Epilogue<T> epilogue;
    GemmArgs<T> whole = args;
    whole.c = c;
    whole.ldc = kColumns;
    if (args.epilogue) whole.epilogue = &epilogue;
    for (; tiles > 0; --tiles, i += kMr) {
      T* out = args.c + i * args.ldc + j;
      if (args.accumulate) copy_block<T>(out, args.ldc, c, kColumns, kMr, columns);
      if (args.epilogue) {
        epilogue = *args.epilogue;
        if (epilogue.bias_m) epilogue.bias_m += i;
        if (epilogue.bias_n) epilogue.bias_n += j;
        if (epilogue.residual) {
          copy_block<T>(epilogue.residual + i * args.ldc + j, args.ldc, residual, kColumns, kMr, columns);
          epilogue.residual = residual;
        }
      }
      whole.a_rows = args.a_rows + i;
      run(whole, 0, 1, 0, b);
      copy_block<T>(c, kColumns, out, args.ldc, kMr, columns);
    }
  }

 private:
  // acc = A * B over all taps and k.
  static ONEBYONE_INLINE void multiply(const GemmArgs<T>& args, const T* const* rows, const T* b,
                                       Vec (&acc)[kMr][kNv]) {
    clear(acc);
    for (int64_t t = args.taps; t > 0; --t, rows += args.a_tap_stride)
      b = multiply_tap(args, rows, 0, args.kc, b, acc);
  }

  // The same by blocks of kSumBlock products, whose sums wait in memory.
  static ONEBYONE_INLINE void multiply_by_blocks(const GemmArgs<T>& args, const T* const* rows, const T* b,
                                                 Vec (&acc)[kMr][kNv]) {
    Vec sums[kMr][kNv];
    clear(sums);
    clear(acc);
    int64_t room = kSumBlock;
    for (int64_t t = args.taps; t > 0; --t, rows += args.a_tap_stride) {
      for (int64_t p = 0; p < args.kc;) {
        const int64_t end = args.kc - p < room ? args.kc : p + room;
        b = multiply_tap(args, rows, p, end, b, acc);
        room -= end - p;
        p = end;
        if (room == 0) {
          add(sums, acc);
          clear(acc);
          room = kSumBlock;
        }
      }
    }
    add(acc, sums);
  }

  // acc += one tap's products [p, end); returns where b goes on.
  static ONEBYONE_INLINE const T* multiply_tap(const GemmArgs<T>& args, const T* const* rows, int64_t p,
                                               int64_t end, const T* b, Vec (&acc)[kMr][kNv]) {
    const T* a[kMr];
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) a[r] = rows[r] + args.a_offset;
    for (; p < end; ++p, b += kNr) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNr * static_cast<int>(sizeof(T)); v += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(b + kPrefetchRows * kNr) + v);
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
    return b;
  }

  static ONEBYONE_INLINE void add(Vec (&acc)[kMr][kNv], const Vec (&other)[kMr][kNv]) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] += other[r][v];
    }
  }

  static ONEBYONE_INLINE void clear(Vec (&acc)[kMr][kNv]) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] = Vec{};
    }
  }

  // C at row i, column j (+)= acc, with the epilogue.
  static ONEBYONE_INLINE void finish(const GemmArgs<T>& args, int64_t i, int64_t j, Vec (&acc)[kMr][kNv]) {
    T* c = args.c + i * args.ldc + j;
    if (args.accumulate) add(acc, c, args.ldc);
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
      if (e->residual) add(acc, e->residual + i * args.ldc + j, args.ldc);
      if (e->activation.kind == ActivationKind::kClip) {
        const T lo = static_cast<T>(e->activation.a), hi = static_cast<T>(e->activation.b);
        ONEBYONE_UNROLL
        for (int r = 0; r < kMr; ++r) {
          ONEBYONE_UNROLL
          for (int v = 0; v < kNv; ++v) acc[r][v] = clip<S>(acc[r][v], lo, hi);
        }
      }
    }
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) S::store(c + r * args.ldc + v * S::kLanes, acc[r][v]);
    }
  }

  static ONEBYONE_INLINE void add(Vec (&acc)[kMr][kNv], const T* src, int64_t ld) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] += S::load(src + r * ld + v * S::kLanes);
    }
  }
};

// Every tile of up to kMr x kNv vectors, so that remainders cost what they hold.
template <class S, int kMr, int kNv>
struct GemmTiles {
  using T = typename S::Scalar;
  using Run = void (*)(const GemmArgs<T>&, int64_t, int64_t, int64_t, const T*);
  Run whole[kMr][kNv], ragged[kMr][kNv];

  constexpr GemmTiles() : whole{}, ragged{} { fill_rows<1>(); }

 private:
  template <int kRows>
  constexpr void fill_rows() {
    fill_columns<kRows, 1>();
    if constexpr (kRows < kMr) fill_rows<kRows + 1>();
  }
  template <int kRows, int kVecs>
  constexpr void fill_columns() {
    using Tile = GemmTile<S, kRows, kVecs, kNv * S::kLanes>;
    whole[kRows - 1][kVecs - 1] = &Tile::run;
    ragged[kRows - 1][kVecs - 1] = &Tile::run_ragged;
    if constexpr (kVecs < kNv) fill_columns<kRows, kVecs + 1>();
  }
};

template <class T, int kBytes, int kMr, int kNv>
void gemm(const GemmArgs<T>& args) {
  using S = Simd<T, kBytes>;
  static constexpr GemmTiles<S, kMr, kNv> tiles;
  constexpr int64_t kNr = kNv * S::kLanes;
  if (args.m == 0) return;
  // Rows are shared evenly: 49 rows are nine tiles of 5 or 6, not eight of 6 and one of 1.
  const int64_t tile_count = (args.m + kMr - 1) / kMr;
  const int64_t small = args.m / tile_count, larger_tiles = args.m % tile_count;
  // `count` tiles of `rows` rows from row i, in the panel at column j.
  const auto run = [&](int64_t i, int64_t rows, int64_t count, int64_t j) {
    const int64_t columns = args.n - j < kNr ? args.n - j : kNr;
    const int64_t vecs = (columns + S::kLanes - 1) / S::kLanes;
    const auto& tile = columns % S::kLanes == 0 ? tiles.whole : tiles.ragged;
    tile[rows - 1][vecs - 1](args, i, count, j, args.b + j / kNr * args.b_panel_stride);
    // Costlier activations run over these rows of C while they are in L1.
    if (args.epilogue && args.epilogue->activation.kind > ActivationKind::kClip)
      for (int64_t r = i; r < i + rows * count; ++r) {
        T* row = args.c + r * args.ldc + j;
        activate<T, kBytes>(args.epilogue->activation, row, row, columns);
      }
  };
  if (args.rows_outside) {
    for (int64_t t = 0, i = 0; t < tile_count; ++t) {
      const int64_t rows = small + (t < larger_tiles);
      for (int64_t j = 0; j < args.n; j += kNr) run(i, rows, 1, j);
      i += rows;
    }
  } else {
    for (int64_t j = 0; j < args.n; j += kNr) {
      if (larger_tiles > 0) run(0, small + 1, larger_tiles, j);
      run(larger_tiles * (small + 1), small, tile_count - larger_tiles, j);
    }
  }
}

}  // namespace
}  // namespace onebyone
