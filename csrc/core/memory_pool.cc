#include "core/memory_pool.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/int_math.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ONEBYONE_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ONEBYONE_ASAN
#endif
#ifdef ONEBYONE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace onebyone {

// Parts of a block, one after the other. Each holds it, and so does the scope that adds to it.
struct MemoryBundle {
  MemoryBlock block;
  int64_t used = 0;
  std::atomic<int64_t> holders = 1;
};

namespace {

constexpr int64_t kHugePage = 2 << 20;
// A block of two huge pages or more begins at one and is made of them where the system offers them: 512 times
// fewer faults, and rows that lie pages apart find their translations.
constexpr int64_t kHugeFrom = 2 * kHugePage;

// Of a bundle. What is not used of the last one of a network is no memory before it is touched.
constexpr int64_t kBundleBytes = 8 * kHugePage;

// Blocks that may be idle at once. Each is looked at by every take: 64 of 16 bytes are 16 cache lines.
constexpr int kIdleBlocks = 64;

constexpr int64_t kDefaultLimit = 256 << 20;
constexpr int64_t kMemoryShare = 16;

// What a block for `bytes` holds.
int64_t capacity_for(int64_t bytes) {
  if (bytes > INT64_MAX / 2) throw std::bad_alloc();
  if (bytes >= kHugeFrom) return round_up(bytes, kHugePage);
  return round_up(bytes, kCacheLine);
}

// An idle block may serve a request for `capacity` that leaves at most a quarter of it unused. What rounding
// added is no waste: 4.4 MB in three huge pages would never be taken again by the next request for 4.4 MB.
bool fits(const MemoryBlock& block, int64_t capacity) {
  return block.capacity >= capacity && block.capacity - capacity <= block.capacity / 4;
}

bool is_mapped([[maybe_unused]] int64_t capacity) {
#ifdef ONEBYONE_ASAN
  return false;  // the sanitizer's allocator puts a guard on either side
#else
  return capacity >= kHugeFrom;
#endif
}

// Null if there is none.
std::byte* system_take(int64_t capacity) noexcept {
  if (!is_mapped(capacity)) return static_cast<std::byte*>(std::aligned_alloc(kCacheLine, capacity));
  void* const mapped =
      mmap(nullptr, capacity + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  std::byte* const begin = static_cast<std::byte*>(mapped);
  const int64_t before =
      round_up(reinterpret_cast<intptr_t>(begin), kHugePage) - reinterpret_cast<intptr_t>(begin);
  if (before > 0) munmap(begin, before);
  if (before < kHugePage) munmap(begin + before + capacity, kHugePage - before);
#ifdef MADV_HUGEPAGE
  madvise(begin + before, capacity, MADV_HUGEPAGE);  // a wish: ordinary pages serve as well
#endif
  return begin + before;
}

void system_give(const MemoryBlock& block) noexcept {
  if (is_mapped(block.capacity))
    munmap(block.data, block.capacity);
  else
    std::free(block.data);
}

// Idle blocks and the rest of a recycled one are out of bounds to AddressSanitizer.
void forbid([[maybe_unused]] std::byte* from, [[maybe_unused]] int64_t bytes) noexcept {
#ifdef ONEBYONE_ASAN
  ASAN_POISON_MEMORY_REGION(from, bytes);
#endif
}
void allow([[maybe_unused]] std::byte* from, [[maybe_unused]] int64_t bytes) noexcept {
#ifdef ONEBYONE_ASAN
  ASAN_UNPOISON_MEMORY_REGION(from, bytes);
#endif
}

int64_t default_limit() {
  if (const char* text = std::getenv("ONEBYONE_CACHE_LIMIT"); text && *text) {
    char* end = nullptr;
    errno = 0;
    const long long bytes = std::strtoll(text, &end, 10);
    if (*end != '\0' || bytes < 0 || errno == ERANGE)
      fail("ONEBYONE_CACHE_LIMIT must be a whole number of bytes, 0 or more, got '", text, "'");
    return bytes;
  }
  int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t quota = 0;
    if (std::ifstream file(path); file >> quota) memory = std::min(memory, quota);
  }
  return std::min(kDefaultLimit, memory / kMemoryShare);
}

class Pool {
 public:
  // Never destroyed: arrays and threads may outlive whatever the process tears down at its end.
  static Pool& instance() {
    static Pool& pool = *new Pool;
    return pool;
  }

