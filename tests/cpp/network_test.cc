// network_test.cc - the pieces of a compiled network: places in memory, views, chains, fusion.
#include "network/network.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "network/arena.h"
#include "network/chain.h"
#include "network/slots.h"
#include "testing.h"

namespace onebyone {
namespace {

TEST(Arena, BuffersThatLiveTogetherDoNotMeet) {
  Random random;
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> buffers;
    for (int64_t i = random.below(30); i >= 0; --i) {
      const int first = static_cast<int>(random.below(20));
      buffers.push_back({random.below(50) * 16, first, first + static_cast<int>(random.below(6))});
    }
    const ArenaPlan plan = plan_arena(buffers);
    int64_t busiest = 0;
    for (int step = 0; step < 30; ++step) {
      int64_t alive = 0;
      for (const Lifetime& b : buffers) alive += b.first <= step && step <= b.last ? b.size : 0;
      busiest = std::max(busiest, alive);
    }
    EXPECT_GE(plan.size, busiest);
    for (size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_LE(plan.offsets[i] + buffers[i].size, plan.size);
      for (size_t j = 0; j < i; ++j) {
        const bool together = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
        const bool meet = plan.offsets[i] < plan.offsets[j] + buffers[j].size &&
                          plan.offsets[j] < plan.offsets[i] + buffers[i].size;
        EXPECT_FALSE(together && meet && buffers[i].size && buffers[j].size);
      }
    }
  }
}

// Offsets of a slot's elements, the last axis first.
std::vector<int64_t> elements(const Slot& slot) {
  std::vector<int64_t> offsets{slot.offset};
  for (int d = 0; d < slot.rank; ++d) {
    std::vector<int64_t> next;
    for (const int64_t offset : offsets)
      for (int64_t i = 0; i < slot.shape[d]; ++i) next.push_back(offset + i * slot.strides[d]);
    offsets = std::move(next);
  }
  return offsets;
}

TEST(Slots, ReshapedViewsHoldTheSameElements) {
  const std::vector<Dims> shapes = {{2, 3, 4, 6},    {6, 4, 6}, {2, 12, 6}, {2, 3, 24},        {144},
                                    {2, 3, 2, 2, 6}, {1, 144},  {12, 12},   {3, 2, 1, 4, 6, 1}};
  int views = 0, refused = 0;
  for (const AxisOrder& order : {row_major(), channels_last()}) {
    const Slot dense = dense_slot(0, {2, 3, 4, 6}, order);
    for (const Slot& slot : {dense, transposed(dense, {0, 2, 3, 1}), transposed(dense, {3, 1, 0, 2}),
                             sliced(dense, {1, 2, 0, 5}, {1, 3, 4, 6}, {1, -1, 1, -1})}) {
      for (const Dims& shape : shapes) {
        if (element_count(shape) != element_count(shape_of(slot))) continue;
        const std::optional<Slot> view = reshaped(slot, shape);
        view ? ++views : ++refused;
        if (!view) continue;
        EXPECT_EQ(elements(*view), elements(slot)) << dims_text(shape);
      }
    }
  }
  EXPECT_GT(views, 20);
  EXPECT_GT(refused, 10);
  EXPECT_TRUE(reshaped(dense_slot(0, {2, 3, 4, 6}, channels_last()), {2, 3, 24}));
  EXPECT_FALSE(reshaped(dense_slot(0, {2, 3, 4, 6}, channels_last()), {2, 72}));
}

TEST(Slots, OrdersFollowTheStrides) {
  const Dims shape{2, 3, 4, 5};
  for (const AxisOrder& order : {row_major(), channels_last()}) {
    const Slot slot = dense_slot(0, shape, order);
    EXPECT_EQ(order_of(slot), order);
    EXPECT_EQ(order_of(narrow(slot, 1, 1, 2)), order);
  }
  EXPECT_EQ(pixel_step(narrow(dense_slot(0, shape, channels_last()), 1, 1, 2)), 3);
  EXPECT_FALSE(pixel_step(dense_slot(0, shape, row_major())));
  EXPECT_EQ(row_step(dense_slot(0, shape, row_major())), 5);
  EXPECT_EQ(row_step(narrow(dense_slot(0, shape, row_major()), 3, 1, 2)), 5);
  EXPECT_FALSE(row_step(narrow(dense_slot(0, shape, row_major()), 2, 0, 2)));
}

// ---- chains ----

struct StageCase {
  int64_t oc, kernel, stride, pad;
  bool depthwise = false, winograd = false;
};

template <class T>
class Chains : public ::testing::Test {
 protected:
  // What the first stage reads: x, or x by scaled_pixels.h.
  enum class Reads { kImage, kActivated, kScaled, kScaledActivated };

