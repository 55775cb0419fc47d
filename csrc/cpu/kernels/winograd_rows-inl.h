// winograd_rows-inl.h - Winograd's F(4, 3) along the width alone: images of a few channels, channels last out
// of them (conv/winograd_rows.cc). Contracts: WinogradRowInputArgs, WinogradRowArgs. Points:
// winograd_points.h. Knows registers. Does not know images, padding above and below, or threads.
//
// The sums of a tile's six points stay in registers and become its four outputs there: the products over all
// rows and channels of the filter take 6 FMAs where the direct method takes 12, and 3 or 4 additions follow
// for each output. (With stride 2 half of the pixels have points: 9 FMAs for 12, which with the way back are
// no fewer.)
#pragma once

#include "activation-inl.h"
#include "kernel_table.h"
#include "simd.h"
#include "winograd-inl.h"

namespace onebyone {
namespace {

constexpr int kRowPoints = kWinogradRowOutputs + 2;

// Whether registers hold the sums of a group, as they hold `sums` of the GEMM's tile. With two tiles each
// load of a filter serves two FMAs, and 16 registers leave none for the way back: 3 -> 64 at 224x224
// takes 2.2 ms on AVX2, the direct method 1.8.
constexpr bool has_row_kernels(int bytes, int sums) {
  return bytes >= 64 || sums >= kWinogradRowTiles * kRowPoints;
}

// Numbers as input_line takes them, one by one: to sort pixels into vectors takes longer.
template <class T>
struct Single {
  using Scalar = T;
  using Vec = T;
};

template <class T>
void winograd_row_input(const WinogradRowInputArgs<T>& args) {
  constexpr int kGroup = kWinogradRowTiles;
  int64_t x = args.first;
  for (int64_t t = 0; t < args.tiles; ++t, x += kWinogradRowOutputs) {
    const bool inside = x >= 0 && x + kRowPoints <= args.width;
    T* dst = args.dst + t / kGroup * args.channels * kRowPoints * kGroup + t % kGroup;
    const T* src = args.src + x * args.src_step;
    for (int64_t c = 0; c < args.channels; ++c, src += args.src_channel, dst += kRowPoints * kGroup) {
      T d[kRowPoints], v[kRowPoints];
      if (inside) {
        ONEBYONE_UNROLL
        for (int j = 0; j < kRowPoints; ++j) d[j] = src[j * args.src_step];
      } else {
        for (int j = 0; j < kRowPoints; ++j)
          d[j] = x + j >= 0 && x + j < args.width ? src[j * args.src_step] : T(0);
      }
      input_line<Single<T>, kRowPoints>(d, v);
      ONEBYONE_UNROLL
      for (int j = 0; j < kRowPoints; ++j) dst[j * kGroup] = v[j];
    }
  }
}

template <class S, int kTiles>
struct WinogradRowTiles {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;

  static int run(const WinogradRowArgs<T>& args) {
    Vec suspect[kTiles];
    ONEBYONE_UNROLL
    for (int t = 0; t < kTiles; ++t) suspect[t] = Vec{};
    const T* filters = args.filters;
    for (int64_t c = 0; c < args.channels; c += S::kLanes) {
      Vec sums[kRowPoints][kTiles];
      filters = multiply(args, filters, c, sums);
      const int64_t rest = args.channels - c;
      if (rest >= S::kLanes)
        finish(
            args, c, sums, suspect, [](const T* p) { return S::load(p); },
            [](T* p, Vec v) { S::store(p, v); });
      else
        finish(
            args, c, sums, suspect, [rest](const T* p) { return S::load_first(p, static_cast<int>(rest)); },
            [rest](T* p, Vec v) { S::store_first(p, v, static_cast<int>(rest)); });
    }
    int wrong = 0;
    for (int t = 0; t < kTiles; ++t) wrong |= S::has_nan(suspect[t]) << t;
    return wrong;
  }

