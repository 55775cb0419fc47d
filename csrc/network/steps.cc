#include "network/steps.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "conv/cost.h"
#include "network/chain.h"
#include "network/slots.h"
#include "ops/matmul.h"

namespace onebyone {
namespace {

// `op` and what runs it; nothing else to tell.
template <class T, class Run>
Step<T> step_of(const char* op, Run run) {
  Step<T> step;
  step.op = op;
  step.run = std::move(run);
  return step;
}

// Weights and bias with what was folded into them. Weights below the normal numbers become 0: training leaves
// them in channels that died, and each product with one takes fifty times as long (text detection: 55 ms
// with, 39 without them).
template <class T>
class FoldedWeights {
 public:
  // channel(n, c): the output channel of the filter that belongs to weight (n, c).
  template <class Channel>
  FoldedWeights(const ConvWeights<T>& given, const Folded& folded, int64_t channels, const Channel& channel)
      : weights_(given) {
    const ImageView<const T>& w = given.weight;
    const bool folds = !folded.scale.empty();
    if (!folds && !has_subnormal(w)) return;
    weight_.reserve(w.batch * w.channels * w.height * w.width);
    for_each(w, [&](int64_t n, int64_t c, T value) {
      weight_.push_back(flushed(folds ? static_cast<T>(folded.scale[channel(n, c)] * value) : value));
    });
    const int64_t sh = w.width, sc = w.height * sh, sn = w.channels * sc;
    weights_.weight = {weight_.data(), w.batch, w.channels, w.height, w.width, sn, sc, sh, 1};
    if (!folds) return;
    for (int64_t c = 0; c < channels; ++c) {
      const double bias = given.bias ? static_cast<double>(given.bias[c * given.bias_stride]) : 0;
      bias_.push_back(static_cast<T>(bias * folded.scale[c] + folded.shift[c]));
    }
    weights_.bias = bias_.data();
    weights_.bias_stride = 1;
  }
  FoldedWeights(const FoldedWeights&) = delete;
  FoldedWeights& operator=(const FoldedWeights&) = delete;

  const ConvWeights<T>& weights() const { return weights_; }

 private:
  static T flushed(T value) { return std::abs(value) < std::numeric_limits<T>::min() ? T(0) : value; }

  static bool has_subnormal(const ImageView<const T>& w) {
    const int64_t count = w.batch * w.channels * w.height * w.width;
    const int64_t last =
        (w.batch - 1) * w.sn + (w.channels - 1) * w.sc + (w.height - 1) * w.sh + (w.width - 1) * w.sw;
    bool found = false;
    if (std::min({w.sn, w.sc, w.sh, w.sw}) >= 0 && last + 1 == count) {
      // Contiguous in some order.
      for (int64_t i = 0; i < count; ++i) found |= w.data[i] != flushed(w.data[i]);
    } else {
      for_each(w, [&](int64_t, int64_t, T value) { found |= value != flushed(value); });
    }
    return found;
  }

  // body(n, c, value) for all weights, in order of (n, c, h, w).
  template <class Body>
  static void for_each(const ImageView<const T>& w, const Body& body) {
    for (int64_t n = 0; n < w.batch; ++n)
      for (int64_t c = 0; c < w.channels; ++c)
        for (int64_t i = 0; i < w.height; ++i)
          for (int64_t j = 0; j < w.width; ++j) body(n, c, w.data[n * w.sn + c * w.sc + i * w.sh + j * w.sw]);
  }

