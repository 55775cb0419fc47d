// planes-inl.h - depthwise and narrowly grouped convolution, channels first: vectors along the rows of
// pixels. Contract: PlanesArgs. Knows registers. Does not know padding or strides: its input has been laid
// out so that neighbouring outputs read neighbouring elements.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// Output channels [o, o + kOutputs) at the vectors `at`[v] of pixels, of which `lanes` are written. A vector
// of x serves all channels, a weight all vectors.
template <class S, int kOutputs, int kVecs>
ONEBYONE_INLINE void planes_tile(const PlanesArgs<typename S::Scalar>& args, int64_t o, const PlanePixels* at,
                                 int lanes) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const Epilogue<T>& e = *args.epilogue;
  Vec acc[kOutputs][kVecs];
  ONEBYONE_UNROLL
  for (int k = 0; k < kOutputs; ++k) {
    const Vec start = e.bias_m ? S::broadcast(e.bias_m[o + k]) : Vec{};
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) acc[k][v] = start;
  }
  const T* src[kVecs];
  ONEBYONE_UNROLL
  for (int v = 0; v < kVecs; ++v) src[v] = args.src + at[v].src;
  const T* weight = args.weight + o * args.taps;
  for (int64_t t = 0; t < args.taps; ++t) {
    const int64_t offset = args.offsets[t];
    Vec x[kVecs];
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) x[v] = S::load(src[v] + offset);
    ONEBYONE_UNROLL
    for (int k = 0; k < kOutputs; ++k) {
      const Vec w = S::broadcast(weight[k * args.taps + t]);
      ONEBYONE_UNROLL
      for (int v = 0; v < kVecs; ++v) acc[k][v] += x[v] * w;
    }
  }
  const bool clips = e.activation.kind == ActivationKind::kClip;
  const T lo = static_cast<T>(e.activation.a), hi = static_cast<T>(e.activation.b);
  ONEBYONE_UNROLL
  for (int k = 0; k < kOutputs; ++k) {
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      const int64_t place = (o + k) * args.plane + at[v].out;
      Vec y = acc[k][v];
      if (lanes == S::kLanes) {
        if (e.residual) y += S::load(e.residual + place);
        if (clips) y = clip<S>(y, lo, hi);
        S::store(args.out + place, y);
      } else {
        if (e.residual) y += S::load_first(e.residual + place, lanes);
        if (clips) y = clip<S>(y, lo, hi);
        S::store_first(args.out + place, y, lanes);
      }
    }
  }
}

template <class S, int kOutputs, int kVecs>
void planes_outputs(const PlanesArgs<typename S::Scalar>& args, int64_t o) {
  const int lanes = args.ow < S::kLanes ? static_cast<int>(args.ow) : S::kLanes;
  int64_t i = 0;
  for (; i + kVecs <= args.vectors; i += kVecs)
    planes_tile<S, kOutputs, kVecs>(args, o, args.pixels + i, lanes);
  for (; i < args.vectors; ++i) planes_tile<S, kOutputs, 1>(args, o, args.pixels + i, lanes);
}

// 4 channels x 2 vectors: 8 sums, 2 vectors of x and a weight; 6 loads for 8 FMAs. One channel x 6 vectors: 7
// loads for 6.
template <class T, int kBytes>
void planes(const PlanesArgs<T>& args) {
  using S = Simd<T, kBytes>;
  int64_t o = 0;
  for (; o + 4 <= args.outputs; o += 4) planes_outputs<S, 4, 2>(args, o);
  for (; o < args.outputs; ++o) planes_outputs<S, 1, 6>(args, o);
  if (args.epilogue->activation.kind > ActivationKind::kClip)
    for (o = 0; o < args.outputs; ++o) {
      T* out = args.out + o * args.plane;
      activate<T, kBytes>(args.epilogue->activation, out, out, args.rows * args.ow);
    }
}

}  // namespace
}  // namespace onebyone
