// Conv2d<T> as its callers use it: every algorithm, table and layout against the reference algorithm, on
// awkward shapes and views; the same bits for any number of threads; one object run by several threads at
// once.
#include "conv/conv2d.h"

#include <array>
#include <cstring>
#include <ostream>
#include <thread>

#include "conv/winograd_tiles.h"
#include "testing.h"

namespace onebyone {
namespace {

struct ConvCase {
  ImageShape x;
  std::array<int64_t, 4> weight;
  Pair stride{1, 1};
  Padding padding = Edges{0, 0, 0, 0};
  Pair dilation{1, 1};
  int64_t groups = 1;
};

const std::vector<ConvCase> kPointwise = {
    {{1, 1, 1, 1}, {1, 1, 1, 1}},
    {{2, 3, 5, 7}, {17, 3, 1, 1}},
    {{1, 17, 1, 49}, {33, 17, 1, 1}},
    {{3, 31, 4, 5}, {1, 31, 1, 1}},
    {{1, 513, 3, 3}, {19, 513, 1, 1}},                                       // several blocks of k
    {{2, 9, 8, 11}, {21, 9, 1, 1}, {2, 3}},                                  // strided
    {{1, 4, 5, 6}, {7, 4, 1, 1}, {1, 2}, Edges{1, 0, 2, 1}},                 // padding around one tap
    {{2, 15, 6, 5}, {21, 5, 1, 1}, {1, 1}, AutoPadding::kValid, {1, 1}, 3},  // groups
    {{1, 6, 3, 3}, {6, 1, 1, 1}, {1, 1}, AutoPadding::kValid, {1, 1}, 6},    // a group of one channel
    {{1, 5, 37, 41}, {9, 5, 1, 1}},                                          // several blocks of pixels
    {{2, 34, 19, 23}, {150, 34, 1, 1}},                                      // even numbers of channels
    {{1, 18, 7, 7}, {66, 18, 1, 1}, {2, 2}},
    {{1, 4, 5, 6}, {8, 4, 1, 1}, {1, 2}, Edges{1, 0, 2, 1}},
    {{1, 70, 1, 1}, {37, 70, 1, 1}},  // one pixel
    {{5, 33, 1, 1}, {6, 33, 1, 1}},
};
const std::vector<ConvCase> kWindows = {
    {{1, 1, 3, 3}, {1, 1, 3, 3}},
    {{2, 3, 9, 8}, {17, 3, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}},
    {{1, 3, 23, 19}, {13, 3, 7, 7}, {2, 2}, Edges{3, 3, 3, 3}},
    {{1, 17, 7, 7}, {35, 17, 3, 3}, {1, 1}, AutoPadding::kSame},
    {{1, 16, 6, 9}, {8, 16, 3, 3}, {2, 3}, AutoPadding::kSame},
    {{2, 7, 8, 9}, {5, 7, 5, 2}, {1, 1}, Edges{0, 2, 1, 0}, {1, 2}},  // asymmetric, dilated
    {{1, 20, 1, 12}, {6, 20, 1, 7}, {1, 1}, Edges{0, 0, 3, 3}},       // one row
    {{1, 6, 11, 1}, {4, 6, 4, 1}, {3, 1}, Edges{2, 5, 0, 0}},         // padding wider than a step
    {{1, 3, 2, 2}, {4, 3, 2, 2}, {1, 1}, Edges{3, 4, 4, 3}},          // windows of padding alone
    {{2, 8, 6, 7}, {12, 2, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}, {1, 1}, 4},
    {{1, 9, 8, 6}, {9, 1, 3, 3}, {2, 1}, Edges{1, 1, 1, 1}, {1, 1}, 9},    // depthwise
    {{1, 5, 7, 6}, {15, 1, 5, 5}, {1, 1}, AutoPadding::kSame, {1, 1}, 5},  // three outputs a channel
    {{1, 40, 5, 5}, {66, 20, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}, {2, 2}, 2},
    {{1, 130, 5, 4}, {9, 130, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}},   // several blocks of k
    {{2, 24, 13, 22}, {41, 24, 3, 3}, {1, 1}, Edges{1, 0, 2, 1}},  // tiles at all edges, blocks of channels
    {{1, 33, 9, 10}, {70, 33, 3, 3}, {1, 1}, AutoPadding::kValid},
    {{1, 18, 15, 12}, {34, 9, 5, 5}, {1, 1}, AutoPadding::kSame, {1, 1}, 2},
    {{1, 19, 6, 17}, {21, 19, 1, 3}, {1, 1}, AutoPadding::kSame},
    {{1, 12, 17, 4}, {20, 12, 7, 1}, {1, 1}, Edges{3, 3, 0, 0}},
    {{1, 10, 9, 9}, {11, 10, 7, 7}, {1, 1}, Edges{3, 3, 3, 3}},
    {{2, 24, 13, 22}, {41, 24, 3, 3}, {2, 2}, Edges{1, 0, 2, 1}},  // stride 2 by Winograd
    {{1, 18, 15, 12}, {34, 9, 5, 4}, {2, 2}, AutoPadding::kSame, {1, 1}, 2},
    {{1, 35, 6, 17}, {21, 35, 3, 6}, {1, 2}, Edges{0, 1, 2, 2}},
};
// As the first layers of networks: rows longer and shorter than a tile, sums of several blocks, outputs
// enough to be written row by row, more stride than kernel.
const std::vector<ConvCase> kFewChannels = {
    {{2, 3, 13, 101}, {37, 3, 5, 5}, {2, 2}, Edges{2, 1, 0, 2}},
    {{1, 4, 9, 70}, {70, 4, 3, 3}, {3, 4}, Edges{1, 1, 2, 1}},
    {{1, 3, 27, 61}, {19, 3, 11, 11}, {4, 4}, Edges{2, 2, 2, 2}},
    {{1, 2, 12, 40}, {8, 2, 3, 4}, {2, 2}, Edges{2, 3, 4, 1}, {2, 3}},
    {{1, 3, 4, 21}, {530, 3, 3, 3}, {1, 1}, AutoPadding::kSame},
    {{3, 1, 7, 18}, {33, 1, 2, 2}, {3, 3}},
    {{1, 1, 1, 50}, {12, 1, 1, 9}, {1, 2}, AutoPadding::kSame},
    {{1, 3, 50, 5}, {5, 3, 7, 7}, {1, 1}, Edges{3, 3, 3, 3}},
};
// As the last layers of networks: taps of a row side by side in a vector, several bands, a residual's rows.
const std::vector<ConvCase> kFewOutputs = {
    {{1, 19, 37, 45}, {3, 19, 9, 9}, {1, 1}, Edges{4, 4, 4, 4}},
    {{2, 33, 13, 70}, {1, 33, 5, 5}, {1, 1}, AutoPadding::kSame},
    {{1, 24, 11, 9}, {2, 24, 3, 4}, {2, 1}, Edges{1, 0, 3, 1}, {1, 2}},
    {{1, 40, 6, 5}, {1, 40, 4, 9}, {1, 1}, Edges{2, 3, 9, 9}, {2, 1}},  // windows of padding alone
    {{1, 64, 130, 3}, {4, 64, 1, 7}, {3, 1}, Edges{0, 0, 3, 3}},
    {{2, 512, 5, 6}, {1, 512, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}},
};
// Taps that see padding alone, for all outputs or for some: filters that become 1x1, lose a row or a column,
// are different ones for every row, in groups, of several blocks of k and of pixels.
const std::vector<ConvCase> kHiddenTaps = {
    {{1, 6, 1, 1}, {5, 6, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}},
    {{2, 12, 5, 6}, {9, 12, 3, 3}, {1, 1}, Edges{6, 6, 6, 6}, {6, 6}},
    {{1, 9, 5, 6}, {12, 9, 3, 3}, {1, 1}, Edges{3, 3, 6, 6}, {3, 6}},
    {{1, 8, 1, 7}, {10, 8, 5, 3}, {2, 1}, Edges{2, 2, 1, 1}},
    {{1, 7, 4, 4}, {6, 7, 4, 4}, {2, 2}, Edges{6, 0, 0, 6}, {2, 2}},
    {{1, 3, 2, 9}, {8, 3, 7, 3}, {1, 1}, Edges{3, 3, 1, 1}},
    {{2, 10, 2, 3}, {10, 1, 5, 5}, {1, 1}, Edges{2, 2, 2, 2}, {1, 1}, 10},  // depthwise
    {{2, 12, 3, 5}, {18, 4, 3, 3}, {1, 1}, Edges{4, 4, 4, 4}, {4, 4}, 3},
    {{2, 150, 7, 9}, {70, 150, 3, 3}, {1, 1}, Edges{5, 5, 5, 5}, {5, 5}},
    {{1, 530, 6, 5}, {40, 530, 3, 3}, {1, 1}, Edges{3, 3, 3, 3}, {3, 3}},
    {{2, 80, 11, 37}, {48, 40, 3, 3}, {1, 1}, Edges{8, 8, 30, 30}, {8, 30}, 2},
    {{1, 64, 9, 150}, {20, 64, 3, 3}, {1, 1}, Edges{6, 6, 99, 99}, {6, 99}},
    {{2, 64, 7, 8}, {40, 64, 7, 3}, {2, 1}, Edges{3, 3, 1, 1}},
    {{1, 72, 7, 9}, {33, 72, 3, 3}, {2, 2}, Edges{11, 9, 7, 8}, {8, 6}},  // outputs of padding alone
};
const std::vector<ConvCase> kEmpty = {
    {{0, 3, 4, 4}, {5, 3, 3, 3}}, {{1, 3, 0, 4}, {5, 3, 1, 1}},
    {{1, 3, 4, 4}, {0, 3, 3, 3}}, {{2, 0, 3, 4}, {5, 0, 1, 1}},  // nothing to sum: the bias
    {{2, 0, 4, 4}, {5, 0, 3, 3}}, {{1, 3, 0, 4}, {5, 3, 3, 3}, {1, 1}, Edges{2, 2, 0, 0}},  // padding alone
};

std::ostream& operator<<(std::ostream& text, const ConvCase& c) {
  text << "x";
  for (const int64_t v : {c.x.batch, c.x.channels, c.x.height, c.x.width}) text << " " << v;
  text << " weight";
  for (const int64_t v : c.weight) text << " " << v;
  return text << " stride " << c.stride.h << " " << c.stride.w << " dilation " << c.dilation.h << " "
              << c.dilation.w << " groups " << c.groups << " padding " << c.padding.index();
}

// How x lies in memory, beside the layout it is called.
enum class View { kDense, kOtherLayout, kSparse, kMirrored, kReversedChannels, kBroadcast };
constexpr View kViews[] = {View::kDense,    View::kOtherLayout,      View::kSparse,
                           View::kMirrored, View::kReversedChannels, View::kBroadcast};

template <class T>
ImageView<const T> view_of(const ImageShape& x, Layout layout, View view) {
  if (view == View::kOtherLayout) layout = layout == Layout::kNchw ? Layout::kNhwc : Layout::kNchw;
  const int64_t gap = view == View::kSparse ? 3 : 0;  // between rows, or between pixels
  ImageView<const T> v{nullptr, x.batch, x.channels, x.height, x.width, 0, 0, 0, 0};
  if (layout == Layout::kNchw) {
    v.sw = 1, v.sh = x.width + gap, v.sc = x.height * v.sh + gap, v.sn = x.channels * v.sc;
  } else {
    v.sc = 1, v.sw = x.channels + gap, v.sh = x.width * v.sw + gap, v.sn = x.height * v.sh;
  }
  if (view == View::kMirrored) v.sh = -v.sh, v.sw = -v.sw, v.sn = -v.sn;
  if (view == View::kReversedChannels) v.sc = -v.sc;
  if (view == View::kBroadcast) v.sh = v.sn = 0;
  return v;
}

// Weights, bias and residual of one case, and what the reference makes of them.
template <class T>
class Checker {
 public:
  Checker(const ConvCase& c, Layout layout, const Activation& activation, bool extras,
          const KernelTable& kernels)
      : kernels_(kernels),
        weight_({nullptr, c.weight[0], c.weight[1], c.weight[2], c.weight[3],
                 c.weight[1] * c.weight[2] * c.weight[3], c.weight[2] * c.weight[3], c.weight[3], 1},
                random_),
        bias_(random_.values<T>(extras ? c.weight[0] : 0)) {
    spec_.x = c.x;
    spec_.layout = layout;
    spec_.stride = c.stride;
    spec_.padding = c.padding;
    spec_.dilation = c.dilation;
    spec_.groups = c.groups;
    spec_.activation = activation;
    spec_.residual = extras;
  }

