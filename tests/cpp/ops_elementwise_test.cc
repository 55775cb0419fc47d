// ops/elementwise.h against plain loops in double: any strides, broadcasting, threads, special values.
#include "ops/elementwise.h"

#include "tensors.h"

namespace onebyone {
namespace {

template <class T>
class OpsElementwise : public ::testing::Test {};
TYPED_TEST_SUITE(OpsElementwise, RealTypes);

constexpr BinaryKind kBinaries[] = {BinaryKind::kAdd, BinaryKind::kSub, BinaryKind::kMul, BinaryKind::kDiv,
                                    BinaryKind::kMax, BinaryKind::kMin, BinaryKind::kPow};

double exactly(BinaryKind kind, double a, double b) {
  switch (kind) {
    case BinaryKind::kAdd: return a + b;
    case BinaryKind::kSub: return a - b;
    case BinaryKind::kMul: return a * b;
    case BinaryKind::kDiv: return a / b;
    case BinaryKind::kMax: return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b);
    case BinaryKind::kMin: return std::isnan(a) || std::isnan(b) ? NAN : std::min(a, b);
    case BinaryKind::kPow: return std::pow(a, b);
  }
  return NAN;
}

constexpr UnaryKind kUnaries[] = {
    UnaryKind::kAbs,   UnaryKind::kNeg,      UnaryKind::kSign,       UnaryKind::kExp,
    UnaryKind::kLog,   UnaryKind::kSqrt,     UnaryKind::kReciprocal, UnaryKind::kErf,
    UnaryKind::kFloor, UnaryKind::kCeil,     UnaryKind::kRound,      UnaryKind::kSin,
    UnaryKind::kCos,   UnaryKind::kSoftplus, UnaryKind::kElu,        UnaryKind::kMish};

double exactly(UnaryKind kind, double v) {
  switch (kind) {
    case UnaryKind::kAbs: return std::fabs(v);
    case UnaryKind::kNeg: return -v;
    case UnaryKind::kSign: return std::isnan(v) ? v : (v > 0) - (v < 0);
    case UnaryKind::kExp: return std::exp(v);
    case UnaryKind::kLog: return std::log(v);
    case UnaryKind::kSqrt: return std::sqrt(v);
    case UnaryKind::kReciprocal: return 1 / v;
    case UnaryKind::kErf: return std::erf(v);
    case UnaryKind::kFloor: return std::floor(v);
    case UnaryKind::kCeil: return std::ceil(v);
    case UnaryKind::kRound: return std::nearbyint(v);
    case UnaryKind::kSin: return std::sin(v);
    case UnaryKind::kCos: return std::cos(v);
    case UnaryKind::kSoftplus: return std::isinf(v) ? (v > 0 ? v : 0) : v > 30 ? v : std::log1p(std::exp(v));
    case UnaryKind::kElu: return v > 0 ? v : std::expm1(v);
    case UnaryKind::kMish: return std::isinf(v) ? (v > 0 ? v : 0) : v * std::tanh(std::log1p(std::exp(v)));
  }
  return NAN;
}

template <class T>
auto near(double units = 8) {
  return [units](double e) { return units * kEps<T> * (1 + std::fabs(e)); };
}

TYPED_TEST(OpsElementwise, BinaryOfAnyStrides) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 300; ++round) {
      const int rank = static_cast<int>(random.below(9));
      const Shape shape = random_shape(rank, random);
      Tensor<T> a(shape, random_arrangement(rank, true, random));
      Tensor<T> b(shape, random_arrangement(rank, true, random));
      Tensor<T> out(shape, random_arrangement(rank, false, random));
      a.randomize(random), b.randomize(random);
      const BinaryKind kind = kBinaries[round % 7];
      if (kind == BinaryKind::kPow || kind == BinaryKind::kDiv) {  // keep away from poles
        for (T& v : a.memory) v = std::fabs(v) + T(0.5);
        for (T& v : b.memory) v = std::fabs(v) + T(0.5);
      }
      const Activation& activation = all_activations()[random.below(10)];
      binary(kind, a.read(), b.read(), activation, out.view, kernels_of<T>(table), 1 + round % 3);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          out,
          [&](const Shape& i) {
            return static_cast<double>(
                activate_exactly<T>(activation, exactly(kind, double(a.at(i)), double(b.at(i)))));
          },
          near<T>(32)));
    }
  });
}

