// ops/reduce.h against plain loops in double: any axes and strides, threads, empty sums, special values.
#include "ops/reduce.h"

#include <map>

#include "tensors.h"

namespace onebyone {
namespace {

template <class T>
class OpsReduce : public ::testing::Test {};
TYPED_TEST_SUITE(OpsReduce, RealTypes);

const double kInf = std::numeric_limits<double>::infinity();

double exactly(ReduceKind kind, const std::vector<double>& values) {
  long double sum = 0, product = 1, absolute = 0, squares = 0;  // a chain of doubles would err as much
  double largest = -kInf, least = kInf;
  for (const double v : values) {
    sum += v, product *= v, absolute += std::fabs(v), squares += static_cast<long double>(v) * v;
    largest = std::isnan(v) || std::isnan(largest) ? NAN : std::max(largest, v);
    least = std::isnan(v) || std::isnan(least) ? NAN : std::min(least, v);
  }
  switch (kind) {
    case ReduceKind::kMean: return static_cast<double>(sum / static_cast<long double>(values.size()));
    case ReduceKind::kSum: return static_cast<double>(sum);
    case ReduceKind::kMax: return largest;
    case ReduceKind::kMin: return least;
    case ReduceKind::kProd: return static_cast<double>(product);
    case ReduceKind::kL1: return static_cast<double>(absolute);
    case ReduceKind::kL2: return static_cast<double>(std::sqrt(squares));
    case ReduceKind::kSumSquare: return static_cast<double>(squares);
  }
  return NAN;
}

// The elements of x that make each element of out.
template <class T>
std::map<Shape, std::vector<double>> groups(const Tensor<T>& x, const Shape& out) {
  std::map<Shape, std::vector<double>> result;
  for_each_index(shape_of(x.view), [&](const Shape& i) {
    Shape to = i;
    for (size_t d = 0; d < to.size(); ++d)
      if (out[d] == 1) to[d] = 0;
    result[to].push_back(x.at(i));
  });
  return result;
}

template <class T>
void check(ReduceKind kind, const Tensor<T>& x, Tensor<T>& out, const Kernels<T>& kernels, int threads) {
  SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind) << " of "
                                    << ::testing::PrintToString(shape_of(x.view)) << " to "
                                    << ::testing::PrintToString(shape_of(out.view)));
  reduce(kind, x.read(), out.view, kernels, threads);
  auto values = groups(x, shape_of(out.view));
  const int64_t n = x.view.size() / std::max<int64_t>(1, out.view.size());
  expect_tensor(
      out, [&](const Shape& i) { return exactly(kind, values[i]); },
      [&](double e) { return kEps<T> * (4 + 2 * std::sqrt(static_cast<double>(n))) * (1 + std::fabs(e)); });
}

TYPED_TEST(OpsReduce, AnyAxesAndStrides) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 500; ++round) {
      const int rank = static_cast<int>(random.below(9));
      const Shape shape = random_shape(rank, random);
      Shape reduced = shape;
      for (int64_t& n : reduced)
        if (random.below(2)) n = 1;
      Tensor<T> x(shape, random_arrangement(rank, true, random));
      Tensor<T> out(reduced, random_arrangement(rank, false, random));
      x.randomize(random);
      ASSERT_NO_FATAL_FAILURE(
          check<T>(static_cast<ReduceKind>(round % 8), x, out, kernels_of<T>(table), 1 + round % 3));
      if (::testing::Test::HasFailure()) return;
    }
  });
}

TYPED_TEST(OpsReduce, ImagesInThreads) {
  using T = TypeParam;
  const Arrangement nchw{}, nhwc{{0, 2, 3, 1}, {1, 1, 1, 1}};
  for_each_table([&](const KernelTable& table) {
    Random random;
    for (const Shape& shape : {Shape{1, 16, 57, 59}, Shape{2, 523, 7, 7}, Shape{1, 1, 1, 40001}})
      for (const Arrangement& layout : {nchw, nhwc})
        for (const Shape& to : {Shape{shape[0], shape[1], 1, 1}, Shape{shape[0], 1, shape[2], shape[3]}}) {
          Tensor<T> x(shape, layout);
          x.randomize(random);
          std::vector<T> first;
          for (const int threads : {1, 2, 5}) {
            Tensor<T> out(to, layout);
            reduce(ReduceKind::kMean, x.read(), out.view, kernels_of<T>(table), threads);
            if (threads == 1) first = out.memory;
            ASSERT_EQ(first, out.memory) << threads << " threads";
            check<T>(ReduceKind::kMean, x, out, kernels_of<T>(table), threads);
          }
        }
  });
}

TYPED_TEST(OpsReduce, NothingAndSpecialValues) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    for (int kind = 0; kind < 8; ++kind) {
      Tensor<T> none({3, 0, 2}), out({3, 1, 2});
      check<T>(static_cast<ReduceKind>(kind), none, out, kernels, 1);
      if (static_cast<ReduceKind>(kind) == ReduceKind::kProd) continue;  // 0 times infinity, as it comes
      for (const double special : {double(NAN), kInf, -kInf})
        for (const bool last : {false, true})
          for (int64_t at = 0; at < 2 * kernels.lanes + 3; ++at) {
            Tensor<T> x({2 * kernels.lanes + 3, 5},
                        {last ? std::vector<int>{1, 0} : std::vector<int>{0, 1}, {1, 1}}, T(1));
            x.at({at, 2}) = static_cast<T>(special);
            Tensor<T> sum({1, 5});
            ASSERT_NO_FATAL_FAILURE(check<T>(static_cast<ReduceKind>(kind), x, sum, kernels, 1));
          }
    }
  });
}

