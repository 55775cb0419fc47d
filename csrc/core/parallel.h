// core/parallel.h - threads: how many, and one parallel_for. The only place that knows OpenMP. A leaf.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/int_math.h"

namespace onebyone {

// The calling thread's limit: its own (set_local_num_threads) or else the process's (set_num_threads).
// The first default: ONEBYONE_NUM_THREADS, else OpenMP's (OMP_NUM_THREADS, CPU affinity) within the
// container's CPU quota.
inline constexpr int kMaxThreads = 4096;

int get_num_threads();
void set_num_threads(int n);       // n >= 1
int set_local_num_threads(int n);  // n >= 1, or 0 for none; returns the previous one
std::string openmp_runtime();      // for show_config()

namespace detail {
void parallel_for(int64_t count, int num_threads, void (*body)(const void*, int64_t), const void* context);
}

// body(i) for 0 <= i < count, by at most num_threads threads including the caller; returns when all are done.
// Each thread has a contiguous range of i, which it does in order; one that is done takes from the ends of
// the others' ranges, so that a core that is slow or interrupted does not keep the rest waiting. A child of
// fork() runs on its one thread: the team stayed with the parent. If bodies throw, one of their exceptions is
// rethrown here after all threads have stopped.
template <class Body>
void parallel_for(int64_t count, int num_threads, const Body& body) {
  if (count <= 1 || num_threads <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  detail::parallel_for(
      count, num_threads, [](const void* context, int64_t i) { (*static_cast<const Body*>(context))(i); },
      &body);
}

// Starting a team takes 2 to 5 us: what a core moves through L2 meanwhile, and what it makes of a costlier
// function (exp). Elements.
inline constexpr int64_t kCheapGrain = 16 * 1024, kCostlyGrain = 4 * 1024;

// Threads worth starting for so many elements, or other units.
inline int useful_threads(int64_t elements, int64_t grain, int threads) {
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, elements / grain)));
}

// Tasks for each thread, of which others can take some; more of them would cost more than they even out.
inline constexpr int64_t kTasksPerThread = 4;

// body(begin, end) for ranges that cover [0, units): kTasksPerThread for each thread, unless they had fewer
// than `least` units. One thread gets all at once.
template <class Body>
void parallel_ranges(int64_t units, int64_t least, int num_threads, const Body& body) {
  if (units <= 0) return;
  const int64_t threads = std::min<int64_t>(units, std::max(num_threads, 1));
  const int64_t pieces = threads == 1 ? 1 : std::clamp<int64_t>(units / threads / least, 1, kTasksPerThread);
  const int64_t tasks = threads * pieces;
  parallel_for(tasks, num_threads, [&](int64_t task) {
    body(part_begin(units, tasks, task), part_begin(units, tasks, task + 1));
  });
}

}  // namespace onebyone
