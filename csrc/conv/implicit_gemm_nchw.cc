// implicit_gemm_nchw.cc - convolution as a GEMM over channels-first images. Called through conv2d.cc; calls
// Kernels::pack and Kernels::gemm.
//
//   C[oc][pixel] = sum over taps and channels of A[oc][tap, channel] * B[tap, channel][pixel]
//
// A is the weights, read in place. B is the image, packed through the taps into panels of nr pixels for one
// cache block at a time: im2col that never leaves the cache. A 1x1 convolution of any stride is one tap.
// Where many rows of taps see padding alone, a block has panels that see the same ones, and the others are
// neither packed nor multiplied. Knows cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>
#include <span>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "conv/tasks.h"
#include "conv/visible_taps.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

template <class T>
class ImplicitGemmNchw final : public ConvAlgorithm<T> {
 public:
  ImplicitGemmNchw(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                   const ConvWeights<T>& weights)
      : g_(problem.geometry),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        blocks_(split_k(g_.taps(), g_.group_ic(), plan.kc)),
        weight_(pack_weight_rows(g_, weights.weight, odd_lines<T>(g_.taps() * g_.group_ic()))),
        bias_(pack_bias(g_, weights, 1)),
        rows_(g_.oc) {
    const int64_t stride = odd_lines<T>(g_.taps() * g_.group_ic());
    for (int64_t oc = 0; oc < g_.oc; ++oc) rows_[oc] = weight_.data() + oc * stride;
  }

  int64_t scratch_bytes() const override {
    return packed_bytes() + round_up(max_runs() * sizeof(Run), kCacheLine) +
           round_up(max_ops() * sizeof(PackOp), kCacheLine);
  }

