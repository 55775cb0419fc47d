// implicit_gemm_nhwc.cc - convolution as a GEMM over channels-last images. Called through conv2d.cc; calls
// Kernels::gemm.
//
//   C[pixel][oc] = sum over taps and channels of A(tap, pixel)[channel] * B[tap, channel][oc]
//
// A is never copied: a table holds a pointer per tap and pixel into x (row_table.h). A 1x1 convolution of any
// stride is one tap. With few channels, or channels that are not contiguous, each pixel's taps are gathered
// into one row instead. Knows cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>
#include <cstring>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "conv/row_table.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

template <class T>
class ImplicitGemmNhwc final : public ConvAlgorithm<T> {
 public:
  ImplicitGemmNhwc(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                   const ConvWeights<T>& weights)
      : g_(problem.geometry),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        panels_(ceil_div(g_.group_oc(), plan.nr)),
        depth_(g_.taps() * g_.group_ic()),
        weight_(pack_weight_panels(g_, weights.weight, plan.nr)),
        bias_(pack_bias(g_, weights, plan.nr)),
        zeros_(g_.ic) {
    std::fill_n(zeros_.data(), zeros_.size(), T(0));
    for (const KBlock& b : split_k(g_.taps(), g_.group_ic(), plan.kc))
      table_taps_ = std::max(table_taps_, b.taps);
  }

