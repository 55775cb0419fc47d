// Pooling against its definition: both layouts and strides of any kind, windows that reach over all edges.
#include "ops/pool.h"

#include <vector>

#include "core/int_math.h"
#include "images.h"

namespace onebyone {
namespace {

template <class T>
class Pool : public ::testing::Test {};
TYPED_TEST_SUITE(Pool, RealTypes);

// What an output should be: plain loops in double, padding counted pixel by pixel.
template <class T>
double expected(const PoolSpec& spec, const ImageView<const T>& x, int64_t n, int64_t c, int64_t y,
                int64_t i) {
  double sum = 0, largest = -std::numeric_limits<double>::infinity();
  int64_t inside = 0, padded = 0;
  for (int64_t r = 0; r < spec.kernel.h; ++r)
    for (int64_t s = 0; s < spec.kernel.w; ++s) {
      const int64_t v = y * spec.stride.h - spec.pad.top + r * spec.dilation.h;
      const int64_t u = i * spec.stride.w - spec.pad.left + s * spec.dilation.w;
      padded += v < x.height + spec.pad.bottom && u < x.width + spec.pad.right;
      if (v < 0 || v >= x.height || u < 0 || u >= x.width) continue;
      const double value = x.data[n * x.sn + c * x.sc + v * x.sh + u * x.sw];
      ++inside;
      sum += value;
      largest = std::isnan(value) || std::isnan(largest) ? kNan<double> : std::max(largest, value);
    }
  if (spec.kind == PoolKind::kMax) return largest;
  if (spec.divisor) return sum / static_cast<double>(spec.divisor);
  const int64_t count = spec.count_include_pad ? padded : inside;
  return inside ? sum / static_cast<double>(count) : 0;
}

template <class T>
void compare(double got, double want, int64_t taps) {
  if (std::isnan(want))
    ASSERT_TRUE(std::isnan(got)) << got;
  else if (std::isinf(want))
    ASSERT_EQ(got, want);
  else
    ASSERT_NEAR(got, want, 2 * double(taps + 2) * kEps<T>);
}

template <class T>
void check(const Kernels<T>& kernels, const PoolSpec& spec, const ImageShape& shape, Strides strides,
           Random& random) {
  SCOPED_TRACE(::testing::Message() << (spec.kind == PoolKind::kMax ? "max " : "average ") << spec.kernel.h
                                    << "x" << spec.kernel.w << " stride " << spec.stride.h << ","
                                    << spec.stride.w << " dilation " << spec.dilation.h << ","
                                    << spec.dilation.w << " pad " << spec.pad.top << "," << spec.pad.bottom
                                    << "," << spec.pad.left << "," << spec.pad.right << " ceil "
                                    << spec.ceil_mode << " include " << spec.count_include_pad << " x "
                                    << shape.batch << "x" << shape.channels << "x" << shape.height << "x"
                                    << shape.width << " strides " << int(strides));
  const StridedImage<T> x(
      view<const T>(nullptr, shape.batch, shape.channels, shape.height, shape.width, strides), random);
  const Pair size = pool_output("pool", spec, shape);
  ImageView<T> out = view<T>(nullptr, shape.batch, shape.channels, size.h, size.w, strides);
  const auto [low, high] = out.extent();
  const T canary = T(99);
  for (const int threads : {1, 3}) {
    std::vector<T> memory(high - low, canary);
    out.data = memory.data() - low;
    pool(spec, x.view, out, kernels, threads);
    for (int64_t n = 0; n < shape.batch; ++n)
      for (int64_t c = 0; c < shape.channels; ++c)
        for (int64_t y = 0; y < size.h; ++y)
          for (int64_t i = 0; i < size.w; ++i) {
            T& got = out.data[n * out.sn + c * out.sc + y * out.sh + i * out.sw];
            ASSERT_NO_FATAL_FAILURE(
                compare<T>(got, expected(spec, x.view, n, c, y, i), spec.kernel.h * spec.kernel.w))
                << "channel " << c << " row " << y << " column " << i;
            got = canary;
          }
    for (const T value : memory) ASSERT_EQ(value, canary) << "wrote beside the output";
  }
}

TYPED_TEST(Pool, AnyWindow) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    Random random;
    const int64_t lanes = kernels.lanes;
    for (const Pair kernel : {Pair{1, 1}, Pair{2, 2}, Pair{3, 3}, Pair{2, 3}, Pair{5, 4}})
      for (const Pair stride : {Pair{1, 1}, Pair{2, 2}, Pair{1, 3}, Pair{3, 2}})
        for (const Pair dilation : {Pair{1, 1}, Pair{2, 1}, Pair{1, 3}})
          for (int mode = 0; mode < 6; ++mode)
            for (const Strides strides : kStrides) {
              PoolSpec spec{.kind = mode < 2 ? PoolKind::kMax : PoolKind::kAverage,
                            .kernel = kernel,
                            .stride = stride,
                            .dilation = dilation,
                            .ceil_mode = mode % 2 == 1,
                            .count_include_pad = mode < 4};
              const auto below = [&](int64_t k, int64_t d) { return random.below((k - 1) * d + 1); };
              spec.pad = {below(kernel.h, dilation.h), below(kernel.h, dilation.h),
                          below(kernel.w, dilation.w), below(kernel.w, dilation.w)};
              if (mode == 5) spec.divisor = 7;
              const ImageShape shape{1 + random.below(2), 1 + random.below(5 * lanes), 13 + random.below(3),
                                     13 + random.below(2 * lanes)};
              ASSERT_NO_FATAL_FAILURE(check(kernels, spec, shape, strides, random));
            }
  });
}

