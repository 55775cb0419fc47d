#include "conv/plan.h"

#include <algorithm>
#include <cmath>

#include "conv/cost.h"
#include "conv/winograd_tiles.h"
#include "core/check.h"
#include "core/int_math.h"
#include "cpu/isa.h"

namespace onebyone {
namespace {

// A panel of B (kc x nr) shares L1 with the rows of A that stream past: 256 x 16 x 4 = 16 KB of 32.
constexpr int64_t kPanelBytes = 16 * 1024;
// A tile of 12 rows x 2 vectors of 64 bytes takes 11 bytes of B a cycle, which L2 can bring: a panel need not
// stay in L1, and longer sums touch C less often. 512 rows instead of 128: 512 -> 128 at 28x28 from 78 to 93
// % of the peak, 512 -> 2048 at 7x7 from 80 to 91.
constexpr int64_t kWideVector = 64, kWidePanelBytes = 64 * 1024;
// The block that is swept again for every panel stays in L2 beside the outputs: a quarter of 512 KB.
constexpr int64_t kL2BlockBytes = 128 * 1024;
// Narrower groups leave most of a GEMM's tile empty.
constexpr int64_t kNarrowGroup = 16;
// Padding that depthwise kernels lay out: at most so many times the image, or 1 MB of float32.
constexpr double kPaddedImages = 16;
constexpr int64_t kPaddedPixels = 16 * 1024;
// With more channels packing them for the GEMM is little against the products. What a window spans.
constexpr int64_t kFewChannels = 4, kWindowBytes = 512 * 1024;
// Output channels and the cycles of adding a product of theirs.
constexpr int64_t kFewOutputs = 8, kAddCycles = 2;
// 2 us of one core: a team that is awake starts and ends in one.
constexpr double kCyclesPerThread = 6000;
// What estimates are printed in: milliseconds of one core at 3 GHz.
constexpr double kCyclesPerMs = 3e6;
// With fewer output channels the transforms cost more than they save, with fewer input channels products wait
// for what they read and write.
constexpr int64_t kWinogradInputs = 3, kWinogradOutputs = 8;
// Past so many channels tiles in both directions save more, and these rows leave L1.
constexpr int64_t kRowChannels = 16;
// One call over fewer channels keeps the smaller error of the direct method: it has little to save.
constexpr int64_t kWinogradOnceInputs = 8;
// Less work than this, 20 us on one AVX2 core, keeps the smaller error of the direct method.
constexpr int64_t kWinogradMacs = 1'000'000;
// Of a block of Strassen's, in two halves of four AVX-512 tiles.
constexpr int64_t kStrassenPixels = 96;
// Winograd's filters take more memory than the weights, 1.8 times (F(2) of 3x3) to 5 times: for less than
// this it is not worth it.
constexpr double kWinogradGain = 1.15;
// Strassen's take 1.75 times as much.
constexpr double kStrassenGain = 1.03;
// Output channels whose products a block of tiles keeps: 36 points x 24 tiles x 64 x 4 bytes = 221 KB.
constexpr int64_t kWinogradColumns = 64;
// The GEMMs leave out what sees padding alone if they take no more of the time than this.
constexpr double kVisibleShare = 0.95;
// What a thread may need for a block of tiles, unless the least one needs more.
constexpr int64_t kWinogradBlockBytes = 8 << 20;
// Tiles of more outputs and points along both sides err by 4e-6 of the outputs (relative RMS against float64,
// 3x3), others by 2.6e-6 at most: they must save 8 % to be taken, and need sums long enough to hide the
// difference.
constexpr int kFineTile = 4, kFinePoints = 6;
constexpr double kRoughCost = 1.08;
constexpr int64_t kRoughChannels = 256;

bool is_depthwise(const ConvGeometry& g) { return g.groups > 1 && g.groups == g.ic; }
// 1x1 from one pixel to one.
bool is_single_pixel(const ConvGeometry& g) {
  return g.groups == 1 && g.taps() == 1 && g.ih == 1 && g.iw == 1 && g.out_pixels() == 1 && g.pad.top == 0 &&
         g.pad.left == 0;
}
// Channels-first depthwise kernels lay out rows with their padding (depthwise_nchw.cc): a far dilation would
// make that many images of zeros, where the GEMM packs what its taps meet.
bool padding_fits(const ConvGeometry& g, Layout layout) {
  const double rows = static_cast<double>(window_rows(g));
  const double columns = static_cast<double>(g.iw + g.pad.left + g.pad.right);
  return layout == Layout::kNhwc ||
         rows * columns <= kPaddedImages * static_cast<double>(std::max(g.ih * g.iw, kPaddedPixels));
}

// Whether a row's taps side by side fill vectors that a few output channels leave empty: at least half of the
// products are saved, and more cycles than adding the taps takes.
bool has_few_outputs(const ConvProblem& problem, int64_t lanes) {
  const ConvGeometry& g = problem.geometry;
  if (problem.layout != Layout::kNhwc || problem.role == ConvRole::kStage || g.groups != 1 || g.kw == 1 ||
      g.stride.w != 1 || g.oc < 1 || g.oc > kFewOutputs)
    return false;
  const int64_t vectors = g.kw * ceil_div(g.oc, lanes), together = ceil_div(g.kw * g.oc, lanes);
  return 2 * together <= vectors && g.kh * g.ic * (vectors - together) >= kAddCycles * g.kw * g.oc;
}

bool has_few_channels(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  const double columns = static_cast<double>(g.iw + g.pad.left + g.pad.right);
  return problem.layout == Layout::kNchw && g.groups == 1 && g.ic >= 1 && g.ic <= kFewChannels &&
         g.taps() > 1 &&
         static_cast<double>(window_rows(g)) * columns * static_cast<double>(g.ic * problem.element_bytes) <=
             kWindowBytes;
}
bool strassen_serves(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  return problem.layout == Layout::kNhwc && g.taps() == 1 && g.groups == 1 && g.ic > 0 && g.ic % 2 == 0;
}
bool winograd_serves(const ConvGeometry& plain) {
  const ConvGeometry g = winograd_geometry(plain);
  return g.dilation.h == 1 && g.dilation.w == 1 && g.taps() > 1 &&
         largest_winograd_tile(g.kh, g.stride.h) > 0 && largest_winograd_tile(g.kw, g.stride.w) > 0;
}
// Of what Winograd serves, what it can do along rows alone.
bool winograd_rows_serve(const ConvProblem& problem, const ConvPlan& tile) {
  const ConvGeometry& g = problem.geometry;
  return tile.has_rows && problem.layout == Layout::kNhwc && g.groups == 1 && g.ic >= 1 &&
         g.ic <= kRowChannels && g.kw == 3 && g.stride.w == 1;
}

}  // namespace

const char* to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kAuto: return "auto";
    case Algorithm::kGemm: return "gemm";
    case Algorithm::kStrassen: return "strassen";
    case Algorithm::kDirect: return "direct";
    case Algorithm::kWinograd: return "winograd";
    case Algorithm::kDepthwise: return "depthwise";
    case Algorithm::kReference: return "reference";
  }
  return "?";
}

