// depthwise-inl.h - depthwise and narrowly grouped convolution, channels last: vectors along the output
// channels, one or two rows of pixels at a time. Contract: DepthwiseArgs. Knows registers and the edges of an
// image. Does not know threads.
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

// acc[u][t] += x(t * kStride + s) * w(u, s) for kKw neighbouring taps s of one row of x and the rows
// u = kBegin .. kEnd - 1 of outputs that see it: a column of x is loaded once for all the taps, pixels and
// rows that it meets, the weights once for all pixels. Row u's weights are at weight - u * row_step. Bit q of
// `columns`: whether column q, at x + q * step, lies in the image.
template <class S, class Load, int kRows, int kPixels, int kStride, int kKw, int kBegin, int kEnd>
ONEBYONE_INLINE void add_taps(typename S::Vec (&acc)[kRows][kPixels], const Load& load,
                              const typename S::Scalar* x, int64_t step, uint32_t columns,
                              const typename S::Scalar* weight, int64_t row_step, int64_t tap_step) {
  columns = opaque(columns);
  typename S::Vec w[kEnd - kBegin][kKw];
  ONEBYONE_UNROLL
  for (int u = kBegin; u < kEnd; ++u) {
    ONEBYONE_UNROLL
    for (int s = 0; s < kKw; ++s)
      w[u - kBegin][s] = in_register<S>(S::load(weight - u * row_step + s * tap_step));
  }
  ONEBYONE_UNROLL
  for (int q = 0; q < (kPixels - 1) * kStride + kKw; ++q) {
    const typename S::Scalar* const p = x;
    x = opaque(x + step);
    if (!(columns >> q & 1)) continue;
    const typename S::Vec v = in_register<S>(load(p));
    ONEBYONE_UNROLL
    for (int u = kBegin; u < kEnd; ++u) {
      ONEBYONE_UNROLL
      for (int t = 0; t < kPixels; ++t) {
        const int s = q - t * kStride;
        if (s >= 0 && s < kKw) acc[u][t] += v * w[u - kBegin][s];
      }
    }
  }
}

// Rows of outputs and, in `vectors` steps, the vectors of output channels that are done together.
template <class T>
struct DepthwiseBand {
  int64_t ow, kh, kw, stride, dilation, left, width, group_ic, x_stride, ld;
  int64_t stride_h, dilation_h, top, height, x_row, out_row;
  const T* x;
  bool clips;
  T lo, hi;
  int64_t vectors = 1, weight_stride = 0, vector_channels = 0;
  int64_t load_channels = 0;  // from one load of a group's channels to the next
  int64_t channel = 0;        // the first input channel
  const T *bias = nullptr, *weight = nullptr;
  T* out = nullptr;
  const T* residual = nullptr;
};

// The rows of x that one or two rows of outputs see, counted from the first of the upper window: [a, a_end)
// by the upper alone, [b, b_end) by both, [c, c_end) by the lower alone. Those in the padding are left out.
struct WindowRows {
  int64_t base;  // the row of x that 0 is
  int64_t a, a_end, b, b_end, c, c_end;
};

template <class T>
ONEBYONE_INLINE WindowRows window_rows(const DepthwiseBand<T>& a, int64_t y, int64_t rows) {
  const auto less = [](int64_t p, int64_t q) { return p < q ? p : q; };
  const auto larger = [](int64_t p, int64_t q) { return p < q ? q : p; };
  const int64_t base = y * a.stride_h - a.top, step = a.dilation_h;
  const int64_t begin = base < 0 ? (step - 1 - base) / step : 0;
  const int64_t end = base < a.height ? (a.height - base + step - 1) / step : 0;
  if (rows == 1) return {base, begin, less(end, a.kh), 0, 0, 0, 0};
  return {base,
          begin,
          less(end, less(a.kh, a.stride_h)),
          larger(begin, a.stride_h),
          less(end, a.kh),
          larger(begin, larger(a.kh, a.stride_h)),
          less(end, a.kh + a.stride_h)};
}

// Bit q: whether place + q lies in [0, width), for q < n <= 31.
ONEBYONE_INLINE uint32_t columns_within(int64_t place, int64_t width, int n) {
  const int64_t from = place < 0 ? -place : 0, to = width - place < n ? width - place : n;
  return from < to ? ((1u << to) - 1) & ~((1u << from) - 1) : 0;
}
// The same of place + q * step.
ONEBYONE_INLINE uint32_t columns_within(int64_t place, int64_t step, int64_t width, int n) {
  uint32_t bits = 0;
  for (int q = 0; q < n; ++q)
    bits |= static_cast<uint32_t>(static_cast<uint64_t>(place + q * step) < static_cast<uint64_t>(width))
            << q;
  return bits;
}

