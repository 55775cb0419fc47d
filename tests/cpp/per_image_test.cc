// per_image_test.cc - batches run a few images at a time: which graphs allow it, and that their results are
// those of single images, bit for bit.
#include "network/per_image.h"

#include <algorithm>
#include <functional>

#include "network/network.h"
#include "testing.h"

namespace onebyone {
namespace {

constexpr int64_t kImages = 4;  // also channels, rows and columns: sizes alone must not decide

struct Constants {
  std::vector<float> values = Random().values<float>(4096);

  TensorView<const float> tensor(const Dims& shape) const {
    TensorView<const float> view;
    view.data = values.data();
    view.rank = static_cast<int>(shape.size());
    int64_t stride = 1;
    for (size_t d = shape.size(); d-- > 0; stride *= shape[d])
      view.shape[d] = shape[d], view.strides[d] = stride;
    return view;
  }
  ConvWeights<float> weights(int64_t oc, int64_t ic, int64_t k) const {
    return {{values.data(), oc, ic, k, k, ic * k * k, k * k, k, 1}, nullptr, 1};
  }
};

using Build = std::function<ValueId(Graph<float>&, ValueId, const Constants&)>;

constexpr int64_t kLarge = 5000;

// The graph of `build` on a batch of images 4x4x4. Beside them the images have something that is large enough
// to be worth steps of its own.
Graph<float> graph_of(const Build& build, const Constants& constants, int64_t images = kImages,
                      Layout layout = Layout::kNchw) {
  Graph<float> graph;
  const ValueId x = graph.input("x", {images, 4, 4, 4}, layout);
  graph.output("y", build(graph, x, constants), layout);
  const ValueId large = graph.input("large", {images, kLarge}, Layout::kNchw);
  graph.output("abs", graph.unary("", large, UnaryKind::kAbs), Layout::kNchw);
  return graph;
}

int64_t groups_of(const Build& build) {
  const Constants constants;
  Graph<float> graph = graph_of(build, constants);
  return split_batch(graph, static_cast<int>(kImages)).groups;
}

// Operations that keep the images of the batch apart. N: the size of the batch they are built for.
std::vector<std::pair<const char*, Build>> independent() {
  using G = Graph<float>&;
  using C = const Constants&;
  const auto n = [](G g, ValueId x) { return g.shape(x)[0]; };
  return {
      {"nothing", [](G, ValueId x, C) { return x; }},
      {"conv2d",
       [](G g, ValueId x, C c) {
         return g.conv2d("", x, c.weights(5, 4, 3), {1, 1}, Edges{1, 1, 1, 1}, {1, 1}, 1, {});
       }},
      {"conv_transpose2d",
       [](G g, ValueId x, C c) {
         return g.conv_transpose2d("", x, c.weights(4, 4, 2), {2, 2}, {0, 0, 0, 0}, {0, 0}, {1, 1}, 1);
       }},
      {"linear",
       [n](G g, ValueId x, C c) {
         return g.linear("", g.reshape("", x, {n(g, x), 32, 2}), c.weights(5, 2, 1), {});
       }},
      {"classifier",
       [n](G g, ValueId x, C c) {
         x = g.linear("", g.reshape("", x, {n(g, x), 64}), c.weights(5, 64, 1), {});
         return g.softmax("", g.activation("", x, {ActivationKind::kTanh, 0, 0}), 1, false);
       }},
      {"matmul of images", [](G g, ValueId x, C) { return g.matmul("", x, x); }},
      {"matmul with a constant",
       [](G g, ValueId x, C c) { return g.matmul("", x, g.constant(c.tensor({4, 5}))); }},
      {"matmul of vectors",
       [n](G g, ValueId x, C c) {
         return g.matmul("", g.reshape("", x, {n(g, x), 64}), g.constant(c.tensor({64, 5})));
       }},
      {"scale_shift", [](G g, ValueId x, C) { return g.scale_shift("", x, 1, {1, 2, 3, 4}, {4, 3, 2, 1}); }},
      {"activation", [](G g, ValueId x, C) { return g.activation("", x, {ActivationKind::kSilu, 0, 0}); }},
      {"unary", [](G g, ValueId x, C) { return g.unary("", x, UnaryKind::kExp); }},
      {"sum with a constant",
       [](G g, ValueId x, C c) {
         return g.binary("", g.constant(c.tensor({4, 4, 4})), x, BinaryKind::kSub);
       }},
      {"sum with a constant of one image",
       [](G g, ValueId x, C c) {
         return g.binary("", x, g.constant(c.tensor({1, 4, 4, 1})), BinaryKind::kAdd);
       }},
      {"squeeze and excite",
       [](G g, ValueId x, C c) {
         ValueId f = g.reduce("", x, {2, 3}, ReduceKind::kMean, true);
         f = g.conv2d("", f, c.weights(4, 4, 1), {1, 1}, Edges{0, 0, 0, 0}, {1, 1}, 1,
                      {ActivationKind::kSigmoid, 0, 0});
         return g.conv2d("", g.binary("", x, f, BinaryKind::kMul), c.weights(3, 4, 1), {1, 1},
                         Edges{0, 0, 0, 0}, {1, 1}, 1, {});
       }},
      {"max_pool2d",
       [](G g, ValueId x, C) {
         return g.pool("", x,
                       {.kind = PoolKind::kMax,
                        .kernel = {2, 2},
                        .stride = {2, 2},
                        .dilation = {1, 1},
                        .pad = {0, 0, 0, 0},
                        .ceil_mode = false,
                        .count_include_pad = true,
                        .divisor = 0});
       }},
      {"adaptive_avg_pool2d", [](G g, ValueId x, C) { return g.adaptive_avg_pool("", x, {3, 2}); }},
      {"resize", [](G g, ValueId x, C) { return g.resize("", x, {7, 5}, {}); }},
      {"lrn", [](G g, ValueId x, C) { return g.lrn("", x, {3, 1e-4, 0.75, 1}); }},
      {"reduce", [](G g, ValueId x, C) { return g.reduce("", x, {1, 3}, ReduceKind::kMax, false); }},
      {"softmax", [](G g, ValueId x, C) { return g.softmax("", x, 3, true); }},
      {"concat", [](G g, ValueId x, C) { return g.concat("", {x, g.unary("", x, UnaryKind::kNeg)}, 1); }},
      {"a class token",
       [n](G g, ValueId x, C c) {
         const ValueId token = g.expand("", g.constant(c.tensor({1, 1, 16})), {n(g, x), 1, 16});
         return g.concat("", {token, g.reshape("", x, {n(g, x), 4, 16})}, 1);
       }},
      {"pad",
       [](G g, ValueId x, C) { return g.pad("", x, {0, 0, 1, 2}, {0, 1, 2, 0}, PadMode::kConstant, 3); }},
      {"gather", [](G g, ValueId x, C) { return g.gather("", x, {3, 0, 3}, 2); }},
      {"slice",
       [n](G g, ValueId x, C) { return g.slice("", x, {0, 1, 3, 0}, {n(g, x), 2, 4, 4}, {1, 2, -1, 1}); }},
      {"transpose", [](G g, ValueId x, C) { return g.transpose("", x, {0, 3, 1, 2}); }},
      {"expand",
       [n](G g, ValueId x, C) {
         return g.expand("", g.reduce("", x, {1}, ReduceKind::kSum, true), {n(g, x), 4, 4, 4});
       }},
  };
}

// Operations that make an image of several, or that cannot be told from those.
std::vector<std::pair<const char*, Build>> dependent() {
  using G = Graph<float>&;
  using C = const Constants&;
  return {
      {"linear over the images",
       [](G g, ValueId x, C c) {
         x = g.reduce("", x, {1, 2, 3}, ReduceKind::kMean, false);
         return g.linear("", x, c.weights(4, 4, 1), {});
       }},
      {"matmul with other images of a constant",
       [](G g, ValueId x, C c) { return g.matmul("", x, g.constant(c.tensor({4, 4, 4, 4}))); }},
      {"matmul of a constant and vectors",
       [](G g, ValueId x, C c) {
         return g.matmul("", g.constant(c.tensor({4, 4})), g.reduce("", x, {1, 2}, ReduceKind::kSum, false));
       }},
      {"matmul of vectors with vectors",
       [](G g, ValueId x, C) {
         x = g.reduce("", x, {1, 2}, ReduceKind::kSum, false);
         return g.matmul("", x, g.transpose("", x, {1, 0}));
       }},
      {"matmul that moves the images",
       [](G g, ValueId x, C c) {
         const ValueId images = g.reduce("", x, {1}, ReduceKind::kSum, false);
         return g.matmul("", images, g.constant(c.tensor({4, 4, 4, 4})));
       }},
      {"scale_shift along the batch",
       [](G g, ValueId x, C) { return g.scale_shift("", x, 0, {1, 2, 3, 4}, {4, 3, 2, 1}); }},
      {"sum with a constant for each image",
       [](G g, ValueId x, C c) {
         return g.binary("", x, g.constant(c.tensor({4, 1, 1, 1})), BinaryKind::kAdd);
       }},
      {"images along another axis",
       [](G g, ValueId x, C) {
         return g.binary("", x, g.reduce("", x, {3}, ReduceKind::kMean, false), BinaryKind::kAdd);
       }},
      {"reduce over the batch",
       [](G g, ValueId x, C) { return g.reduce("", x, {0}, ReduceKind::kMax, true); }},
      {"reduce, and the next axis in its place",
       [](G g, ValueId x, C) { return g.reduce("", x, {0}, ReduceKind::kMax, false); }},
      {"softmax over the batch", [](G g, ValueId x, C) { return g.softmax("", x, 0, false); }},
      {"concat of images", [](G g, ValueId x, C) { return g.concat("", {x, x}, 0); }},
      {"concat with a constant",
       [](G g, ValueId x, C c) { return g.concat("", {x, g.constant(c.tensor({4, 1, 4, 4}))}, 1); }},
      {"pad of the batch",
       [](G g, ValueId x, C) { return g.pad("", x, {1, 0, 0, 0}, {-1, 0, 0, 0}, PadMode::kConstant, 0); }},
      {"gather of images", [](G g, ValueId x, C) { return g.gather("", x, {3, 2, 1, 0}, 0); }},
      {"slice of images",
       [](G g, ValueId x, C) { return g.slice("", x, {0, 0, 0, 0}, {2, 4, 4, 4}, {1, 1, 1, 1}); }},
      {"reversed images",
       [](G g, ValueId x, C) { return g.slice("", x, {3, 0, 0, 0}, {4, 4, 4, 4}, {-1, 1, 1, 1}); }},
      {"transpose of the batch", [](G g, ValueId x, C) { return g.transpose("", x, {1, 0, 2, 3}); }},
      {"reshape across images",
       [](G g, ValueId x, C) { return g.reshape("", g.reshape("", x, {16, 4, 4}), {4, 4, 4, 4}); }},
      {"expand to another axis", [](G g, ValueId x, C) { return g.expand("", x, {4, 4, 4, 4, 4}); }},
      {"no image in the output", [](G g, ValueId, C c) { return g.constant(c.tensor({4, 4, 4, 4})); }},
      {"no image, though there is a batch",
       [](G g, ValueId, C c) { return g.unary("", g.constant(c.tensor({4, 3})), UnaryKind::kAbs); }},
  };
}

// The results of the whole batch at once, of its images alone, and of the batch as it is run.
std::vector<float> run(const Build& build, const Constants& constants, const std::vector<float>& x,
                       int64_t images, Layout layout, int compiled, int threads) {
  const Network<float> network(graph_of(build, constants, images, layout), false, active_kernels(), compiled);
  std::vector<float> y(element_count(network.outputs()[0].shape), kNan<float>);
  std::vector<float> large(images * kLarge, -2), abs(images * kLarge);
  const float* inputs[] = {x.data(), large.data()};
  float* outputs[] = {y.data(), abs.data()};
  network.run(inputs, outputs, threads);
  EXPECT_EQ(abs, std::vector<float>(images * kLarge, 2));
  return y;
}

TEST(PerImage, OperationsThatKeepImagesApart) {
  for (const auto& [name, build] : independent()) EXPECT_EQ(groups_of(build), kImages) << name;
}

TEST(PerImage, OperationsThatDoNot) {
  const Constants constants;
  const std::vector<float> x = Random(2).values<float>(kImages * 64);
  for (const auto& [name, build] : dependent()) {
    EXPECT_EQ(groups_of(build), 1) << name;
    // As they would run if the batch were of no interest.
    const auto result = [&](int compiled) {
      return run(build, constants, x, kImages, Layout::kNchw, compiled, 2);
    };
    EXPECT_EQ(result(1), result(100)) << name;
  }
}

TEST(PerImage, HasTheBitsOfSingleImages) {
  const Constants constants;
  for (const auto& [name, build] : independent())
    for (const Layout layout : {Layout::kNchw, Layout::kNhwc})
      for (const int64_t images : {2, 3, 5}) {
        const std::vector<float> x = Random(3).values<float>(images * 64);
        std::vector<float> want;
        for (int64_t i = 0; i < images; ++i) {
          const std::vector<float> one(x.begin() + i * 64, x.begin() + (i + 1) * 64);
          const std::vector<float> y = run(build, constants, one, 1, layout, 1, 1);
          want.insert(want.end(), y.begin(), y.end());
        }
        for (const int compiled : {1, static_cast<int>(images), 100})
          for (const int threads : {1, 2, 3, 8})
            EXPECT_EQ(run(build, constants, x, images, layout, compiled, threads), want)
                << name << ", " << images << " images, " << threads << " threads, compiled for " << compiled;
      }
}

// Also where a layer of the whole batch is computed otherwise than that of one image: a classifier of more
// than kFewRows.
TEST(PerImage, HasTheBitsOfTheBatch) {
  const Constants constants;
  const int64_t images = kFewRows + 8;
  const std::vector<float> x = Random(4).values<float>(images * 64);
  for (const auto& [name, build] : independent()) {
    const std::vector<float> want = run(build, constants, x, images, Layout::kNchw, 100, 2);
    for (const int compiled : {1, 3, static_cast<int>(images)})
      EXPECT_EQ(run(build, constants, x, images, Layout::kNchw, compiled, 2), want) << name;
  }
}

// Vectors in the middle of a network, whose linear layers are products of other kinds for an image and for so
// many: the batch stays whole.
TEST(PerImage, LinearLayersOfVectorsAmongImages) {
  const Constants constants;
  const Build block = [](Graph<float>& g, ValueId x, const Constants& c) {
    ValueId f = g.reduce("", x, {2, 3}, ReduceKind::kMean, false);
    f = g.linear("", f, c.weights(4, 4, 1), {ActivationKind::kSigmoid, 0, 0});
    return g.binary("", x, g.reshape("", f, {g.shape(x)[0], 4, 1, 1}), BinaryKind::kMul);
  };
  for (const int64_t images : {kFewRows, kFewRows + 1}) {
    Graph<float> graph = graph_of(block, constants, images);
    EXPECT_EQ(split_batch(graph, static_cast<int>(images)).groups, images > kFewRows ? 1 : images);
  }
}

TEST(PerImage, InputsMustAgreeInTheBatch) {
  const auto groups = [](const Dims& a, const Dims& b) {
    Graph<float> graph;
    const ValueId x = graph.input("a", a, Layout::kNchw), y = graph.input("b", b, Layout::kNchw);
    graph.output("y", graph.binary("", x, y, BinaryKind::kAdd), Layout::kNchw);
    return split_batch(graph, 3).groups;
  };
  EXPECT_EQ(groups({3, kLarge}, {3, kLarge}), 3);
  EXPECT_EQ(groups({3, kLarge}, {3, 1}), 3);
  EXPECT_EQ(groups({3, kLarge}, {1, kLarge}), 1);
  EXPECT_EQ(groups({3, kLarge}, {kLarge}), 1);
  EXPECT_EQ(groups({3, kLarge}, {}), 1);
  EXPECT_EQ(groups({kLarge, kLarge}, {kLarge}), 1);
  EXPECT_EQ(groups({1, kLarge}, {1, kLarge}), 1);
  EXPECT_EQ(groups({0, kLarge}, {0, kLarge}), 1);
}

// Small images go together as far as there are groups for all threads; large ones each by itself. Where that
// leaves next to nothing for a group, the batch stays whole.
TEST(PerImage, Groups) {
  const auto groups = [](int64_t images, int64_t side, int threads) {
    Graph<float> graph;
    const ValueId x = graph.input("x", {images, 1, side, side}, Layout::kNchw);
    graph.output("y", graph.unary("", x, UnaryKind::kAbs), Layout::kNchw);
    const int64_t count = split_batch(graph, threads).groups;
    EXPECT_EQ(graph.shape(x)[0] * count, images);
    return count;
  };
  EXPECT_EQ(groups(8, 64, 1), 2);
  EXPECT_EQ(groups(8, 64, 2), 2);
  EXPECT_EQ(groups(8, 64, 3), 4);
  EXPECT_EQ(groups(7, 64, 2), 7);
  EXPECT_EQ(groups(7, 16, 2), 1);
  EXPECT_EQ(groups(640, 16, 2), 4);
  EXPECT_EQ(groups(8, 1024, 2), 8);
  EXPECT_EQ(groups(8, 1024, 8), 8);
  EXPECT_EQ(groups(8, 1024, 9), 1);
}

TEST(PerImage, VectorsAloneStayWhole) {
  const Constants c;
  Graph<float> graph;
  const ValueId x = graph.input("x", {6, kLarge}, Layout::kNchw);
  const std::vector<float> weight(kLarge * 3);
  const ConvWeights<float> weights{{weight.data(), 3, kLarge, 1, 1, kLarge, 1, 1, 1}, nullptr, 1};
  graph.output("y", graph.linear("", graph.unary("", x, UnaryKind::kAbs), weights, {}), Layout::kNchw);
  EXPECT_EQ(split_batch(graph, 2).groups, 1);
}

// Vectors made of vectors at the end are the rest: of all images at once.
TEST(PerImage, Rest) {
  const Constants c;
  Graph<float> graph;
  const ValueId x = graph.input("x", {6, 4, 150, 150}, Layout::kNhwc);
  const ValueId features = graph.reduce("mean", x, {2, 3}, ReduceKind::kMean, false);
  const ValueId hidden = graph.linear("hidden", features, c.weights(8, 4, 1), {});
  graph.output("hidden", hidden, Layout::kNchw);
  graph.output("image", graph.unary("abs", x, UnaryKind::kAbs), Layout::kNhwc);
  graph.output("features", features, Layout::kNchw);
  graph.output("scores", graph.linear("scores", hidden, c.weights(5, 8, 1), {}), Layout::kNchw);
  const Network<float> network(graph, false, active_kernels(), 2), whole(graph, false, active_kernels(), 7);

  BatchSplit<float> split = split_batch(graph, 2);
  EXPECT_EQ(split.groups, 6);
  ASSERT_TRUE(split.rest);
  EXPECT_EQ(split.rest_outputs, (std::vector<size_t>{0, 2, 3}));
  EXPECT_EQ(graph.shape(x)[0], 1);
  EXPECT_EQ(split.rest->shape(hidden)[0], 6);

  std::vector<Dims> shapes;
  for (const auto& port : network.outputs()) shapes.push_back(port.shape);
  EXPECT_EQ(shapes, (std::vector<Dims>{{6, 8}, {6, 150, 150, 4}, {6, 4}, {6, 5}}));
  const std::vector<float> values = Random(5).values<float>(6 * 4 * 150 * 150);
  const auto results = [&](const Network<float>& n, bool profile) {
    std::vector<std::vector<float>> all;
    for (const Dims& shape : shapes) all.emplace_back(element_count(shape), kNan<float>);
    const float* inputs[] = {values.data()};
    std::vector<float*> outputs;
    for (auto& result : all) outputs.push_back(result.data());
    if (profile)
      EXPECT_GT(n.profile(inputs, outputs.data(), 2).size(), 3u);
    else
      n.run(inputs, outputs.data(), 2);
    return all;
  };
  EXPECT_EQ(results(network, false), results(whole, false));
  EXPECT_EQ(results(network, true), results(whole, false));
  EXPECT_LT(network.memory(2).activations, whole.memory(2).activations + 1);
  EXPECT_NE(network.describe(2).find("each image of 6, 2 at once"), std::string::npos) << network.describe(2);
  EXPECT_NE(network.describe(2).find("for all 6 images"), std::string::npos) << network.describe(2);
}

}  // namespace
}  // namespace onebyone
