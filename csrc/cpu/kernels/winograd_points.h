// winograd_points.h - where Winograd's transforms evaluate their polynomials. Shared by the kernels
// (winograd-inl.h) and by the filter transform (conv/winograd_tiles.cc). Constants alone.
//
// F(m, r) makes m outputs of an r-tap filter from n = m + r - 1 products, one a point (Winograd 1980; Lavin
// and Gray, arXiv 1509.09308; the matrices are Toom and Cook's). A tile of n points uses the first n of this
// list, so a smaller tile at the edge of an image uses rows of the same transformed filters.
#pragma once

namespace onebyone {
namespace {

constexpr int kWinogradPoints = 8;

// Infinity first, then these. 1/2 beside -2: 30 % less error than 2 beside -2 (relative RMS of F(4x4, 3x3),
// 256 channels: 1.5e-6 and 2.4e-6).
constexpr double kWinogradPoint[kWinogradPoints] = {0 /* infinity */, 0, 1, -1, 0.5, -2, 2, -0.5};

// Where 1 stands among them: its product goes into each output once.
constexpr int kPointOne = 2;

// The product of (a_i - a_k) over the other finite points of a tile of n: what a transform divides by.
constexpr double winograd_denominator(int i, int n) {
  double product = 1;
  for (int k = 1; k < n; ++k)
    if (k != i) product *= kWinogradPoint[i] - kWinogradPoint[k];
  return product;
}

// Taps of a filter's side that the transforms serve; 1 is left as it is.
constexpr bool winograd_serves_taps(int taps) { return (taps >= 1 && taps <= 5) || taps == 7; }

// Filters are divided by this, fixed for each point: the denominator in tiles of six points, the most used
// (of eight for the points that six do not have), whose input transform then needs no division.
constexpr double winograd_filter_scale(int i) { return i == 0 ? 1 : winograd_denominator(i, i < 6 ? 6 : 8); }

}  // namespace
}  // namespace onebyone
