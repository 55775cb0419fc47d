// bindings/array_library.h - what is asked of the library that a GPU array came from: torch, CuPy, or any
// other with DLPack. Called by gpu_call.cc. Imports none of them: an array's library is there already.
#pragma once

#include "bindings/gpu_array.h"

namespace onebyone::bindings {

// A Python context manager, entered; none for nothing to enter.
class Entered {
 public:
  explicit Entered(py::object manager);
  ~Entered();
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  py::object manager_;
};

class ArrayLibrary {
 public:
  // `array` lies on GPU `device`.
  ArrayLibrary(py::handle array, int device);

  bool is(const ArrayLibrary& other) const { return kind_ == other.kind_; }

  // The stream on which the library puts its work now, which is where arrays are made and freed; for other
  // libraries the one that the array's CUDA array interface names, or the default stream.
  Stream current_stream() const;
  // Makes the device or the stream the library's current one. torch exports nothing from another device.
  py::object device_context() const;
  py::object stream_context(Stream stream) const;

  // A new array, uninitialised, in the order of the current stream, which is `stream`. Other libraries get an
  // owned_gpu_array that becomes theirs by `adopted` once its contents are on the stream.
  py::object empty(const Shape& shape, CudaDtype dtype, Stream stream) const;
  py::object adopted(const py::object& made) const;
  // A copy in C order, made on the current stream. Throws ValueError with the cure where the library is
  // unknown.
  py::object contiguous(const std::string& op, const char* name, const py::object& array) const;
  // A copy that nobody else writes. Other libraries' arrays, which may be immutable, are returned themselves.
  py::object snapshot(const py::object& array) const;
  // Keeps the array's memory from being given to others before the stream has done what is on it now. Only
  // torch can do so.
  void record_stream(const py::object& array, Stream stream) const;

 private:
  enum class Kind { kTorch, kCupy, kOther };
  py::object on_cuda() const;  // torch.cuda or cupy.cuda
  py::object torch_stream(Stream stream) const;

  Kind kind_ = Kind::kOther;
  py::object module_;  // torch or cupy
  py::handle array_;
  int device_;
};

}  // namespace onebyone::bindings
