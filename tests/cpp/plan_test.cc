// conv/plan.h: useful_threads, make_plan's promises, its text; conv/tasks.h. What the tuned constants choose
// is left open.
#include "conv/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "conv/tasks.h"
#include "core/int_math.h"
#include "cpu/isa.h"

namespace onebyone {
namespace {

TEST(SplitK, CoversEachProductOnceInOrder) {
  for (const int64_t taps : {1, 2, 3, 9, 25, 49})
    for (const int64_t channels : {1, 3, 16, 17, 64, 255, 384, 1000})
      for (const int64_t limit : {1, 2, 7, 64, 384, 385, 100000}) {
        SCOPED_TRACE(::testing::Message() << taps << " taps x " << channels << " channels, limit " << limit);
        int64_t next = 0, shortest = limit, longest = 0;
        for (const KBlock& b : split_k(taps, channels, limit)) {
          ASSERT_EQ(b.tap * channels + b.channel, next);
          ASSERT_TRUE(b.taps >= 1 && b.channels >= 1);
          ASSERT_TRUE(b.taps == 1 || b.channels == channels) << "several taps of part of the channels";
          const int64_t products = b.taps * b.channels;
          ASSERT_LE(products, limit);
          next += products;
          shortest = std::min(shortest, products);
          longest = std::max(longest, products);
        }
        ASSERT_EQ(next, taps * channels);
        // Near-equal: they differ by one unit, a channel or a tap's channels.
        ASSERT_LE(longest - shortest, channels <= limit ? channels : 1);
      }
}

TEST(SplitK, NothingIsOneEmptyBlock) {
  for (const auto& [taps, channels] : {std::pair<int64_t, int64_t>{0, 5}, {3, 0}, {0, 0}}) {
    const std::vector<KBlock> blocks = split_k(taps, channels, 16);
    ASSERT_EQ(blocks.size(), 1u);
    EXPECT_EQ(blocks[0].taps * blocks[0].channels, 0);
  }
}

TEST(SplitTasks, BestBalanceWithinTheThreads) {
  const auto largest = [](int64_t ru, int64_t cu, int64_t r, int64_t c) {
    return ((ru + r - 1) / r) * ((cu + c - 1) / c);
  };
  for (int64_t row_units = 1; row_units <= 20; ++row_units)
    for (int64_t column_units = 1; column_units <= 20; ++column_units)
      for (const int threads : {1, 2, 3, 4, 6, 7, 8, 16, 61}) {
        SCOPED_TRACE(::testing::Message()
                     << row_units << " x " << column_units << " units, threads " << threads);
        const TaskGrid grid = split_tasks(row_units, column_units, threads);
        ASSERT_TRUE(grid.rows >= 1 && grid.columns >= 1);
        ASSERT_LE(grid.rows * grid.columns, threads);
        ASSERT_TRUE(grid.rows <= row_units && grid.columns <= column_units) << "a task would be empty";
        int64_t best = row_units * column_units, most_rows = 1;
        for (int64_t r = 1; r <= std::min<int64_t>(threads, row_units); ++r)
          for (int64_t c = 1; c <= std::min<int64_t>(threads / r, column_units); ++c) {
            const int64_t cost = largest(row_units, column_units, r, c);
            if (cost <= best) best = cost, most_rows = r;
          }
        ASSERT_EQ(largest(row_units, column_units, grid.rows, grid.columns), best);
        if (threads > 1 && row_units * column_units > 1) {
          ASSERT_EQ(grid.rows, most_rows);
        }
      }
}

TEST(TaskRanges, CoverTheOutputOncePartByPart) {
  for (const int64_t row_units : {1, 7, 49, 200})
    for (const int64_t column_units : {1, 3, 64})
      for (const TaskGrid& grid : {TaskGrid{1, 1}, TaskGrid{2, 1, 4, 1}, TaskGrid{1, 2, 1, 3},
                                   TaskGrid{2, 3, 4, 2}, TaskGrid{1, 1, 8, 8}})
        for (const int64_t align : {1, 6}) {
          std::vector<int> seen(row_units * column_units);
          for (int64_t task = 0; task < grid.tasks(); ++task) {
            const TaskRange range = task_range(grid, row_units, column_units, align, task);
            const int64_t part = task / (grid.row_pieces * grid.column_pieces);
            const int64_t first = part_begin(row_units, grid.rows, part / grid.columns);
            if (range.row_begin < range.row_end) {
              EXPECT_EQ((range.row_begin - first) % align, 0);
            }
            for (int64_t r = range.row_begin; r < range.row_end; ++r)
              for (int64_t c = range.column_begin; c < range.column_end; ++c) ++seen.at(r * column_units + c);
          }
          EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), row_units * column_units);
        }
}