TYPED_TEST(Pool, AnyWidthAndChannels) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    Random random;
    for (int64_t n = 1; n <= 2 * kernels.lanes + 1; ++n)
      for (const int64_t stride : {1, 2})
        for (const PoolKind kind : {PoolKind::kMax, PoolKind::kAverage})
          for (const Strides strides : kStrides) {
            const PoolSpec spec{.kind = kind,
                                .kernel = {3, 3},
                                .stride = {stride, stride},
                                .pad = {1, 1, 1, 1},
                                .count_include_pad = false};
            ASSERT_NO_FATAL_FAILURE(check(kernels, spec, {1, 3, 4, n}, strides, random));
            ASSERT_NO_FATAL_FAILURE(check(kernels, spec, {1, n, 2, 11}, strides, random));
          }
  });
}

// Torch's rule: the last window begins inside or on the padding before.
TEST(PoolOutput, CeilMode) {
  const auto width = [](int64_t in, int64_t kernel, int64_t stride, int64_t pad) {
    PoolSpec spec{.kernel = {1, kernel}, .stride = {1, stride}, .pad = {0, 0, pad, pad}, .ceil_mode = true};
    return pool_output("pool", spec, {1, 1, 1, in}).w;
  };
  EXPECT_EQ(width(6, 3, 2, 0), 3);
  EXPECT_EQ(width(7, 3, 2, 0), 3);
  EXPECT_EQ(width(5, 2, 3, 1), 2);  // floor(7 / 3) + 1 would be 3, beginning at the end of the image
  EXPECT_EQ(width(1, 1, 4, 0), 1);
}

TYPED_TEST(Pool, NanAndInfinity) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    const TypeParam infinity = std::numeric_limits<TypeParam>::infinity();
    for (const int64_t channels : {int64_t(1), int64_t(3), int64_t(kernels.lanes + 1)})
      for (const Strides strides : kStrides)
        for (const int64_t stride : {1, 2, 3}) {
          const PoolSpec spec{.kernel = {3, 3}, .stride = {stride, stride}, .pad = {1, 1, 1, 1}};
          Random random;
          StridedImage<TypeParam> x(view<const TypeParam>(nullptr, 1, channels, 20, 40, strides), random);
          for (TypeParam& value : x.memory) {
            const int64_t kind = random.below(30);
            if (kind == 0) value = kNan<TypeParam>;
            if (kind > 0 && kind < 25) value = -infinity;
            if (kind == 25) value = infinity;
          }
          const Pair size = pool_output("pool", spec, {1, channels, 20, 40});
          ImageView<TypeParam> out = view<TypeParam>(nullptr, 1, channels, size.h, size.w, strides);
          const auto [low, high] = out.extent();
          std::vector<TypeParam> memory(high - low);
          out.data = memory.data() - low;
          pool(spec, x.view, out, kernels, 1);
          for (int64_t c = 0; c < channels; ++c)
            for (int64_t y = 0; y < size.h; ++y)
              for (int64_t i = 0; i < size.w; ++i)
                ASSERT_NO_FATAL_FAILURE(compare<TypeParam>(out.data[c * out.sc + y * out.sh + i * out.sw],
                                                           expected(spec, x.view, 0, c, y, i), 9));
        }
  });
}

