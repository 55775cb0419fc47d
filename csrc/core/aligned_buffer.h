// core/aligned_buffer.h - memory for packed weights and workspace, aligned to a cache line. A leaf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "core/int_math.h"

namespace onebyone {

inline constexpr std::size_t kCacheLine = 64;

// Elements rounded up to an odd number of cache lines: rows a multiple of 4 KB apart would share L1's sets.
template <class T>
constexpr int64_t odd_lines(int64_t elements) {
  constexpr int64_t line = kCacheLine / sizeof(T);
  return (ceil_div(elements, line) | 1) * line;
}

// Uninitialised elements of a trivial type. Moves; does not copy.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t size) : size_(size) {
    const int64_t bytes = round_up(checked_mul(size, sizeof(T), "buffer"), kCacheLine);
    if (bytes == 0) return;
    data_.reset(static_cast<T*>(std::aligned_alloc(kCacheLine, static_cast<std::size_t>(bytes))));
    if (!data_) throw std::bad_alloc();
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(T)); }
  T& operator[](int64_t i) { return data_.get()[i]; }
  const T& operator[](int64_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

// The calling thread's scratch memory: grows, is reused by the next call, is freed with the thread.
// A caller that holds a pointer must not ask again before it is done with it.
std::byte* thread_scratch(int64_t bytes);

}  // namespace onebyone
