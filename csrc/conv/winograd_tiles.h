// conv/winograd_tiles.h - how Winograd's tiles cover an image, and the filters in the tiles' points. Used by
// plan.cc and winograd.cc. Knows no kernels, caches or threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "conv/algorithm.h"
#include "core/aligned_buffer.h"

namespace onebyone {

// One side of the image: tiles of `tile` outputs, and one of `edge` at its end if they do not divide it. The
// edge's points are the first of the tile's (winograd_points.h): 14 = 4 + 4 + 4 + 2 takes 6 + 6 + 6 + 4
// products a line, not 24.
struct WinogradAxis {
  int64_t out;
  int taps, tile, edge;

  WinogradAxis(int64_t out_size, int taps_count, int tile_size)
      : out(out_size),
        taps(taps_count),
        tile(static_cast<int>(std::min<int64_t>(tile_size, std::max<int64_t>(out_size, 1)))),
        edge(static_cast<int>(out_size % tile)) {}

  int64_t full_tiles() const { return out / tile; }
  int64_t tiles() const { return full_tiles() + (edge > 0); }
  bool at_edge(int64_t t) const { return t == full_tiles(); }
  int outputs(int64_t t) const { return at_edge(t) ? edge : tile; }
  int points(int64_t t) const { return outputs(t) + taps - 1; }
  int points() const { return tile + taps - 1; }
  int edge_points() const { return edge > 0 ? edge + taps - 1 : points(); }
  // Products along this side, of all tiles.
  int64_t products() const { return full_tiles() * points() + (edge > 0 ? edge_points() : 0); }
};

// Largest tile that the kernels serve for filters of so many taps along a side; 0 if none.
int largest_winograd_tile(int64_t taps);

// The filters G g G^T, made in float64: [group][panel of nr output channels][point h][point w][channel][nr],
// zeros past group_oc.
template <class T>
AlignedBuffer<T> winograd_filters(const ConvGeometry& g, const ImageView<const T>& weight, int points_h,
                                  int points_w, int64_t nr);

// The way back: the weights (oc, ic / groups, kh, kw) of finite filters, made in float64 from as many points
// as there are taps. Off by about one rounding of T of the filter's largest weight (relative RMS 5e-8 for
// 3x3, 6e-7 for 7x7), and 0 where they were 0: an infinity times 0 is NaN.
template <class T>
std::vector<T> winograd_weights(const ConvGeometry& g, const AlignedBuffer<T>& filters, int points_h,
                                int points_w, int64_t nr);

}  // namespace onebyone
