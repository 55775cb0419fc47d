// plan.cc - the choice of kernel, tile and splits, by a model of costs. Called by abi.cc.
#include "plan.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <stdexcept>

#include "tiles.h"

namespace onebyone::cuda {
namespace {

// The grid's limit in x, the only dimension used.
constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();
// Up to here a thread that reads all of a group's channels itself beats a tile that is mostly empty.
constexpr int32_t kNarrowGroup = 8;
constexpr int kMostSplits = 16;
constexpr int64_t kLeastTilesPerSplit = 4;  // fewer would not fill the pipeline

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
int size_of(DataType type) { return type == DataType::kFloat32 ? 4 : 2; }

// A tile with the multiplications a multiprocessor gets through in a clock while it computes such tiles. The
// numbers come from data sheets and from counting loads, not from measurements: no GPU was at hand.
struct Candidate {
  int m, n, k;
  double macs;
};

// CUDA cores: 64 FMA a clock (sm_75, sm_80; others have 128, which the comparison does not need to know),
// less what reading shared memory takes: see DirectTile.
constexpr std::array<Candidate, 2> kDirect = {
    {{DirectTile<8>::kTile, DirectTile<8>::kTile, DirectTile<8>::kDepth, 56},
     {DirectTile<4>::kTile, DirectTile<4>::kTile, DirectTile<4>::kDepth, 40}}};

// Tensor cores: 1024 products of halves a clock (sm_80), half as many of TF32, and about 60 % of that through
// mma.sync. Smaller tiles fetch more for each product: 128x64 1.5 times as much from L2 as 128x128, 64x64
// twice, and 4/3 as much from shared memory, its warps having 32x32 instead of 64x32 sums.
std::array<Candidate, 3> tensor_tiles(DataType type) {
  const double macs = type == DataType::kFloat32 ? 300 : 600;
  const int k = TensorTile128x128::kRowBytes / size_of(type);
  return {{{TensorTile128x128::kM, TensorTile128x128::kN, k, macs},
           {TensorTile128x64::kM, TensorTile128x64::kN, k, 0.9 * macs},
           {TensorTile64x64::kM, TensorTile64x64::kN, k, 0.7 * macs}}};
}

// Clocks. A block is counted as if it had a multiprocessor for itself: two that share one take twice as long
// each.
double cost(const Candidate& tile, const Problem& p, int splits, const Device& device) {
  constexpr double kBlock = 2000;        // starting, filling the pipeline, writing
  constexpr double kPass = 4000;         // another kernel, started behind the first
  constexpr double kBytesPerClock = 16;  // of a multiprocessor, to and from L2
  const int64_t blocks = divide_up(p.m, tile.m) * divide_up(p.group_oc, tile.n) * p.groups * splits;
  const double waves = static_cast<double>(divide_up(blocks, device.multiprocessors));
  const double steps = static_cast<double>(divide_up(divide_up(p.k, tile.k), splits));
  double clocks = waves * (steps * tile.m * tile.n * tile.k / tile.macs + kBlock);
  if (splits > 1)
    clocks +=
        kPass + 8.0 * splits * static_cast<double>(p.y_size) / (kBytesPerClock * device.multiprocessors);
  return clocks;
}

// Sets tile, splits and blocks to what costs least.
void choose(Plan& plan, const Problem& p, std::span<const Candidate> tiles, int most_splits,
            const Device& device) {
  double best = std::numeric_limits<double>::infinity();
  for (const Candidate& tile : tiles) {
    const int64_t k_tiles = divide_up(p.k, tile.k);
    const int64_t most = std::clamp<int64_t>(k_tiles / kLeastTilesPerSplit, 1, most_splits);
    for (int splits = 1; splits <= most; ++splits) {
      const int64_t blocks = divide_up(p.m, tile.m) * divide_up(p.group_oc, tile.n) * p.groups * splits;
      const double clocks = cost(tile, p, splits, device);
      // Every split must have a tile: 9 in 4 splits of 3 would leave the last without.
      const bool all_busy = (splits - 1) * divide_up(k_tiles, splits) < std::max<int64_t>(k_tiles, 1);
      if (blocks > kMostBlocks || !all_busy || clocks >= best) continue;
      best = clocks;
      plan.tile_m = tile.m;
      plan.tile_n = tile.n;
      plan.tile_k = tile.k;
      plan.splits = splits;
      plan.blocks = blocks;
    }
  }
  if (best == std::numeric_limits<double>::infinity())
    throw std::invalid_argument("conv2d on CUDA: y has too many tiles for one grid; split the batch");
}

// Empty if the tensor cores serve the problem, else why not.
std::string no_tensor_cores(const onebyone_cuda_conv2d_desc& desc, const Device& device) {
  if (desc.layout != OB_CUDA_NHWC) return "tensor cores need the layout NHWC";
  if (desc.dtype == OB_CUDA_FLOAT32 && !desc.allow_tf32)
    return "tensor cores multiply float32 as TF32, which allow_tf32 forbids";
  const int least = desc.dtype == OB_CUDA_FLOAT16 ? 75 : 80;
  if (device.capability < least)
    return "tensor cores of compute capability " + std::to_string(device.capability / 10) + "." +
           std::to_string(device.capability % 10) + " do not have this dtype";
  return {};
}

Kernel choose_kernel(const onebyone_cuda_conv2d_desc& desc, const Problem& p, const Device& device) {
  const std::string no_tensor = no_tensor_cores(desc, device);
  switch (desc.algorithm) {
    case OB_CUDA_DIRECT: return Kernel::kDirect;
    case OB_CUDA_TENSOR_CORES:
      if (!no_tensor.empty()) throw std::invalid_argument("conv2d on CUDA: " + no_tensor);
      return Kernel::kTensorCores;
    case OB_CUDA_DEPTHWISE:
      if (p.group_ic > kNarrowGroup)
        throw std::invalid_argument("conv2d on CUDA: depthwise serves groups of at most " +
                                    std::to_string(kNarrowGroup) + " input channels, these have " +
                                    std::to_string(p.group_ic));
      return Kernel::kDepthwise;
    default:
      if (p.groups > 1 && p.group_ic <= kNarrowGroup && p.group_oc <= kNarrowGroup) return Kernel::kDepthwise;
      return no_tensor.empty() ? Kernel::kTensorCores : Kernel::kDirect;
  }
}

}  // namespace

Plan make_plan(const onebyone_cuda_conv2d_desc& desc, const Problem& p, const Device& device) {
  Plan plan = {};
  plan.type = static_cast<DataType>(desc.dtype);
  plan.kernel = choose_kernel(desc, p, device);
  plan.splits = 1;
  plan.ldk = p.k;
  const int size = size_of(plan.type), per_copy = 16 / size;
  switch (plan.kernel) {
    case Kernel::kDepthwise: plan.blocks = divide_up(p.y_size, kFlatThreads * kFlatRun); return plan;
    case Kernel::kDirect:
      plan.reorder = p.nhwc && p.kh * p.kw > 1;
      choose(plan, p, kDirect, kMostSplits, device);
      break;
    case Kernel::kTensorCores: {
      plan.copy_bytes = p.group_ic % per_copy == 0 ? 16 : size == 4 || p.group_ic % 2 == 0 ? 4 : 2;
      plan.reorder = p.kh * p.kw > 1 || p.k % per_copy != 0;
      const auto tiles = tensor_tiles(plan.type);
      // Narrow copies have the smallest tile alone.
      choose(plan, p, std::span(tiles).subspan(plan.copy_bytes == 16 ? 0 : tiles.size() - 1), kMostSplits,
             device);
      break;
    }
  }
  if (plan.reorder) {
    plan.ldk = static_cast<int32_t>(round_up(p.k, per_copy));
    plan.weight_bytes = static_cast<size_t>(round_up(static_cast<int64_t>(p.oc) * plan.ldk * size, 256));
  }
  if (plan.splits > 1) plan.partial_bytes = static_cast<size_t>(plan.splits * p.y_size * 4);
  return plan;
}

Plan make_unaligned_plan(const Plan& plan, const Problem& p) {
  Plan other = plan;
  other.kernel = Kernel::kDirect;
  other.partial_bytes = 0;
  choose(other, p, kDirect, 1, {1, 0});
  return other;
}

Problem complete(const Plan& plan, const Problem& problem) {
  Problem p = problem;
  p.ldk = plan.ldk;
  p.splits = plan.splits;
  if (plan.kernel == Kernel::kDepthwise) return p;
  p.n_tiles = static_cast<int32_t>(divide_up(p.group_oc, plan.tile_n));
  p.m_tiles = static_cast<int32_t>(divide_up(p.m, plan.tile_m));
  p.tiles_per_split = static_cast<int32_t>(divide_up(divide_up(p.k, plan.tile_k), plan.splits));
  const int step = plan.tile_k;
  if (p.k == 0) return p;
  if (p.nhwc)
    p.step = {step % p.group_ic, step / p.group_ic / p.kw, step / p.group_ic % p.kw};
  else
    p.step = {step / p.kw / p.kh, step / p.kw % p.kh, step % p.kw};
  return p;
}

std::string to_string(const Plan& plan) {
  if (plan.kernel == Kernel::kDepthwise) return "depthwise";
  std::string text = plan.kernel == Kernel::kDirect ? "direct " : "tensor cores ";
  text += std::to_string(plan.tile_m) + "x" + std::to_string(plan.tile_n) + "x" + std::to_string(plan.tile_k);
  if (plan.kernel == Kernel::kTensorCores)
    text += ", copies of " + std::to_string(plan.copy_bytes) + " bytes";
  if (plan.splits > 1) text += ", k in " + std::to_string(plan.splits) + " splits";
  if (plan.reorder) text += ", weights reordered";
  return text;
}

}  // namespace onebyone::cuda
