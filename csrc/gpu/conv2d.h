// gpu/conv2d.h - a convolution on a GPU: what conv/conv2d.h is for the CPU, with the kernels behind
// gpu/library.h. Called by bindings/. Knows geometry, settings and the C ABI's structs. Does not know where
// arrays come from.
#pragma once

#include <cstdint>
#include <string>

#include "conv/plan.h"
#include "core/geometry.h"
#include "gpu/library.h"

namespace onebyone {

// The values are the C ABI's.
enum class CudaDtype : int32_t {
  kFloat32 = OB_CUDA_FLOAT32,
  kFloat16 = OB_CUDA_FLOAT16,
  kBfloat16 = OB_CUDA_BFLOAT16
};
const char* to_string(CudaDtype dtype);
inline int64_t bytes_of(CudaDtype dtype) { return dtype == CudaDtype::kFloat32 ? 4 : 2; }

// Whether float32 products may be rounded to TF32 (10 bits of mantissa) on tensor cores; false unless set.
// Any thread may set it; what exists already keeps what it was made with.
bool get_allow_tf32();
void set_allow_tf32(bool allow);

// A checked description with its choice of kernel. A value: it holds no weights and no memory of the device.
class CudaConv2d {
 public:
  // kAuto, kDirect and kDepthwise exist on a GPU. Throws std::invalid_argument naming what cannot be served.
  CudaConv2d(const std::string& op, const ConvGeometry& geometry, Layout layout, const Activation& activation,
             Algorithm algorithm, CudaDtype dtype, int device);

  // Puts the convolution on the stream, a cudaStream_t, and returns. Arrays are dense; `workspace` has
  // workspace_bytes. An output without elements starts nothing.
  void run(const onebyone_cuda_conv2d_pointers& pointers, void* stream) const;

  const ConvGeometry& geometry() const { return geometry_; }
  int device() const { return device_; }
  int64_t workspace_bytes() const { return workspace_bytes_; }
  // The kernel that run starts, as the library names it: "tensor_cores 128x128x32 ...".
  std::string kernel() const;
  // "conv 1x64x56x56 -> 256 k1 NHWC float16 cuda:0: tensor_cores 128x128x32 ..."
  std::string describe() const;

 private:
  bool empty() const { return geometry_.batch * geometry_.oc * geometry_.out_pixels() == 0; }

  std::string op_;
  ConvGeometry geometry_;
  onebyone_cuda_conv2d_desc desc_;
  int device_;
  int64_t workspace_bytes_ = 0;
};

}  // namespace onebyone