  // The stages one after the other and as a chain must give the same bits.
  static void compare(const ImageShape& shape, const std::vector<StageCase>& cases, bool residual,
                      const KernelTable& table, Reads reads = Reads::kImage) {
    Random random;
    std::vector<typename Chain<T>::Stage> stages;
    ImageShape x = shape;
    for (size_t i = 0; i < cases.size(); ++i) {
      const StageCase& c = cases[i];
      const int64_t group_ic = c.depthwise ? 1 : x.channels, taps = c.kernel * c.kernel;
      const std::vector<T> weight = random.values<T>(c.oc * group_ic * taps), bias = random.values<T>(c.oc);
      ConvSpec spec;
      spec.x = x;
      spec.layout = Layout::kNhwc;
      spec.stride = {c.stride, c.stride};
      spec.padding = Edges{c.pad, c.pad, c.pad, c.pad};
      spec.groups = c.depthwise ? x.channels : 1;
      spec.activation = {ActivationKind::kClip, 0, 6};
      spec.residual = residual && i + 1 == cases.size();
      spec.algorithm = c.depthwise  ? Algorithm::kDepthwise
                       : c.winograd ? Algorithm::kWinograd
                                    : Algorithm::kDirect;
      spec.role = ConvRole::kStage;
      if (i + 1 == cases.size()) spec.out_step = c.oc + 3;
      const ImageView<const T> w{weight.data(),   c.oc, group_ic, c.kernel, c.kernel,
                                 group_ic * taps, taps, c.kernel, 1};
      stages.push_back(std::make_shared<const Conv2d<T>>(spec, ConvWeights<T>{w, bias.data(), 1}, table));
      const ConvGeometry& g = stages.back()->geometry();
      x = {g.batch, g.oc, g.oh, g.ow};
    }
    // Scaled pixels may be part of a wider image, and rows be apart.
    const bool wide = reads != Reads::kImage, apart = reads == Reads::kScaled;
    const int64_t sw = shape.channels + (wide ? 5 : 0), sh = shape.width * sw + (apart ? 3 : 0),
                  sn = shape.height * sh + (apart ? 7 : 0);
    const ImageView<const T> view{nullptr, shape.batch, shape.channels, shape.height, shape.width, sn, 1,
                                  sh,      sw};
    const StridedImage<T> input(view, random);
    const ConvGeometry& last = stages.back()->geometry();
    const int64_t size = last.batch * last.out_pixels() * (last.oc + 3);
    const std::vector<T> added = random.values<T>(size);

    std::vector<T> between = input.memory, expected(size, kNan<T>);
    std::unique_ptr<const ScaledPixels<T>> scaled;
    if (wide) {
      const Activation activation =
          reads == Reads::kScaled ? Activation{} : Activation{ActivationKind::kSilu, 0, 0};
      const size_t factors = reads == Reads::kActivated ? 0 : shape.channels;
      std::vector<double> scale(factors), shift(factors);
      for (std::vector<double>* values : {&scale, &shift})
        for (double& value : *values) value = static_cast<double>(random.values<T>(1)[0]);
      between = scaled_image(input.view, scale, shift, activation, kernels_of<T>(table));
      scaled = std::make_unique<const ScaledPixels<T>>(scale, shift, activation, kernels_of<T>(table));
    }
    for (const auto& stage : stages) {
      const ConvGeometry& g = stage->geometry();
      const bool end = stage == stages.back();
      std::vector<T> out(end ? 0 : g.batch * g.out_pixels() * g.oc);
      stage->run({between.data(), g.batch, g.ic, g.ih, g.iw, g.ih * g.iw * g.ic, 1, g.iw * g.ic, g.ic},
                 end && residual ? added.data() : nullptr, end ? expected.data() : out.data(), 1);
      between = std::move(out);
    }
    const Chain<T> chain(stages, std::move(scaled));
    for (const int threads : {1, 2, 5}) {
      SCOPED_TRACE(chain.describe(threads));
      std::vector<T> got(size, kNan<T>);
      chain.run(input.view, residual ? added.data() : nullptr, got.data(), threads);
      ASSERT_EQ(std::memcmp(got.data(), expected.data(), size * sizeof(T)), 0);
    }
  }

