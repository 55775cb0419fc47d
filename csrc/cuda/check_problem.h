// check_problem.h - from the C description to a Problem. Plain C++, no CUDA.
#pragma once

#include "onebyone_cuda.h"
#include "problem.h"

namespace onebyone::cuda {

// Throws std::invalid_argument, naming the member and its value, if the description contradicts itself or is
// too big for the kernels' 32-bit places. What depends on a plan stays 0.
Problem check_problem(const onebyone_cuda_conv2d_desc& desc);

}  // namespace onebyone::cuda
