// make_geometry: sizes against counting, padding in all its forms, errors that name the argument and the
// values.
#include "core/geometry.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace onebyone {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

// One field changed at a time from a convolution that is fine.
struct Arguments {
  ImageShape x{2, 6, 9, 8};
  std::array<int64_t, 4> weight{4, 6, 3, 3};
  Pair stride{1, 1};
  Padding padding = Edges{0, 0, 0, 0};
  Pair dilation{1, 1};
  int64_t groups = 1;

  ConvGeometry make() const {
    return make_geometry("conv2d", x, weight, stride, padding, dilation, groups, "x.shape[1], layout NCHW");
  }
};

// Positions of the window's first tap that keep the whole window inside `padded` elements.
int64_t count_positions(int64_t padded, int64_t k, int64_t stride, int64_t dilation) {
  int64_t count = 0;
  for (int64_t first = 0; first + (k - 1) * dilation < padded; first += stride) ++count;
  return count;
}

TEST(Geometry, SizesByCounting) {
  for (int64_t in = 1; in <= 9; ++in)
    for (int64_t k = 1; k <= 4; ++k)
      for (int64_t stride = 1; stride <= 4; ++stride)
        for (int64_t dilation = 1; dilation <= 3; ++dilation)
          for (int64_t before = 0; before <= 2; ++before)
            for (int64_t after = 0; after <= 3; ++after) {
              // Height carries the case, width its mirror image.
              const Arguments a{.x = {2, 6, in, in},
                                .weight = {4, 6, k, k},
                                .stride = {stride, stride},
                                .padding = Edges{before, after, after, before},
                                .dilation = {dilation, dilation}};
              const int64_t expected = count_positions(before + in + after, k, stride, dilation);
              SCOPED_TRACE(::testing::Message() << in << " k " << k << " stride " << stride << " dilation "
                                                << dilation << " padding " << before << " " << after);
              if (expected == 0) {
                ASSERT_THROW(a.make(), std::invalid_argument);
                continue;
              }
              const ConvGeometry g = a.make();
              ASSERT_EQ(g.oh, expected);
              ASSERT_EQ(g.ow, expected);
              ASSERT_EQ(g.pad.top, before);
              ASSERT_EQ(g.pad.left, after);
              ASSERT_EQ(g.macs(), 2 * expected * expected * 4 * 6 * k * k);
            }
}

TEST(Geometry, SameKeepsTheSize) {
  for (int64_t in = 1; in <= 9; ++in)
    for (int64_t k = 1; k <= 5; ++k)
      for (int64_t stride = 1; stride <= 4; ++stride)
        for (int64_t dilation = 1; dilation <= 3; ++dilation) {
          const Arguments a{.x = {1, 6, in, 8},
                            .weight = {4, 6, k, 1},
                            .stride = {stride, 1},
                            .padding = AutoPadding::kSame,
                            .dilation = {dilation, 1}};
          const ConvGeometry g = a.make();
          SCOPED_TRACE(::testing::Message()
                       << in << " k " << k << " stride " << stride << " dilation " << dilation);
          ASSERT_EQ(g.oh, (in + stride - 1) / stride);
          ASSERT_EQ(g.ow, 8);
          // The odd one at the end, none too many.
          ASSERT_TRUE(g.pad.bottom == g.pad.top || g.pad.bottom == g.pad.top + 1);
          const int64_t needed = (g.oh - 1) * stride + (k - 1) * dilation + 1 - in;
          ASSERT_EQ(g.pad.top + g.pad.bottom, needed > 0 ? needed : 0);
        }
}

TEST(Geometry, ValidIsNoPadding) {
  const ConvGeometry g = Arguments{.padding = AutoPadding::kValid}.make();
  EXPECT_EQ(g.oh, 7);
  EXPECT_EQ(g.ow, 6);
  EXPECT_EQ(g.pad.top + g.pad.bottom + g.pad.left + g.pad.right, 0);
}

