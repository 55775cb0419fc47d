// winograd_rows.cc - convolution of images with a few channels by Winograd's minimal filtering along the
// width alone. Called through conv2d.cc; calls Kernels::winograd_row_input and winograd_row.
//
//   4 outputs of a row = A^T [ sum over the filter's rows and channels of (G g) . (B^T d) ]
//
// Tiles in both directions (winograd.cc) write each point's products and read them again, which costs more
// than they save where the sums are short; here the sums of a tile's points stay in registers until they are
// its outputs: 3x3 3 -> 512 takes 17 cycles a vector of outputs for the direct method's 30 (AVX-512, one FMA
// a cycle). Rows of the image become points once for all rows of the filter, from an image of any strides.
// Output pixels can be made in parts, so it may be the first stage of a chain. Knows rows and tasks. Does not
// know SIMD or Python.
#include <algorithm>
#include <array>
#include <vector>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "conv/winograd_tiles.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// For each task at least: the rows that two tasks see become points twice.
constexpr int64_t kTaskRows = 8;

template <class T>
class WinogradRows final : public ConvAlgorithm<T> {
 public:
  WinogradRows(const ConvProblem& problem, const Kernels<T>& kernels, const ConvWeights<T>& weights,
               const MakeExact<T>& make_exact)
      : g_(problem.geometry),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        tile_row_(ceil_div(g_.ow, kOutputs)),
        filters_(winograd_row_filters(g_, weights.weight, kernels.lanes)),
        bias_(pack_bias(g_, weights, kernels.lanes)),
        exact_(make_exact(weights)) {}

  int64_t scratch_bytes() const override {
    return (sink_size() + g_.kh * points_size()) * kElement + exact_->scratch_bytes();
  }

