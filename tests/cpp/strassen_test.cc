// Strassen's algorithm for every kernel table: its sums against their contract, blocks and panels that end
// anywhere, its error, images and weights that are not finite.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "conv/conv2d.h"
#include "testing.h"

namespace onebyone {
namespace {

// Rows of 2 n elements in shuffled places; what is not written stays NaN.
TEST(StrassenSums, EveryRemainderAndNothingElse) {
  for_each_table([](const KernelTable& table) {
    const Kernels<float>& kernels = table.f32;
    Random random;
    for (int64_t n = 1; n <= 2 * kernels.lanes + 1; ++n)
      for (const int64_t rows : {1, 3}) {
        const std::vector<float> a = random.values<float>(4 * rows * n);
        std::vector<const float*> pointers;
        for (int64_t r = 0; r < 2 * rows; ++r)
          pointers.push_back(a.data() + (r * 3 + 1) % (2 * rows) * 2 * n);
        const int64_t row = n + 1, stride = rows * row + 2;
        std::vector<float> sums(3 * stride + (rows - 1) * row + n, kNan<float>);
        ASSERT_TRUE(kernels.strassen_sums({.rows = rows,
                                           .n = n,
                                           .top = pointers.data(),
                                           .bottom = pointers.data() + rows,
                                           .sums = sums.data(),
                                           .sums_row = row,
                                           .sums_stride = stride,
                                           .limit = 1}));
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < n; ++j) {
            const float *top = pointers[r], *bottom = pointers[rows + r];
            const float s1 = bottom[j] + bottom[n + j], s2 = s1 - top[j];
            const float expected[] = {s1, s2, top[j] - bottom[j], top[n + j] - s2};
            for (int64_t s = 0; s < 4; ++s) {
              float& got = sums[s * stride + r * row + j];
              ASSERT_EQ(got, expected[s]) << "sum " << s + 1 << " row " << r << " column " << j;
              got = kNan<float>;
            }
          }
        for (const float v : sums) ASSERT_TRUE(std::isnan(v)) << "written outside";
      }
  });
}

TEST(StrassenSums, TellOfWhatIsTooLarge) {
  constexpr float kLimit = 1e30f;
  for_each_table([](const KernelTable& table) {
    const int64_t n = table.f32.lanes + 3;
    for (const float value :
         {-kLimit, 1.01f * kLimit, -3e38f, kNan<float>, -std::numeric_limits<float>::infinity()})
      for (int64_t at = 0; at < 4 * n; ++at) {
        std::vector<float> a(4 * n, 0.5f), sums(4 * n);
        a[at] = value;
        const float* rows[] = {a.data(), a.data() + 2 * n};
        EXPECT_EQ(table.f32.strassen_sums({.rows = 1,
                                           .n = n,
                                           .top = rows,
                                           .bottom = rows + 1,
                                           .sums = sums.data(),
                                           .sums_row = n,
                                           .sums_stride = n,
                                           .limit = kLimit}),
                  value == -kLimit)
            << value << " at " << at;
      }
  });
}

// A channels-last problem with its data.
template <class T>
struct Pointwise {
  ConvProblem problem;
  std::vector<T> x, weight, bias, residual;
  int64_t row;  // between pixels of the output

