// bindings/gpu_call.h - one convolution on a GPU: a device, a stream, and Python's arrays made ready for
// both. Called by register_conv.cc and gpu_plan.cc; calls array_library.h and gpu/conv2d.h.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/array_library.h"
#include "bindings/conv_call.h"
#include "bindings/gpu_array.h"

namespace onebyone::bindings {

// A convolution's arrays.
struct GpuOperands {
  GpuArray x, weight;
  std::optional<GpuArray> bias, residual;
};

class GpuCall {
 public:
  // The argument `name` lies on GPU `device`. Its library gets the result, and its current stream is the
  // call's unless `stream` is one. Throws TypeError where GPUs cannot be used.
  GpuCall(const std::string& op, const char* name, const py::object& first, int device,
          const py::object& stream);

  // Reads an argument in the order of the stream. Throws TypeError for one elsewhere.
  GpuArray take(const char* name, const py::object& object);
  // None stays none.
  std::optional<GpuArray> take_optional(const char* name, const py::object& object);
  // An array that was taken by an earlier call, whose stream was `home`.
  void use(const GpuArray& array, Stream home);

  // A dense copy that nobody else writes.
  GpuArray snapshot(const GpuArray& array) const;

  // Puts the convolution on the stream, after everything was taken. The result, of this dtype and shape, is
  // `out` or else a new array. Until it is there, torch gives the memory of no operand to others.
  py::object run(const CudaConv2d& conv, GpuOperands operands, const py::object& out, CudaDtype dtype,
                 const Shape& shape);

  Stream stream() const { return stream_; }

 private:
  GpuArray take_out(const py::object& out, CudaDtype dtype, const Shape& shape);
  void make_dense(GpuArray& array) const;
  void launch(const CudaConv2d& conv, const GpuOperands& operands, const GpuArray& y) const;

  std::string op_;
  const char* first_name_;
  int device_;
  ArrayLibrary library_;
  Entered device_context_;
  Stream current_, stream_;
  std::vector<GpuArray> taken_;
  std::vector<py::object> to_record_;
};

// Throws TypeError unless the array's dtype is the others'.
void check_gpu_dtype(const std::string& op, const GpuArray& array, CudaDtype dtype);

// The checked geometry of a convolution by arrays on a GPU; spec has x's shape.
ConvGeometry gpu_geometry(const ConvSpec& spec, const GpuArray& weight);

// `x` lies on GPU `device`.
py::object gpu_conv2d(const py::object& x, const ConvArguments& arguments, const py::object& residual,
                      const py::object& out, const py::object& stream, int device);

}  // namespace onebyone::bindings
