#include "cpu/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/int_math.h"
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

double measure_read_bandwidth(int threads, int64_t bytes, double seconds) {
  // A cache line of each 64 bytes is all that memory sees; one addition a line keeps arithmetic out of it.
  constexpr int64_t line = kCacheLine / sizeof(uint64_t);
  const int64_t lines = std::max<int64_t>(bytes / kCacheLine, threads);
  AlignedBuffer<uint64_t> buffer(lines * line);
  parallel_for(threads, threads, [&](int64_t t) {  // its pages come from where they will be read
    const int64_t begin = part_begin(lines, threads, t), end = part_begin(lines, threads, t + 1);
    std::fill(buffer.data() + begin * line, buffer.data() + end * line, uint64_t{1});
  });
  std::atomic<uint64_t> sink = 0;  // keeps the sums alive
  double best = 0;
  const double stop = now() + seconds;
  do {
    const double start = now();
    parallel_for(threads, threads, [&](int64_t t) {
      const int64_t end = part_begin(lines, threads, t + 1);
      uint64_t sum = 0;
      for (int64_t i = part_begin(lines, threads, t); i < end; ++i) sum += buffer[i * line];
      sink.fetch_add(sum, std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(lines * kCacheLine) / (now() - start));
  } while (now() < stop);
  return best;
}

}  // namespace onebyone
