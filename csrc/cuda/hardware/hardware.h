// hardware.h - what the kernels ask of the GPU beyond C++: shared memory, barriers, asynchronous copies, the
// tensor cores, conversions, launches. The only file with PTX in it. tests/cuda/emulator has a header of the
// same name and contract in ordinary C++, which the host compiler finds instead.
//
// Instructions and the layout of fragments: PTX ISA, "Warp-Level Matrix Instructions" (mma) and "Data
// Movement and Conversion Instructions" (cp.async, cvt).
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#define ONEBYONE_DEVICE __device__ __forceinline__
// A kernel of blocks of `threads`, `blocks` of which should fit a multiprocessor.
#define ONEBYONE_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)

namespace onebyone::cuda {

// The block's shared memory, as many bytes as the launch asked for, aligned to 16. Its first contents are
// garbage.
ONEBYONE_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
}

// No thread of the block (of the warp) passes before all have come and their writes can be seen. kName, here
// and below, is what tests call the place by (sync_points.h).
template <int kName>
ONEBYONE_DEVICE void block_barrier() {
  __syncthreads();
}
template <int kName>
ONEBYONE_DEVICE void warp_barrier() {
  __syncwarp();
}

template <int kBytes>
struct CopyUnit;
template <>
struct CopyUnit<2> {
  using Type = uint16_t;
};
template <>
struct CopyUnit<4> {
  using Type = uint32_t;
};
template <>
struct CopyUnit<16> {
  using Type = uint4;
};

// Copies kBytes (2, 4 or 16, both addresses aligned to as many) from global to shared memory, or zeros if
// !valid, when src is not read but must still be an address in its array. What lies at dst is undefined until
// the thread has waited for the copy. At once where the GPU has no such instruction (sm_75) or none so narrow
// (2 bytes).
template <int kBytes>
ONEBYONE_DEVICE void copy_async(void* dst, const void* src, bool valid) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (kBytes >= 4) {
    const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(dst));
    const uint64_t from = __cvta_generic_to_global(src);
    const uint32_t bytes = valid ? kBytes : 0;
    if constexpr (kBytes == 16)  // past L1: the tile is read once by this block
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
                   : "memory");
    else
      asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
                   "r"(bytes)
                   : "memory");
    return;
  }
#endif
  using Unit = typename CopyUnit<kBytes>::Type;
  *static_cast<Unit*>(dst) = valid ? *static_cast<const Unit*>(src) : Unit{};
}

// Closes a group of the thread's copies.
ONEBYONE_DEVICE void commit_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until all of the thread's groups but the last kPending have landed. Other threads see them after a barrier.
template <int kName, int kPending>
ONEBYONE_DEVICE void wait_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// d += a * b over a warp, a 16 x 8 words, b 8 words x 8 columns, d 16 x 8 floats. A word is one float32 (read
// as TF32: its last 13 bits do not count) or two 16-bit numbers that follow each other in k. With group =
// lane / 4 and t = lane % 4 a lane holds
//   a[0] (row group, word t)   a[1] (row group + 8, word t)   a[2] (row group, word t + 4)   a[3] (group + 8,
//   t + 4) b[0] (word t, column group)   b[1] (word t + 4, column group) d[0], d[1] (row group, columns 2t,
//   2t + 1)   d[2], d[3] (row group + 8, the same columns)
// These are m16n8k8 for TF32 and m16n8k16 for 16 bits. sm_75 has float16 alone, and that as m16n8k8: two
// halves.
ONEBYONE_DEVICE void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();  // the host does not choose it there
#endif
}

ONEBYONE_DEVICE void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

ONEBYONE_DEVICE void mma_float16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#endif
}

// The float32 in `bits` to the nearest TF32, ties away from zero; NaN stays NaN.
ONEBYONE_DEVICE uint32_t round_to_tf32(uint32_t bits) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
#else
  return bits;
#endif
}

// IEEE half precision, to nearest even.
ONEBYONE_DEVICE float float_of_half(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
ONEBYONE_DEVICE uint16_t half_of_float(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
ONEBYONE_DEVICE uint32_t bits_of_float(float value) { return __float_as_uint(value); }
ONEBYONE_DEVICE float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }

// 1 / x, within one unit of the last place; where that would be denormal 0.
ONEBYONE_DEVICE float reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// Puts kernel(params) on the stream: `blocks` (below 2^31, not 0) of `threads` with `shared` bytes (at most
// 48 KB).
template <class Params>
cudaError_t launch(void (*kernel)(Params), int64_t blocks, int threads, size_t shared, cudaStream_t stream,
                   const Params& params) {
  void* arguments[] = {const_cast<Params*>(&params)};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(blocks)),
                          dim3(static_cast<unsigned>(threads)), arguments, shared, stream);
}

}  // namespace onebyone::cuda