ConvProblem problem_of(const ImageShape& x, const std::array<int64_t, 4>& weight, Layout layout,
                       int element_bytes = 4, Algorithm algorithm = Algorithm::kAuto, Pair stride = {1, 1},
                       Pair dilation = {1, 1}, int64_t groups = 1) {
  return {.geometry =
              make_geometry("conv2d", x, weight, stride, AutoPadding::kSame, dilation, groups, "x.shape[1]"),
          .layout = layout,
          .algorithm = algorithm,
          .element_bytes = element_bytes,
          .activation = {},
          .residual = false};
}

auto fields(const ConvPlan& p) {
  return std::tuple(p.algorithm, std::string(p.isa), p.mr, p.nr, p.kc, p.mc, p.nc, p.filter_rows);
}

TEST(MakePlan, SameProblemSamePlanAndBlocksThatWork) {
  const std::vector<std::pair<ImageShape, std::array<int64_t, 4>>> shapes = {
      {{1, 64, 56, 56}, {256, 64, 1, 1}},   {{1, 3, 224, 224}, {64, 3, 7, 7}},
      {{1, 2048, 7, 7}, {512, 2048, 1, 1}}, {{2, 1, 1, 2}, {1, 1, 1, 1}},
      {{1, 5000, 3, 3}, {1, 5000, 3, 3}},   {{1, 0, 3, 3}, {2, 0, 3, 3}},
      {{0, 4, 3, 3}, {2, 4, 3, 3}}};
  for (const RunnableIsa& isa : runnable_isas())
    for (const auto& [x, weight] : shapes)
      for (const Layout layout : {Layout::kNchw, Layout::kNhwc})
        for (const int element_bytes : {4, 8}) {
          const ConvProblem problem = problem_of(x, weight, layout, element_bytes);
          const ConvPlan plan = make_plan("conv2d", problem, *isa.kernels);
          SCOPED_TRACE(describe(problem, plan, 1));
          EXPECT_EQ(fields(plan), fields(make_plan("conv2d", problem, *isa.kernels)));
          EXPECT_STREQ(plan.isa, isa.kernels->isa);
          EXPECT_TRUE(plan.algorithm != Algorithm::kAuto && plan.algorithm != Algorithm::kReference);
          EXPECT_TRUE(plan.mr >= 1 && plan.nr >= 1);
          EXPECT_EQ(plan.few_channels,
                    x.channels <= 4 && weight[2] > 1 && weight[1] > 0 && layout == Layout::kNchw);
          if (plan.few_channels) continue;  // by bands: no blocks
          EXPECT_GE(plan.kc, 1);
          // Each layout's cache block holds a tile.
          if (layout == Layout::kNchw)
            EXPECT_GE(plan.nc, plan.nr);
          else
            EXPECT_GE(plan.mc, plan.mr);
        }
}

