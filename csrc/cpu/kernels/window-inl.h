// window-inl.h - a register tile whose rows of B are found by a list of offsets: convolution of images with
// few channels (conv/few_channels.cc). Contract: WindowArgs. Knows registers. Does not know images.
#pragma once

#include "gemm-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// Eight rows' pointers beside the list, B, C and the counter: what general registers hold.
constexpr int kMostWindowRows = 8;

// Tiles of kMr rows x kNv vectors.
template <class S, int kMr, int kNv>
struct WindowTile {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;

  // The tile at column j, of which `rows` rows lie in C, and of the last vector `tail` columns.
  static void run(const WindowArgs<T>& args, int rows, int64_t j, int tail) {
    Vec acc[kMr][kNv];
    if (args.k <= kSumBlock)
      multiply(args, rows, j, 0, args.k, acc);
    else
      multiply_by_blocks(args, rows, j, acc);
    GemmArgs<T> out{};
    out.c = args.c;
    out.ldc = args.ldc;
    out.epilogue = args.epilogue;
    if (rows == kMr) return GemmTile<S, kMr, kNv, kNv>::finish(out, 0, j, tail, acc);
    T sums[kMr * kNv * S::kLanes];
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) S::store(sums + (r * kNv + v) * S::kLanes, acc[r][v]);
    }
    finish_ragged<S>(out, 0, j, rows, kNv, tail, sums);
  }

 private:
  // acc = the products [begin, end), the first of them upon the bias (GemmTile::begin). Rows past the last
  // read what that reads.
  static ONEBYONE_INLINE void multiply(const WindowArgs<T>& args, int rows, int64_t j, int64_t begin,
                                       int64_t end, Vec (&acc)[kMr][kNv]) {
    const T* const bias = begin == 0 ? args.epilogue->bias_m : nullptr;
    const T* a[kMr];
    ONEBYONE_UNROLL
    for (int r = 0; r < kMr; ++r) {
      const int row = r < rows ? r : rows - 1;
      a[r] = args.a + row * args.a_row;
      const Vec first = bias ? S::broadcast(bias[row]) : Vec{};
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) acc[r][v] = first;
    }
    const T* const b = args.b + j;
    const int64_t* const offsets = args.offsets;
    for (int64_t p = begin; p < end; ++p) {
      const T* const row = b + offsets[p];
      Vec bv[kNv];
      ONEBYONE_UNROLL
      for (int v = 0; v < kNv; ++v) bv[v] = S::load(row + v * S::kLanes);
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) {
        const Vec av = S::broadcast(a[r][p]);
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) acc[r][v] += av * bv[v];
      }
    }
  }

  // The same by blocks of equal size, whose sums wait in memory.
  static __attribute__((noinline)) void multiply_by_blocks(const WindowArgs<T>& args, int rows, int64_t j,
                                                           Vec (&acc)[kMr][kNv]) {
    const int64_t blocks = (args.k + kSumBlock - 1) / kSumBlock;
    for (int64_t block = 0; block < blocks; ++block) {
      Vec sums[kMr][kNv];
      multiply(args, rows, j, args.k * block / blocks, args.k * (block + 1) / blocks, sums);
      ONEBYONE_UNROLL
      for (int r = 0; r < kMr; ++r) {
        ONEBYONE_UNROLL
        for (int v = 0; v < kNv; ++v) acc[r][v] = block ? acc[r][v] + sums[r][v] : sums[r][v];
      }
    }
  }
};

// The columns from j that a tile of kNv vectors holds, or one of half as many where those hold the rest.
// Returns the column after them.
template <class S, int kMr, int kNv>
int64_t window_columns(const WindowArgs<typename S::Scalar>& args, int64_t j) {
  const int64_t whole = (kNv - 1) * S::kLanes, left = args.n - j - whole;
  if constexpr (kNv > 1)
    if (left <= 0) return window_columns<S, kMr, kNv / 2>(args, j);
  const int tail = left < S::kLanes ? static_cast<int>(left) : S::kLanes;
  WindowTile<S, kMr, kNv>::run(args, static_cast<int>(args.m), j, tail);
  return j + whole + tail;
}

template <class T, int kBytes, int kMr, int kNv>
void window(const WindowArgs<T>& args) {
  for (int64_t j = 0; j < args.n;) j = window_columns<Simd<T, kBytes>, kMr, kNv>(args, j);
  if (args.epilogue->activation.kind <= ActivationKind::kClip) return;
  for (int64_t i = 0; i < args.m; ++i) {
    T* const row = args.c + i * args.ldc;
    activate<T, kBytes>(args.epilogue->activation, row, row, args.n);
  }
}

}  // namespace
}  // namespace onebyone
