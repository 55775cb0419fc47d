// network/fuse.h - rewrites a graph into fewer operations. Called by compile.cc. Knows algebra; does not know
// memory.
#pragma once

#include "network/graph.h"

namespace onebyone {

// In this order, over the whole graph:
//   a product, sum, ... with a constant along one axis           -> scale and shift
//   x * sigmoid(x), x * hardsigmoid(x), x * clip(x + 3, 0, 6)    -> silu, hardswish
//   zero padding before a convolution                            -> the convolution's padding
//   a product with factors of channels before a 1x1 convolution  -> the convolution's factors
//   scale and shift after a convolution (batch normalisation),
//   after a linear layer, after another scale and shift          -> into the weights
//   the sum with another tensor after a convolution              -> its residual
//   an activation after any of these and of sums and products    -> into the operation
// What nobody reads is dropped. Values that are outputs of the graph stay what they are.
template <class T>
void fuse(Graph<T>& graph);

}  // namespace onebyone
