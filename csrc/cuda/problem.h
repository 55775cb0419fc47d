// problem.h - one convolution as the kernels see it: checked, with everything derived. Made by problem.cc
// from the C description, completed by plan.cc, passed to kernels by value. Plain C++, no CUDA.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace onebyone::cuda {

// A place in the filter: channel of the group, row, column.
struct Tap {
  int32_t c, r, s;
};

// As a GEMM: m counts the output pixels of all images, n the output channels of a group, k the products of
// one output. k runs as x lies in memory: (r, s, c) with NHWC, (c, r, s) with NCHW. Sizes and places within
// an image fit 32 bits (problem.cc sees to it); offsets into arrays are 64-bit.
struct Problem {
  const void *x, *weight, *bias, *residual;  // weight: row of k for each output channel, ldk apart
  void* y;
  float* partial;  // with splits > 1: sums of each split, laid out as y, y_size apart
  int64_t m, y_size;
  int32_t k, ldk;
  int32_t ic, ih, iw, oc, oh, ow, kh, kw;
  int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t groups, group_ic, group_oc;
  int32_t nhwc;
  int32_t activation;  // ActivationKind
  float a, b;
  // The grid, from the fastest: tiles of n, tiles of m, splits of k, groups.
  int32_t n_tiles, m_tiles, splits;
  int32_t tiles_per_split;  // of k
  Tap step;                 // a tile of k, taken apart like k
};

}  // namespace onebyone::cuda