  Conv2d<T> prepare(Algorithm algorithm) const {
    ConvSpec spec = spec_;
    spec.algorithm = algorithm;
    const ConvWeights<T> weights{weight_.view, bias_.empty() ? nullptr : bias_.data(), 1};
    Conv2d<T> conv(spec, weights, kernels_);
    // With the extras the output is part of a wider image.
    if (!spec.residual) return conv;
    spec.out_step = conv.problem().output_step() + kGap;
    return Conv2d<T>(spec, weights, kernels_);
  }

  // Runs into an exactly sized buffer that is all NaN; what lies between the outputs must stay so.
  std::vector<T> run(const Conv2d<T>& conv, const ImageView<const T>& x, int threads) {
    const ConvGeometry& g = conv.geometry();
    const int64_t size = g.batch * g.oc * g.out_pixels(), step = conv.problem().output_step();
    const int64_t piece = step - (spec_.residual ? kGap : 0), pieces = piece ? size / piece : 0;
    const int64_t memory = pieces ? (pieces - 1) * step + piece : 0;
    if (spec_.residual && residual_.empty()) residual_ = random_.values<T>(memory);
    std::vector<T> out(memory, kNan<T>);
    conv.run(x, spec_.residual ? residual_.data() : nullptr, out.data(), threads);
    std::vector<T> dense;
    for (int64_t i = 0; i < memory; ++i) {
      if (i % step < piece)
        dense.push_back(out[i]);
      else
        EXPECT_TRUE(std::isnan(out[i])) << "written between outputs, at " << i;
    }
    return dense;
  }

