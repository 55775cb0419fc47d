// conv/packing.h - how weights and bias are laid out for the GEMMs. Called once per plan by the algorithms.
#pragma once

#include "conv/algorithm.h"
#include "core/aligned_buffer.h"

namespace onebyone {

// Whether weights of so many bytes are fetched ahead (GemmArgs::next_b): of more than half of 512 KB of L2;
// with vectors of 64 bytes, which leave room for a fetch among their products, of more than L1, as in a
// network they come from beyond L2 (DenseNet-121 and GoogLeNet take 3 % less; AVX2 the same, and some single
// layers 1 % more).
inline bool fetches_ahead(int64_t bytes, int64_t vector_bytes) {
  return bytes > (vector_bytes < 64 ? 256 * 1024 : 32 * 1024);
}

// NHWC: the weights are B. Panels of nr output channels, k rows each, k = tap * group_ic + channel:
//
//   group 0                                                        group 1 ...
//   panel 0: [tap 0, channel 0: w of output channels 0 .. nr-1]    panel 0 ...
//            [tap 0, channel 1: ...]
//            ...
//   panel 1: [tap 0, channel 0: nr .. 2nr-1], zeros past group_oc
//
// In memory: [group][panel][k][nr].
template <class T>
AlignedBuffer<T> pack_weight_panels(const ConvGeometry& g, const ImageView<const T>& weight, int64_t nr);

// NCHW: the weights are A. Rows [output channel][tap][channel], read as scalars in place; `row_stride`
// elements apart, those between undefined.
template <class T>
AlignedBuffer<T> pack_weight_rows(const ConvGeometry& g, const ImageView<const T>& weight,
                                  int64_t row_stride);

// Depthwise and grouped NHWC: vectors of `lanes` output channels, each with its bias (zeros without one),
// then [tap][channel of the group]. They divide runs of `run` channels, which divide oc: the last of a run
// ends with it, so it may hold some channels of the one before.
//
//   vector 0: [bias of output channels 0 .. lanes-1] [tap 0, channel 0: w of 0 .. lanes-1] [tap 0, channel 1]
//   ... vector 1: ...
template <class T>
AlignedBuffer<T> pack_weight_vectors(const ConvGeometry& g, const ConvWeights<T>& weights, int64_t run,
                                     int64_t lanes);

// [group][group_oc rounded up to a multiple of `multiple`], zeros between; empty without a bias.
template <class T>
AlignedBuffer<T> pack_bias(const ConvGeometry& g, const ConvWeights<T>& weights, int64_t multiple);
// What it was packed from.
template <class T>
std::vector<T> unpack_bias(const ConvGeometry& g, const AlignedBuffer<T>& packed, int64_t multiple);

}  // namespace onebyone
