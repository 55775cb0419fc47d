// ops/elementwise.h - functions of one and two tensors, element by element. Called by network/ and bindings/;
// calls KernelTable. Knows broadcasting (as strides of 0), the order of loops and threads. Does not know
// convolution.
#pragma once

#include <vector>

#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

enum class BinaryKind : int32_t { kAdd, kSub, kMul, kDiv, kMax, kMin, kPow };
enum class UnaryKind : int32_t {
  kAbs,
  kNeg,
  kSign,
  kExp,
  kLog,
  kSqrt,
  kReciprocal,
  kErf,
  kFloor,
  kCeil,
  kRound,  // half to even
  kSin,
  kCos,
  kSoftplus,
  kElu,   // alpha = 1
  kMish,  // v tanh(softplus(v))
};

// In all of these the views have out's rank and shape, and out is not broadcast. out may be the very memory
// of an input with the same strides; else they do not overlap. NaN and infinity go where the mathematics
// sends them; max and min give NaN if either is.

// out = activation(a op b)
template <class T>
void binary(BinaryKind kind, const TensorView<const T>& a, const TensorView<const T>& b,
            const Activation& activation, const TensorView<T>& out, const Kernels<T>& kernels, int threads);

template <class T>
void unary(UnaryKind kind, const TensorView<const T>& x, const TensorView<T>& out, const Kernels<T>& kernels,
           int threads);

template <class T>
void activate(const Activation& activation, const TensorView<const T>& x, const TensorView<T>& out,
              const Kernels<T>& kernels, int threads);

// out = activation(x * scale[c] + shift[c]), c the index along `axis`: batch normalisation at inference.
template <class T>
void scale_shift(const TensorView<const T>& x, int axis, const T* scale, const T* shift,
                 const Activation& activation, const TensorView<T>& out, const Kernels<T>& kernels,
                 int threads);

// Batch normalisation with known statistics, (x - mean) / sqrt(variance + eps) * weight + bias, as the
// factors of scale_shift. Null for 0, 1, 1 and 0.
struct ChannelFactors {
  std::vector<double> scale, shift;
};
template <class T>
ChannelFactors batch_norm_factors(int64_t channels, const T* mean, const T* variance, const T* weight,
                                  const T* bias, double eps);

}  // namespace onebyone
