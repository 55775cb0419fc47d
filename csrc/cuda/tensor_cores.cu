// tensor_cores.cu - implicit GEMM on the tensor cores, NHWC: float16, bfloat16, and float32 as TF32. A 1x1
// convolution is the case of a single tap. Never run on a GPU yet: its logic is checked by emulation
// (tests/cuda).
//
// Rows of x and of the weights come through a pipeline of asynchronous copies, 64 bytes of k a stage. k runs
// over (r, s, c) without gaps, so no channel is padded: each copy finds its own tap, and padding and edges
// are copies of zeros. A copy is 16 bytes, where the channels of a group are whole 16 bytes, else one element
// (4 bytes for an even number of halves): then it never straddles a tap. Weights are rows of whole 16 bytes
// (plan.cc).
#include "epilogue.h"
#include "kernels.h"
#include "sync_points.h"
#include "tiles.h"
#include "types.h"
#include "window.h"

namespace onebyone::cuda {
namespace {

// Byte `byte` of row `row` of a stage. The four 16-byte chunks of a row are permuted by the row's bits 1 and
// 2: then 8 rows x 16 bytes, which is what a warp reads for a fragment, lie in 32 different banks, and so do
// two whole rows, which is what 8 threads write.
ONEBYONE_DEVICE int swizzle(int row, int byte) {
  return row * 64 + (((byte >> 4) ^ (row >> 1 & 3)) << 4) + (byte & 15);
}

// A thread's copies of each stage.
template <class T, class Tile, int kCopyBytes>
struct Copies {
  static constexpr int kElements = kCopyBytes / static_cast<int>(sizeof(T));
  static constexpr int kColumns = Tile::kRowBytes / kCopyBytes;  // copies in a row of x
  static constexpr int kRows = Tile::kThreads / kColumns, kPasses = Tile::kM / kRows;
  static constexpr int kWeightRows = Tile::kThreads / 4, kWeightPasses = Tile::kN / kWeightRows;
  static constexpr int kDepth = Tile::kRowBytes / static_cast<int>(sizeof(T));

  const Problem& p;
  Pixel pixels[kPasses];
  Tap tap;
  int32_t k, weight_k;
  const T* weight;  // of weight_k = 0 in the first row
  int32_t n;        // of the first row

  ONEBYONE_DEVICE Copies(const Problem& problem, const BlockPlace& place, int32_t first_k) : p(problem) {
    const int thread = threadIdx.x;
    const int64_t m = static_cast<int64_t>(place.m_tile) * Tile::kM + thread / kColumns;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) pixels[i] = pixel_of<true>(p, m + i * kRows, place.group);
    k = first_k + thread % kColumns * kElements;
    tap = tap_of<true>(p, k);
    weight_k = first_k + thread % 4 * (16 / static_cast<int>(sizeof(T)));
    n = place.n_tile * Tile::kN + thread / 4;
    weight = static_cast<const T*>(p.weight) + (static_cast<int64_t>(place.group) * p.group_oc + n) * p.ldk;
  }

  // Starts the copies of the next stage.
  ONEBYONE_DEVICE void start(unsigned char* stage) {
    const int thread = threadIdx.x;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int64_t at = k < p.k ? source<true>(p, pixels[i], tap) : -1;
      copy_async<kCopyBytes>(stage + swizzle(thread / kColumns + i * kRows, thread % kColumns * kCopyBytes),
                             static_cast<const T*>(p.x) + (at >= 0 ? at : 0), at >= 0);
    }
    unsigned char* const rows = stage + Tile::kM * Tile::kRowBytes;
#pragma unroll
    for (int i = 0; i < kWeightPasses; ++i) {
      const bool valid = n + i * kWeightRows < p.group_oc && weight_k < p.ldk;
      const T* const from = weight + static_cast<int64_t>(i) * kWeightRows * p.ldk + weight_k;
      copy_async<16>(rows + swizzle(thread / 4 + i * kWeightRows, thread % 4 * 16),
                     valid ? from : static_cast<const T*>(p.weight), valid);
    }
    advance<true>(p, tap);
    k += kDepth;
    weight_k += kDepth;
  }
};

template <class T>
ONEBYONE_DEVICE uint32_t read_word(const unsigned char* at) {
  const uint32_t word = *reinterpret_cast<const uint32_t*>(at);
  return sizeof(T) == 4 ? round_to_tf32(word) : word;
}

