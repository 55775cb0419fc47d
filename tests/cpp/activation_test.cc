// Kernels::activate against the definitions in long double: accuracy over the whole range, tails, special
// values.
#include <algorithm>

#include "testing.h"

namespace onebyone {
namespace {

template <class T>
std::vector<T> inputs() {
  std::vector<T> v = {T(0), T(-0.0), std::numeric_limits<T>::denorm_min(),
                      -std::numeric_limits<T>::denorm_min()};
  for (int i = -4400; i <= 4400; ++i)
    v.push_back(T(i) / T(40) + T(1e-3));  // past where exp over- and underflows
  for (int e = -140; e <= 60; ++e)
    for (const T s : {T(1), T(-1)}) v.push_back(s * std::ldexp(T(1.234375), e));
  for (const T edge : {T(0.625), T(3), T(0.5), T(0.75), T(6)})  // where formulas change
    for (const T s : {edge, -edge})
      for (const T to : {T(-100), T(100)}) v.insert(v.end(), {s, std::nextafter(s, to)});
  return v;
}

// gelu computes e^(-v^2 / 2): the rounding of v^2 is magnified v^2 / 2 times. silu computes 2^(-v log2(e))
// with log2(e) in one part, and rounds the product where there is no FMA. Factors of v may have underflown
// before they meet it: 1 / (1 + e^-v) of silu is lost where e^-v overflows.
template <class T>
double bound(const Activation& activation, double v, double exact) {
  double units = 8;
  if (activation.kind == ActivationKind::kGelu) units += v * v;
  if (activation.kind == ActivationKind::kSilu) units += std::abs(v) / 2;
  return units * kEps<T> * std::abs(exact) +
         (1 + std::abs(v)) * static_cast<double>(std::numeric_limits<T>::min());
}

template <class T>
class Activate : public ::testing::Test {};
TYPED_TEST_SUITE(Activate, RealTypes);

TYPED_TEST(Activate, FollowsItsDefinition) {
  using T = TypeParam;
  const std::vector<T> x = inputs<T>();
  for_each_table([&](const KernelTable& table) {
    for (const Activation& activation : all_activations()) {
      std::vector<T> y(x.size(), kNan<T>);
      kernels_of<T>(table).activate(activation, x.data(), y.data(), static_cast<int64_t>(x.size()));
      for (size_t i = 0; i < x.size(); ++i) {
        const double v = x[i], exact = static_cast<double>(activate_exactly<T>(activation, x[i]));
        ASSERT_NEAR(static_cast<double>(y[i]), exact, bound<T>(activation, v, exact))
            << "kind " << static_cast<int>(activation.kind) << " of " << v;
      }
    }
  });
}

TYPED_TEST(Activate, TailsAndInPlace) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    Random random;
    for (const Activation& activation : all_activations())
      for (int64_t n = 0; n <= 2 * kernels.lanes + 1; ++n) {
        const std::vector<T> x = random.values<T>(n);
        std::vector<T> apart(n + 1, T(77)), in_place = x;
        kernels.activate(activation, x.data(), apart.data(), n);
        kernels.activate(activation, in_place.data(), in_place.data(), n);
        ASSERT_EQ(apart[n], T(77)) << "wrote past " << n << " elements";
        ASSERT_TRUE(std::equal(in_place.begin(), in_place.end(), apart.begin())) << n;
        for (int64_t i = 0; i < n; ++i) {
          const double exact = static_cast<double>(activate_exactly<T>(activation, x[i]));
          ASSERT_NEAR(static_cast<double>(apart[i]), exact, bound<T>(activation, x[i], exact))
              << i << " of " << n;
        }
      }
  });
}

// A denormal would slow down whatever reads it. Doubles go through libm, which makes some.
TEST(ActivateFloat, MakesNoDenormals) {
  std::vector<float> x;
  for (float v = 1; v < 130; v += 1.0f / 512) x.insert(x.end(), {v, -v});
  for_each_table([&](const KernelTable& table) {
    for (const Activation& activation : all_activations()) {
      std::vector<float> y(x.size());
      table.f32.activate(activation, x.data(), y.data(), static_cast<int64_t>(x.size()));
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NE(std::fpclassify(y[i]), FP_SUBNORMAL)
            << "kind " << static_cast<int>(activation.kind) << " of " << x[i];
    }
  });
}

TYPED_TEST(Activate, NanStaysNan) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    for (const Activation& activation : all_activations()) {
      std::vector<T> v(2 * kernels_of<T>(table).lanes - 1, T(0.25));
      for (size_t i = 0; i < v.size(); i += 2) v[i] = i % 4 ? -kNan<T> : kNan<T>;
      kernels_of<T>(table).activate(activation, v.data(), v.data(), static_cast<int64_t>(v.size()));
      for (size_t i = 0; i < v.size(); ++i)
        ASSERT_EQ(std::isnan(v[i]), i % 2 == 0)
            << "kind " << static_cast<int>(activation.kind) << " lane " << i;
    }
  });
}

TYPED_TEST(Activate, InfinityIsTheLimit) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  struct Limit {
    Activation activation;
    T below, above;
  };
  // silu, hardswish and gelu of -infinity are infinity times 0, which is a NaN by their formulas: left out.
  const std::vector<Limit> limits = {
      {{ActivationKind::kNone, 0, 0}, -inf, inf},         {{ActivationKind::kClip, 0, 6}, T(0), T(6)},
      {{ActivationKind::kClip, 0, inf}, T(0), inf},       {{ActivationKind::kLeakyRelu, 0.5, 0}, -inf, inf},
      {{ActivationKind::kSigmoid, 0, 0}, T(0), T(1)},     {{ActivationKind::kTanh, 0, 0}, T(-1), T(1)},
      {{ActivationKind::kHardsigmoid, 0, 0}, T(0), T(1)}, {{ActivationKind::kSilu, 0, 0}, kNan<T>, inf},
      {{ActivationKind::kHardswish, 0, 0}, kNan<T>, inf}, {{ActivationKind::kGelu, 0, 0}, kNan<T>, inf}};
  for_each_table([&](const KernelTable& table) {
    for (const Limit& limit : limits) {
      T v[2] = {-inf, inf};
      kernels_of<T>(table).activate(limit.activation, v, v, 2);
      EXPECT_EQ(v[1], limit.above) << "kind " << static_cast<int>(limit.activation.kind);
      if (!std::isnan(limit.below)) {
        EXPECT_EQ(v[0], limit.below) << "kind " << static_cast<int>(limit.activation.kind);
      }
    }
  });
}

}  // namespace
}  // namespace onebyone