  // As the operations of networks do it: a dense copy.
  static std::vector<T> scaled_image(const ImageView<const T>& x, const std::vector<double>& scale,
                                     const std::vector<double>& shift, const Activation& activation,
                                     const Kernels<T>& kernels) {
    const int64_t c = x.channels, h = x.height, w = x.width;
    std::vector<T> result(x.batch * h * w * c);
    const TensorView<const T> from{x.data, 4, {x.batch, c, h, w}, {x.sn, x.sc, x.sh, x.sw}};
    const TensorView<T> to{result.data(), 4, {x.batch, c, h, w}, {h * w * c, 1, w * c, c}};
    const std::vector<T> factors(scale.begin(), scale.end()), terms(shift.begin(), shift.end());
    if (scale.empty())
      activate<T>(activation, from, to, kernels, 1);
    else
      scale_shift<T>(from, 1, factors.data(), terms.data(), activation, to, kernels, 1);
    return result;
  }

  // Channels first, two stages that no layout of the output changes the bits of.
  static void compare_spread(const ImageShape& x, int64_t between, int64_t oc, const KernelTable& table) {
    Random random;
    std::vector<typename Chain<T>::Stage> stages;
    for (const auto& [from, to] : {std::pair(x.channels, between), std::pair(between, oc)}) {
      ConvSpec spec;
      spec.x = {x.batch, from, x.height, x.width};
      spec.layout = Layout::kNhwc;
      spec.algorithm = Algorithm::kDirect;
      const std::vector<T> weight = random.values<T>(to * from);
      const ImageView<const T> w{weight.data(), to, from, 1, 1, from, 1, 1, 1};
      stages.push_back(std::make_shared<const Conv2d<T>>(spec, ConvWeights<T>{w, nullptr, 1}, table));
    }
    const int64_t pixels = x.height * x.width, size = x.batch * pixels * oc;
    const std::vector<T> values = random.values<T>(x.batch * pixels * x.channels);
    const ImageView<const T> view{values.data(),       x.batch, x.channels,           x.height,  x.width,
                                  pixels * x.channels, 1,       x.width * x.channels, x.channels};
    std::vector<T> expected(size), got(size, kNan<T>);
    Chain<T>(stages).run(view, nullptr, expected.data(), 1);
    Chain<T>(stages, nullptr, &kernels_of<T>(table)).run(view, nullptr, got.data(), 2);
    for (int64_t n = 0; n < x.batch; ++n)
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = 0; c < oc; ++c)
          ASSERT_EQ(got[(n * oc + c) * pixels + p], expected[(n * pixels + p) * oc + c])
              << "image " << n << " pixel " << p << " channel " << c;
  }
};
TYPED_TEST_SUITE(Chains, RealTypes);

TYPED_TEST(Chains, PixelsHaveTheBitsOfTheirStages) {
  for_each_table([](const KernelTable& table) {
    TestFixture::compare({1, 3, 19, 23}, {{37, 3, 1, 1}, {11, 1, 1, 0}}, false, table);
    TestFixture::compare({2, 5, 13, 9}, {{67, 3, 2, 1}, {130, 1, 1, 0}, {9, 1, 1, 0}}, true, table);
    TestFixture::compare({1, 3, 1, 2}, {{7, 1, 1, 0}, {5, 1, 1, 0}}, false, table);
  });
}

TYPED_TEST(Chains, WinogradAlongRowsBeforePixelsAndRows) {
  for_each_table([](const KernelTable& table) {
    if (!kernels_of<TypeParam>(table).winograd_row) return;
    const StageCase first{48, 3, 1, 1, false, true}, filter{48, 3, 2, 1, true}, project{13, 1, 1, 0};
    TestFixture::compare({2, 3, 29, 34}, {first, project}, true, table);
    TestFixture::compare({2, 4, 29, 171}, {first, {130, 1, 1, 0}, project}, false, table);
    TestFixture::compare({2, 3, 57, 34}, {first, filter, project}, true, table);
  });
}

