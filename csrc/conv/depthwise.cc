// depthwise.cc - one filter per channel, channels-last images. Called through conv2d.cc; calls
// Kernels::depthwise. Pixels are read in place through a table of pointers (row_table.h): any kernel, stride,
// dilation and padding. Knows cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "conv/row_table.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

template <class T>
class Depthwise final : public ConvAlgorithm<T> {
 public:
  Depthwise(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
            const ConvWeights<T>& weights)
      : g_(problem.geometry),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        weight_(pack_weight_taps(g_, weights.weight)),
        bias_(pack_bias(g_, weights, 1)),
        zeros_(g_.ic) {
    std::fill_n(zeros_.data(), zeros_.size(), T(0));
  }

  // Per pixel of a block: its place and a pointer for each tap.
  int64_t scratch_bytes() const override {
    return plan_.mc * static_cast<int64_t>(sizeof(WindowPixel) + sizeof(T*) * g_.taps());
  }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    if (x.sc != 1) return run_copy(x, residual, out, threads);
    const int64_t pixels = g_.batch * g_.out_pixels(), channel_units = ceil_div(g_.oc, plan_.nc);
    if (pixels == 0) return;
    const TaskGrid grid = split_tasks(pixels, channel_units, threads);
    parallel_for(grid.rows * grid.columns, threads, [&](int64_t task) {
      const int64_t r = task / grid.columns, c = task % grid.columns;
      const int64_t channel = part_begin(channel_units, grid.columns, c) * plan_.nc;
      const int64_t end = std::min(g_.oc, part_begin(channel_units, grid.columns, c + 1) * plan_.nc);
      run_task(x, residual, out, part_begin(pixels, grid.rows, r), part_begin(pixels, grid.rows, r + 1),
               channel, end - channel);
    });
  }

 private:
  void run_task(const ImageView<const T>& x, const T* residual, T* out, int64_t begin, int64_t end,
                int64_t channel, int64_t channels) const {
    std::byte* scratch = thread_scratch(scratch_bytes());
    WindowPixel* pixels = reinterpret_cast<WindowPixel*>(scratch);
    const T** table = reinterpret_cast<const T**>(pixels + plan_.mc);
    for (int64_t row = begin; row < end; row += plan_.mc) {
      const int64_t rows = std::min(plan_.mc, end - row), at = row * g_.oc + channel;
      locate_pixels(g_, x, row, rows, pixels);
      fill_row_table(g_, x, pixels, rows, 0, g_.taps(), zeros_.data(), table);
      Epilogue<T> epilogue;
      epilogue.activation = activation_;
      if (bias_.size()) epilogue.bias_n = bias_.data() + channel;
      if (residual) epilogue.residual = residual + at;
      kernels_.depthwise({.m = rows,
                          .n = channels,
                          .taps = g_.taps(),
                          .rows = table,
                          .tap_stride = rows,
                          .offset = channel,
                          .weight = weight_.data() + channel,
                          .weight_stride = g_.oc,
                          .out = out + at,
                          .ld = g_.oc,
                          .epilogue = &epilogue});
    }
  }

  // A view whose channels lie apart is copied first.
  void run_copy(const ImageView<const T>& x, const T* residual, T* out, int threads) const {
    AlignedBuffer<T> copy(checked_mul(x.batch * x.height * x.width, x.channels, "x"));
    T* dst = copy.data();
    for (int64_t n = 0; n < x.batch; ++n)
      for (int64_t h = 0; h < x.height; ++h)
        for (int64_t w = 0; w < x.width; ++w)
          for (int64_t c = 0; c < x.channels; ++c) *dst++ = x.data[n * x.sn + c * x.sc + h * x.sh + w * x.sw];
    const int64_t sw = x.channels, sh = sw * x.width, sn = sh * x.height;
    run({copy.data(), x.batch, x.channels, x.height, x.width, sn, 1, sh, sw}, residual, out, threads);
  }

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const AlignedBuffer<T> weight_, bias_;
  AlignedBuffer<T> zeros_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_depthwise(const ConvProblem& problem, const ConvPlan& plan,
                                   const Kernels<T>& kernels, const ConvWeights<T>& weights) {
  return std::make_unique<Depthwise<T>>(problem, plan, kernels, weights);
}

template ConvAlgorithmPtr<float> make_depthwise(const ConvProblem&, const ConvPlan&, const Kernels<float>&,
                                                const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_depthwise(const ConvProblem&, const ConvPlan&, const Kernels<double>&,
                                                 const ConvWeights<double>&);

}  // namespace onebyone
