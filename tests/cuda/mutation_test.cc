// mutation_test.cc - would the tests notice a missing barrier? Each barrier and wait of the kernels is left
// out in turn; in some order of threads some result must then be wrong. With all in place all are right.
#include <gtest/gtest.h>

#include <algorithm>

#include "convolution.h"
#include "sync_points.h"

namespace onebyone::cuda {
namespace {

// What a point is tried on: a kernel, several tiles of k deep, with many outputs.
struct Trial {
  int32_t algorithm, dtype, multiprocessors;
  Shape shape;
};

// One multiprocessor wants the big tile, many want the small one. 13 tiles of k end in the first stage of
// pipelines of three and of four, where the sums are staged afterwards.
const std::vector<Trial> kTrials = {
    {OB_CUDA_DIRECT, OB_CUDA_FLOAT32, 1, {1, 40, 3, 43, 129, 1, 1}},
    {OB_CUDA_DIRECT, OB_CUDA_FLOAT32, 64, {1, 40, 5, 7, 33, 1, 1}},
    {OB_CUDA_TENSOR_CORES, OB_CUDA_FLOAT32, 1, {1, 204, 3, 40, 125, 1, 1}},
    {OB_CUDA_TENSOR_CORES, OB_CUDA_FLOAT32, 1, {1, 204, 3, 40, 61, 1, 1}},
    {OB_CUDA_TENSOR_CORES, OB_CUDA_FLOAT16, 1, {1, 408, 5, 12, 61, 1, 1}},
};

// The trials of which some output is wrong.
int count_noticed(int32_t algorithm, int left_out) {
  int noticed = 0;
  for (const Trial& trial : kTrials) {
    if (trial.algorithm != algorithm) continue;
    onebyone_cuda_conv2d_desc desc = describe_shape(trial.shape, trial.dtype, OB_CUDA_NHWC);
    desc.algorithm = trial.algorithm;
    desc.allow_tf32 = 1;
    const Arrays arrays = make_arrays(desc);
    const std::vector<double> expected = reference(desc, arrays);
    bool wrong = false;
    for (const auto order :
         {emulator::Order::kForward, emulator::Order::kReversed, emulator::Order::kRandom}) {
      emulator::Options options;
      options.order = order;
      options.left_out = left_out;
      options.multiprocessors = trial.multiprocessors;
      const WithOptions with(options);
      const Result result = run(desc, arrays);
      EXPECT_EQ(result.code, OB_CUDA_OK) << result.message;
      wrong = wrong || count_wrong(desc, result.y, expected) > 0;
    }
    noticed += wrong;
  }
  return noticed;
}

class MutationTest : public testing::TestWithParam<int> {};

TEST_P(MutationTest, IsNoticed) {
  const int32_t algorithm = GetParam() < kTensorCopiesLanded ? OB_CUDA_DIRECT : OB_CUDA_TENSOR_CORES;
  const auto trials = std::count_if(kTrials.begin(), kTrials.end(),
                                    [=](const Trial& trial) { return trial.algorithm == algorithm; });
  EXPECT_EQ(count_noticed(algorithm, GetParam()), trials);
}

INSTANTIATE_TEST_SUITE_P(SyncPoints, MutationTest, testing::Range(0, static_cast<int>(kSyncPoints)));

TEST(Mutation, NothingIsWrongWithoutOne) {
  EXPECT_EQ(count_noticed(OB_CUDA_DIRECT, -1), 0);
  EXPECT_EQ(count_noticed(OB_CUDA_TENSOR_CORES, -1), 0);
}

// A wait that lets one more group be under way.
TEST(Mutation, EarlyWaitIsNoticed) {
  emulator::Options options = emulator::options;
  options.waits_early = true;
  const WithOptions with(options);
  onebyone_cuda_conv2d_desc desc = describe_shape({1, 112, 5, 13, 65, 1, 1}, OB_CUDA_FLOAT16, OB_CUDA_NHWC);
  const Arrays arrays = make_arrays(desc);
  EXPECT_GT(count_wrong(desc, run(desc, arrays).y, reference(desc, arrays)), 0);
}

}  // namespace
}  // namespace onebyone::cuda
