// host_threads.cc - a block's threads as threads of the host: slow, but ThreadSanitizer sees every access
// that no barrier separates.
#include <thread>

#include "emulator.h"

namespace onebyone::cuda::emulator {
namespace {

void meet_threads(Rendezvous& rendezvous, const std::function<void()>& last) {
  std::unique_lock lock(rendezvous.mutex);
  const uint64_t generation = rendezvous.generation;
  if (++rendezvous.arrived == rendezvous.expected) {
    last();
    rendezvous.arrived = 0;
    ++rendezvous.generation;
    rendezvous.changed.notify_all();
  } else {
    rendezvous.changed.wait(lock, [&] { return rendezvous.generation != generation; });
  }
}

}  // namespace

void meet(Rendezvous& rendezvous, const std::function<void()>& last) {
#ifdef __SANITIZE_THREAD__
  meet_threads(rendezvous, last);
#else
  (options.host_threads ? meet_threads : meet_fibers)(rendezvous, last);
#endif
}

void run_host_threads(Block& block, int64_t blocks, int threads, const std::function<void()>& kernel) {
  for (int64_t i = 0; i < blocks; ++i) {
    block.begin(static_cast<unsigned>(i));
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t)
      running.emplace_back([&, t] {
        Thread thread;
        thread.thread.x = static_cast<unsigned>(t);
        thread.block_index.x = static_cast<unsigned>(i);
        thread.block = &block;
        current = &thread;
        kernel();
      });
    for (std::thread& thread : running) thread.join();
  }
}

}  // namespace onebyone::cuda::emulator
