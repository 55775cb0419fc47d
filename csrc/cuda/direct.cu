// direct.cu - convolution of any geometry on the CUDA cores: an implicit GEMM in tiles, float32 products and
// sums. Both layouts, all types. Serves float32 where TF32 is not allowed and is what everything else falls
// back to. Never run on a GPU yet: its logic is checked by emulation (tests/cuda).
//
// Two buffers of shared memory: while one tile of k is multiplied, the next is fetched into registers and
// stored into the other. One barrier a tile: who has passed it knows that this tile is stored and that the
// one before was read.
#include "epilogue.h"
#include "kernels.h"
#include "sync_points.h"
#include "tiles.h"
#include "types.h"
#include "window.h"

namespace onebyone::cuda {
namespace {

struct alignas(16) Four {
  float v[4];
};

// A thread's four elements of x and four of the weights in each tile of k: consecutive threads fetch what
// lies side by side, along k with NHWC and along m with NCHW; weights along k.
template <class T, class Tile, bool kNhwc>
struct Fetch {
  static constexpr int kDepth = Tile::kDepth, kRows = Tile::kThreads / kDepth,
                       kPlanes = Tile::kThreads / Tile::kTile;
  static constexpr int kPixels = kNhwc ? 4 : 1, kTaps = kNhwc ? 1 : 4;

  const Problem& p;
  int32_t k;         // of the first element
  int32_t weight_k;  // of the weights
  Pixel pixels[kPixels];
  Tap taps[kTaps];
  const T* weights;  // the first one's row
  int32_t rows;      // from there to the last
  float x[4], w[4];

  ONEBYONE_DEVICE Fetch(const Problem& problem, const BlockPlace& place, int32_t first_k) : p(problem) {
    const int thread = threadIdx.x;
    weight_k = first_k + thread % kDepth;
    k = kNhwc ? weight_k : first_k + thread / Tile::kTile;
    const int64_t m0 = static_cast<int64_t>(place.m_tile) * Tile::kTile;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int row = kNhwc ? thread / kDepth + i * kRows : thread % Tile::kTile;
      pixels[i] = pixel_of<kNhwc>(p, m0 + row, place.group);
    }
#pragma unroll
    for (int i = 0; i < kTaps; ++i) taps[i] = tap_of<kNhwc>(p, k + i * kPlanes);
    const int32_t n = place.n_tile * Tile::kTile + thread / kDepth;
    weights = static_cast<const T*>(p.weight) + (static_cast<int64_t>(place.group) * p.group_oc + n) * p.ldk;
    rows = p.group_oc - n;
  }

  // Reads the next tile.
  ONEBYONE_DEVICE void load() {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool in_k = k + (kNhwc ? 0 : i * kPlanes) < p.k;
      const int64_t at = in_k ? source<kNhwc>(p, pixels[kNhwc ? i : 0], taps[kNhwc ? 0 : i]) : -1;
      x[i] = at >= 0 ? to_float(static_cast<const T*>(p.x)[at]) : 0.0f;
      const int64_t row = static_cast<int64_t>(i) * kRows * p.ldk;
      w[i] = i * kRows < rows && weight_k < p.k ? to_float(weights[row + weight_k]) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kTaps; ++i) advance<kNhwc>(p, taps[i]);
    k += kDepth;
    weight_k += kDepth;
  }

  // x to a[k][m], weights to b[k][n].
  ONEBYONE_DEVICE void store(float* a, float* b) const {
    const int thread = threadIdx.x;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = thread / kDepth + i * kRows, depth = thread % kDepth;
      b[depth * Tile::kRow + row] = w[i];
      if (kNhwc)
        a[depth * Tile::kRow + row] = x[i];
      else
        a[(thread / Tile::kTile + i * kPlanes) * Tile::kRow + thread % Tile::kTile] = x[i];
    }
  }
};

// A thread's kSide values of a row of shared memory: fours, 64 apart.
template <int kSide>
ONEBYONE_DEVICE void read_row(const float* row, int lane, float (&v)[kSide]) {
#pragma unroll
  for (int q = 0; q < kSide / 4; ++q) {
    const Four four = *reinterpret_cast<const Four*>(row + q * 64 + lane * 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) v[q * 4 + i] = four.v[i];
  }
}

