// Winograd along rows, for every kernel table that has it: against the reference in float64, where an error
// in a transform cannot hide; images of any strides; parts that begin and end anywhere; infinities and NaN.
#include <array>
#include <cmath>
#include <cstring>

#include "conv/conv2d.h"
#include "images.h"
#include "testing.h"

namespace onebyone {
namespace {

template <class T>
struct RowsCase {
  ImageShape shape;
  int64_t oc, kh = 3, stride_h = 1;
  Padding padding = AutoPadding::kSame;
  Activation activation = {};
  bool bias = true, residual = false;
  int64_t more_channels = 0;  // of the output between its pixels
  Strides strides = Strides::kNhwc;
  T special = 0;  // an element of the last image, if not 0
};

// The algorithm, the reference, their data, and what each made of it.
template <class T>
struct RowsRun {
  ConvProblem problem;
  std::vector<T> weight, bias, residual, got, expected;
  std::unique_ptr<StridedImage<T>> x;
  ConvAlgorithmPtr<T> rows;

  RowsRun(const RowsCase<T>& c, const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    const auto [n, ic, h, w] = c.shape;
    problem.geometry = make_geometry("conv2d", c.shape, {c.oc, ic, c.kh, 3}, {c.stride_h, 1}, c.padding,
                                     {1, 1}, 1, "x.shape[1], layout NCHW");
    problem.layout = Layout::kNhwc;
    problem.element_bytes = sizeof(T);
    problem.activation = c.activation;
    problem.out_step = c.oc + c.more_channels;
    Random random;
    weight = random.values<T>(c.oc * ic * c.kh * 3);
    bias = random.values<T>(c.oc);
    x = std::make_unique<StridedImage<T>>(read_only(view<T>(nullptr, n, ic, h, w, c.strides)), random);
    if (c.special != 0) {
      const ImageView<const T>& v = x->view;
      const_cast<T&>(v.data[(n - 1) * v.sn + ic / 2 * v.sc + h / 2 * v.sh + w / 2 * v.sw]) = c.special;
    }
    if (c.residual) residual = random.values<T>(size());
    const ConvWeights<T> weights{
        {weight.data(), c.oc, ic, c.kh, 3, ic * c.kh * 3, c.kh * 3, 3, 1}, c.bias ? bias.data() : nullptr, 1};
    const auto make_exact = [&](const ConvWeights<T>& own) {
      ConvProblem exact = problem;
      exact.algorithm = Algorithm::kDirect;
      return make_implicit_gemm_nhwc<T>(exact, make_plan("conv2d", exact, table), kernels, own);
    };
    rows = make_winograd_rows<T>(problem, kernels, weights, make_exact);
    expected = run(*make_reference<T>(problem, kernels, weights), 1);
    got = run(*rows, 1);
  }

