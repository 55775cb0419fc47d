#include "conv/conv2d.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "core/check.h"
#include "cpu/isa.h"

namespace onebyone {
namespace {

bool verbose() {
  static const bool on = [] {
    const char* text = std::getenv("ONEBYONE_VERBOSE");
    return text && std::string(text) == "1";
  }();
  return on;
}

}  // namespace

template <class T>
Conv2d<T>::Conv2d(const ConvSpec& spec, const ConvWeights<T>& weights, const KernelTable& kernels) {
  const ImageView<const T>& w = weights.weight;
  problem_ = {
      .geometry = make_geometry(spec.op, spec.x, {w.batch, w.channels, w.height, w.width}, spec.stride,
                                spec.padding, spec.dilation, spec.groups, spec.channels_from),
      .layout = spec.layout,
      .algorithm = spec.algorithm,
      .element_bytes = sizeof(T),
      .activation = spec.activation,
      .residual = spec.residual};
  plan_ = make_plan(spec.op, problem_, kernels);
  if (plan_.algorithm == Algorithm::kReference)
    algorithm_ = make_reference<T>(problem_, kernels_of<T>(kernels), weights);
  else if (plan_.algorithm == Algorithm::kDepthwise)
    algorithm_ = make_depthwise<T>(problem_, plan_, kernels_of<T>(kernels), weights);
  else if (problem_.layout == Layout::kNhwc)
    algorithm_ = make_implicit_gemm_nhwc<T>(problem_, plan_, kernels_of<T>(kernels), weights);
  else
    algorithm_ = make_implicit_gemm_nchw<T>(problem_, plan_, kernels_of<T>(kernels), weights);
}

template <class T>
void Conv2d<T>::run(const ImageView<const T>& x, const T* residual, T* out, int threads) const {
  const int team = useful_threads(problem_.geometry, threads);
  if (!verbose()) return algorithm_->run(x, residual, out, team);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  algorithm_->run(x, residual, out, team);
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  const double flops = 2.0 * static_cast<double>(problem_.geometry.macs());
  std::fprintf(stderr, "onebyone,%s,%.4f ms,%.2f GFLOP/s\n", describe(threads).c_str(), ms,
               flops / ms * 1e-6);
}

template <class T>
int64_t Conv2d<T>::workspace_bytes(int threads) const {
  return algorithm_->scratch_bytes() * useful_threads(problem_.geometry, threads);
}

template <class T>
std::string Conv2d<T>::describe(int threads) const {
  return onebyone::describe(problem_, plan_, threads);
}

template class Conv2d<float>;
template class Conv2d<double>;

}  // namespace onebyone
