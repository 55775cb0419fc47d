#include "conv/cost.h"

#include <algorithm>
#include <cmath>

#include "conv/visible_taps.h"
#include "conv/winograd_tiles.h"
#include "core/int_math.h"

namespace onebyone {
namespace {

// Of the core's FMAs a GEMM with its data in L2 reaches this much.
constexpr double kGemmShare = 0.92;
// A register tile waits for its last FMAs, stores and starts anew; a call of the kernel finds its tiles.
constexpr double kTileCycles = 25, kCallCycles = 40;
// Of an FMA, in cycles: as many accumulators for each that may start in one keep the core busy.
constexpr double kFmaLatency = 4;
// A tile of one vector loads for each product. A row that does not end with a vector is finished one by one.
constexpr double kSingleVector = 4.0 / 3, kRaggedRowCycles = 20;
// Bytes a cycle that one core reads: again and again from L3; from memory, and so the first time in a
// network.
constexpr double kL3Bytes = 14, kMemoryBytes = 8;
// Lines that another core has written come one by one: 256 -> 64 at 56x56, shared by output channels, takes
// 0.66 ms, by pixels 0.36 (Sapphire Rapids; both threads read what each wrote half of).
constexpr double kForeignBytes = 2;
// The share of L2 that blocks may count on, and of L3.
constexpr double kL2 = 448 << 10, kL3 = 24 << 20;
// Winograd's transforms, for each point and vector: lines of up to 6 points, and of 7 or 8, which spill.
constexpr double kInputCycles = 6, kOutputCycles = 4.5, kLongLine = 1.15;
// For each tile and run of four vectors a call; for each point of a run that ends within a vector its masks.
constexpr double kTransformCycles = 60, kTransformVecs = 4, kMaskCycles = 15;
// Moving an element from space to depth; Winograd's outputs, which are made channels last, to where they lie
// channels first.
constexpr double kFoldCycles = 0.7, kSpreadCycles = 1;
// Winograd along rows: a load; the way back to an output, where an FMA starts each cycle; a tile's pixels of
// one channel.
constexpr double kRowLoadCycles = 0.5, kRowOutputCycles = 4, kRowInputCycles = 12;
// Strassen's four sums of four lines from L2, written back to it; a line of each quarter of the output that
// is written seven times, read five times to be added to, and passed over twice.
constexpr double kStrassenSumCycles = 24, kStrassenAddCycles = 20;
// Of a GEMM of the visible taps alone, whose sums are one tap's and whose tiles are narrow: 64 channels at
// 28x28 with dilation 3, 86 % of the products, take 1.06 times the time of all, with dilation 6, 73 %, 0.82.
constexpr double kVisibleChannels = 16;
// Transforming one filter for one point; packing one weight.
constexpr double kFilterPointCycles = 9, kPackCycles = 3;

// Arithmetic that waits for memory only where memory is the slower: between the larger of the two and their
// sum.
double overlapped(double compute, double stream) { return std::sqrt(compute * compute + stream * stream); }

// Multiplications of m x n x k by register tiles of mr x nr; what is left of n joins the last panel.
double gemm_cycles(const ConvPlan& plan, double m, double n, double k) {
  const double vecs = std::ceil(n / plan.lanes);
  const double row_tiles = std::ceil(m / plan.mr);
  const double panels = std::max(std::floor(vecs * plan.lanes / plan.nr), 1.0);
  const double accumulators =
      std::max(m / row_tiles * vecs / panels * (vecs > 1 ? 1 : kSingleVector), kFmaLatency * plan.fmas);
  return row_tiles * panels * (k * accumulators / (plan.fmas * kGemmShare) + kTileCycles) +
         (n < vecs * plan.lanes ? m * kRaggedRowCycles : 0) + kCallCycles;
}

// Dot products read all weights, and are fast enough for it.
double dot_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const double weights = static_cast<double>(g.oc * g.ic), rows = static_cast<double>(g.batch);
  return overlapped(rows * (weights / plan.lanes + static_cast<double>(g.oc)),
                    weights * problem.element_bytes / kMemoryBytes);
}

// Reading the input and writing the output where they do not stay in L2; a line that is written travels
// twice.
double image_cycles(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  const double elements = static_cast<double>(g.batch * g.ic * g.ih * g.iw) +
                          2.0 * static_cast<double>(g.batch * g.oc * g.out_pixels());
  return std::max(elements * problem.element_bytes - kL2, 0.0) / kL3Bytes;
}

double direct_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const double pixels = static_cast<double>(g.batch * g.out_pixels());
  const double oc = static_cast<double>(g.group_oc()), k = static_cast<double>(g.taps() * g.group_ic());
  const double weights = static_cast<double>(g.oc) * k * problem.element_bytes;
  const bool nhwc = problem.layout == Layout::kNhwc;
  const double block = static_cast<double>(nhwc ? plan.mc : plan.few_channels ? g.ow : plan.nc);
  const double blocks = std::max(pixels / block, 1.0), m = pixels / blocks;
  const double visible = plan.visible_only ? visible_share(g, problem.layout) : 1;
  const double compute =
      blocks * static_cast<double>(g.groups) * gemm_cycles(plan, nhwc ? m : oc, nhwc ? oc : m, k * visible);
  // Channels-first pixels are packed first, a vector at a time.
  const double pack = nhwc || plan.few_channels
                          ? 0
                          : kPackCycles * pixels * k * visible * static_cast<double>(g.groups) / plan.lanes;
  return overlapped(compute, weights / kMemoryBytes + image_cycles(problem)) + pack;
}

