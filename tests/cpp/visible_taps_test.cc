// Taps that see the image, against looking at every output and tap; and convolutions that leave the others
// out.
#include "conv/visible_taps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/geometry.h"

namespace onebyone {
namespace {

// One axis of a convolution, as height and mirrored as width.
ConvGeometry make(int64_t in, int64_t k, int64_t stride, int64_t dilation, int64_t before, int64_t after) {
  return make_geometry("conv2d", {1, 1, in, in}, {1, 1, k, k}, {stride, stride},
                       Edges{before, after, after, before}, {dilation, dilation}, 1, "x.shape[1]");
}

// body(geometry) of awkward sizes that are valid.
template <class Body>
void for_each_geometry(const Body& body) {
  for (int64_t in = 1; in <= 7; ++in)
    for (int64_t k = 1; k <= 4; ++k)
      for (int64_t stride = 1; stride <= 3; ++stride)
        for (int64_t dilation = 1; dilation <= 8; ++dilation)
          for (int64_t before = 0; before <= 9; before += before < 2 ? 1 : 7)
            for (int64_t after = 0; after <= 9; after += after < 2 ? 1 : 7) {
              if (before + in + after < (k - 1) * dilation + 1) continue;
              SCOPED_TRACE(::testing::Message() << in << " k " << k << " stride " << stride << " dilation "
                                                << dilation << " padding " << before << " " << after);
              body(make(in, k, stride, dilation, before, after));
            }
}

bool sees(const FilterAxis& axis, int64_t output, int64_t tap) {
  const int64_t at = output * axis.stride - axis.pad + tap * axis.dilation;
  return at >= 0 && at < axis.in;
}

TEST(VisibleTaps, ByLookingAtEveryProduct) {
  for_each_geometry([](const ConvGeometry& g) {
    for (const FilterAxis& axis : {high_axis(g), wide_axis(g)}) {
      int64_t visible = 0;
      for (int64_t o = 0; o < axis.out; ++o)
        for (int64_t t = 0; t < axis.taps; ++t) {
          const IndexRange outputs = axis.seeing(t), taps = axis.seen_by(o);
          ASSERT_EQ(o >= outputs.begin && o < outputs.end, sees(axis, o, t)) << o << " " << t;
          ASSERT_EQ(t >= taps.begin && t < taps.end, sees(axis, o, t)) << o << " " << t;
          visible += sees(axis, o, t);
        }
      ASSERT_DOUBLE_EQ(axis.visible_share(),
                       static_cast<double>(visible) / static_cast<double>(axis.out * axis.taps));
    }
  });
}

TEST(VisibleTaps, PartsCoverAllOutputsInOrder) {
  for_each_geometry([](const ConvGeometry& g) {
    const FilterAxis axis = high_axis(g);
    int64_t next = 0;
    for (const VisibleTaps& part : split_by_visible_taps(axis)) {
      ASSERT_EQ(part.outputs.begin, next);
      next = part.outputs.end;
      for (int64_t o = part.outputs.begin; o < part.outputs.end; ++o) ASSERT_EQ(axis.seen_by(o), part.taps);
    }
    ASSERT_EQ(next, axis.out);
  });
}

// Where outputs see the image, counted by position: the smaller filter's taps meet the same pixels by the
// same weights.
TEST(VisibleTaps, SmallerFilterSeesTheSame) {
  int64_t smaller = 0;
  for_each_geometry([&](const ConvGeometry& g) {
    const ConvGeometry seen = without_hidden_taps(g);
    ASSERT_EQ(seen.oh, g.oh);
    ASSERT_EQ(seen.ow, g.ow);
    const auto compare = [&](const FilterAxis& all, const FilterAxis& left, int64_t pad_after) {
      ASSERT_GE(left.taps, 1);
      ASSERT_GE(left.pad, 0);
      ASSERT_GE(pad_after, 0);
      ASSERT_EQ(left.dilation, left.taps == 1 ? 1 : all.dilation);
      // The image and its padding hold every window.
      ASSERT_LE((left.out - 1) * left.stride + (left.taps - 1) * left.dilation + 1,
                left.pad + left.in + pad_after);
      const int64_t first = (all.pad - left.pad) / all.dilation;
      ASSERT_EQ(first * all.dilation, all.pad - left.pad);
      for (int64_t o = 0; o < all.out; ++o)
        for (int64_t t = 0; t < all.taps; ++t) {
          const bool kept = t >= first && t < first + left.taps;
          ASSERT_TRUE(kept || !sees(all, o, t)) << o << " " << t;
          if (kept) {
            ASSERT_EQ(all.stride * o - all.pad + all.dilation * t,
                      left.stride * o - left.pad + left.dilation * (t - first));
          }
        }
      smaller += left.taps < all.taps;
    };
    compare(high_axis(g), high_axis(seen), seen.pad.bottom);
    compare(wide_axis(g), wide_axis(seen), seen.pad.right);
  });
  EXPECT_GT(smaller, 0);
}

TEST(VisibleTaps, OfDeepLab) {
  const auto filter = [](int64_t rate) { return without_hidden_taps(make(20, 3, 1, rate, rate, rate)); };
  EXPECT_EQ(filter(24).taps(), 1);
  EXPECT_EQ(filter(24).pad.top, 0);
  EXPECT_EQ(filter(24).pad.bottom, 0);
  EXPECT_EQ(filter(12).taps(), 9);
  EXPECT_EQ(filter(12).pad.top, 12);
  EXPECT_DOUBLE_EQ(high_axis(filter(12)).visible_share(), 0.6);
}

TEST(VisibleTaps, OfImagesOfOnePixel) {
  const ConvGeometry g = without_hidden_taps(make(1, 3, 1, 1, 1, 1));
  EXPECT_EQ(g.taps(), 1);
  EXPECT_EQ(g.pad.left, 0);
  EXPECT_EQ(g.out_pixels(), 1);
}

// The weight's view begins at the first tap that is left.
TEST(VisibleTaps, WeightsOfTheSmallerFilter) {
  const ConvGeometry g =
      make_geometry("conv2d", {1, 1, 2, 9}, {1, 1, 5, 3}, {1, 1}, Edges{4, 4, 1, 1}, {2, 1}, 1, "x.shape[1]");
  const ConvGeometry seen = without_hidden_taps(g);
  ASSERT_EQ(seen.kh, 1);
  ASSERT_EQ(seen.kw, 3);
  std::vector<float> weight(15);
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i);
  const ImageView<const float> view =
      visible_weights(ImageView<const float>{weight.data(), 1, 1, 5, 3, 15, 15, 3, 1}, g, seen);
  EXPECT_EQ(view.data[0], 6.0f);
  EXPECT_EQ(view.height, 1);
  EXPECT_EQ(view.width, 3);
}

}  // namespace
}  // namespace onebyone