  void compare(View kind) {
    const StridedImage<T> x(view_of<T>(spec_.x, spec_.layout, kind), random_);
    const std::vector<T> expected = run(prepare(Algorithm::kReference), x.view, 1);
    for (const Algorithm algorithm : {Algorithm::kAuto, Algorithm::kGemm, Algorithm::kStrassen,
                                      Algorithm::kDirect, Algorithm::kWinograd}) {
      if (!serves(algorithm)) continue;
      const Conv2d<T> conv = prepare(algorithm);
      SCOPED_TRACE(conv.describe(1));
      const ConvGeometry& g = conv.geometry();
      const double terms =
          static_cast<double>(g.taps() * g.group_ic()) + 2;  // bias and residual are two more
      // Differences and sums of pixels make short sums less exact.
      const double factor = conv.plan().algorithm == Algorithm::kWinograd   ? 24
                            : conv.plan().algorithm == Algorithm::kStrassen ? 8
                                                                            : 2;
      const std::vector<T> out = run(conv, x.view, 1);
      for (size_t i = 0; i < out.size(); ++i)
        ASSERT_NEAR(static_cast<double>(out[i]), static_cast<double>(expected[i]),
                    factor * (terms + 1) * kEps<T>)
            << "element " << i << " of " << out.size() << ", view " << static_cast<int>(kind);
    }
  }

