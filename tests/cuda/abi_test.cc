// abi_test.cc - what the C ABI says to wrong descriptions, missing arrays and machines without a usable GPU.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "convolution.h"

namespace onebyone::cuda {
namespace {

onebyone_cuda_conv2d_desc small() {
  return describe_shape({1, 16, 5, 7, 16, 3, 3}, OB_CUDA_FLOAT16, OB_CUDA_NHWC);
}

std::string refusal(const onebyone_cuda_conv2d_desc& desc) {
  size_t bytes = 0;
  const int32_t code = onebyone_cuda_conv2d_workspace(&desc, 0, &bytes);
  EXPECT_EQ(code, OB_CUDA_BAD_ARGUMENT);
  return onebyone_cuda_last_error();
}

TEST(Abi, NamesWhatIsWrong) {
  using Desc = onebyone_cuda_conv2d_desc;
  const std::vector<std::pair<std::function<void(Desc&)>, const char*>> cases = {
      {[](Desc& d) { d.struct_size -= 8; }, "different versions"},
      {[](Desc& d) { d.dtype = 3; }, "dtype is 3"},
      {[](Desc& d) { d.layout = -1; }, "layout is -1"},
      {[](Desc& d) { d.algorithm = 4; }, "algorithm is 4"},
      {[](Desc& d) { d.activation = 9; }, "activation is 9"},
      {[](Desc& d) { d.batch = -1; }, "batch is -1"},
      {[](Desc& d) { d.stride_h = 0; }, "stride_h is 0"},
      {[](Desc& d) { d.dilation_w = 0; }, "dilation_w is 0"},
      {[](Desc& d) { d.kh = 0; }, "kh is 0"},
      {[](Desc& d) { d.groups = 3; }, "ic 16 is not divisible by groups 3"},
      {[](Desc& d) { d.oc = 15, d.groups = 2; }, "oc 15 is not divisible by groups 2"},
      {[](Desc& d) { d.ih = d.iw = 1 << 16; }, "ih * iw exceeds"},
      {[](Desc& d) { d.oh = int64_t{1} << 40; }, "oh is 1099511627776"},
      {[](Desc& d) { d.kh = 1 << 20, d.dilation_h = 1 << 20; }, "the windows reach too far"},
      {[](Desc& d) { d.kh = 1 << 14, d.kw = 1 << 14; }, "kh * kw * ic / groups exceeds"},
      {[](Desc& d) { d.batch = (1 << 30) - 1, d.ih = d.iw = 1 << 12; }, "x exceeds"},
      {[](Desc& d) { d.algorithm = OB_CUDA_DEPTHWISE; }, "groups of at most 8 input channels, these have 16"},
      {[](Desc& d) { d.algorithm = OB_CUDA_TENSOR_CORES, d.layout = OB_CUDA_NCHW; }, "layout NHWC"},
      {[](Desc& d) { d.algorithm = OB_CUDA_TENSOR_CORES, d.dtype = OB_CUDA_FLOAT32; }, "allow_tf32"},
  };
  for (const auto& [change, words] : cases) {
    Desc desc = small();
    change(desc);
    EXPECT_NE(refusal(desc).find(words), std::string::npos) << onebyone_cuda_last_error();
  }
}

TEST(Abi, NeedsItsArrays) {
  const onebyone_cuda_conv2d_desc desc = small();
  std::vector<float> memory(4096);
  const onebyone_cuda_conv2d_pointers all = {memory.data(), memory.data(), nullptr,
                                             nullptr,       memory.data(), memory.data()};
  const auto refuses = [&](onebyone_cuda_conv2d_pointers pointers, const char* words) {
    EXPECT_EQ(onebyone_cuda_conv2d_forward(&desc, &pointers, 0, nullptr), OB_CUDA_BAD_ARGUMENT);
    EXPECT_NE(std::strstr(onebyone_cuda_last_error(), words), nullptr) << onebyone_cuda_last_error();
  };
  onebyone_cuda_conv2d_pointers some = all;
  some.x = nullptr;
  refuses(some, "x is null");
  some = all;
  some.weight = nullptr;
  refuses(some, "weight is null");
  some = all;
  some.y = nullptr;
  refuses(some, "y is null");
  some = all;
  some.workspace = nullptr;
  refuses(some, "workspace is null");
  some = all;
  some.bias = reinterpret_cast<const char*>(memory.data()) + 1;
  refuses(some, "not aligned");
}

TEST(Abi, DescribesIntoAnySize) {
  const onebyone_cuda_conv2d_desc desc = small();
  char text[200];
  ASSERT_EQ(onebyone_cuda_conv2d_describe(&desc, 0, text, sizeof text), OB_CUDA_OK);
  EXPECT_STREQ(text, "tensor cores 64x64x32, copies of 16 bytes, weights reordered");
  ASSERT_EQ(onebyone_cuda_conv2d_describe(&desc, 0, text, 7), OB_CUDA_OK);
  EXPECT_STREQ(text, "tensor");
  ASSERT_EQ(onebyone_cuda_conv2d_describe(&desc, 0, nullptr, 0), OB_CUDA_OK);
}

TEST(Abi, KnowsOneDevice) {
  const onebyone_cuda_conv2d_desc desc = small();
  size_t bytes = 0;
  EXPECT_EQ(onebyone_cuda_conv2d_workspace(&desc, 1, &bytes), OB_CUDA_FAILED);
  EXPECT_NE(std::strstr(onebyone_cuda_last_error(), "invalid device ordinal"), nullptr);
  int32_t device = -1;
  EXPECT_EQ(onebyone_cuda_pointer_device(&desc, &device), OB_CUDA_OK);
  EXPECT_EQ(device, 0);
  EXPECT_EQ(onebyone_cuda_pointer_device(nullptr, &device), OB_CUDA_BAD_ARGUMENT);
  EXPECT_EQ(onebyone_cuda_wait(0, nullptr, nullptr), OB_CUDA_OK);
}

TEST(Abi, TellsWhyThereIsNoDevice) {
  const std::vector<std::tuple<const char*, int32_t, const char*>> machines = {
      {"no-driver", OB_CUDA_NO_DRIVER, "no CUDA driver is installed"},
      {"old-driver", OB_CUDA_OLD_DRIVER, "the CUDA driver serves CUDA 12.4, the library needs 13.0"},
      {"no-device", OB_CUDA_NO_DEVICE, "finds no GPU"},
      {"no-code", OB_CUDA_NO_CODE, "compute capability 7.0, the library needs 7.5"},
  };
  int32_t count = -1;
  for (const auto& [machine, code, words] : machines) {
    setenv("ONEBYONE_EMULATED_CUDA", machine, 1);
    EXPECT_EQ(onebyone_cuda_device_count(&count), code) << machine;
    EXPECT_EQ(count, 0);
    EXPECT_NE(std::strstr(onebyone_cuda_last_error(), words), nullptr) << onebyone_cuda_last_error();
  }
  unsetenv("ONEBYONE_EMULATED_CUDA");
  EXPECT_EQ(onebyone_cuda_device_count(&count), OB_CUDA_OK);
  EXPECT_EQ(count, 1);
  EXPECT_STREQ(onebyone_cuda_last_error(), "");
}

}  // namespace
}  // namespace onebyone::cuda
