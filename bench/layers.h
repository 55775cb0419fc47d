// layers.h - layers to measure, read from text. Used by bench_conv.cc. Knows no arithmetic.
//
// One layer a line, as a plan prints it; # begins a comment, empty lines are skipped:
//
//   BATCHxICxIHxIW -> OC kKH[xKW] [sSH[xSW]] [pPH[xPW]|psame] [dDH[xDW]] [gGROUPS]
//   1x64x56x56 -> 256 k1
//   1x96x112x112 -> 96 k3 s2 p1 g96      # depthwise, stride 2, one row and column of padding on each side
//
// One number serves height and width. Defaults: s1 p0 d1 g1.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/geometry.h"

namespace onebyone::bench {

struct BenchLayer {
  std::string text;  // the line without its comment: the benchmark's name
  ImageShape x;
  std::array<int64_t, 4> weight;  // oc, ic / groups, kh, kw
  Pair stride{1, 1};
  Padding padding = Edges{0, 0, 0, 0};
  Pair dilation{1, 1};
  int64_t groups = 1;
};

// Throws std::invalid_argument naming the file, the line and what is wrong with it.
std::vector<BenchLayer> read_layers(const std::string& path);

}  // namespace onebyone::bench