int useful_threads(const ConvProblem& problem, const ConvPlan& plan, int threads) {
  const double cycles = plan.algorithm == Algorithm::kReference ? static_cast<double>(problem.geometry.macs())
                                                                : estimate_cycles(problem, plan);
  return static_cast<int>(std::clamp<double>(cycles / kCyclesPerThread, 1, threads));
}

namespace {

void check_algorithm(const std::string& op, const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  const Algorithm algorithm = problem.algorithm;
  if (algorithm == Algorithm::kDepthwise && !is_depthwise(g))
    fail(op, ": algorithm 'depthwise' serves groups of one channel, got ", g.ic, " input channels in ",
         g.groups, " groups; use 'auto' or 'direct'");
  if (algorithm == Algorithm::kDepthwise && !padding_fits(g, problem.layout))
    fail(op, ": algorithm 'depthwise' does not serve padding of many images in layout NCHW, got dilation (",
         g.dilation.h, ", ", g.dilation.w, ") and padding ((", g.pad.top, ", ", g.pad.bottom, "), (",
         g.pad.left, ", ", g.pad.right, ")) around ", g.ih, "x", g.iw, "; use 'auto' or 'direct'");
  if (algorithm == Algorithm::kGemm && g.taps() != 1)
    fail(op, ": algorithm 'gemm' serves 1x1 kernels, weight's is ", g.kh, "x", g.kw,
         " (weight.shape[2:]); use 'auto' or 'direct'");
  if (algorithm == Algorithm::kStrassen && !strassen_serves(problem))
    fail(op,
         ": algorithm 'strassen' serves 1x1 kernels of one group over even numbers of channels in layout "
         "NHWC, got ",
         g.kh, "x", g.kw, " in ", g.groups, " groups from ", g.ic, " to ", g.oc, " channels in layout ",
         problem.layout == Layout::kNhwc ? "NHWC" : "NCHW", "; use 'auto' or 'direct'");
  if (algorithm != Algorithm::kWinograd) return;
  if (g.stride.h > 2 || g.stride.w > 2 || g.dilation.h != 1 || g.dilation.w != 1)
    fail(op, ": algorithm 'winograd' serves strides 1 and 2 and dilation 1, got stride (", g.stride.h, ", ",
         g.stride.w, ") and dilation (", g.dilation.h, ", ", g.dilation.w, "); use 'auto' or 'direct'");
  if (!winograd_serves(g))
    fail(op,
         ": algorithm 'winograd' serves kernels with sides of 1 to 5 or 7 where the stride is 1, not 1x1, "
         "and of 3 to 8 where it is 2; weight's is ",
         g.kh, "x", g.kw, " (weight.shape[2:]), stride (", g.stride.h, ", ", g.stride.w,
         "); use 'auto' or 'direct'");
}

// Whether groups are too narrow for the GEMM and suit the depthwise kernels.
// NCHW: its rows are output channels, and narrow groups leave most of a tile empty; groups of 16 take the
// same time both ways, of 8 0.95 ms against 1.19 (256 in 32 groups @28x28, AVX2). NHWC: whole groups fill a
// vector of output channels, or a vector fits into one. Groups of 16 channels fill a panel on AVX2 (0.35 ms,
// the depthwise kernel 0.42: 512 in 32 groups @14x14) and half of one on AVX-512 (0.25 against 0.22);
// narrower ones would be gathered, which costs ten times the arithmetic.
bool has_narrow_groups(const ConvGeometry& g, Layout layout, const ConvPlan& tile) {
  const int64_t ic = g.group_ic(), oc = g.group_oc();
  if (layout == Layout::kNchw) return g.groups > 1 && ic <= 8 && oc <= 8 && padding_fits(g, layout);
  if (g.groups <= 1 || g.ic < tile.lanes || g.oc < tile.lanes || oc >= tile.nr) return false;
  if (oc < tile.lanes && (tile.lanes % oc != 0 || ic > oc)) return false;
  return 2 * oc <= tile.nr || ic < kNarrowGroup;
}

// Vectors run along channels, whole groups at a time.
void plan_depthwise(const ConvGeometry& g, ConvPlan& plan) {
  plan.nc = g.group_oc() < plan.lanes ? g.oc : g.group_oc();
  plan.mr = plan.nr = 0;
}

// Blocks of the two GEMM algorithms.
void plan_direct(const ConvProblem& problem, ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const int64_t element = problem.element_bytes;
  const int64_t depth = g.taps() * g.group_ic();
  const bool wide = plan.lanes * element >= kWideVector && problem.layout == Layout::kNhwc;
  plan.kc = std::clamp<int64_t>((wide ? kWidePanelBytes : kPanelBytes) / (plan.nr * element), 1,
                                std::max<int64_t>(depth, 1));
  const int64_t per_block = std::max<int64_t>(kL2BlockBytes / (plan.kc * element), 1);
  if (problem.layout == Layout::kNhwc) {
    plan.filter_rows = g.kw > 1 && g.groups == 1 && g.dilation.w == 1;
    plan.visible_only = !plan.filter_rows && visible_share(g, problem.layout) < kVisibleShare;
    // The block's outputs too: a line of each row is written per panel, and they are finished before they
    // leave L2.
    const int64_t written =
        std::max<int64_t>(2 * kL2BlockBytes / (std::max<int64_t>(g.oc, 1) * element), 16 * plan.mr);
    plan.mc = std::clamp<int64_t>(round_up(std::min(per_block, written), plan.mr), plan.mr,
                                  1024 / plan.mr * plan.mr);
  } else {
    plan.visible_only = visible_share(g, problem.layout) < kVisibleShare;
    plan.nc = std::clamp<int64_t>(round_up(per_block, plan.nr), plan.nr, 1024 / plan.nr * plan.nr);
  }
}

// An even number of blocks of about the same size, so that two threads have as much to do.
void plan_strassen(const ConvProblem& problem, ConvPlan& plan) {
  plan_direct(problem, plan);
  const int64_t pixels = problem.geometry.out_pixels();
  const int64_t pairs = (pixels + kStrassenPixels) / (2 * kStrassenPixels);
  plan.mc = std::max<int64_t>(pairs > 0 ? ceil_div(pixels, 2 * pairs) : pixels, 1);
}

// What the larger share of two threads is of half, where they share the panels of a single block: five are
// three and two. (The choice may not depend on the threads that there are: its results would.)
double strassen_imbalance(const ConvProblem& problem, const ConvPlan& tile) {
  ConvPlan plan = tile;
  plan_strassen(problem, plan);
  if (plan.mc < problem.geometry.out_pixels()) return 1;
  const int64_t panels = ceil_div(ceil_div(problem.geometry.oc, 2), plan.nr);
  return static_cast<double>(2 * ceil_div(panels, 2)) / static_cast<double>(std::max<int64_t>(panels, 1));
}

// What an image becomes must not depend on the batch around it: algorithm and tiles are chosen for one image.
ConvProblem one_image(ConvProblem problem) {
  problem.geometry.batch = std::min<int64_t>(problem.geometry.batch, 1);
  return problem;
}

bool is_rough(const WinogradAxis& side) { return side.tile > kFineTile && side.points() > kFinePoints; }

void plan_winograd_rows(ConvPlan& plan) {
  plan.along_rows = true;
  plan.tile_h = 1;
  plan.tile_w = kWinogradRowOutputs;
  plan.mr = kWinogradRowTiles * kWinogradRowOutputs;
  plan.nr = plan.lanes;
}

// The tiles and blocks that cost least.
void plan_winograd_tiles(const ConvProblem& problem, ConvPlan& plan) {
  constexpr int kTiles[] = {2, 3, 4, 5, 6};
  constexpr int64_t kRows[] = {12, 24, 48, 96, 192};
  const ConvGeometry g = winograd_geometry(problem.geometry);
  const int most_h = largest_winograd_tile(g.kh, g.stride.h);
  const int most_w = largest_winograd_tile(g.kw, g.stride.w);
  plan.nc = std::max<int64_t>(kWinogradColumns, plan.nr);
  plan.space_to_depth = folds_space_to_depth(problem.geometry);
  double least = HUGE_VAL;
  const auto keep_cheapest = [&](const ConvProblem& of, const ConvPlan& candidate) {
    const WinogradTiles tiles(g, candidate.tile_h, candidate.tile_w, candidate.lanes);
    const bool rough = is_rough(tiles.high) && is_rough(tiles.wide);
    if (rough && g.group_ic() < kRoughChannels) return;
    const double cost = (rough ? kRoughCost : 1) * estimate_cycles(of, candidate);
    if (cost < least) plan = candidate, least = cost;
  };
  const auto fits = [&](const ConvPlan& candidate) {
    const WinogradTiles tiles(g, candidate.tile_h, candidate.tile_w, candidate.lanes);
    return tiles.points() * candidate.mc * (tiles.phases() * g.group_ic() + plan.nc) *
               problem.element_bytes <=
           kWinogradBlockBytes;
  };
  // A side that takes no larger tiles takes its largest, once. 5 outputs are for filters of 2 taps, which
  // make them of 6 points.
  const auto is_candidate = [&](int tile, int most) {
    return (tile <= most || tile == kTiles[0]) && (tile != 5 || most == largest_winograd_tile(2, 1));
  };
  ConvPlan candidate = plan;
  for (const int h : kTiles)
    for (const int w : kTiles) {
      if (!is_candidate(h, most_h) || !is_candidate(w, most_w)) continue;
      candidate.tile_h = std::min(h, most_h);
      candidate.tile_w = std::min(w, most_w);
      for (const int64_t rows : kRows) {
        candidate.mc = rows;
        if (rows == kRows[0] || fits(candidate)) keep_cheapest(one_image(problem), candidate);
      }
    }
  if (g.batch <= 1) return;
  candidate = plan;
  least = HUGE_VAL;
  for (const int64_t rows : kRows) {
    candidate.mc = rows;
    if (rows == kRows[0] || fits(candidate)) keep_cheapest(problem, candidate);
  }
}

// What costs less; to be called only if Winograd serves the problem.
void plan_winograd(const ConvProblem& problem, ConvPlan& plan) {
  ConvPlan rows = plan;
  plan_winograd_rows(rows);
  if (problem.role == ConvRole::kStage) {
    plan = rows;
    return;
  }
  plan_winograd_tiles(problem, plan);
  if (winograd_rows_serve(problem, rows) &&
      estimate_cycles(one_image(problem), rows) < estimate_cycles(one_image(problem), plan))
    plan = rows;
}

Algorithm choose(const ConvProblem& problem, const ConvPlan& tile) {
  const ConvGeometry& g = problem.geometry;
  if (is_depthwise(g) && padding_fits(g, problem.layout)) return Algorithm::kDepthwise;
  const auto cost = [&](Algorithm algorithm, void (*fill)(const ConvProblem&, ConvPlan&)) {
    ConvPlan plan = tile;
    plan.algorithm = algorithm;
    fill(one_image(problem), plan);
    return estimate_cycles(one_image(problem), plan) +
           (problem.once ? estimate_preparation_cycles(problem, plan) : 0);
  };
  if (g.taps() == 1) {
    if (problem.exact || problem.role != ConvRole::kStep || !strassen_serves(problem) || is_single_pixel(g))
      return Algorithm::kGemm;
    return kStrassenGain * strassen_imbalance(problem, tile) * cost(Algorithm::kStrassen, plan_strassen) <
                   cost(Algorithm::kGemm, plan_direct)
               ? Algorithm::kStrassen
               : Algorithm::kGemm;
  }
  const bool rows = winograd_rows_serve(problem, tile);
  const int64_t inputs = problem.once ? kWinogradOnceInputs : rows ? 1 : kWinogradInputs;
  if (problem.exact || (problem.role == ConvRole::kStage && !rows) ||
      one_image(problem).geometry.macs() < kWinogradMacs || has_narrow_groups(g, problem.layout, tile) ||
      !winograd_serves(g) || g.group_ic() < inputs || g.group_oc() < kWinogradOutputs)
    return Algorithm::kDirect;
  return kWinogradGain * cost(Algorithm::kWinograd, plan_winograd) < cost(Algorithm::kDirect, plan_direct)
             ? Algorithm::kWinograd
             : Algorithm::kDirect;
}

}  // namespace