TEST(MakePlan, ObeysTheAlgorithmAskedFor) {
  const KernelTable& kernels = active_kernels();
  const ImageShape x{1, 8, 5, 5};
  const auto algorithm_of = [&](const std::array<int64_t, 4>& weight, Algorithm algorithm) {
    return make_plan("conv2d", problem_of(x, weight, Layout::kNhwc, 4, algorithm), kernels).algorithm;
  };
  EXPECT_EQ(algorithm_of({4, 8, 1, 1}, Algorithm::kAuto), Algorithm::kGemm);
  EXPECT_EQ(algorithm_of({4, 8, 1, 1}, Algorithm::kGemm), Algorithm::kGemm);
  for (const Algorithm algorithm : {Algorithm::kDirect, Algorithm::kReference}) {
    EXPECT_EQ(algorithm_of({4, 8, 1, 1}, algorithm), algorithm);
    EXPECT_EQ(algorithm_of({4, 8, 3, 3}, algorithm), algorithm);
  }
  try {
    algorithm_of({4, 8, 3, 5}, Algorithm::kGemm);
    FAIL() << "gemm accepted a 3x5 kernel";
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find("conv2d: "), 0u) << text;
    EXPECT_NE(text.find("gemm"), std::string::npos) << text;
    EXPECT_NE(text.find("3x5"), std::string::npos) << text;
  }
}

TEST(Describe, ReadsAsDocumented) {
  const KernelTable& kernels = active_kernels();
  const auto text_of = [&](const ConvProblem& problem) {
    return describe(problem, make_plan("conv2d", problem, kernels), 2);
  };
  const std::string tile = std::to_string(kernels.f32.mr) + "x" + std::to_string(kernels.f32.nr);
  const std::string gemm = text_of(problem_of({1, 64, 56, 56}, {256, 64, 1, 1}, Layout::kNhwc));
  EXPECT_EQ(
      gemm.find("conv 1x64x56x56 -> 256 k1 NHWC: gemm " + std::string(kernels.isa) + " " + tile + " kc=64"),
      0u)
      << gemm;
  EXPECT_NE(gemm.find(" estimate="), std::string::npos) << gemm;
  EXPECT_EQ(gemm.find(" threads=2"), gemm.size() - 10) << gemm;

  const std::string direct =
      text_of(problem_of({2, 6, 9, 8}, {4, 3, 3, 5}, Layout::kNchw, 8, Algorithm::kAuto, {2, 2}, {1, 3}, 2));
  EXPECT_EQ(direct.find("conv 2x6x9x8 -> 4 k3x5 s2 d1x3 g2 NCHW float64: direct " + std::string(kernels.isa)),
            0u)
      << direct;

  const std::string reference =
      text_of(problem_of({1, 3, 4, 5}, {2, 3, 3, 3}, Layout::kNchw, 4, Algorithm::kReference));
  EXPECT_EQ(reference, "conv 1x3x4x5 -> 2 k3 NCHW: reference threads=1");
}

// What the channels-last GEMM leaves out must be worth smaller blocks: of 3x3 over 28x28 with dilation 4 18
// %, with dilation 1 2 %.
TEST(VisibleOnly, WhereManyTapsSeePadding) {
  const auto visible_only = [](int64_t channels, int64_t dilation) {
    const Edges padding{dilation, dilation, dilation, dilation};
    ConvProblem problem;
    problem.geometry = make_geometry("conv2d", {1, channels, 28, 28}, {channels, channels, 3, 3}, {1, 1},
                                     padding, {dilation, dilation}, 1, "x.shape[3], layout NHWC");
    problem.layout = Layout::kNhwc;
    problem.algorithm = Algorithm::kDirect;
    return make_plan("conv2d", problem, active_kernels()).visible_only;
  };
  EXPECT_TRUE(visible_only(512, 4));
  EXPECT_TRUE(visible_only(64, 6));
  EXPECT_FALSE(visible_only(512, 1));
  EXPECT_FALSE(visible_only(64, 3));
  EXPECT_FALSE(visible_only(16, 6));
}

TEST(UsefulThreads, SmallWorkStaysOnTheCaller) {
  const auto threads_for = [](int64_t size, int threads) {
    const ConvProblem problem = problem_of({1, size, size, size}, {size, size, 1, 1}, Layout::kNhwc);
    return useful_threads(problem, make_plan("conv2d", problem, active_kernels()), threads);
  };
  EXPECT_EQ(threads_for(4, 8), 1);
  EXPECT_EQ(threads_for(0, 8), 1);
  EXPECT_EQ(threads_for(512, 8), 8);
  for (int64_t size = 1; size < 300; ++size) EXPECT_EQ(threads_for(size, 1), 1);
}

}  // namespace
}  // namespace onebyone
