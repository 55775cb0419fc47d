// implicit_gemm_nhwc.cc - convolution as a GEMM over channels-last images. Called through conv2d.cc; calls
// Kernels::gemm.
//
//   C[pixel][oc] = sum over taps and channels of A(tap, pixel)[channel] * B[tap, channel][oc]
//
// A is not copied: a table holds pointers into x, one per pixel and row of the filter or tap
// (window_table.h). A 1x1 convolution of any stride is one tap. Where many taps see padding alone, the output
// is cut into rectangles whose pixels see the same ones, and only their blocks of k are multiplied. Knows
// cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "conv/tasks.h"
#include "conv/visible_taps.h"
#include "conv/window_table.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Half a page, and an eighth of 512 KB of L2. The order does not change the sums.
constexpr int64_t kLongRowBytes = 2048, kSmallWeightBytes = 64 * 1024;
// With vectors of 64 bytes a tile of a short sum has few cycles for its lines of C: 16 -> 96 at 112x112 takes
// 0.42 ms by rows and 0.48 by panels, others the same; on AVX2 24 -> 144 at 56x56 would take 0.29 instead of
// 0.26.
constexpr int64_t kWideLongRowBytes = 256;

template <class T>
class ImplicitGemmNhwc final : public ConvAlgorithm<T> {
 public:
  ImplicitGemmNhwc(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                   const ConvWeights<T>& weights)
      : g_(problem.geometry),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        panels_(ceil_div(g_.group_oc(), plan.nr)),
        depth_(g_.taps() * g_.group_ic()),
        segment_taps_(plan.filter_rows ? g_.kw : 1),
        rows_(plan.visible_only ? split_by_visible_taps(high_axis(g_)) : all_outputs(g_.oh, g_.kh)),
        columns_(plan.visible_only ? split_by_visible_taps(wide_axis(g_)) : all_outputs(g_.ow, g_.kw)),
        blocks_(visible_blocks()),
        rows_outside_(g_.group_oc() * kElement >=
                          (kernels.lanes * kElement < 64 ? kLongRowBytes : kWideLongRowBytes) &&
                      depth_ * g_.group_oc() * kElement <= kSmallWeightBytes),
        weight_(pack_weight_panels(g_, weights.weight, plan.nr)),
        bias_(pack_bias(g_, weights, plan.nr)),
        zeros_(segment_taps_ * g_.ic) {
    std::fill_n(zeros_.data(), zeros_.size(), T(0));
  }

  // Per row of a block: a pointer for each segment of a block of k, and room for the products.
  int64_t scratch_bytes() const override { return table_bytes() + plan_.mc * plan_.kc * kElement; }