// The epilogue of a tile whose first output is at out + at.
template <class S, int kRows, int kPixels>
ONEBYONE_INLINE void finish_tile(typename S::Vec (&acc)[kRows][kPixels],
                                 const DepthwiseBand<typename S::Scalar>& a, int64_t at, int rows) {
  using T = typename S::Scalar;
  ONEBYONE_UNROLL
  for (int u = 0; u < kRows; ++u) {
    if (u >= rows) continue;
    if (a.residual) {
      const T* p = a.residual + at + u * a.out_row;
      ONEBYONE_UNROLL
      for (int t = 0; t < kPixels; ++t, p = opaque(p + a.ld)) acc[u][t] += S::load(p);
    }
    if (a.clips) {
      ONEBYONE_UNROLL
      for (int t = 0; t < kPixels; ++t) acc[u][t] = clip<S>(acc[u][t], a.lo, a.hi);
    }
    T* p = a.out + at + u * a.out_row;
    ONEBYONE_UNROLL
    for (int t = 0; t < kPixels; ++t, p = opaque(p + a.ld)) S::store(p, acc[u][t]);
  }
}

// Pixels [i, i + kPixels) of kRows rows, of which `rows` are wanted. kKw == 1 serves any kernel, stride and
// dilation, tap by tap.
template <class S, class Load, int kRows, int kPixels, int kStride, int kKw>
ONEBYONE_INLINE void depthwise_tile(const DepthwiseBand<typename S::Scalar>& a, const Load* loads,
                                    const WindowRows& window, int64_t i, int64_t y, int rows) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  constexpr int kColumns = (kPixels - 1) * kStride + kKw;
  const int64_t channels = Load::kDepthwise ? 1 : a.group_ic;
  const int64_t tap_step = channels * S::kLanes, weight_row = a.kw * tap_step;
  const int64_t row_step = weight_row * a.stride_h;
  const int64_t first = i * a.stride - a.left;
  const uint32_t columns = columns_within(first, a.width, kColumns);
  const int64_t x_row = a.x_row * a.dilation_h;
  const int64_t start = window.base * a.x_row + first * a.x_stride + a.channel;
  int64_t at = y * a.out_row + i * a.ld;
  for (int64_t v = 0; v < a.vectors; ++v) {
    const Vec bias = S::load(a.bias + v * a.weight_stride);
    Vec acc[kRows][kPixels];
    ONEBYONE_UNROLL
    for (int u = 0; u < kRows; ++u) {
      ONEBYONE_UNROLL
      for (int p = 0; p < kPixels; ++p) acc[u][p] = bias;
    }
    const T* weight = a.weight + v * a.weight_stride;
    const int64_t channel = start + v * a.vector_channels;
    const auto add_row = [&]<int kBegin, int kEnd>(int64_t f) __attribute__((always_inline)) {
      for (int64_t c = 0; c < channels; ++c) {
        const Load load = loads[c * Load::kLoads];
        const T* x = a.x + (channel + f * x_row + c * a.load_channels);
        const T* w = weight + f * weight_row + c * S::kLanes;
        if constexpr (kKw == 3 || kKw == 5)
          add_taps<S, Load, kRows, kPixels, kStride, kKw, kBegin, kEnd>(acc, load, x, a.x_stride, columns, w,
                                                                        row_step, tap_step);
        int64_t s = 0;
        if constexpr (kKw == 7)
          for (; s + kKw <= a.kw; s += kKw)
            add_taps<S, Load, kRows, kPixels, kStride, kKw, kBegin, kEnd>(
                acc, load, x + s * a.x_stride, a.x_stride,
                s ? columns_within(first + s, a.width, kColumns) : columns, w + s * tap_step, row_step,
                tap_step);
        if constexpr (kKw == 1 || kKw == 7)
          for (; s < a.kw; ++s)
            add_taps<S, Load, kRows, kPixels, 1, 1, kBegin, kEnd>(
                acc, load, x + s * a.dilation * a.x_stride, a.stride * a.x_stride,
                columns_within(first + s * a.dilation, a.stride, a.width, kPixels), w + s * tap_step,
                row_step, 0);
      }
    };
    for (int64_t f = window.a; f < window.a_end; ++f) add_row.template operator()<0, 1>(f);
    if constexpr (kRows == 2) {
      for (int64_t f = window.b; f < window.b_end; ++f) add_row.template operator()<0, 2>(f);
      for (int64_t f = window.c; f < window.c_end; ++f) add_row.template operator()<1, 2>(f);
    }
    finish_tile<S>(acc, a, at, rows);
    at += S::kLanes;
  }
}

