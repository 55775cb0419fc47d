// conv2d_test.cc - the kernels by way of the C ABI, on the emulator: every shape, layout, type, algorithm and
// order of threads against float64.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "shapes.h"

namespace onebyone::cuda {
namespace {

using emulator::Options;
using emulator::Order;

constexpr int32_t kTypes[] = {OB_CUDA_FLOAT32, OB_CUDA_FLOAT16, OB_CUDA_BFLOAT16};
constexpr int32_t kLayouts[] = {OB_CUDA_NCHW, OB_CUDA_NHWC};

// AddressSanitizer looks for other things than orders bring out, and takes its time: there each case has one.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kOrdersEach = 1;
#else
constexpr int kOrdersEach = 3;
#endif

bool serves(int32_t algorithm, const onebyone_cuda_conv2d_desc& desc) {
  if (algorithm == OB_CUDA_TENSOR_CORES) return desc.layout == OB_CUDA_NHWC;
  return algorithm != OB_CUDA_DEPTHWISE || desc.ic / desc.groups <= 8;
}

// One multiprocessor wants big tiles, many want small ones and splits.
Options machine(int32_t variant) {
  constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kRandom};
  constexpr int kMultiprocessors[] = {1, 8, 64};
  Options options;
  options.order = kOrders[variant % 3];
  options.multiprocessors = kMultiprocessors[variant % 3];
  options.seed = static_cast<uint32_t>(variant + 1);
  return options;
}

class Conv2dTest : public testing::TestWithParam<Shape> {};

TEST_P(Conv2dTest, Matches) {
  int32_t variant = 0;
  for (const int32_t layout : kLayouts) {
    onebyone_cuda_conv2d_desc desc = describe_shape(GetParam(), OB_CUDA_FLOAT32, layout);
    desc.allow_tf32 = 1;
    const Arrays arrays = make_arrays(desc);
    const std::vector<double> expected = reference(desc, arrays);
    for (desc.algorithm = OB_CUDA_AUTO; desc.algorithm <= OB_CUDA_DEPTHWISE; ++desc.algorithm) {
      if (!serves(desc.algorithm, desc)) continue;
      for (const int32_t dtype : kTypes)
        for (int order = 0; order < (desc.algorithm == OB_CUDA_AUTO ? 1 : kOrdersEach); ++order) {
          desc.dtype = dtype;
          const WithOptions with(machine(variant++));
          const Result result = run(desc, arrays);
          ASSERT_EQ(result.code, OB_CUDA_OK) << result.message;
          EXPECT_EQ(count_wrong(desc, result.y, expected), 0)
              << result.plan << ", dtype " << dtype << ", layout " << layout << ", order " << order;
        }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dTest, testing::ValuesIn(kShapes));
INSTANTIATE_TEST_SUITE_P(Empty, Conv2dTest, testing::ValuesIn(kEmpty));

TEST(Conv2d, NeedsNeitherBiasNorResidual) {
  for (const int32_t algorithm : {OB_CUDA_DIRECT, OB_CUDA_TENSOR_CORES}) {
    onebyone_cuda_conv2d_desc desc = describe_shape({1, 16, 5, 7, 17, 1, 1}, OB_CUDA_FLOAT16, OB_CUDA_NHWC);
    desc.algorithm = algorithm;
    Arrays arrays = make_arrays(desc);
    arrays.bias.clear();
    arrays.residual.clear();
    const Result result = run(desc, arrays);
    ASSERT_EQ(result.code, OB_CUDA_OK) << result.message;
    EXPECT_EQ(count_wrong(desc, result.y, reference(desc, arrays)), 0) << result.plan;
  }
}

// Fused into the kernels and into the sum of splits; a NaN and infinities among the sums.
TEST(Conv2d, AppliesEveryActivation) {
  for (const Shape& shape : {Shape{1, 16, 5, 7, 17, 1, 1}, Shape{1, 520, 3, 3, 19, 1, 1}})
    for (int32_t kind = 0; kind <= static_cast<int32_t>(ActivationKind::kGelu); ++kind)
      for (const int32_t layout : kLayouts) {
        onebyone_cuda_conv2d_desc desc = describe_shape(shape, OB_CUDA_FLOAT32, layout);
        desc.allow_tf32 = 1;
        desc.activation = kind;
        desc.a = kind == static_cast<int32_t>(ActivationKind::kClip) ? -0.75 : 0.1;
        desc.b = 1.5;
        Arrays arrays = make_arrays(desc);
        const std::vector<double> expected = reference(desc, arrays);
        const Result result = run(desc, arrays);
        ASSERT_EQ(result.code, OB_CUDA_OK) << result.message;
        EXPECT_EQ(count_wrong(desc, result.y, expected, 2e-6), 0) << result.plan << ", activation " << kind;

        arrays.bias[3] = NAN;
        const Result with_nan = run(desc, arrays);
        for (size_t i = 0; i < with_nan.y.size(); ++i) {
          const size_t pixels = with_nan.y.size() / static_cast<size_t>(desc.oc);
          const size_t channel = layout == OB_CUDA_NHWC ? i % static_cast<size_t>(desc.oc) : i / pixels;
          ASSERT_EQ(std::isnan(with_nan.y[i]), channel == 3) << "activation " << kind << ", output " << i;
        }
      }
}

// Arrays from the middle of others: elements one by one where copies do not fit.
TEST(Conv2d, TakesAnyAlignment) {
  for (const Shape& shape : {Shape{1, 16, 5, 7, 17, 1, 1}, Shape{1, 16, 4, 5, 9, 3, 3},
                             Shape{1, 6, 4, 5, 9, 3, 3}, Shape{1, 1024, 2, 2, 9, 1, 1}})
    for (const int32_t dtype : kTypes)
      for (const int misaligned : {1, 2, 4}) {
        onebyone_cuda_conv2d_desc desc = describe_shape(shape, dtype, OB_CUDA_NHWC);
        desc.allow_tf32 = 1;
        const Arrays arrays = make_arrays(desc);
        const Result result = run(desc, arrays, misaligned);
        ASSERT_EQ(result.code, OB_CUDA_OK) << result.message;
        EXPECT_EQ(count_wrong(desc, result.y, reference(desc, arrays)), 0)
            << result.plan << ", dtype " << dtype;
      }
}

// Values that TF32 does not have: exact to float32 unless it is allowed, and rounded to nearest if so.
TEST(Conv2d, RoundsToTf32OnlyIfAllowed) {
  onebyone_cuda_conv2d_desc desc = describe_shape({1, 32, 5, 7, 17, 1, 1}, OB_CUDA_FLOAT32, OB_CUDA_NHWC);
  Arrays arrays = make_arrays(desc);
  for (float& value : arrays.x) value *= 1 + 0x1p-12f + 0x1p-14f;
  const std::vector<double> expected = reference(desc, arrays);
  EXPECT_EQ(count_wrong(desc, run(desc, arrays).y, expected), 0);
  desc.allow_tf32 = 1;
  EXPECT_GT(count_wrong(desc, run(desc, arrays).y, expected), 0);
  EXPECT_EQ(count_wrong(desc, run(desc, arrays).y, expected, 32 * 0x1p-11), 0);
}

// sm_75 copies at once and has float16 alone; nothing older is served.
TEST(Conv2d, ServesTuring) {
  Options options;
  options.capability = 75;
  const WithOptions with(options);
  onebyone_cuda_conv2d_desc desc = describe_shape({1, 64, 7, 9, 63, 1, 1}, OB_CUDA_FLOAT16, OB_CUDA_NHWC);
  const Arrays arrays = make_arrays(desc);
  const std::vector<double> expected = reference(desc, arrays);
  for (const int32_t dtype : kTypes) {
    desc.dtype = dtype;
    desc.allow_tf32 = 1;
    const Result result = run(desc, arrays);
    EXPECT_EQ(result.plan.starts_with("tensor cores"), dtype == OB_CUDA_FLOAT16) << result.plan;
    EXPECT_EQ(count_wrong(desc, result.y, expected), 0);
  }
}

// The shapes above reach every instance of the kernels.
TEST(Conv2d, ShapesReachEveryKernel) {
  std::set<std::string> seen;
  for (const Shape& shape : kShapes)
    for (const int32_t layout : kLayouts)
      for (const int32_t dtype : kTypes)
        for (int variant = 0; variant < 3; ++variant)
          for (const int32_t algorithm : {OB_CUDA_DIRECT, OB_CUDA_TENSOR_CORES}) {
            const WithOptions with(machine(variant));
            onebyone_cuda_conv2d_desc desc = describe_shape(shape, dtype, layout);
            desc.allow_tf32 = 1;
            desc.algorithm = algorithm;
            char text[200];
            if (!serves(algorithm, desc)) continue;
            ASSERT_EQ(onebyone_cuda_conv2d_describe(&desc, 0, text, sizeof text), OB_CUDA_OK);
            const std::string plan = text;
            seen.insert(plan.substr(0, plan.find(plan.find("bytes") == std::string::npos ? "," : " bytes")));
            if (plan.find("splits") != std::string::npos) seen.insert("splits");
          }
  for (const char* plan :
       {"direct 128x128x8", "direct 64x64x16", "splits", "tensor cores 128x128x16, copies of 16",
        "tensor cores 128x64x16, copies of 16", "tensor cores 64x64x16, copies of 16",
        "tensor cores 64x64x16, copies of 4", "tensor cores 128x128x32, copies of 16",
        "tensor cores 128x64x32, copies of 16", "tensor cores 64x64x32, copies of 16",
        "tensor cores 64x64x32, copies of 4", "tensor cores 64x64x32, copies of 2"})
    EXPECT_TRUE(seen.contains(plan)) << plan;
}

}  // namespace
}  // namespace onebyone::cuda