TYPED_TEST(Pool, AdaptiveAverage) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    Random random;
    for (const auto& [h, w, oh, ow] : {std::array<int64_t, 4>{7, 7, 1, 1},
                                       {7, 9, 3, 2},
                                       {4, 5, 4, 5},
                                       {3, 40, 5, 7},
                                       {1, 1, 2, 3},
                                       {16, 33, 1, 1}})
      for (const int64_t channels : {1, 5, 40, 300})
        for (const Strides strides : kStrides) {
          const StridedImage<TypeParam> x(view<const TypeParam>(nullptr, 2, channels, h, w, strides), random);
          ImageView<TypeParam> out = view<TypeParam>(nullptr, 2, channels, oh, ow, strides);
          const auto [low, high] = out.extent();
          for (const int threads : {1, 3}) {
            std::vector<TypeParam> memory(high - low);
            out.data = memory.data() - low;
            adaptive_average_pool(x.view, out, kernels, threads);
            for (int64_t n = 0; n < 2; ++n)
              for (int64_t c = 0; c < channels; ++c)
                for (int64_t y = 0; y < oh; ++y)
                  for (int64_t i = 0; i < ow; ++i) {
                    const int64_t top = y * h / oh, left = i * w / ow;
                    const int64_t bottom = ceil_div((y + 1) * h, oh), right = ceil_div((i + 1) * w, ow);
                    double sum = 0;
                    for (int64_t v = top; v < bottom; ++v)
                      for (int64_t u = left; u < right; ++u)
                        sum += x.view.data[n * x.view.sn + c * x.view.sc + v * x.view.sh + u * x.view.sw];
                    const int64_t count = (bottom - top) * (right - left);
                    ASSERT_NO_FATAL_FAILURE(
                        compare<TypeParam>(out.data[n * out.sn + c * out.sc + y * out.sh + i * out.sw],
                                           sum / double(count), count));
                  }
          }
        }
  });
}

TYPED_TEST(Pool, HugeWindows) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    Random random;
    constexpr int64_t kHuge = int64_t{1} << 36;
    for (const Strides strides : kStrides)
      for (const int64_t channels : {1, 20}) {
        const StridedImage<TypeParam> x(view<const TypeParam>(nullptr, 1, channels, 2, 3, strides), random);
        ImageView<TypeParam> out = view<TypeParam>(nullptr, 1, channels, 1, 1, strides);
        std::vector<TypeParam> memory(channels + 3);
        out.data = memory.data();
        const PoolSpec spec{.kernel = {kHuge, kHuge}, .pad = {kHuge - 2, 0, kHuge - 3, 0}};
        const Pair size = pool_output("pool", spec, {1, channels, 2, 3});
        ASSERT_EQ(size.h * size.w, 1);
        pool(spec, x.view, out, kernels, 1);
        TypeParam largest = -2;
        for (int64_t v = 0; v < 2; ++v)
          for (int64_t u = 0; u < 3; ++u)
            largest = std::max(largest, x.view.data[v * x.view.sh + u * x.view.sw]);
        ASSERT_EQ(out.data[0], largest);
      }
  });
}

TEST(PoolOutput, ErrorsNameArgumentAndCure) {
  const auto message = [](const PoolSpec& spec) -> std::string {
    try {
      pool_output("max_pool2d", spec, {1, 2, 4, 5});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({.kernel = {0, 1}}), "max_pool2d: kernel_size must be at least 1, got (0, 1)");
  EXPECT_NE(message({.stride = {1, -1}}).find("stride"), std::string::npos);
  EXPECT_NE(message({.kernel = {5, 2}}).find("larger than x"), std::string::npos);
  EXPECT_NE(message({.kernel = {2, 2}, .pad = {2, 0, 0, 0}}).find("less padding"), std::string::npos);
  EXPECT_NE(message({.kernel = {2, 2}, .pad = {0, 0, -1, 0}}).find("slice x"), std::string::npos);
  EXPECT_EQ(message({.kernel = {4, 5}}), "");
}

}  // namespace
}  // namespace onebyone
