// lrn.cc - local response normalisation (reduce.h), in plain loops for the compiler's vectors of the
// baseline. Compiled with -fno-math-errno, so that the usual power of 3/4 is two square roots.
#include <cmath>

#include "core/aligned_buffer.h"
#include "ops/loops.h"
#include "ops/reduce.h"

namespace onebyone {
namespace {

constexpr int64_t kChunk = 256;

// out = x / sum ^ beta; sum: k + alpha / size * squares.
template <class T>
void divide(const T* x, int64_t x_step, const T* sum, T beta, T* out, int64_t out_step, int64_t n) {
  if (beta == T(0.75))
    for (int64_t i = 0; i < n; ++i) {
      const T root = std::sqrt(sum[i]);
      out[i * out_step] = x[i * x_step] / (root * std::sqrt(root));
    }
  else
    for (int64_t i = 0; i < n; ++i) out[i * out_step] = x[i * x_step] / std::pow(sum[i], beta);
}

template <class T>
class Lrn {
 public:
  Lrn(const LrnSpec& spec, int64_t channels)
      : before_((spec.size - 1) / 2),
        after_(spec.size - 1 - before_),
        channels_(channels),
        k_(static_cast<T>(spec.k)),
        alpha_(static_cast<T>(spec.alpha / static_cast<double>(spec.size))),
        beta_(static_cast<T>(spec.beta)) {}

  // One pixel, whose channels are contiguous.
  void pixel(const T* x, T* out) const {
    const int64_t padded = channels_ + before_ + after_;
    T* const squares =
        reinterpret_cast<T*>(thread_scratch((padded + channels_) * static_cast<int64_t>(sizeof(T))));
    T* const sums = squares + padded;
    std::fill_n(squares, before_, T(0));
    std::fill_n(squares + before_ + channels_, after_, T(0));
    for (int64_t c = 0; c < channels_; ++c) squares[before_ + c] = x[c] * x[c];
    std::fill_n(sums, channels_, T(0));
    for (int64_t t = 0; t <= before_ + after_; ++t)
      for (int64_t c = 0; c < channels_; ++c) sums[c] += squares[c + t];
    for (int64_t c = 0; c < channels_; ++c) sums[c] = k_ + alpha_ * sums[c];
    divide(x, 1, sums, beta_, out, 1, channels_);
  }

  // n <= kChunk pixels, `*_step` apart, their channels `*_channel` apart.
  void pixels(const T* x, int64_t x_step, int64_t x_channel, T* out, int64_t out_step, int64_t out_channel,
              int64_t n) const {
    T sums[kChunk];
    for (int64_t c = 0; c < channels_; ++c) {
      std::fill_n(sums, n, T(0));
      for (int64_t t = std::max<int64_t>(0, c - before_); t <= std::min(channels_ - 1, c + after_); ++t)
        add_squares(x + t * x_channel, x_step, sums, n);
      for (int64_t i = 0; i < n; ++i) sums[i] = k_ + alpha_ * sums[i];
      divide(x + c * x_channel, x_step, sums, beta_, out + c * out_channel, out_step, n);
    }
  }

 private:
  static void add_squares(const T* x, int64_t step, T* sums, int64_t n) {
    if (step == 1)
      for (int64_t i = 0; i < n; ++i) sums[i] += x[i] * x[i];
    else
      for (int64_t i = 0; i < n; ++i) sums[i] += x[i * step] * x[i * step];
  }

  const int64_t before_, after_, channels_;
  const T k_, alpha_, beta_;
};

}  // namespace

template <class T>
void lrn(const LrnSpec& spec, const ImageView<const T>& x, const ImageView<T>& out, const Kernels<T>&,
         int threads) {
  if (x.empty()) return;
  const int64_t shape[] = {x.batch, x.height, x.width};
  const int64_t out_strides[] = {out.sn, out.sh, out.sw}, x_strides[] = {x.sn, x.sh, x.sw};
  const Loops<2> loops(3, shape, {out_strides, x_strides});  // over the pixels
  const Lrn<T> lrn(spec, x.channels);
  loops.for_each_piece_in_parallel(std::max<int64_t>(1, kCostlyGrain / x.channels), kThreadAlign, threads,
                                   [&](const int64_t (&offsets)[2], int64_t rows, int64_t n) {
                                     for (int64_t r = 0; r < rows; ++r) {
                                       const T* const from = x.data + offsets[1] + r * loops.row_stride(1);
                                       T* const to = out.data + offsets[0] + r * loops.row_stride(0);
                                       if (x.sc == 1 && out.sc == 1)
                                         for (int64_t i = 0; i < n; ++i)
                                           lrn.pixel(from + i * loops.step(1), to + i * loops.step(0));
                                       else
                                         for (int64_t i = 0; i < n; i += kChunk)
                                           lrn.pixels(from + i * loops.step(1), loops.step(1), x.sc,
                                                      to + i * loops.step(0), loops.step(0), out.sc,
                                                      std::min(kChunk, n - i));
                                     }
                                   });
}

template void lrn(const LrnSpec&, const ImageView<const float>&, const ImageView<float>&,
                  const Kernels<float>&, int);
template void lrn(const LrnSpec&, const ImageView<const double>&, const ImageView<double>&,
                  const Kernels<double>&, int);

}  // namespace onebyone
