// conv/exact_fallback.h - images whose infinities, NaN or overflows an algorithm of sums and differences
// would spread over pixels that do not see them: they are convolved again by plain products. Used by
// winograd.cc and strassen.cc.
#pragma once

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "conv/algorithm.h"

namespace onebyone {

template <class T>
class ExactFallback {
 public:
  // (oc, group_ic, kh, kw) in that order, and oc values or none.
  struct Weights {
    std::vector<T> weight, bias;
  };
  // By image: whether it is to be convolved again.
  using Flags = std::vector<std::atomic<bool>>;

  explicit ExactFallback(MakeExact<T> make) : make_(std::move(make)) {}

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
        algorithm_ =
            make_({dense_weights(own.weight.data(), g), own.bias.empty() ? nullptr : own.bias.data(), 1});
      });
      ImageView<const T> image = x;
      image.data += static_cast<int64_t>(n) * x.sn;
      image.batch = 1;
      const int64_t at = static_cast<int64_t>(n) * image_step;
      algorithm_->run(image, residual ? residual + at : nullptr, out + at, threads);
    }
  }

 private:
  const MakeExact<T> make_;
  mutable std::once_flag made_;
  mutable ConvAlgorithmPtr<T> algorithm_;
};

}  // namespace onebyone
