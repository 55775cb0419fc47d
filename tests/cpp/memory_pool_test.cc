// The pool of big memory (core/memory_pool.h) and the buffers over it (core/aligned_buffer.h).
#include "core/memory_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "core/aligned_buffer.h"

namespace onebyone {
namespace {

constexpr int64_t kMb = 1 << 20;

// Each test begins with an empty pool of a known limit and leaves the process's as it was.
class MemoryPool : public ::testing::Test {
 protected:
  void SetUp() override {
    empty_cache();
    set_cache_limit(64 * kMb);
  }
  void TearDown() override {
    set_cache_limit(before_);
    empty_cache();
  }
  const int64_t before_ = get_cache_limit();
};

TEST_F(MemoryPool, BlocksHoldWhatIsAskedFor) {
  for (const int64_t bytes :
       {int64_t{1}, int64_t{63}, int64_t{64}, int64_t{65}, kRecycleFrom - 1, kRecycleFrom, kRecycleFrom + 1,
        3 * kMb + 5, 4 * kMb - 1, 4 * kMb, 4 * kMb + 1, 17 * kMb}) {
    SCOPED_TRACE(bytes);
    for (int round = 0; round < 2; ++round) {  // a fresh one and a recycled one
      const MemoryBlock block = take_memory(bytes);
      ASSERT_NE(block.data, nullptr);
      ASSERT_GE(block.capacity, bytes);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block.data) % kCacheLine, 0u);
      std::memset(block.data, 1, bytes);
      give_memory(block);
    }
  }
  EXPECT_EQ(take_memory(0).data, nullptr);
  give_memory({});
  EXPECT_THROW(take_memory(INT64_MAX), std::bad_alloc);
}

// Whatever rounding to huge pages adds to a size, the next block of that size is the one given back.
TEST_F(MemoryPool, RecyclesBlocksOfEverySize) {
  for (int64_t bytes = kRecycleFrom; bytes < 12 * kMb; bytes += 100'000) {
    SCOPED_TRACE(bytes);
    empty_cache();
    const MemoryBlock first = take_memory(bytes);
    give_memory(first);
    const MemoryBlock second = take_memory(bytes);
    EXPECT_EQ(second.data, first.data);
    EXPECT_EQ(cached_bytes(), 0);
    give_memory(second);
  }
}

// Blocks of a scope lie side by side and outlive it; the last of them gives back what they lie in. (Under
// AddressSanitizer each has guards of its own.)
TEST_F(MemoryPool, BundlesWhatIsTakenTogether) {
  MemoryBlock first, second, large, other, after;
  {
    const BundledMemory bundled;
    first = take_memory(1000);
    second = take_memory(3 * kMb);
    large = take_memory(5 * kMb);
    std::thread([&] { other = take_memory(1000); }).join();
    std::memset(first.data, 1, 1000);
    std::memset(second.data, 1, 3 * kMb);
    std::memset(large.data, 1, 5 * kMb);
    {
      const BundledMemory inner;
      const MemoryBlock own = take_memory(100);
      EXPECT_TRUE(!own.bundle || own.bundle != first.bundle);
      give_memory(own);
    }
    // More than a bundle holds.
    std::vector<MemoryBlock> many;
    for (int i = 0; i < 30; ++i) {
      many.push_back(take_memory(kMb));
      std::memset(many.back().data, i, kMb);
    }
    for (int i = 0; i < 30; ++i) {
      EXPECT_EQ(many[i].data[kMb - 1], static_cast<std::byte>(i));
      give_memory(many[i]);
    }
  }
  after = take_memory(1000);
  EXPECT_EQ(large.bundle, nullptr);
  EXPECT_EQ(other.bundle, nullptr);
  EXPECT_EQ(after.bundle, nullptr);
  if (first.bundle) {
    EXPECT_EQ(second.bundle, first.bundle);
    EXPECT_EQ(second.data, first.data + first.capacity);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first.data) % (2 * kMb), 0u);
  }
  const int64_t idle = cached_bytes();
  give_memory(first);
  EXPECT_EQ(cached_bytes(), idle);
  give_memory(second);
  EXPECT_TRUE(!first.bundle || cached_bytes() > idle);
  for (const MemoryBlock& block : {large, other, after}) give_memory(block);
}

TEST_F(MemoryPool, RecyclesWhatFits) {
  const MemoryBlock first = take_memory(10 * kMb);
  give_memory(first);
  EXPECT_EQ(cached_bytes(), first.capacity);
  // A quarter of the block may stay unused, no more.
  const MemoryBlock small = take_memory(5 * kMb);
  EXPECT_NE(small.data, first.data);
  const MemoryBlock larger = take_memory(10 * kMb + 2 * kMb);
  EXPECT_NE(larger.data, first.data);
  const MemoryBlock close = take_memory(9 * kMb);
  EXPECT_EQ(close.data, first.data);
  EXPECT_EQ(close.capacity, first.capacity);
  EXPECT_EQ(cached_bytes(), 0);
  for (const MemoryBlock& block : {small, larger, close}) give_memory(block);
}

TEST_F(MemoryPool, TakesTheTightestBlock) {
  const MemoryBlock wide = take_memory(12 * kMb), tight = take_memory(10 * kMb);
  give_memory(tight);
  give_memory(wide);
  const MemoryBlock block = take_memory(10 * kMb);
  EXPECT_EQ(block.data, tight.data);
  give_memory(block);
}

