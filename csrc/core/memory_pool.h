// core/memory_pool.h - big memory, recycled: outputs, packed weights, scratch. Called by AlignedBuffer
// (aligned_buffer.h) and bindings/; a leaf. Thread-safe, also around fork().
//
// A fresh block of the system's costs a page fault and a cleared page for each 4 KB that is touched, more
// than half of the time of a layer with few channels. What is given back is therefore kept, at most
// get_cache_limit() bytes of it, and taken again by a block of about its size.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onebyone {

inline constexpr int64_t kCacheLine = 64;

// From here on blocks are recycled. Below, malloc does it as well: it keeps what is small.
inline constexpr int64_t kRecycleFrom = 64 * 1024;

struct MemoryBundle;

// Uninitialised memory, aligned to a cache line.
struct MemoryBlock {
  std::byte* data = nullptr;
  int64_t capacity = 0;
  MemoryBundle* bundle = nullptr;  // that it is a part of
};

// At least `bytes` bytes, bytes >= 0 (none for 0); the caller owns them until it gives the block back, from
// any thread. Throws std::bad_alloc.
MemoryBlock take_memory(int64_t bytes);
void give_memory(MemoryBlock block) noexcept;

// While one is there, what its thread takes that is too small for huge pages of its own lies side by side in
// larger blocks that are made of them. The weights of a network come from memory each time it runs, and stop
// at every page whose translation is not known: 960 -> 160 at 7x7 takes 147 us within MobileNet v2 where each
// layer has ordinary pages, and 137 in a bundle. Parts are given back one by one; what they lie in, with the
// last.
class BundledMemory {
 public:
  BundledMemory();
  ~BundledMemory();
  BundledMemory(const BundledMemory&) = delete;
  BundledMemory& operator=(const BundledMemory&) = delete;

  MemoryBlock take(int64_t bytes);  // for take_memory

 private:
  BundledMemory* const outer_;
  MemoryBundle* bundle_ = nullptr;
};

// Returns all idle blocks to the system. Those in use are not touched.
void empty_cache();
int64_t cached_bytes();  // in idle blocks

// How much may be idle; what is more goes back to the system, the longest idle first. 0: nothing is kept.
// The first default: ONEBYONE_CACHE_LIMIT, else 256 MB or a sixteenth of the memory that the machine and the
// container leave this process, whichever is less.
int64_t get_cache_limit();
void set_cache_limit(int64_t bytes);  // bytes >= 0

}  // namespace onebyone
