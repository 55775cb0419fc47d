// emulator.h - CUDA threads on the host. A block's threads are fibers of one host thread, each running until
// it comes to a barrier, or (under ThreadSanitizer, which must see them) host threads of their own. Blocks
// run one by one.
//
// Meant to find what a GPU shows rarely: a thread runs as far ahead of the others as barriers let it; shared
// memory is NaN at the beginning of a block; what a copy overwrites is NaN from its start on, and its data
// land when its own thread has waited for them, not before. What is checked besides stops the process with a
// sentence.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace onebyone::cuda::emulator {

// Which of the threads that can run does: the first, the last, or any.
enum class Order { kForward, kReversed, kRandom };

struct Options {
  Order order = Order::kForward;
  uint32_t seed = 1;
  int left_out = -1;         // the SyncPoint that does nothing
  bool waits_early = false;  // by one group of copies
  bool host_threads = false;
  int capability = 80;      // of the device
  int multiprocessors = 8;  // few, so that small problems are split
};
// Of the next launches, of all host threads.
extern Options options;

// Where threads meet: the last to arrive does something for all before they go on.
struct Rendezvous {
  int expected = 0, arrived = 0;
  uint64_t generation = 0;
  std::mutex mutex;  // with host threads
  std::condition_variable changed;
};

struct Copy {
  void* dst;
  const void* src;
  int bytes;
  bool valid;
};

struct Fragments {
  float* d;
  const uint32_t *a, *b;
};

struct Warp {
  Rendezvous rendezvous;
  Fragments lanes[32];
};

struct Block {
  unsigned index;
  unsigned char* shared;
  size_t shared_bytes;
  Rendezvous rendezvous;
  std::vector<Warp> warps;

  Block(int threads, size_t bytes);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  void begin(unsigned block);
};

struct Thread {
  struct Index {
    unsigned x;
  } thread, block_index;
  Block* block = nullptr;
  std::vector<std::vector<Copy>> groups;  // closed ones, the oldest first
  std::vector<Copy> open;

  Warp& warp() const { return block->warps[thread.x / 32]; }
};

// The CUDA thread that is running.
extern thread_local Thread* current;

// Returns when all have come; the last of them has run last().
void meet(Rendezvous& rendezvous, const std::function<void()>& last);

void start_copy(void* dst, const void* src, int bytes, bool valid);
void wait_for_copies(int pending);

enum class Product { kTf32, kFloat16, kBFloat16 };
void multiply(Product product, float* d, const uint32_t* a, const uint32_t* b);

float float_of_half(uint16_t bits);
uint16_t half_of_float(float value);

void run_grid(int64_t blocks, int threads, size_t shared_bytes, const std::function<void()>& kernel);
// The parts of run_grid: a block's threads by the one means or the other.
void run_fibers(Block& block, int64_t blocks, int threads, const std::function<void()>& kernel);
void run_host_threads(Block& block, int64_t blocks, int threads, const std::function<void()>& kernel);
void meet_fibers(Rendezvous& rendezvous, const std::function<void()>& last);

[[noreturn]] void stop(const char* why);

}  // namespace onebyone::cuda::emulator
