// tiles.h - the sizes of the kernels' tiles, for the kernels and for the choice among them (plan.cc). Plain
// C++.
#pragma once

#include <stdint.h>

namespace onebyone::cuda {

// Direct: 256 threads as 16 x 16, each with kSide x kSide sums. A thread reads 2 kSide values for kSide^2
// products: 8 x 8 wants a quarter of the FMA pipe's time from shared memory, 4 x 4 half. Tiles of 128 and 64.
// A tile of k gives every thread four elements of x and of the weights to fetch.
template <int kSide>
struct DirectTile {
  static constexpr int kThreads = 256;
  static constexpr int kTile = 16 * kSide;
  static constexpr int kDepth = kThreads * 4 / kTile;
  static constexpr int kRow = kTile + 4;  // + 4: a tile of x stored across k meets no bank twice
  static constexpr int kBytes = 2 * 2 * kDepth * kRow * 4;
};

// Tensor cores: a warp has kRowsM x 4 fragments of 16 x 8 sums. A stage of the pipeline is 64 bytes of k for
// each row of x and of the weights: 16 float32 or 32 halves, two instructions deep. Three or four stages fill
// what a block has of shared memory without asking (48 KB), which also lets two blocks share the 100 KB of
// sm_86, sm_89 and sm_120.
template <int kWarpsM_, int kWarpsN_, int kRowsM_, int kStages_>
struct TensorTile {
  static constexpr int kWarpsM = kWarpsM_, kWarpsN = kWarpsN_, kRowsM = kRowsM_, kColumnsN = 4;
  static constexpr int kStages = kStages_;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kM = kWarpsM * kRowsM * 16, kN = kWarpsN * kColumnsN * 8;
  static constexpr int kRowBytes = 64;
  static constexpr int kStageBytes = (kM + kN) * kRowBytes;
  static constexpr int kBytes = kStages * kStageBytes;
  static_assert(kBytes <= 48 * 1024);
};
using TensorTile128x128 = TensorTile<2, 4, 4, 3>;
using TensorTile128x64 = TensorTile<2, 2, 4, 4>;
using TensorTile64x64 = TensorTile<2, 2, 2, 4>;

// Depthwise, reduction and preparation: one thread an output, kRun outputs a thread.
inline constexpr int kFlatThreads = 256;
inline constexpr int kFlatRun = 4;

}  // namespace onebyone::cuda