  MemoryBlock take(int64_t capacity) {
    const std::scoped_lock lock(mutex_);
    int best = -1;
    for (int i = count_ - 1; i >= 0; --i)  // the last one given is the likeliest to be in cache
      if (fits(idle_[i], capacity) && (best < 0 || idle_[i].capacity < idle_[best].capacity)) best = i;
    return best < 0 ? MemoryBlock{} : remove(best);
  }

  void give(MemoryBlock block) noexcept {
    const std::scoped_lock lock(mutex_);
    if (block.capacity <= limit_) {
      if (count_ == kIdleBlocks) system_give(remove(0));
      idle_[count_++] = block;
      bytes_ += block.capacity;
      shrink();
    } else {
      system_give(block);
    }
  }

  void empty() noexcept {
    const std::scoped_lock lock(mutex_);
    while (count_ > 0) system_give(remove(0));
  }

  int64_t bytes() noexcept {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }
  int64_t limit() noexcept {
    const std::scoped_lock lock(mutex_);
    return limit_;
  }
  void set_limit(int64_t bytes) noexcept {
    const std::scoped_lock lock(mutex_);
    limit_ = bytes;
    shrink();
  }

 private:
  // A child of fork() gets the pool as it was between two operations, whatever the parent's threads do.
  Pool() : limit_(default_limit()) {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] { instance().mutex_.unlock(); });
  }

  MemoryBlock remove(int i) noexcept {
    const MemoryBlock block = idle_[i];
    std::copy(idle_.begin() + i + 1, idle_.begin() + count_, idle_.begin() + i);
    --count_;
    bytes_ -= block.capacity;
    return block;
  }

  void shrink() noexcept {
    while (bytes_ > limit_) system_give(remove(0));
  }

  std::mutex mutex_;
  std::array<MemoryBlock, kIdleBlocks> idle_;  // in the order they came
  int count_ = 0;
  int64_t bytes_ = 0, limit_;
};

thread_local BundledMemory* bundling = nullptr;

MemoryBlock take_block(int64_t bytes) {
  const int64_t capacity = capacity_for(bytes);
  if (capacity >= kRecycleFrom) {
    if (const MemoryBlock idle = Pool::instance().take(capacity); idle.data) {
      allow(idle.data, bytes);
      return idle;
    }
  }
  std::byte* data = system_take(capacity);
  if (!data) {
    empty_cache();
    data = system_take(capacity);
    if (!data) throw std::bad_alloc();
  }
  forbid(data + bytes, capacity - bytes);
  return {data, capacity};
}

void release(MemoryBundle* bundle) noexcept {
  if (!bundle || bundle->holders.fetch_sub(1) > 1) return;
  give_memory(bundle->block);
  delete bundle;
}

}  // namespace

MemoryBlock take_memory(int64_t bytes) {
  if (bytes <= 0) return {};
  return bundling && bytes < kHugeFrom && is_mapped(kBundleBytes) ? bundling->take(bytes) : take_block(bytes);
}

BundledMemory::BundledMemory() : outer_(std::exchange(bundling, this)) {}

BundledMemory::~BundledMemory() {
  release(bundle_);
  bundling = outer_;
}

MemoryBlock BundledMemory::take(int64_t bytes) {
  const int64_t capacity = round_up(bytes, kCacheLine);
  if (!bundle_ || bundle_->used + capacity > bundle_->block.capacity) {
    auto fresh = std::make_unique<MemoryBundle>();
    fresh->block = take_block(kBundleBytes);
    release(std::exchange(bundle_, fresh.release()));
  }
  ++bundle_->holders;
  return {bundle_->block.data + std::exchange(bundle_->used, bundle_->used + capacity), capacity, bundle_};
}

void give_memory(MemoryBlock block) noexcept {
  if (!block.data) return;
  if (block.bundle) return release(block.bundle);
  if (block.capacity < kRecycleFrom) return std::free(block.data);
  forbid(block.data, block.capacity);
  Pool::instance().give(block);
}

void empty_cache() { Pool::instance().empty(); }
int64_t cached_bytes() { return Pool::instance().bytes(); }
int64_t get_cache_limit() { return Pool::instance().limit(); }

void set_cache_limit(int64_t bytes) {
  if (bytes < 0) fail("set_cache_limit: limit must be 0 bytes or more, got ", bytes);
  Pool::instance().set_limit(bytes);
}

}  // namespace onebyone
