// conv/plan.h - the choice: which algorithm, which blocks, how many threads. Called by conv2d.cc and the
// algorithms. Pure: the same problem and ISA give the same plan; printable. Knows cache sizes. Does not touch
// data.
#pragma once

#include <cstdint>
#include <string>

#include "core/geometry.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

enum class Algorithm { kAuto, kGemm, kStrassen, kDirect, kWinograd, kDepthwise, kReference };
inline constexpr Algorithm kAlgorithms[] = {Algorithm::kAuto,     Algorithm::kGemm,     Algorithm::kStrassen,
                                            Algorithm::kDirect,   Algorithm::kWinograd, Algorithm::kDepthwise,
                                            Algorithm::kReference};
const char* to_string(Algorithm algorithm);

// What kAuto may choose from: by itself, a 1x1 convolution errs as plain sums do; as a step of a network it
// may be Strassen's; as a stage of a chain it must have parts (ConvAlgorithm::run_part).
enum class ConvRole { kAlone, kStep, kStage };

// What is asked for.
struct ConvProblem {
  ConvGeometry geometry;
  Layout layout = Layout::kNchw;
  Algorithm algorithm = Algorithm::kAuto;
  int element_bytes = 4;
  Activation activation;
  bool residual = false;
  bool once = false;   // for one call: preparing the weights counts
  bool exact = false;  // kAuto chooses no algorithm with larger rounding errors than the direct one
  ConvRole role = ConvRole::kAlone;
  // Elements between pixels (NHWC) or images (NCHW) of the output and the residual, for those that are part
  // of a wider image; 0: they are contiguous.
  int64_t out_step = 0;

  int64_t output_step() const {
    if (out_step) return out_step;
    return layout == Layout::kNhwc ? geometry.oc : geometry.oc * geometry.out_pixels();
  }
};

// What is done.
struct ConvPlan {
  Algorithm algorithm = Algorithm::kReference;
  const char* isa = "";
  int lanes = 0;       // elements of a vector
  int fmas = 2;        // of vectors, that a core starts in a cycle
  int mr = 0, nr = 0;  // register tile
  int64_t kc = 0;      // products summed per block of k, at most
  int64_t mc = 0;      // NHWC: pixels per block (Strassen: of both halves); Winograd: tiles
  int64_t nc = 0;      // NCHW: pixels packed per cache block; depthwise, narrow groups: channels that vectors
                       // divide; Winograd: output channels per block
  int tile_h = 0, tile_w = 0;  // Winograd: outputs per tile along each side
  bool has_rows = false;       // the ISA has kernels for Winograd along rows
  // Winograd: of the folded image (space_to_depth.h), which is read from one of any strides.
  bool space_to_depth = false;
  bool along_rows = false;     // Winograd: of an image of few channels, of any strides (winograd_rows.cc)
  bool dot = false;            // 1x1 from one pixel to one: dot products with the weights as they are
  bool narrow_groups = false;  // the depthwise kernels serve groups of a few channels
  bool few_channels = false;   // NCHW: an image of a few channels, by bands (few_channels.cc)
  bool few_outputs = false;    // NHWC: taps along a row are output channels (few_outputs.cc)
  bool filter_rows = false;    // NHWC: a row of the filter is one run of products (window_table.h)
  bool visible_only = false;   // GEMMs: taps in the padding are left out (visible_taps.h)

  // Images are read where they lie, channels last or not.
  bool any_strides() const { return space_to_depth || along_rows; }
};

// What few_outputs.cc multiplies: the taps along a row of the filter are output channels.
ConvGeometry column_geometry(const ConvGeometry& g);

// Rows of the image that the window of an output spans.
inline int64_t window_rows(const ConvGeometry& g) { return (g.kh - 1) * g.dilation.h + 1; }

// Throws std::invalid_argument if the algorithm asked for cannot serve the problem.
ConvPlan make_plan(const std::string& op, const ConvProblem& problem, const KernelTable& kernels);

// Threads worth starting: work too small to share runs on the caller.
int useful_threads(const ConvProblem& problem, const ConvPlan& plan, int threads);

// "conv 1x64x56x56 -> 256 k1 NHWC"
std::string describe(const ConvGeometry& geometry, Layout layout);

// "conv 1x64x56x56 -> 256 k1 NHWC: gemm avx2 6x16 kc=64 mc=192 estimate=1.17ms threads=2": what the cost
// model (cost.h) expects of one core at 3 GHz. With `asked`, the convolution as the caller gave it, its
// filter is named first, and after the algorithm the smaller one that does ("conv 1x960x20x20 -> 256 k3 d24
// NHWC: gemm of 1x1 avx512 ...").
std::string describe(const ConvGeometry& asked, const ConvProblem& problem, const ConvPlan& plan,
                     int threads);
std::string describe(const ConvProblem& problem, const ConvPlan& plan, int threads);

}  // namespace onebyone
