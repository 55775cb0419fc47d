// core/aligned_buffer.h - an array of a trivial type in recycled memory (memory_pool.h): packed weights,
// workspace, outputs. A leaf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/int_math.h"
#include "core/memory_pool.h"

namespace onebyone {

// Elements rounded up to an odd number of cache lines: rows a multiple of 4 KB apart would share L1's sets.
template <class T>
constexpr int64_t odd_lines(int64_t elements) {
  constexpr int64_t line = kCacheLine / sizeof(T);
  return (ceil_div(elements, line) | 1) * line;
}

// Uninitialised elements of a trivial type, aligned to a cache line. Moves; does not copy.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t size)
      : block_(take_memory(checked_mul(size, sizeof(T), "buffer"))), size_(size) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : block_(std::exchange(other.block_, {})), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() { give_memory(block_); }

  T* data() { return reinterpret_cast<T*>(block_.data); }
  const T* data() const { return reinterpret_cast<const T*>(block_.data); }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(T)); }
  T& operator[](int64_t i) { return data()[i]; }
  const T& operator[](int64_t i) const { return data()[i]; }

 private:
  MemoryBlock block_;
  int64_t size_ = 0;
};

// The calling thread's scratch memory: grows, is reused by the next call, is freed with the thread.
// A caller that holds a pointer must not ask again before it is done with it.
std::byte* thread_scratch(int64_t bytes);

}  // namespace onebyone