// Of a whole tile, for one channel of the input and one of the output.
double products_per_channel(const WinogradTiles& tile) {
  return static_cast<double>(tile.high.products() * tile.wide.products());
}

double winograd_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry g = winograd_geometry(problem.geometry);
  const WinogradTiles tile(g, plan.tile_h, plan.tile_w, plan.lanes);
  const WinogradAxis &high = tile.high, &wide = tile.wide;
  const double groups = static_cast<double>(g.groups), element = problem.element_bytes;
  const double row = static_cast<double>(tile.row);  // of products
  const double ic = static_cast<double>(round_up(g.group_ic(), plan.lanes));
  const double oc = static_cast<double>(round_up(g.group_oc(), plan.nr));
  const double tiles = static_cast<double>(g.batch * high.tiles() * wide.tiles());
  const double points = static_cast<double>(tile.points());
  // Points of all tiles: fewer than tiles x points where those at the edges are smaller. Each has the
  // channels of one phase of the stride or of several.
  const double work = static_cast<double>(g.batch * high.all_points() * wide.all_points());
  const double phases = static_cast<double>(g.batch * high.all_products() * wide.all_products()) / work;
  const double blocks = std::ceil(tiles / static_cast<double>(plan.mc)), m = tiles / blocks;
  const double columns = std::ceil(oc / static_cast<double>(plan.nc));

  const double products = groups * blocks * points * columns *
                          gemm_cycles(plan, m * work / (tiles * points), oc / columns, phases * row);
  const double length = (high.points() > 6 ? kLongLine : 1) * (wide.points() > 6 ? kLongLine : 1);
  const double in = ic / plan.lanes, out = std::ceil(static_cast<double>(g.group_oc()) / plan.lanes);
  const double masks = g.group_ic() % plan.lanes ? kMaskCycles : 0;
  const double calls = tile.phases() * std::ceil(in / kTransformVecs) + std::ceil(out / kTransformVecs);
  const double transforms =
      groups * (work * length * (phases * (kInputCycles * in + masks) + kOutputCycles * out) +
                tiles * calls * kTransformCycles);
  const double filters = groups * products_per_channel(tile) * row * oc * element;
  const double stream =
      filters / kMemoryBytes +
      (blocks - 1) * (filters < kL2 ? 0 : filters / (filters < kL3 ? kL3Bytes : kMemoryBytes));
  // What of a block's V and M does not stay in L2 travels: V is written once and read for every block of
  // output channels, M written and read once. A line that is written travels twice.
  const double block = m * points * (phases * ic + oc / columns) * element;
  const double travels = std::max(block - kL2, 0.0) / block;
  const double traffic =
      travels * groups * work * (phases * ic * (2 + columns) + 3 * oc) * element / kL3Bytes;
  const double spreading = problem.layout == Layout::kNchw
                               ? kSpreadCycles * static_cast<double>(g.batch * g.oc * g.out_pixels())
                               : 0;
  const double folding = folds_space_to_depth(problem.geometry)
                             ? kFoldCycles * static_cast<double>(g.batch * g.ic * g.ih * g.iw)
                             : 0;
  return overlapped(products, stream + traffic) + overlapped(transforms, image_cycles(problem)) + folding +
         spreading;
}

// Each tile's sums, which take their points from L1, then its outputs; the rows of the image.
double winograd_rows_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const double tiles = static_cast<double>(g.batch * g.oh * ceil_div(g.ow, kWinogradRowOutputs));
  const double vecs = static_cast<double>(ceil_div(g.oc, plan.lanes));
  const double sums = (kWinogradRowOutputs + 2) * static_cast<double>(g.kh * g.ic) * vecs;
  const double per_sum = std::max(1.0 / plan.fmas, kRowLoadCycles * (1 + 1.0 / kWinogradRowTiles));
  const double compute = tiles * (sums * per_sum + kRowOutputCycles * kWinogradRowOutputs * vecs / plan.fmas +
                                  kRowInputCycles * static_cast<double>(g.ic));
  const double filters = sums * plan.lanes * problem.element_bytes;
  return overlapped(compute, filters / kMemoryBytes + image_cycles(problem));
}

