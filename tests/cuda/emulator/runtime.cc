// runtime.cc - the CUDA runtime of the emulated device. ONEBYONE_EMULATED_CUDA=no-driver, old-driver,
// no-device or no-code makes it answer as machines without a usable GPU do; unset, there is one device.
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>

#include "emulator.h"

namespace {

using onebyone::cuda::emulator::options;

bool pretends(const char* what) {
  const char* value = std::getenv("ONEBYONE_EMULATED_CUDA");
  return value && std::strcmp(value, what) == 0;
}

cudaError_t only_device(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

}  // namespace

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidDeviceFunction: return "invalid device function";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice: return "no kernel image is available for execution on the device";
    case cudaErrorUnsupportedPtxVersion:
      return "the provided PTX was compiled with an unsupported toolchain.";
  }
  return "unrecognized error code";
}

// As the runtime of CUDA 13.0.
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = pretends("no-driver") ? 0 : pretends("old-driver") ? 12040 : 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (pretends("no-driver") || pretends("old-driver")) return cudaErrorInsufficientDriver;
  if (pretends("no-device")) return cudaErrorNoDevice;
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  int count;
  *device = 0;
  return cudaGetDeviceCount(&count);
}

cudaError_t cudaSetDevice(int device) { return only_device(device); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
  int count;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return error;
  const int capability = pretends("no-code") ? 70 : options.capability;
  switch (which) {
    case cudaDevAttrMultiProcessorCount: *value = options.multiprocessors; break;
    case cudaDevAttrComputeCapabilityMajor: *value = capability / 10; break;
    case cudaDevAttrComputeCapabilityMinor: *value = capability % 10; break;
  }
  return only_device(device);
}

// Exactly as many bytes as asked for, NaN in any type.
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) {
  *pointer = std::malloc(bytes);
  if (!*pointer) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xff, bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) {
  std::free(pointer);
  return cudaSuccess;
}

// All of the host's memory is the device's.
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {pointer ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered, pointer ? 0 : -2};
  return cudaSuccess;
}

// Launches run at once: whatever is on a stream is done.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