ConvPlan make_plan(const std::string& op, const ConvProblem& problem, const KernelTable& kernels) {
  const bool is_double = problem.element_bytes == 8;
  ConvPlan plan;
  plan.isa = kernels.isa;
  plan.lanes = is_double ? kernels.f64.lanes : kernels.f32.lanes;
  plan.fmas = fmas_per_cycle(kernels);
  plan.mr = is_double ? kernels.f64.mr : kernels.f32.mr;
  plan.nr = is_double ? kernels.f64.nr : kernels.f32.nr;
  plan.has_rows = is_double ? kernels.f64.winograd_row != nullptr : kernels.f32.winograd_row != nullptr;
  check_algorithm(op, problem);
  plan.algorithm = problem.algorithm == Algorithm::kAuto ? choose(problem, plan) : problem.algorithm;
  switch (plan.algorithm) {
    case Algorithm::kReference: return {.algorithm = plan.algorithm, .isa = plan.isa};
    case Algorithm::kDepthwise: plan_depthwise(problem.geometry, plan); break;
    case Algorithm::kWinograd: plan_winograd(problem, plan); break;
    case Algorithm::kStrassen: plan_strassen(problem, plan); break;
    default:
      if (is_single_pixel(problem.geometry)) {
        plan.dot = true;
        plan.mr = plan.nr = 0;
      } else if (has_narrow_groups(problem.geometry, problem.layout, plan)) {
        plan.narrow_groups = true;
        plan_depthwise(problem.geometry, plan);
      } else if (has_few_channels(problem)) {
        plan.few_channels = true;
        plan.mr = is_double ? kernels.f64.window_mr : kernels.f32.window_mr;
      } else if (has_few_outputs(problem, plan.lanes)) {
        ConvProblem columns = problem;
        columns.geometry = column_geometry(problem.geometry);
        plan.few_outputs = true;
        plan_direct(columns, plan);
      } else {
        plan_direct(problem, plan);
      }
  }
  return plan;
}

