// host_threads_test.cc - the kernels with a host thread for each CUDA thread: small, and meant for
// ThreadSanitizer, which sees accesses to shared memory that no barrier separates even if their values come
// out right.
#include <gtest/gtest.h>

#include "convolution.h"

namespace onebyone::cuda {
namespace {

TEST(HostThreads, Match) {
  const std::vector<std::pair<int32_t, Shape>> cases = {
      {OB_CUDA_DIRECT, {1, 36, 3, 4, 9, 1, 1}},
      {OB_CUDA_TENSOR_CORES, {1, 80, 3, 4, 9, 1, 1}},                         // more tiles of k than stages
      {OB_CUDA_TENSOR_CORES, {1, 5, 3, 4, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1}},  // narrow copies
      {OB_CUDA_DEPTHWISE, {1, 3, 5, 4, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 3}},
  };
  emulator::Options options;
  options.host_threads = true;
  options.multiprocessors = 1;
  const WithOptions with(options);
  for (const auto& [algorithm, shape] : cases) {
    onebyone_cuda_conv2d_desc desc = describe_shape(shape, OB_CUDA_FLOAT32, OB_CUDA_NHWC);
    desc.algorithm = algorithm;
    desc.allow_tf32 = 1;
    const Arrays arrays = make_arrays(desc);
    const Result result = run(desc, arrays);
    ASSERT_EQ(result.code, OB_CUDA_OK) << result.message;
    EXPECT_EQ(count_wrong(desc, result.y, reference(desc, arrays)), 0) << result.plan;
  }
}

}  // namespace
}  // namespace onebyone::cuda
