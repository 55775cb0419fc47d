// bindings/gpu_array.h - arrays on a GPU: found out, and read through DLPack or the CUDA array interface in
// the order of a stream. Called by gpu_call.cc, register_conv.cc and register_plan.cc.
#pragma once

#include <optional>
#include <string>

#include "bindings/arrays.h"
#include "bindings/dlpack.h"
#include "gpu/conv2d.h"

namespace onebyone::bindings {

// A cudaStream_t as a number: 0 is the (legacy) default stream, 2 the thread's own.
using Stream = std::uintptr_t;
inline void* handle_of(Stream stream) { return reinterpret_cast<void*>(stream); }

// The GPU on which an array lies; none for one in other memory, and for what is no array. Costs a comparison
// for NumPy arrays and an attribute for torch's.
std::optional<int> gpu_of(py::handle object);

// "in CPU memory", "on cuda:0", or for what is no array "a list".
std::string place_of(py::handle object);

// The error of two arguments in different memory; places as place_of has them.
[[noreturn]] void throw_mixed(const std::string& op, const std::string& a, const std::string& a_place,
                              const std::string& b, const std::string& b_place);

// f(), which reads arrays on the CPU. Where one lies elsewhere, the error also names `other`, which does not.
template <class F>
auto on_cpu(const std::string& op, const char* other, const F& f) {
  try {
    return f();
  } catch (const NotOnCpu& error) {
    if (error.name == other) throw;
    throw_mixed(op, error.name, error.place, other, "in CPU memory");
  }
}

// An argument's memory on a GPU, and what keeps it there.
struct GpuArray {
  const char* name;
  py::object object;  // as it was given
  std::byte* data;
  Shape shape;
  CudaDtype dtype;
  py::object owner;
  bool dense;  // in C order
  bool read_only;

  int64_t bytes() const;
};

// What is put on `stream` from now on sees the array as its library left it: DLPack's exporter, or a wait for
// the stream that the CUDA array interface names. Throws TypeError naming the argument.
GpuArray gpu_array(const std::string& op, const char* name, py::handle object, int device, Stream stream);

// The stream that an array's CUDA array interface names; none for others.
std::optional<Stream> interface_stream(py::handle object);

// A number or an object with .cuda_stream, .ptr or __cuda_stream__ as a stream.
Stream parse_stream(const std::string& op, py::handle value);

}  // namespace onebyone::bindings