// The sums leave through shared memory, so that consecutive threads write consecutive outputs and each output
// passes the epilogue in one place of the code: 16 rows at a time, sums[0] of each thread, then the next are
// moved up. "Fast" is what lies side by side in y: n with NHWC, m with NCHW; "slow" the other.
template <class T, int kSide, bool kNhwc>
ONEBYONE_DEVICE void write_tile(const Problem& p, const BlockPlace& place, float (&sums)[kSide][kSide]) {
  using Tile = DirectTile<kSide>;
  constexpr int kRowsApart = Tile::kThreads / Tile::kTile;
  float* staged = reinterpret_cast<float*>(shared_memory());
  const int thread = threadIdx.x, fast_lane = thread % 16, slow_lane = thread / 16;
  const int column = thread % Tile::kTile, first_row = thread / Tile::kTile;
  const int64_t m0 = static_cast<int64_t>(place.m_tile) * Tile::kTile;
  const int32_t n0 = place.n_tile * Tile::kTile, channel0 = place.group * p.group_oc;

  int64_t image = 0, pixel = 0;  // NCHW: of this thread's column
  const int64_t plane = static_cast<int64_t>(p.oh) * p.ow;
  if (!kNhwc) {
    image = (m0 + column) / plane;
    pixel = (m0 + column) - image * plane;
  }
#pragma unroll 1
  for (int i = 0; i < kSide; ++i) {
    block_barrier<kDirectRowsWritten>();
#pragma unroll
    for (int j = 0; j < kSide; ++j)
      staged[slow_lane * Tile::kRow + j / 4 * 64 + fast_lane * 4 + j % 4] = sums[0][j];
    block_barrier<kDirectRowsStaged>();
    // Row r of the 16 is i-th of slow lane r.
#pragma unroll 1
    for (int r = first_row; r < 16; r += kRowsApart) {
      const int slow = i / 4 * 64 + r * 4 + i % 4;
      float v[1] = {staged[r * Tile::kRow + column]};
      const int64_t m = m0 + (kNhwc ? slow : column);
      const int32_t n = n0 + (kNhwc ? column : slow), channel = channel0 + n;
      if (m >= p.m || n >= p.group_oc) continue;
      const int64_t at = kNhwc ? m * p.oc + channel : (image * p.oc + channel) * plane + pixel;
      write_outputs<T>(p, place.split, at, 0, channel, 0, 1, v);
    }
#pragma unroll
    for (int s = 0; s + 1 < kSide; ++s)
#pragma unroll
      for (int j = 0; j < kSide; ++j) sums[s][j] = sums[s + 1][j];
  }
}

// 8 x 8 sums and what feeds them want about 150 registers: one block of 8 warps, each with 64 independent
// sums. Two blocks would leave 128, and spills.
template <class T, int kSide, bool kNhwc>
ONEBYONE_KERNEL(256, kSide == 8 ? 1 : 2)
direct(const Problem p) {
  using Tile = DirectTile<kSide>;
  constexpr int kBuffer = Tile::kDepth * Tile::kRow;
  float* const a = reinterpret_cast<float*>(shared_memory());
  float* const b = a + 2 * kBuffer;
  const BlockPlace place = block_place(p);
  const int thread = threadIdx.x;
  const int m_lane = kNhwc ? thread / 16 : thread % 16, n_lane = kNhwc ? thread % 16 : thread / 16;

  float sums[kSide][kSide];  // [slow][fast]
#pragma unroll
  for (int i = 0; i < kSide; ++i)
#pragma unroll
    for (int j = 0; j < kSide; ++j) sums[i][j] = 0;

  const int32_t k_tiles = (p.k + Tile::kDepth - 1) / Tile::kDepth;
  const int32_t first = place.split * p.tiles_per_split;
  const int32_t tiles = min(p.tiles_per_split, k_tiles - first);
  if (tiles > 0) {
    Fetch<T, Tile, kNhwc> fetch(p, place, first * Tile::kDepth);
    fetch.load();
    fetch.store(a, b);
    for (int32_t t = 0; t < tiles; ++t) {
      const int now = t % 2 * kBuffer, then = kBuffer - now;
      if (t + 1 < tiles) fetch.load();
      block_barrier<kDirectTileStored>();
#pragma unroll
      for (int k = 0; k < Tile::kDepth; ++k) {
        float slow[kSide], fast[kSide];
        read_row(a + now + k * Tile::kRow, m_lane, kNhwc ? slow : fast);
        read_row(b + now + k * Tile::kRow, n_lane, kNhwc ? fast : slow);
#pragma unroll
        for (int i = 0; i < kSide; ++i)
#pragma unroll
          for (int j = 0; j < kSide; ++j) sums[i][j] += slow[i] * fast[j];
      }
      if (t + 1 < tiles) fetch.store(a + then, b + then);
    }
  }
  write_tile<T, kSide, kNhwc>(p, place, sums);
}

template <class T, int kSide>
cudaError_t launch_layout(const Problem& p, int64_t blocks, cudaStream_t stream) {
  using Tile = DirectTile<kSide>;
  return launch(p.nhwc ? direct<T, kSide, true> : direct<T, kSide, false>, blocks, Tile::kThreads,
                static_cast<size_t>(Tile::kBytes), stream, p);
}

template <class T>
cudaError_t launch_tile(const Plan& plan, const Problem& p, cudaStream_t stream) {
  return plan.tile_m == DirectTile<8>::kTile ? launch_layout<T, 8>(p, plan.blocks, stream)
                                             : launch_layout<T, 4>(p, plan.blocks, stream);
}

}  // namespace

cudaError_t launch_direct(const Plan& plan, const Problem& p, cudaStream_t stream) {
  switch (plan.type) {
    case DataType::kFloat32: return launch_tile<float>(plan, p, stream);
    case DataType::kFloat16: return launch_tile<Float16>(plan, p, stream);
    default: return launch_tile<BFloat16>(plan, p, stream);
  }
}

}  // namespace onebyone::cuda
