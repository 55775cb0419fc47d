// pack-inl.h - copies pixels into panels of B for the NCHW GEMM. Contract: PackArgs.
// Knows no convolution: conv/implicit_gemm_nchw.cc makes the list of vectors, this walks it for every k.
#pragma once

#include "kernel_table.h"
#include "simd.h"
#include "transpose-inl.h"

namespace onebyone {
namespace {

// An op is decoded once for kChunk rows of k: its rows are as many streams, which the memory system can
// follow both where they are read (each in its own page) and where they are written (one after the other).
constexpr int64_t kChunk = 8;

// A vector of elements kStride apart (0: any, as `stride` says).
template <class S, int kStride>
ONEBYONE_INLINE typename S::Vec load_whole(const typename S::Scalar* p, int64_t stride) {
  if constexpr (kStride == 1) return S::load(p);
  // The second load ends at the last element wanted.
  if constexpr (kStride == 2)
    return shuffle<S>(S::load(p), S::load(p + S::kLanes - 1),
                      [](int l) { return 2 * l < S::kLanes ? 2 * l : 2 * l + 1; });
  typename S::Vec v{};
  ONEBYONE_UNROLL
  for (int l = 0; l < S::kLanes; ++l) v[l] = p[l * (kStride ? kStride : stride)];
  return v;
}

template <class S, int kStride>
ONEBYONE_INLINE typename S::Vec load_op(const typename S::Scalar* p, int64_t stride, const PackOp& op) {
  if (op.whole) return load_whole<S, kStride>(p, stride);
  typename S::Vec v{};
  for (int l = op.from; l < op.to; ++l) v[l] = p[l * stride];
  return v;
}

// 0, 1, 2, ...
template <class S>
ONEBYONE_INLINE typename S::IntVec lane_numbers() {
  typename S::IntVec v{};
  ONEBYONE_UNROLL
  for (int l = 0; l < S::kLanes; ++l) v[l] = l;
  return v;
}

// Lanes of `old` where keep is set, else of `v`.
template <class S>
ONEBYONE_INLINE typename S::Vec merge(typename S::Vec old, typename S::Vec v, typename S::IntVec keep) {
  using IntVec = typename S::IntVec;
  return (typename S::Vec)(((IntVec)old & keep) | ((IntVec)v & ~keep));
}

template <class S, int kNr, int kStride>
void pack_strided(const PackArgs<typename S::Scalar>& args) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  using IntVec = typename S::IntVec;
  // Copied, because a store through dst could change args for all that the compiler knows.
  const int64_t kc = args.kc, k_stride = args.k_stride, stride = args.lane_stride;
  const PackOp* const end = args.ops + args.op_count;
  for (int64_t k = 0; k < kc; k += kChunk) {
    const int64_t rows = kc - k < kChunk ? kc - k : kChunk;
    const T* const chunk_src = args.src + k * k_stride;
    T* const chunk_dst = args.dst + k * kNr;
    for (const PackOp* p = args.ops; p != end; ++p) {
      const PackOp op = *p;
      T* dst = chunk_dst + op.dst;
      const IntVec keep = lane_numbers<S>() < static_cast<typename S::Int>(op.from);
      if (op.src == kZeros) {
        for (int64_t r = 0; r < rows; ++r, dst += kNr) S::store(dst, merge<S>(S::load(dst), Vec{}, keep));
        continue;
      }
      const T* src = chunk_src + op.src;
      if (op.from > 0) {
        for (int64_t r = 0; r < rows; ++r, src += k_stride, dst += kNr)
          S::store(dst, merge<S>(S::load(dst), load_op<S, kStride>(src, stride, op), keep));
      } else if (rows == kChunk && op.whole) {
        ONEBYONE_UNROLL
        for (int64_t r = 0; r < kChunk; ++r)
          S::store(dst + r * kNr, load_whole<S, kStride>(src + r * k_stride, stride));
      } else if (op.whole) {
        for (int64_t r = 0; r < rows; ++r, src += k_stride, dst += kNr)
          S::store(dst, load_whole<S, kStride>(src, stride));
      } else {
        for (int64_t r = 0; r < rows; ++r, src += k_stride, dst += kNr)
          S::store(dst, load_op<S, kStride>(src, stride, op));
      }
    }
  }
}

template <class T, int kBytes, int kNv>
void pack(const PackArgs<T>& args) {
  using S = Simd<T, kBytes>;
  constexpr int kNr = kNv * S::kLanes;
  switch (args.lane_stride) {
    case 1: return pack_strided<S, kNr, 1>(args);
    case 2: return pack_strided<S, kNr, 2>(args);
    default: return pack_strided<S, kNr, 0>(args);
  }
}

}  // namespace
}  // namespace onebyone