ConvGeometry column_geometry(const ConvGeometry& g) {
  ConvGeometry column = g;
  column.oc = g.oc * g.kw;
  column.ow = g.iw;
  column.kw = 1;
  column.pad.left = column.pad.right = 0;
  column.dilation.w = 1;
  return column;
}

std::string describe(const ConvGeometry& g, Layout layout) {
  std::ostringstream text;
  const auto by = [](int64_t a, int64_t b) { return a == b ? concat(a) : concat(a, "x", b); };
  text << "conv " << g.batch << "x" << g.ic << "x" << g.ih << "x" << g.iw << " -> " << g.oc << " k"
       << by(g.kh, g.kw);
  if (g.stride.h != 1 || g.stride.w != 1) text << " s" << by(g.stride.h, g.stride.w);
  if (g.dilation.h != 1 || g.dilation.w != 1) text << " d" << by(g.dilation.h, g.dilation.w);
  if (g.groups != 1) text << " g" << g.groups;
  text << (layout == Layout::kNhwc ? " NHWC" : " NCHW");
  return text.str();
}

std::string describe(const ConvProblem& problem, const ConvPlan& plan, int threads) {
  return describe(problem.geometry, problem, plan, threads);
}

std::string describe(const ConvGeometry& asked, const ConvProblem& problem, const ConvPlan& plan,
                     int threads) {
  const ConvGeometry& g = problem.geometry;
  std::ostringstream text;
  text << describe(asked, problem.layout) << (problem.element_bytes == 8 ? " float64: " : ": ")
       << to_string(plan.algorithm);
  if (g.kh != asked.kh || g.kw != asked.kw) text << " of " << g.kh << "x" << g.kw;
  if (plan.algorithm != Algorithm::kReference) {
    text << " " << plan.isa;
    if (plan.mr) text << " " << plan.mr << "x" << plan.nr;
    if (plan.kc) text << " kc=" << plan.kc;
    if (plan.mc) text << " mc=" << plan.mc;
    if (plan.nc) text << " nc=" << plan.nc;
    if (plan.tile_h) text << " tile=" << plan.tile_h << "x" << plan.tile_w;
    if (plan.space_to_depth) text << " space-to-depth";
    if (plan.along_rows) text << " along-rows";
    if (plan.filter_rows) text << " rows";
    if (plan.visible_only) text << " visible-taps";
    if (plan.dot) text << " dot";
    if (plan.few_outputs) text << " few-outputs";
    if (plan.few_channels) text << " few-channels";
    if (plan.narrow_groups) text << " grouped";
  }
  if (plan.algorithm != Algorithm::kReference) {
    text.precision(3);
    text << " estimate=" << estimate_cycles(problem, plan) / kCyclesPerMs << "ms";
  }
  text << " threads=" << useful_threads(problem, plan, threads);
  return text.str();
}

}  // namespace onebyone
