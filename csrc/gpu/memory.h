// gpu/memory.h - a block of a GPU's memory, taken and given back in the order of a stream: what was put on it
// before sees the block as it was. Called by bindings/.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gpu/library.h"

namespace onebyone {

class CudaMemory {
 public:
  CudaMemory(int64_t bytes, int device, void* stream) : device_(device), stream_(stream) {
    const auto size = static_cast<std::size_t>(std::max<int64_t>(bytes, 1));
    check_cuda("memory", cuda_library().malloc(size, device, stream, &data_));
  }
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;
  // A failure leaves the block to the end of the process.
  ~CudaMemory() { cuda_library().free(data_, device_, stream_); }

  void* data() const { return data_; }
  int device() const { return device_; }
  void* stream() const { return stream_; }

 private:
  void* data_ = nullptr;
  int device_;
  void* stream_;
};

}  // namespace onebyone
