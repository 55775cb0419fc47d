// depthwise.cc - one or a few filters per channel and narrow groups, channels-last images. Called through
// conv2d.cc; calls Kernels::depthwise. The image is read in place; taps in the padding are left out. Knows
// cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>
#include <cassert>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Of weights, and of the rows that a window of two rows of outputs sees: they share 32 KB of L1 with the
// outputs.
constexpr int64_t kWeightBytes = 16 * 1024, kWindowBytes = 32 * 1024;
// Fewer channels than this of a pixel and the next are too far apart to be read at speed.
constexpr int64_t kLeastRun = 256;
// The kernel makes two rows of outputs at once where there are registers for it.
constexpr int64_t kRowsTogether = 2;
// Of a task: with fewer, the rows that two tasks see would be much of the reading.
constexpr int64_t kLeastPairs = 8;

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
    const int64_t size = sizeof(T), lane_bytes = kernels.lanes * size;
    block_ = std::max<int64_t>(kWeightBytes / ((g_.taps() * g_.group_ic() + 1) * lane_bytes), 2);
    // Where a window of a few vectors of channels fits L1 they do all rows before the next vectors: each row
    // is fetched from L2 once and not for each window (384 channels @14x14: 0.0139 to 0.0124 ms, AVX2 0.024
    // to 0.019). Else all channels do two rows before the next rows.
    const int64_t rows = window_rows(g_) + g_.stride.h;
    const int64_t fit = kWindowBytes / std::max<int64_t>(rows * g_.iw * lane_bytes, 1);
    blocked_ = g_.group_ic() == 1 && fit * lane_bytes >= kLeastRun;
    if (blocked_) block_ = std::min(block_, fit);
  }

  int64_t weight_bytes() const override { return weight_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    if (x.sc != 1) return run_copy(x, residual, out, threads);
    const int64_t rows = g_.batch * g_.oh;
    if (rows == 0 || g_.ow == 0 || vectors_ == 0) return;
    // A vector that overlaps the one before goes to the same task: two threads must not write a channel, and
    // better no cache line.
    const bool one_run = run_ == g_.oc;
    const int64_t line =
        std::max<int64_t>(kCacheLine / (kernels_.lanes * static_cast<int64_t>(sizeof(T))), 1);
    const int64_t unit = one_run ? line : ceil_div(run_, kernels_.lanes);
    const int64_t units = one_run ? std::max<int64_t>(run_ / kernels_.lanes / line, 1) : vectors_ / unit;
    // Consecutive rows, as the products around share pixels, and of those in the middle some channels.
    const int64_t pairs = ceil_div(rows, kRowsTogether);
    parallel_ranges(pairs * units, kLeastPairs * units, threads, [&](int64_t at, int64_t last) {
      while (at < last) {
        const int64_t pair = at / units, begin = at % units;
        const int64_t whole = begin ? 0 : (last - at) / units;
        const int64_t end = whole ? units : std::min(units, begin + last - at);
        const int64_t row_end = std::min((pair + std::max<int64_t>(whole, 1)) * kRowsTogether, rows);
        // Image by image.
        for (int64_t row = pair * kRowsTogether; row < row_end;) {
          const int64_t next = std::min(row_end, (row / g_.oh + 1) * g_.oh);
          run_rows(x, residual, out, row, next, 0, begin * unit, end == units ? vectors_ : end * unit);
          row = next;
        }
        at += whole ? whole * units : end - begin;
      }
    });
  }

  void run_part(const ImageView<const T>& x, const T* residual, T* out, int64_t begin,
                int64_t end) const override {
    assert(x.sc == 1 && begin % g_.ow == 0 && end % g_.ow == 0);
    run_rows(x, residual, out, begin / g_.ow, end / g_.ow, begin / g_.ow, 0, vectors_);
  }

 private:
  // Rows [first, last) of the output, counted through all images but of one of them, vectors of channels
  // [begin, end). residual and out point at row `origin`.
  void run_rows(const ImageView<const T>& x, const T* residual, T* out, int64_t first, int64_t last,
                int64_t origin, int64_t begin, int64_t end) const {
    const int64_t image = first / g_.oh, step = blocked_ ? last - first : kRowsTogether;
    for (int64_t row = first; row < last; row += step) {
      const int64_t at = (row - origin) * g_.ow * step_, y = row - image * g_.oh;
      Epilogue<T> epilogue;
      epilogue.activation = activation_;
      if (residual) epilogue.residual = residual + at;
      kernels_.depthwise({.ow = g_.ow,
                          .run = run_,
                          .begin = begin,
                          .end = end,
                          .block = block_,
                          .row_begin = y,
                          .row_end = y + std::min(step, last - row),
                          .kh = g_.kh,
                          .kw = g_.kw,
                          .stride_h = g_.stride.h,
                          .stride = g_.stride.w,
                          .dilation_h = g_.dilation.h,
                          .dilation = g_.dilation.w,
                          .top = g_.pad.top,
                          .left = g_.pad.left,
                          .height = g_.ih,
                          .width = g_.iw,
                          .ic = g_.ic,
                          .group_ic = g_.group_ic(),
                          .group_oc = g_.group_oc(),
                          .x = x.data + image * x.sn,
                          .x_row = x.sh,
                          .x_stride = x.sw,
                          .weight = weight_.data(),
                          .weight_stride = weight_.size() / vectors_,
                          .out = out + at,
                          .ld = step_,
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
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // between pixels of out
  const int64_t run_, vectors_;
  const AlignedBuffer<T> weight_;
  int64_t block_;  // vectors done together
  bool blocked_;   // each block all rows
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
