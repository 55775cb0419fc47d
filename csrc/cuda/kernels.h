// kernels.h - the host's way to the kernels: one function for each .cu file. All return what the launch said.
#pragma once

#include <cuda_runtime.h>

#include "plan.h"
#include "problem.h"

namespace onebyone::cuda {

// p as completed by plan.cc for this very plan.
cudaError_t launch_direct(const Plan& plan, const Problem& p, cudaStream_t stream);
cudaError_t launch_tensor_cores(const Plan& plan, const Problem& p, cudaStream_t stream);
cudaError_t launch_depthwise(const Plan& plan, const Problem& p, cudaStream_t stream);

// dst = weights (oc, group_ic, kh, kw) as rows of ldk in the order of NHWC, zeros behind k.
cudaError_t launch_reorder(const Plan& plan, const Problem& p, const void* weight, void* dst,
                           cudaStream_t stream);
// y = the epilogue of the splits' partial sums, added in their order.
cudaError_t launch_reduce(const Plan& plan, const Problem& p, cudaStream_t stream);

}  // namespace onebyone::cuda