TEST(Geometry, EmptyIsNoError) {
  EXPECT_EQ((Arguments{.x = {0, 6, 9, 8}}.make().batch), 0);
  EXPECT_EQ((Arguments{.x = {1, 6, 0, 8}}.make().oh), 0);
  EXPECT_EQ((Arguments{.x = {1, 6, 0, 8}, .padding = AutoPadding::kSame}.make().oh), 0);
  EXPECT_EQ((Arguments{.weight = {0, 6, 3, 3}}.make().oc), 0);
  EXPECT_EQ((Arguments{.x = {1, 0, 9, 8}, .weight = {4, 0, 3, 3}}.make().macs()), 0);
}

// The message names the function, the argument and every value that takes part.
void expect_error(const Arguments& a, std::initializer_list<const char*> parts) {
  try {
    a.make();
    ADD_FAILURE() << "accepted; expected an error about " << *parts.begin();
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    for (const char* part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
  }
}

TEST(Geometry, ErrorsNameTheArgumentAndTheValues) {
  expect_error({.stride = {0, 2}}, {"conv2d: ", "stride", "(0, 2)"});
  expect_error({.stride = {2, -1}}, {"stride", "(2, -1)"});
  expect_error({.dilation = {1, 0}}, {"dilation", "(1, 0)"});
  expect_error({.groups = 0}, {"groups", "0"});
  expect_error({.weight = {4, 6, 0, 3}}, {"weight", "0x3"});
  expect_error({.weight = {5, 3, 3, 3}, .groups = 2}, {"groups 2", "weight", "5"});
  expect_error({.x = {2, 7, 9, 8}, .weight = {4, 3, 3, 3}, .groups = 2},
               {"groups 2", "x", "7", "x.shape[1]"});
  expect_error({.weight = {4, 5, 3, 3}}, {"weight expects 5", "x has 6", "x.shape[1], layout NCHW"});
  expect_error({.x = {2, 8, 9, 8}, .weight = {4, 3, 3, 3}, .groups = 2},
               {"weight expects 6", "3 x groups 2", "8"});
  expect_error({.padding = Edges{0, -1, 2, 3}}, {"padding", "(0, -1)", "(2, 3)"});
  expect_error({.weight = {4, 6, 5, 3}, .padding = Edges{1, 1, 0, 0}, .dilation = {3, 1}},
               {"weight", "height 5", "13", "11 = 1 + 9 + 1"});
  expect_error({.weight = {4, 6, 1, 9}}, {"weight", "width 9", "8"});
}

TEST(Geometry, SizesPast64BitsAreRefused) {
  expect_error({.dilation = {kHuge, 1}}, {"too large"});
  expect_error({.padding = Edges{kHuge, 0, 0, 0}}, {"padding", "too large"});
  expect_error({.padding = Edges{kHuge / 2, kHuge / 2, 0, 0}}, {"padding", "too large"});
  // Offsets of taps into x could overflow though every size fits.
  expect_error({.padding = Edges{int64_t{1} << 41, 0, 0, 0}}, {"padding", "too large in height"});
  expect_error({.stride = {1, kHuge}, .padding = AutoPadding::kSame}, {"stride", "too large in width"});
  expect_error({.x = {int64_t{1} << 40, 6, 9, 8}, .padding = Edges{1 << 30, 0, 1 << 30, 0}},
               {"output", "too large"});
  expect_error({.x = {1, 1, int64_t{1} << 31, int64_t{1} << 31}, .weight = {4, 1, 1, 1}}, {"too large"});
  expect_error({.weight = {6, kHuge / 2, 3, 3}, .groups = 3}, {"too large"});
  // The output fits, the products do not.
  expect_error({.x = {1, 1 << 20, 1 << 12, 1 << 12}, .weight = {1 << 20, 1 << 20, 1, 1}},
               {"convolution", "too large"});
}

}  // namespace
}  // namespace onebyone
