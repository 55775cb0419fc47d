// fibers.cc - a block's threads as fibers of the calling host thread, switched by ucontext.
#include <ucontext.h>

#include <memory>
#include <random>

#include "emulator.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define ONEBYONE_ASAN 1
#else
#define ONEBYONE_ASAN 0
#endif

namespace onebyone::cuda::emulator {
namespace {

constexpr size_t kStackBytes = 128 * 1024;  // AddressSanitizer's frames are big

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  Thread thread;
  bool done = true;
  Rendezvous* waiting = nullptr;  // until its generation is another
  uint64_t generation = 0;
  void* fake_stack = nullptr;

  bool can_run() const { return !done && (!waiting || waiting->generation != generation); }
};

// Of the host thread.
struct Scheduler {
  ucontext_t context;
  Fiber* running = nullptr;
  const std::function<void()>* kernel = nullptr;
  const void* stack = nullptr;  // the host thread's, as AddressSanitizer knows it
  size_t stack_bytes = 0;
};
thread_local Scheduler scheduler;

// AddressSanitizer must know whose stack it looks at. `fake` keeps what it has on the stack that is left
// (null: the fiber ends).
void leaving(void** fake, const void* stack, size_t bytes) {
#if ONEBYONE_ASAN
  __sanitizer_start_switch_fiber(fake, stack, bytes);
#else
  (void)fake, (void)stack, (void)bytes;
#endif
}
void arrived(void* fake, const void** stack, size_t* bytes) {
#if ONEBYONE_ASAN
  __sanitizer_finish_switch_fiber(fake, stack, bytes);
#else
  (void)fake, (void)stack, (void)bytes;
#endif
}

void fiber_main() {
  arrived(nullptr, &scheduler.stack, &scheduler.stack_bytes);
  (*scheduler.kernel)();
  scheduler.running->done = true;
  leaving(nullptr, scheduler.stack, scheduler.stack_bytes);
}

void to_scheduler() {
  Fiber& fiber = *scheduler.running;
  leaving(&fiber.fake_stack, scheduler.stack, scheduler.stack_bytes);
  swapcontext(&fiber.context, &scheduler.context);
  arrived(fiber.fake_stack, &scheduler.stack, &scheduler.stack_bytes);
}

void run(Fiber& fiber) {
  scheduler.running = &fiber;
  current = &fiber.thread;
  void* fake = nullptr;
  leaving(&fake, fiber.stack.get(), kStackBytes);
  swapcontext(&scheduler.context, &fiber.context);
  arrived(fake, nullptr, nullptr);
  current = nullptr;
}

void prepare(Fiber& fiber, Block& block, int thread) {
  fiber.thread = {};
  fiber.thread.thread.x = static_cast<unsigned>(thread);
  fiber.thread.block_index.x = block.index;
  fiber.thread.block = &block;
  fiber.done = false;
  fiber.waiting = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = &scheduler.context;
  makecontext(&fiber.context, fiber_main, 0);
}

// The next to run, or null if all wait or are done.
Fiber* choose(std::vector<std::unique_ptr<Fiber>>& fibers, int threads, std::mt19937& random) {
  const int first = options.order == Order::kRandom ? static_cast<int>(random() % threads) : 0;
  for (int i = 0; i < threads; ++i) {
    const int at = options.order == Order::kReversed ? threads - 1 - i : (first + i) % threads;
    if (fibers[at]->can_run()) return fibers[at].get();
  }
  return nullptr;
}

}  // namespace

void meet_fibers(Rendezvous& rendezvous, const std::function<void()>& last) {
  Fiber& fiber = *scheduler.running;
  fiber.waiting = nullptr;
  if (++rendezvous.arrived == rendezvous.expected) {
    last();
    rendezvous.arrived = 0;
    ++rendezvous.generation;
  } else {
    fiber.waiting = &rendezvous;
    fiber.generation = rendezvous.generation;
  }
  to_scheduler();
}

void run_fibers(Block& block, int64_t blocks, int threads, const std::function<void()>& kernel) {
  static thread_local std::vector<std::unique_ptr<Fiber>> fibers;
  while (static_cast<int>(fibers.size()) < threads) fibers.push_back(std::make_unique<Fiber>());
  std::mt19937 random(options.seed);
  scheduler.kernel = &kernel;
  for (int64_t i = 0; i < blocks; ++i) {
    block.begin(static_cast<unsigned>(options.order == Order::kReversed ? blocks - 1 - i : i));
    for (int t = 0; t < threads; ++t) prepare(*fibers[t], block, t);
    while (Fiber* fiber = choose(fibers, threads, random)) run(*fiber);
    for (int t = 0; t < threads; ++t)
      if (!fibers[t]->done) stop("threads wait for others that have ended");
  }
}

}  // namespace onebyone::cuda::emulator
