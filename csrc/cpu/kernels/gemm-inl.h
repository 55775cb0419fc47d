// gemm-inl.h - the microkernel: a register tile of C, fed by scalars of A and packed vectors of B.
// Serves 1x1 and KxK convolution in both layouts (conv/implicit_gemm_*.cc). Contract: GemmArgs.
// Knows registers. Does not know cache blocks, threads or convolution.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

// Before the tile's loops over products: an ISA's file may choose to unroll them.
#ifndef ONEBYONE_UNROLL_PRODUCTS
#define ONEBYONE_UNROLL_PRODUCTS
#endif

namespace onebyone {
namespace {

// Longer sums are summed by blocks: rounding errors grow with the length of a chain (Higham, "The accuracy of
// floating point summation", 1993). 128: no more error than the libraries behind torch; the additions cost 1
// to 2 %.
constexpr int64_t kSumBlock = 128;

// Bytes of a cache line. B that lies in L3 or memory is fetched ahead, as much for every tile of a column,
// for it comes more slowly than one tile needs it: 512 -> 2048 at 7x7 takes 0.604 ms, and 0.677 if the first
// tile of a column fetches for all (AVX-512; AVX2 1.21 and 1.25).
constexpr int kLine = 64;

// __builtin_prefetch's locality: a panel that is a whole one ahead would leave L1 again, and fewer lines can
// be on their way there: Winograd's filters for 512 -> 512 at 7x7 come from memory in 1.03 ms instead of 1.35
// (Zen 4).
constexpr int kToL2 = 2;

// Of C, beside a panel of B in L1.
constexpr int64_t kActivateBytes = 8 * 1024;

// GemmTile::finish for a tile at row i, column j of whose last vector `tail` columns lie in C. acc: its rows
// of `vecs` vectors. One copy for all tiles: inlined into each, it would be most of the code.
template <class S>
__attribute__((noinline)) void finish_ragged(const GemmArgs<typename S::Scalar>& args, int64_t i, int64_t j,
                                             int rows, int vecs, int tail, const typename S::Scalar* acc) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const Epilogue<T>* const e = args.epilogue;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t v = 0; v < vecs; ++v, acc += S::kLanes) {
      const bool whole = v + 1 < vecs || tail == S::kLanes;
      const auto load = [&](const T* p) { return whole ? S::load(p) : S::load_first(p, tail); };
      const int64_t column = j + v * S::kLanes, at = (i + r) * args.ldc + column;
      Vec sum = S::load(acc);
      if (args.addend) sum += load(args.addend + (i + r) * args.ld_addend + column);
      if (e) {
        if (e->residual) sum += load(e->residual + at);
        if (e->activation.kind == ActivationKind::kClip)
          sum = clip<S>(sum, static_cast<T>(e->activation.a), static_cast<T>(e->activation.b));
      }
      if (whole)
        S::store(args.c + at, sum);
      else
        S::store_first(args.c + at, sum, tail);
    }
  }
}

// Tiles of kMr rows x kNv vectors; B's panels are kPanel vectors wide, and a tile may reach into the next
// one.
template <class S, int kMr, int kNv, int kPanel>
struct GemmTile {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  static constexpr int kColumns = kNv * S::kLanes, kNr = kPanel * S::kLanes;
  static constexpr int kRowLines = (kNr * static_cast<int>(sizeof(T)) + kLine - 1) / kLine;  // of a panel

  // `tiles` tiles below each other from row i, all at column j, where b's panel begins. Of the last vector
  // `tail` columns lie in C: kLanes, or fewer in the last panel. Meanwhile what lies at `ahead` is fetched,
  // if not null, as many panels of the same size, by `step` bytes of each line of a row with every product.
  static void run(const GemmArgs<T>& args, int64_t i, int64_t tiles, int64_t j, int tail, const T* b,
                  const char* ahead, int64_t step) {
    return args.taps * args.kc <= kSumBlock ? run_short(args, i, tiles, j, tail, b, ahead, step)
                                            : run_long(args, i, tiles, j, tail, b, ahead, step);
  }