 private:
  bool serves(Algorithm algorithm) const {
    const int64_t kh = weight_.view.height, kw = weight_.view.width;
    if (algorithm == Algorithm::kGemm) return kh == 1 && kw == 1;
    if (algorithm == Algorithm::kStrassen)
      return kh * kw == 1 && spec_.layout == Layout::kNhwc && spec_.groups == 1 && spec_.x.channels > 0 &&
             spec_.x.channels % 2 == 0;
    if (algorithm != Algorithm::kWinograd) return true;
    return spec_.dilation.h == 1 && spec_.dilation.w == 1 && kh * kw > 1 &&
           largest_winograd_tile(kh, spec_.stride.h) > 0 && largest_winograd_tile(kw, spec_.stride.w) > 0;
  }

  static constexpr int64_t kGap = 5;  // elements

  Random random_;
  const KernelTable& kernels_;
  ConvSpec spec_;
  StridedImage<T> weight_;
  std::vector<T> bias_, residual_;
};

template <class T>
class Convolution : public ::testing::Test {
 protected:
  static void compare_all(const std::vector<ConvCase>& cases) {
    for_each_table([&](const KernelTable& table) {
      size_t next = 0;  // activations take turns
      for (const ConvCase& c : cases)
        for (const Layout layout : {Layout::kNchw, Layout::kNhwc})
          for (const View view : kViews) {
            SCOPED_TRACE(::testing::Message() << c);
            const Activation& activation = all_activations()[next++ % all_activations().size()];
            Checker<T> checker(c, layout, activation, next % 3 != 0, table);
            ASSERT_NO_FATAL_FAILURE(checker.compare(view));
          }
    });
  }

