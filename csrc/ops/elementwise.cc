#include "ops/elementwise.h"

#include <cmath>

#include "ops/runs.h"

namespace onebyone {
namespace {

int64_t grain_of(const Activation& activation) {
  return activation.kind > ActivationKind::kLeakyRelu ? kCostlyGrain : kCheapGrain;
}

ElementwiseKind kind_of(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::kAdd: return ElementwiseKind::kAdd;
    case BinaryKind::kSub: return ElementwiseKind::kSub;
    case BinaryKind::kMul: return ElementwiseKind::kMul;
    case BinaryKind::kDiv: return ElementwiseKind::kDiv;
    case BinaryKind::kMax: return ElementwiseKind::kMax;
    case BinaryKind::kMin: return ElementwiseKind::kMin;
    case BinaryKind::kPow: break;
  }
  fail("binary: kind ", static_cast<int>(kind), " has no vectors");
}

// Powers of a row. Squares, the usual case, are products.
template <class T>
void pow_row(const T* base, const T* exponent, int64_t exponent_step, T* out, int64_t n) {
  if (exponent_step == 0 && *exponent == T(2)) {
    for (int64_t i = 0; i < n; ++i) out[i] = base[i] * base[i];
  } else {
    // Read anew each time: out may be the exponents' memory.
    for (int64_t i = 0; i < n; ++i) out[i] = std::pow(base[i], exponent[i * exponent_step]);
  }
}

template <class T>
void power(const TensorView<const T>& a, const TensorView<const T>& b, const Activation& activation,
           const TensorView<T>& out, const Kernels<T>& kernels, int threads) {
  constexpr int64_t kChunk = 512;
  for_each_run<true, T, 2>(loops_over(out, {&a, &b}), {a.data, b.data}, out.data, kCostlyGrain, threads,
                           [&](const Runs<T, 2>& runs) {
                             const auto& [base, exponent] = runs.in;
                             for (int64_t r = 0; r < runs.rows; ++r)
                               for (int64_t i = 0; i < runs.n; i += kChunk) {
                                 const int64_t n = std::min(kChunk, runs.n - i);
                                 const T* x = base.data + r * base.row + i * base.step;
                                 T* to = runs.out + r * runs.out_row + i;
                                 T broadcast[kChunk];
                                 if (base.step == 0) {
                                   std::fill_n(broadcast, n, *x);
                                   x = broadcast;
                                 }
                                 pow_row(x, exponent.data + r * exponent.row + i * exponent.step,
                                         exponent.step, to, n);
                                 if (activation.kind != ActivationKind::kNone)
                                   kernels.activate(activation, to, to, n);
                               }
                           });
}

}  // namespace

template <class T>
void binary(BinaryKind kind, const TensorView<const T>& a, const TensorView<const T>& b,
            const Activation& activation, const TensorView<T>& out, const Kernels<T>& kernels, int threads) {
  if (kind == BinaryKind::kPow) return power(a, b, activation, out, kernels, threads);
  const ElementwiseKind op = kind_of(kind);
  for_each_run<true, T, 2>(loops_over(out, {&a, &b}), {a.data, b.data}, out.data, grain_of(activation),
                           threads, [&](const Runs<T, 2>& runs) {
                             kernels.elementwise({.kind = op,
                                                  .rows = runs.rows,
                                                  .n = runs.n,
                                                  .in = {runs.in[0], runs.in[1], {}},
                                                  .out = runs.out,
                                                  .out_row = runs.out_row,
                                                  .activation = activation});
                           });
}

template <class T>
void activate(const Activation& activation, const TensorView<const T>& x, const TensorView<T>& out,
              const Kernels<T>& kernels, int threads) {
  for_each_run<false, T, 1>(loops_over(out, {&x}), {x.data}, out.data, grain_of(activation), threads,
                            [&](const Runs<T, 1>& runs) {
                              for (int64_t r = 0; r < runs.rows; ++r)
                                kernels.activate(activation, runs.in[0].data + r * runs.in[0].row,
                                                 runs.out + r * runs.out_row, runs.n);
                            });
}

template <class T>
void scale_shift(const TensorView<const T>& x, int axis, const T* scale, const T* shift,
                 const Activation& activation, const TensorView<T>& out, const Kernels<T>& kernels,
                 int threads) {
  TensorView<const T> factors = read_only(out), terms = factors;
  for (int d = 0; d < out.rank; ++d) factors.strides[d] = terms.strides[d] = d == axis;
  for_each_run<true, T, 3>(loops_over(out, {&x, &factors, &terms}), {x.data, scale, shift}, out.data,
                           grain_of(activation), threads, [&](const Runs<T, 3>& runs) {
                             kernels.elementwise({.kind = ElementwiseKind::kMulAdd,
                                                  .rows = runs.rows,
                                                  .n = runs.n,
                                                  .in = {runs.in[0], runs.in[1], runs.in[2]},
                                                  .out = runs.out,
                                                  .out_row = runs.out_row,
                                                  .activation = activation});
                           });
}

template <class T>
ChannelFactors batch_norm_factors(int64_t channels, const T* mean, const T* variance, const T* weight,
                                  const T* bias, double eps) {
  ChannelFactors factors;
  for (int64_t c = 0; c < channels; ++c) {
    const double scale = (weight ? weight[c] : 1.0) / std::sqrt((variance ? variance[c] : 1.0) + eps);
    factors.scale.push_back(scale);
    factors.shift.push_back((bias ? bias[c] : 0.0) - (mean ? mean[c] : 0.0) * scale);
  }
  return factors;
}

#define ONEBYONE_INSTANTIATE(T)                                                                     \
  template void binary(BinaryKind, const TensorView<const T>&, const TensorView<const T>&,          \
                       const Activation&, const TensorView<T>&, const Kernels<T>&, int);            \
  template void activate(const Activation&, const TensorView<const T>&, const TensorView<T>&,       \
                         const Kernels<T>&, int);                                                   \
  template void scale_shift(const TensorView<const T>&, int, const T*, const T*, const Activation&, \
                            const TensorView<T>&, const Kernels<T>&, int);                          \
  template ChannelFactors batch_norm_factors(int64_t, const T*, const T*, const T*, const T*, double);
ONEBYONE_INSTANTIATE(float)
ONEBYONE_INSTANTIATE(double)
#undef ONEBYONE_INSTANTIATE

}  // namespace onebyone
