// ops/copy.h against its definitions: any strides, changes of layout, padding of every mode, indices.
#include "ops/copy.h"

#include "tensors.h"

namespace onebyone {
namespace {

template <class T>
class OpsCopy : public ::testing::Test {};
TYPED_TEST_SUITE(OpsCopy, RealTypes);

constexpr auto kSame = [](double) { return 0.0; };

TYPED_TEST(OpsCopy, AnyStrides) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 300; ++round) {
      const int rank = static_cast<int>(random.below(9));
      const Shape shape = random_shape(rank, random);
      Tensor<T> x(shape, random_arrangement(rank, true, random));
      Tensor<T> out(shape, random_arrangement(rank, false, random));
      x.randomize(random);
      copy(x.read(), out.view, kernels_of<T>(table), 1 + round % 3);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(out, [&](const Shape& i) { return double(x.at(i)); }, kSame));
    }
  });
}

TYPED_TEST(OpsCopy, Layouts) {
  using T = TypeParam;
  const Arrangement nchw{}, nhwc{{0, 2, 3, 1}, {1, 1, 1, 1}};
  for_each_table([&](const KernelTable& table) {
    Random random;
    for (const Shape& shape :
         {Shape{1, 3, 50, 61}, Shape{2, 2, 9, 19}, Shape{1, 4, 33, 7}, Shape{2, 64, 17, 16},
          Shape{1, 131, 7, 7}, Shape{3, 16, 1, 129}, Shape{1, 70, 65, 9}})
      for (const bool to_last : {false, true})
        for (const int threads : {1, 2, 5}) {
          Tensor<T> x(shape, to_last ? nchw : nhwc), out(shape, to_last ? nhwc : nchw);
          x.randomize(random);
          copy(x.read(), out.view, kernels_of<T>(table), threads);
          ASSERT_NO_FATAL_FAILURE(expect_tensor(out, [&](const Shape& i) { return double(x.at(i)); }, kSame));
        }
  });
}

TYPED_TEST(OpsCopy, Pad) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 300; ++round) {
      const int rank = static_cast<int>(random.below(5));
      const auto mode = static_cast<PadMode>(round % 3);
      Shape shape, padded, before;
      for (int d = 0; d < rank; ++d) {
        shape.push_back(1 + random.below(9));
        const int64_t most = mode == PadMode::kReflect ? shape[d] : 4;
        // Crops leave something of x, or nothing at all.
        before.push_back(random.below(most + 2) - 2);
        before[d] = std::max(before[d], -shape[d]);
        padded.push_back(std::max<int64_t>(0, before[d] + shape[d] + random.below(most + 2) - 2));
        padded[d] = std::min(padded[d], before[d] + shape[d] + most - 1);
        if (mode == PadMode::kReflect) padded[d] = std::min(padded[d], before[d] + 2 * shape[d] - 1);
      }
      Tensor<T> x(shape, random_arrangement(rank, true, random));
      Tensor<T> out(padded, random_arrangement(rank, false, random));
      x.randomize(random);
      pad(x.read(), before.data(), mode, T(0.375), out.view, kernels_of<T>(table), 1 + round % 2);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          out,
          [&](const Shape& i) {
            Shape source = i;
            for (int d = 0; d < rank; ++d) {
              int64_t& s = source[d];
              s -= before[d];
              if (mode == PadMode::kConstant && (s < 0 || s >= shape[d])) return 0.375;
              if (mode == PadMode::kEdge) s = std::clamp<int64_t>(s, 0, shape[d] - 1);
              if (mode == PadMode::kReflect) {
                s = std::abs(s);
                if (s >= shape[d]) s = 2 * (shape[d] - 1) - s;
              }
            }
            return double(x.at(source));
          },
          kSame));
    }
  });
}

TYPED_TEST(OpsCopy, Gather) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 100; ++round) {
      const int rank = 1 + static_cast<int>(random.below(4)), axis = static_cast<int>(random.below(rank));
      Shape shape = random_shape(rank, random);
      shape[axis] += 1;
      Tensor<T> x(shape, random_arrangement(rank, true, random));
      x.randomize(random);
      std::vector<int64_t> indices;
      while (indices.size() < static_cast<size_t>(round % 23)) {
        indices.push_back(random.below(shape[axis]));
        if (random.below(2) && indices.back() + 2 < shape[axis])
          indices.insert(indices.end(), {indices.back() + 1, indices.back() + 2});
      }
      shape[axis] = static_cast<int64_t>(indices.size());
      Tensor<T> out(shape, random_arrangement(rank, false, random));
      gather(x.read(), axis, indices.data(), out.view, kernels_of<T>(table), 2);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          out,
          [&](Shape i) {
            i[axis] = indices[i[axis]];
            return double(x.at(i));
          },
          kSame));
    }
  });
}

}  // namespace
}  // namespace onebyone