TEST_F(MemoryPool, SmallBlocksAreLeftToMalloc) {
  give_memory(take_memory(kRecycleFrom / 2));
  EXPECT_EQ(cached_bytes(), 0);
}

TEST_F(MemoryPool, BlocksInUseAreDisjoint) {
  std::vector<MemoryBlock> used;
  const auto check = [&](const MemoryBlock& block) {
    for (const MemoryBlock& other : used)
      ASSERT_TRUE(block.data + block.capacity <= other.data || other.data + other.capacity <= block.data);
  };
  for (int i = 0; i < 200; ++i) {
    const MemoryBlock block = take_memory(kRecycleFrom + i % 7 * 10'000);
    check(block);
    used.push_back(block);
    if (i % 3 == 0) {
      give_memory(used[used.size() / 2]);
      used.erase(used.begin() + static_cast<std::ptrdiff_t>(used.size() / 2));
    }
  }
  for (const MemoryBlock& block : used) give_memory(block);
}

TEST_F(MemoryPool, KeepsWithinItsLimit) {
  set_cache_limit(10 * kMb);
  EXPECT_EQ(get_cache_limit(), 10 * kMb);
  std::vector<MemoryBlock> blocks;
  for (int i = 0; i < 300; ++i) blocks.push_back(take_memory(kRecycleFrom + i * 1000));
  for (const MemoryBlock& block : blocks) {
    give_memory(block);
    ASSERT_LE(cached_bytes(), 10 * kMb);
  }
  EXPECT_GT(cached_bytes(), 0);
  give_memory(take_memory(11 * kMb));  // larger than the limit: not kept, and nothing is thrown out for it
  EXPECT_GT(cached_bytes(), 0);
  EXPECT_LE(cached_bytes(), 10 * kMb);
  set_cache_limit(kMb);
  EXPECT_LE(cached_bytes(), kMb);
  set_cache_limit(0);
  EXPECT_EQ(cached_bytes(), 0);
  give_memory(take_memory(kMb));
  EXPECT_EQ(cached_bytes(), 0);
  EXPECT_THROW(set_cache_limit(-1), std::invalid_argument);
}

TEST_F(MemoryPool, TheLongestIdleGoesFirst) {
  set_cache_limit(9 * kMb);
  const MemoryBlock a = take_memory(3 * kMb), b = take_memory(3 * kMb), c = take_memory(3 * kMb);
  const MemoryBlock d = take_memory(2 * kMb);
  for (const MemoryBlock& block : {a, b, c, d}) give_memory(block);
  EXPECT_EQ(cached_bytes(), 8 * kMb);  // without a
}

TEST_F(MemoryPool, EmptyCacheReturnsEverythingIdle) {
  AlignedBuffer<float> used(kMb);
  used[0] = 1;
  used[kMb - 1] = 2;
  give_memory(take_memory(5 * kMb));
  empty_cache();
  EXPECT_EQ(cached_bytes(), 0);
  EXPECT_EQ(used[0] + used[kMb - 1], 3);
}

TEST_F(MemoryPool, ThreadsShareIt) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id)
    threads.emplace_back([&, id] {
      for (int i = 0; i < 300; ++i) {
        const int64_t size = kRecycleFrom / 4 + i % 5 * 1000;
        AlignedBuffer<int32_t> buffer(size);
        std::fill_n(buffer.data(), size, id);
        std::this_thread::yield();
        if (std::count(buffer.data(), buffer.data() + size, id) != size) ++wrong;
        if (i % 50 == id) empty_cache();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// Another thread holds the pool at nearly any time; the child must find it free.
TEST_F(MemoryPool, WorksInAForkedChild) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer does not follow a fork of several threads";
#endif
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) give_memory(take_memory(kRecycleFrom));
  });
  for (int attempt = 0; attempt < 20; ++attempt) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);  // ends a child that hangs
      for (int i = 0; i < 10; ++i) give_memory(take_memory(kRecycleFrom));
      empty_cache();
      _exit(cached_bytes() == 0 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  }
  stop = true;
  busy.join();
}

TEST_F(MemoryPool, BuffersMove) {
  AlignedBuffer<int32_t> a(100'000);
  a[99'999] = 7;
  const int32_t* data = a.data();
  AlignedBuffer<int32_t> b = std::move(a);
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(b.size(), 100'000);
  AlignedBuffer<int32_t> c(3);
  c = std::move(b);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c[99'999], 7);
  c = AlignedBuffer<int32_t>();
  EXPECT_EQ(c.data(), nullptr);
  EXPECT_EQ(c.size(), 0);
  EXPECT_GT(cached_bytes(), 0);
}

TEST_F(MemoryPool, ThreadScratchGrowsAndEndsWithItsThread) {
  std::thread([] {
    std::byte* small = thread_scratch(100'000);
    EXPECT_EQ(thread_scratch(50'000), small);
    std::byte* large = thread_scratch(500'000);
    std::memset(large, 1, 500'000);
    EXPECT_EQ(thread_scratch(100'000), large);
  }).join();
  EXPECT_GE(cached_bytes(), 600'000);
}

}  // namespace
}  // namespace onebyone
