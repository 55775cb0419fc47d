#include "core/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/int_math.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace onebyone {
namespace {

std::atomic<int> process_threads{0};
thread_local int local_threads = 0;
std::atomic<bool> forked_child{false};

// CPUs the container may use, rounded up; 0 if there is no quota (cgroup v2, then v1).
int cgroup_quota() {
  double quota = -1, period = -1;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    std::string text;
    if (v2 >> text >> period && text != "max") quota = std::strtod(text.c_str(), nullptr);
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 0;
}

int default_threads() {
  if (const char* text = std::getenv("ONEBYONE_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    if (*end != '\0' || n < 1 || n > kMaxThreads)
      fail("ONEBYONE_NUM_THREADS must be a whole number from 1 to ", kMaxThreads, ", got '", text, "'");
    return static_cast<int>(n);
  }
#ifdef _OPENMP
  const int quota = cgroup_quota();
  const int available = omp_get_max_threads();
  return quota ? std::min(quota, available) : available;
#else
  return 1;
#endif
}

}  // namespace

int get_num_threads() {
  if (local_threads) return local_threads;
  int n = process_threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = default_threads();
    int unset = 0;
    if (!process_threads.compare_exchange_strong(unset, n)) n = unset;
  }
  return n;
}

void set_num_threads(int n) {
  if (n < 1) fail("set_num_threads: n must be at least 1, got ", n);
  process_threads = n;
}

int set_local_num_threads(int n) {
  if (n < 0) fail("threads: n must be at least 1, got ", n);
  return std::exchange(local_threads, n);
}

std::string openmp_runtime() {
#ifdef _OPENMP
#ifdef __clang__
  return "libomp, OpenMP " + std::to_string(_OPENMP);
#else
  return "libgomp, OpenMP " + std::to_string(_OPENMP);
#endif
#else
  return "none (single-threaded)";
#endif
}

namespace {

// A thread's range of a loop: it takes from the front, those that are done from the back.
struct alignas(64) Share {
  std::atomic<int64_t> left{0};  // not yet taken; below 0 once somebody found nothing
  int64_t front = 0;
  std::atomic<int64_t> back{0};

  bool take() { return left.load(std::memory_order_relaxed) > 0 && left.fetch_sub(1) > 0; }
};

}  // namespace

namespace detail {

void parallel_for(int64_t count, int num_threads, void (*body)(const void*, int64_t), const void* context) {
  static std::once_flag watch_fork;
  std::call_once(watch_fork, [] { pthread_atfork(nullptr, nullptr, [] { forked_child = true; }); });
#ifdef _OPENMP
  if (!forked_child.load(std::memory_order_relaxed)) {
    const int parts = static_cast<int>(std::min<int64_t>(count, num_threads));
    std::vector<Share> shares(parts);
    for (int part = 0; part < parts; ++part) {
      Share& share = shares[part];
      share.front = part_begin(count, parts, part);
      share.back = part_begin(count, parts, part + 1);
      share.left = share.back - share.front;
    }
    std::exception_ptr error;
    std::mutex error_mutex;
#pragma omp parallel num_threads(parts)
    try {
      const int self = omp_get_thread_num();
      Share& own = shares[self];
      while (own.take()) body(context, own.front++);
      // The team may be smaller than asked for: all others' shares are looked at.
      for (int i = 1; i < parts; ++i) {
        Share& other = shares[(self + i) % parts];
        while (other.take()) body(context, --other.back);
      }
    } catch (...) {
      const std::scoped_lock lock(error_mutex);
      if (!error) error = std::current_exception();
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  for (int64_t i = 0; i < count; ++i) body(context, i);
}

}  // namespace detail
}  // namespace onebyone
