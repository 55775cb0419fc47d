// winograd.cc - convolution with fewer multiplications: Winograd's minimal filtering. Called through
// conv2d.cc; calls Kernels::winograd_input, gemm and winograd_output (and transpose for channels-first
// images).
//
//   a tile of m x m outputs = A^T [ (G g G^T) . (B^T d B) ] A     (Lavin and Gray, arXiv 1509.09308)
//
// By blocks of tiles: each tile's pixels become n x n points, V[point][tile][channel]; for every point a GEMM
// over the channels with the filters transformed by the plan, M[point][tile][oc]; and back. V and M stay in
// cache. Tiles cover the image exactly, smaller ones at its end; with stride 2 a point has the channels of
// several phases of the image side by side, which its GEMM sums (winograd_tiles.h). Pixels are read in place,
// padding from a row of zeros; channels-first images go through a strip of channels-last scratch. Knows cache
// blocks and tasks. Does not know SIMD or Python.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "conv/algorithm.h"
#include "conv/exact_fallback.h"
#include "conv/packing.h"
#include "conv/tasks.h"
#include "conv/winograd_tiles.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Channels that a strip of a channels-first image is transposed by: 6 rows x 30 pixels of them are 46 KB.
// Where the stride doubles the pixels, half as many.
constexpr int64_t kStripChannels = 64;
// Of an image from space to depth, for each thread at least: 115 of 12 channels are 6 KB.
constexpr int64_t kFoldedRows = 8;

template <class T>
class Winograd final : public ConvAlgorithm<T> {
 public:
  Winograd(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
           const ConvWeights<T>& weights, MakeExact<T> make_exact)
      : plain_(problem.geometry),
        g_(winograd_geometry(plain_)),
        nhwc_(problem.layout == Layout::kNhwc),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        tiles_(g_, plan.tile_h, plan.tile_w, kernels.lanes),
        high_(tiles_.high),
        wide_(tiles_.wide),
        panels_(ceil_div(g_.group_oc(), plan.nr)),
        filters_(make_filters(weights.weight)),
        bias_(pack_bias(g_, weights, plan.nr)),
        zeros_(g_.ic),
        exact_(std::move(make_exact)) {
    std::fill_n(zeros_.data(), zeros_.size(), T(0));
    // The weights cannot be made of filters that overflowed.
    const T* const begin = filters_.data();
    if (!std::all_of(begin, begin + filters_.size(), [](T v) { return std::isfinite(v); }))
      exact_.prepare(weights);
  }

  int64_t scratch_bytes() const override {
    int64_t bytes = 0;
    layout_scratch(nullptr, bytes);
    return bytes;
  }

  int64_t shared_bytes() const override { return folds() ? folded_size() * kElement : 0; }

  int64_t weight_bytes() const override { return filters_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    const int64_t tiles = g_.batch * high_.tiles() * wide_.tiles();
    const int64_t column_units = g_.groups * column_blocks();
    if (tiles == 0 || column_units == 0) return;
    const TaskGrid grid = split_output(g_, plan_, kElement, tiles, column_units, products_row(), threads);
    typename ExactFallback<T>::Flags overflowed(g_.batch);
    const AlignedBuffer<T> folded = fold(x, threads);
    const ImageView<const T> image = folds() ? dense_image(folded.data(), g_) : x;
    parallel_for(grid.tasks(), threads, [&](int64_t task) {
      run_task({image, residual, out, overflowed.data()}, task_range(grid, tiles, column_units, 1, task));
    });
    // An infinity or NaN spreads over its whole tile here: such images are convolved directly.
    exact_.run(overflowed, plain_, x, residual, out, (nhwc_ ? g_.out_pixels() : 1) * step_, threads, [this] {
      std::vector<T> weight = winograd_weights(g_, filters_, tiles_, plan_.nr);
      return typename ExactFallback<T>::Weights{folds() ? depth_to_space(plain_, weight) : std::move(weight),
                                                unpack_bias(g_, bias_, plan_.nr)};
    });
  }

 private:
  // ---- images and weights from space to depth ----