  // C at row i, column j = acc + addend, with the epilogue.
  static ONEBYONE_INLINE void finish(const GemmArgs<T>& args, int64_t i, int64_t j, int tail,
                                     Vec (&acc)[kMr][kNv]) {
    if (tail < S::kLanes) {
      T columns[kMr * kColumns];
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) {
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) S::store(columns + r * kColumns + v * S::kLanes, acc[r][v]);
      }
      return finish_ragged<S>(args, i, j, kMr, kNv, tail, columns);
    }
    T* c = args.c + i * args.ldc + j;
    if (args.addend) add(acc, args.addend + i * args.ld_addend + j, args.ld_addend);
    if (const Epilogue<T>* e = args.epilogue) {
      if (e->residual) add(acc, e->residual + i * args.ldc + j, args.ldc);
      if (e->activation.kind == ActivationKind::kClip) {
        const Vec lo = S::broadcast(static_cast<T>(e->activation.a));
        const T most = static_cast<T>(e->activation.b);
        if (!(most < static_cast<T>(__builtin_inf())))  // ReLU
          return store(c, args.ldc, acc, [&](Vec v) { return S::at_least(v, lo); });
        const Vec hi = S::broadcast(most);
        return store(c, args.ldc, acc, [&](Vec v) { return S::at_most(S::at_least(v, lo), hi); });
      }
    }
    store(c, args.ldc, acc, [](Vec v) { return v; });
  }

 private:
  // Two functions: GCC allots registers to each loop alone, which is 3 to 10 % on AVX-512.
  static __attribute__((noinline)) void run_short(const GemmArgs<T>& args, int64_t i, int64_t tiles,
                                                  int64_t j, int tail, const T* b, const char* ahead,
                                                  int64_t step) {
    for (; tiles > 0; --tiles, i += kMr) {
      Vec acc[kMr][kNv];
      prefetch(args, i, j);
      begin(args, i, j, acc);
      multiply(args, args.a_rows + i, b, ahead, step, acc);
      finish(args, i, j, tail, acc);
    }
  }
  static __attribute__((noinline)) void run_long(const GemmArgs<T>& args, int64_t i, int64_t tiles, int64_t j,
                                                 int tail, const T* b, const char* ahead, int64_t step) {
    for (; tiles > 0; --tiles, i += kMr) {
      Vec acc[kMr][kNv];
      prefetch(args, i, j);
      begin(args, i, j, acc);
      multiply_by_blocks(args, args.a_rows + i, b, ahead, step, acc);
      finish(args, i, j, tail, acc);
    }
  }

  // Lines that are not in L1 arrive while the sum is made: of C, but not on AVX-512, where layers gain and
  // lose alike; there of the residual (ResNet-50 takes 1 % less).
  static ONEBYONE_INLINE void prefetch(const GemmArgs<T>& args, int64_t i, int64_t j) {
    if constexpr (sizeof(Vec) < kLine) {
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) __builtin_prefetch(args.c + (i + r) * args.ldc + j, 1);
    } else if (args.epilogue && args.epilogue->residual) {
      const T* residual = args.epilogue->residual + i * args.ldc + j;
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r, residual = opaque(residual + args.ldc)) {
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) __builtin_prefetch(residual + v * S::kLanes);
      }
    }
  }

  // The sums begin with the bias, which costs nothing there: added at the end, before the next tile's
  // products can be under way, it takes 5 % of a sum of 16, 2 % of one of 27 (Zen 4).
  static ONEBYONE_INLINE void begin(const GemmArgs<T>& args, int64_t i, int64_t j, Vec (&acc)[kMr][kNv]) {
    clear(acc);
    const Epilogue<T>* const e = args.epilogue;
    if (e && e->bias_n) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) {
        const Vec bias = S::load(e->bias_n + j + v * S::kLanes);
        ONEBYONE_UNROLL
        for (int r = 0; r < kMr; ++r) acc[r][v] = bias;
      }
    }
    if (e && e->bias_m) {
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) {
        const Vec bias = S::broadcast(e->bias_m[i + r]);
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) acc[r][v] += bias;
      }
    }
  }

  // acc += A * B over all taps and k.
  static ONEBYONE_INLINE void multiply(const GemmArgs<T>& args, const T* const* rows, const T* b,
                                       const char*& ahead, int64_t step, Vec (&acc)[kMr][kNv]) {
    for (int64_t t = args.taps; t > 0; --t, rows += args.a_tap_stride)
      b = multiply_tap(args, rows, 0, args.kc, b, ahead, step, acc);
  }

  // The same by blocks of kSumBlock products, whose sums wait in memory.
  static ONEBYONE_INLINE void multiply_by_blocks(const GemmArgs<T>& args, const T* const* rows, const T* b,
                                                 const char*& ahead, int64_t step, Vec (&acc)[kMr][kNv]) {
    Vec sums[kMr][kNv];
    int64_t left = args.taps * args.kc, room = kSumBlock;
    bool more = false;  // sums hold the blocks before
    for (int64_t t = args.taps; t > 0; --t, rows += args.a_tap_stride) {
      for (int64_t p = 0; p < args.kc;) {
        const int64_t end = args.kc - p < room ? args.kc : p + room;
        b = multiply_tap(args, rows, p, end, b, ahead, step, acc);
        room -= end - p;
        left -= end - p;
        p = end;
        if (room == 0 && left > 0) {
          if (more) add(acc, sums);
          ONEBYONE_UNROLL
          for (int r = 0; r < kMr; ++r) {
            ONEBYONE_UNROLL
            for (int v = 0; v < kNv; ++v) sums[r][v] = acc[r][v];
          }
          clear(acc);
          more = true;
          room = kSumBlock;
        }
      }
    }
    if (more) add(acc, sums);
  }

  // acc += one tap's products [p, end); returns where b goes on.
  static ONEBYONE_INLINE const T* multiply_tap(const GemmArgs<T>& args, const T* const* rows, int64_t p,
                                               int64_t end, const T* b, const char*& ahead, int64_t step,
                                               Vec (&acc)[kMr][kNv]) {
    const T* a[kMr];
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) a[r] = rows[r] + args.a_offset;
    if (ahead) {
      const int64_t part = args.taps * args.kc * kLine;
      ONEBYONE_UNROLL_PRODUCTS
      for (; p < end; ++p, b += kNr, ahead += step) {
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; v += kPanel) {
          const char* panel = ahead + v / kPanel * args.b_panel_stride * static_cast<int64_t>(sizeof(T));
          ONEBYONE_UNROLL
          for (int line = 0; line < kRowLines; ++line) __builtin_prefetch(panel + line * part, 0, kToL2);
        }
        multiply_step(args, a, p, b, acc);
      }
    } else {
      ONEBYONE_UNROLL_PRODUCTS
      for (; p < end; ++p, b += kNr) multiply_step(args, a, p, b, acc);
    }
    return b;
  }

  static ONEBYONE_INLINE void multiply_step(const GemmArgs<T>& args, const T* const (&a)[kMr], int64_t p,
                                            const T* b, Vec (&acc)[kMr][kNv]) {
    Vec bv[kNv];
    ONEBYONE_UNROLL
    for (int v = 0; v < kNv; ++v)
      bv[v] = S::load(b + v / kPanel * args.b_panel_stride + v % kPanel * S::kLanes);
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      const Vec av = S::broadcast(a[r][p]);
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] += av * bv[v];
    }
  }

  static ONEBYONE_INLINE void add(Vec (&acc)[kMr][kNv], const Vec (&other)[kMr][kNv]) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] += other[r][v];
    }
  }

  // A row at a time, by one pointer: GCC would work out that of every row before it looks whether there is a
  // residual, keep them on the stack and let the next tile wait: 5 % of a sum of 16.
  template <class Finish>
  static ONEBYONE_INLINE void store(T* c, int64_t ldc, const Vec (&acc)[kMr][kNv], const Finish& finish) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r, c = opaque(c + ldc)) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) S::store(c + v * S::kLanes, finish(acc[r][v]));
    }
  }

  static ONEBYONE_INLINE void clear(Vec (&acc)[kMr][kNv]) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] = Vec{};
    }
  }

  static ONEBYONE_INLINE void add(Vec (&acc)[kMr][kNv], const T* src, int64_t ld) {
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r, src = opaque(src + ld)) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] += S::load(src + v * S::kLanes);
    }
  }
};