// Seven products of half the size along each side, by blocks; the sums of the image, which are written
// beside it, and the passes over quarters of the output.
double strassen_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const double pixels = static_cast<double>(g.batch * g.out_pixels());
  const double blocks = std::ceil(pixels / static_cast<double>(plan.mc));
  const double m = pixels / blocks / 2, k = static_cast<double>(g.ic) / 2;
  const double n = static_cast<double>(round_up(ceil_div(g.oc, 2), plan.lanes));
  const double products = 7 * gemm_cycles(plan, m, n, k);
  const double lines = m * problem.element_bytes / kCacheLine;
  const double sums = lines * (kStrassenSumCycles * k + kStrassenAddCycles * n);
  // The sums alone wait for an image that comes from L3, about half of the time.
  const double image = static_cast<double>(g.batch * g.ic * g.ih * g.iw) * problem.element_bytes;
  const double waits = std::max(image - kL2, 0.0) / kL3Bytes / 2;
  const double weights = 7 * n * k * problem.element_bytes;
  return overlapped(blocks * (products + sums), weights / kMemoryBytes + image_cycles(problem)) + waits;
}

// One product for each vector and tap: groups of a few channels, each a sum of group_ic of them.
double narrow_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const double outputs = static_cast<double>(g.batch * g.out_pixels() * g.oc);
  const double bytes = (outputs + static_cast<double>(g.batch * g.ic * g.ih * g.iw)) * problem.element_bytes;
  return overlapped(outputs * static_cast<double>(g.taps() * g.group_ic()) / plan.lanes, bytes / kL3Bytes);
}

// One task of Winograd's: `rows` tiles, `columns` output channels in `blocks` blocks.
double winograd_share_cycles(const ConvGeometry& g, const ConvPlan& plan, double rows, double columns,
                             double width) {
  const WinogradTiles tile(g, plan.tile_h, plan.tile_w, plan.lanes);
  const double points = static_cast<double>(tile.points());
  const double ic = static_cast<double>(g.group_ic()) * products_per_channel(tile) / points;
  const double blocks = std::ceil(rows / static_cast<double>(plan.mc));
  return blocks * points *
         (columns * gemm_cycles(plan, rows / blocks, width, ic) +
          rows / blocks * (kInputCycles * ic + kOutputCycles * columns * width) / plan.lanes);
}

}  // namespace

double estimate_share_cycles(const ConvGeometry& g, const ConvPlan& plan, int element_bytes,
                             const Share& share) {
  const bool winograd = plan.algorithm == Algorithm::kWinograd;
  const double rows = static_cast<double>(share.rows), width = static_cast<double>(share.width);
  const double columns = static_cast<double>(share.columns), n = columns * width;
  const double taps = static_cast<double>(g.taps()), ic = static_cast<double>(g.group_ic());
  const double blocks = std::ceil(rows / static_cast<double>(plan.mc));
  const double visible = plan.visible_only ? visible_share(g, Layout::kNhwc) : 1;
  const double compute = winograd ? winograd_share_cycles(g, plan, rows, columns, width)
                                  : blocks * gemm_cycles(plan, rows / blocks, n, taps * ic * visible);
  const double weights = winograd ? products_per_channel({g, plan.tile_h, plan.tile_w, plan.lanes}) : taps;
  const double pixels = winograd ? rows * plan.tile_h * plan.tile_w : rows;
  // The steps before and after share pixels: what this one shares by channels changes hands.
  const double foreign = std::max(0.0, 1 - n / static_cast<double>(share.channels));
  const double changes =
      foreign * pixels * (static_cast<double>(g.ic * g.stride.h * g.stride.w) + n) / kForeignBytes;
  return overlapped(compute, element_bytes * (n * weights * ic / kMemoryBytes + changes));
}

double visible_share(const ConvGeometry& g, Layout layout) {
  return high_axis(g).visible_share() * (layout == Layout::kNhwc ? wide_axis(g).visible_share() : 1) *
         (1 + kVisibleChannels / static_cast<double>(std::max<int64_t>(g.group_ic(), 1)));
}

double estimate_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  if (plan.few_outputs) {
    ConvProblem columns = problem;
    columns.geometry = column_geometry(problem.geometry);
    ConvPlan products = plan;
    products.few_outputs = false;
    return estimate_cycles(columns, products);
  }
  if (problem.geometry.macs() == 0) return 0;
  switch (plan.algorithm) {
    case Algorithm::kWinograd:
      return plan.along_rows ? winograd_rows_cycles(problem, plan) : winograd_cycles(problem, plan);
    case Algorithm::kStrassen: return strassen_cycles(problem, plan);
    case Algorithm::kDepthwise: return narrow_cycles(problem, plan);
    default:
      if (plan.dot) return dot_cycles(problem, plan);
      return plan.narrow_groups ? narrow_cycles(problem, plan) : direct_cycles(problem, plan);
  }
}

double estimate_preparation_cycles(const ConvProblem& problem, const ConvPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  const double filters = static_cast<double>(g.oc * g.group_ic());
  if (plan.algorithm != Algorithm::kWinograd || plan.along_rows)
    return kPackCycles * filters * static_cast<double>(g.taps());
  return filters * (kFilterPointCycles *
                        products_per_channel({winograd_geometry(g), plan.tile_h, plan.tile_w, plan.lanes}) +
                    2 * kPackCycles * static_cast<double>(g.taps()));
}

}  // namespace onebyone