  // Per row of a block: its pixel, a pointer for each tap of a block of k, and room for a gathered patch.
  int64_t scratch_bytes() const override {
    return plan_.mc *
               static_cast<int64_t>(sizeof(WindowPixel) + sizeof(T*) * table_taps_ + sizeof(T) * plan_.kc) +
           4 * kCacheLine;
  }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    const int64_t pixels = g_.batch * g_.out_pixels();
    const int64_t row_units = ceil_div(pixels, plan_.mr), column_units = g_.groups * panels_;
    if (row_units == 0 || column_units == 0) return;
    const TaskGrid grid = split_tasks(row_units, column_units, threads);
    parallel_for(grid.rows * grid.columns, threads, [&](int64_t task) {
      const int64_t r = task / grid.columns, c = task % grid.columns;
      run_task({x, residual, out}, part_begin(row_units, grid.rows, r) * plan_.mr,
               std::min(pixels, part_begin(row_units, grid.rows, r + 1) * plan_.mr),
               part_begin(column_units, grid.columns, c), part_begin(column_units, grid.columns, c + 1));
    });
  }

 private:
  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
  };

  // Output pixels [row_begin, row_end) x panels [panel_begin, panel_end), counted through all groups.
  void run_task(const Tensors& t, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                int64_t panel_end) const {
    const bool gather = plan_.gather_patches || (t.x.sc != 1 && g_.ic > 1);
    // A gathered row is one long tap.
    const std::vector<KBlock> blocks =
        gather ? split_k(1, depth_, plan_.kc) : split_k(g_.taps(), g_.group_ic(), plan_.kc);
    std::byte* scratch = thread_scratch(scratch_bytes());
    const auto take = [&](int64_t bytes) {
      return std::exchange(scratch, scratch + round_up(bytes, kCacheLine));
    };
    WindowPixel* pixels = reinterpret_cast<WindowPixel*>(take(plan_.mc * sizeof(WindowPixel)));
    const T** table = reinterpret_cast<const T**>(take(plan_.mc * sizeof(T*) * table_taps_));
    T* patches = reinterpret_cast<T*>(take(plan_.mc * sizeof(T) * plan_.kc));

    const int64_t tiles = ceil_div(row_end - row_begin, plan_.mr);
    const int64_t row_blocks = ceil_div(tiles, plan_.mc / plan_.mr);
    for (int64_t rb = 0; rb < row_blocks; ++rb) {
      const int64_t row = row_begin + part_begin(tiles, row_blocks, rb) * plan_.mr;
      const int64_t rows =
          std::min(row_end, row_begin + part_begin(tiles, row_blocks, rb + 1) * plan_.mr) - row;
      locate_pixels(g_, t.x, row, rows, pixels);
      const KBlock* tabled = nullptr;
      for (const KBlock& block : blocks) {
        const bool last = &block == &blocks.back();
        if (!gather && !(tabled && tabled->tap == block.tap && tabled->taps == block.taps)) {
          fill_row_table(g_, t.x, pixels, rows, block.tap, block.taps, zeros_.data(), table);
          tabled = &block;
        }
        for (int64_t panel = panel_begin; panel < panel_end;) {
          const int64_t group = panel / panels_, local = panel % panels_;
          const int64_t count = std::min(panels_ - local, panel_end - panel);
          if (gather) gather_patches(t.x, pixels, rows, group, block, table, patches);
          const int64_t oc = group * g_.group_oc() + local * plan_.nr;
          const int64_t k = block.tap * g_.group_ic() + block.channel;
          Epilogue<T> epilogue;
          epilogue.activation = activation_;
          if (bias_.size()) epilogue.bias_n = bias_.data() + (group * panels_ + local) * plan_.nr;
          if (t.residual) epilogue.residual = t.residual + row * g_.oc + oc;
          kernels_.gemm({.m = rows,
                         .n = std::min(count * plan_.nr, g_.group_oc() - local * plan_.nr),
                         .taps = block.taps,
                         .kc = block.channels,
                         .a_rows = table,
                         .a_tap_stride = rows,
                         .a_offset = gather ? 0 : group * g_.group_ic() + block.channel,
                         .b = weight_.data() + ((group * panels_ + local) * depth_ + k) * plan_.nr,
                         .b_panel_stride = depth_ * plan_.nr,
                         .c = t.out + row * g_.oc + oc,
                         .ldc = g_.oc,
                         .accumulate = &block != &blocks.front(),
                         .rows_outside = false,
                         .epilogue = last ? &epilogue : nullptr});
          panel += count;
        }
      }
    }
  }

  // patches[i] = products [channel, channel + channels) of pixel i, in the order of the weights: tap,
  // channel.
  void gather_patches(const ImageView<const T>& x, const WindowPixel* pixels, int64_t rows, int64_t group,
                      const KBlock& block, const T** table, T* patches) const {
    // Taps beside each other in x are copied in one run: a row of the filter.
    const bool dense = (x.sc == 1 || g_.ic == 1) && x.sw == g_.ic && g_.groups == 1 && g_.dilation.w == 1;
    const int64_t step = dense ? 1 : x.sc;
    const int64_t run_taps = dense ? g_.kw : 1;
    const int64_t run = run_taps * g_.group_ic();
    const T* const readable_end = x.data + x.extent().second;
    const int64_t begin = block.channel, end = block.channel + block.channels;
    for (int64_t i = 0; i < rows; ++i, patches += block.channels) {
      table[i] = patches;
      T* dst = patches;
      for (int64_t k = begin; k < end;) {
        const int64_t tap = k / run * run_taps, run_begin = k / run * run,
                      run_end = std::min(end, run_begin + run);
        const int64_t dy = tap / g_.kw * g_.dilation.h, dx = tap % g_.kw * g_.dilation.w;
        // Taps [first, last) of the run lie inside the image.
        const int64_t iy = pixels[i].y + dy, ix = pixels[i].x + dx;
        int64_t first = std::clamp<int64_t>(-ix, 0, run_taps);
        int64_t last = std::clamp<int64_t>(g_.iw - ix, first, run_taps);
        if (iy < 0 || iy >= g_.ih) first = last = run_taps;
        const int64_t inside = std::clamp(run_begin + first * g_.group_ic(), k, run_end);
        const int64_t after = std::clamp(run_begin + last * g_.group_ic(), inside, run_end);
        dst = std::fill_n(dst, inside - k, T(0));
        if (after > inside) {
          const int64_t channel = group * g_.group_ic() + inside - run_begin;
          const T* src = x.data + (pixels[i].offset + dy * x.sh + dx * x.sw + channel * step);
          dst = copy_run(src, step, after - inside, readable_end, dst);
        }
        dst = std::fill_n(dst, run_end - after, T(0));
        k = run_end;
      }
    }
  }

  // Runs are short: 16 bytes at a time, the last of which may pass the end, is faster than memcpy. What they
  // spoil is written next, or lies in the room past the last patch.
  static T* copy_run(const T* src, int64_t stride, int64_t n, const T* readable_end, T* dst) {
    if (stride == 1 && readable_end - src >= n + kOverrun) {
      for (int64_t j = 0; j < n; j += kOverrun) std::memcpy(dst + j, src + j, kOverrun * sizeof(T));
    } else {
      for (int64_t j = 0; j < n; ++j) dst[j] = src[j * stride];
    }
    return dst + n;
  }
  static constexpr int64_t kOverrun = 16 / sizeof(T);

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t panels_, depth_;  // panels per group; products per output
  const AlignedBuffer<T> weight_, bias_;
  AlignedBuffer<T> zeros_;
  int64_t table_taps_ = 1;  // the most taps in a block of k
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
