// check_problem.cc - validates a description. Called first by every function of the ABI that takes one.
#include "check_problem.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "cpu/kernels/kernel_table.h"

namespace onebyone::cuda {
namespace {

// Sizes and places stay below, so that twice any of them, or one of each added, still fits 32 bits.
constexpr int64_t kMost = (int64_t{1} << 30) - 1;
// Elements of an array: 256 a block, and fewer than 2^31 blocks.
constexpr int64_t kMostElements = int64_t{1} << 38;

void need(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument("conv2d on CUDA: " + message);
}

// desc.name as 32 bits; it must be in [low, high].
int32_t in_range(const char* name, int64_t value, int64_t low, int64_t high = kMost) {
  need(value >= low && value <= high, std::string(name) + " is " + std::to_string(value) + ", must be in [" +
                                          std::to_string(low) + ", " + std::to_string(high) + "]");
  return static_cast<int32_t>(value);
}

// The product of sizes that are not negative; it must not exceed `most`.
int64_t product(const char* name, int64_t most, std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors) {
    if (factor == 0) return 0;
    need(result <= most / factor,
         std::string(name) + " exceeds " + std::to_string(most) + ": too big for these kernels");
    result *= factor;
  }
  return result;
}

// No tap falls farther than kMost.
void check_reach(const char* name, int64_t out, int64_t stride, int64_t kernel, int64_t dilation) {
  const int64_t last = out ? (out - 1) * stride : 0;
  need(last + (kernel - 1) * dilation <= kMost, std::string("the windows reach too far: (") + name +
                                                    " - 1) * stride + (kernel - 1) * dilation exceeds " +
                                                    std::to_string(kMost));
}

}  // namespace

Problem check_problem(const onebyone_cuda_conv2d_desc& d) {
  need(d.struct_size == sizeof d, "the description has " + std::to_string(d.struct_size) +
                                      " bytes, the library's " + std::to_string(sizeof d) +
                                      ": they are of different versions");
  in_range("dtype", d.dtype, OB_CUDA_FLOAT32, OB_CUDA_BFLOAT16);
  in_range("layout", d.layout, OB_CUDA_NCHW, OB_CUDA_NHWC);
  in_range("algorithm", d.algorithm, OB_CUDA_AUTO, OB_CUDA_DEPTHWISE);
  in_range("batch", d.batch, 0);

  Problem p = {};
  p.ic = in_range("ic", d.ic, 0);
  p.ih = in_range("ih", d.ih, 0);
  p.iw = in_range("iw", d.iw, 0);
  p.oc = in_range("oc", d.oc, 0);
  p.oh = in_range("oh", d.oh, 0);
  p.ow = in_range("ow", d.ow, 0);
  p.kh = in_range("kh", d.kh, 1);
  p.kw = in_range("kw", d.kw, 1);
  p.stride_h = in_range("stride_h", d.stride_h, 1);
  p.stride_w = in_range("stride_w", d.stride_w, 1);
  p.dilation_h = in_range("dilation_h", d.dilation_h, 1);
  p.dilation_w = in_range("dilation_w", d.dilation_w, 1);
  p.pad_top = in_range("pad_top", d.pad_top, -kMost);
  p.pad_left = in_range("pad_left", d.pad_left, -kMost);
  p.groups = in_range("groups", d.groups, 1);
  need(p.ic % p.groups == 0,
       "ic " + std::to_string(p.ic) + " is not divisible by groups " + std::to_string(p.groups));
  need(p.oc % p.groups == 0,
       "oc " + std::to_string(p.oc) + " is not divisible by groups " + std::to_string(p.groups));
  p.group_ic = p.ic / p.groups;
  p.group_oc = p.oc / p.groups;
  check_reach("oh", p.oh, p.stride_h, p.kh, p.dilation_h);
  check_reach("ow", p.ow, p.stride_w, p.kw, p.dilation_w);

  p.k = static_cast<int32_t>(product("kh * kw * ic / groups", kMost, {p.kh, p.kw, p.group_ic}));
  product("ih * iw", kMost, {p.ih, p.iw});
  product("oh * ow", kMost, {p.oh, p.ow});
  product("x", kMostElements, {d.batch, p.ic, p.ih, p.iw});
  product("weight", kMostElements / 2, {p.oc, p.k});  // half: rows may be padded
  p.m = product("batch * oh * ow", kMostElements, {d.batch, p.oh, p.ow});
  p.y_size = product("y", kMostElements, {p.m, p.oc});

  p.nhwc = d.layout == OB_CUDA_NHWC;
  p.activation = in_range("activation", d.activation, 0, static_cast<int64_t>(ActivationKind::kGelu));
  p.a = static_cast<float>(d.a);
  p.b = static_cast<float>(d.b);
  return p;
}

}  // namespace onebyone::cuda
