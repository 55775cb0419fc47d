// emulator.cc - what both kinds of threads share: blocks, copies, fragments, conversions.
#include "emulator.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace onebyone::cuda::emulator {

Options options;
thread_local Thread* current = nullptr;

void stop(const char* why) {
  std::fprintf(stderr, "CUDA emulator: %s (block %u, thread %u)\n", why, current ? current->block_index.x : 0,
               current ? current->thread.x : 0);
  std::abort();
}

// Exactly as many bytes as the launch asked for: AddressSanitizer sees what lies outside.
Block::Block(int threads, size_t bytes) : index(0), shared_bytes(bytes), warps((threads + 31) / 32) {
  shared = static_cast<unsigned char*>(std::aligned_alloc(16, (bytes + 15) / 16 * 16));
  rendezvous.expected = threads;
  for (size_t w = 0; w < warps.size(); ++w)
    warps[w].rendezvous.expected = std::min(32, threads - 32 * static_cast<int>(w));
}

Block::~Block() { std::free(shared); }

void Block::begin(unsigned block) {
  index = block;
  std::memset(shared, 0xff, shared_bytes);
}

void run_grid(int64_t blocks, int threads, size_t shared_bytes, const std::function<void()>& kernel) {
  Block block(threads, shared_bytes);
#ifdef __SANITIZE_THREAD__
  run_host_threads(block, blocks, threads, kernel);
#else
  (options.host_threads ? run_host_threads : run_fibers)(block, blocks, threads, kernel);
#endif
}

namespace {

void land(const Copy& copy) {
  if (copy.valid)
    std::memcpy(copy.dst, copy.src, copy.bytes);
  else
    std::memset(copy.dst, 0, copy.bytes);
}

}  // namespace

void start_copy(void* dst, const void* src, int bytes, bool valid) {
  if (reinterpret_cast<uintptr_t>(dst) % bytes || reinterpret_cast<uintptr_t>(src) % bytes)
    stop("a copy's address is not aligned to its size");
  const unsigned char* const at = static_cast<unsigned char*>(dst);
  const Block& block = *current->block;
  if (at < block.shared || at + bytes > block.shared + block.shared_bytes)
    stop("a copy leaves shared memory");
  const Copy copy = {dst, src, bytes, valid};
  // Two bytes are no asynchronous copy; nor is any before sm_80.
  if (bytes < 4 || options.capability < 80) return land(copy);
  std::memset(dst, 0xff, bytes);
  current->open.push_back(copy);
}

void wait_for_copies(int pending) {
  if (options.waits_early) ++pending;
  auto& groups = current->groups;
  while (static_cast<int>(groups.size()) > pending) {
    for (const Copy& copy : groups.front()) land(copy);
    groups.erase(groups.begin());
  }
}

float float_of_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float value;
  if (exponent == 31)
    value = std::bit_cast<float>(0x7f800000u | static_cast<uint32_t>(mantissa) << 13);
  else if (exponent == 0)
    value = std::ldexp(static_cast<float>(mantissa), -24);
  else
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return bits & 0x8000 ? -value : value;
}

uint16_t half_of_float(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float size = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (size == 0) return sign;
  if (size >= 65520.0f) return sign | 0x7c00;
  int exponent;
  std::frexp(size, &exponent);  // size in [2^(exponent - 1), 2^exponent)
  // Units of the last place, rounded to nearest even; below 2^-14 they are those of denormals. A carry into
  // the exponent is right as it is.
  const int unit = std::max(exponent - 11, -24);
  const uint32_t units = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, -unit)));
  return sign | static_cast<uint16_t>(units + (static_cast<uint32_t>(unit + 24) << 10));
}

namespace {

// Element h of a word (h is 0 for TF32).
float element(Product product, uint32_t word, int h) {
  switch (product) {
    case Product::kTf32: return std::bit_cast<float>(word & ~0x1fffu);
    case Product::kFloat16: return float_of_half(static_cast<uint16_t>(word >> 16 * h));
    default: return std::bit_cast<float>((h ? word >> 16 : word) << 16);
  }
}

// All 32 lanes' d += a * b by the layout in csrc/cuda/hardware/hardware.h.
void multiply_warp(Product product, const Fragments (&lanes)[32]) {
  const int halves = product == Product::kTf32 ? 1 : 2;
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r)
      for (int h = 0; h < halves; ++h)
        a[group + 8 * (r % 2)][(t + 4 * (r / 2)) * halves + h] = element(product, lanes[lane].a[r], h);
    for (int r = 0; r < 2; ++r)
      for (int h = 0; h < halves; ++h)
        b[(t + 4 * r) * halves + h][group] = element(product, lanes[lane].b[r], h);
  }
  for (int lane = 0; lane < 32; ++lane)
    for (int r = 0; r < 4; ++r) {
      const int row = lane / 4 + 8 * (r / 2), column = lane % 4 * 2 + r % 2;
      float sum = lanes[lane].d[r];
      for (int k = 0; k < 8 * halves; ++k) sum += a[row][k] * b[k][column];
      lanes[lane].d[r] = sum;
    }
}

}  // namespace

void multiply(Product product, float* d, const uint32_t* a, const uint32_t* b) {
  Warp& warp = current->warp();
  warp.lanes[current->thread.x % 32] = {d, a, b};
  meet(warp.rendezvous, [&warp, product] { multiply_warp(product, warp.lanes); });
}

}  // namespace onebyone::cuda::emulator
