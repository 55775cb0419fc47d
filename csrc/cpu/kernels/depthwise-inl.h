// depthwise-inl.h - depthwise and narrowly grouped convolution, channels last: vectors along the output
// channels, a row of pixels at a time. Contract: DepthwiseArgs. Knows registers and the ends of a row. Does
// not know images or threads.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

// GCC would turn a vector that several FMAs use into a memory operand of each of them, and make the loads the
// limit: 21 for 21 FMAs where 9 columns do.
template <class S>
ONEBYONE_INLINE typename S::Vec in_register(typename S::Vec v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__AVX__)
  if constexpr (sizeof(v) <= 32) asm("" : "+x"(v));
#elif defined(__SSE2__)
  if constexpr (sizeof(v) <= 16) asm("" : "+x"(v));
#endif
  return v;
}

// How a vector of x is made for a vector of output channels, from a pointer to a pixel's first channel of it.
template <class S>
struct LoadChannels {               // a channel for each output channel
  static constexpr int kLoads = 0;  // the same for all channels of a group
  static constexpr bool kDepthwise = true;
  ONEBYONE_INLINE typename S::Vec operator()(const typename S::Scalar* p) const { return S::load(p); }
};
template <class S>
struct LoadOne {  // the same channel for all of them
  static constexpr int kLoads = 0;
  static constexpr bool kDepthwise = false;
  ONEBYONE_INLINE typename S::Vec operator()(const typename S::Scalar* p) const { return S::broadcast(*p); }
};
template <class S>
struct LoadSpread {  // lanes[l] of the next kLanes channels
  static constexpr int kLoads = 1;
  static constexpr bool kDepthwise = false;
  typename S::IntVec lanes;
  ONEBYONE_INLINE typename S::Vec operator()(const typename S::Scalar* p) const {
#if defined(__clang__)
    typename S::Vec v{};
    for (int l = 0; l < S::kLanes; ++l) v[l] = p[lanes[l]];
    return v;
#else
    return __builtin_shuffle(S::load(p), lanes);
#endif
  }
};

// acc[t] += x(t * kStride + s) * w(s) for kKw neighbouring taps s: a column of x is loaded once for all the
// taps and pixels that it meets, the weights once for all pixels. Column q is at x + q * step, its place in
// the image at + q * place_step; with kEdge those outside [0, width) are left out.
template <class S, class Load, int kPixels, int kStride, int kKw, bool kEdge>
ONEBYONE_INLINE void add_taps(typename S::Vec (&acc)[kPixels], const Load& load, const typename S::Scalar* x,
                              int64_t step, int64_t place, int64_t place_step, int64_t width,
                              const typename S::Scalar* weight, int64_t weight_step) {
  typename S::Vec w[kKw];
  ONEBYONE_UNROLL
  for (int s = 0; s < kKw; ++s) w[s] = in_register<S>(S::load(weight + s * weight_step));
  ONEBYONE_UNROLL
  for (int q = 0; q < (kPixels - 1) * kStride + kKw; ++q) {
    if (kEdge && static_cast<uint64_t>(place + q * place_step) >= static_cast<uint64_t>(width)) continue;
    const typename S::Vec v = in_register<S>(load(x + q * step));
    ONEBYONE_UNROLL
    for (int t = 0; t < kPixels; ++t) {
      const int s = q - t * kStride;
      if (s >= 0 && s < kKw) acc[t] += v * w[s];
    }
  }
}

// A row of pixels and, in `vectors` steps, the vectors of output channels that are done together.
template <class T>
struct DepthwiseRow {
  int64_t ow, kh, kw, stride, dilation, left, width, group_ic, x_stride, ld;
  const T* const* rows;
  bool clips;
  T lo, hi;
  int64_t vectors = 1, weight_stride = 0, vector_channels = 0;
  int64_t load_channels = 0;  // from one load of a group's channels to the next
  int64_t channel = 0;        // the first input channel
  const T *bias = nullptr, *weight = nullptr;
  T* out = nullptr;
  const T* residual = nullptr;
};