TYPED_TEST(Chains, ScaledPixelsHaveTheBitsOfTheOperations) {
  using R = typename TestFixture::Reads;
  for_each_table([](const KernelTable& table) {
    for (const R reads : {R::kActivated, R::kScaled, R::kScaledActivated}) {
      const StageCase pointwise{11, 1, 1, 0};
      TestFixture::compare({1, 1, 1, 2}, {pointwise}, false, table, reads);
      TestFixture::compare({3, 37, 19, 23}, {pointwise}, true, table, reads);
      TestFixture::compare({2, 1025, 7, 9}, {pointwise}, false, table, reads);
      TestFixture::compare({2, 37, 19, 23}, {{67, 1, 1, 0}, {130, 1, 1, 0}, pointwise}, true, table, reads);
      // Many blocks of scaled pixels in one of the chain, and in a band of rows.
      TestFixture::compare({1, 1031, 13, 17}, {{5, 1, 1, 0}, pointwise}, false, table, reads);
      TestFixture::compare({2, 700, 29, 17}, {{48, 1, 1, 0}, {48, 3, 2, 1, true}, pointwise}, true, table,
                           reads);
    }
  });
}

TYPED_TEST(Chains, ChannelsFirst) {
  for_each_table([](const KernelTable& table) {
    TestFixture::compare_spread({3, 5, 19, 23}, 37, 11, table);
    TestFixture::compare_spread({2, 3, 31, 30}, 513, 20, table);
    TestFixture::compare_spread({1, 2, 1, 3}, 3, 1, table);
  });
}

TYPED_TEST(Chains, RowsHaveTheBitsOfTheirStages) {
  for_each_table([](const KernelTable& table) {
    for (const int64_t stride : {1, 2})
      for (const int64_t kernel : {3, 5})
        for (const bool residual : {false, true}) {
          const StageCase expand{48, 1, 1, 0}, filter{48, kernel, stride, kernel / 2, true},
              project{13, 1, 1, 0};
          TestFixture::compare({2, 7, 29, 17}, {expand, filter, project}, residual, table);
          TestFixture::compare({1, 7, 29, 17}, {expand, filter}, residual, table);
          TestFixture::compare({1, 48, 29, 17}, {filter, project}, residual, table);
          TestFixture::compare({2, 3, 57, 34}, {{48, 3, 2, 1}, filter, project}, residual, table);
        }
    // Wide enough that bands are a row or two.
    TestFixture::compare({1, 4, 11, 700}, {{48, 1, 1, 0}, {48, 3, 1, 1, true}, {8, 1, 1, 0}}, true, table);
    TestFixture::compare({1, 4, 11, 700}, {{48, 1, 1, 0}, {48, 3, 2, 0, true}, {8, 1, 1, 0}}, false, table);
  });
}

// ---- whole networks ----

template <class T>
ConvWeights<T> filter(const std::vector<T>& weight, int64_t oc, int64_t ic, int64_t k) {
  return {{weight.data(), oc, ic, k, k, ic * k * k, k * k, k, 1}, nullptr, 1};
}

template <class T>
class ScaledInputs : public ::testing::Test {};
TYPED_TEST_SUITE(ScaledInputs, RealTypes);