  static void same_bits(const ConvCase& c) {
    for_each_table([&](const KernelTable& table) {
      for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
        Checker<T> checker(c, layout, {ActivationKind::kSilu, 0, 0}, true, table);
        Random random;
        const StridedImage<T> x(view_of<T>(c.x, layout, View::kDense), random);
        const Conv2d<T> conv = checker.prepare(Algorithm::kAuto);
        const std::vector<T> one = checker.run(conv, x.view, 1);
        for (const int threads : {2, 3, 5, 16}) {
          SCOPED_TRACE(conv.describe(threads));
          const std::vector<T> many = checker.run(conv, x.view, threads);
          ASSERT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(T)), 0);
        }
      }
    });
  }
};
TYPED_TEST_SUITE(Convolution, RealTypes);

TYPED_TEST(Convolution, PointwiseAgreesWithReference) { this->compare_all(kPointwise); }
TYPED_TEST(Convolution, WindowsAgreeWithReference) { this->compare_all(kWindows); }
TYPED_TEST(Convolution, FewChannelsAgreeWithReference) { this->compare_all(kFewChannels); }
TYPED_TEST(Convolution, FewOutputsAgreeWithReference) { this->compare_all(kFewOutputs); }
TYPED_TEST(Convolution, HiddenTapsAgreeWithReference) { this->compare_all(kHiddenTaps); }
TYPED_TEST(Convolution, EmptyAgreesWithReference) { this->compare_all(kEmpty); }

// At least 16 times the work that is worth a thread; sizes that no number of threads divides.
TYPED_TEST(Convolution, PointwiseSameBitsForAnyThreads) {
  this->same_bits({{2, 67, 19, 23}, {79, 67, 1, 1}});
}
TYPED_TEST(Convolution, WindowsSameBitsForAnyThreads) {
  this->same_bits({{1, 29, 19, 17}, {61, 29, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}});
}
TYPED_TEST(Convolution, FewChannelsSameBitsForAnyThreads) {
  this->same_bits({{2, 3, 83, 75}, {37, 3, 7, 7}, {2, 2}, Edges{3, 3, 3, 3}});
}
TYPED_TEST(Convolution, FewOutputsSameBitsForAnyThreads) {
  this->same_bits({{2, 37, 83, 75}, {3, 37, 7, 7}, {1, 1}, Edges{3, 3, 3, 3}});
}
TYPED_TEST(Convolution, PixelSameBitsForAnyThreads) {
  this->same_bits({{3, 1031, 1, 1}, {1500, 1031, 1, 1}});
}
TYPED_TEST(Convolution, GroupsSameBitsForAnyThreads) {
  this->same_bits({{1, 33, 37, 31}, {93, 11, 3, 3}, {1, 1}, AutoPadding::kSame, {1, 1}, 3});
}