// Pixels [i, i + kPixels). kKw == 1 serves any kernel, stride and dilation, tap by tap.
template <class S, class Load, int kPixels, int kStride, int kKw, bool kEdge>
ONEBYONE_INLINE void depthwise_tile(const DepthwiseRow<typename S::Scalar>& a, const Load* loads, int64_t i,
                                    int64_t vector) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const int64_t channels = Load::kDepthwise ? 1 : a.group_ic;
  const int64_t tap_step = channels * S::kLanes;
  const int64_t first = i * a.stride - a.left;
  const int64_t channel = a.channel + vector * a.vector_channels;
  const Vec start = S::load(a.bias + vector * a.weight_stride);
  Vec acc[kPixels];
  ONEBYONE_UNROLL
  for (int p = 0; p < kPixels; ++p) acc[p] = start;
  const T* weight = a.weight + vector * a.weight_stride;
  for (int64_t r = 0; r < a.kh; ++r) {
    for (int64_t c = 0; c < channels; ++c) {
      const Load load = loads[c * Load::kLoads];
      const T* x = a.rows[r] + (first * a.x_stride + channel + c * a.load_channels);
      const T* w = weight + c * S::kLanes;
      if constexpr (kKw == 3 || kKw == 5)
        add_taps<S, Load, kPixels, kStride, kKw, kEdge>(acc, load, x, a.x_stride, first, 1, a.width, w,
                                                        tap_step);
      int64_t s = 0;
      if constexpr (kKw == 7)
        for (; s + kKw <= a.kw; s += kKw)
          add_taps<S, Load, kPixels, kStride, kKw, kEdge>(acc, load, x + s * a.x_stride, a.x_stride,
                                                          first + s, 1, a.width, w + s * tap_step, tap_step);
      if constexpr (kKw == 1 || kKw == 7)
        for (; s < a.kw; ++s)
          add_taps<S, Load, kPixels, 1, 1, kEdge>(acc, load, x + s * a.dilation * a.x_stride,
                                                  a.stride * a.x_stride, first + s * a.dilation, a.stride,
                                                  a.width, w + s * tap_step, 0);
    }
    weight += a.kw * tap_step;
  }
  const int64_t at = i * a.ld + vector * S::kLanes;
  ONEBYONE_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    if (a.residual) acc[p] += S::load(a.residual + at + p * a.ld);
    if (a.clips) acc[p] = clip<S>(acc[p], a.lo, a.hi);
    S::store(a.out + at + p * a.ld, acc[p]);
  }
}

// The row in tiles of 7 and 4 pixels, the last of which may do some pixels again: 7 divides the widths of
// most networks (7, 14, 28, 56, 112), and 7 sums, the weights of a row and a column of x fit 16 registers.
// A tile does all vectors before the next tile: memory is read from one end to the other, which takes half
// the time of a vector at a time (144 channels @56x56).
template <class S, class Load, int kStride, int kKw>
void depthwise_row(const DepthwiseRow<typename S::Scalar>& a, const Load* loads) {
  const int64_t ow = a.ow;
  for (int64_t i = 0; i < ow;) {
    const int64_t rest = ow - i;
    if (ow >= 7 && rest > 4) {
      if (rest < 7) i = ow - 7;
      const int64_t first = i * a.stride - a.left;
      if (first >= 0 && first + 6 * a.stride + (a.kw - 1) * a.dilation < a.width)
        for (int64_t v = 0; v < a.vectors; ++v)
          depthwise_tile<S, Load, 7, kStride, kKw, false>(a, loads, i, v);
      else
        for (int64_t v = 0; v < a.vectors; ++v)
          depthwise_tile<S, Load, 7, kStride, kKw, true>(a, loads, i, v);
      i += 7;
    } else if (ow >= 4) {
      if (rest < 4) i = ow - 4;
      for (int64_t v = 0; v < a.vectors; ++v) depthwise_tile<S, Load, 4, kStride, kKw, true>(a, loads, i, v);
      i += 4;
    } else {
      for (int64_t v = 0; v < a.vectors; ++v) depthwise_tile<S, Load, 1, 1, 1, true>(a, loads, i, v);
      ++i;
    }
  }
}

template <class S, class Load>
void depthwise_vectors(const DepthwiseRow<typename S::Scalar>& a, const Load* loads) {
  const int64_t stride = a.dilation == 1 ? a.stride : 0;
  if (stride == 1 && a.kw == 3) return depthwise_row<S, Load, 1, 3>(a, loads);
  if (stride == 2 && a.kw == 3) return depthwise_row<S, Load, 2, 3>(a, loads);
  if constexpr (Load::kDepthwise) {
    if (stride == 1 && a.kw == 5) return depthwise_row<S, Load, 1, 5>(a, loads);
    if (stride == 2 && a.kw == 5) return depthwise_row<S, Load, 2, 5>(a, loads);
    if (stride == 1 && a.kw >= 7) return depthwise_row<S, Load, 1, 7>(a, loads);
    if (stride == 2 && a.kw >= 7) return depthwise_row<S, Load, 2, 7>(a, loads);
  }
  depthwise_row<S, Load, 1, 1>(a, loads);
}

