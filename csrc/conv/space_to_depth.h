// conv/space_to_depth.h - a convolution of stride 2 over few channels as one of stride 1: the pixels that a
// step passes over lie side by side as channels. Used by winograd.cc, whose vectors of channels they fill,
// and by what plans it (winograd_tiles.h). Knows no kernels or threads.
//
//   p = stride * o + k: tap k = stride * i + phase of output o reads pixel o + i, channel (phase, c) of
//   image'[r][(phase, c)] = image[stride * r + phase - padding][c]
//
// 7x7 of stride 2 over 3 channels becomes 4x4 over 12, with weights of 0 where the eighth tap would be.
#pragma once

#include <vector>

#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone {

// Whether it is done: with more channels phases fill vectors by themselves, and padding becomes memory.
bool folds_space_to_depth(const ConvGeometry& g);

// The convolution that it becomes; its image has the padding in it.
ConvGeometry space_to_depth(const ConvGeometry& g);

// Its weights, (oc, channels, taps, taps), and the way back.
template <class T>
std::vector<T> space_to_depth(const ConvGeometry& g, const ImageView<const T>& weight);
template <class T>
std::vector<T> depth_to_space(const ConvGeometry& g, const std::vector<T>& weight);

// Rows [begin, end) of its images, channels last, counted through the batch; dst: the first of all.
template <class T>
void space_to_depth(const ConvGeometry& g, const ImageView<const T>& x, int64_t begin, int64_t end, T* dst);

}  // namespace onebyone
