// conv/cost.h - what a plan should cost: arithmetic, calls and memory traffic, in cycles of one core. Called
// by plan.cc, which takes the cheapest, and by conv2d.cc for those who ask why. Pure arithmetic on the plan;
// the constants were measured on Zen 3 and Sapphire Rapids; bench/README.md says how well they foretell.
#pragma once

#include "conv/plan.h"

namespace onebyone {

// All of plan's algorithms but kReference; the plan's blocks are filled in.
double estimate_cycles(const ConvProblem& problem, const ConvPlan& plan);

// Transforming (or packing) the weights, which a plan pays once and a single call each time.
double estimate_preparation_cycles(const ConvProblem& problem, const ConvPlan& plan);

// A thread's share of a channels-last GEMM or Winograd: `rows` pixels or tiles x `columns` blocks of `width`
// of the `channels` output channels.
struct Share {
  int64_t rows, columns, width, channels;
};
double estimate_share_cycles(const ConvGeometry& g, const ConvPlan& plan, int element_bytes,
                             const Share& share);

// The time of a GEMM that leaves out what sees padding alone, of that of all products: channels first, rows
// of the filter, channels last columns as well.
double visible_share(const ConvGeometry& g, Layout layout);

}  // namespace onebyone
