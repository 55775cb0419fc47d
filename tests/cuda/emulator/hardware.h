// hardware.h - the contract of csrc/cuda/hardware/hardware.h in C++, over emulator.h. See there for what each
// does.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "emulator.h"

#define ONEBYONE_DEVICE inline
#define ONEBYONE_KERNEL(threads, blocks) void

#define threadIdx (::onebyone::cuda::emulator::current->thread)
#define blockIdx (::onebyone::cuda::emulator::current->block_index)

namespace onebyone::cuda {

using std::min;

inline unsigned char* shared_memory() { return emulator::current->block->shared; }

template <int kName>
void block_barrier() {
  if (emulator::options.left_out == kName) return;
  emulator::meet(emulator::current->block->rendezvous, [] {});
}
template <int kName>
void warp_barrier() {
  if (emulator::options.left_out == kName) return;
  emulator::meet(emulator::current->warp().rendezvous, [] {});
}

template <int kBytes>
void copy_async(void* dst, const void* src, bool valid) {
  emulator::start_copy(dst, src, kBytes, valid);
}
inline void commit_copies() {
  emulator::Thread& thread = *emulator::current;
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}
template <int kName, int kPending>
void wait_copies() {
  if (emulator::options.left_out != kName) emulator::wait_for_copies(kPending);
}

inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::multiply(emulator::Product::kTf32, d, a, b);
}
inline void mma_float16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::multiply(emulator::Product::kFloat16, d, a, b);
}
inline void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::multiply(emulator::Product::kBFloat16, d, a, b);
}

inline uint32_t round_to_tf32(uint32_t bits) {
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}
inline float float_of_half(uint16_t bits) { return emulator::float_of_half(bits); }
inline uint16_t half_of_float(float value) { return emulator::half_of_float(value); }
inline uint32_t bits_of_float(float value) { return std::bit_cast<uint32_t>(value); }
inline float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

inline float reciprocal(float x) { return 1 / x; }

template <class Params>
cudaError_t launch(void (*kernel)(Params), int64_t blocks, int threads, size_t shared, cudaStream_t,
                   const Params& params) {
  if (blocks < 1 || blocks > INT32_MAX || threads < 1 || threads > 1024 || shared > 48 * 1024)
    return cudaErrorInvalidValue;
  emulator::run_grid(blocks, threads, shared, [&] { kernel(params); });
  return cudaSuccess;
}

}  // namespace onebyone::cuda
