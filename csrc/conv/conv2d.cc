#include "conv/conv2d.h"

#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "conv/visible_taps.h"
#include "core/check.h"
#include "core/parallel.h"
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

// A vector is no wider than the channels: what AVX-512 does lane by lane is a vector of AVX2 (8
// channels @112x112: 2.6 to 0.03 ms).
template <class T>
const Kernels<T>& kernels_within(int64_t channels, const Kernels<T>& widest) {
  for (const RunnableIsa& isa : runnable_isas()) {
    const Kernels<T>& kernels = kernels_of<T>(*isa.kernels);
    if (isa.listed && kernels.lanes < widest.lanes && kernels.lanes <= channels) return kernels;
  }
  return widest;
}

template <class T>
ConvAlgorithmPtr<T> make_narrow(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                                const ConvWeights<T>& weights) {
  if (problem.layout == Layout::kNchw) return make_depthwise_nchw<T>(problem, kernels, weights);
  const bool few = problem.geometry.group_ic() == 1 && plan.nc < kernels.lanes;
  return make_depthwise<T>(problem, plan, few ? kernels_within(plan.nc, kernels) : kernels, weights);
}

template <class T>
ConvAlgorithmPtr<T> make_algorithm(const std::string& op, const ConvProblem& problem, const ConvPlan& plan,
                                   const ConvWeights<T>& weights, const KernelTable& table) {
  const Kernels<T>& kernels = kernels_of<T>(table);
  switch (plan.algorithm) {
    case Algorithm::kReference: return make_reference<T>(problem, kernels, weights);
    case Algorithm::kDepthwise: return make_narrow(problem, plan, kernels, weights);
    case Algorithm::kStrassen:
    case Algorithm::kWinograd: {
      ConvProblem exact = problem;
      exact.algorithm = Algorithm::kDirect;
      exact.geometry.batch = std::min<int64_t>(exact.geometry.batch, 1);
      const auto make_exact = [op, exact, &table](const ConvWeights<T>& own) {
        return make_algorithm(op, exact, make_plan(op, exact, table), own, table);
      };
      if (plan.algorithm == Algorithm::kStrassen)
        return make_strassen<T>(problem, plan, kernels, weights, make_exact);
      return plan.along_rows ? make_winograd_rows<T>(problem, kernels, weights, make_exact)
                             : make_winograd<T>(problem, plan, kernels, weights, make_exact);
    }
    default:
      if (plan.dot) return make_dot<T>(problem, kernels, weights);
      if (plan.narrow_groups) return make_narrow(problem, plan, kernels, weights);
      if (plan.few_outputs) return make_few_outputs<T>(problem, plan, kernels, weights);
      if (plan.few_channels) return make_few_channels<T>(problem, kernels, weights);
      return problem.layout == Layout::kNhwc ? make_implicit_gemm_nhwc<T>(problem, plan, kernels, weights)
                                             : make_implicit_gemm_nchw<T>(problem, plan, kernels, weights);
  }
}

ConvGeometry geometry_of(const ConvSpec& spec, const std::array<int64_t, 4>& weight) {
  return make_geometry(spec.op, spec.x, weight, spec.stride, spec.padding, spec.dilation, spec.groups,
                       spec.channels_from);
}

// Others serve certain filters, and say of the caller's whether it is one; the reference leaves nothing out.
bool leaves_taps_out(Algorithm algorithm) {
  return algorithm == Algorithm::kAuto || algorithm == Algorithm::kDirect ||
         algorithm == Algorithm::kDepthwise;
}

template <class T>
ConvProblem problem_for(const ConvSpec& spec, const ConvGeometry& asked) {
  ConvProblem problem{.geometry = leaves_taps_out(spec.algorithm) ? without_hidden_taps(asked) : asked,
                      .layout = spec.layout,
                      .algorithm = spec.algorithm,
                      .element_bytes = sizeof(T),
                      .activation = spec.activation,
                      .residual = spec.residual,
                      .once = spec.once,
                      .exact = spec.exact,
                      .role = spec.role};
  assert(spec.out_step == 0 || spec.out_step >= problem.output_step());
  problem.out_step = spec.out_step;
  return problem;
}

}  // namespace

template <class T>
ConvProblem Conv2d<T>::problem_of(const ConvSpec& spec, const std::array<int64_t, 4>& weight) {
  return problem_for<T>(spec, geometry_of(spec, weight));
}

template <class T>
Conv2d<T>::Conv2d(const ConvSpec& spec, const ConvWeights<T>& weights, const KernelTable& kernels)
    : asked_(geometry_of(spec, {weights.weight.batch, weights.weight.channels, weights.weight.height,
                                weights.weight.width})),
      problem_(problem_for<T>(spec, asked_)),
      plan_(make_plan(spec.op, problem_, kernels)),
      useful_threads_(onebyone::useful_threads(problem_, plan_, kMaxThreads)),
      algorithm_(make_algorithm(spec.op, problem_, plan_,
                                ConvWeights<T>{visible_weights(weights.weight, asked_, problem_.geometry),
                                               weights.bias, weights.bias_stride},
                                kernels)) {}

template <class T>
void Conv2d<T>::run(const ImageView<const T>& x, const T* residual, T* out, int threads) const {
  const int team = useful_threads(threads);
  if (!verbose()) return algorithm_->run(x, residual, out, team);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  algorithm_->run(x, residual, out, team);
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  const double flops = 2.0 * static_cast<double>(macs());
  std::fprintf(stderr, "onebyone,%s,%.4f ms,%.2f GFLOP/s\n", describe(threads).c_str(), ms,
               flops / ms * 1e-6);
}

template <class T>
int64_t Conv2d<T>::workspace_bytes(int threads) const {
  return algorithm_->scratch_bytes() * useful_threads(threads) + algorithm_->shared_bytes();
}

template <class T>
std::string Conv2d<T>::describe(int threads) const {
  return onebyone::describe(asked_, problem_, plan_, threads);
}

template class Conv2d<float>;
template class Conv2d<double>;

}  // namespace onebyone
