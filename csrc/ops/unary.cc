// unary.cc - UnaryKind of elementwise.h. Plain loops for the compiler's vectors of the baseline: these are
// rare in networks, and most wait for memory or libm. Those that networks have as activations are made of the
// kernels' own (mish, 64 channels @80x80: 8.2 to 0.31 ms). Compiled with -fno-math-errno.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/elementwise.h"
#include "ops/runs.h"

namespace onebyone {
namespace {

template <class T, class F>
void map(const Runs<T, 1>& runs, F f) {
  for (int64_t r = 0; r < runs.rows; ++r) {
    const T* const x = runs.in[0].data + r * runs.in[0].row;
    T* const out = runs.out + r * runs.out_row;
    for (int64_t i = 0; i < runs.n; ++i) out[i] = f(x[i]);
  }
}

// out = f(v, activation(g(v))), a piece in L1 at a time. Lambdas: a pointer to a function would be called for
// each element.
template <class T, class G, class F>
void map_activated(const Runs<T, 1>& runs, const Kernels<T>& kernels, ActivationKind activation, G g, F f) {
  constexpr int64_t kPiece = 256;
  T y[kPiece];
  for (int64_t r = 0; r < runs.rows; ++r)
    for (int64_t at = 0; at < runs.n; at += kPiece) {
      const T* const x = runs.in[0].data + r * runs.in[0].row + at;
      T* const out = runs.out + r * runs.out_row + at;
      const int64_t n = std::min(kPiece, runs.n - at);
      for (int64_t i = 0; i < n; ++i) y[i] = g(x[i]);
      kernels.activate({.kind = activation}, y, y, n);
      for (int64_t i = 0; i < n; ++i) out[i] = f(x[i], y[i]);
    }
}

// log(1 + u) = 2 artanh(z) for z = u / (2 + u) in [0, 1/3]: what the next term of the series would add is
// less than the type's rounding error.
template <class T>
T log_one_plus(T z) {
  constexpr int kTerms = sizeof(T) == 4 ? 8 : 17;
  const T square = z * z;
  T sum = 0;
  for (int k = kTerms; k-- > 0;) sum = sum * square + T(1) / T(2 * k + 1);
  return 2 * z * sum;
}

// What a condition chooses from is computed before it: with arithmetic in a branch there would be no vectors.
template <class T>
T positive(T v) {
  return v > 0 ? v : T(0);
}

// Both with s = sigmoid(-|v|) = u / (1 + u) for u = exp(-|v|), which neither overflows nor cancels.
template <class T>
T negative_magnitude(T v) {
  return -std::abs(v);
}
template <class T>
T softplus(T v, T s) {
  return log_one_plus(s / (2 - s)) + positive(v);
}
// tanh(log(1 + e)) = ((1 + e)^2 - 1) / ((1 + e)^2 + 1) for e = exp(v), with 1 / (1 + e) = 1 - sigmoid(v).
// -inf goes to 0.
template <class T>
T mish(T v, T s) {
  constexpr T lowest = std::numeric_limits<T>::lowest();
  const T rest = 1 - s, on = v < 0 ? s : rest, off = v < 0 ? rest : s;
  return (v < lowest ? lowest : v) * (on * (1 + off) / (1 + off * off));
}
// exp(v) - 1 with h = tanh(v / 2), for v <= 0; else h is 0.
template <class T>
T half_negative(T v) {
  return (v > 0 ? T(0) : v) / 2;
}
template <class T>
T elu(T v, T h) {
  return positive(v) + 2 * h / (1 - h);
}

template <class T>
void apply(UnaryKind kind, const Runs<T, 1>& runs, const Kernels<T>& kernels) {
  switch (kind) {
    case UnaryKind::kAbs: return map(runs, [](T v) { return std::abs(v); });
    case UnaryKind::kNeg: return map(runs, [](T v) { return -v; });
    case UnaryKind::kSign: return map(runs, [](T v) { return v > 0 ? T(1) : v < 0 ? T(-1) : v; });
    case UnaryKind::kExp: return map(runs, [](T v) { return std::exp(v); });
    case UnaryKind::kLog: return map(runs, [](T v) { return std::log(v); });
    case UnaryKind::kSqrt: return map(runs, [](T v) { return std::sqrt(v); });
    case UnaryKind::kReciprocal: return map(runs, [](T v) { return 1 / v; });
    case UnaryKind::kErf: return map(runs, [](T v) { return std::erf(v); });
    case UnaryKind::kFloor: return map(runs, [](T v) { return std::floor(v); });
    case UnaryKind::kCeil: return map(runs, [](T v) { return std::ceil(v); });
    case UnaryKind::kRound: return map(runs, [](T v) { return std::nearbyint(v); });
    case UnaryKind::kSin: return map(runs, [](T v) { return std::sin(v); });
    case UnaryKind::kCos: return map(runs, [](T v) { return std::cos(v); });
    case UnaryKind::kSoftplus:
      return map_activated(
          runs, kernels, ActivationKind::kSigmoid, [](T v) { return negative_magnitude(v); },
          [](T v, T y) { return softplus(v, y); });
    case UnaryKind::kMish:
      return map_activated(
          runs, kernels, ActivationKind::kSigmoid, [](T v) { return negative_magnitude(v); },
          [](T v, T y) { return mish(v, y); });
    case UnaryKind::kElu:
      return map_activated(
          runs, kernels, ActivationKind::kTanh, [](T v) { return half_negative(v); },
          [](T v, T y) { return elu(v, y); });
  }
}

}  // namespace

template <class T>
void unary(UnaryKind kind, const TensorView<const T>& x, const TensorView<T>& out, const Kernels<T>& kernels,
           int threads) {
  const bool costly = kind != UnaryKind::kAbs && kind != UnaryKind::kNeg && kind != UnaryKind::kSign;
  for_each_run<false, T, 1>(loops_over(out, {&x}), {x.data}, out.data, costly ? kCostlyGrain : kCheapGrain,
                            threads, [&, kind](const Runs<T, 1>& runs) { apply(kind, runs, kernels); });
}

template void unary(UnaryKind, const TensorView<const float>&, const TensorView<float>&,
                    const Kernels<float>&, int);
template void unary(UnaryKind, const TensorView<const double>&, const TensorView<double>&,
                    const Kernels<double>&, int);

}  // namespace onebyone
