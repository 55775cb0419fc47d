// few_outputs.cc - convolution to a few channels, channels last. Called through conv2d.cc; calls the GEMM of
// implicit_gemm_nhwc.cc. A register tile is a vector of output channels wide, most of which one to eight
// channels leave empty. So the taps of a row of the filter become output channels of a convolution of kh x 1,
//
//   z[row][column][s, o] = sum over r and channels of x * w[o][.][r][s]
//   out[row][column][o] = sum over s of z[row][column - left + s * dilation][s, o]
//
// 64 -> 3 of 9x9 at 192x192 takes 14 ms instead of 42. Knows bands of rows. Does not know SIMD.
#include <algorithm>
#include <vector>

#include "conv/algorithm.h"
#include "core/aligned_buffer.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Of z: it stays in L2 beside the weights.
constexpr int64_t kBandBytes = 128 * 1024;
// Bands of two tasks share nothing but rows of x that both see.
constexpr int64_t kLeastRows = 4;

template <class T>
class FewOutputs final : public ConvAlgorithm<T> {
 public:
  FewOutputs(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
             const ConvWeights<T>& weights)
      : g_(problem.geometry),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        bias_(g_.oc) {
    for (int64_t o = 0; o < g_.oc; ++o)
      bias_[o] = weights.bias ? weights.bias[o * weights.bias_stride] : T(0);
    ConvProblem column = problem;
    column.geometry = column_geometry(g_);
    column.activation = {};
    column.residual = false;
    column.out_step = 0;
    ConvPlan inner = plan;
    inner.few_outputs = false;
    // Filter s, o of kh x 1.
    const ImageView<const T>& w = weights.weight;
    std::vector<T> columns;
    columns.reserve(g_.oc * g_.ic * g_.taps());
    for (int64_t s = 0; s < g_.kw; ++s)
      for (int64_t o = 0; o < g_.oc; ++o)
        for (int64_t c = 0; c < g_.ic; ++c)
          for (int64_t r = 0; r < g_.kh; ++r)
            columns.push_back(w.data[o * w.sn + c * w.sc + r * w.sh + s * w.sw]);
    products_ = make_implicit_gemm_nhwc<T>(column, inner, kernels,
                                           {dense_weights<T>(columns.data(), column.geometry), nullptr, 1});
    rows_ = std::max<int64_t>(kBandBytes / std::max<int64_t>(g_.iw * width() * kElement, 1), 1);
  }

  int64_t scratch_bytes() const override {
    return products_->scratch_bytes() + (rows_ * g_.iw * width() + g_.ow * g_.oc) * kElement;
  }
  int64_t weight_bytes() const override { return products_->weight_bytes() + g_.oc * kElement; }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    parallel_ranges(g_.batch * g_.oh, kLeastRows, threads, [&](int64_t begin, int64_t end) {
      AlignedBuffer<T> z(rows_ * g_.iw * width()), sums(g_.ow * g_.oc);
      for (int64_t row = begin; row < end; row += rows_) {
        const int64_t rows = std::min(rows_, end - row);
        products_->run_part(x, nullptr, z.data(), row * g_.iw, (row + rows) * g_.iw);
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = (row + r) * g_.ow * step_;
          add(z.data() + r * g_.iw * width(), sums.data());
          finish(sums.data(), residual ? residual + at : nullptr, out + at);
        }
      }
    });
  }

 private:
  static constexpr int64_t kElement = sizeof(T);

  int64_t width() const { return g_.kw * g_.oc; }

  // A row of the output from one of z. What lies in the padding is left out.
  void add(const T* z, T* sums) const {
    for (int64_t i = 0; i < g_.ow; ++i) std::copy_n(bias_.data(), g_.oc, sums + i * g_.oc);
    for (int64_t s = 0; s < g_.kw; ++s) {
      const int64_t shift = s * g_.dilation.w - g_.pad.left;
      const int64_t begin = std::max<int64_t>(-shift, 0), end = std::min(g_.ow, g_.iw - shift);
      const T* from = z + shift * width() + s * g_.oc;
      if (g_.oc == 1) {
        for (int64_t i = begin; i < end; ++i) sums[i] += from[i * g_.kw];
        continue;
      }
      for (int64_t i = begin; i < end; ++i)
        for (int64_t o = 0; o < g_.oc; ++o) sums[i * g_.oc + o] += from[i * width() + o];
    }
  }

  void finish(T* sums, const T* residual, T* out) const {
    if (residual)
      for (int64_t i = 0; i < g_.ow; ++i)
        for (int64_t o = 0; o < g_.oc; ++o) sums[i * g_.oc + o] += residual[i * step_ + o];
    T* const dst = step_ == g_.oc ? out : sums;
    kernels_.activate(activation_, sums, dst, g_.ow * g_.oc);
    if (dst == out) return;
    for (int64_t i = 0; i < g_.ow; ++i) std::copy_n(sums + i * g_.oc, g_.oc, out + i * step_);
  }

  const ConvGeometry g_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // between pixels of out
  std::vector<T> bias_;
  ConvAlgorithmPtr<T> products_;
  int64_t rows_;  // of a band
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_few_outputs(const ConvProblem& problem, const ConvPlan& plan,
                                     const Kernels<T>& kernels, const ConvWeights<T>& weights) {
  return std::make_unique<FewOutputs<T>>(problem, plan, kernels, weights);
}

template ConvAlgorithmPtr<float> make_few_outputs(const ConvProblem&, const ConvPlan&, const Kernels<float>&,
                                                  const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_few_outputs(const ConvProblem&, const ConvPlan&,
                                                   const Kernels<double>&, const ConvWeights<double>&);

}  // namespace onebyone