TYPED_TEST(Convolution, HiddenTapsSameBitsForAnyThreads) {
  this->same_bits({{2, 150, 13, 11}, {70, 150, 3, 3}, {1, 1}, Edges{7, 7, 7, 7}, {7, 7}});
  this->same_bits({{3, 40, 5, 9}, {70, 40, 7, 3}, {1, 1}, Edges{3, 3, 1, 1}});
}

// An image that is alone becomes what it becomes in a batch.
TYPED_TEST(Convolution, HiddenTapsSameBitsInABatch) {
  using T = TypeParam;
  for_each_table([&](const KernelTable& table) {
    for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
      ConvCase c{{3, 150, 13, 11}, {70, 150, 3, 3}, {1, 1}, Edges{7, 7, 7, 7}, {7, 7}};
      Random random;
      const StridedImage<T> x(view_of<T>(c.x, layout, View::kDense), random);
      Checker<T> checker(c, layout, {}, false, table);
      const std::vector<T> all = checker.run(checker.prepare(Algorithm::kDirect), x.view, 2);
      c.x.batch = 1;
      Checker<T> single(c, layout, {}, false, table);
      ImageView<const T> last = x.view;
      last.data += 2 * last.sn;
      last.batch = 1;
      const Conv2d<T> conv = single.prepare(Algorithm::kDirect);
      ASSERT_TRUE(conv.plan().visible_only);
      const std::vector<T> one = single.run(conv, last, 1);
      EXPECT_EQ(std::memcmp(all.data() + 2 * one.size(), one.data(), one.size() * sizeof(T)), 0);
    }
  });
}

// Any pixels by themselves, cut within rows and rectangles, are what they are among all.
TYPED_TEST(Convolution, HiddenTapsSameBitsByParts) {
  using T = TypeParam;
  for_each_table([&](const KernelTable& table) {
    const ConvCase c{{2, 150, 13, 11}, {35, 150, 3, 3}, {1, 1}, Edges{7, 7, 7, 7}, {7, 7}};
    Random random;
    const StridedImage<T> x(view_of<T>(c.x, Layout::kNhwc, View::kDense), random);
    Checker<T> checker(c, Layout::kNhwc, {}, false, table);
    const Conv2d<T> conv = checker.prepare(Algorithm::kDirect);
    ASSERT_TRUE(conv.plan().visible_only);
    const std::vector<T> all = checker.run(conv, x.view, 2);
    const int64_t pixels = static_cast<int64_t>(all.size()) / 35;
    for (const int64_t size : {1, 7, 11, 40, 150, 200}) {
      std::vector<T> parts(all.size(), kNan<T>);
      for (int64_t begin = 0; begin < pixels; begin += size)
        conv.algorithm().run_part(x.view, nullptr, parts.data() + begin * 35, begin,
                                  std::min(begin + size, pixels));
      ASSERT_EQ(std::memcmp(all.data(), parts.data(), all.size() * sizeof(T)), 0) << size;
    }
  });
}

// Weights that meet padding alone are not read.
TYPED_TEST(Convolution, HiddenTapsAreLeftOut) {
  using T = TypeParam;
  Random random;
  const std::vector<T> centre = random.values<T>(6 * 4);
  std::vector<T> weight(centre.size() * 9, kNan<T>);
  for (size_t i = 0; i < centre.size(); ++i) weight[9 * i + 4] = centre[i];
  for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
    ConvSpec spec;
    spec.x = {1, 4, 5, 5};
    spec.layout = layout;
    const StridedImage<T> x(view_of<T>(spec.x, layout, View::kDense), random);
    std::vector<T> expected(6 * 25), out(6 * 25);
    const Conv2d<T> pointwise(spec, {{centre.data(), 6, 4, 1, 1, 4, 1, 1, 1}, nullptr, 1}, active_kernels());
    pointwise.run(x.view, nullptr, expected.data(), 1);
    spec.padding = Edges{5, 5, 5, 5};
    spec.dilation = {5, 5};
    const Conv2d<T> conv(spec, {{weight.data(), 6, 4, 3, 3, 36, 9, 3, 1}, nullptr, 1}, active_kernels());
    conv.run(x.view, nullptr, out.data(), 1);
    EXPECT_EQ(out, expected);
    EXPECT_EQ(conv.plan().algorithm, Algorithm::kGemm);
    EXPECT_EQ(conv.macs(), 9 * pointwise.macs());
    EXPECT_NE(conv.describe(1).find("-> 6 k3 d5 "), std::string::npos) << conv.describe(1);
    EXPECT_NE(conv.describe(1).find(": gemm of 1x1 "), std::string::npos) << conv.describe(1);
    spec.algorithm = Algorithm::kGemm;
    EXPECT_THROW(Conv2d<T>(spec, {{weight.data(), 6, 4, 3, 3, 36, 9, 3, 1}, nullptr, 1}, active_kernels()),
                 std::invalid_argument);
  }
}