// One stage's products: see hardware.h for which lane has what.
template <class T, class Tile>
ONEBYONE_DEVICE void multiply(const unsigned char* stage, int warp_m, int warp_n,
                              float (&sums)[Tile::kRowsM][Tile::kColumnsN][4]) {
  const int lane = threadIdx.x % 32, group = lane / 4, t = lane % 4;
  const unsigned char* const rows = stage + Tile::kM * Tile::kRowBytes;
#pragma unroll 1  // both steps at once would spill on sm_100 and sm_120
  for (int step = 0; step < 2; ++step) {
    const int byte = step * 32 + t * 4;
    uint32_t b[Tile::kColumnsN][2];
#pragma unroll
    for (int j = 0; j < Tile::kColumnsN; ++j) {
      const int row = (warp_n * Tile::kColumnsN + j) * 8 + group;
      b[j][0] = read_word<T>(rows + swizzle(row, byte));
      b[j][1] = read_word<T>(rows + swizzle(row, byte + 16));
    }
#pragma unroll
    for (int i = 0; i < Tile::kRowsM; ++i) {
      const int row = (warp_m * Tile::kRowsM + i) * 16 + group;
      const uint32_t a[4] = {
          read_word<T>(stage + swizzle(row, byte)), read_word<T>(stage + swizzle(row + 8, byte)),
          read_word<T>(stage + swizzle(row, byte + 16)), read_word<T>(stage + swizzle(row + 8, byte + 16))};
#pragma unroll
      for (int j = 0; j < Tile::kColumnsN; ++j) mma(T{}, sums[i][j], a, b[j]);
    }
  }
}

// 16 rows of a warp's sums at a time pass through its own part of shared memory, so that a lane has one
// column and a warp writes rows of 32 side by side. The fragments above move up instead of being named: the
// epilogue is there once. Rows of 40: then neither the stores of pairs nor the reads meet a bank twice.
template <class T, class Tile>
ONEBYONE_DEVICE void write_tile(const Problem& p, const BlockPlace& place, int warp_m, int warp_n,
                                float (&sums)[Tile::kRowsM][Tile::kColumnsN][4]) {
  struct alignas(8) Pair {
    float v[2];
  };
  constexpr int kRow = 40, kAtOnce = 4;
  static_assert(Tile::kThreads / 32 * 16 * kRow * 4 <= Tile::kBytes);
  const int lane = threadIdx.x % 32, group = lane / 4, t = lane % 4;
  float* const staged = reinterpret_cast<float*>(shared_memory()) + threadIdx.x / 32 * 16 * kRow;
  const int32_t n = place.n_tile * Tile::kN + warp_n * Tile::kColumnsN * 8 + lane;
  const int32_t channel = place.group * p.group_oc + n;
  int64_t m = static_cast<int64_t>(place.m_tile) * Tile::kM + warp_m * Tile::kRowsM * 16;

#pragma unroll 1
  for (int i = 0; i < Tile::kRowsM; ++i, m += 16) {
#pragma unroll
    for (int j = 0; j < Tile::kColumnsN; ++j) {
      float* const at = staged + group * kRow + j * 8 + t * 2;
      *reinterpret_cast<Pair*>(at) = {sums[0][j][0], sums[0][j][1]};
      *reinterpret_cast<Pair*>(at + 8 * kRow) = {sums[0][j][2], sums[0][j][3]};
    }
    warp_barrier<kTensorRowsStaged>();
    const int32_t rows = n < p.group_oc ? static_cast<int32_t>(min(p.m - m, int64_t{16})) : 0;
#pragma unroll 1
    for (int r = 0; r < rows; r += kAtOnce) {
      float v[kAtOnce];
#pragma unroll
      for (int q = 0; q < kAtOnce; ++q) v[q] = staged[(r + q) * kRow + lane];
      write_outputs<T>(p, place.split, (m + r) * p.oc + channel, p.oc, channel, 0, rows - r, v);
    }
    warp_barrier<kTensorRowsWritten>();
#pragma unroll
    for (int s = 0; s + 1 < Tile::kRowsM; ++s)
#pragma unroll
      for (int j = 0; j < Tile::kColumnsN; ++j)
#pragma unroll
        for (int q = 0; q < 4; ++q) sums[s][j][q] = sums[s + 1][j][q];
  }
}

