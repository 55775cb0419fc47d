// winograd-inl.h - Winograd's input and output transforms of one tile, channels last: vectors along the
// channels. Contracts: WinogradInputArgs, WinogradOutputArgs. Points: winograd_points.h. Knows registers.
// Does not know images, padding (its pixels point at zeros), filters or threads.
//
// Both are separable: lines along the tile's height, then along its width, the tile between them in L1.
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"
#include "winograd_points.h"

namespace onebyone {
namespace {

// A polynomial, lowest coefficient first; the leading one is 1.
struct Polynomial {
  double c[kWinogradPoints];
  int degree;
};

// The product of (x - a_k) over points 4 <= k < n but `skip1` and `skip2`.
constexpr Polynomial product_of_roots(int n, int skip1 = -1, int skip2 = -1) {
  Polynomial p{{1}, 0};
  for (int k = 4; k < n; ++k) {
    if (k == skip1 || k == skip2) continue;
    ++p.degree;
    for (int i = p.degree; i >= 0; --i)
      p.c[i] = (i > 0 ? p.c[i - 1] : 0) - (i < p.degree ? kWinogradPoint[k] * p.c[i] : 0);
  }
  return p;
}

template <class S, double kC>
ONEBYONE_INLINE typename S::Vec times(typename S::Vec x) {
  if constexpr (kC == 1)
    return x;
  else if constexpr (kC == -1)
    return -x;
  else
    return x * static_cast<typename S::Scalar>(kC);
}

// v + c * x; the constant decides what it costs.
template <class S, double kC>
ONEBYONE_INLINE typename S::Vec add_times(typename S::Vec v, typename S::Vec x) {
  if constexpr (kC == 0)
    return v;
  else if constexpr (kC == 1)
    return v + x;
  else if constexpr (kC == -1)
    return v - x;
  else
    return v + x * static_cast<typename S::Scalar>(kC);
}

// sum + kP.c[0] x[0] + ... + kP.c[kI] x[kI].
template <class S, Polynomial kP, int kI>
ONEBYONE_INLINE typename S::Vec add_polynomial(typename S::Vec sum, const typename S::Vec* x) {
  if constexpr (kI < 0)
    return sum;
  else
    return add_polynomial<S, kP, kI - 1>(add_times<S, kP.c[kI]>(sum, x[kI]), x);
}
template <class S, Polynomial kP>
ONEBYONE_INLINE typename S::Vec polynomial(const typename S::Vec* x) {
  return add_polynomial<S, kP, kP.degree - 1>(x[kP.degree], x);
}

// What the row of point i still has to be multiplied with: its filters were divided by winograd_filter_scale.
constexpr double input_scale(int i, int n) { return winograd_filter_scale(i) / winograd_denominator(i, n); }

// The rows of points kA and kB, and of kA alone if it is the last of kN: with u = p(x), v = x p(x) for the
// polynomial p of all other points, they are v - b u and v - a u. e[k] = x^k (x^2 - 1).
template <class S, int kN, int kA>
ONEBYONE_INLINE void input_pair(const typename S::Vec* e, typename S::Vec* v) {
  using Vec = typename S::Vec;
  constexpr int kB = kA + 1;
  constexpr double kScaleA = input_scale(kA, kN);
  if constexpr (kB < kN) {
    constexpr double kScaleB = input_scale(kB, kN);
    constexpr Polynomial kRest = product_of_roots(kN, kA, kB);
    const Vec u = polynomial<S, kRest>(e + 1), w = polynomial<S, kRest>(e + 2);
    v[kA] = add_times<S, -kWinogradPoint[kB] * kScaleA>(times<S, kScaleA>(w), u);
    v[kB] = add_times<S, -kWinogradPoint[kA] * kScaleB>(times<S, kScaleB>(w), u);
  } else {
    v[kA] = times<S, kScaleA>(polynomial<S, product_of_roots(kN, kA)>(e + 1));
  }
}

// v = B^T d, point by point: the coefficients of the product of (x - a_k) over the other points.
template <class S, int kN>
ONEBYONE_INLINE void input_line(const typename S::Vec* d, typename S::Vec* v) {
  using Vec = typename S::Vec;
  if constexpr (kN == 1) {
    v[0] = d[0];
  } else if constexpr (kN == 2) {
    v[0] = d[1];
    v[1] = times<S, input_scale(1, 2)>(d[0]);
  } else if constexpr (kN == 3) {
    v[0] = d[2] - d[1];
    v[1] = times<S, input_scale(1, 3)>(d[1] - d[0]);
    v[2] = times<S, input_scale(2, 3)>(d[1]);
  } else {
    // t[k] = x^k times the points past 1 and -1.
    Vec t[4];
    ONEBYONE_UNROLL
    for (int k = 0; k < 4; ++k) t[k] = polynomial<S, product_of_roots(kN)>(d + k);
    v[0] = t[3] - t[1];
    v[1] = times<S, input_scale(1, kN)>(t[2] - t[0]);
    v[2] = times<S, input_scale(2, kN)>(t[2] + t[1]);
    v[3] = times<S, input_scale(3, kN)>(t[2] - t[1]);
    if constexpr (kN > 4) {
      Vec e[kN - 2];
      ONEBYONE_UNROLL
      for (int k = 1; k < kN - 2; ++k) e[k] = d[k + 2] - d[k];
      input_pair<S, kN, 4>(e, v);
      if constexpr (kN > 6) input_pair<S, kN, 6>(e, v);
    }
  }
}

constexpr double power(double a, int n) { return n == 0 ? 1 : a * power(a, n - 1); }

// y[kI] += a^kI x[kJ] for the points kJ from 4 on; 1/2 and -1/2, 2 and -2 share their sums where all are
// there.
template <class S, int kN, int kI, int kJ = 4>
ONEBYONE_INLINE typename S::Vec output_points(typename S::Vec y, const typename S::Vec* x) {
  if constexpr (kJ >= kN) {
    return y;
  } else if constexpr (kN == 8) {
    const typename S::Vec half = kI % 2 ? x[4] - x[7] : x[4] + x[7];
    const typename S::Vec two = kI % 2 ? x[6] - x[5] : x[6] + x[5];
    return add_times<S, power(2, kI)>(add_times<S, power(0.5, kI)>(y, half), two);
  } else {
    return output_points<S, kN, kI, kJ + 1>(add_times<S, power(kWinogradPoint[kJ], kI)>(y, x[kJ]), x);
  }
}

// y = A^T x: output i is the sum of a_k^i x[k], the last one with infinity's.
template <class S, int kM, int kN, int kI = 0>
ONEBYONE_INLINE void output_line(const typename S::Vec* x, typename S::Vec* y) {
  if constexpr (kN == 1) {
    y[0] = x[0];
  } else if constexpr (kI < kM) {
    typename S::Vec sum{};
    if constexpr (kN == 3) sum = x[2];
    if constexpr (kN > 3) sum = kI % 2 ? x[2] - x[3] : x[2] + x[3];
    if constexpr (kI == 0 && kN == 2) sum = x[1];
    if constexpr (kI == 0 && kN > 2) sum += x[1];
    sum = output_points<S, kN, kI>(sum, x);
    y[kI] = kI == kM - 1 ? sum + x[0] : sum;
    output_line<S, kM, kN, kI + 1>(x, y);
  }
}

// Vectors of channels transformed together, so that their pixels' pointers are loaded once: two lines of
// memory.
constexpr int kTileVecs = 4;

// The tile between the two passes: [line][point][vector].
template <class S>
struct TileBuffer {
  typename S::Vec at[kWinogradPoints][kWinogradPoints][kTileVecs];
};

// Along the height: pixels -> tile. Vectors [0, vecs) from `offset`, of the last one `lanes` lanes. Infinity
// is the first point and the only one that the last pixel of a line goes into.
template <class S, int kN, bool kInfinity>
__attribute__((noinline)) void input_height(const WinogradInputArgs<typename S::Scalar>& args, int64_t offset,
                                            int vecs, int lanes, TileBuffer<S>& tile) {
  using Vec = typename S::Vec;
  // Copied, because a store to the tile could change args for all that the compiler knows.
  const int64_t src_w = args.src_w, ahead = args.ahead;
  constexpr int kPixels = kInfinity ? kN : kN - 1;
  const typename S::Scalar *rows[kN], *const zeros = args.zeros + offset;
  int64_t steps[kN];
  ONEBYONE_UNROLL
  for (int i = 0; i < kPixels; ++i) {
    const bool inside = i >= args.top && i < args.bottom;
    rows[i] = inside ? args.src + i * args.src_h + offset : zeros;
    steps[i] = inside ? src_w : 0;
  }
  for (int j = 0, pixels = args.infinity_w ? args.nw : args.nw - 1; j < pixels; ++j) {
    const bool inside = j >= args.left && j < args.right;
    const typename S::Scalar* p[kN];
    ONEBYONE_UNROLL
    for (int i = 0; i < kPixels; ++i) p[i] = inside ? rows[i] + j * steps[i] : zeros;
    if (inside) {
      ONEBYONE_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        __builtin_prefetch(p[i] + ahead);
        __builtin_prefetch(p[i] + ahead + 2 * S::kLanes);
      }
    }
    for (int c = 0; c < vecs; ++c) {
      Vec d[kN], v[kN];
      d[kN - 1] = Vec{};
      if (lanes == S::kLanes) {
        ONEBYONE_UNROLL
        for (int i = 0; i < kPixels; ++i) d[i] = S::load(p[i] + c * S::kLanes);
      } else {
        for (int i = 0; i < kPixels; ++i) d[i] = S::load_first(p[i] + c * S::kLanes, lanes);
      }
      input_line<S, kN>(d, v);
      ONEBYONE_UNROLL
      for (int i = kN - kPixels; i < kN; ++i) tile.at[i][j][c] = v[i];
    }
  }
}

// Along the width: tile -> dst.
template <class S, int kN, bool kInfinity>
__attribute__((noinline)) void input_width(const WinogradInputArgs<typename S::Scalar>& args, int64_t offset,
                                           int vecs, const TileBuffer<S>& tile) {
  using Vec = typename S::Vec;
  constexpr int kPixels = kInfinity ? kN : kN - 1;
  for (int i = args.infinity_h ? 0 : 1; i < args.nh; ++i) {
    typename S::Scalar* dst = args.dst + i * args.stride_h + offset;
    for (int c = 0; c < vecs; ++c, dst += S::kLanes) {
      Vec d[kN], v[kN];
      d[kN - 1] = Vec{};
      ONEBYONE_UNROLL
      for (int j = 0; j < kPixels; ++j) d[j] = tile.at[i][j][c];
      input_line<S, kN>(d, v);
      ONEBYONE_UNROLL
      for (int j = kN - kPixels; j < kN; ++j) S::store(dst + j * args.stride_w, v[j]);
    }
  }
}

// Along the height: src -> tile.
template <class S, int kM, int kN>
__attribute__((noinline)) void output_height(const WinogradOutputArgs<typename S::Scalar>& args,
                                             int64_t offset, int vecs, TileBuffer<S>& tile) {
  using Vec = typename S::Vec;
  for (int j = 0; j < args.nw; ++j) {
    const typename S::Scalar* src = args.src + j * args.stride_w + offset;
    for (int c = 0; c < vecs; ++c, src += S::kLanes) {
      Vec x[kN], y[kM];
      ONEBYONE_UNROLL
      for (int i = 0; i < kN; ++i) x[i] = S::load(src + i * args.stride_h);
      output_line<S, kM, kN>(x, y);
      ONEBYONE_UNROLL
      for (int i = 0; i < kM; ++i) tile.at[i][j][c] = y[i];
    }
  }
}

// Along the width: tile -> out, with the epilogue. Returns a vector that is 0 unless a sum was not finite.
template <class S, int kM, int kN>
__attribute__((noinline)) typename S::Vec output_width(const WinogradOutputArgs<typename S::Scalar>& args,
                                                       int64_t offset, int vecs, int lanes,
                                                       const TileBuffer<S>& tile) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  const Epilogue<T>& e = *args.epilogue;
  const bool clips = e.activation.kind == ActivationKind::kClip;
  const T lo = static_cast<T>(e.activation.a), hi = static_cast<T>(e.activation.b);
  const auto load = [lanes](const T* p) { return lanes == S::kLanes ? S::load(p) : S::load_first(p, lanes); };
  Vec suspect{};
  for (int i = 0; i < args.mh; ++i) {
    int64_t at = i * args.out_h + offset;
    for (int c = 0; c < vecs; ++c, at += S::kLanes) {
      Vec x[kN], y[kM];
      ONEBYONE_UNROLL
      for (int j = 0; j < kN; ++j) x[j] = tile.at[i][j][c];
      output_line<S, kM, kN>(x, y);
      const Vec bias = e.bias_n ? S::load(e.bias_n + offset + c * S::kLanes) : Vec{};
      ONEBYONE_UNROLL
      for (int j = 0; j < kM; ++j) {
        if (args.next_out) __builtin_prefetch(args.out + args.next_out + at + j * args.out_w, 1);
        suspect += y[j] * T(0);
        y[j] += bias;
        if (e.residual) y[j] += load(e.residual + at + j * args.out_w);
        if (clips) y[j] = clip<S>(y[j], lo, hi);
        if (lanes == S::kLanes)
          S::store(args.out + at + j * args.out_w, y[j]);
        else
          S::store_first(args.out + at + j * args.out_w, y[j], lanes);
      }
    }
  }
  return suspect;
}