  ConvWeights<T> weights_;
  std::vector<T> weight_, bias_;
};

template <class T>
ConvProblem problem_of(const ConvSpec& spec, const ConvOp<T>& op) {
  const ImageView<const T>& w = op.weights.weight;
  return Conv2d<T>::problem_of(spec, {w.batch, w.channels, w.height, w.width});
}

}  // namespace

template <class T>
std::shared_ptr<const Conv2d<T>> StepMaker<T>::make_conv(const ConvSpec& spec, const ConvWeights<T>& weights,
                                                         const Folded& folded) const {
  const FoldedWeights<T> own(weights, folded, weights.weight.batch, [](int64_t n, int64_t) { return n; });
  return std::make_shared<const Conv2d<T>>(spec, own.weights(), table_);
}

template <class T>
Step<T> StepMaker<T>::conv2d(const char* op, const ConvPtr& conv) const {
  const bool residual = conv->problem().residual;
  Step<T> step = step_of<T>(op, [conv, residual](const auto* in, const auto& out, int threads) {
    conv->run(as_image(in[0]), residual ? in[1].data : nullptr, out.data, threads);
  });
  step.macs = conv->macs();
  step.weight_bytes = conv->weight_bytes();
  step.describe = [conv](int threads) { return conv->describe(threads); };
  step.workspace_bytes = [conv](int threads) { return conv->workspace_bytes(threads); };
  return step;
}

template <class T>
ConvSpec StepMaker<T>::conv_spec(const std::string& name, const ConvOp<T>& op, const Dims& x, bool residual,
                                 int64_t out_step, ConvRole role) const {
  return {.op = name.empty() ? "conv2d" : name,
          .x = {x[0], x[1], x[2], x[3]},
          .layout = Layout::kNhwc,
          .channels_from = "x.shape[1]",
          .stride = op.stride,
          .padding = op.padding,
          .dilation = op.dilation,
          .groups = op.groups,
          .activation = op.activation,
          .residual = residual,
          .exact = exact_,
          .role = op.scaled ? ConvRole::kStage : role,
          .out_step = out_step};
}

template <class T>
ConvPlan StepMaker<T>::conv_plan(const ConvSpec& spec, const ConvOp<T>& op) const {
  return make_plan(spec.op, problem_of(spec, op), table_);
}

template <class T>
double StepMaker<T>::conv_cycles(const ConvSpec& spec, const ConvOp<T>& op, const ConvPlan& plan) const {
  return estimate_cycles(problem_of(spec, op), plan);
}

template <class T>
Step<T> StepMaker<T>::conv(const ConvSpec& spec, const ConvOp<T>& op) const {
  const ConvPtr conv = make_conv(spec, op.weights, op.folded);
  Step<T> step = conv2d("conv", conv);
  if (op.scaled) {
    step.describe = [conv](int threads) { return "scaled " + conv->describe(threads); };
    step.run = [conv](const TensorView<const T>* in, const TensorView<T>& out, int threads) {
      conv->algorithm().run_scaled(as_image(in[0]), in[1].data,
                                   conv->problem().residual ? in[2].data : nullptr, out.data,
                                   conv->useful_threads(threads));
    };
  }
  return step;
}

template <class T>
std::unique_ptr<const ScaledPixels<T>> StepMaker<T>::scaled_pixels(const Op<T>& op) const {
  if (const auto* factors = std::get_if<ScaleShiftOp>(&op))
    return std::make_unique<const ScaledPixels<T>>(factors->scale, factors->shift, factors->activation,
                                                   kernels());
  const std::vector<double> none;
  return std::make_unique<const ScaledPixels<T>>(none, none, std::get<ActivationOp>(op).activation,
                                                 kernels());
}

template <class T>
Step<T> StepMaker<T>::chain(const std::vector<std::pair<ConvSpec, const ConvOp<T>*>>& stages,
                            const Op<T>* scaled, Layout layout) const {
  std::vector<ConvPtr> convs;
  for (const auto& [spec, op] : stages) convs.push_back(make_conv(spec, op->weights, op->folded));
  const bool residual = convs.back()->problem().residual;
  const auto chain =
      std::make_shared<const Chain<T>>(std::move(convs), scaled ? scaled_pixels(*scaled) : nullptr,
                                       layout == Layout::kNchw ? &kernels() : nullptr);
  Step<T> step = step_of<T>("chain", [chain, residual](const auto* in, const auto& out, int threads) {
    chain->run(as_image(in[0]), residual ? in[1].data : nullptr, out.data, threads);
  });
  step.macs = chain->macs();
  step.weight_bytes = chain->weight_bytes();
  step.describe = [chain](int threads) { return chain->describe(threads); };
  step.workspace_bytes = [chain](int threads) { return chain->workspace_bytes(threads); };
  return step;
}

template <class T>
Step<T> StepMaker<T>::linear(const std::string& name, const LinearOp<T>& op, const Dims& x, int64_t x_step,
                             bool residual, int64_t out_step) const {
  // Few rows are images of one pixel, which dot products serve; more are the pixels of one image.
  const int64_t features = x.back(), rows = element_count(Dims(x.begin(), x.end() - 1));
  const ImageShape shape =
      rows <= kFewRows ? ImageShape{rows, features, 1, 1} : ImageShape{1, features, 1, rows};
  const ConvSpec spec{.op = name.empty() ? "linear" : name,
                      .x = shape,
                      .layout = Layout::kNhwc,
                      .channels_from = "x.shape[-1]",
                      .activation = op.activation,
                      .residual = residual,
                      .exact = exact_,
                      .out_step = out_step};
  Step<T> step = conv2d("linear", make_conv(spec, op.weights, op.folded));
  step.run = [conv = std::move(step.run), shape, x_step, residual](const TensorView<const T>* in,
                                                                   const TensorView<T>& out, int threads) {
    TensorView<const T> inputs[2];
    inputs[0] = {in[0].data, 4, {shape.batch, shape.channels, 1, shape.width}, {x_step, 1, x_step, x_step}};
    if (residual) inputs[1] = in[1];
    conv(inputs, out, threads);
  };
  return step;
}

template <class T>
Step<T> StepMaker<T>::conv_transpose(const std::string& name, const ConvTransposeOp<T>& op,
                                     const Dims& x) const {
  const ConvTransposeSpec spec{.op = name.empty() ? "conv_transpose2d" : name,
                               .x = {x[0], x[1], x[2], x[3]},
                               .layout = Layout::kNhwc,
                               .channels_from = "x.shape[1]",
                               .stride = op.stride,
                               .padding = op.padding,
                               .output_padding = op.output_padding,
                               .dilation = op.dilation,
                               .groups = op.groups,
                               .activation = op.activation,
                               .exact = exact_};
  const ImageView<const T>& w = op.weights.weight;
  const int64_t group_ic = w.batch / op.groups, group_oc = w.channels;
  const FoldedWeights<T> own(op.weights, op.folded, group_oc * op.groups,
                             [=](int64_t n, int64_t c) { return n / group_ic * group_oc + c; });
  const auto conv = std::make_shared<const ConvTranspose2d<T>>(spec, own.weights(), table_);
  Step<T> step;
  step.op = "conv_transpose";
  step.macs = x[0] * x[2] * x[3] * w.batch * w.channels * w.height * w.width;
  step.weight_bytes = w.batch * w.channels * w.height * w.width * static_cast<int64_t>(sizeof(T));
  step.describe = [conv](int threads) { return conv->describe(threads); };
  step.workspace_bytes = [conv](int threads) { return conv->workspace_bytes(threads); };
  step.run = [conv](const TensorView<const T>* in, const TensorView<T>& out, int threads) {
    conv->run(as_image(in[0]), out.data, threads);
  };
  return step;
}

template <class T>
Step<T> StepMaker<T>::matmul(int64_t macs) const {
  Step<T> step = step_of<T>("matmul", [&k = kernels()](const auto* in, const auto& out, int threads) {
    onebyone::matmul<T>(in[0], in[1], out, k, threads);
  });
  step.macs = macs;
  return step;
}

template <class T>
Step<T> StepMaker<T>::copy() const {
  return step_of<T>("copy", [&k = kernels()](const auto* in, const auto& out, int threads) {
    onebyone::copy<T>(in[0], out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::scale_shift(const ScaleShiftOp& op) const {
  std::vector<T> scale(op.scale.begin(), op.scale.end()), shift(op.shift.begin(), op.shift.end());
  return step_of<T>(
      "scale_shift", [&k = kernels(), axis = op.axis, activation = op.activation, scale = std::move(scale),
                      shift = std::move(shift)](const auto* in, const auto& out, int threads) {
        onebyone::scale_shift<T>(in[0], axis, scale.data(), shift.data(), activation, out, k, threads);
      });
}

template <class T>
Step<T> StepMaker<T>::activation(const ActivationOp& op) const {
  return step_of<T>("activation", [&k = kernels(), activation = op.activation](const auto* in,
                                                                               const auto& out, int threads) {
    activate<T>(activation, in[0], out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::unary(const UnaryOp& op) const {
  return step_of<T>("unary", [&k = kernels(), kind = op.kind](const auto* in, const auto& out, int threads) {
    onebyone::unary<T>(kind, in[0], out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::binary(const BinaryOp& op) const {
  return step_of<T>("binary", [&k = kernels(), op](const auto* in, const auto& out, int threads) {
    onebyone::binary<T>(op.kind, in[0], in[1], op.activation, out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::pool(const PoolOp& op) const {
  return step_of<T>(op.spec.kind == PoolKind::kMax ? "max_pool" : "avg_pool",
                    [&k = kernels(), spec = op.spec](const auto* in, const auto& out, int threads) {
                      onebyone::pool<T>(spec, as_image(in[0]), as_image(out), k, threads);
                    });
}

template <class T>
Step<T> StepMaker<T>::adaptive_pool() const {
  return step_of<T>("adaptive_avg_pool", [&k = kernels()](const auto* in, const auto& out, int threads) {
    adaptive_average_pool<T>(as_image(in[0]), as_image(out), k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::resize(const ResizeOp& op) const {
  return step_of<T>("resize", [&k = kernels(), spec = op.spec](const auto* in, const auto& out, int threads) {
    onebyone::resize<T>(spec, as_image(in[0]), as_image(out), k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::lrn(const LrnOp& op) const {
  return step_of<T>("lrn", [&k = kernels(), spec = op.spec](const auto* in, const auto& out, int threads) {
    onebyone::lrn<T>(spec, as_image(in[0]), as_image(out), k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::reduce(const ReduceOp& op) const {
  return step_of<T>("reduce", [&k = kernels(), kind = op.kind](const auto* in, const auto& out, int threads) {
    onebyone::reduce<T>(kind, in[0], out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::softmax(const SoftmaxOp& op) const {
  return step_of<T>("softmax", [&k = kernels(), op](const auto* in, const auto& out, int threads) {
    onebyone::softmax<T>(in[0], op.axis, op.log, out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::pad(const PadOp& op) const {
  return step_of<T>("pad", [&k = kernels(), op](const auto* in, const auto& out, int threads) {
    onebyone::pad<T>(in[0], op.before.data(), op.mode, static_cast<T>(op.value), out, k, threads);
  });
}

template <class T>
Step<T> StepMaker<T>::gather(const GatherOp& op) const {
  return step_of<T>("gather", [&k = kernels(), op](const auto* in, const auto& out, int threads) {
    onebyone::gather<T>(in[0], op.axis, op.indices.data(), out, k, threads);
  });
}

template class StepMaker<float>;
template class StepMaker<double>;

}  // namespace onebyone