// n <= kLanes output channels from `first` on, lane by lane: for fewer channels than a vector.
template <class S>
void depthwise_narrow(const DepthwiseRow<typename S::Scalar>& a, int64_t group_oc, int64_t first, int64_t n) {
  using T = typename S::Scalar;
  for (int64_t i = 0; i < a.ow; ++i)
    for (int64_t j = 0; j < n; ++j) {
      T sum = a.bias[j];
      const T* weight = a.weight + j;
      for (int64_t r = 0; r < a.kh; ++r)
        for (int64_t s = 0; s < a.kw; ++s) {
          const int64_t place = i * a.stride - a.left + s * a.dilation;
          if (place >= 0 && place < a.width) {
            const T* x = a.rows[r] + (place * a.x_stride + (first + j) / group_oc * a.group_ic);
            for (int64_t c = 0; c < a.group_ic; ++c)
              sum += x[c] * weight[((r * a.kw + s) * a.group_ic + c) * S::kLanes];
          }
        }
      if (a.residual) sum += a.residual[i * a.ld + j];
      if (a.clips) {
        sum = a.lo > sum ? a.lo : sum;
        sum = a.hi < sum ? a.hi : sum;
      }
      a.out[i * a.ld + j] = sum;
    }
}

// One or more vectors whose groups are narrower than they are. False if a vector's input does not lie within
// kLanes channels.
template <class S>
bool spread_vectors(const DepthwiseArgs<typename S::Scalar>& args, DepthwiseRow<typename S::Scalar>& a,
                    int64_t j) {
  constexpr int64_t kLanes = S::kLanes;
  const int64_t begin = j / args.group_oc * args.group_ic;
  const int64_t end = ((j + kLanes - 1) / args.group_oc + 1) * args.group_ic;
  if (args.ic < kLanes || end - begin > kLanes) return false;
  LoadSpread<S> loads[kLanes];
  if (kLanes % args.group_oc != 0 || begin + (a.vectors - 1) * a.vector_channels + kLanes > args.ic)
    a.vectors = 1;
  a.channel = begin + kLanes <= args.ic ? begin : args.ic - kLanes;
  for (int64_t c = 0; c < args.group_ic; ++c)
    for (int64_t l = 0; l < kLanes; ++l)
      loads[c].lanes[l] =
          static_cast<typename S::Int>((j + l) / args.group_oc * args.group_ic + c - a.channel);
  depthwise_vectors<S>(a, loads);
  return true;
}

template <class T, int kBytes>
void depthwise(const DepthwiseArgs<T>& args) {
  using S = Simd<T, kBytes>;
  constexpr int64_t kLanes = S::kLanes;
  const Activation& activation = args.epilogue->activation;
  DepthwiseRow<T> a = {.ow = args.ow,
                       .kh = args.kh,
                       .kw = args.kw,
                       .stride = args.stride,
                       .dilation = args.dilation,
                       .left = args.left,
                       .width = args.width,
                       .group_ic = args.group_ic,
                       .x_stride = args.x_stride,
                       .ld = args.ld,
                       .rows = args.rows,
                       .clips = activation.kind == ActivationKind::kClip,
                       .lo = static_cast<T>(activation.a),
                       .hi = static_cast<T>(activation.b),
                       .weight_stride = args.weight_stride};
  const bool depthwise = args.group_ic == 1 && args.group_oc == 1;
  const int64_t run_vectors = (args.run + kLanes - 1) / kLanes;
  for (int64_t v = args.begin; v < args.end; v += a.vectors) {
    const int64_t run = v / run_vectors, in_run = v % run_vectors;
    const int64_t n = args.run < kLanes ? args.run : kLanes;
    // Vectors that follow each other whole; the one that overlaps its predecessor goes alone.
    const int64_t whole = args.run / kLanes - in_run;
    a.vectors = args.block < args.end - v ? args.block : args.end - v;
    if (a.vectors > whole) a.vectors = whole;
    const int64_t at = in_run * kLanes;
    const int64_t j = run * args.run + (whole > 0 || n < kLanes ? at : args.run - kLanes);
    if (a.vectors < 1) a.vectors = 1;
    a.bias = args.weight + v * args.weight_stride;
    a.weight = a.bias + kLanes + args.first_row * a.kw * a.group_ic * kLanes;
    a.out = args.out + j;
    a.residual = args.epilogue->residual ? args.epilogue->residual + j : nullptr;
    if (n == kLanes && depthwise) {
      const LoadChannels<S> load;
      a.channel = j;
      a.vector_channels = kLanes;
      depthwise_vectors<S>(a, &load);
    } else if (n == kLanes && j / args.group_oc == (j + a.vectors * kLanes - 1) / args.group_oc) {
      const LoadOne<S> load;
      a.channel = j / args.group_oc * args.group_ic;
      a.vector_channels = 0;
      a.load_channels = 1;
      depthwise_vectors<S>(a, &load);
    } else {
      a.vector_channels = kLanes / args.group_oc * args.group_ic;
      a.load_channels = 0;
      if (n < kLanes || !spread_vectors<S>(args, a, j)) {
        a.vectors = 1;
        depthwise_narrow<S>(a, args.group_oc, j, n);
      }
    }
    if (activation.kind > ActivationKind::kClip)
      activate_in_place<T, kBytes>(activation, a.out, args.ow, n + (a.vectors - 1) * kLanes, a.ld);
  }
}

}  // namespace
}  // namespace onebyone
