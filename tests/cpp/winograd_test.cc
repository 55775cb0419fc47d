// Winograd for every kernel table: each tile size and filter against the reference, in float64 where an error
// in a transform cannot hide; images with infinities; blocks that end anywhere.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "conv/conv2d.h"
#include "conv/winograd_tiles.h"
#include "testing.h"

namespace onebyone {
namespace {

// Of a filter.
struct Side {
  int64_t kernel, stride;
};

// A problem with its data, run with any tile and block sizes.
template <class T>
struct Winograd {
  ConvProblem problem;
  Random random;
  std::vector<T> x, weight, bias;
  ImageView<const T> view;

  Winograd(const ImageShape& shape, int64_t oc, int64_t kh, int64_t kw, Layout layout, Pair stride = {1, 1},
           Padding padding = AutoPadding::kSame) {
    const auto [n, c, h, w] = shape;
    problem.geometry = make_geometry("conv2d", shape, {oc, c, kh, kw}, stride, padding, {1, 1}, 1,
                                     "x.shape[1], layout NCHW");
    problem.layout = layout;
    problem.algorithm = Algorithm::kWinograd;
    problem.element_bytes = sizeof(T);
    x = random.values<T>(n * c * h * w);
    weight = random.values<T>(oc * c * kh * kw);
    bias = random.values<T>(oc);
    view = layout == Layout::kNchw ? ImageView<const T>{x.data(), n, c, h, w, c * h * w, h * w, w, 1}
                                   : ImageView<const T>{x.data(), n, c, h, w, c * h * w, 1, w * c, c};
  }

  ConvWeights<T> weights() const {
    const ConvGeometry& g = problem.geometry;
    return {
        {weight.data(), g.oc, g.ic, g.kh, g.kw, g.ic * g.kh * g.kw, g.kh * g.kw, g.kw, 1}, bias.data(), 1};
  }
  std::vector<T> run(const ConvAlgorithm<T>& algorithm) const {
    const ConvGeometry& g = problem.geometry;
    std::vector<T> out(g.batch * g.oc * g.out_pixels(), kNan<T>);
    algorithm.run(view, nullptr, out.data(), 1);
    return out;
  }
  std::vector<T> reference(const KernelTable& table) const {
    return run(*make_reference<T>(problem, kernels_of<T>(table), weights()));
  }
  // By tiles in both directions: winograd_rows_test.cc tests the others.
  ConvPlan plan_of(const KernelTable& table) const {
    KernelTable without_rows = table;
    without_rows.f32.winograd_row = nullptr;
    without_rows.f64.winograd_row = nullptr;
    return make_plan("conv2d", problem, without_rows);
  }
  std::vector<T> with_tiles(const KernelTable& table, int tile_h, int tile_w, int64_t rows) const {
    ConvPlan plan = plan_of(table);
    plan.tile_h = tile_h;
    plan.tile_w = tile_w;
    plan.mc = rows;
    return run(*make_winograd<T>(
        problem, plan, kernels_of<T>(table), weights(),
        [&](const ConvWeights<T>& w) { return make_reference<T>(problem, kernels_of<T>(table), w); }));
  }
};

TEST(Winograd, EveryTileOfEveryFilter) {
  for_each_table([](const KernelTable& table) {
    for (const int64_t kh : {1, 2, 3, 4, 5, 7})
      for (const int64_t kw : {1, 2, 3, 4, 5, 7}) {
        if (kh * kw == 1) continue;
        for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
          const Winograd<double> conv({1, 5, 13, 11}, 9, kh, kw, layout);
          const std::vector<double> expected = conv.reference(table);
          for (int h = 1; h <= largest_winograd_tile(kh, 1); ++h)
            for (int w = 1; w <= largest_winograd_tile(kw, 1); ++w) {
              SCOPED_TRACE(::testing::Message() << kh << "x" << kw << " tile " << h << "x" << w);
              const std::vector<double> got = conv.with_tiles(table, h, w, 7);
              for (size_t i = 0; i < got.size(); ++i)
                ASSERT_NEAR(got[i], expected[i], 2e-11) << "element " << i;
            }
        }
      }
  });
}

// Sides of stride 2 beside each other and beside sides of stride 1, padding of odd and even width.
TEST(Winograd, EveryTileOfEveryStride) {
  const Side sides[] = {{3, 2}, {4, 2}, {5, 2}, {6, 2}, {7, 2}, {8, 2}, {1, 1}, {3, 1}};
  for_each_table([&](const KernelTable& table) {
    for (const auto& [kh, sh] : sides)
      for (const auto& [kw, sw] : sides) {
        if (sh * sw == 1) continue;
        for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
          const Winograd<double> conv({1, 9, 19, 22}, 9, kh, kw, layout, {sh, sw}, Edges{1, 2, 2, 1});
          const std::vector<double> expected = conv.reference(table);
          for (int h = 1; h <= largest_winograd_tile(kh, sh); ++h)
            for (int w = 1; w <= largest_winograd_tile(kw, sw); ++w) {
              SCOPED_TRACE(::testing::Message()
                           << kh << "x" << kw << " stride " << sh << " " << sw << " tile " << h << "x" << w);
              const std::vector<double> got = conv.with_tiles(table, h, w, 7);
              for (size_t i = 0; i < got.size(); ++i)
                ASSERT_NEAR(got[i], expected[i], 2e-11) << "element " << i;
            }
        }
      }
  });
}