  int64_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    run_pixels({x, residual, out, 0, weight_.data()}, g_.batch * g_.out_pixels(), threads);
  }

  // The weights are scaled, for each image anew.
  void run_scaled(const ImageView<const T>& x, const T* factors, const T* residual, T* out,
                  int threads) const override {
    if (g_.taps() * g_.groups != 1) throw std::logic_error("run_scaled: only 1x1 of one group takes factors");
    const int64_t panel = depth_ * plan_.nr, least = ceil_div(kCheapGrain, std::max<int64_t>(panel, 1));
    const int scalers = useful_threads(panels_, least, threads);
    AlignedBuffer<T> scaled(weight_.size());
    for (int64_t n = 0; n < g_.batch; ++n) {
      parallel_ranges(panels_, least, scalers, [&](int64_t begin, int64_t end) {
        for (int64_t at = begin * panel; at < end * panel; at += panel)
          kernels_.elementwise({.kind = ElementwiseKind::kMul,
                                .rows = depth_,
                                .n = plan_.nr,
                                .in = {{weight_.data() + at, plan_.nr, 1}, {factors + n * g_.ic, 1, 0}, {}},
                                .out = scaled.data() + at,
                                .out_row = plan_.nr,
                                .activation = {}});
      });
      ImageView<const T> image = x;
      image.data += n * x.sn;
      const int64_t at = n * g_.out_pixels() * step_;
      run_pixels({image, residual ? residual + at : nullptr, out + at, 0, scaled.data()}, g_.out_pixels(),
                 threads);
    }
  }

  void run_part(const ImageView<const T>& x, const T* residual, T* out, int64_t begin,
                int64_t end) const override {
    if (begin < end)
      run_task({x, residual, out, begin, weight_.data()}, {begin, end, 0, g_.groups * panels_});
  }

 private:
  static constexpr int64_t kElement = sizeof(T);

  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
    int64_t first;    // the pixel that residual and out point at
    const T* weight;  // packed
  };

  void run_pixels(const Tensors& t, int64_t pixels, int threads) const {
    const int64_t column_units = g_.groups * panels_;
    if (pixels == 0 || column_units == 0) return;
    // To the single pixel: 49 by two threads are 25 and 24, which are tiles of 8 or 9 rows. Rectangles have
    // whole rows.
    const int64_t unit = columns_.size() > 1 ? g_.ow : 1, align = columns_.size() > 1 ? 1 : plan_.mr;
    const TaskGrid grid = split_output(g_, plan_, kElement, pixels, column_units, plan_.nr, threads);
    parallel_for(grid.tasks(), threads, [&](int64_t task) {
      TaskRange range = task_range(grid, pixels / unit, column_units, align, task);
      range.row_begin *= unit;
      range.row_end *= unit;
      run_task(t, range);
    });
  }

  // Runs of pixels side by side, `rows` of them below each other, that see the same taps.
  struct Piece {
    int64_t pixel, width, rows;
    const std::vector<KBlock>& blocks;
  };

  // body(piece) for output pixels [begin, end): by image and rows that see the same taps, of these by
  // columns, whole rows together.
  template <class Body>
  void for_each_piece(int64_t begin, int64_t end, const Body& body) const {
    while (begin < end) {
      const int64_t line = begin / g_.ow, oy = line % g_.oh;
      size_t row = 0, column = 0;
      while (oy >= rows_[row].outputs.end) ++row;
      int64_t stop = end;
      if (rows_.size() > 1) stop = std::min(end, (line - oy + rows_[row].outputs.end) * g_.ow);
      const std::vector<KBlock>* blocks = &blocks_[row * columns_.size()];
      if (columns_.size() == 1) {
        body(Piece{begin, stop - begin, 1, *blocks});
        begin = stop;
        continue;
      }
      const int64_t ox = begin % g_.ow, lines = ox ? 0 : (stop - begin) / g_.ow;
      if (lines == 0) stop = std::min(stop, (line + 1) * g_.ow);
      const int64_t right = lines ? g_.ow : ox + stop - begin;
      for (const VisibleTaps& part : columns_) {
        const int64_t from = std::max(part.outputs.begin, ox), to = std::min(part.outputs.end, right);
        if (from < to) body(Piece{begin - ox + from, to - from, std::max<int64_t>(lines, 1), blocks[column]});
        ++column;
      }
      begin = lines ? begin + lines * g_.ow : stop;
    }
  }

  bool fetches() const { return fetches_ahead(weight_.bytes(), kernels_.lanes * kElement); }

  int64_t table_bytes() const {
    int64_t segments = 0;
    for (const std::vector<KBlock>& blocks : blocks_)
      for (const KBlock& block : blocks) segments = std::max(segments, block.taps);
    return round_up(plan_.mc * segments * static_cast<int64_t>(sizeof(T*)), kCacheLine);
  }

  static std::vector<VisibleTaps> all_outputs(int64_t outputs, int64_t taps) {
    return {{{0, outputs}, {0, taps}}};
  }

  // Of each rectangle of outputs, rows outside. All have the same order of sums. Outputs of padding alone
  // take the last block, for there must be one.
  std::vector<std::vector<KBlock>> visible_blocks() const {
    const int64_t segments = g_.taps() / segment_taps_, channels = segment_taps_ * g_.group_ic();
    if (!plan_.visible_only) return {split_k(segments, channels, plan_.kc)};
    const std::vector<KBlock> taps = split_k(segments, channels, std::min(plan_.kc, channels));
    std::vector<std::vector<KBlock>> visible;
    for (const VisibleTaps& rows : rows_)
      for (const VisibleTaps& columns : columns_) {
        std::vector<KBlock>& blocks = visible.emplace_back();
        for (const KBlock& block : taps)
          if (rows.taps.contains(block.tap / g_.kw) && columns.taps.contains(block.tap % g_.kw))
            blocks.push_back(block);
        if (blocks.empty()) blocks.push_back(taps.back());
      }
    return visible;
  }

  // Rows are output pixels, columns panels, counted through all groups.
  void run_task(const Tensors& t, const TaskRange& range) const {
    const WindowTable<T> table(g_, t.x, segment_taps_, zeros_.data());
    for_each_piece(range.row_begin, range.row_end, [&](const Piece& piece) {
      const int64_t at_once = std::clamp<int64_t>(plan_.mc / piece.width, 1, piece.rows);
      const int64_t row_blocks = ceil_div(piece.rows, at_once);
      const int64_t tiles = ceil_div(piece.width, plan_.mr);
      const int64_t tile_blocks = ceil_div(tiles, plan_.mc / plan_.mr);
      for (int64_t r = 0; r < row_blocks; ++r)
        for (int64_t b = 0; b < tile_blocks; ++b) {
          const int64_t row = part_begin(piece.rows, row_blocks, r);
          const int64_t column = part_begin(tiles, tile_blocks, b) * plan_.mr;
          const int64_t after = std::min(part_begin(tiles, tile_blocks, b + 1) * plan_.mr, piece.width);
          run_block(t, table,
                    {piece.pixel + row * g_.ow + column, after - column,
                     part_begin(piece.rows, row_blocks, r + 1) - row, piece.blocks},
                    range, r + 1 == row_blocks && b + 1 == tile_blocks);
        }
    });
  }

  // A piece of at most mc pixels. `ends`: the last of its piece.
  void run_block(const Tensors& t, const WindowTable<T>& table, const Piece& piece, const TaskRange& range,
                 bool ends) const {
    const auto [pixel, width, rows, blocks] = piece;
    std::byte* scratch = thread_scratch(scratch_bytes());
    const T** pointers = reinterpret_cast<const T**>(scratch);
    T* patches = reinterpret_cast<T*>(scratch + table_bytes());
    for (size_t b = 0; b < blocks.size(); ++b) {
      const KBlock& block = blocks[b];
      const auto fill = [&](int64_t group) {
        for (int64_t r = 0; r < rows; ++r)
          table.fill(pixel + r * g_.ow, width, group, block, pointers + r * width * block.taps,
                     patches + r * width * block.taps * block.channels);
      };
      const bool first = b == 0, last = b + 1 == blocks.size();
      if (table.shared_by_groups()) fill(0);
      for (int64_t panel = range.column_begin; panel < range.column_end;) {
        const int64_t group = panel / panels_, local = panel % panels_;
        // With several rows a panel at a time, which stays in cache for all of them.
        const int64_t count = rows > 1 ? 1 : std::min(panels_ - local, range.column_end - panel);
        if (!table.shared_by_groups() && (local == 0 || panel == range.column_begin)) fill(group);
        const int64_t oc = group * g_.group_oc() + local * plan_.nr;
        const int64_t k = first_product(block);
        Epilogue<T> epilogue;
        epilogue.activation = activation_;
        if (bias_.size()) epilogue.bias_n = bias_.data() + panel * plan_.nr;
        const int64_t after = panel + count;
        const T* next_b = nullptr;
        if (rows > 1 && after < range.column_end)
          next_b = weight_at(t, after, k);
        else if (last && ends && after < g_.groups * panels_)  // pieces of columns follow each other
          next_b = weight_at(t, after, 0);
        else
          next_b =
              weight_at(t, rows > 1 ? range.column_begin : panel, first_product(blocks[last ? 0 : b + 1]));
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = (pixel + r * g_.ow - t.first) * step_ + oc;
          if (t.residual) epilogue.residual = t.residual + at;
          kernels_.gemm({.m = width,
                         .n = std::min(count * plan_.nr, g_.group_oc() - local * plan_.nr),
                         .taps = block.taps,
                         .kc = block.channels,
                         .a_rows = pointers + r * width * block.taps,
                         .a_tap_stride = width,
                         .a_offset = table.shared_by_groups() ? group * g_.group_ic() : 0,
                         .b = weight_at(t, panel, k),
                         .b_panel_stride = depth_ * plan_.nr,
                         .c = t.out + at,
                         .ldc = step_,
                         .addend = first ? nullptr : t.out + at,
                         .ld_addend = step_,
                         .rows_outside = rows_outside_,
                         .epilogue = last ? &epilogue : nullptr,
                         .next_b = fetches() && r + 1 == rows ? next_b : nullptr});
        }
        panel += count;
      }
    }
  }

  const T* weight_at(const Tensors& t, int64_t panel, int64_t k) const {
    return t.weight + (panel * depth_ + k) * plan_.nr;
  }
  int64_t first_product(const KBlock& block) const {
    return block.tap * segment_taps_ * g_.group_ic() + block.channel;
  }

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;            // between pixels of out
  const int64_t panels_, depth_;  // panels per group; products per output
  const int64_t segment_taps_;
  const std::vector<VisibleTaps> rows_, columns_;  // the rectangles that outputs are cut into; one or more
  const std::vector<std::vector<KBlock>> blocks_;  // of k, by rectangle; their taps are segments
  // Where C's rows are long and B is small, writing C is most of the work, and whole rows of it are written
  // faster than a line of every row at a time: 3x3 3->512 @256 takes 4 (AVX2) to 12 % (AVX-512) less.
  const bool rows_outside_;
  const AlignedBuffer<T> weight_, bias_;
  AlignedBuffer<T> zeros_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_implicit_gemm_nhwc(const ConvProblem& problem, const ConvPlan& plan,
                                            const Kernels<T>& kernels, const ConvWeights<T>& weights) {
  return std::make_unique<ImplicitGemmNhwc<T>>(problem, plan, kernels, weights);
}

template ConvAlgorithmPtr<float> make_implicit_gemm_nhwc(const ConvProblem&, const ConvPlan&,
                                                         const Kernels<float>&, const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_implicit_gemm_nhwc(const ConvProblem&, const ConvPlan&,
                                                          const Kernels<double>&, const ConvWeights<double>&);

}  // namespace onebyone