// The passes by number of points (of the input with infinity or without) and outputs. Filters of 2 to 5 and
// 7 taps (and 1: no transform along that side).
template <class S>
struct WinogradPasses {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  void (*input_height[2][kWinogradPoints + 1])(const WinogradInputArgs<T>&, int64_t, int, int,
                                               TileBuffer<S>&);
  void (*input_width[2][kWinogradPoints + 1])(const WinogradInputArgs<T>&, int64_t, int,
                                              const TileBuffer<S>&);
  void (*output_height[kWinogradPoints + 1][kWinogradPoints + 1])(const WinogradOutputArgs<T>&, int64_t, int,
                                                                  TileBuffer<S>&);
  Vec (*output_width[kWinogradPoints + 1][kWinogradPoints + 1])(const WinogradOutputArgs<T>&, int64_t, int,
                                                                int, const TileBuffer<S>&);

  constexpr WinogradPasses() : input_height{}, input_width{}, output_height{}, output_width{} {
    add_points<1>();
  }

 private:
  template <int kN>
  constexpr void add_points() {
    input_height[true][kN] = &onebyone::input_height<S, kN, true>;
    input_width[true][kN] = &onebyone::input_width<S, kN, true>;
    if constexpr (kN > 1) {
      input_height[false][kN] = &onebyone::input_height<S, kN, false>;
      input_width[false][kN] = &onebyone::input_width<S, kN, false>;
    }
    add_filter<kN, 1>();
    if constexpr (kN < kWinogradPoints) add_points<kN + 1>();
  }
  template <int kN, int kTaps>
  constexpr void add_filter() {
    constexpr int kM = kN + 1 - kTaps;
    if constexpr (kM >= 1 && (kN == 1 || (kTaps > 1 && winograd_serves_taps(kTaps)))) {
      output_height[kM][kN] = &onebyone::output_height<S, kM, kN>;
      output_width[kM][kN] = &onebyone::output_width<S, kM, kN>;
    }
    if constexpr (kTaps < kN) add_filter<kN, kTaps + 1>();
  }
};