// Big enough for several threads: the shapes that networks have.
TYPED_TEST(OpsElementwise, BinaryBroadcastInThreads) {
  using T = TypeParam;
  const Arrangement nchw{}, nhwc{{0, 2, 3, 1}, {1, 1, 1, 1}};
  const Arrangement per_channel{{}, {0, 1, 0, 0}}, per_image_channel{{}, {1, 1, 0, 0}},
      scalar{{}, {0, 0, 0, 0}};
  const Shape shape = {2, 37, 31, 33};
  for_each_table([&](const KernelTable& table) {
    Random random;
    for (const Arrangement& layout : {nchw, nhwc})
      for (const Arrangement& other : {layout, per_channel, per_image_channel, scalar})
        for (const bool swapped : {false, true}) {
          Tensor<T> a(shape, layout), b(shape, other);
          a.randomize(random), b.randomize(random);
          std::vector<T> first;
          for (const int threads : {1, 2, 5}) {
            Tensor<T> out(shape, layout);
            const auto x = swapped ? b.read() : a.read(), y = swapped ? a.read() : b.read();
            binary(BinaryKind::kSub, x, y, {}, out.view, kernels_of<T>(table), threads);
            if (threads == 1) first = out.memory;
            ASSERT_EQ(first, out.memory) << threads << " threads";
          }
          Tensor<T> out(shape, layout);
          out.memory = first;
          ASSERT_NO_FATAL_FAILURE(expect_tensor(
              out,
              [&](const Shape& i) {
                return swapped ? double(b.at(i)) - double(a.at(i)) : double(a.at(i)) - double(b.at(i));
              },
              near<T>()));
        }
  });
}

TYPED_TEST(OpsElementwise, SpecialValuesAndInPlace) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const std::vector<T> special = {T(0), T(-1.5), T(2), inf, -inf, kNan<T>, -kNan<T>, T(1)};
  const int64_t n = static_cast<int64_t>(special.size());
  for_each_table([&](const KernelTable& table) {
    for (const BinaryKind kind : kBinaries) {
      Tensor<T> a({n, n}), b({n, n});
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) a.at({i, j}) = special[i], b.at({i, j}) = special[j];
      binary(kind, a.read(), b.read(), {}, a.view, kernels_of<T>(table), 1);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          a, [&](const Shape& i) { return exactly(kind, special[i[0]], special[i[1]]); }, near<T>()));
    }
    for (const UnaryKind kind : kUnaries) {
      Tensor<T> x({n});
      x.memory = special;
      unary(kind, x.read(), x.view, kernels_of<T>(table), 1);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          x,
          [&](const Shape& i) {
            SCOPED_TRACE(static_cast<int>(kind));
            return exactly(kind, special[i[0]]);
          },
          near<T>()));
    }
  });
}

TYPED_TEST(OpsElementwise, UnaryAndActivateOfAnyStrides) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 200; ++round) {
      const int rank = static_cast<int>(random.below(6));
      const Shape shape = random_shape(rank, random);
      Tensor<T> x(shape, random_arrangement(rank, true, random));
      Tensor<T> out(shape, random_arrangement(rank, false, random));
      x.randomize(random, 4);
      const UnaryKind kind = kUnaries[round % 15];
      if (kind == UnaryKind::kLog || kind == UnaryKind::kSqrt || kind == UnaryKind::kReciprocal)
        for (T& v : x.memory) v = std::fabs(v) + T(0.1);
      unary(kind, x.read(), out.view, kernels_of<T>(table), 1 + round % 3);
      ASSERT_NO_FATAL_FAILURE(
          expect_tensor(out, [&](const Shape& i) { return exactly(kind, double(x.at(i))); }, near<T>()));
      const Activation& activation = all_activations()[round % 10];
      activate(activation, x.read(), out.view, kernels_of<T>(table), 1 + round % 3);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          out, [&](const Shape& i) { return static_cast<double>(activate_exactly<T>(activation, x.at(i))); },
          near<T>(32)));
    }
  });
}

TYPED_TEST(OpsElementwise, ScaleShift) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    for (int round = 0; round < 150; ++round) {
      const int rank = 1 + static_cast<int>(random.below(5)), axis = static_cast<int>(random.below(rank));
      const Shape shape = random_shape(rank, random);
      Tensor<T> x(shape, random_arrangement(rank, true, random));
      Tensor<T> out(shape, random_arrangement(rank, false, random));
      x.randomize(random);
      const std::vector<T> scale = random.values<T>(shape[axis]), shift = random.values<T>(shape[axis]);
      const Activation& activation = all_activations()[round % 10];
      scale_shift(x.read(), axis, scale.data(), shift.data(), activation, out.view, kernels_of<T>(table),
                  1 + round % 3);
      ASSERT_NO_FATAL_FAILURE(expect_tensor(
          out,
          [&](const Shape& i) {
            return static_cast<double>(activate_exactly<T>(
                activation, double(x.at(i)) * double(scale[i[axis]]) + double(shift[i[axis]])));
          },
          near<T>(32)));
    }
  });
}

}  // namespace
}  // namespace onebyone