// Rows of a tile. Two share their rows of x and make 14 sums of 7 columns: with 2 x 7 weights and a column of
// x 29 of 32 registers (AVX-512, NEON), and enough sums to hide the latency of 4 on two ports. 384 channels
// @14x14 from 0.019 to 0.012 ms, 7x7 @28x28 from 67 to 90 % of the peak (AVX-512). 16 registers hold one
// row's.
#if defined(__aarch64__)
template <class S>
constexpr int kRowsOf = 2;
#else
template <class S>
constexpr int kRowsOf = sizeof(typename S::Vec) == 64 ? 2 : 1;
#endif

// A row or two in tiles of 7 and 4 pixels, the last of which may do some pixels again: 7 divides the widths
// of most networks (7, 14, 28, 56, 112), and 7 sums, the weights of a row and a column of x fit 16 registers.
// A tile does all vectors before the next tile: memory is read from one end to the other.
template <class S, class Load, int kRows, int kStride, int kKw>
ONEBYONE_INLINE void depthwise_rows(const DepthwiseBand<typename S::Scalar>& a, const Load* loads,
                                    const WindowRows& window, int64_t y, int rows) {
  for (int64_t i = 0; i < a.ow;) {
    const int64_t rest = a.ow - i;
    if (a.ow >= 7 && rest > 4) {
      if (rest < 7) i = a.ow - 7;
      depthwise_tile<S, Load, kRows, 7, kStride, kKw>(a, loads, window, i, y, rows);
      i += 7;
    } else if (a.ow >= 4) {
      if (rest < 4) i = a.ow - 4;
      depthwise_tile<S, Load, kRows, 4, kStride, kKw>(a, loads, window, i, y, rows);
      i += 4;
    } else {
      depthwise_tile<S, Load, kRows, 1, 1, 1>(a, loads, window, i, y, rows);
      ++i;
    }
  }
}

// Rows [begin, end) of outputs.
template <class S, class Load, int kRows, int kStride, int kKw>
void depthwise_band(const DepthwiseBand<typename S::Scalar>& args, const Load* loads, int64_t begin,
                    int64_t end) {
  const DepthwiseBand<typename S::Scalar> a = args;  // a copy: no store to out can change it
  for (int64_t y = begin; y < end;) {
    const int rows = kRows == 2 && a.dilation_h == 1 && y + 1 < end ? 2 : 1;
    depthwise_rows<S, Load, kRows, kStride, kKw>(a, loads, window_rows(a, y, rows), y - begin, rows);
    y += rows;
  }
}

template <class S, class Load>
void depthwise_vectors(const DepthwiseBand<typename S::Scalar>& a, const Load* loads, int64_t begin,
                       int64_t end) {
  const int64_t stride = a.dilation == 1 ? a.stride : 0;
  if constexpr (Load::kDepthwise) {
    constexpr int kRows = kRowsOf<S>;
    if (stride == 1 && a.kw == 3) return depthwise_band<S, Load, kRows, 1, 3>(a, loads, begin, end);
    if (stride == 2 && a.kw == 3) return depthwise_band<S, Load, kRows, 2, 3>(a, loads, begin, end);
    if (stride == 1 && a.kw == 5) return depthwise_band<S, Load, kRows, 1, 5>(a, loads, begin, end);
    if (stride == 2 && a.kw == 5) return depthwise_band<S, Load, kRows, 2, 5>(a, loads, begin, end);
    if (stride == 1 && a.kw >= 7) return depthwise_band<S, Load, kRows, 1, 7>(a, loads, begin, end);
    if (stride == 2 && a.kw >= 7) return depthwise_band<S, Load, 1, 2, 7>(a, loads, begin, end);
  } else {
    if (stride == 1 && a.kw == 3) return depthwise_band<S, Load, 1, 1, 3>(a, loads, begin, end);
    if (stride == 2 && a.kw == 3) return depthwise_band<S, Load, 1, 2, 3>(a, loads, begin, end);
  }
  depthwise_band<S, Load, 1, 1, 1>(a, loads, begin, end);
}

