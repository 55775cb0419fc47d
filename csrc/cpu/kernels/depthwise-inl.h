// depthwise-inl.h - depthwise convolution, channels last: vectors along the channels. Contract:
// DepthwiseArgs. Knows registers. Does not know padding (its rows point at zeros), strides or threads.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// Pixels [i, i + kPixels) x channels [j, j + kVecs * kLanes). A vector of weights serves all pixels: a load
// of x for each FMA and one of weights for every kPixels.
template <class S, int kPixels, int kVecs>
void depthwise_tile(const DepthwiseArgs<typename S::Scalar>& args, int64_t i, int64_t j) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const Epilogue<T>& e = *args.epilogue;
  Vec acc[kPixels][kVecs];
  ONEBYONE_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec start = e.bias_n ? S::load(e.bias_n + j + v * S::kLanes) : Vec{};
    ONEBYONE_UNROLL
    for (int p = 0; p < kPixels; ++p) acc[p][v] = start;
  }
  const T* const* rows = args.rows + i;
  const T* weight = args.weight + j;
  const int64_t offset = args.offset + j;
  for (int64_t t = args.taps; t > 0; --t, rows += args.tap_stride, weight += args.weight_stride) {
    Vec w[kVecs];
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) w[v] = S::load(weight + v * S::kLanes);
    ONEBYONE_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      const T* x = rows[p] + offset;
      ONEBYONE_UNROLL
      for (int v = 0; v < kVecs; ++v) acc[p][v] += S::load(x + v * S::kLanes) * w[v];
    }
  }
  const bool clips = e.activation.kind == ActivationKind::kClip;
  const T lo = static_cast<T>(e.activation.a), hi = static_cast<T>(e.activation.b);
  ONEBYONE_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      const int64_t at = (i + p) * args.ld + j + v * S::kLanes;
      if (e.residual) acc[p][v] += S::load(e.residual + at);
      if (clips) acc[p][v] = clip<S>(acc[p][v], lo, hi);
      S::store(args.out + at, acc[p][v]);
    }
  }
}

// Fewer channels than a vector: the same through a vector of which the first args.n lanes are read and
// written.
template <class S>
void depthwise_narrow(const DepthwiseArgs<typename S::Scalar>& args, int64_t i) {
  using T = typename S::Scalar;
  const Epilogue<T>& e = *args.epilogue;
  const int n = static_cast<int>(args.n);
  typename S::Vec acc = e.bias_n ? S::load_first(e.bias_n, n) : typename S::Vec{};
  for (int64_t t = 0; t < args.taps; ++t)
    acc += S::load_first(args.rows[t * args.tap_stride + i] + args.offset, n) *
           S::load_first(args.weight + t * args.weight_stride, n);
  if (e.residual) acc += S::load_first(e.residual + i * args.ld, n);
  if (e.activation.kind == ActivationKind::kClip)
    acc = clip<S>(acc, static_cast<T>(e.activation.a), static_cast<T>(e.activation.b));
  S::store_first(args.out + i * args.ld, acc, n);
}

// All channels of kPixels pixels. The last vector ends with the last channel: it may do some channels again.
template <class S, int kPixels, int kVecs>
void depthwise_pixels(const DepthwiseArgs<typename S::Scalar>& args, int64_t i) {
  constexpr int64_t kLanes = S::kLanes;
  int64_t j = 0;
  for (; j + kVecs * kLanes <= args.n; j += kVecs * kLanes) depthwise_tile<S, kPixels, kVecs>(args, i, j);
  for (; j + kLanes <= args.n; j += kLanes) depthwise_tile<S, kPixels, 1>(args, i, j);
  if (j < args.n) depthwise_tile<S, kPixels, 1>(args, i, args.n - kLanes);
}

template <class T, int kBytes, int kPixels, int kVecs>
void depthwise(const DepthwiseArgs<T>& args) {
  using S = Simd<T, kBytes>;
  if (args.n < S::kLanes) {
    for (int64_t i = 0; i < args.m; ++i) depthwise_narrow<S>(args, i);
  } else {
    int64_t i = 0;
    for (; i + kPixels <= args.m; i += kPixels) depthwise_pixels<S, kPixels, kVecs>(args, i);
    for (; i < args.m; ++i) depthwise_pixels<S, 1, kVecs>(args, i);
  }
  if (args.epilogue->activation.kind > ActivationKind::kClip)
    for (int64_t i = 0; i < args.m; ++i)
      activate<T, kBytes>(args.epilogue->activation, args.out + i * args.ld, args.out + i * args.ld, args.n);
}

}  // namespace
}  // namespace onebyone
