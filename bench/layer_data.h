// layer_data.h - a layer as the library takes it: its spec, its data and the result it must have. Used by
// bench_conv.cc and bench_winograd.cc.
#pragma once

#include <vector>

#include "conv/conv2d.h"
#include "layers.h"

namespace onebyone::bench {

ConvSpec spec_of(const BenchLayer& layer, Layout layout, Algorithm algorithm);

// The data of a layer and the result it must have, both channels last.
struct LayerData {
  std::vector<float> x, weight, bias, expected;
  ImageShape out;

  // Runs the reference algorithm.
  explicit LayerData(const BenchLayer& layer);

  ConvWeights<float> weights(const BenchLayer& layer) const;
};

}  // namespace onebyone::bench