// Few channels go from space to depth first: padding of odd and even width and wider than the filter, images
// of fewer pixels than a step, and the way to memory of either layout.
TEST(Winograd, SpaceToDepth) {
  for_each_table([](const KernelTable& table) {
    for (const int64_t channels : {1, 2, 3, 4, 7})
      for (const auto& [kh, kw] : {std::pair<int64_t, int64_t>{7, 7}, {3, 8}, {6, 2}, {2, 5}})
        for (const Edges& pad : {Edges{0, 0, 0, 0}, Edges{3, 3, 3, 3}, Edges{2, 9, 1, 4}})
          for (const ImageShape& shape : {ImageShape{2, channels, 21, 26}, ImageShape{1, channels, 8, 9}}) {
            for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
              const Winograd<double> conv(shape, 18, kh, kw, layout, {2, 2}, pad);
              const ConvGeometry& g = conv.problem.geometry;
              ASSERT_TRUE(folds_space_to_depth(g));
              SCOPED_TRACE(::testing::Message()
                           << channels << " channels, " << kh << "x" << kw << " over " << shape.height << "x"
                           << shape.width << ", padding " << pad.top);
              const int h = std::min(3, largest_winograd_tile(ceil_div(kh, 2), 1));
              const int w = std::min(2, largest_winograd_tile(ceil_div(kw, 2), 1));
              const std::vector<double> expected = conv.reference(table),
                                        got = conv.with_tiles(table, h, w, 5);
              for (size_t i = 0; i < got.size(); ++i)
                ASSERT_NEAR(got[i], expected[i], 2e-11) << "element " << i;
            }
          }
  });
  // Not where padding would be most of the memory, nor where a side has no steps.
  const auto folds = [](const Winograd<float>& conv) { return folds_space_to_depth(conv.problem.geometry); };
  EXPECT_FALSE(folds({{1, 3, 9, 9}, 8, 3, 3, Layout::kNhwc, {2, 2}, Edges{2000, 2000, 2000, 2000}}));
  EXPECT_FALSE(folds({{1, 3, 9, 9}, 8, 3, 3, Layout::kNhwc, {2, 1}}));
  EXPECT_FALSE(folds({{1, 8, 9, 9}, 8, 3, 3, Layout::kNhwc, {2, 2}}));
}

TEST(Winograd, WeightsComeBackFromDepth) {
  const Winograd<float> conv({1, 3, 20, 20}, 5, 7, 6, Layout::kNhwc, {2, 2});
  const ConvGeometry& g = conv.problem.geometry;
  const std::vector<float> folded = space_to_depth(g, conv.weights().weight);
  EXPECT_EQ(depth_to_space(g, folded), conv.weight);
  EXPECT_EQ(std::count(folded.begin(), folded.end(), 0.f), 5 * 3 * (8 * 6 - 7 * 6));
}

// Strips of more channels than one, images smaller than their padding.
TEST(Winograd, StridedStripsAndSmallImages) {
  for_each_table([](const KernelTable& table) {
    for (const Layout layout : {Layout::kNchw, Layout::kNhwc})
      for (const ImageShape& shape :
           {ImageShape{2, 75, 9, 40}, ImageShape{1, 3, 1, 2}, ImageShape{1, 8, 2, 1}}) {
        const Winograd<double> conv(shape, 21, 3, 3, layout, {2, 2}, Edges{4, 3, 3, 5});
        const std::vector<double> expected = conv.reference(table), got = conv.with_tiles(table, 4, 3, 5);
        for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-10) << "element " << i;
      }
  });
}

TEST(Winograd, BlocksEndAnywhere) {
  for_each_table([](const KernelTable& table) {
    for (const int64_t stride : {1, 2}) {
      const Winograd<float> conv({2, 11, 14 * stride, 19 * stride}, 70, 3, 3, Layout::kNhwc,
                                 {stride, stride});
      const std::vector<float> expected = conv.with_tiles(table, 4, 4, 192);
      for (const int64_t rows : {1, 2, 5, 6, 13, 24}) {
        const std::vector<float> got = conv.with_tiles(table, 4, 4, rows);
        EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
            << rows << " tiles";
      }
    }
  });
}

