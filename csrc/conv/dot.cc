// dot.cc - 1x1 convolution from one pixel to one pixel: squeeze-and-excite, classifiers, ob.linear of a few
// rows. Each output is a dot product with a row of the weights, which are read as they are stored: the time
// is that of reading them once. Called through conv2d.cc; calls Kernels::dot. Knows tasks. Does not know SIMD
// or Python.
#include <algorithm>
#include <vector>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Output channels that a task takes a multiple of: a line of the output.
constexpr int64_t kTaskUnit = 16;
// And at least so many of them: 128 rows of weights.
constexpr int64_t kLeastUnits = 8;

template <class T>
class Dot final : public ConvAlgorithm<T> {
 public:
  Dot(const ConvProblem& problem, const Kernels<T>& kernels, const ConvWeights<T>& weights)
      : g_(problem.geometry),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        bias_(pack_bias(g_, weights, 1)) {
    const ImageView<const T>& w = weights.weight;
    // For one call the caller's weights outlive this object.
    if (problem.once && (w.sc == 1 || g_.ic == 1)) {
      weight_ = w.data;
      stride_ = w.sn;
    } else {
      copy_ = pack_weight_rows(g_, w, g_.ic);
      weight_ = copy_.data();
      stride_ = g_.ic;
    }
  }

  int64_t weight_bytes() const override { return copy_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    std::vector<T> copy;
    const T* a = x.data;
    int64_t lda = x.sn;
    if (x.sc != 1 && g_.ic > 1) {
      copy.reserve(g_.batch * g_.ic);
      for (int64_t n = 0; n < g_.batch; ++n)
        for (int64_t c = 0; c < g_.ic; ++c) copy.push_back(x.data[n * x.sn + c * x.sc]);
      a = copy.data();
      lda = g_.ic;
    }
    parallel_ranges(ceil_div(g_.oc, kTaskUnit), kLeastUnits, threads, [&](int64_t first, int64_t last) {
      const int64_t begin = first * kTaskUnit, end = std::min(g_.oc, last * kTaskUnit);
      Epilogue<T> epilogue;
      epilogue.activation = activation_;
      if (bias_.size()) epilogue.bias_n = bias_.data() + begin;
      if (residual) epilogue.residual = residual + begin;
      kernels_.dot({.m = g_.batch,
                    .n = end - begin,
                    .k = g_.ic,
                    .a = a,
                    .lda = lda,
                    .b = weight_ + begin * stride_,
                    .ldb = stride_,
                    .c = out + begin,
                    .ldc = step_,
                    .epilogue = &epilogue});
    });
  }

 private:
  const ConvGeometry g_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;  // between images of out, which are a pixel
  const AlignedBuffer<T> bias_;
  AlignedBuffer<T> copy_;
  const T* weight_;
  int64_t stride_;  // between the rows of weight_
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_dot(const ConvProblem& problem, const Kernels<T>& kernels,
                             const ConvWeights<T>& weights) {
  return std::make_unique<Dot<T>>(problem, kernels, weights);
}

template ConvAlgorithmPtr<float> make_dot(const ConvProblem&, const Kernels<float>&,
                                          const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_dot(const ConvProblem&, const Kernels<double>&,
                                           const ConvWeights<double>&);

}  // namespace onebyone