// Tiles of kMr rows for up to kNv vectors, a panel of B, and of as many sums for up to kWide: with fewer rows
// and more vectors there are fewer loads for the same products, and a single vector that is left over joins
// the panel before it.
template <class S, int kMr, int kNv, int kWide>
struct GemmTiles {
  using T = typename S::Scalar;
  using Run = void (*)(const GemmArgs<T>&, int64_t, int64_t, int64_t, int, const T*, const char*, int64_t);
  Run run[kMr][kWide];
  // Of half a vector, for columns that are left over. Zen 4 makes an operation on 64 bytes in two halves:
  // half of them take half the time (24 columns 0.146 ms instead of 0.185 for 96 channels at 56x56).
  static constexpr bool kHalves = sizeof(typename S::Vec) == 64;
  Run half[kMr];

  static constexpr int most_rows(int vecs) { return vecs <= kNv ? kMr : kMr * kNv / vecs; }
  // Rows shared evenly are never fewer, unless there are no more.
  static constexpr int least_rows(int vecs) { return vecs <= kNv ? 1 : most_rows(vecs) / 2; }

  // The vectors of the next tile of `rows` rows where `left` vectors are left.
  static constexpr int vectors(int64_t left, int64_t rows) {
    int vecs = left < kWide ? static_cast<int>(left) : kWide;
    // Wide tiles end with a panel or with the row.
    if (vecs > kNv && vecs < left && (vecs % kNv != 0 || left - vecs == 1))
      vecs -= vecs % kNv ? vecs % kNv : kNv;
    return vecs > kNv && rows < least_rows(vecs) ? kNv : vecs;
  }