  Pointwise(const ImageShape& shape, int64_t oc, Pair stride = {1, 1}, int64_t gap = 0) : row(oc + gap) {
    problem.geometry = make_geometry("conv2d", shape, {oc, shape.channels, 1, 1}, stride, AutoPadding::kValid,
                                     {1, 1}, 1, "x.shape[1], layout NCHW");
    problem.layout = Layout::kNhwc;
    problem.algorithm = Algorithm::kStrassen;
    problem.element_bytes = sizeof(T);
    problem.activation = {ActivationKind::kLeakyRelu, 0.25, 0};
    problem.residual = true;
    problem.out_step = row;
    Random random;
    x = random.values<T>(shape.batch * shape.channels * shape.height * shape.width);
    weight = random.values<T>(oc * shape.channels);
    bias = random.values<T>(oc);
    residual = random.values<T>(outputs());
  }
  int64_t outputs() const { return problem.geometry.batch * problem.geometry.out_pixels() * row; }
  ConvWeights<T> weights() const {
    const ConvGeometry& g = problem.geometry;
    return {{weight.data(), g.oc, g.ic, 1, 1, g.ic, 1, 1, 1}, bias.data(), 1};
  }
  // One image of the batch, or all (-1). What lies between outputs is 0.
  std::vector<T> run(const ConvAlgorithm<T>& algorithm, int threads = 1, int64_t image = -1) const {
    const ConvGeometry& g = problem.geometry;
    const int64_t sw = g.ic, sh = g.iw * sw, sn = g.ih * sh, first = std::max<int64_t>(image, 0);
    const int64_t size = image < 0 ? outputs() : outputs() / g.batch;
    std::vector<T> out(size);
    algorithm.run({x.data() + first * sn, image < 0 ? g.batch : 1, g.ic, g.ih, g.iw, sn, 1, sh, sw},
                  residual.data() + first * size, out.data(), threads);
    return out;
  }
  std::vector<T> reference(const KernelTable& table) const {
    return run(*make_reference<T>(problem, kernels_of<T>(table), weights()));
  }
  // Blocks of so many pixels, 0: as planned.
  ConvAlgorithmPtr<T> prepare(const KernelTable& table, int64_t pixels = 0) const {
    ConvPlan plan = make_plan("conv2d", problem, table);
    if (pixels) plan.mc = pixels;
    return make_strassen<T>(problem, plan, kernels_of<T>(table), weights(), [&](const ConvWeights<T>& w) {
      ConvProblem one = problem;
      one.geometry.batch = 1;
      return make_reference<T>(one, kernels_of<T>(table), w);
    });
  }
};

// In float64, where a wrong sum cannot hide: all remainders of pixels, channels and blocks.
TEST(Strassen, AgreesWithReference) {
  for_each_table([](const KernelTable& table) {
    for (const int64_t ic : {2, 6, 34, 130})
      for (const int64_t oc :
           {int64_t{1}, int64_t{2}, int64_t{2 * table.f64.nr}, int64_t{2 * table.f64.nr + 3}, int64_t{299}})
        for (const ImageShape& shape : {ImageShape{1, ic, 1, 1}, ImageShape{2, ic, 1, 2},
                                        ImageShape{2, ic, 5, 7}, ImageShape{1, ic, 14, 11}}) {
          const Pointwise<double> conv(shape, oc, {1, 1}, 3);
          const std::vector<double> expected = conv.reference(table);
          for (const int64_t pixels : {0, 1, 2, 13, 24}) {
            SCOPED_TRACE(::testing::Message() << ic << " -> " << oc << " at " << shape.height << "x"
                                              << shape.width << ", blocks of " << pixels);
            const std::vector<double> got = conv.run(*conv.prepare(table, pixels));
            for (size_t i = 0; i < got.size(); ++i)
              ASSERT_NEAR(got[i], expected[i], 1e-12) << "element " << i;
          }
        }
  });
}

TEST(Strassen, SameBitsForAnyThreadsAndBatch) {
  const Pointwise<float> conv({3, 66, 19, 17}, 325, {2, 1});
  const ConvAlgorithmPtr<float> algorithm = conv.prepare(active_kernels());
  const std::vector<float> all = conv.run(*algorithm);
  for (const int threads : {2, 3, 7, 16})
    EXPECT_EQ(conv.run(*algorithm, threads), all) << threads << " threads";
  Pointwise<float> single = conv;
  single.problem.geometry.batch = 1;
  const size_t size = all.size() / 3;
  for (int64_t image = 0; image < 3; ++image) {
    const std::vector<float> one = conv.run(*single.prepare(active_kernels()), 2, image);
    EXPECT_EQ(std::memcmp(one.data(), all.data() + image * size, size * sizeof(float)), 0)
        << "image " << image;
  }
}

// The relative RMS error against float64; inputs of either sign and, as after a relu, of one.
TEST(Strassen, ErrorStaysInItsBound) {
  for (const int64_t channels : {2, 16, 64, 512, 2048})
    for (const bool positive : {false, true}) {
      Pointwise<float> conv({1, channels, 9, 9}, 64);
      for (float& v : conv.x) v = positive ? std::abs(v) : v;
      conv.problem.activation = {};
      const std::vector<float> expected = conv.reference(active_kernels()),
                               got = conv.run(*conv.prepare(active_kernels()));
      double difference = 0, sum = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        difference += std::pow(double(got[i]) - double(expected[i]), 2);
        sum += std::pow(double(expected[i]), 2);
      }
      EXPECT_LE(std::sqrt(difference / sum), 1e-6) << channels << " channels";
    }
}

template <class T>
void expect_alike(const std::vector<T>& got, const std::vector<T>& expected) {
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << "element " << i;
    ASSERT_EQ(std::isinf(got[i]), std::isinf(expected[i])) << "element " << i;
    if (std::isfinite(expected[i])) {
      ASSERT_NEAR(got[i], expected[i], 1e-4 * std::max(1.f, std::abs(expected[i]))) << "element " << i;
    }
  }
}

// A value that is not finite, or that sums could make so, spoils its own pixel alone.
TEST(Strassen, InfinityAndNanGoWhereTheyBelong) {
  for_each_table([](const KernelTable& table) {
    for (const float value : {std::numeric_limits<float>::infinity(), kNan<float>, 3e38f, -1e37f}) {
      SCOPED_TRACE(value);
      Pointwise<float> conv({2, 18, 7, 9}, 35);
      conv.x[(3 * 9 + 5) * 18 + 11] = value;
      ASSERT_NO_FATAL_FAILURE(expect_alike(conv.run(*conv.prepare(table)), conv.reference(table)));
    }
  });
}

TEST(Strassen, WeightsThatAreNotFinite) {
  for (const float value : {std::numeric_limits<float>::infinity(), kNan<float>, 3e38f}) {
    SCOPED_TRACE(value);
    Pointwise<float> conv({1, 18, 7, 9}, 35);
    conv.weight[20 * 18 + 3] = value;
    ASSERT_NO_FATAL_FAILURE(
        expect_alike(conv.run(*conv.prepare(active_kernels())), conv.reference(active_kernels())));
  }
}

}  // namespace
}  // namespace onebyone