// Two blocks of 256 threads leave 128 registers each, three of 128 threads 168; narrow copies, of which a
// thread has up to 16 a stage, want more.
template <class T, class Tile, int kCopyBytes>
ONEBYONE_KERNEL(Tile::kThreads, Tile::kThreads == 256 || kCopyBytes < 16 ? 2 : 3)
tensor_cores(const Problem p) {
  const BlockPlace place = block_place(p);
  const int warp = threadIdx.x / 32, warp_m = warp % Tile::kWarpsM, warp_n = warp / Tile::kWarpsM;
  float sums[Tile::kRowsM][Tile::kColumnsN][4];
#pragma unroll
  for (int i = 0; i < Tile::kRowsM; ++i)
#pragma unroll
    for (int j = 0; j < Tile::kColumnsN; ++j)
#pragma unroll
      for (int q = 0; q < 4; ++q) sums[i][j][q] = 0;

  constexpr int kDepth = Tile::kRowBytes / static_cast<int>(sizeof(T));
  const int32_t k_tiles = (p.k + kDepth - 1) / kDepth;
  const int32_t first = place.split * p.tiles_per_split;
  const int32_t tiles = min(p.tiles_per_split, k_tiles - first);
  if (tiles > 0) {
    unsigned char* const stages = shared_memory();
    Copies<T, Tile, kCopyBytes> copies(p, place, first * kDepth);
    for (int s = 0; s < Tile::kStages - 1; ++s) {
      if (s < tiles) copies.start(stages + s * Tile::kStageBytes);
      commit_copies();
    }
    // Tile t has landed when all groups but the kStages - 2 after it have. The barrier shows it to all
    // threads, and shows that all are done with tile t - 1, into whose place the copies of tile t + kStages -
    // 1 go.
    int now = 0, next = Tile::kStages - 1;
    for (int32_t t = 0; t < tiles; ++t) {
      wait_copies<kTensorCopiesLanded, Tile::kStages - 2>();
      block_barrier<kTensorStageReady>();
      if (t + Tile::kStages - 1 < tiles) copies.start(stages + next * Tile::kStageBytes);
      commit_copies();
      multiply<T, Tile>(stages + now * Tile::kStageBytes, warp_m, warp_n, sums);
      now = now + 1 == Tile::kStages ? 0 : now + 1;
      next = next + 1 == Tile::kStages ? 0 : next + 1;
    }
    block_barrier<kTensorStagesRead>();
  }
  write_tile<T, Tile>(p, place, warp_m, warp_n, sums);
}

template <class T, class Tile, int kCopyBytes>
cudaError_t launch_tile(const Problem& p, int64_t blocks, cudaStream_t stream) {
  return launch(tensor_cores<T, Tile, kCopyBytes>, blocks, Tile::kThreads, static_cast<size_t>(Tile::kBytes),
                stream, p);
}

// Copies narrower than 16 bytes are for few channels, where other things than the tile set the pace: one
// tile.
template <class T>
cudaError_t launch_type(const Plan& plan, const Problem& p, cudaStream_t stream) {
  if (plan.copy_bytes == 4) return launch_tile<T, TensorTile64x64, 4>(p, plan.blocks, stream);
  if constexpr (sizeof(T) == 2)
    if (plan.copy_bytes == 2) return launch_tile<T, TensorTile64x64, 2>(p, plan.blocks, stream);
  if (plan.tile_m == 64) return launch_tile<T, TensorTile64x64, 16>(p, plan.blocks, stream);
  if (plan.tile_n == 64) return launch_tile<T, TensorTile128x64, 16>(p, plan.blocks, stream);
  return launch_tile<T, TensorTile128x128, 16>(p, plan.blocks, stream);
}

}  // namespace

cudaError_t launch_tensor_cores(const Plan& plan, const Problem& p, cudaStream_t stream) {
  switch (plan.type) {
    case DataType::kFloat32: return launch_type<float>(plan, p, stream);
    case DataType::kFloat16: return launch_type<Float16>(plan, p, stream);
    default: return launch_type<BFloat16>(plan, p, stream);
  }
}

}  // namespace onebyone::cuda
