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

// A thread's range of a loop: it takes from the front, those that are done from the back. They leave the last
// index to it: a thread that is so little behind has it in its cache.
struct alignas(64) Share {
  std::atomic<int64_t> left{0};  // not yet taken; below 0 once somebody found nothing
  int64_t front = 0;
  std::atomic<int64_t> back{0};

  bool take(int64_t kept) { return left.load(std::memory_order_relaxed) > kept && left.fetch_sub(1) > 0; }
};

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

namespace detail {

void parallel_for(int64_t count, int num_threads, void (*body)(const void*, int64_t), const void* context) {
  static std::once_flag watch_fork;
  std::call_once(watch_fork, [] { pthread_atfork(nullptr, nullptr, [] { forked_child = true; }); });
#ifdef _OPENMP
  if (!forked_child.load(std::memory_order_relaxed)) {
    const int parts = static_cast<int>(std::min<int64_t>(count, num_threads));
    // Shares of one index are nobody else's: nothing is there to be taken.
    std::vector<Share> shares(count > parts ? parts : 0);
    for (size_t part = 0; part < shares.size(); ++part) {
      Share& share = shares[part];
      share.front = part_begin(count, parts, static_cast<int64_t>(part));
      share.back = part_begin(count, parts, static_cast<int64_t>(part) + 1);
      share.left = share.back - share.front;
    }
    std::exception_ptr error;
    std::mutex error_mutex;
#pragma omp parallel num_threads(parts)
    try {
      // The team may be smaller than asked for: somebody must do the shares of those that are missing.
      const int self = omp_get_thread_num(), team = omp_get_num_threads();
      if (shares.empty()) {
        for (int part = self; part < parts; part += team) body(context, part);
      } else {
        Share& own = shares[self];
        while (own.take(0)) body(context, own.front++);
        for (int i = 1; i < parts; ++i) {
          const int victim = (self + i) % parts;
          Share& other = shares[victim];
          while (other.take(victim < team ? 1 : 0)) body(context, --other.back);
        }
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
