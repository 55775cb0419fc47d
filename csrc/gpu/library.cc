#include "gpu/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "core/check.h"

namespace onebyone {
namespace {

constexpr const char* kFile = "libonebyone_cuda.so";
constexpr const char* kBuild = "pip install . -C cmake.define.ONEBYONE_CUDA=ON";

// The directory of the shared object that holds this function.
std::string own_directory() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&cuda_why_not), &info) || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

struct Loaded {
  CudaLibrary library{};
  int devices = 0;
  std::string why_not;
};

// Thrown by symbol, caught by load.
struct MissingSymbol {
  const char* name;
};

template <class F>
void symbol(void* handle, F& function, const char* name) {
  void* address = dlsym(handle, name);
  if (!address) throw MissingSymbol{name};
  function = reinterpret_cast<F>(address);
}

// "" or why the file is of no use.
std::string load(const std::string& path, CudaLibrary& library) {
  // Never closed: a runtime that has started threads cannot be unloaded.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return concat("the CUDA library cannot be loaded: ", dlerror());
  try {
    decltype(&onebyone_cuda_abi_version) abi_version = nullptr;
    symbol(handle, abi_version, "onebyone_cuda_abi_version");
    if (const int32_t version = abi_version(); version != OB_CUDA_ABI_VERSION)
      return concat(path, " has ABI version ", version, ", this onebyone needs ", OB_CUDA_ABI_VERSION,
                    "; build both from the same sources: ", kBuild);
    symbol(handle, library.device_count, "onebyone_cuda_device_count");
    symbol(handle, library.conv2d_workspace, "onebyone_cuda_conv2d_workspace");
    symbol(handle, library.conv2d_forward, "onebyone_cuda_conv2d_forward");
    symbol(handle, library.conv2d_describe, "onebyone_cuda_conv2d_describe");
    symbol(handle, library.malloc, "onebyone_cuda_malloc");
    symbol(handle, library.free, "onebyone_cuda_free");
    symbol(handle, library.wait, "onebyone_cuda_wait");
    symbol(handle, library.pointer_device, "onebyone_cuda_pointer_device");
    symbol(handle, library.last_error, "onebyone_cuda_last_error");
  } catch (const MissingSymbol& missing) {
    return concat(path, " is not onebyone's CUDA library: it has no function ", missing.name);
  }
  return "";
}

const char* what_is_missing(int32_t code) {
  switch (code) {
    case OB_CUDA_NO_DRIVER: return "there is no CUDA driver on this machine";
    case OB_CUDA_OLD_DRIVER: return "the CUDA driver is too old for this build";
    case OB_CUDA_NO_DEVICE: return "there is a CUDA driver but no GPU";
    case OB_CUDA_NO_CODE: return "this build holds no code for the GPU";
    default: return "CUDA cannot be started";
  }
}

// "" or why no GPU can be used, the library's own words behind ours.
std::string count_devices(const CudaLibrary& library, int& devices) {
  int32_t count = 0;
  int32_t code = library.device_count(&count);
  const std::string words = code == OB_CUDA_OK ? "" : library.last_error();
  if (code == OB_CUDA_OK && count < 1) code = OB_CUDA_NO_DEVICE;
  if (code != OB_CUDA_OK)
    return words.empty() ? what_is_missing(code) : concat(what_is_missing(code), ": ", words);
  devices = count;
  return "";
}

Loaded find() {
  Loaded loaded;
  const char* named = std::getenv("ONEBYONE_CUDA_LIBRARY");
  const std::string path = named && *named ? named : concat(own_directory(), "/", kFile);
  if (!(named && *named) && access(path.c_str(), F_OK) != 0)
    loaded.why_not =
        concat("the CUDA library is not built; with nvcc (CUDA 12.8 or later) this builds it: ", kBuild);
  if (loaded.why_not.empty()) loaded.why_not = load(path, loaded.library);
  if (loaded.why_not.empty()) loaded.why_not = count_devices(loaded.library, loaded.devices);
  return loaded;
}

const Loaded& loaded() {
  static const Loaded once = find();
  return once;
}

}  // namespace

const std::string& cuda_why_not() { return loaded().why_not; }

int cuda_device_count() { return loaded().devices; }

const CudaLibrary& cuda_library() {
  if (!loaded().why_not.empty()) throw std::runtime_error(loaded().why_not);
  return loaded().library;
}

void check_cuda(const std::string& op, int32_t code) {
  if (code == OB_CUDA_OK) return;
  const std::string text = concat(op, ": ", cuda_library().last_error());
  if (code == OB_CUDA_BAD_ARGUMENT) throw std::invalid_argument(text);
  throw std::runtime_error(text);
}

}  // namespace onebyone