// How many vectors of the `rest` channels go together, and the lanes of the last one.
struct Chunk {
  int vecs, lanes;
};
template <class S>
ONEBYONE_INLINE Chunk next_chunk(int64_t rest) {
  if (rest < S::kLanes) return {1, static_cast<int>(rest)};
  return {rest >= kTileVecs * S::kLanes ? kTileVecs : static_cast<int>(rest / S::kLanes), S::kLanes};
}

template <class T, int kBytes>
void winograd_input(const WinogradInputArgs<T>& args) {
  using S = Simd<T, kBytes>;
  static constexpr WinogradPasses<S> passes;
  TileBuffer<S> tile;
  for (int64_t c = 0; c < args.channels;) {
    const auto [vecs, lanes] = next_chunk<S>(args.channels - c);
    passes.input_height[args.infinity_h][args.nh](args, c, vecs, lanes, tile);
    passes.input_width[args.infinity_w][args.nw](args, c, vecs, tile);
    c += vecs * S::kLanes;
  }
}

template <class T, int kBytes>
bool winograd_output(const WinogradOutputArgs<T>& args) {
  using S = Simd<T, kBytes>;
  static constexpr WinogradPasses<S> passes;
  TileBuffer<S> tile;
  typename S::Vec suspect{};
  for (int64_t c = 0; c < args.channels;) {
    const auto [vecs, lanes] = next_chunk<S>(args.channels - c);
    passes.output_height[args.mh][args.nh](args, c, vecs, tile);
    suspect += passes.output_width[args.mw][args.nw](args, c, vecs, lanes, tile);
    c += vecs * S::kLanes;
  }
  if (S::has_nan(suspect)) return false;
  if (args.epilogue->activation.kind > ActivationKind::kClip)
    for (int i = 0; i < args.mh; ++i)
      for (int j = 0; j < args.mw; ++j) {
        T* out = args.out + i * args.out_h + j * args.out_w;
        activate<T, kBytes>(args.epilogue->activation, out, out, args.channels);
      }
  return true;
}

}  // namespace
}  // namespace onebyone