int lines(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

// A residual block, its parts written out: convolution, batch normalisation, addition and activation each by
// itself. Compiled it is two steps, and one to bring the image to channels last and one back.
TEST(Fusion, ResidualBlockIsTwoConvolutions) {
  Random random;
  const std::vector<float> first = random.values<float>(8 * 8 * 9), second = random.values<float>(8 * 8 * 9);
  const std::vector<double> scale{1, 2, 3, 4, 5, 6, 7, 8}, shift(8, 0.5);
  const auto build = [&](bool keep) {
    Graph<float> graph;
    const ValueId x = graph.input("x", {1, 8, 12, 12}, Layout::kNchw);
    const Padding one = Edges{1, 1, 1, 1};
    ValueId y = graph.conv2d("a", x, filter(first, 8, 8, 3), {1, 1}, one, {1, 1}, 1, {});
    y = graph.scale_shift("n", y, 1, scale, shift);
    if (keep) graph.output("kept", y, Layout::kNchw);
    y = graph.activation("r", y, {ActivationKind::kClip, 0, 6});
    y = graph.conv2d("b", y, filter(second, 8, 8, 3), {1, 1}, one, {1, 1}, 1, {});
    y = graph.scale_shift("m", y, 1, scale, shift);
    y = graph.binary("s", y, x, BinaryKind::kAdd);
    y = graph.activation("t", y, {ActivationKind::kClip, 0, 6});
    graph.output("y", y, Layout::kNchw);
    return graph;
  };
  const Network<float> fused(build(false), false, active_kernels(), 1);
  EXPECT_EQ(lines(fused.describe(1)), 4) << fused.describe(1);
  // What is an output stays what it is: the activation after it is a step.
  const Network<float> kept(build(true), false, active_kernels(), 1);
  const std::vector<float> x = random.values<float>(8 * 144);
  std::vector<float> y(8 * 144), same(8 * 144), middle(8 * 144);
  const float* inputs[] = {x.data()};
  float *one[] = {y.data()}, *two[] = {middle.data(), same.data()};
  fused.run(inputs, one, 2);
  kept.run(inputs, two, 1);
  EXPECT_EQ(y, same);
  EXPECT_LT(*std::min_element(middle.begin(), middle.end()), 0.f);
}

// Means over windows of a 1x1 convolution's output, which it makes of means where nobody sees the difference.
TEST(Fusion, MeansAreTakenBeforePointwiseConvolutions) {
  Random random;
  const int64_t ic = 5, oc = 7, h = 9, w = 7;
  const std::vector<float> weight = random.values<float>(oc * ic * 9), bias = random.values<float>(oc);
  struct Case {
    int64_t kernel;
    PoolSpec pool;
    Activation between;
    bool keep, before;
  };
  const Pair two{2, 2}, three{3, 3};
  const PoolSpec plain{.kind = PoolKind::kAverage, .kernel = two, .stride = two};
  PoolSpec over = plain, maximum = plain, sum = plain, padded = plain, dense = plain, spread = plain;
  over.ceil_mode = true, maximum.kind = PoolKind::kMax, sum.divisor = 1, padded.pad = {1, 1, 1, 1};
  dense.stride = {1, 1}, spread.kernel = three, spread.dilation = two;
  const Activation none, relu{ActivationKind::kClip, 0, 1e9};
  for (const Case& c : {Case{1, plain, none, false, true}, Case{1, over, none, false, true},
                        Case{1, spread, none, false, true}, Case{1, plain, none, true, false},
                        Case{1, plain, relu, false, false}, Case{3, plain, none, false, false},
                        Case{1, maximum, none, false, false}, Case{1, sum, none, false, false},
                        Case{1, padded, none, false, false}, Case{1, dense, none, false, false}}) {
    const auto build = [&](bool keep) {
      Graph<float> graph;
      ValueId y = graph.input("x", {2, ic, h, w}, Layout::kNhwc);
      ConvWeights<float> weights = filter(weight, oc, ic, c.kernel);
      weights.bias = bias.data();
      const int64_t pad = c.kernel / 2;
      y = graph.conv2d("product", y, weights, {1, 1}, Edges{pad, pad, pad, pad}, {1, 1}, 1, c.between);
      if (keep) graph.output("kept", y, Layout::kNhwc);
      y = graph.pool("mean", y, c.pool);
      y = graph.scale_shift("norm", y, 1, std::vector<double>(oc, 2), std::vector<double>(oc, 0.5));
      graph.output("y", graph.activation("relu", y, relu), Layout::kNhwc);
      return Network<float>(graph, false, active_kernels(), 1);
    };
    const Network<float> fused = build(c.keep), kept = build(true);
    const std::string steps = fused.describe(1);
    EXPECT_EQ(steps.find("mean") < steps.find("product"), c.before) << steps;
    const std::vector<float> x = random.values<float>(2 * ic * h * w);
    const auto run = [&](const Network<float>& network) {
      std::vector<std::vector<float>> results;
      std::vector<float*> outputs;
      for (const auto& port : network.outputs()) results.emplace_back(element_count(port.shape));
      for (std::vector<float>& result : results) outputs.push_back(result.data());
      const float* inputs[] = {x.data()};
      network.run(inputs, outputs.data(), 1);
      return results.back();
    };
    const std::vector<float> got = run(fused), expected = run(kept);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-5);
  }
}