// Row y of n <= kLanes output channels from `first` on, lane by lane: for fewer channels than a vector.
template <class S>
void depthwise_narrow(const DepthwiseBand<typename S::Scalar>& a, int64_t group_oc, int64_t first, int64_t n,
                      int64_t y, int64_t at) {
  using T = typename S::Scalar;
  for (int64_t i = 0; i < a.ow; ++i, at += a.ld)
    for (int64_t j = 0; j < n; ++j) {
      T sum = a.bias[j];
      const T* weight = a.weight + j;
      for (int64_t r = 0; r < a.kh; ++r)
        for (int64_t s = 0; s < a.kw; ++s) {
          const int64_t row = y * a.stride_h - a.top + r * a.dilation_h;
          const int64_t place = i * a.stride - a.left + s * a.dilation;
          if (row >= 0 && row < a.height && place >= 0 && place < a.width) {
            const T* x = a.x + (row * a.x_row + place * a.x_stride + (first + j) / group_oc * a.group_ic);
            for (int64_t c = 0; c < a.group_ic; ++c)
              sum += x[c] * weight[((r * a.kw + s) * a.group_ic + c) * S::kLanes];
          }
        }
      if (a.residual) sum += a.residual[at + j];
      if (a.clips) {
        sum = a.lo > sum ? a.lo : sum;
        sum = a.hi < sum ? a.hi : sum;
      }
      a.out[at + j] = sum;
    }
}

// One or more vectors whose groups are narrower than they are, rows [y, y_end) of outputs. False if a
// vector's input does not lie within kLanes channels.
template <class S>
bool spread_vectors(const DepthwiseArgs<typename S::Scalar>& args, DepthwiseBand<typename S::Scalar>& a,
                    int64_t j, int64_t y, int64_t y_end) {
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
  depthwise_vectors<S>(a, loads, y, y_end);
  return true;
}

// Rows [y, end) of a.vectors vectors of output channels from j on, n <= kLanes channels in each. May set
// a.vectors to 1 and do no more than that.
template <class S>
void depthwise_block(const DepthwiseArgs<typename S::Scalar>& args, DepthwiseBand<typename S::Scalar>& a,
                     int64_t j, int64_t n, int64_t y, int64_t end) {
  constexpr int64_t kLanes = S::kLanes;
  if (n == kLanes && args.group_ic == 1 && args.group_oc == 1) {
    const LoadChannels<S> load;
    a.channel = j;
    a.vector_channels = kLanes;
    depthwise_vectors<S>(a, &load, y, end);
  } else if (n == kLanes && j / args.group_oc == (j + a.vectors * kLanes - 1) / args.group_oc) {
    const LoadOne<S> load;
    a.channel = j / args.group_oc * args.group_ic;
    a.vector_channels = 0;
    a.load_channels = 1;
    depthwise_vectors<S>(a, &load, y, end);
  } else {
    a.vector_channels = kLanes / args.group_oc * args.group_ic;
    a.load_channels = 0;
    if (n < kLanes || !spread_vectors<S>(args, a, j, y, end)) {
      a.vectors = 1;
      for (int64_t row = y; row < end; ++row)
        depthwise_narrow<S>(a, args.group_oc, j, n, row, (row - y) * a.out_row);
    }
  }
}

template <class T, int kBytes>
void depthwise(const DepthwiseArgs<T>& args) {
  using S = Simd<T, kBytes>;
  constexpr int64_t kLanes = S::kLanes;
  const Activation& activation = args.epilogue->activation;
  // What is not a clip is applied to finished rows, while they are in L1.
  const bool activates = activation.kind > ActivationKind::kClip;
  const int64_t row_step = activates ? 2 : args.row_end - args.row_begin;
  DepthwiseBand<T> a = {.ow = args.ow,
                        .kh = args.kh,
                        .kw = args.kw,
                        .stride = args.stride,
                        .dilation = args.dilation,
                        .left = args.left,
                        .width = args.width,
                        .group_ic = args.group_ic,
                        .x_stride = args.x_stride,
                        .ld = args.ld,
                        .stride_h = args.stride_h,
                        .dilation_h = args.dilation_h,
                        .top = args.top,
                        .height = args.height,
                        .x_row = args.x_row,
                        .out_row = args.ow * args.ld,
                        .x = args.x,
                        .clips = activation.kind == ActivationKind::kClip,
                        .lo = static_cast<T>(activation.a),
                        .hi = static_cast<T>(activation.b),
                        .weight_stride = args.weight_stride};
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
    a.weight = a.bias + kLanes;
    a.out = args.out + j;
    a.residual = args.epilogue->residual ? args.epilogue->residual + j : nullptr;
    for (int64_t y = args.row_begin; y < args.row_end; y += row_step) {
      const int64_t end = args.row_end - y < row_step ? args.row_end : y + row_step;
      depthwise_block<S>(args, a, j, n, y, end);
      if (activates)
        activate_in_place<T, kBytes>(activation, a.out, (end - y) * args.ow, n + (a.vectors - 1) * kLanes,
                                     a.ld);
      a.out += (end - y) * a.out_row;
      if (a.residual) a.residual += (end - y) * a.out_row;
    }
  }
}

}  // namespace
}  // namespace onebyone
