// network/chain.h - convolutions after each other whose intermediate images never exist as a whole: a few
// pixels or rows at a time go through all of them while they are in cache. Called by compile.cc; calls
// ConvAlgorithm::run_part. Channels last.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "conv/conv2d.h"
#include "network/scaled_pixels.h"

namespace onebyone {

// Two forms:
//   pixels   a convolution, then 1x1 ones of stride 1: blocks of output pixels;
//   rows     perhaps a convolution, a depthwise one, perhaps a 1x1 one of stride 1 (the inverted residual of
//            Sandler et al., arXiv 1801.04381, or a network's first layers): bands of rows. The rows that two
//            bands share are kept, not made again.
// The first convolution, if it is 1x1 of stride 1, may read scaled pixels: networks that normalise before
// they convolve cannot fold that into weights, where others read the image too (He et al., arXiv 1603.05027;
// DenseNet, arXiv 1608.06993).
template <class T>
class Chain {
 public:
  using Stage = std::shared_ptr<const Conv2d<T>>;

  // Each stage's input is the output of the one before, the first one's what `scaled` makes of x, if given;
  // only the last may have a residual and an out_step. Where `transposing` is given, the output's channels
  // lie apart, (N, C, H, W): for the form `pixels` without residual and out_step.
  explicit Chain(std::vector<Stage> stages, std::unique_ptr<const ScaledPixels<T>> scaled = nullptr,
                 const Kernels<T>* transposing = nullptr);

  // Whether a stage of this plan can be part of a chain: made by pixels, or by rows.
  static bool by_pixels(const ConvPlan& plan);
  static bool by_rows(const ConvPlan& plan);

  // As Conv2d::run of the stages in order, with the same bits. x has contiguous channels.
  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const;

  int64_t macs() const;
  int64_t weight_bytes() const;
  int64_t workspace_bytes(int threads) const;
  std::string describe(int threads) const;

 private:
  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
  };
  const ConvGeometry& geometry(size_t stage) const { return stages_[stage]->geometry(); }
  void run_first(const Tensors& t, T* scratch, int64_t begin, int64_t end) const;
  void run_pixels(const Tensors& t, int64_t begin, int64_t end) const;
  void spread_channels(const T* block, T* out, int64_t begin, int64_t end) const;
  void run_rows(const Tensors& t, int64_t image, int64_t begin, int64_t end) const;
  int64_t expanded_rows() const;
  int64_t band_rows() const;
  int64_t scaled_size() const { return scaled_pixels_ * scaled_step_; }
  int64_t buffer_size() const;

  const std::vector<Stage> stages_;
  const std::unique_ptr<const ScaledPixels<T>> scaled_;
  const Kernels<T>* const transposing_;
  int rows_stage_ = -1;        // the depthwise one, or -1
  int64_t block_pixels_ = 0;   // pixels: of a block
  int64_t scaled_pixels_ = 0;  // of a block of scaled ones
  int64_t scaled_step_ = 0;    // between them
};

}  // namespace onebyone
