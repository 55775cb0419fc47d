// parallel_for and the thread limits (core/parallel.h).
#include "core/parallel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace onebyone {
namespace {

TEST(ParallelFor, EachIndexOnce) {
  for (const int64_t count : {0, 1, 2, 3, 7, 16, 100, 1001})
    for (const int threads : {1, 2, 3, 8, 50}) {
      std::vector<std::atomic<int>> seen(count);
      parallel_for(count, threads, [&](int64_t i) { ++seen.at(i); });
      for (int64_t i = 0; i < count; ++i)
        ASSERT_EQ(seen[i], 1) << i << " of " << count << ", threads " << threads;
    }
}

// Writes without synchronisation: the end of the loop orders them before the caller's reads.
TEST(ParallelFor, ReturnsWhenAllIsDone) {
  std::vector<int64_t> squares(1000);
  for (int64_t round = 0; round < 20; ++round) {
    parallel_for(1000, 4, [&](int64_t i) { squares[i] += i; });
    for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(squares[i], (round + 1) * i);
  }
}

TEST(ParallelFor, AtMostSoManyThreads) {
  for (const int threads : {1, 2, 3, 7}) {
    std::vector<std::thread::id> runner(100);
    parallel_for(100, threads, [&](int64_t i) { runner[i] = std::this_thread::get_id(); });
    std::sort(runner.begin(), runner.end());
    runner.erase(std::unique(runner.begin(), runner.end()), runner.end());
    EXPECT_LE(static_cast<int>(runner.size()), threads);
  }
}

// A thread that is held up keeps the index that it is at and its last one; the others do the rest of its
// range.
TEST(ParallelFor, OthersTakeFromAThreadThatIsHeldUp) {
  constexpr int64_t kCount = 40;
  std::atomic<int64_t> done{0};
  parallel_for(kCount, 2, [&](int64_t i) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (i == 0 && done < kCount - 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    if (i == 0) {
      EXPECT_GE(done, kCount - 2) << "nobody did the rest of the range of index 0";
    }
    ++done;
  });
  EXPECT_EQ(done, kCount);
}

TEST(ParallelRanges, CoverAllUnitsOnce) {
  for (const int64_t units : {0, 1, 2, 3, 7, 16, 100, 1001})
    for (const int64_t least : {1, 8, 5000})
      for (const int threads : {1, 2, 3, 50}) {
        std::vector<std::atomic<int>> seen(units);
        std::atomic<int64_t> ranges{0};
        parallel_ranges(units, least, threads, [&](int64_t begin, int64_t end) {
          EXPECT_LT(begin, end);
          ++ranges;
          for (int64_t i = begin; i < end; ++i) ++seen.at(i);
        });
        for (int64_t i = 0; i < units; ++i) ASSERT_EQ(seen[i], 1) << i << " of " << units;
        EXPECT_LE(ranges, threads == 1 ? 1 : kTasksPerThread * threads);
        if (least > units) {
          EXPECT_LE(ranges, threads);
        }
      }
}

TEST(ParallelFor, RethrowsAfterAllStopped) {
  for (const int threads : {1, 2, 5}) {
    std::atomic<int> running{0};
    try {
      parallel_for(40, threads, [&](int64_t i) {
        ++running;
        std::this_thread::yield();
        --running;
        if (i == 23) throw std::runtime_error("body 23");
      });
      ADD_FAILURE() << "no exception with " << threads << " threads";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "body 23");
    }
    EXPECT_EQ(running, 0);
    // All of them throwing is one exception, and the next loop is unharmed.
    EXPECT_THROW(parallel_for(8, threads, [](int64_t i) { throw std::out_of_range(std::to_string(i)); }),
                 std::out_of_range);
    std::atomic<int64_t> sum{0};
    parallel_for(10, threads, [&](int64_t i) { sum += i; });
    EXPECT_EQ(sum, 45);
  }
}

TEST(ParallelFor, MayBeNestedAndCalledFromSeveralThreads) {
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&] {
      parallel_for(4, 2, [&](int64_t i) { parallel_for(5, 2, [&](int64_t j) { sum += 10 * i + j; }); });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 3 * (10 * 6 * 5 + 4 * 10));
}

// The team's threads stay with the parent: the child must finish on its own.
TEST(ParallelFor, WorksInAForkedChild) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer does not follow a fork of several threads";
#endif
  parallel_for(8, 4, [](int64_t) {});
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // ends a child that hangs
    int64_t sum = 0;
    parallel_for(8, 4, [&](int64_t i) { sum += i; });
    _exit(sum == 28 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

TEST(ThreadLimits, TheThreadsOwnComesFirst) {
  const int before = get_num_threads();
  EXPECT_GE(before, 1);
  set_num_threads(5);
  EXPECT_EQ(get_num_threads(), 5);
  EXPECT_EQ(set_local_num_threads(3), 0);
  EXPECT_EQ(get_num_threads(), 3);
  std::thread([] { EXPECT_EQ(get_num_threads(), 5); }).join();
  set_num_threads(4);
  EXPECT_EQ(get_num_threads(), 3);
  EXPECT_EQ(set_local_num_threads(0), 3);
  EXPECT_EQ(get_num_threads(), 4);
  set_num_threads(before);
}

TEST(ThreadLimits, BadOnesAreRefused) {
  const int before = get_num_threads();
  EXPECT_THROW(set_num_threads(0), std::invalid_argument);
  EXPECT_THROW(set_num_threads(-2), std::invalid_argument);
  EXPECT_THROW(set_local_num_threads(-1), std::invalid_argument);
  EXPECT_EQ(get_num_threads(), before);
}

}  // namespace
}  // namespace onebyone