  int64_t size() const {
    return problem.geometry.batch * problem.geometry.out_pixels() * problem.output_step();
  }
  const T* added() const { return residual.empty() ? nullptr : residual.data(); }
  std::vector<T> run(const ConvAlgorithm<T>& algorithm, int threads) const {
    std::vector<T> out(size(), T(77));
    algorithm.run(x->view, added(), out.data(), threads);
    return out;
  }
};

template <class F>
void for_each_table_with_rows(F f) {
  for_each_table([&](const KernelTable& table) {
    if (table.f32.winograd_row) f(table);
  });
}

TEST(WinogradRows, AsTheReference) {
  for_each_table_with_rows([](const KernelTable& table) {
    for (const int64_t ic : {1, 2, 3, 7})
      for (const int64_t oc : {1, 8, 19, 64})
        for (const int64_t kh : {1, 2, 3, 5})
          for (const auto& [h, w] :
               std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {6, 4}, {5, 17}, {3, 75}})
            for (const Padding& padding : {Padding{AutoPadding::kSame}, Padding{Edges{4, 1, 2, 5}}})
              for (const int64_t stride_h : {1, 2, 3}) {
                const RowsRun<double> run(
                    {.shape = {2, ic, h, w}, .oc = oc, .kh = kh, .stride_h = stride_h, .padding = padding},
                    table);
                for (size_t i = 0; i < run.got.size(); ++i)
                  ASSERT_NEAR(run.got[i], run.expected[i], 1e-12)
                      << ic << " -> " << oc << ", " << kh << "x3 over " << h << "x" << w << ", stride "
                      << stride_h << ", element " << i;
              }
  });
}

TEST(WinogradRows, ImagesOfAnyStridesAndEveryEpilogue) {
  for_each_table_with_rows([](const KernelTable& table) {
    for (const Strides strides : kStrides)
      for (const Activation& activation : all_activations())
        for (const bool residual : {false, true})
          for (const int64_t more : {0, 5}) {
            const RowsRun<double> run({.shape = {2, 3, 7, 22},
                                       .oc = 21,
                                       .activation = activation,
                                       .bias = residual,
                                       .residual = residual,
                                       .more_channels = more,
                                       .strides = strides},
                                      table);
            for (size_t i = 0; i < run.got.size(); ++i) ASSERT_NEAR(run.got[i], run.expected[i], 1e-6);
          }
  });
}

TEST(WinogradRows, ErrsLittle) {
  for_each_table_with_rows([](const KernelTable& table) {
    const RowsRun<float> run({.shape = {1, 16, 20, 40}, .oc = 32}, table);
    const RowsRun<double> exact({.shape = {1, 16, 20, 40}, .oc = 32}, table);
    double error = 0, square = 0;
    for (size_t i = 0; i < run.got.size(); ++i) {
      error += std::pow(run.got[i] - exact.expected[i], 2);
      square += std::pow(exact.expected[i], 2);
    }
    // The direct method's is 1e-7, of tiles in both directions 1.5e-6.
    EXPECT_LT(std::sqrt(error / square), 6e-7);
  });
}

// The same bits from any number of threads, and from parts that begin and end within tiles, rows and images.
TEST(WinogradRows, PartsHaveTheBitsOfTheWhole) {
  for_each_table_with_rows([](const KernelTable& table) {
    for (const float special : {0.f, kNan<float>}) {
      const RowsRun<float> run(
          {.shape = {3, 3, 11, 37}, .oc = 20, .residual = true, .more_channels = 3, .special = special},
          table);
      for (const int threads : {2, 5}) {
        const std::vector<float> got = run.run(*run.rows, threads);
        ASSERT_EQ(std::memcmp(got.data(), run.got.data(), got.size() * sizeof(float)), 0);
      }
      const int64_t pixels = 3 * 11 * 37, step = run.problem.output_step();
      Random random;
      for (const int64_t longest : {3, 20, 90, 500}) {
        std::vector<float> got(run.got.size(), 77.f);
        for (int64_t begin = 0; begin < pixels;) {
          const int64_t end = std::min(pixels, begin + 1 + random.below(longest));
          // Exactly the part's outputs, so that a byte outside is seen.
          std::vector<float> part(run.got.begin() + begin * step, run.got.begin() + end * step);
          for (int64_t i = 0; i < end - begin; ++i) std::fill_n(part.begin() + i * step, 20, kNan<float>);
          const std::vector<float> added(run.residual.begin() + begin * step,
                                         run.residual.begin() + end * step);
          run.rows->run_part(run.x->view, added.data(), part.data(), begin, end);
          std::copy(part.begin(), part.end(), got.begin() + begin * step);
          begin = end;
        }
        ASSERT_EQ(std::memcmp(got.data(), run.got.data(), got.size() * sizeof(float)), 0);
      }
    }
  });
}

// A value that is not finite, or overflows in a transform, must spoil its receptive field alone.
TEST(WinogradRows, InfinityAndNanGoWhereTheyBelong) {
  for_each_table_with_rows([](const KernelTable& table) {
    for (const float special : {std::numeric_limits<float>::infinity(), kNan<float>, 3e38f}) {
      const RowsRun<float> run({.shape = {2, 3, 9, 23}, .oc = 18, .special = special}, table);
      for (size_t i = 0; i < run.got.size(); ++i) {
        const float got = run.got[i], expected = run.expected[i];
        ASSERT_EQ(std::isnan(got), std::isnan(expected)) << "element " << i << ", value " << special;
        ASSERT_EQ(std::isinf(got), std::isinf(expected)) << "element " << i << ", value " << special;
        if (std::isfinite(expected)) {
          ASSERT_NEAR(got, expected, 1e-4 * std::max(1.f, std::abs(expected))) << "element " << i;
        }
      }
    }
  });
}

}  // namespace
}  // namespace onebyone
