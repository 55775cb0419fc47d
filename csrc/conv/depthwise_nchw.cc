// depthwise_nchw.cc - one or a few filters per channel and narrow groups, channels-first images. Called
// through conv2d.cc; calls Kernels::planes. A band of rows of a group's channels is laid out with its padding
// in scratch memory that fits L1, the columns sorted by their remainder modulo the stride, so that any
// geometry becomes a list of offsets: the image as a whole is never copied. Knows bands and tasks. Does not
// know SIMD or Python.
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

// A band's rows beside its outputs in 32 KB of L1.
constexpr int64_t kBandBytes = 24 * 1024;

template <class T>
class DepthwiseNchw final : public ConvAlgorithm<T> {
 public:
  DepthwiseNchw(const ConvProblem& problem, const Kernels<T>& kernels, const ConvWeights<T>& weights)
      : g_(problem.geometry),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        products_(g_.taps() * g_.group_ic()),
        weight_(pack_weight_rows(g_, weights.weight, products_)),
        bias_(pack_bias(g_, weights, 1)),
        stride_(g_.ow > 1 ? g_.stride.w : 1),
        phase_(ceil_div(g_.iw + g_.pad.left + g_.pad.right, stride_) + kernels.lanes),
        pitch_(phase_ * stride_) {
    const int64_t row_bytes = std::max<int64_t>(pitch_ * g_.group_ic(), 1) * static_cast<int64_t>(sizeof(T));
    const int64_t fit = (kBandBytes / row_bytes - input_rows(1)) / g_.stride.h + 1;
    const int64_t most = std::clamp<int64_t>(fit, 1, std::max<int64_t>(g_.oh, 1));
    bands_ = ceil_div(g_.oh, most);
    band_rows_ = bands_ ? ceil_div(g_.oh, bands_) : 0;
    plane_ = input_rows(band_rows_) * pitch_;
    for (int64_t r = 0; r < g_.kh; ++r)
      for (int64_t s = 0; s < g_.kw; ++s)
        for (int64_t c = 0; c < g_.group_ic(); ++c)
          offsets_.push_back(c * plane_ + r * g_.dilation.h * pitch_ + column(s * g_.dilation.w));
    for (int64_t y = 0; y < band_rows_; ++y)
      for (int64_t x = 0; x < g_.ow; x += kernels.lanes) {
        const int64_t first = std::min(x, std::max<int64_t>(g_.ow - kernels.lanes, 0));
        pixels_.push_back({y * g_.stride.h * pitch_ + first, y * g_.ow + first});
      }
  }

  int64_t scratch_bytes() const override {
    return (plane_ * g_.group_ic() + kernels_.lanes) * static_cast<int64_t>(sizeof(T));
  }

  int64_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    if (g_.oc == 0 || g_.out_pixels() == 0) return;
    parallel_for(g_.batch * g_.groups * bands_, threads, [&](int64_t task) {
      const int64_t band = task % bands_, group = task / bands_ % g_.groups, n = task / bands_ / g_.groups;
      const int64_t row = part_begin(g_.oh, bands_, band);
      run_band(x, residual, out, n, group, row, part_begin(g_.oh, bands_, band + 1) - row);
    });
  }

 private:
  int64_t input_rows(int64_t rows) const { return (rows - 1) * g_.stride.h + window_rows(g_); }
  // Where a padded row keeps its column.
  int64_t column(int64_t x) const { return x % stride_ * phase_ + x / stride_; }

  void run_band(const ImageView<const T>& x, const T* residual, T* out, int64_t n, int64_t group, int64_t row,
                int64_t rows) const {
    T* src = reinterpret_cast<T*>(thread_scratch(scratch_bytes()));
    const int64_t first = row * g_.stride.h - g_.pad.top, height = input_rows(rows);
    for (int64_t c = 0; c < g_.group_ic(); ++c) {
      const T* from = x.data + (n * x.sn + (group * g_.group_ic() + c) * x.sc);
      for (int64_t r = 0; r < height; ++r) {
        T* to = src + c * plane_ + r * pitch_;
        if (first + r >= 0 && first + r < g_.ih)
          fill_row(from + (first + r) * x.sh, x.sw, to);
        else
          std::fill_n(to, pitch_, T(0));
      }
    }
    const int64_t oc = group * g_.group_oc();
    const int64_t at = n * step_ + (oc * g_.oh + row) * g_.ow;
    Epilogue<T> epilogue;
    epilogue.activation = activation_;
    if (bias_.size()) epilogue.bias_m = bias_.data() + oc;
    if (residual) epilogue.residual = residual + at;
    kernels_.planes({.rows = rows,
                     .ow = g_.ow,
                     .outputs = g_.group_oc(),
                     .taps = products_,
                     .src = src,
                     .offsets = offsets_.data(),
                     .pixels = pixels_.data(),
                     .vectors = rows * ceil_div(g_.ow, kernels_.lanes),
                     .weight = weight_.data() + oc * products_,
                     .out = out + at,
                     .plane = g_.out_pixels(),
                     .epilogue = &epilogue});
  }

  // A row of the image between its padding, column x at to[column(x)].
  void fill_row(const T* from, int64_t step, T* to) const {
    for (int64_t phase = 0; phase < stride_; ++phase, to += phase_) {
      // The first column of the image in this phase, and how many there are.
      const int64_t begin = std::min(ceil_div(std::max<int64_t>(g_.pad.left - phase, 0), stride_), phase_);
      const int64_t x = begin * stride_ + phase - g_.pad.left;
      const int64_t count = x < g_.iw ? std::min(ceil_div(g_.iw - x, stride_), phase_ - begin) : 0;
      std::fill_n(to, begin, T(0));
      const T* src = from + x * step;
      if (stride_ * step == 1)
        std::memcpy(to + begin, src, count * sizeof(T));
      else if (stride_ * step == 2)
        for (int64_t i = 0; i < count; ++i) to[begin + i] = src[2 * i];
      else
        for (int64_t i = 0; i < count; ++i) to[begin + i] = src[i * stride_ * step];
      std::fill_n(to + begin + count, phase_ - begin - count, T(0));
    }
  }

  const ConvGeometry g_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;      // between images of out
  const int64_t products_;  // per output: taps x channels of a group
  const AlignedBuffer<T> weight_, bias_;
  const int64_t stride_;         // of columns; one alone has none
  const int64_t phase_, pitch_;  // elements of a laid-out row: of one remainder, and of all
  int64_t bands_, band_rows_, plane_;
  std::vector<int64_t> offsets_;     // of each product from an output's place
  std::vector<PlanePixels> pixels_;  // of a band, vector by vector; the last of a row ends with it
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_depthwise_nchw(const ConvProblem& problem, const Kernels<T>& kernels,
                                        const ConvWeights<T>& weights) {
  return std::make_unique<DepthwiseNchw<T>>(problem, kernels, weights);
}

template ConvAlgorithmPtr<float> make_depthwise_nchw(const ConvProblem&, const Kernels<float>&,
                                                     const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_depthwise_nchw(const ConvProblem&, const Kernels<double>&,
                                                      const ConvWeights<double>&);

}  // namespace onebyone
