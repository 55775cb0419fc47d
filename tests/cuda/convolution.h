// convolution.h - one convolution through the C ABI, and what it should be in float64.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "cpu/kernels/kernel_table.h"
#include "emulator.h"
#include "onebyone_cuda.h"

namespace onebyone::cuda {

// Sizes as a test writes them down; oh and ow follow unless given.
struct Shape {
  int64_t batch, ic, ih, iw, oc, kh, kw;
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  int64_t groups = 1;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  // names tests

onebyone_cuda_conv2d_desc describe_shape(const Shape& shape, int32_t dtype, int32_t layout);

// Arrays with values that all three types have, and TF32 too: multiples of 1/8 in [-1, 1], 1/4 for the bias.
// Their sums are exact in float32, in any order.
struct Arrays {
  std::vector<float> x, weight, bias, residual;
};
Arrays make_arrays(const onebyone_cuda_conv2d_desc& desc, uint32_t seed = 1);

std::vector<double> reference(const onebyone_cuda_conv2d_desc& desc, const Arrays& arrays);

struct Result {
  int32_t code;
  std::string message;  // of the code
  std::string plan;
  std::vector<float> y;
};
// Copies the arrays into device memory of exactly their size, `misaligned` elements behind a 256-byte
// boundary, and runs. Arrays that are empty are passed as null.
Result run(const onebyone_cuda_conv2d_desc& desc, const Arrays& arrays, int misaligned = 0);

// The number of y that differ from the reference by more than the rounding of the type (and `tolerance`).
int64_t count_wrong(const onebyone_cuda_conv2d_desc& desc, const std::vector<float>& y,
                    const std::vector<double>& expected, double tolerance = 1e-6);

// Sets the emulator's options and brings the former back.
class WithOptions {
 public:
  explicit WithOptions(const emulator::Options& options) : former_(emulator::options) {
    emulator::options = options;
  }
  ~WithOptions() { emulator::options = former_; }
  WithOptions(const WithOptions&) = delete;
  WithOptions& operator=(const WithOptions&) = delete;

 private:
  const emulator::Options former_;
};

}  // namespace onebyone::cuda
