// conv/conv_transpose2d.h - transposed convolution, by phases: the outputs (i * stride + p) of one phase p
// are a convolution of stride 1 with every stride-th tap of the filter. Phases that read the same pixels are
// one convolution, 1x1 where the kernel is the stride. Called by network/ and bindings/; calls Conv2d.
#pragma once

#include <memory>
#include <string>

#include "conv/conv2d.h"
#include "core/tensor_view.h"

namespace onebyone {

struct ConvTransposeSpec {
  std::string op = "conv_transpose2d";
  ImageShape x{};
  Layout layout = Layout::kNchw;
  std::string channels_from = "x.shape[1], layout NCHW";
  Pair stride{1, 1};
  Edges padding{0, 0, 0, 0};
  Pair output_padding{0, 0};
  Pair dilation{1, 1};
  int64_t groups = 1;
  Activation activation{};
  bool exact = false;
};

template <class T>
class ConvTranspose2d {
 public:
  // weight: (ic, oc / groups, kh, kw). Throws std::invalid_argument naming the argument and the cure.
  ConvTranspose2d(const ConvTransposeSpec& spec, const ConvWeights<T>& weights, const KernelTable& kernels);
  ~ConvTranspose2d();
  const ImageShape& output_shape() const;
  // out is contiguous in the layout.
  void run(const ImageView<const T>& x, T* out, int threads) const;
  int64_t workspace_bytes(int threads) const;
  std::string describe(int threads) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace onebyone
