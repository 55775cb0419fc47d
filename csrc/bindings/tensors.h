// bindings/tensors.h - arrays of any number of axes as views for ops/ and network/. Called by register_ops.cc
// and register_network.cc.
#pragma once

#include <string>

#include "bindings/arrays.h"
#include "core/check.h"
#include "core/tensor_view.h"

namespace onebyone::bindings {

inline Shape shape_of(const py::array& array) { return Shape(array.shape(), array.shape() + array.ndim()); }

// An array of at most kMaxRank axes.
inline py::array tensor(const std::string& op, const char* name, const py::object& object) {
  const py::array array = input_array(op, name, object);
  if (array.ndim() > kMaxRank)
    fail(op, ": ", name, " has ", array.ndim(), " dimensions; at most ", kMaxRank,
         " are supported: reshape it");
  return array;
}

// The array as a view of `shape`, to which it can be broadcast.
template <class T>
TensorView<const T> tensor_view(const py::array& array, const Shape& shape) {
  TensorView<const T> view;
  view.data = data_of<T>(array);
  view.rank = static_cast<int>(shape.size());
  const py::ssize_t missing = view.rank - array.ndim();
  for (int d = 0; d < view.rank; ++d) {
    view.shape[d] = shape[d];
    const bool broadcast = d < missing || array.shape(d - missing) == 1;
    view.strides[d] = broadcast ? 0 : array.strides(d - missing) / static_cast<py::ssize_t>(sizeof(T));
  }
  return view;
}
template <class T>
TensorView<const T> tensor_view(const py::array& array) {
  return tensor_view<T>(array, shape_of(array));
}
template <class T>
TensorView<T> output_view(py::array& array) {
  TensorView<T> view;
  view.data = data_of<T>(array);
  view.rank = static_cast<int>(array.ndim());
  for (int d = 0; d < view.rank; ++d) {
    view.shape[d] = array.shape(d);
    view.strides[d] = array.strides(d) / static_cast<py::ssize_t>(sizeof(T));
  }
  return view;
}

// A value per channel, contiguous, or None.
inline py::object channel_array(const std::string& op, const char* name, const py::object& object,
                                Dtype dtype, py::ssize_t channels, const std::string& from) {
  if (object.is_none()) return object;
  const py::array array = input_array(op, name, object);
  check_same_dtype(op, name, array, dtype);
  if (array.ndim() != 1 || array.shape(0) != channels)
    fail(op, ": ", name, " must have shape (", channels, ",), one value per channel (", from, "), got ",
         shape_text(array));
  return contiguous(array);
}

// Its values, or null for None.
template <class T>
const T* channel_data(const py::object& array) {
  return array.is_none() ? nullptr : data_of<T>(py::reinterpret_borrow<py::array>(array));
}

}  // namespace onebyone::bindings
