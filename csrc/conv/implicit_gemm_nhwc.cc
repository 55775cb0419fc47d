// implicit_gemm_nhwc.cc - convolution as a GEMM over channels-last images. Called through conv2d.cc; calls
// Kernels::gemm.
//
//   C[pixel][oc] = sum over taps and channels of A(tap, pixel)[channel] * B[tap, channel][oc]
//
// A is not copied: a table holds pointers into x, one per pixel and row of the filter or tap
// (window_table.h). A 1x1 convolution of any stride is one tap. Knows cache blocks and tasks. Does not know
// SIMD or Python.
#include <algorithm>

#include "conv/algorithm.h"
#include "conv/packing.h"
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
        blocks_(split_k(g_.taps() / segment_taps_, segment_taps_ * g_.group_ic(), plan.kc)),
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
    // To the single pixel: 49 by two threads are 25 and 24, which are tiles of 8 or 9 rows.
    const TaskGrid grid = split_output(g_, plan_, kElement, pixels, column_units, plan_.nr, threads);
    parallel_for(grid.tasks(), threads,
                 [&](int64_t task) { run_task(t, task_range(grid, pixels, column_units, plan_.mr, task)); });
  }

  bool fetches() const { return fetches_ahead(weight_.bytes(), kernels_.lanes * kElement); }

  int64_t table_bytes() const {
    int64_t segments = 0;
    for (const KBlock& block : blocks_) segments = std::max(segments, block.taps);
    return round_up(plan_.mc * segments * static_cast<int64_t>(sizeof(T*)), kCacheLine);
  }

  // Rows are output pixels, columns panels, counted through all groups.
  void run_task(const Tensors& t, const TaskRange& range) const {
    const auto [row_begin, row_end, panel_begin, panel_end] = range;
    std::byte* scratch = thread_scratch(scratch_bytes());
    const T** pointers = reinterpret_cast<const T**>(scratch);
    T* patches = reinterpret_cast<T*>(scratch + table_bytes());
    const WindowTable<T> table(g_, t.x, segment_taps_, zeros_.data());

    const int64_t tiles = ceil_div(row_end - row_begin, plan_.mr);
    const int64_t row_blocks = ceil_div(tiles, plan_.mc / plan_.mr);
    for (int64_t rb = 0; rb < row_blocks; ++rb) {
      const int64_t row = row_begin + part_begin(tiles, row_blocks, rb) * plan_.mr;
      const int64_t rows =
          std::min(row_end, row_begin + part_begin(tiles, row_blocks, rb + 1) * plan_.mr) - row;
      for (const KBlock& block : blocks_) {
        if (table.shared_by_groups()) table.fill(row, rows, 0, block, pointers, patches);
        for (int64_t panel = panel_begin; panel < panel_end;) {
          const int64_t group = panel / panels_, local = panel % panels_;
          const int64_t count = std::min(panels_ - local, panel_end - panel);
          if (!table.shared_by_groups()) table.fill(row, rows, group, block, pointers, patches);
          const int64_t oc = group * g_.group_oc() + local * plan_.nr;
          const int64_t at = (row - t.first) * step_ + oc;
          const int64_t k = block.tap * segment_taps_ * g_.group_ic() + block.channel;
          Epilogue<T> epilogue;
          epilogue.activation = activation_;
          if (bias_.size()) epilogue.bias_n = bias_.data() + (group * panels_ + local) * plan_.nr;
          if (t.residual) epilogue.residual = t.residual + at;
          const T* b = t.weight + ((group * panels_ + local) * depth_ + k) * plan_.nr;
          const bool last = &block == &blocks_.back();
          const T* next_b = b + (last ? -k : block.taps * block.channels) * plan_.nr;
          // Pieces of columns follow each other.
          const int64_t after = panel + count;
          if (last && rb + 1 == row_blocks && after < g_.groups * panels_)
            next_b = t.weight + after * depth_ * plan_.nr;
          kernels_.gemm({.m = rows,
                         .n = std::min(count * plan_.nr, g_.group_oc() - local * plan_.nr),
                         .taps = block.taps,
                         .kc = block.channels,
                         .a_rows = pointers,
                         .a_tap_stride = rows,
                         .a_offset = table.shared_by_groups() ? group * g_.group_ic() : 0,
                         .b = b,
                         .b_panel_stride = depth_ * plan_.nr,
                         .c = t.out + at,
                         .ldc = step_,
                         .addend = &block != &blocks_.front() ? t.out + at : nullptr,
                         .ld_addend = step_,
                         .rows_outside = rows_outside_,
                         .epilogue = last ? &epilogue : nullptr,
                         .next_b = fetches() ? next_b : nullptr});
          panel += count;
        }
      }
    }
  }

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;            // between pixels of out
  const int64_t panels_, depth_;  // panels per group; products per output
  const int64_t segment_taps_;
  const std::vector<KBlock> blocks_;  // of k; their taps are segments
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