// The relative RMS error against float64 that auto may have, for any number of channels; inputs of either
// sign and, as after a relu, of one.
TEST(Winograd, ErrorStaysInItsBound) {
  for (const int64_t channels : {1, 2, 3, 8, 17, 64, 256, 2048})
    for (const bool positive : {false, true})
      for (const auto& [k, stride] :
           {Side{3, 1}, Side{4, 1}, Side{5, 1}, Side{3, 2}, Side{4, 2}, Side{5, 2}, Side{6, 2}, Side{7, 2}}) {
        Winograd<float> conv({1, channels, 12 * stride, 12 * stride}, 24, k, k, Layout::kNhwc,
                             {stride, stride});
        for (float& v : conv.x) v = positive ? std::abs(v) : v;
        const std::vector<float> expected = conv.reference(active_kernels());
        const ConvPlan plan = conv.plan_of(active_kernels());
        const std::vector<float> got = conv.with_tiles(active_kernels(), plan.tile_h, plan.tile_w, plan.mc);
        double difference = 0, sum = 0;
        for (size_t i = 0; i < got.size(); ++i) {
          difference += std::pow(double(got[i]) - double(expected[i]), 2);
          sum += std::pow(double(expected[i]), 2);
        }
        EXPECT_LE(std::sqrt(difference / sum), 5e-6)
            << channels << " channels, " << k << "x" << k << ", stride " << stride << ", tile " << plan.tile_h
            << "x" << plan.tile_w;
      }
}

// Weights come back from every tile's filters, zeros as zeros.
TEST(Winograd, WeightsOfFilters) {
  const Side sides[] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {7, 1},
                        {3, 2}, {4, 2}, {5, 2}, {6, 2}, {7, 2}};
  for (const auto& [kh, sh] : sides)
    for (const auto& [kw, sw] : sides)
      for (const int tile : {1, 2}) {
        if (kh * kw == 1) continue;
        const ImageShape shape{1, 6, 9, 9};
        const ConvGeometry g = make_geometry("conv2d", shape, {38, 3, kh, kw}, {sh, sw}, AutoPadding::kSame,
                                             {1, 1}, 2, "x.shape[1], layout NCHW");
        Random random;
        std::vector<float> weight = random.values<float>(g.oc * g.group_ic() * kh * kw);
        for (size_t i = 0; i < weight.size(); i += 3) weight[i] = 0;
        const int64_t sc = kh * kw, sn = sc * g.group_ic();
        const ImageView<const float> view{weight.data(), g.oc, g.group_ic(), kh, kw, sn, sc, kw, 1};
        const WinogradTiles tiles(g, std::min(tile, largest_winograd_tile(kh, sh)),
                                  std::min(tile, largest_winograd_tile(kw, sw)), 8);
        const std::vector<float> got = winograd_weights(g, winograd_filters(g, view, tiles, 16), tiles, 16);
        for (size_t i = 0; i < weight.size(); ++i) {
          SCOPED_TRACE(::testing::Message() << kh << "x" << kw << " stride " << sh << " " << sw << " tile "
                                            << tile << " weight " << i);
          if (i % 3 == 0)
            ASSERT_EQ(got[i], 0);
          else
            ASSERT_NEAR(got[i], weight[i], 1e-5);
        }
      }
}

// A value that is not finite must spoil its receptive field alone, and one image alone.
TEST(Winograd, InfinityAndNanGoWhereTheyBelong) {
  for_each_table([](const KernelTable& table) {
    for (const float value : {std::numeric_limits<float>::infinity(), kNan<float>, 3e38f}) {
      for (const auto& [channels, k, stride] :
           {std::array<int64_t, 3>{9, 3, 1}, {9, 3, 2}, {3, 7, 2}, {3, 3, 2}}) {
        Winograd<float> conv({2, channels, 12, 12}, 10, k, k, Layout::kNhwc, {stride, stride});
        conv.x[(5 * 12 + 6) * channels + channels / 2] = value;
        const std::vector<float> expected = conv.reference(table), got = conv.with_tiles(table, 4, 4, 24);
        for (size_t i = 0; i < got.size(); ++i) {
          ASSERT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << "element " << i << ", value " << value;
          ASSERT_EQ(std::isinf(got[i]), std::isinf(expected[i])) << "element " << i << ", value " << value;
          if (std::isfinite(expected[i])) {
            ASSERT_NEAR(got[i], expected[i], 3e-4 * std::max(1.f, std::abs(expected[i]))) << "element " << i;
          }
        }
      }
    }
  });
}

// Filters of such weights overflow: there is no way back.
TEST(Winograd, WeightsThatAreNotFinite) {
  for (const float value : {std::numeric_limits<float>::infinity(), kNan<float>, 3e38f}) {
    for (const auto& [channels, stride] : {std::array<int64_t, 2>{9, 1}, {9, 2}, {3, 2}}) {
      Winograd<float> conv({1, channels, 12, 12}, 10, 3, 3, Layout::kNhwc, {stride, stride});
      conv.weight[3 * channels * 9 + 13] = value;
      const std::vector<float> expected = conv.reference(active_kernels()),
                               got = conv.with_tiles(active_kernels(), 4, 4, 24);
      for (size_t i = 0; i < got.size(); ++i) {
        if (!std::isfinite(expected[i])) {
          ASSERT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << "element " << i << ", value " << value;
          ASSERT_EQ(std::isinf(got[i]), std::isinf(expected[i])) << "element " << i << ", value " << value;
        } else {
          ASSERT_NEAR(got[i], expected[i], 1e-4 * std::max(1.f, std::abs(expected[i]))) << "element " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace onebyone
