#include "layer_data.h"

#include "core/parallel.h"
#include "cpu/isa.h"
#include "harness.h"

namespace onebyone::bench {

ConvSpec spec_of(const BenchLayer& layer, Layout layout, Algorithm algorithm) {
  ConvSpec spec;
  spec.x = layer.x;
  spec.layout = layout;
  spec.stride = layer.stride;
  spec.padding = layer.padding;
  spec.dilation = layer.dilation;
  spec.groups = layer.groups;
  spec.algorithm = algorithm;
  return spec;
}

LayerData::LayerData(const BenchLayer& layer)
    : x(random_values(layer.x.batch * layer.x.channels * layer.x.height * layer.x.width, 1)),
      weight(random_values(layer.weight[0] * layer.weight[1] * layer.weight[2] * layer.weight[3], 2)),
      bias(random_values(layer.weight[0], 3)) {
  const Conv2d<float> reference(spec_of(layer, Layout::kNhwc, Algorithm::kReference), weights(layer),
                                active_kernels());
  const ConvGeometry& g = reference.geometry();
  out = {g.batch, g.oc, g.oh, g.ow};
  expected.resize(g.batch * g.oc * g.out_pixels());
  reference.run(image_view(x.data(), layer.x, Layout::kNhwc), nullptr, expected.data(), get_num_threads());
}

ConvWeights<float> LayerData::weights(const BenchLayer& layer) const {
  const auto [oc, ic, kh, kw] = layer.weight;
  return {image_view(weight.data(), {oc, ic, kh, kw}, Layout::kNchw), bias.data(), 1};
}

}  // namespace onebyone::bench