  int64_t weight_bytes() const override { return filters_.bytes() + bias_.bytes() + exact_->weight_bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    parallel_ranges(g_.batch * g_.oh, kTaskRows, threads, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * g_.ow * step_;
      run_part(x, residual ? residual + at : nullptr, out + at, begin * g_.ow, end * g_.ow);
    });
  }

  void run_part(const ImageView<const T>& x, const T* residual, T* out, int64_t begin,
                int64_t end) const override {
    if (begin >= end || g_.oc == 0) return;
    AlignedBuffer<T> memory(sink_size() + g_.kh * points_size());
    std::fill_n(memory.data(), sink_size(), T(0));
    Part part{.x = x,
              .residual = residual,
              .out = out,
              .begin = begin,
              .end = end,
              .sink = memory.data(),
              .kept = std::vector<int64_t>(g_.kh, -1),
              .rows = std::vector<const T*>(g_.kh)};
    const int64_t last_row = (end - 1) / g_.ow;
    if (begin / g_.ow == last_row) {
      part.first_tile = begin % g_.ow / kOutputs;
      part.end_tile = (end - 1) % g_.ow / kOutputs + 1;
    } else {
      part.end_tile = tile_row_;
    }
    for (int64_t row = begin / g_.ow; row <= last_row; ++row) write_row(part, row);
    // An infinity or NaN spreads over its whole tile here: such tiles are convolved directly.
    for (const int64_t pixel : part.wrong) {
      const int64_t row_end = (pixel / g_.ow + 1) * g_.ow;
      const int64_t from = std::max(pixel, begin), at = (from - begin) * step_;
      exact_->run_part(x, residual ? residual + at : nullptr, out + at, from,
                       std::min({pixel + kOutputs, row_end, end}));
    }
  }

 private:
  static constexpr int64_t kElement = sizeof(T), kOutputs = kWinogradRowOutputs, kGroup = kWinogradRowTiles;
  static constexpr int64_t kPoints = kOutputs + 2;

  // What one call makes, and its memory: tiles [first_tile, end_tile) of each row become points.
  struct Part {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
    int64_t begin, end;
    T* sink;                     // a pixel that nobody reads, then the rows of points
    std::vector<int64_t> kept;   // of each row of points the image's row, counted through images
    std::vector<const T*> rows;  // of points, that the filter's rows see
    int64_t first_tile = 0, end_tile = 0;
    std::vector<int64_t> wrong = {};  // the first pixel of each tile that was not finite
  };

  // ---- memory ----

  int64_t sink_size() const { return round_up(g_.oc, kCacheLine / kElement); }
  int64_t points_size() const { return odd_lines<T>(g_.ic * kPoints * round_up(tile_row_, kGroup)); }

  // ---- one row ----

  // Of the output row, counted through images, what lies in the part.
  void write_row(Part& part, int64_t row) const {
    const int64_t n = row / g_.oh, oy = row % g_.oh;
    T* const points = part.sink + sink_size();
    for (int64_t dy = 0; dy < g_.kh; ++dy) {
      const int64_t padded = oy * g_.stride.h + dy, place = padded % g_.kh;
      const int64_t id = n * (g_.oh * g_.stride.h + g_.kh) + padded;
      T* const to = points + place * points_size();
      if (part.kept[place] != id) make_points(part, n, padded - g_.pad.top, to);
      part.kept[place] = id;
      part.rows[dy] = to;
    }
    const int64_t left = std::max(part.begin - row * g_.ow, int64_t{0});
    const int64_t right = std::min(part.end - row * g_.ow, g_.ow);
    const int64_t end = ceil_div(right, kOutputs);
    for (int64_t tile = left / kOutputs; tile < end;) {
      const int64_t at = tile - part.first_tile, place = at % kGroup;
      const int64_t tiles = std::min(kGroup - place, end - tile);
      write_tiles(part, row, tile, tiles, (at - place) * kPoints * g_.ic + place, left, right);
      tile += tiles;
    }
  }

  // Row y of image n, which may lie outside.
  void make_points(const Part& part, int64_t n, int64_t y, T* points) const {
    const int64_t tiles = part.end_tile - part.first_tile;
    if (y < 0 || y >= g_.ih) {
      std::fill_n(points, round_up(tiles, kGroup) * kPoints * g_.ic, T(0));
      return;
    }
    kernels_.winograd_row_input({.tiles = tiles,
                                 .channels = g_.ic,
                                 .first = part.first_tile * kOutputs - g_.pad.left,
                                 .width = g_.iw,
                                 .src = part.x.data + n * part.x.sn + y * part.x.sh,
                                 .src_step = part.x.sw,
                                 .src_channel = part.x.sc,
                                 .dst = points});
  }

  // `tiles` from `tile` on, whose points begin at `at` of each row; pixels outside [left, right) are dropped.
  void write_tiles(Part& part, int64_t row, int64_t tile, int64_t tiles, int64_t at, int64_t left,
                   int64_t right) const {
    std::array<T*, kGroup * kOutputs> out;
    std::array<const T*, kGroup * kOutputs> residual;
    for (int64_t i = 0; i < tiles * kOutputs; ++i) {
      const int64_t column = tile * kOutputs + i;
      const bool inside = column >= left && column < right;
      const int64_t place = (row * g_.ow + column - part.begin) * step_;
      out[i] = inside ? part.out + place : part.sink;
      if (part.residual) residual[i] = inside ? part.residual + place : part.sink;
    }
    Epilogue<T> epilogue;
    epilogue.activation = activation_;
    if (bias_.size()) epilogue.bias_n = bias_.data();
    const int wrong = kernels_.winograd_row({.tiles = tiles,
                                             .rows = g_.kh,
                                             .depth = g_.ic,
                                             .channels = g_.oc,
                                             .points = part.rows.data(),
                                             .offset = at,
                                             .filters = filters_.data(),
                                             .out = out.data(),
                                             .residual = part.residual ? residual.data() : nullptr,
                                             .epilogue = &epilogue});
    for (int64_t t = 0; t < tiles; ++t)
      if (wrong >> t & 1) part.wrong.push_back(row * g_.ow + (tile + t) * kOutputs);
  }

  const ConvGeometry g_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;      // between pixels of out
  const int64_t tile_row_;  // tiles of a row
  const AlignedBuffer<T> filters_, bias_;
  const ConvAlgorithmPtr<T> exact_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_winograd_rows(const ConvProblem& problem, const Kernels<T>& kernels,
                                       const ConvWeights<T>& weights, const MakeExact<T>& make_exact) {
  return std::make_unique<WinogradRows<T>>(problem, kernels, weights, make_exact);
}

template ConvAlgorithmPtr<float> make_winograd_rows(const ConvProblem&, const Kernels<float>&,
                                                    const ConvWeights<float>&, const MakeExact<float>&);
template ConvAlgorithmPtr<double> make_winograd_rows(const ConvProblem&, const Kernels<double>&,
                                                     const ConvWeights<double>&, const MakeExact<double>&);

}  // namespace onebyone
