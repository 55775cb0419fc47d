// Resampling against its definition, in both layouts and strides of any kind.
#include "ops/resize.h"

#include <vector>

#include "images.h"

namespace onebyone {
namespace {

template <class T>
class Resize : public ::testing::Test {};
TYPED_TEST_SUITE(Resize, RealTypes);

// (place, weight) of each pixel that output i is made of.
template <class T>
std::vector<std::pair<int64_t, double>> taps(const ResizeSpec& spec, int64_t i, int64_t in, int64_t out) {
  const T scale = static_cast<T>(out) / static_cast<T>(in);
  T at = (static_cast<T>(i) + T(0.5)) / scale - T(0.5);
  if (spec.coordinates == ResizeCoordinates::kPytorchHalfPixel && out == 1) at = 0;
  if (spec.coordinates == ResizeCoordinates::kAsymmetric) at = static_cast<T>(i) / scale;
  if (spec.coordinates == ResizeCoordinates::kAlignCorners)
    at = out == 1 ? T(0) : static_cast<T>(i) * static_cast<T>(in - 1) / static_cast<T>(out - 1);
  const auto inside = [&](double v) { return static_cast<int64_t>(std::clamp(v, 0.0, double(in - 1))); };
  const double place = at, below = std::floor(place), s = place - below;
  if (spec.mode == ResizeMode::kNearest) {
    double whole = below;
    if (spec.nearest == ResizeNearest::kCeil) whole = std::ceil(place);
    if (spec.nearest == ResizeNearest::kRoundPreferFloor) whole = s > 0.5 ? below + 1 : below;
    if (spec.nearest == ResizeNearest::kRoundPreferCeil) whole = s < 0.5 ? below : below + 1;
    return {{inside(whole), 1}};
  }
  if (spec.mode == ResizeMode::kLinear) return {{inside(below), 1 - s}, {inside(below + 1), s}};
  const double a = spec.cubic_a;
  std::vector<std::pair<int64_t, double>> result;
  for (int t = -1; t <= 2; ++t) {
    const double d = std::abs(s - t);
    result.push_back({inside(below + t), d <= 1 ? (a + 2) * d * d * d - (a + 3) * d * d + 1
                                                : a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a});
  }
  return result;
}

template <class T>
void check(const Kernels<T>& kernels, const ResizeSpec& spec, const ImageView<const T>& x, int64_t oh,
           int64_t ow, Strides strides) {
  SCOPED_TRACE(::testing::Message() << "mode " << int(spec.mode) << " coordinates " << int(spec.coordinates)
                                    << " nearest " << int(spec.nearest) << " " << x.channels << " x "
                                    << x.height << "x" << x.width << " -> " << oh << "x" << ow << " strides "
                                    << int(strides));
  ImageView<T> out = view<T>(nullptr, x.batch, x.channels, oh, ow, strides);
  const auto [low, high] = out.extent();
  const T canary = T(99);
  for (const int threads : {1, 3}) {
    std::vector<T> memory(high - low, canary);
    out.data = memory.data() - low;
    resize(spec, x, out, kernels, threads);
    for (int64_t y = 0; y < oh; ++y)
      for (int64_t i = 0; i < ow; ++i) {
        const auto rows = taps<T>(spec, y, x.height, oh), columns = taps<T>(spec, i, x.width, ow);
        for (int64_t n = 0; n < x.batch; ++n)
          for (int64_t c = 0; c < x.channels; ++c) {
            double want = 0;
            for (const auto& [v, wy] : rows)
              for (const auto& [u, wx] : columns)
                want += wy * wx * x.data[n * x.sn + c * x.sc + v * x.sh + u * x.sw];
            T& got = out.data[n * out.sn + c * out.sc + y * out.sh + i * out.sw];
            ASSERT_NEAR(got, want, spec.mode == ResizeMode::kNearest ? 0 : 64 * kEps<T>)
                << "channel " << c << " row " << y << " column " << i;
            got = canary;
          }
      }
    for (const T value : memory) ASSERT_EQ(value, canary) << "wrote beside the output";
  }
}

TYPED_TEST(Resize, AnySpec) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    Random random;
    for (const Strides strides : kStrides)
      for (const auto& [h, w, oh, ow] : {std::array<int64_t, 4>{4, 5, 8, 10},
                                         {5, 7, 15, 21},
                                         {6, 5, 6, 5},
                                         {7, 9, 4, 3},
                                         {1, 1, 3, 4},
                                         {5, 37, 1, 1},
                                         {3, 4, 7, 45},
                                         {4, 9, 37, 5}})
        for (const int64_t channels :
             {int64_t(1), int64_t(3), int64_t(kernels.lanes), int64_t(5 * kernels.lanes + 1)}) {
          const StridedImage<TypeParam> x(view<const TypeParam>(nullptr, 2, channels, h, w, strides), random);
          for (const ResizeMode mode : {ResizeMode::kNearest, ResizeMode::kLinear, ResizeMode::kCubic})
            for (const ResizeCoordinates coordinates :
                 {ResizeCoordinates::kHalfPixel, ResizeCoordinates::kPytorchHalfPixel,
                  ResizeCoordinates::kAlignCorners, ResizeCoordinates::kAsymmetric})
              for (const ResizeNearest nearest :
                   {ResizeNearest::kRoundPreferFloor, ResizeNearest::kRoundPreferCeil, ResizeNearest::kFloor,
                    ResizeNearest::kCeil}) {
                if (mode != ResizeMode::kNearest && nearest != ResizeNearest::kFloor) continue;
                const ResizeSpec spec{.mode = mode, .coordinates = coordinates, .nearest = nearest};
                ASSERT_NO_FATAL_FAILURE(check(kernels, spec, x.view, oh, ow, strides));
              }
        }
  });
}

TYPED_TEST(Resize, GivenScaleAndInfinity) {
  const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(active_kernels());
  const TypeParam infinity = std::numeric_limits<TypeParam>::infinity();
  const std::vector<TypeParam> x = {1, infinity, 3, kNan<TypeParam>};
  std::vector<TypeParam> out(7);
  // Nearest copies: an infinity does not become NaN by a weight of 0. Scale 2 reaches over the end.
  const ResizeSpec spec{
      .coordinates = ResizeCoordinates::kAsymmetric, .nearest = ResizeNearest::kFloor, .scale_w = 2};
  resize<TypeParam>(spec, {x.data(), 1, 1, 1, 4, 4, 4, 4, 1}, {out.data(), 1, 1, 1, 7, 7, 7, 7, 1}, kernels,
                    1);
  EXPECT_EQ((std::vector<TypeParam>(out.begin(), out.end() - 1)),
            (std::vector<TypeParam>{1, 1, infinity, infinity, 3, 3}));
  EXPECT_TRUE(std::isnan(out[6]));
}

}  // namespace
}  // namespace onebyone