TYPED_TEST(Convolution, OneObjectManyCallers) {
  using T = TypeParam;
  constexpr int kCallers = 4;
  const ConvCase c{{1, 23, 17, 13}, {41, 23, 3, 3}, {1, 1}, Edges{1, 1, 1, 1}};
  for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
    Checker<T> checker(c, layout, {}, false, active_kernels());
    const Conv2d<T> conv = checker.prepare(Algorithm::kAuto);
    // Each caller its own image.
    std::array<std::vector<T>, kCallers> expected, got;
    std::vector<std::unique_ptr<StridedImage<T>>> x;
    for (int i = 0; i < kCallers; ++i) {
      Random random(i + 1);
      x.push_back(std::make_unique<StridedImage<T>>(view_of<T>(c.x, layout, View::kDense), random));
      expected[i] = checker.run(conv, x[i]->view, 1);
      got[i].assign(expected[i].size(), kNan<T>);
    }
    std::vector<std::thread> callers;
    for (int i = 0; i < kCallers; ++i)
      callers.emplace_back([&, i] {
        for (int repeat = 0; repeat < 3; ++repeat)
          conv.run(x[i]->view, nullptr, got[i].data(), 1 + (i + repeat) % 3);
      });
    for (std::thread& caller : callers) caller.join();
    for (int i = 0; i < kCallers; ++i) EXPECT_EQ(got[i], expected[i]) << "caller " << i;
  }
}

// What is given to the constructor is copied: it may go away.
TYPED_TEST(Convolution, KeepsNothingOfTheCallers) {
  using T = TypeParam;
  Random random;
  const ImageShape shape{1, 5, 4, 4};
  const StridedImage<T> x(view_of<T>(shape, Layout::kNchw, View::kDense), random);
  ConvSpec spec;
  spec.x = shape;
  for (const Algorithm algorithm : {Algorithm::kAuto, Algorithm::kReference}) {
    spec.algorithm = algorithm;
    std::vector<T> weight = random.values<T>(7 * 5), bias = random.values<T>(7), first(7 * 16),
                   second(7 * 16);
    const Conv2d<T> conv(spec, {{weight.data(), 7, 5, 1, 1, 5, 1, 1, 1}, bias.data(), 1}, active_kernels());
    conv.run(x.view, nullptr, first.data(), 1);
    weight.assign(weight.size(), kNan<T>);
    bias.assign(bias.size(), kNan<T>);
    conv.run(x.view, nullptr, second.data(), 1);
    EXPECT_EQ(first, second);
  }
}

TEST(Conv2dErrors, NameTheCaller) {
  ConvSpec spec;
  spec.op = "linear";
  spec.x = {1, 4, 2, 2};
  const std::vector<float> weight(6);
  try {
    const Conv2d<float> conv(spec, {{weight.data(), 2, 3, 1, 1, 3, 1, 1, 1}, nullptr, 1}, active_kernels());
    FAIL() << "accepted 3 channels for 4";
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()).find("linear: weight expects 3"), 0u) << error.what();
  }
}

}  // namespace
}  // namespace onebyone
