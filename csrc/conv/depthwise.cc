// depthwise.cc - one or a few filters per channel and narrow groups, channels-last images. Called through
// conv2d.cc; calls Kernels::depthwise. The image is read in place, a row of outputs at a time; rows of taps
// in the padding are left out. Knows tasks. Does not know SIMD or Python.
#include <algorithm>
#include <cassert>

#include "conv/algorithm.h"
#include "conv/packing.h"
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
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        run_(plan.nc),
        vectors_(run_ ? g_.oc / run_ * ceil_div(run_, kernels.lanes) : 0),
        weight_(run_ ? pack_weight_vectors(g_, weights, run_, kernels.lanes) : AlignedBuffer<T>()) {
    // 16 KB of weights stay in L1 beside the rows of x.
    const int64_t bytes = (g_.taps() * g_.group_ic() + 1) * kernels.lanes * static_cast<int64_t>(sizeof(T));
    block_ = std::max<int64_t>(16 * 1024 / bytes, 2);
  }

  int64_t scratch_bytes() const override { return g_.kh * static_cast<int64_t>(sizeof(T*)); }

  int64_t weight_bytes() const override { return weight_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    if (x.sc != 1) return run_copy(x, residual, out, threads);
    const int64_t rows = g_.batch * g_.oh;
    if (rows == 0 || g_.ow == 0 || vectors_ == 0) return;
    // A vector that overlaps the one before goes to the same task: two threads must not write a channel.
    const int64_t in_run = ceil_div(run_, kernels_.lanes);
    const bool one_run = run_ == g_.oc;
    const int64_t unit = one_run ? 1 : in_run;
    const int64_t units = one_run ? std::max<int64_t>(run_ / kernels_.lanes, 1) : vectors_ / in_run;
    // Consecutive rows, as the products around share pixels, and of the one in the middle some channels.
    const int64_t tasks = std::min<int64_t>(threads, rows * units);
    parallel_for(tasks, threads, [&](int64_t task) {
      const int64_t last = part_begin(rows * units, tasks, task + 1);
      for (int64_t at = part_begin(rows * units, tasks, task); at < last;) {
        const int64_t begin = at % units, end = std::min(units, begin + last - at);
        run_row(x, residual, out, at / units, 0, begin * unit, end == units ? vectors_ : end * unit);
        at += end - begin;
      }
    });
  }

  void run_part(const ImageView<const T>& x, const T* residual, T* out, int64_t begin,
                int64_t end) const override {
    assert(x.sc == 1 && begin % g_.ow == 0 && end % g_.ow == 0);
    for (int64_t row = begin / g_.ow; row < end / g_.ow; ++row)
      run_row(x, residual, out, row, begin / g_.ow, 0, vectors_);
  }

 private:
  // Row `row` of the output, counted through all images, vectors of channels [begin, end). Rows of taps that
  // fall on padding are left out. residual and out point at row `origin`.
  void run_row(const ImageView<const T>& x, const T* residual, T* out, int64_t row, int64_t origin,
               int64_t begin, int64_t end) const {
    const int64_t y = row % g_.oh * g_.stride.h - g_.pad.top;
    const int64_t first = y < 0 ? ceil_div(-y, g_.dilation.h) : 0;
    const int64_t last = y < g_.ih ? std::min(g_.kh, ceil_div(g_.ih - y, g_.dilation.h)) : 0;
    const T** rows = reinterpret_cast<const T**>(thread_scratch(scratch_bytes()));
    for (int64_t r = first; r < last; ++r)
      rows[r - first] = x.data + (row / g_.oh * x.sn + (y + r * g_.dilation.h) * x.sh);
    const int64_t at = (row - origin) * g_.ow * step_;
    Epilogue<T> epilogue;
    epilogue.activation = activation_;
    if (residual) epilogue.residual = residual + at;
    kernels_.depthwise({.ow = g_.ow,
                        .run = run_,
                        .begin = begin,
                        .end = end,
                        .block = block_,
                        .kh = std::max<int64_t>(last - first, 0),
                        .kw = g_.kw,
                        .first_row = first,
                        .stride = g_.stride.w,
                        .dilation = g_.dilation.w,
                        .left = g_.pad.left,
                        .width = g_.iw,
                        .ic = g_.ic,
                        .group_ic = g_.group_ic(),
                        .group_oc = g_.group_oc(),
                        .rows = rows,
                        .x_stride = x.sw,
                        .weight = weight_.data(),
                        .weight_stride = weight_.size() / vectors_,
                        .out = out + at,
                        .ld = step_,
                        .epilogue = &epilogue});
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
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // between pixels of out
  const int64_t run_, vectors_;
  const AlignedBuffer<T> weight_;
  int64_t block_;  // vectors done together
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