TYPED_TEST(OpsReduce, LongSumsAreMadeByBlocks) {
  using T = TypeParam;
  // A chain of float additions of 0.1 would be wrong by 1e-2.
  for_each_table([](const KernelTable& table) {
    for (const bool within : {false, true}) {
      const int64_t n = 1 << 20;
      Tensor<T> x(within ? Shape{1, n} : Shape{n, 1}, {}, T(0.1)), out({1, 1});
      reduce(ReduceKind::kMean, x.read(), out.view, kernels_of<T>(table), 2);
      EXPECT_NEAR(double(out.at({0, 0})), double(T(0.1)), 32 * kEps<T>);
    }
  });
}

TYPED_TEST(OpsReduce, Softmax) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 200; ++round) {
      const int rank = 1 + static_cast<int>(random.below(5)), axis = static_cast<int>(random.below(rank));
      const bool log = round % 2, dense = round % 3 == 0;
      Shape shape = random_shape(rank, random);
      if (round % 7 == 0) shape[axis] = 300 + random.below(300);
      Tensor<T> x(shape, dense ? Arrangement{} : random_arrangement(rank, true, random));
      Tensor<T> out(shape, dense ? Arrangement{} : random_arrangement(rank, false, random));
      x.randomize(random, 20);
      softmax(x.read(), axis, log, out.view, kernels_of<T>(table), 1 + round % 3);
      Shape distributions = shape;
      distributions[axis] = 1;
      auto values = groups(x, distributions);
      std::map<Shape, std::pair<double, double>> largest_and_sum;
      for (const auto& [i, v] : values) {
        const double largest = exactly(ReduceKind::kMax, v);
        double sum = 0;
        for (const double e : v) sum += std::exp(e - largest);
        largest_and_sum[i] = {largest, sum};
      }
      expect_tensor(
          out,
          [&](Shape i) {
            const double v = x.at(i);
            i[axis] = 0;
            const auto [largest, sum] = largest_and_sum[i];
            return log ? v - largest - std::log(sum) : std::exp(v - largest) / sum;
          },
          // A logarithm near 0 is the difference of v - max, of up to 40, and another.
          [&](double e) { return 64 * kEps<T> * ((log ? 1 : 1e-3) + std::fabs(e)); });
      if (::testing::Test::HasFailure()) return;
    }
  });
}

TYPED_TEST(OpsReduce, SoftmaxOfSpecialValues) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  for_each_table([&](const KernelTable& table) {
    for (const int axis : {0, 1}) {
      const auto run = [&](T at_two) {
        Tensor<T> x(axis ? Shape{3, 37} : Shape{37, 3}, {}, T(-1000)), out(shape_of(x.view));
        for (int64_t i = 0; i < 3; ++i) x.at(axis ? Shape{i, 2} : Shape{2, i}) = at_two;
        softmax(x.read(), axis, false, out.view, kernels_of<T>(table), 1);
        return std::pair(out.at({0, 0}), out.at(axis ? Shape{1, 2} : Shape{2, 1}));
      };
      EXPECT_EQ(run(T(1000)), std::pair(T(0), T(1)));
      EXPECT_EQ(run(-inf).second, T(0));
      EXPECT_TRUE(std::isnan(run(kNan<T>).first));
      EXPECT_TRUE(std::isnan(run(inf).second));
    }
  });
}

TYPED_TEST(OpsReduce, Lrn) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 60; ++round) {
      const LrnSpec spec = {1 + random.below(7), 0.3, round % 2 ? 0.75 : 0.6, 1.5};
      const Shape shape = {1 + random.below(2), 1 + random.below(40), 1 + random.below(20), random.below(30)};
      const Arrangement nhwc{{0, 2, 3, 1}, {1, 1, 1, 1}};
      Tensor<T> x(shape, round % 3 ? random_arrangement(4, true, random) : nhwc);
      Tensor<T> out(shape, round % 3 ? random_arrangement(4, false, random) : nhwc);
      x.randomize(random, 3);
      const auto image = [](const auto& view) {
        using Element = std::remove_pointer_t<decltype(view.data)>;
        const auto& [n, s] = std::pair(view.shape, view.strides);
        return ImageView<Element>{view.data, n[0], n[1], n[2], n[3], s[0], s[1], s[2], s[3]};
      };
      lrn(spec, image(x.read()), image(out.view), kernels_of<T>(table), 1 + round % 3);
      expect_tensor(
          out,
          [&](Shape i) {
            const double v = x.at(i);
            const int64_t c = i[1];
            double squares = 0;
            for (i[1] = std::max<int64_t>(0, c - (spec.size - 1) / 2);
                 i[1] < std::min(shape[1], c + spec.size / 2 + 1); ++i[1])
              squares += double(x.at(i)) * double(x.at(i));
            return v / std::pow(spec.k + spec.alpha / double(spec.size) * squares, spec.beta);
          },
          [](double e) { return 16 * kEps<T> * (1e-3 + std::fabs(e)); });
      if (::testing::Test::HasFailure()) return;
    }
  });
}

}  // namespace
}  // namespace onebyone
