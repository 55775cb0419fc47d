// unary.cc - UnaryKind of elementwise.h. Plain loops for the compiler's vectors of the baseline: these are
// rare in networks, and most wait for memory or libm. Compiled with -fno-math-errno.
#include <cmath>

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

template <class T>
void apply(UnaryKind kind, const Runs<T, 1>& runs) {
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
    case UnaryKind::kSoftplus:  // log(1 + e^v): nothing overflows, nothing cancels
      return map(runs, [](T v) { return std::log1p(std::exp(-std::abs(v))) + (v > 0 || v != v ? v : T(0)); });
    case UnaryKind::kElu: return map(runs, [](T v) { return v > 0 ? v : std::expm1(v); });
  }
}

}  // namespace

template <class T>
void unary(UnaryKind kind, const TensorView<const T>& x, const TensorView<T>& out, const Kernels<T>&,
           int threads) {
  const bool costly = kind != UnaryKind::kAbs && kind != UnaryKind::kNeg && kind != UnaryKind::kSign;
  for_each_run<false, T, 1>(loops_over(out, {&x}), {x.data}, out.data, costly ? kCostlyGrain : kCheapGrain,
                            threads, [kind](const Runs<T, 1>& runs) { apply(kind, runs); });
}

template void unary(UnaryKind, const TensorView<const float>&, const TensorView<float>&,
                    const Kernels<float>&, int);
template void unary(UnaryKind, const TensorView<const double>&, const TensorView<double>&,
                    const Kernels<double>&, int);

}  // namespace onebyone