  bool folds() const { return plan_.space_to_depth; }
  int64_t folded_size() const { return g_.batch * g_.ih * g_.iw * g_.ic; }
  AlignedBuffer<T> make_filters(const ImageView<const T>& weight) const {
    if (!folds()) return winograd_filters(g_, weight, tiles_, plan_.nr);
    return winograd_filters(g_, dense_weights(space_to_depth(plain_, weight).data(), g_), tiles_, plan_.nr);
  }
  AlignedBuffer<T> fold(const ImageView<const T>& x, int threads) const {
    if (!folds()) return {};
    AlignedBuffer<T> folded(folded_size());
    parallel_ranges(g_.batch * g_.ih, kFoldedRows, threads, [&](int64_t begin, int64_t end) {
      space_to_depth(plain_, x, begin, end, folded.data());
    });
    return folded;
  }
  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
    std::atomic<bool>* overflowed;  // by image
  };
  // A tile of a block: image, its first output, and its row in V and M.
  struct Tile {
    int64_t image, oy, ox, row;
    int mh, mw;
  };
  struct Scratch {
    T *points, *products;  // V and M
    T* strip;              // channels-first: pixels of a run of tiles, channels last; before and after
    const T** rows;        // of V
    Tile* tiles;
  };

  static constexpr int64_t kElement = sizeof(T);

  // Output channels are done in blocks of whole panels.
  int64_t block_panels() const { return ceil_div(plan_.nc, plan_.nr); }
  int64_t column_blocks() const { return ceil_div(panels_, block_panels()); }
  // Between rows, and between points: odd numbers of cache lines, or the points of one tile would share L1's
  // sets.
  int64_t points_row() const { return tiles_.phases() * round_up(g_.group_ic(), kernels_.lanes); }
  int64_t products_row() const { return std::min(block_panels(), panels_) * plan_.nr; }
  int64_t point_stride(int64_t row) const { return odd_lines<T>(plan_.mc * row); }

  Scratch layout_scratch(std::byte* base, int64_t& bytes) const {
    bytes = 0;
    const auto take = [&](int64_t size) {
      return base + std::exchange(bytes, bytes + round_up(size, kCacheLine));
    };
    const int64_t element = sizeof(T);
    Scratch s;
    s.points = reinterpret_cast<T*>(take(tiles_.points() * point_stride(points_row()) * element));
    s.products = reinterpret_cast<T*>(take(tiles_.points() * point_stride(products_row()) * element));
    s.strip = reinterpret_cast<T*>(take(strip_size() * element));
    s.rows = reinterpret_cast<const T**>(take(plan_.mc * sizeof(T*)));
    s.tiles = reinterpret_cast<Tile*>(take(plan_.mc * sizeof(Tile)));
    return s;
  }

  // Pixels along the width that so many outputs read, of all phases.
  int64_t run_pixels(int64_t outputs) const { return (outputs - 1) * g_.stride.w + g_.kw; }
  int64_t strip_channels() const { return kStripChannels / g_.stride.w; }
  int64_t strip_size() const {
    const int64_t run = std::min(plan_.mc, wide_.tiles()) * wide_.tile;  // the widest of a block
    const int64_t in = high_.points() * run_pixels(run) * std::min(strip_channels(), points_row());
    return std::max(in, nhwc_ ? 0 : high_.tile * run * products_row());
  }

  // Rows are tiles, counted through rows and images, columns blocks of output channels, counted through
  // groups.
  void run_task(const Tensors& t, const TaskRange& range) const {
    const auto [begin, end, column_begin, column_end] = range;
    int64_t bytes = scratch_bytes();
    const Scratch s = layout_scratch(thread_scratch(bytes), bytes);
    const int64_t blocks = ceil_div(end - begin, plan_.mc);
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t first = begin + part_begin(end - begin, blocks, b);
      const int64_t count = begin + part_begin(end - begin, blocks, b + 1) - first;
      const Classes classes = place_tiles(first, count, s.tiles);
      for (int64_t i = 0; i < count; ++i) s.rows[i] = s.points + i * points_row();
      int64_t transformed = -1;
      for (int64_t column = column_begin; column < column_end; ++column) {
        const int64_t group = column / column_blocks(), block = column % column_blocks();
        if (group != std::exchange(transformed, group)) transform_input(t.x, group, count, s);
        const int64_t panel = part_begin(panels_, column_blocks(), block);
        const int64_t panel_end = part_begin(panels_, column_blocks(), block + 1);
        multiply(classes, group, panel, panel_end, s);
        transform_output(t, group, panel, panel_end, count, s);
      }
    }
  }

  // Rows of V in the order: tiles at the right edge, whole ones, at the bottom, in the corner. Every point's
  // tiles are a range of it: all have the points that all share, the first two the points of full height
  // alone, the second and third those of full width alone, the second those of both.
  struct Classes {
    int64_t whole, bottom, corner, end;  // where they begin
  };
  Classes place_tiles(int64_t first, int64_t count, Tile* tiles) const {
    int64_t counts[4] = {};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = first + i, tx = id % wide_.tiles(), ty = id / wide_.tiles() % high_.tiles();
      tiles[i] = {.image = id / (wide_.tiles() * high_.tiles()),
                  .oy = ty * high_.tile,
                  .ox = tx * wide_.tile,
                  .row = 0,
                  .mh = high_.outputs(ty),
                  .mw = wide_.outputs(tx)};
      ++counts[class_of(tiles[i])];
    }
    int64_t next[4] = {};
    for (int c = 1; c < 4; ++c) next[c] = next[c - 1] + counts[c - 1];
    const Classes classes{next[1], next[2], next[3], count};
    for (int64_t i = 0; i < count; ++i) tiles[i].row = next[class_of(tiles[i])]++;
    return classes;
  }
  int class_of(const Tile& tile) const {
    const bool right = tile.mw < wide_.tile, bottom = tile.mh < high_.tile;
    return bottom ? (right ? 3 : 2) : (right ? 0 : 1);
  }

  void transform_input(const ImageView<const T>& x, int64_t group, int64_t count, const Scratch& s) const {
    const int64_t channels = g_.group_ic(), first = group * channels;
    if (x.sc == 1 || g_.ic == 1) {
      for (int64_t i = 0; i < count; ++i) {
        const Tile& tile = s.tiles[i];
        for (int h = 0; h < high_.stride; ++h)
          for (int w = 0; w < wide_.stride; ++w) {
            const int64_t iy = input_row(tile, h), ix = input_column(tile, w);
            // An image without pixels, all padding, has no memory either.
            const T* src =
                x.empty() ? zeros_.data() : x.data + (tile.image * x.sn + first + iy * x.sh + ix * x.sw);
            input_tile(tile, {h, w}, {src, x.sh * g_.stride.h, x.sw * g_.stride.w}, channels, s.points);
          }
      }
      return;
    }
    for (int64_t i = 0; i < count;) {
      const int64_t run = run_of_tiles(i, count, s.tiles);
      for (int64_t c = 0; c < channels; c += strip_channels())
        for (int h = 0; h < high_.stride; ++h)
          input_strip(x, first + c, std::min(strip_channels(), channels - c), h,
                      {s.tiles + i, s.tiles + i + run}, s.points + c, s);
      i += run;
    }
  }

  // A tile's first pixel in a phase of the height, of the width.
  int64_t input_row(const Tile& tile, int phase) const { return tile.oy * g_.stride.h + phase - g_.pad.top; }
  int64_t input_column(const Tile& tile, int phase) const {
    return tile.ox * g_.stride.w + phase - g_.pad.left;
  }

  // Tiles from i on that follow each other in one row of tiles.
  int64_t run_of_tiles(int64_t i, int64_t count, const Tile* tiles) const {
    int64_t run = 1;
    while (i + run < count && tiles[i + run].ox > tiles[i].ox && tiles[i + run].oy == tiles[i].oy) ++run;
    return run;
  }

  // A run of tiles of an image whose channels lie apart, a phase of the height: their pixels, channels last,
  // then tile by tile.
  void input_strip(const ImageView<const T>& x, int64_t channel, int64_t channels, int phase_h,
                   std::pair<Tile*, Tile*> run, T* points, const Scratch& s) const {
    const Tile &front = *run.first, &back = run.second[-1];
    const int64_t left = input_column(front, 0), right = left + run_pixels(back.ox + back.mw - front.ox);
    const int64_t x_begin = std::clamp<int64_t>(left, 0, g_.iw), x_end = std::clamp(right, x_begin, g_.iw);
    const int64_t width = x_end - x_begin;
    for (int i = 0; i < high_.points_of(front.mh); ++i) {
      const int64_t y = input_row(front, phase_h) + i * g_.stride.h;
      if (y < 0 || y >= g_.ih || width == 0) continue;
      const T* src = x.data + front.image * x.sn + channel * x.sc + y * x.sh + x_begin * x.sw;
      T* dst = s.strip + i * width * channels;
      if (x.sw == 1) {
        kernels_.transpose({.rows = channels,
                            .columns = width,
                            .src = src,
                            .src_stride = x.sc,
                            .dst = dst,
                            .dst_stride = channels,
                            .residual = nullptr,
                            .activation = {},
                            .ahead = x.sh * g_.stride.h});
      } else {
        for (int64_t p = 0; p < width; ++p)
          for (int64_t c = 0; c < channels; ++c) dst[p * channels + c] = src[c * x.sc + p * x.sw];
      }
    }
    for (const Tile* tile = run.first; tile != run.second; ++tile)
      for (int w = 0; w < wide_.stride; ++w) {
        const T* src = s.strip + (input_column(*tile, w) - x_begin) * channels;
        input_tile(*tile, {phase_h, w}, {src, width * channels, channels * g_.stride.w}, channels, points);
      }
  }

  struct Phase {
    int h, w;
  };
  // The first pixel of a tile's phase, possibly outside its image, and the way to the others.
  struct Pixels {
    const T* first;
    int64_t sh, sw;
  };
  void input_tile(const Tile& tile, const Phase& phase, const Pixels& pixels, int64_t channels,
                  T* points) const {
    const int nh = high_.points_of(tile.mh), nw = wide_.points_of(tile.mw);
    // Pixels before and inside the image.
    const auto first = [](int64_t at, int64_t stride, int n) {
      return static_cast<int>(std::clamp<int64_t>(ceil_div(at, stride), 0, n));
    };
    const int64_t iy = input_row(tile, phase.h), ix = input_column(tile, phase.w);
    const int64_t stride = point_stride(points_row());
    kernels_.winograd_input(
        {.nh = nh,
         .nw = nw,
         .top = first(-iy, g_.stride.h, nh),
         .bottom = first(g_.ih - iy, g_.stride.h, nh),
         .left = first(-ix, g_.stride.w, nw),
         .right = first(g_.iw - ix, g_.stride.w, nw),
         .infinity_h = phase.h < high_.longer,
         .infinity_w = phase.w < wide_.longer,
         .src = pixels.first,
         .zeros = zeros_.data(),
         .src_h = pixels.sh,
         .src_w = pixels.sw,
         .ahead = tile.mw * pixels.sw,
         .channels = channels,
         .dst = points + tile.row * points_row() + tiles_.place(phase.h, phase.w) * tiles_.row,
         .stride_h = stride * wide_.points(),
         .stride_w = stride});
  }

  // M = V * U for every point, output channels of panels [panel, panel_end).
  void multiply(const Classes& classes, int64_t group, int64_t panel, int64_t panel_end,
                const Scratch& s) const {
    const int64_t panel_size = tiles_.filter_rows() * plan_.nr;
    const bool fetch = fetches_ahead(filters_.bytes(), kernels_.lanes * kElement);
    for (int h = 0; h < high_.points(); ++h) {
      for (int w = 0; w < wide_.points(); ++w) {
        const bool full_height = h >= high_.edge_points(), full_width = w >= wide_.edge_points();
        const int64_t begin = full_width ? classes.whole : 0;
        const int64_t end = full_height ? classes.bottom : full_width ? classes.corner : classes.end;
        if (begin >= end) continue;
        const int64_t point = h * wide_.points() + w;
        const int64_t row = tiles_.filter_row(h, w), next_row = row + tiles_.phases(h, w) * tiles_.row;
        const T* panel_b = filters_.data() + (group * panels_ + panel) * panel_size;
        kernels_.gemm({.m = end - begin,
                       .n = (panel_end - panel) * plan_.nr,
                       .taps = 1,
                       .kc = tiles_.depth(h, w),
                       .a_rows = s.rows + begin,
                       .a_tap_stride = 0,
                       .a_offset = point * point_stride(points_row()) + tiles_.first_place(w) * tiles_.row,
                       .b = panel_b + row * plan_.nr,
                       .b_panel_stride = panel_size,
                       .c = s.products + point * point_stride(products_row()) + begin * products_row(),
                       .ldc = products_row(),
                       .addend = nullptr,
                       .ld_addend = 0,
                       .rows_outside = false,
                       .epilogue = nullptr,
                       .next_b = fetch ? panel_b + next_row * plan_.nr : nullptr});
      }
    }
  }

  void transform_output(const Tensors& t, int64_t group, int64_t panel, int64_t panel_end, int64_t count,
                        const Scratch& s) const {
    const int64_t first = group * g_.group_oc() + panel * plan_.nr;
    const int64_t channels = std::min(panel_end * plan_.nr, g_.group_oc()) - panel * plan_.nr;
    Epilogue<T> epilogue;
    if (bias_.size()) epilogue.bias_n = bias_.data() + (group * panels_ + panel) * plan_.nr;
    if (nhwc_) epilogue.activation = activation_;
    for (int64_t i = 0; i < count;) {
      const int64_t run = nhwc_ ? 1 : run_of_tiles(i, count, s.tiles);
      const Tile &front = s.tiles[i], &back = s.tiles[i + run - 1];
      const int64_t width = back.ox + back.mw - front.ox;
      bool finite = true;
      for (const Tile* tile = &front; tile <= &back; ++tile) {
        if (nhwc_) {
          const int64_t at = ((tile->image * g_.oh + tile->oy) * g_.ow + tile->ox) * step_ + first;
          if (t.residual) epilogue.residual = t.residual + at;
          finite =
              output_tile(*tile, channels, s.products, t.out + at, g_.ow * step_, step_, epilogue) && finite;
        } else {
          T* out = s.strip + (tile->ox - front.ox) * channels;
          finite =
              output_tile(*tile, channels, s.products, out, width * channels, channels, epilogue) && finite;
        }
      }
      if (!finite) t.overflowed[front.image].store(true, std::memory_order_relaxed);
      for (int64_t y = 0; y < front.mh && !nhwc_; ++y) {
        const int64_t at = front.image * step_ + (first * g_.oh + front.oy + y) * g_.ow + front.ox;
        kernels_.transpose({.rows = width,
                            .columns = channels,
                            .src = s.strip + y * width * channels,
                            .src_stride = channels,
                            .dst = t.out + at,
                            .dst_stride = g_.out_pixels(),
                            .residual = t.residual ? t.residual + at : nullptr,
                            .activation = activation_});
      }
      i += run;
    }
  }

  bool output_tile(const Tile& tile, int64_t channels, const T* products, T* out, int64_t out_h,
                   int64_t out_w, const Epilogue<T>& epilogue) const {
    const int64_t stride = point_stride(products_row());
    return kernels_.winograd_output({.mh = tile.mh,
                                     .mw = tile.mw,
                                     .nh = high_.points_of(tile.mh),
                                     .nw = wide_.points_of(tile.mw),
                                     .src = products + tile.row * products_row(),
                                     .stride_h = stride * wide_.points(),
                                     .stride_w = stride,
                                     .channels = channels,
                                     .out = out,
                                     .out_h = out_h,
                                     .out_w = out_w,
                                     .next_out = nhwc_ ? tile.mw * out_w : 0,
                                     .epilogue = &epilogue});
  }

  const ConvGeometry plain_;  // as asked for
  const ConvGeometry g_;      // as the tiles cover it
  const bool nhwc_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // of out: between pixels (NHWC) or images
  const WinogradTiles tiles_;
  const WinogradAxis &high_, &wide_;
  const int64_t panels_;  // per group
  const AlignedBuffer<T> filters_, bias_;
  AlignedBuffer<T> zeros_;
  ExactFallback<T> exact_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_winograd(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                                  const ConvWeights<T>& weights, MakeExact<T> make_exact) {
  return std::make_unique<Winograd<T>>(problem, plan, kernels, weights, std::move(make_exact));
}

template ConvAlgorithmPtr<float> make_winograd(const ConvProblem&, const ConvPlan&, const Kernels<float>&,
                                               const ConvWeights<float>&, MakeExact<float>);
template ConvAlgorithmPtr<double> make_winograd(const ConvProblem&, const ConvPlan&, const Kernels<double>&,
                                                const ConvWeights<double>&, MakeExact<double>);

}  // namespace onebyone
