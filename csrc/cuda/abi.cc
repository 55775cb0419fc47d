// abi.cc - the functions of onebyone_cuda.h. Checks, plans, starts kernels; the only file that knows devices
// and error codes. Nothing here waits for a device.
#include <cuda_runtime.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>

#include "check_problem.h"
#include "kernels.h"
#include "onebyone_cuda.h"
#include "plan.h"

#define ONEBYONE_EXPORT extern "C" __attribute__((visibility("default")))

namespace onebyone::cuda {
namespace {

thread_local std::string last_error;

struct Failure {
  int32_t code;
  std::string message;
};

[[noreturn]] void fail(int32_t code, const std::string& message) { throw Failure{code, message}; }

// The oldest GPU with embedded code (csrc/cuda/CMakeLists.txt). Asking the runtime for a kernel's code
// instead would make a context on each GPU, which costs a process hundreds of megabytes.
constexpr int kLeastCapability = 75;

std::string capability_name(int capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

std::string version_name(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The runtime's refusal, by its kind. It also keeps the error until asked: a library that shares the process
// and asks for the last error after its own calls must not find ours.
void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  const std::string words = std::string(call) + ": " + cudaGetErrorString(error);
  switch (error) {
    case cudaErrorNoDevice: fail(OB_CUDA_NO_DEVICE, "the CUDA driver finds no GPU (" + words + ")");
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
      fail(OB_CUDA_NO_CODE, "the library has no code for this GPU (" + words + ")");
    case cudaErrorInsufficientDriver: {
      // The runtime says so of a missing driver too; the driver's version tells them apart.
      int driver = 0, runtime = 0;
      if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        fail(OB_CUDA_NO_DRIVER, "no CUDA driver is installed (" + words + ")");
      cudaRuntimeGetVersion(&runtime);
      fail(OB_CUDA_OLD_DRIVER, "the CUDA driver serves CUDA " + version_name(driver) +
                                   ", the library needs " + version_name(runtime) + ": update the driver (" +
                                   words + ")");
    }
    default: fail(OB_CUDA_FAILED, words);
  }
}

// Runs body; turns exceptions into codes and the message.
template <class F>
int32_t guarded(F body) {
  try {
    last_error.clear();
    body();
    return OB_CUDA_OK;
  } catch (const Failure& failure) {
    last_error = failure.message;
    return failure.code;
  } catch (const std::invalid_argument& error) {
    last_error = error.what();
    return OB_CUDA_BAD_ARGUMENT;
  } catch (const std::exception& error) {
    last_error = error.what();
    return OB_CUDA_FAILED;
  }
}

// Makes a device the thread's current one, and the former again at the end.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) : device_(device) {
    check(cudaGetDevice(&former_), "cudaGetDevice");
    if (former_ != device_) check(cudaSetDevice(device_), "cudaSetDevice");
  }
  ~CurrentDevice() {
    if (former_ != device_) cudaSetDevice(former_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int former_ = 0;
  const int device_;
};

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

Device properties(int device) {
  return {attribute(cudaDevAttrMultiProcessorCount, device),
          10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
              attribute(cudaDevAttrComputeCapabilityMinor, device)};
}

void need(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(std::string("conv2d on CUDA: ") + message);
}

bool aligned(const void* pointer, size_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

// The problem with its addresses, checked.
Problem with_pointers(const Problem& problem, const Plan& plan, const onebyone_cuda_conv2d_pointers& at) {
  const size_t size = plan.type == DataType::kFloat32 ? 4 : 2;
  need(at.y, "y is null");
  need(at.weight || problem.k == 0, "weight is null");
  need(at.x || problem.k == 0 || problem.ih == 0 || problem.iw == 0, "x is null");
  need(at.workspace || plan.workspace_bytes() == 0, "workspace is null");
  for (const void* pointer : {at.x, at.weight, at.bias, at.residual, static_cast<const void*>(at.y)})
    need(aligned(pointer, size), "an array is not aligned to its elements");
  need(aligned(at.workspace, 16), "workspace is not aligned to 16 bytes");
  Problem p = problem;
  p.x = at.x;
  p.weight = at.weight;
  p.bias = at.bias;
  p.residual = at.residual;
  p.y = at.y;
  return p;
}

void forward(const onebyone_cuda_conv2d_desc& desc, const onebyone_cuda_conv2d_pointers& pointers, int device,
             cudaStream_t stream) {
  const Problem problem = check_problem(desc);
  if (problem.y_size == 0) return;
  const CurrentDevice current(device);
  Plan plan = make_plan(desc, problem, properties(device));
  Problem p = with_pointers(problem, plan, pointers);
  const bool copies_fit = aligned(p.x, static_cast<size_t>(plan.copy_bytes ? plan.copy_bytes : 1)) &&
                          (plan.reorder || aligned(p.weight, 16));
  if (plan.kernel == Kernel::kTensorCores && !copies_fit) plan = make_unaligned_plan(plan, problem);
  p = complete(plan, p);

  unsigned char* const workspace = static_cast<unsigned char*>(pointers.workspace);
  if (plan.splits > 1) p.partial = reinterpret_cast<float*>(workspace + plan.weight_bytes);
  if (plan.reorder && p.k > 0) {
    check(launch_reorder(plan, p, p.weight, workspace, stream), "reordering the weights");
    p.weight = workspace;
  }
  switch (plan.kernel) {
    case Kernel::kDirect: check(launch_direct(plan, p, stream), "starting the direct kernel"); break;
    case Kernel::kTensorCores:
      check(launch_tensor_cores(plan, p, stream), "starting the tensor core kernel");
      break;
    case Kernel::kDepthwise: check(launch_depthwise(plan, p, stream), "starting the depthwise kernel"); break;
  }
  if (plan.splits > 1) check(launch_reduce(plan, p, stream), "adding the splits");
}

}  // namespace
}  // namespace onebyone::cuda

using namespace onebyone::cuda;

ONEBYONE_EXPORT int32_t onebyone_cuda_abi_version(void) { return OB_CUDA_ABI_VERSION; }

ONEBYONE_EXPORT const char* onebyone_cuda_last_error(void) { return last_error.c_str(); }

ONEBYONE_EXPORT int32_t onebyone_cuda_device_count(int32_t* count) {
  return guarded([&] {
    *count = 0;
    int devices = 0, usable = 0, best = 0;
    check(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
    if (devices == 0) fail(OB_CUDA_NO_DEVICE, "the CUDA driver finds no GPU");
    for (int device = 0; device < devices; ++device) {
      const int capability = properties(device).capability;
      best = std::max(best, capability);
      usable += capability >= kLeastCapability;
    }
    if (usable == 0)
      fail(OB_CUDA_NO_CODE, "the GPU has compute capability " + capability_name(best) +
                                ", the library needs " + capability_name(kLeastCapability) + " or later");
    *count = usable;
  });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_conv2d_workspace(const onebyone_cuda_conv2d_desc* desc, int32_t device,
                                                       size_t* bytes) {
  return guarded([&] {
    const Problem problem = check_problem(*desc);
    *bytes = problem.y_size == 0 ? 0 : make_plan(*desc, problem, properties(device)).workspace_bytes();
  });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_conv2d_forward(const onebyone_cuda_conv2d_desc* desc,
                                                     const onebyone_cuda_conv2d_pointers* pointers,
                                                     int32_t device, void* stream) {
  return guarded([&] { forward(*desc, *pointers, device, static_cast<cudaStream_t>(stream)); });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_conv2d_describe(const onebyone_cuda_conv2d_desc* desc, int32_t device,
                                                      char* text, size_t size) {
  return guarded([&] {
    const Problem problem = check_problem(*desc);
    const std::string words = to_string(make_plan(*desc, problem, properties(device)));
    if (size == 0) return;
    const size_t length = words.copy(text, size - 1);
    text[length] = 0;
  });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_malloc(size_t bytes, int32_t device, void* stream, void** pointer) {
  return guarded([&] {
    const CurrentDevice current(device);
    *pointer = nullptr;
    if (bytes) check(cudaMallocAsync(pointer, bytes, static_cast<cudaStream_t>(stream)), "cudaMallocAsync");
  });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_free(void* pointer, int32_t device, void* stream) {
  return guarded([&] {
    const CurrentDevice current(device);
    if (pointer) check(cudaFreeAsync(pointer, static_cast<cudaStream_t>(stream)), "cudaFreeAsync");
  });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_wait(int32_t device, void* stream, void* other) {
  return guarded([&] {
    const CurrentDevice current(device);
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    const cudaError_t recorded = cudaEventRecord(event, static_cast<cudaStream_t>(other));
    const cudaError_t waited =
        recorded == cudaSuccess ? cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), event, 0) : recorded;
    cudaEventDestroy(event);  // lives on until the wait is over
    check(waited, recorded == cudaSuccess ? "cudaStreamWaitEvent" : "cudaEventRecord");
  });
}

ONEBYONE_EXPORT int32_t onebyone_cuda_pointer_device(const void* pointer, int32_t* device) {
  return guarded([&] {
    cudaPointerAttributes attributes;
    check(cudaPointerGetAttributes(&attributes, pointer), "cudaPointerGetAttributes");
    if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
      throw std::invalid_argument("the address lies in no device's memory");
    *device = attributes.device;
  });
}
