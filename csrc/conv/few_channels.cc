// few_channels.cc - convolution of channels-first images with one to four channels: the first layers of
// networks. Called through conv2d.cc; calls Kernels::window.
//
//   C[oc][pixel] = sum over taps and channels of A[oc][tap, channel] * B[tap, channel][pixel]
//
// A is the weights, read in place. The rows of the image that a band of output rows sees are laid out with
// their padding in cache, columns sorted by their remainder modulo the stride, so that neighbouring outputs
// read neighbouring elements: each row of B is a part of them, at an offset of its own. The GEMM for more
// channels packs an element once per tap (implicit_gemm_nchw.cc), which is little against the products with
// many output channels that follow, but not here: 11x11 stride 4, 3 -> 64 @224 takes 1.24 ms instead of 1.77
// (AVX-512), 3x3 stride 2, 3 -> 16 @640 2.4 instead of 3.0 (AVX2).
// Knows bands and tasks. Does not know SIMD or Python.
#include <algorithm>
#include <cstring>
#include <vector>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// A band beside the weights in L2; of its outputs a piece is written per channel, so it should not be thin.
constexpr int64_t kBandBytes = 64 * 1024;

template <class T>
class FewChannels final : public ConvAlgorithm<T> {
 public:
  FewChannels(const ConvProblem& problem, const Kernels<T>& kernels, const ConvWeights<T>& weights)
      : g_(problem.geometry),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        weight_row_(odd_lines<T>(g_.taps() * g_.ic)),
        weight_(pack_weight_rows(g_, weights.weight, weight_row_)),
        bias_(pack_bias(g_, weights, 1)),
        phases_(g_.ow > 1 ? g_.stride.w : 1),
        phase_(ceil_div(g_.iw + g_.pad.left + g_.pad.right, phases_) + kernels.lanes),
        pitch_(phases_ * phase_ * g_.ic),
        band_rows_(std::clamp<int64_t>((kBandBytes / (pitch_ * kElement) - window_rows(g_)) / g_.stride.h + 1,
                                       1, std::max<int64_t>(g_.oh, 1))) {
    const auto column = [&](int64_t x) { return x % phases_ * phase_ + x / phases_; };
    for (int64_t dy = 0; dy < g_.kh; ++dy)
      for (int64_t dx = 0; dx < g_.kw; ++dx)
        for (int64_t c = 0; c < g_.ic; ++c)
          offsets_.push_back(dy * g_.dilation.h * pitch_ + c * phases_ * phase_ + column(dx * g_.dilation.w));
  }

  int64_t scratch_bytes() const override { return input_rows(band_rows_) * pitch_ * kElement; }

  int64_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    const int64_t rows = g_.batch * g_.oh;
    if (rows * g_.ow * g_.oc == 0) return;
    parallel_ranges(rows, band_rows_, threads,
                    [&](int64_t begin, int64_t end) { run_rows(x, residual, out, begin, end); });
  }

 private:
  static constexpr int64_t kElement = sizeof(T);

  int64_t input_rows(int64_t rows) const { return (rows - 1) * g_.stride.h + window_rows(g_); }

  // Output rows [row, end), counted through images. Rows of x that two bands see are laid out once.
  void run_rows(const ImageView<const T>& x, const T* residual, T* out, int64_t row, int64_t end) const {
    T* const band = reinterpret_cast<T*>(thread_scratch(scratch_bytes()));
    int64_t image = -1, low = 0, high = 0;  // rows [low, high) of the padded image are laid out
    while (row < end) {
      const int64_t n = row / g_.oh, oy = row % g_.oh;
      const int64_t rows = std::min({band_rows_, g_.oh - oy, end - row});
      const int64_t from = oy * g_.stride.h, to = from + input_rows(rows);
      if (n == image && high > from)
        std::memmove(band, band + (from - low) * pitch_, (high - from) * pitch_ * sizeof(T));
      else
        high = from;
      image = n;
      low = from;
      for (; high < to; ++high) lay_out(x, n, high, band + (high - low) * pitch_);
      write_planes(band, residual, out, n, oy, rows);
      row += rows;
    }
  }

  // Row y of the padded image.
  void lay_out(const ImageView<const T>& x, int64_t n, int64_t y, T* to) const {
    const int64_t iy = y - g_.pad.top;
    if (iy < 0 || iy >= g_.ih) {
      std::fill_n(to, pitch_, T(0));
      return;
    }
    for (int64_t c = 0; c < g_.ic; ++c)
      for (int64_t phase = 0; phase < phases_; ++phase, to += phase_)
        lay_out_phase(x.data + (n * x.sn + iy * x.sh + c * x.sc), x.sw, phase, to);
  }

  // The columns of one remainder of a channel's row, between zeros.
  void lay_out_phase(const T* from, int64_t step, int64_t phase, T* to) const {
    const int64_t before = std::min(ceil_div(std::max<int64_t>(g_.pad.left - phase, 0), phases_), phase_);
    const int64_t x = before * phases_ + phase - g_.pad.left;
    const int64_t count = x < g_.iw ? std::min(ceil_div(g_.iw - x, phases_), phase_ - before) : 0;
    std::fill_n(to, before, T(0));
    to += before;
    from += x * step;
    step *= phases_;
    if (step == 1)
      std::memcpy(to, from, count * sizeof(T));
    else if (step == 2)
      for (int64_t i = 0; i < count; ++i) to[i] = from[2 * i];
    else
      for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
    std::fill_n(to + count, phase_ - before - count, T(0));
  }

  // Output rows [oy, oy + rows) of image n, a tile of channels after another.
  void write_planes(const T* band, const T* residual, T* out, int64_t n, int64_t oy, int64_t rows) const {
    const int64_t channels = std::min<int64_t>(kernels_.window_mr, g_.oc);
    for (int64_t next = 0; next < g_.oc; next += channels) {
      // The last tile ends with the channels: some are made twice.
      const int64_t oc = std::min(next, g_.oc - channels);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = n * step_ + oc * g_.out_pixels() + (oy + r) * g_.ow;
        Epilogue<T> epilogue;
        epilogue.activation = activation_;
        if (bias_.size()) epilogue.bias_m = bias_.data() + oc;
        if (residual) epilogue.residual = residual + at;
        kernels_.window({.m = channels,
                         .n = g_.ow,
                         .k = static_cast<int64_t>(offsets_.size()),
                         .a = weight_.data() + oc * weight_row_,
                         .a_row = weight_row_,
                         .b = band + r * g_.stride.h * pitch_,
                         .offsets = offsets_.data(),
                         .c = out + at,
                         .ldc = g_.out_pixels(),
                         .epilogue = &epilogue});
      }
    }
  }

  const ConvGeometry g_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // between images of out
  const int64_t weight_row_;
  const AlignedBuffer<T> weight_, bias_;
  const int64_t phases_, phase_;  // remainders that columns are sorted by; elements of one, of one channel
  const int64_t pitch_;           // elements of a laid-out row
  const int64_t band_rows_;       // output rows of a band, at most
  std::vector<int64_t> offsets_;  // of each product's row of B
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_few_channels(const ConvProblem& problem, const Kernels<T>& kernels,
                                      const ConvWeights<T>& weights) {
  return std::make_unique<FewChannels<T>>(problem, kernels, weights);
}

template ConvAlgorithmPtr<float> make_few_channels(const ConvProblem&, const Kernels<float>&,
                                                   const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_few_channels(const ConvProblem&, const Kernels<double>&,
                                                    const ConvWeights<double>&);

}  // namespace onebyone
