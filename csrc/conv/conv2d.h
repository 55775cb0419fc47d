// conv/conv2d.h - the one C++ entry to convolution: validate -> plan -> run. Called by bindings/, network/,
// bench/ and the C++ tests; calls geometry, plan and one algorithm.
#pragma once

#include <algorithm>
#include <string>

#include "conv/algorithm.h"
#include "conv/plan.h"
#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone {

// So many rows of a linear layer or fewer are images of one pixel, so that they become dot products with the
// weights in place, which take less time than packing them; more are the pixels of one image. The two round
// differently.
inline constexpr int64_t kFewRows = 16;

// What to compute, as the caller says it; x's shape, not its data.
struct ConvSpec {
  std::string op = "conv2d";  // the caller's name, for messages
  ImageShape x{};
  Layout layout = Layout::kNchw;
  std::string channels_from = "x.shape[1], layout NCHW";  // for messages
  Pair stride{1, 1};
  Padding padding = Edges{0, 0, 0, 0};
  Pair dilation{1, 1};
  int64_t groups = 1;
  Activation activation;
  bool residual = false;
  Algorithm algorithm = Algorithm::kAuto;
  bool once = false;   // see ConvProblem
  bool exact = false;  // see ConvProblem
  ConvRole role = ConvRole::kAlone;
  int64_t out_step = 0;  // see ConvProblem
};

// A convolution ready to run: weights packed, algorithm chosen. Holds copies; safe to run from several
// threads.
template <class T>
class Conv2d {
 public:
  // weight: a view (oc, ic / groups, kh, kw); bias: oc values `bias_stride` apart, or null.
  // Throws std::invalid_argument naming the argument, its values and the cure.
  Conv2d(const ConvSpec& spec, const ConvWeights<T>& weights, const KernelTable& kernels);

  // The spec for a weight of this shape, checked: what the constructor plans for. Without the taps that see
  // padding alone (visible_taps.h), unless the algorithm asked for is one by the filter's shape.
  static ConvProblem problem_of(const ConvSpec& spec, const std::array<int64_t, 4>& weight);

  // x has the shape of the spec; residual (null unless the spec has one) and out are contiguous in the
  // layout, or lie as the spec's out_step says.
  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const;

  // What is computed, by as small a filter as will do.
  const ConvGeometry& geometry() const { return problem_.geometry; }
  const ConvProblem& problem() const { return problem_; }
  const ConvPlan& plan() const { return plan_; }
  // Multiplications of the whole filter (ConvGeometry::macs).
  int64_t macs() const { return asked_.macs(); }
  // Of so many threads those worth starting.
  int useful_threads(int threads) const { return std::min(useful_threads_, threads); }
  int64_t workspace_bytes(int threads) const;
  const ConvAlgorithm<T>& algorithm() const { return *algorithm_; }
  int64_t weight_bytes() const { return algorithm_->weight_bytes(); }
  std::string describe(int threads) const;

 private:
  ConvGeometry asked_;  // by the whole filter
  ConvProblem problem_;
  ConvPlan plan_;
  int useful_threads_;
  ConvAlgorithmPtr<T> algorithm_;
};

}  // namespace onebyone
