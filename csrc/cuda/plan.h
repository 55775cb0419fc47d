// plan.h - which kernel, which tile, how many splits of k: chosen from the problem and the device, once a
// call. The same call gives the same bits each time; another batch or GPU may be split otherwise and differ
// in the last ones. Plain C++, no CUDA.
#pragma once

#include <string>

#include "onebyone_cuda.h"
#include "problem.h"

namespace onebyone::cuda {

enum class DataType : int32_t {
  kFloat32 = OB_CUDA_FLOAT32,
  kFloat16 = OB_CUDA_FLOAT16,
  kBFloat16 = OB_CUDA_BFLOAT16
};
enum class Kernel : int32_t { kDirect, kTensorCores, kDepthwise };

struct Device {
  int multiprocessors;
  int capability;  // 10 * major + minor
};

struct Plan {
  DataType type;
  Kernel kernel;
  int tile_m, tile_n, tile_k;  // GEMMs only
  int copy_bytes;              // tensor cores only
  int splits;                  // of k; with more than one a second pass adds them
  bool reorder;                // weights go into rows of k first
  int32_t ldk;                 // elements between those rows
  int64_t blocks;
  size_t weight_bytes, partial_bytes;  // of the workspace, in this order

  size_t workspace_bytes() const { return weight_bytes + partial_bytes; }
};

// Throws std::invalid_argument if the description asks for a kernel that does not serve it.
Plan make_plan(const onebyone_cuda_conv2d_desc& desc, const Problem& problem, const Device& device);
// The plan for the same problem and the same rows of weights where an address is not aligned to the plan's
// copies: elements one by one.
Plan make_unaligned_plan(const Plan& plan, const Problem& problem);
// The problem with all that depends on the plan.
Problem complete(const Plan& plan, const Problem& problem);
std::string to_string(const Plan& plan);

}  // namespace onebyone::cuda
