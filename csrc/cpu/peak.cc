#include "cpu/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <vector>

#include "core/parallel.h"
#include "cpu/isa.h"

namespace onebyone {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

template <class T>
double measure_fma_peak(const KernelTable& table, int threads, double seconds) {
  const Kernels<T>& kernels = kernels_of<T>(table);
  constexpr int64_t kIterations = 200'000;  // about 0.1 ms
  const double flops = static_cast<double>(kIterations) * kernels.fma_flops;
  // Each thread keeps its own best round and the rates are added: what all cores reach when none of them
  // waits.
  std::vector<double> best(threads);
  std::atomic<double> sink = 0;  // keeps the sums alive
  parallel_for(threads, threads, [&](int64_t t) {
    const double end = now() + seconds;
    do {
      const double start = now();
      sink.store(static_cast<double>(kernels.fma_loop(kIterations)), std::memory_order_relaxed);
      best[t] = std::max(best[t], flops / (now() - start));
    } while (now() < end);
  });
  return std::accumulate(best.begin(), best.end(), 0.0);
}

template double measure_fma_peak<float>(const KernelTable&, int, double);
template double measure_fma_peak<double>(const KernelTable&, int, double);

}  // namespace onebyone
