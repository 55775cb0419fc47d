// bindings/arrays.h - arrays in and out: NumPy, DLPack and the array interface on one side, views on the
// other. Called by the register_*.cc files. Converts and checks dtypes; knows no convolution.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace onebyone::bindings {

namespace py = pybind11;
using Shape = std::vector<py::ssize_t>;
using ShapeView = std::span<const py::ssize_t>;

enum class Dtype { kFloat32, kFloat64 };
const char* to_string(Dtype dtype);

// "(1, 3, 8, 8)"
std::string shape_text(const py::array& array);
std::string shape_text(ShapeView shape);

inline ShapeView shape_view(const py::array& array) {
  return {array.shape(), static_cast<std::size_t>(array.ndim())};
}

// An argument as an aligned NumPy array of native float32 or float64 that shares its memory (a copy only
// where the memory is not aligned to its elements). Throws TypeError naming `op` and `name`.
py::array input_array(const std::string& op, const char* name, py::handle object);
Dtype dtype_of(const py::array& array);

// Throws TypeError unless the array's dtype is x's.
void check_same_dtype(const std::string& op, const char* name, const py::array& array, Dtype dtype);

// `out` as an array that may be written: dtype, shape, C order, writable. Throws naming what is wrong.
py::array output_array(const std::string& op, py::handle object, Dtype dtype, const Shape& shape);
// Throws ValueError if `out` shares memory with `input`.
void check_no_overlap(const std::string& op, const py::array& out, const char* name, const py::array& input);

// A fresh C-ordered array, uninitialised. A big one's memory is recycled (core/memory_pool.h): an object that
// is its base gives it back when nothing refers to it any more.
py::array empty_array(Dtype dtype, const Shape& shape);

// The result as an array of the library that `like` belongs to: itself for NumPy, else through its
// from_dlpack.
py::object in_library_of(py::handle like, py::object result);

template <class T>
T* data_of(py::array& array) {
  return static_cast<T*>(array.mutable_data());
}
template <class T>
const T* data_of(const py::array& array) {
  return static_cast<const T*>(array.data());
}

// The array itself if it is C-contiguous, else a copy that is.
py::array contiguous(const py::array& array);

}  // namespace onebyone::bindings
