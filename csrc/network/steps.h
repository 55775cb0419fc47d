// network/steps.h - one operation as a Step: weights packed, algorithm chosen, ready to run on views. Called
// by compile.cc; calls conv/ and ops/. Knows no places.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "conv/conv2d.h"
#include "cpu/isa.h"
#include "network/network.h"
#include "network/scaled_pixels.h"

namespace onebyone {

template <class T>
class StepMaker {
 public:
  StepMaker(bool exact, const KernelTable& table) : exact_(exact), table_(table) {}
  const Kernels<T>& kernels() const { return kernels_of<T>(table_); }

  // What a convolution is asked for: x channels last (shape (N, C, H, W)), the output's pixels out_step apart
  // (0: contiguous).
  ConvSpec conv_spec(const std::string& name, const ConvOp<T>& op, const Dims& x, bool residual,
                     int64_t out_step, ConvRole role) const;
  // The plan that it would get.
  ConvPlan conv_plan(const ConvSpec& spec, const ConvOp<T>& op) const;
  // What that should cost (conv/cost.h).
  double conv_cycles(const ConvSpec& spec, const ConvOp<T>& op, const ConvPlan& plan) const;
  Step<T> conv(const ConvSpec& spec, const ConvOp<T>& op) const;
  // Convolutions after each other (chain.h), perhaps after a ScaleShiftOp or ActivationOp. Channels first:
  // made by pixels alone, without a residual.
  Step<T> chain(const std::vector<std::pair<ConvSpec, const ConvOp<T>*>>& stages, const Op<T>* scaled,
                Layout layout) const;
  Step<T> conv_transpose(const std::string& name, const ConvTransposeOp<T>& op, const Dims& x) const;
  // The rows of x are x_step apart, those of the output out_step.
  Step<T> linear(const std::string& name, const LinearOp<T>& op, const Dims& x, int64_t x_step, bool residual,
                 int64_t out_step) const;
  Step<T> matmul(int64_t macs) const;

  Step<T> copy() const;
  Step<T> scale_shift(const ScaleShiftOp& op) const;
  Step<T> activation(const ActivationOp& op) const;
  Step<T> unary(const UnaryOp& op) const;
  Step<T> binary(const BinaryOp& op) const;
  Step<T> pool(const PoolOp& op) const;
  Step<T> adaptive_pool() const;
  Step<T> resize(const ResizeOp& op) const;
  Step<T> lrn(const LrnOp& op) const;
  Step<T> reduce(const ReduceOp& op) const;
  Step<T> softmax(const SoftmaxOp& op) const;
  Step<T> pad(const PadOp& op) const;
  Step<T> gather(const GatherOp& op) const;

 private:
  using ConvPtr = std::shared_ptr<const Conv2d<T>>;
  ConvPtr make_conv(const ConvSpec& spec, const ConvWeights<T>& weights, const Folded& folded) const;
  Step<T> conv2d(const char* op, const ConvPtr& conv) const;
  std::unique_ptr<const ScaledPixels<T>> scaled_pixels(const Op<T>& op) const;

  bool exact_;
  const KernelTable& table_;
};

}  // namespace onebyone
