// conv/winograd_tiles.h - how Winograd's tiles cover an image, and the filters in the tiles' points. Used by
// plan.cc and winograd.cc. Knows no kernels, caches or threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "conv/algorithm.h"
#include "conv/space_to_depth.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"

namespace onebyone {

// One side of the image: tiles of `tile` outputs, and one of `edge` at its end if they do not divide it. The
// edge's points are the first of the tile's (winograd_points.h): 14 = 4 + 4 + 4 + 2 takes 6 + 6 + 6 + 4
// products a line, not 24.
//
// Output o reads the pixels stride * o + k, so that with stride 2 it is the sum of two convolutions of stride
// 1: of every second pixel from 0 on by the filter's even taps, from 1 on by its odd ones. Both have the
// points of the longer filter, and their products are summed there: there is one way back. Where the shorter
// filter's last tap is missing, infinity takes a 0, and is left out.
struct WinogradAxis {
  int64_t out;
  int stride;  // as many phases: images of every stride-th pixel
  int taps;    // of a phase's filter, the longer ones
  int longer;  // phases that have so many taps: the first
  int tile, edge;

  WinogradAxis(int64_t out_size, int64_t kernel, int64_t step, int tile_size)
      : out(out_size),
        stride(static_cast<int>(step)),
        taps(static_cast<int>(ceil_div(kernel, step))),
        longer(static_cast<int>(kernel - (taps - 1) * step)),
        tile(static_cast<int>(std::min<int64_t>(tile_size, std::max<int64_t>(out_size, 1)))),
        edge(static_cast<int>(out_size % tile)) {}

  int64_t full_tiles() const { return out / tile; }
  int64_t tiles() const { return full_tiles() + (edge > 0); }
  bool at_edge(int64_t t) const { return t == full_tiles(); }
  int outputs(int64_t t) const { return at_edge(t) ? edge : tile; }
  int points_of(int outputs) const { return outputs + taps - 1; }
  int points() const { return points_of(tile); }
  int edge_points() const { return edge > 0 ? points_of(edge) : points(); }
  // Points along this side, of all tiles.
  int64_t all_points() const { return full_tiles() * points() + (edge > 0 ? edge_points() : 0); }

  // The phases that have the point, the first of all; of the points before it.
  int phases(int point) const { return point == 0 ? longer : stride; }
  int phases_before(int point) const { return point == 0 ? 0 : longer + (point - 1) * stride; }
  // Products along this side: of a tile, of all tiles.
  int products() const { return phases_before(points()); }
  int64_t all_products() const {
    return full_tiles() * products() + (edge > 0 ? phases_before(edge_points()) : 0);
  }
};

// What the tiles cover: the convolution itself, or what it becomes (space_to_depth.h).
inline ConvGeometry winograd_geometry(const ConvGeometry& g) {
  return folds_space_to_depth(g) ? space_to_depth(g) : g;
}

// Largest tile that the kernels serve for a side of the filter; 0 if none.
int largest_winograd_tile(int64_t kernel, int64_t stride);

// Both sides, and how V and the filters hold the channels of a group: those of a point's phases lie side by
// side, in an order that makes them a range of the whole tile's, so that a single GEMM sums them.
struct WinogradTiles {
  WinogradAxis high, wide;
  int64_t channels;
  int64_t row;  // from a phase to the next: whole vectors if there are several

  WinogradTiles(const ConvGeometry& g, int tile_h, int tile_w, int lanes)
      : high(g.oh, g.kh, g.stride.h, tile_h),
        wide(g.ow, g.kw, g.stride.w, tile_w),
        channels(g.group_ic()),
        row(phases() > 1 ? round_up(channels, lanes) : channels) {}

  int phases() const { return high.stride * wide.stride; }
  int64_t points() const { return int64_t{high.points()} * wide.points(); }

  // The place of a phase among all. With stride 2 along both sides (odd, even) comes before (even, even),
  // (even, odd) and (odd, odd) of (width, height): the first two have infinity's points of the height, the
  // second and third those of the width.
  int place(int phase_h, int phase_w) const {
    return phase_h * wide.stride + (phase_h == 0 ? wide.stride - 1 - phase_w : phase_w);
  }
  // A point's phases: as many, from this place on.
  int first_place(int w) const { return wide.stride - wide.phases(w); }
  int phases(int h, int w) const { return high.phases(h) * wide.phases(w); }
  // The length of its products' sums.
  int64_t depth(int h, int w) const { return (phases(h, w) - 1) * row + channels; }

  // Rows of filters before the point; of all points.
  int64_t filter_row(int h, int w) const {
    return row * (int64_t{high.phases_before(h)} * wide.products() +
                  int64_t{high.phases(h)} * wide.phases_before(w));
  }
  int64_t filter_rows() const { return row * high.products() * wide.products(); }
};

// The filters G g G^T, made in float64: [group][panel of nr output channels][row][nr], rows by WinogradTiles:
// [point h][point w][phase][channel]. Zeros past group_oc.
template <class T>
AlignedBuffer<T> winograd_filters(const ConvGeometry& g, const ImageView<const T>& weight,
                                  const WinogradTiles& tiles, int64_t nr);

// The filters G g of 3 taps along the width alone, for tiles of kWinogradRowOutputs (WinogradRowArgs):
// [vector of `lanes` output channels][row of the filter][channel][point][lanes]. Zeros past oc.
template <class T>
AlignedBuffer<T> winograd_row_filters(const ConvGeometry& g, const ImageView<const T>& weight, int64_t lanes);

// The way back: the weights (oc, ic / groups, kh, kw) of finite filters, made in float64 from as many points
// as there are taps. Off by about one rounding of T of the filter's largest weight (relative RMS 5e-8 for
// 3x3, 6e-7 for 7x7), and 0 where they were 0: an infinity times 0 is NaN.
template <class T>
std::vector<T> winograd_weights(const ConvGeometry& g, const AlignedBuffer<T>& filters,
                                const WinogradTiles& tiles, int64_t nr);

}  // namespace onebyone
