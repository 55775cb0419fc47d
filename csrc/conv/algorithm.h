// conv/algorithm.h - what every convolution algorithm is: prepared once from the weights, then run.
// Implemented by implicit_gemm_nhwc.cc, implicit_gemm_nchw.cc, few_channels.cc, few_outputs.cc, strassen.cc,
// winograd.cc, winograd_rows.cc, depthwise.cc, depthwise_nchw.cc, dot.cc, reference.cc; owned by Conv2d
// (conv2d.h).
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>

#include "conv/plan.h"
#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

template <class T>
class ConvAlgorithm {
 public:
  virtual ~ConvAlgorithm() = default;
  // out (in the problem's layout, spaced by its output_step) = conv(x) + bias + residual, activated.
  // residual: laid out as out, or null. Safe to call from several threads at once. The result does not depend
  // on `threads`, bit for bit.
  virtual void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const = 0;

  // The same for output pixels [begin, end) alone, counted through rows and images, on the calling thread.
  // out and residual point at pixel `begin`; of x only what these pixels see is read. Same bits as run. Only
  // the channels-last GEMM and Winograd along rows, for any pixels, and depthwise, for whole rows of one
  // image, can. (Winograd's reads whole tiles of the rows that they see.)
  virtual void run_part(const ImageView<const T>&, const T* /*residual*/, T* /*out*/, int64_t /*begin*/,
                        int64_t /*end*/) const {
    throw std::logic_error("run_part: this algorithm has no parts");
  }

  // As run, x's channel c of image n multiplied with factors[n * ic + c]: the gates of squeeze-and-excite.
  // Only the channels-last GEMM can.
  virtual void run_scaled(const ImageView<const T>&, const T* /*factors*/, const T* /*residual*/, T* /*out*/,
                          int /*threads*/) const {
    throw std::logic_error("run_scaled: this algorithm takes no factors");
  }

  // Working memory of each thread, and of a call.
  virtual int64_t scratch_bytes() const { return 0; }
  virtual int64_t shared_bytes() const { return 0; }
  // Packed weights and biases.
  virtual int64_t weight_bytes() const = 0;
};

// What an algorithm is prepared from: weight (oc, ic / groups, kh, kw) as an image view, bias of oc or null.
// Everything is copied; nothing is kept.
template <class T>
struct ConvWeights {
  ImageView<const T> weight;
  const T* bias;
  int64_t bias_stride;
};

// What a convolution reads, channels last: its pixels `step` apart, or dense.
template <class T>
ImageView<const T> spaced_image(const T* data, const ConvGeometry& g, int64_t step) {
  const int64_t sh = g.iw * step, sn = g.ih * sh;
  return {data, g.batch, g.ic, g.ih, g.iw, sn, 1, sh, step};
}
template <class T>
ImageView<const T> dense_image(const T* data, const ConvGeometry& g) {
  return spaced_image(data, g, g.ic);
}
// Its weights in the order (oc, group_ic, kh, kw).
template <class T>
ImageView<const T> dense_weights(const T* data, const ConvGeometry& g) {
  const int64_t sc = g.taps(), sn = g.group_ic() * sc;
  return {data, g.oc, g.group_ic(), g.kh, g.kw, sn, sc, g.kw, 1};
}

template <class T>
using ConvAlgorithmPtr = std::unique_ptr<const ConvAlgorithm<T>>;

template <class T>
ConvAlgorithmPtr<T> make_implicit_gemm_nhwc(const ConvProblem&, const ConvPlan&, const Kernels<T>&,
                                            const ConvWeights<T>&);
template <class T>
ConvAlgorithmPtr<T> make_implicit_gemm_nchw(const ConvProblem&, const ConvPlan&, const Kernels<T>&,
                                            const ConvWeights<T>&);
template <class T>
ConvAlgorithmPtr<T> make_few_channels(const ConvProblem&, const Kernels<T>&, const ConvWeights<T>&);
template <class T>
ConvAlgorithmPtr<T> make_few_outputs(const ConvProblem&, const ConvPlan&, const Kernels<T>&,
                                     const ConvWeights<T>&);
template <class T>
ConvAlgorithmPtr<T> make_depthwise(const ConvProblem&, const ConvPlan&, const Kernels<T>&,
                                   const ConvWeights<T>&);
template <class T>
ConvAlgorithmPtr<T> make_depthwise_nchw(const ConvProblem&, const Kernels<T>&, const ConvWeights<T>&);
// What convolves by plain products what infinities, NaN or overflows would spread in: prepared when the first
// image comes that has them, from weights made of the transformed ones; along rows, where they are few, at
// once.
template <class T>
using MakeExact = std::function<ConvAlgorithmPtr<T>(const ConvWeights<T>&)>;
template <class T>
ConvAlgorithmPtr<T> make_winograd(const ConvProblem&, const ConvPlan&, const Kernels<T>&,
                                  const ConvWeights<T>&, MakeExact<T>);
template <class T>
ConvAlgorithmPtr<T> make_winograd_rows(const ConvProblem&, const Kernels<T>&, const ConvWeights<T>&,
                                       const MakeExact<T>&);
template <class T>
ConvAlgorithmPtr<T> make_strassen(const ConvProblem&, const ConvPlan&, const Kernels<T>&,
                                  const ConvWeights<T>&, MakeExact<T>);
// From one pixel to one pixel. With problem.once the weights are read in place: they must outlive the
// algorithm.
template <class T>
ConvAlgorithmPtr<T> make_dot(const ConvProblem&, const Kernels<T>&, const ConvWeights<T>&);
template <class T>
ConvAlgorithmPtr<T> make_reference(const ConvProblem&, const Kernels<T>&, const ConvWeights<T>&);

}  // namespace onebyone