  constexpr GemmTiles() : run{}, half{} {
    fill_columns<1>();
    if constexpr (kHalves) fill_halves<1>();
  }

 private:
  template <int kVecs>
  constexpr void fill_columns() {
    fill_rows<least_rows(kVecs), kVecs>();
    if constexpr (kVecs < kWide) fill_columns<kVecs + 1>();
  }
  template <int kRows, int kVecs>
  constexpr void fill_rows() {
    run[kRows - 1][kVecs - 1] = &GemmTile<S, kRows, kVecs, kNv>::run;
    if constexpr (kRows < most_rows(kVecs)) fill_rows<kRows + 1, kVecs>();
  }
  template <int kRows>
  constexpr void fill_halves() {
    half[kRows - 1] = &GemmTile<Simd<T, sizeof(typename S::Vec) / 2>, kRows, 1, 2 * kNv>::run;
    if constexpr (kRows < kMr) fill_halves<kRows + 1>();
  }
};

template <class T, int kBytes, int kMr, int kNv, int kWide>
void gemm(const GemmArgs<T>& args) {
  using S = Simd<T, kBytes>;
  static constexpr GemmTiles<S, kMr, kNv, kWide> tiles;
  constexpr int64_t kNr = kNv * S::kLanes;
  const int64_t depth = args.taps * args.kc;
  // The columns from here on are half a vector.
  const int64_t rest = args.n % S::kLanes;
  const int64_t half = tiles.kHalves && rest > 0 && rest <= S::kLanes / 2 ? args.n - rest : args.n;
  // `count` tiles of `rows` rows x `vecs` vectors from row i, at column j.
  const auto run = [&](int64_t i, int64_t rows, int64_t count, int64_t j, int vecs, const char* ahead,
                       int64_t step) {
    if (count == 0) return;
    const auto tile = j == half ? tiles.half[rows - 1] : tiles.run[rows - 1][vecs - 1];
    const int64_t columns = args.n - j < vecs * S::kLanes ? args.n - j : vecs * S::kLanes;
    const int tail = static_cast<int>(columns - (vecs - 1) * S::kLanes);
    const T* const b = args.b + j / kNr * args.b_panel_stride + j % kNr;
    const bool costly = args.epilogue && args.epilogue->activation.kind > ActivationKind::kClip;
    if (!costly) return tile(args, i, count, j, tail, b, ahead, step);
    // Costlier activations run over the rows of C that are in L1.
    const int64_t most = 1 + kActivateBytes / (rows * columns * static_cast<int64_t>(sizeof(T)));
    for (int64_t made; count > 0; count -= made, i += made * rows) {
      made = count < most ? count : most;
      tile(args, i, made, j, tail, b, ahead, step);
      activate_in_place<T, kBytes>(args.epilogue->activation, args.c + i * args.ldc + j, made * rows, columns,
                                   args.ldc);
      if (ahead) ahead += made * depth * step;
    }
  };
  // Rows [i, i + m). They are shared evenly: 49 rows are nine tiles of 5 or 6, not eight of 6 and one of 1.
  const auto run_rows = [&](int64_t i, int64_t m) {
    for (int64_t j = 0, vecs; j < args.n; j += vecs * S::kLanes) {
      vecs = j == half ? 1 : tiles.vectors((half - j + S::kLanes - 1) / S::kLanes, m);
      const int64_t most = tiles.most_rows(static_cast<int>(vecs)), count = (m + most - 1) / most;
      const int64_t small = m / count, larger = m % count;
      const char* ahead = nullptr;
      int64_t step = 0;
      if (args.next_b) {
        const int64_t next = j + vecs * S::kLanes;
        ahead = reinterpret_cast<const char*>(next < args.n ? args.b + next / kNr * args.b_panel_stride
                                                            : args.next_b);
        step = (kLine + count - 1) / count;
      }
      run(i, small + 1, larger, j, static_cast<int>(vecs), ahead, step);
      if (ahead) ahead += larger * depth * step;
      run(i + larger * (small + 1), small, count - larger, j, static_cast<int>(vecs), ahead, step);
    }
  };
  if (!args.rows_outside) {
    if (args.m > 0) run_rows(0, args.m);
    return;
  }
  const int64_t strips = (args.m + kMr - 1) / kMr;
  for (int64_t s = 0, i = 0; s < strips; ++s) {
    const int64_t rows = args.m / strips + (s < args.m % strips);
    run_rows(i, rows);
    i += rows;
  }
}

}  // namespace
}  // namespace onebyone
