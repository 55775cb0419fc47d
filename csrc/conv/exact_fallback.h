// conv/exact_fallback.h - images whose infinities, NaN or overflows an algorithm of sums and differences
// would spread over pixels that do not see them: they are convolved again by plain products. Used by
// winograd.cc and strassen.cc.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "conv/algorithm.h"

namespace onebyone {

template <class T>
class ExactFallback {
 public:
  using Make = std::function<ConvAlgorithmPtr<T>(const ConvWeights<T>&)>;
  // (oc, group_ic, kh, kw) in that order, and oc values or none.
  struct Weights {
    std::vector<T> weight, bias;
  };
  // By image: whether it is to be convolved again.
  using Flags = std::vector<std::atomic<bool>>;

  // `make` prepares what convolves one image.
  explicit ExactFallback(Make make) : make_(std::move(make)) {}

  void prepare(const ConvWeights<T>& weights) {
    std::call_once(made_, [&] { algorithm_ = make_(weights); });
  }

  // Few networks ever need it: the weights are made anew by `recover` when the first image comes, since
  // beside the transformed ones they would take half as much memory again. Images of out are image_step
  // apart.
  template <class Recover>
  void run(const Flags& flags, const ConvGeometry& g, const ImageView<const T>& x, const T* residual, T* out,
           int64_t image_step, int threads, const Recover& recover) const {
    for (size_t n = 0; n < flags.size(); ++n) {
      if (!flags[n]) continue;
      std::call_once(made_, [&] {
        const Weights own = recover();
        const int64_t sc = g.taps(), sn = g.group_ic() * sc;
        algorithm_ = make_({{own.weight.data(), g.oc, g.group_ic(), g.kh, g.kw, sn, sc, g.kw, 1},
                            own.bias.empty() ? nullptr : own.bias.data(),
                            1});
      });
      ImageView<const T> image = x;
      image.data += static_cast<int64_t>(n) * x.sn;
      image.batch = 1;
      const int64_t at = static_cast<int64_t>(n) * image_step;
      algorithm_->run(image, residual ? residual + at : nullptr, out + at, threads);
    }
  }

 private:
  const Make make_;
  mutable std::once_flag made_;
  mutable ConvAlgorithmPtr<T> algorithm_;
};

}  // namespace onebyone
