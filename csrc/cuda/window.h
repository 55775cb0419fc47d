// window.h - from m and k to the element of x they multiply: pixels, taps, padding. Used by every kernel.
#pragma once

#include "hardware.h"
#include "problem.h"

namespace onebyone::cuda {

// Where the windows of an output pixel begin: the element of its image's (and group's) corner, and the place
// of the first tap, which may lie in the padding.
struct Pixel {
  int64_t base;
  int32_t iy, ix;
};

template <bool kNhwc>
ONEBYONE_DEVICE int64_t image_base(const Problem& p, int64_t image, int32_t group) {
  const int64_t plane = static_cast<int64_t>(p.ih) * p.iw;
  const int64_t first = static_cast<int64_t>(group) * p.group_ic;
  return kNhwc ? image * plane * p.ic + first : (image * p.ic + first) * plane;
}

// Output pixel m; past the last one all taps are padding.
template <bool kNhwc>
ONEBYONE_DEVICE Pixel pixel_of(const Problem& p, int64_t m, int32_t group) {
  if (m >= p.m) return {0, INT32_MIN, 0};
  const int32_t plane = p.oh * p.ow;
  const int64_t image = m / plane;
  const int32_t rest = static_cast<int32_t>(m - image * plane);
  const int32_t oy = rest / p.ow, ox = rest - oy * p.ow;
  return {image_base<kNhwc>(p, image, group), oy * p.stride_h - p.pad_top, ox * p.stride_w - p.pad_left};
}

template <bool kNhwc>
ONEBYONE_DEVICE Tap tap_of(const Problem& p, int32_t k) {
  if (kNhwc) {
    const int32_t tap = k / p.group_ic, r = tap / p.kw;
    return {k - tap * p.group_ic, r, tap - r * p.kw};
  }
  const int32_t row = k / p.kw, c = row / p.kh;
  return {c, row - c * p.kh, k - row * p.kw};
}

// Adds p.step: digits with carries, no division and no loop.
template <bool kNhwc>
ONEBYONE_DEVICE void advance(const Problem& p, Tap& tap) {
  if (kNhwc) {
    tap.c += p.step.c;
    tap.s += p.step.s;
    tap.r += p.step.r;
    if (tap.c >= p.group_ic) tap.c -= p.group_ic, ++tap.s;
    if (tap.s >= p.kw) tap.s -= p.kw, ++tap.r;
  } else {
    tap.s += p.step.s;
    tap.r += p.step.r;
    tap.c += p.step.c;
    if (tap.s >= p.kw) tap.s -= p.kw, ++tap.r;
    if (tap.r >= p.kh) tap.r -= p.kh, ++tap.c;
  }
}

// The element of x, or -1 in the padding.
template <bool kNhwc>
ONEBYONE_DEVICE int64_t source(const Problem& p, const Pixel& pixel, const Tap& tap) {
  const int32_t iy = pixel.iy + tap.r * p.dilation_h, ix = pixel.ix + tap.s * p.dilation_w;
  if (iy < 0 || iy >= p.ih || ix < 0 || ix >= p.iw) return -1;
  const int64_t place = iy * p.iw + ix;
  return pixel.base + (kNhwc ? place * p.ic + tap.c : static_cast<int64_t>(tap.c) * p.ih * p.iw + place);
}

// Which tile a block computes.
struct BlockPlace {
  int32_t n_tile, m_tile, split, group;
};

ONEBYONE_DEVICE BlockPlace block_place(const Problem& p) {
  int32_t index = static_cast<int32_t>(blockIdx.x);
  BlockPlace place;
  place.n_tile = index % p.n_tiles;
  index /= p.n_tiles;
  place.m_tile = index % p.m_tiles;
  index /= p.m_tiles;
  place.split = index % p.splits;
  place.group = index / p.splits;
  return place;
}

}  // namespace onebyone::cuda