// A dense block: what a layer normalises is part of a joined image that others read too. That is made in the
// step of the 1x1 convolution after it, where it is large and nobody else reads it; the bits stay.
TYPED_TEST(ScaledInputs, AreMadeInTheStepOfTheConvolution) {
  using T = TypeParam;
  Random random;
  const int64_t ic = 67, oc = 19, h = 63, w = 71;
  const std::vector<T> first = random.values<T>(ic * ic * 9), second = random.values<T>(oc * 2 * ic * 9);
  const std::vector<double> scale(2 * ic, -1.5), shift(2 * ic, 0.25);
  const auto build = [&](bool keep, bool residual, int64_t rows, int64_t kernel) {
    Graph<T> graph;
    const ValueId x = graph.input("x", {2, ic, rows, w}, Layout::kNchw);
    const Activation relu{ActivationKind::kClip, 0, 1e30};
    const ValueId grown =
        graph.conv2d("grow", x, filter(first, ic, ic, 3), {1, 1}, Edges{1, 1, 1, 1}, {1, 1}, 1, relu);
    const ValueId more = graph.activation("more", grown, {ActivationKind::kTanh, 0, 0});
    const ValueId joined = graph.concat("join", {grown, more}, 1);
    ValueId y = graph.scale_shift("norm", joined, 1, scale, shift);
    y = graph.activation("relu", y, relu);
    if (keep) graph.output("kept", y, Layout::kNchw);
    const int64_t pad = kernel / 2;
    y = graph.conv2d("product", y, filter(second, oc, 2 * ic, kernel), {1, 1}, Edges{pad, pad, pad, pad},
                     {1, 1}, 1, {});
    if (residual)
      y = graph.binary("sum", y, graph.slice("part", x, {0, 3, 0, 0}, {2, oc, rows, w}, {1, 1, 1, 1}),
                       BinaryKind::kAdd);
    graph.output("y", y, Layout::kNhwc);
    graph.output("joined", joined, Layout::kNhwc);
    return graph;
  };
  const auto run = [&](const Network<T>& network, int threads) {
    std::vector<std::vector<T>> results;
    std::vector<T*> outputs;
    for (const auto& port : network.outputs()) results.emplace_back(element_count(port.shape));
    for (std::vector<T>& result : results) outputs.push_back(result.data());
    const std::vector<T> x = Random().values<T>(element_count(network.inputs()[0].shape));
    const T* inputs[] = {x.data()};
    network.run(inputs, outputs.data(), threads);
    return std::vector<std::vector<T>>(results.end() - 2, results.end());
  };
  for (const bool residual : {false, true}) {
    const Network<T> fused(build(false, residual, h, 1), false, active_kernels(), 1);
    const Network<T> kept(build(true, residual, h, 1), false, active_kernels(), 1);
    EXPECT_NE(fused.describe(1).find("; scale_shift and activation; conv"), std::string::npos)
        << fused.describe(1);
    EXPECT_EQ(kept.describe(1).find("chain"), std::string::npos) << kept.describe(1);
    const auto expected = run(kept, 1);
    for (const int threads : {1, 2, 5}) EXPECT_EQ(run(fused, threads), expected);
  }
  const Network<T> small(build(false, false, 3, 1), false, active_kernels(), 1);
  EXPECT_EQ(small.describe(1).find("chain"), std::string::npos) << small.describe(1);
  const Network<T> filtered(build(false, false, h, 3), false, active_kernels(), 1);
  EXPECT_EQ(filtered.describe(1).find("chain"), std::string::npos) << filtered.describe(1);
}

// Joined images are written in place, also where one join's inputs are the first of a later one's.
TEST(Fusion, JoinsCopyNothing) {
  Random random;
  const std::vector<float> weight = random.values<float>(4 * 12);
  Graph<float> graph;
  const ValueId x = graph.input("x", {1, 4, 6, 6}, Layout::kNhwc);
  std::vector<ValueId> parts;
  ValueId y = x;
  for (int i = 0; i < 3; ++i) {
    const int64_t channels = graph.shape(y)[1];
    parts.push_back(graph.conv2d("c", y, filter(weight, 4, channels, 1), {1, 1}, Edges{0, 0, 0, 0}, {1, 1}, 1,
                                 {ActivationKind::kClip, 0, 1}));
    y = graph.concat("j", parts, 1);
  }
  graph.output("y", y, Layout::kNhwc);
  const Network<float> network(graph, false, active_kernels(), 1);
  EXPECT_EQ(lines(network.describe(1)), 3) << network.describe(1);
}

}  // namespace
}  // namespace onebyone