 private:
  // The sums of all tiles for the vector of channels from c on. Point 1 goes into each output once: its sum
  // begins with the bias. Returns the next vector's filters.
  static ONEBYONE_INLINE const T* multiply(const WinogradRowArgs<T>& args, const T* filters, int64_t c,
                                           Vec (&sums)[kRowPoints][kTiles]) {
    const Vec bias = args.epilogue->bias_n ? S::load(args.epilogue->bias_n + c) : Vec{};
    ONEBYONE_UNROLL
    for (int i = 0; i < kRowPoints; ++i) {
      ONEBYONE_UNROLL
      for (int t = 0; t < kTiles; ++t) sums[i][t] = i == kPointOne ? bias : Vec{};
    }
    for (int64_t r = 0; r < args.rows; ++r) {
      const T* points = args.points[r] + args.offset;
      for (int64_t k = 0; k < args.depth; ++k) {
        ONEBYONE_UNROLL
        for (int i = 0; i < kRowPoints; ++i) {
          const Vec filter = S::load(filters + i * S::kLanes);
          ONEBYONE_UNROLL
          for (int t = 0; t < kTiles; ++t) sums[i][t] += filter * points[i * kWinogradRowTiles + t];
        }
        points += kRowPoints * kWinogradRowTiles;
        filters += kRowPoints * S::kLanes;
      }
    }
    return filters;
  }

  // To outputs. The first has all finite points in it, the last infinity and all but 0.
  template <class Load, class Store>
  static ONEBYONE_INLINE void finish(const WinogradRowArgs<T>& args, int64_t c,
                                     const Vec (&sums)[kRowPoints][kTiles], Vec (&suspect)[kTiles],
                                     const Load& load, const Store& store) {
    const Activation& activation = args.epilogue->activation;
    const bool clips = activation.kind == ActivationKind::kClip;
    const T lo = static_cast<T>(activation.a), hi = static_cast<T>(activation.b);
    ONEBYONE_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      Vec x[kRowPoints], y[kWinogradRowOutputs];
      ONEBYONE_UNROLL
      for (int i = 0; i < kRowPoints; ++i) x[i] = sums[i][t];
      output_line<S, kWinogradRowOutputs, kRowPoints>(x, y);
      suspect[t] += (y[0] + y[kWinogradRowOutputs - 1]) * T(0);
      ONEBYONE_UNROLL
      for (int j = 0; j < kWinogradRowOutputs; ++j) {
        const int64_t pixel = t * kWinogradRowOutputs + j;
        if (args.residual) y[j] += load(args.residual[pixel] + c);
        if (clips) y[j] = clip<S>(y[j], lo, hi);
        store(args.out[pixel] + c, y[j]);
      }
    }
  }
};

// As many tiles as there are.
template <class S, int kTiles>
ONEBYONE_INLINE int winograd_row_tiles(const WinogradRowArgs<typename S::Scalar>& args) {
  if constexpr (kTiles > 1)
    if (args.tiles < kTiles) return winograd_row_tiles<S, kTiles - 1>(args);
  return WinogradRowTiles<S, kTiles>::run(args);
}

template <class T, int kBytes>
int winograd_row(const WinogradRowArgs<T>& args) {
  const int wrong = winograd_row_tiles<Simd<T, kBytes>, kWinogradRowTiles>(args);
  if (args.epilogue->activation.kind > ActivationKind::kClip)
    for (int64_t i = 0; i < args.tiles * kWinogradRowOutputs; ++i)
      activate<T, kBytes>(args.epilogue->activation, args.out[i], args.out[i], args.channels);
  return wrong;
}

template <class T, int kBytes, int kSums>
constexpr auto winograd_row_input_of() -> void (*)(const WinogradRowInputArgs<T>&) {
  if constexpr (has_row_kernels(kBytes, kSums))
    return &winograd_row_input<T>;
  else
    return nullptr;
}
template <class T, int kBytes, int kSums>
constexpr auto winograd_row_of() -> int (*)(const WinogradRowArgs<T>&) {
  if constexpr (has_row_kernels(kBytes, kSums))
    return &winograd_row<T, kBytes>;
  else
    return nullptr;
}

}  // namespace
}  // namespace onebyone
