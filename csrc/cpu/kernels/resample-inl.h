// resample-inl.h - weighted sums of pixels that lie anywhere. Contract: ResampleArgs. Knows registers. Does
// not know images.
#pragma once

#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// kVecs vectors of channels from c on of one pixel.
template <class S, int kVecs>
ONEBYONE_INLINE void resample_channels(const ResampleArgs<typename S::Scalar>& a, const int64_t* places,
                                       const typename S::Scalar* weights, typename S::Scalar* out,
                                       int64_t c) {
  typename S::Vec acc[kVecs];
  ONEBYONE_UNROLL
  for (int v = 0; v < kVecs; ++v) acc[v] = S::load(a.src + places[0] + c + v * S::kLanes) * weights[0];
  for (int64_t t = 1; t < a.taps; ++t) {
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) acc[v] += S::load(a.src + places[t] + c + v * S::kLanes) * weights[t];
  }
  ONEBYONE_UNROLL
  for (int v = 0; v < kVecs; ++v) S::store(out + c + v * S::kLanes, acc[v]);
}

// a.channels >= S::kLanes; the last vector may do some channels again.
template <class S>
void resample_pixels(const ResampleArgs<typename S::Scalar>& a) {
  constexpr int kBlock = 4;
  for (int64_t i = 0; i < a.pixels; ++i) {
    const int64_t* places = a.places + i * a.taps;
    const typename S::Scalar* weights = a.weights + i * a.taps;
    typename S::Scalar* out = a.out + i * a.out_stride;
    int64_t c = 0;
    for (; c + kBlock * S::kLanes <= a.channels; c += kBlock * S::kLanes)
      resample_channels<S, kBlock>(a, places, weights, out, c);
    for (; c < a.channels; c += S::kLanes)
      resample_channels<S, 1>(a, places, weights, out,
                              c + S::kLanes <= a.channels ? c : a.channels - S::kLanes);
  }
}

template <class T, int kBytes>
void resample(const ResampleArgs<T>& args) {
  using S = Simd<T, kBytes>;
  if (args.channels >= S::kLanes) return resample_pixels<S>(args);
  if (args.channels == 1 && args.taps == 2) {
    // A row of a plane, linearly: what the loops below would spend their time on is loops.
    for (int64_t i = 0; i < args.pixels; ++i)
      args.out[i * args.out_stride] = args.src[args.places[2 * i]] * args.weights[2 * i] +
                                      args.src[args.places[2 * i + 1]] * args.weights[2 * i + 1];
    return;
  }
  resample_pixels<Simd<T, sizeof(T)>>(args);
}

}  // namespace
}  // namespace onebyone