  int64_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    const int64_t row_units = g_.groups * ceil_div(g_.group_oc(), plan_.mr);
    const int64_t column_units = g_.batch * ceil_div(g_.out_pixels(), plan_.nr);
    if (row_units == 0 || column_units == 0) return;
    // Pixels are the first choice to split: output channels that are split pack the same pixels twice.
    TaskGrid grid = split_tasks(column_units, row_units, threads);
    // Tasks are whole cache blocks.
    const int64_t blocks = ceil_div(ceil_div(column_units, grid.rows), plan_.nc / plan_.nr);
    grid.row_pieces = std::min(blocks, kTasksPerThread);
    parallel_for(grid.tasks(), threads, [&](int64_t task) {
      const TaskRange range = task_range(grid, column_units, row_units, 1, task);
      run_task({x, residual, out}, range.column_begin, range.column_end, range.row_begin, range.row_end);
    });
  }

 private:
  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
  };
  // Output pixels [column, column + count) of a block, all in row oy, from ox.
  struct Run {
    int64_t column, count, oy, ox;
  };

  // Row tiles [tile_begin, tile_end), counted through all groups, x pixel panels [panel_begin, panel_end),
  // counted through all images.
  void run_task(const Tensors& t, int64_t tile_begin, int64_t tile_end, int64_t panel_begin,
                int64_t panel_end) const {
    const int64_t nr = plan_.nr, image_panels = ceil_div(g_.out_pixels(), nr), max_panels = plan_.nc / nr;
    std::byte* scratch = thread_scratch(scratch_bytes());
    T* packed = reinterpret_cast<T*>(scratch);
    Run* runs = reinterpret_cast<Run*>(scratch + packed_bytes());
    PackOp* ops =
        reinterpret_cast<PackOp*>(scratch + packed_bytes() + round_up(max_runs() * sizeof(Run), kCacheLine));

    while (panel_begin < panel_end) {
      const int64_t image = panel_begin / image_panels, first = panel_begin % image_panels;
      int64_t in_image = std::min(image_panels - first, panel_end - panel_begin);
      const IndexRange rows = visible_rows(first);
      if (plan_.visible_only)
        for (int64_t n = 1; n < in_image; ++n)
          if (visible_rows(first + n) != rows) in_image = n;
      const int64_t blocks = ceil_div(in_image, max_panels);
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = first + part_begin(in_image, blocks, b);
        const int64_t panels = first + part_begin(in_image, blocks, b + 1) - begin;
        run_pixels(t, image, begin * nr, panels, rows, tile_begin, tile_end, runs, ops, packed);
      }
      panel_begin += in_image;
    }
  }

  // The rows of the filter that some pixel of the image's panel sees the image by, and those between them. A
  // panel's are chosen by the shape alone: so are the blocks that it sums.
  IndexRange visible_rows(int64_t panel) const {
    if (!plan_.visible_only) return {0, g_.kh};
    const FilterAxis high = high_axis(g_);
    const int64_t last = std::min((panel + 1) * plan_.nr, g_.out_pixels()) - 1;
    return {high.seen_by(last / g_.ow).begin, high.seen_by(panel * plan_.nr / g_.ow).end};
  }
  static bool sees(const KBlock& block, const IndexRange& taps) {
    return block.tap < taps.end && block.tap + block.taps > taps.begin;
  }

  // One cache block of pixels of one image, which see the image by these rows of the filter, for all row
  // tiles of the task.
  void run_pixels(const Tensors& t, int64_t image, int64_t pixel, int64_t panels, const IndexRange& rows,
                  int64_t tile_begin, int64_t tile_end, Run* runs, PackOp* ops, T* packed) const {
    const int64_t columns = std::min(panels * plan_.nr, g_.out_pixels() - pixel);
    const int64_t group_tiles = ceil_div(g_.group_oc(), plan_.mr);
    const int64_t run_count = split_into_runs(pixel, columns, runs);
    const IndexRange taps{rows.begin * g_.kw, rows.end * g_.kw};
    const KBlock *first = &blocks_.front(), *last = &blocks_.back();
    while (first < last && !sees(*first, taps)) ++first;
    while (last > first && !sees(*last, taps)) --last;
    for (int64_t tile = tile_begin; tile < tile_end;) {
      const int64_t group = tile / group_tiles, local = tile % group_tiles;
      const int64_t tiles = std::min(group_tiles - local, tile_end - tile);
      for (const KBlock& block : std::span(first, last + 1)) {
        pack(t.x, image, group, block, columns, {runs, runs + run_count}, ops, packed);
        const int64_t row = local * plan_.mr, oc = group * g_.group_oc() + row;
        const int64_t offset = image * step_ + oc * g_.out_pixels() + pixel;
        Epilogue<T> epilogue;
        epilogue.activation = activation_;
        if (bias_.size()) epilogue.bias_m = bias_.data() + oc;
        if (t.residual) epilogue.residual = t.residual + offset;
        kernels_.gemm({.m = std::min(g_.group_oc(), row + tiles * plan_.mr) - row,
                       .n = columns,
                       .taps = 1,
                       .kc = block.taps * block.channels,
                       .a_rows = rows_.data() + oc,
                       .a_tap_stride = 0,
                       .a_offset = block.tap * g_.group_ic() + block.channel,
                       .b = packed,
                       .b_panel_stride = panel_stride(block),
                       .c = t.out + offset,
                       .ldc = g_.out_pixels(),
                       .addend = &block != first ? t.out + offset : nullptr,
                       .ld_addend = g_.out_pixels(),
                       .rows_outside = true,
                       .epilogue = &block == last ? &epilogue : nullptr});
      }
      tile += tiles;
    }
  }

  int64_t panel_stride(const KBlock& block) const {
    return odd_lines<T>(block.taps * block.channels * plan_.nr);
  }
  int64_t packed_bytes() const {
    int64_t stride = 0;
    for (const KBlock& block : blocks_) stride = std::max(stride, panel_stride(block));
    return plan_.nc / plan_.nr * stride * static_cast<int64_t>(sizeof(T));
  }
  int64_t max_runs() const { return plan_.nc / std::max<int64_t>(g_.ow, 1) + 2; }
  // Each run is zeros, pixels and zeros, each of which may share its last vector with the next.
  int64_t max_ops() const { return plan_.nc / kernels_.lanes + 3 * max_runs() + 1; }

  int64_t split_into_runs(int64_t pixel, int64_t columns, Run* runs) const {
    int64_t count = 0;
    for (int64_t column = 0; column < columns; ++count) {
      const int64_t oy = (pixel + column) / g_.ow, ox = (pixel + column) % g_.ow;
      runs[count] = {column, std::min(g_.ow - ox, columns - column), oy, ox};
      column += runs[count].count;
    }
    return count;
  }

  // B of one block of k: for each tap the list of vectors that its pixels are, then all its channels by that
  // list.
  void pack(const ImageView<const T>& x, int64_t image, int64_t group, const KBlock& block, int64_t columns,
            std::span<const Run> runs, PackOp* ops, T* packed) const {
    const auto [low, high] = x.extent();
    const int64_t base = image * x.sn + (group * g_.group_ic() + block.channel) * x.sc;
    const int64_t k_span = (block.channels - 1) * x.sc;
    for (int64_t tap = block.tap; tap < block.tap + block.taps; ++tap) {
      OpList list{ops, 0, plan_.nr, kernels_.lanes, panel_stride(block), g_.stride.w * x.sw, 0, 0};
      // A whole vector may be read where all of its elements are x's, for every k.
      list.lowest = low - base - std::min<int64_t>(k_span, 0);
      list.highest = high - base - std::max<int64_t>(k_span, 0);
      const int64_t dy = tap / g_.kw * g_.dilation.h, dx = tap % g_.kw * g_.dilation.w;
      for (const Run& run : runs) {
        const int64_t iy = run.oy * g_.stride.h - g_.pad.top + dy;
        const int64_t ix = run.ox * g_.stride.w - g_.pad.left + dx;
        // Pixels [inside, after) of the run lie in the image, the others on padding.
        int64_t inside = std::clamp<int64_t>(ceil_div(-ix, g_.stride.w), 0, run.count);
        int64_t after = std::clamp<int64_t>(ceil_div(g_.iw - ix, g_.stride.w), inside, run.count);
        if (iy < 0 || iy >= g_.ih) inside = after = run.count;
        list.add_zeros(run.column, inside);
        list.add_pixels(run.column + inside, after - inside, iy * x.sh + (ix + inside * g_.stride.w) * x.sw);
        list.add_zeros(run.column + after, run.count - after);
      }
      // The last panel's columns past the image: zeros, so that nothing slow (a denormal) is multiplied.
      list.add_zeros(columns, round_up(columns, plan_.nr) - columns);
      kernels_.pack({.kc = block.channels,
                     .k_stride = x.sc,
                     .lane_stride = list.lane_stride,
                     .ops = ops,
                     .op_count = list.count,
                     .src = x.data + base,
                     .dst = packed + (tap - block.tap) * block.channels * plan_.nr});
    }
  }

  // Cuts runs of columns, added in ascending order, into vectors.
  struct OpList {
    PackOp* ops;
    int64_t count;
    int64_t nr, lanes, panel_stride, lane_stride;
    int64_t lowest, highest;  // offsets of the first readable element and past the last one

    void add_zeros(int64_t column, int64_t n) {
      for_each_vector(column, n, [](int64_t, PackOp& op) { op.src = kZeros; });
    }
    // Column `column` is the element at offset src.
    void add_pixels(int64_t column, int64_t n, int64_t src) {
      for_each_vector(column, n, [&](int64_t first, PackOp& op) {
        op.src = src + (first - column) * lane_stride;
        const int64_t reach = op.src + (lanes - 1) * lane_stride;
        op.whole = std::min(op.src, reach) >= lowest && std::max(op.src, reach) < highest;
      });
    }

   private:
    template <class Fill>
    void for_each_vector(int64_t column, int64_t n, const Fill& fill) {
      const int64_t end = column + n;
      for (int64_t first = column / lanes * lanes; first < end && n > 0; first += lanes) {
        PackOp& op = ops[count++];
        op.dst = static_cast<int32_t>(first / nr * panel_stride + first % nr);
        op.from = static_cast<int8_t>(std::max<int64_t>(column - first, 0));
        op.to = static_cast<int8_t>(std::min(end - first, lanes));
        op.whole = true;
        fill(first, op);
      }
    }
  };

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // between images of out
  const std::vector<KBlock> blocks_;
  const AlignedBuffer<T> weight_, bias_;
  AlignedBuffer<const T*> rows_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_implicit_gemm_nchw(const ConvProblem& problem, const ConvPlan& plan,
                                            const Kernels<T>& kernels, const ConvWeights<T>& weights) {
  return std::make_unique<ImplicitGemmNchw<T>>(problem, plan, kernels, weights);
}

template ConvAlgorithmPtr<float> make_implicit_gemm_nchw(const ConvProblem&, const ConvPlan&,
                                                         const Kernels<float>&, const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_implicit_gemm_nchw(const ConvProblem&, const ConvPlan&,
                                                          const Kernels<double>&, const ConvWeights<double>&);

}  // namespace onebyone
