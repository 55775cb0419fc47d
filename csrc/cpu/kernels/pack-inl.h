// pack-inl.h - copies pixels into panels of B for the NCHW GEMM. Contract: PackArgs.
// A panel's vectors are classified once and then copied for every k: whole runs of an image row by one
// load, a seam between two runs (or a run and padding) by two masked loads, anything else lane by lane.
#pragma once

#include "kernel_table.h"
#include "simd.h"

namespace onebyone {
namespace {

template <class S>
struct LanePattern {
  using T = typename S::Scalar;
  enum Kind { kZero, kRun, kSeam, kGather };
  Kind kind;
  int64_t first, second;  // offsets of lane 0, had the run begun there
  typename S::IntVec first_mask, second_mask;

  // Splits the lanes into at most two runs of consecutive elements; zero lanes belong to neither.
  static LanePattern of(const int64_t* lanes) {
    LanePattern p{};
    p.first_mask = typename S::IntVec{};
    p.second_mask = typename S::IntVec{};
    int runs = 0, in_first = 0;
    for (int l = 0; l < S::kLanes; ++l) {
      if (lanes[l] == kNoLane) continue;
      const int64_t start = lanes[l] - l;
      if (runs > 0 && start == p.first) {
        p.first_mask[l] = -1;
        ++in_first;
      } else if (runs == 0) {
        p.first = start;
        p.first_mask[l] = -1;
        in_first = runs = 1;
      } else if (runs == 1 || start == p.second) {
        p.second = start;
        p.second_mask[l] = -1;
        runs = 2;
      } else {
        p.kind = kGather;
        return p;
      }
    }
    if (runs == 1) p.second = p.first;
    p.kind = runs == 0 ? kZero : in_first == S::kLanes ? kRun : kSeam;
    return p;
  }
};

// Whether whole vectors at `offset` of every k lie in the readable range.
template <class S>
ONEBYONE_INLINE bool readable(const PackArgs<typename S::Scalar>& args, int64_t offset) {
  const int64_t span = (args.kc - 1) * args.k_stride;
  const int64_t lowest = offset + (span < 0 ? span : 0);
  const int64_t highest = offset + (span > 0 ? span : 0) + S::kLanes;
  return lowest >= args.readable_begin - args.src && highest <= args.readable_end - args.src;
}

template <class T, int kBytes, int kNv>
void pack(const PackArgs<T>& args) {
  using S = Simd<T, kBytes>;
  using Vec = typename S::Vec;
  using IntVec = typename S::IntVec;
  using Pattern = LanePattern<S>;
  constexpr int kNr = kNv * S::kLanes;
  for (int64_t p = 0; p < args.panels; ++p) {
    for (int v = 0; v < kNv; ++v) {
      const int64_t* lanes = args.lanes + p * kNr + v * S::kLanes;
      T* dst = args.dst + p * args.panel_stride + v * S::kLanes;
      Pattern pattern = Pattern::of(lanes);
      if (pattern.kind == Pattern::kSeam &&
          !(readable<S>(args, pattern.first) && readable<S>(args, pattern.second)))
        pattern.kind = Pattern::kGather;
      const T* src = args.src;
      switch (pattern.kind) {
        case Pattern::kZero:
          for (int64_t k = 0; k < args.kc; ++k) S::store(dst + k * kNr, Vec{});
          break;
        case Pattern::kRun:
          src += pattern.first;
          for (int64_t k = 0; k < args.kc; ++k) S::store(dst + k * kNr, S::load(src + k * args.k_stride));
          break;
        case Pattern::kSeam:
          for (int64_t k = 0; k < args.kc; ++k, src += args.k_stride) {
            const IntVec one = (IntVec)S::load(src + pattern.first) & pattern.first_mask;
            const IntVec two = (IntVec)S::load(src + pattern.second) & pattern.second_mask;
            S::store(dst + k * kNr, (Vec)(one | two));
          }
          break;
        case Pattern::kGather:
          for (int64_t k = 0; k < args.kc; ++k, src += args.k_stride)
            for (int l = 0; l < S::kLanes; ++l) dst[k * kNr + l] = lanes[l] == kNoLane ? T(0) : src[lanes[l]];
          break;
      }
    }
  }
}

}  // namespace
}  // namespace onebyone
