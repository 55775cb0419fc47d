// reference.cc - convolution by its definition: plain loops, float64 sums. What every other algorithm is
// checked against; slow on purpose. Called through conv2d.cc.
#include "conv/algorithm.h"
#include "core/aligned_buffer.h"
#include "core/parallel.h"

#include "conv/packing.h"

namespace onebyone {
namespace {

template <class T>
class Reference final : public ConvAlgorithm<T> {
 public:
  Reference(const ConvProblem& problem, const Kernels<T>& kernels, const ConvWeights<T>& weights)
      : g_(problem.geometry),
        nhwc_(problem.layout == Layout::kNhwc),
        activation_(problem.activation),
        step_(problem.output_step()),
        kernels_(kernels),
        weight_(pack_weight_rows(g_, weights.weight, g_.taps() * g_.group_ic())),
        bias_(pack_bias(g_, weights, 1)) {}

  int64_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    parallel_for(g_.batch * g_.oh, threads, [&](int64_t row) {
      const int64_t n = row / g_.oh, oy = row % g_.oh;
      for (int64_t oc = 0; oc < g_.oc; ++oc)
        for (int64_t ox = 0; ox < g_.ow; ++ox) {
          const int64_t at =
              nhwc_ ? (row * g_.ow + ox) * step_ + oc : n * step_ + (oc * g_.oh + oy) * g_.ow + ox;
          double sum = product(x, n, oc, oy, ox);
          if (bias_.size()) sum += bias_[oc];
          if (residual) sum += residual[at];
          out[at] = static_cast<T>(sum);
        }
    });
    const int64_t image = g_.oc * g_.out_pixels(), count = nhwc_ ? g_.oc : image;
    for (int64_t i = 0; i < g_.batch * image; i += count)
      kernels_.activate(activation_, out + i / count * step_, out + i / count * step_, count);
  }

 private:
  double product(const ImageView<const T>& x, int64_t n, int64_t oc, int64_t oy, int64_t ox) const {
    const int64_t ic = g_.group_ic(), first = oc / g_.group_oc() * ic;
    double sum = 0;
    for (int64_t r = 0; r < g_.kh; ++r) {
      const int64_t iy = oy * g_.stride.h - g_.pad.top + r * g_.dilation.h;
      if (iy < 0 || iy >= g_.ih) continue;
      for (int64_t s = 0; s < g_.kw; ++s) {
        const int64_t ix = ox * g_.stride.w - g_.pad.left + s * g_.dilation.w;
        if (ix < 0 || ix >= g_.iw) continue;
        for (int64_t c = 0; c < ic; ++c) {
          const T value = x.data[n * x.sn + (first + c) * x.sc + iy * x.sh + ix * x.sw];
          sum += static_cast<double>(value) * weight_[(oc * g_.taps() + r * g_.kw + s) * ic + c];
        }
      }
    }
    return sum;
  }

  const ConvGeometry g_;
  const bool nhwc_;
  const Activation activation_;
  const int64_t step_;  // of out: between pixels (NHWC) or images
  const Kernels<T>& kernels_;
  const AlignedBuffer<T> weight_, bias_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_reference(const ConvProblem& problem, const Kernels<T>& kernels,
                                   const ConvWeights<T>& weights) {
  return std::make_unique<Reference<T>>(problem, kernels, weights);
}

template ConvAlgorithmPtr<float> make_reference(const ConvProblem&, const Kernels<float>&,
                                                const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_reference(const ConvProblem&, const Kernels<double>&,
                                                 const ConvWeights<double>&);

}  // namespace onebyone
