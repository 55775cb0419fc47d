// gpu/library.h - libonebyone_cuda, the optional library of GPU kernels behind the C ABI of
// cuda/onebyone_cuda.h: found, loaded and checked once, at first use. Called by gpu/conv2d.cc and bindings/.
// The only code that knows dlopen; links with nothing of CUDA.
#pragma once

#include <string>

#include "cuda/onebyone_cuda.h"

namespace onebyone {

// The functions of the C ABI that are called.
struct CudaLibrary {
  decltype(&onebyone_cuda_device_count) device_count;
  decltype(&onebyone_cuda_conv2d_workspace) conv2d_workspace;
  decltype(&onebyone_cuda_conv2d_forward) conv2d_forward;
  decltype(&onebyone_cuda_conv2d_describe) conv2d_describe;
  decltype(&onebyone_cuda_malloc) malloc;
  decltype(&onebyone_cuda_free) free;
  decltype(&onebyone_cuda_wait) wait;
  decltype(&onebyone_cuda_pointer_device) pointer_device;
  decltype(&onebyone_cuda_last_error) last_error;
};

// What stands between this process and a GPU, as a sentence; "" if nothing does. The first call of the
// process loads the library: the one that ONEBYONE_CUDA_LIBRARY names, else libonebyone_cuda.so beside the
// object that this code is linked into. Its answer, good or bad, is kept. Safe from any thread.
const std::string& cuda_why_not();

// How many GPUs can be used; 0 where cuda_why_not says something.
int cuda_device_count();

// Throws std::runtime_error with that sentence if there is one.
const CudaLibrary& cuda_library();

// Throws what a code of the ABI other than OB_CUDA_OK stands for: std::invalid_argument for a bad argument,
// else std::runtime_error; `op` and the library's own words are its text.
void check_cuda(const std::string& op, int32_t code);

}  // namespace onebyone
