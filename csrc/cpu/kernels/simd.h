// simd.h - one vector type over GCC/Clang vector extensions. Included by the -inl.h kernels alone,
// so it is compiled once per ISA; the unnamed namespace keeps each copy private to its object file.
#pragma once

#include <stdint.h>

#if defined(__clang__)
#define ONEBYONE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ONEBYONE_UNROLL _Pragma("GCC unroll 64")
#endif
#define ONEBYONE_INLINE inline __attribute__((always_inline))

namespace onebyone {
namespace {

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using Type = int32_t;
};
template <>
struct IntOf<double> {
  using Type = int64_t;
};

// A vector of kBytes / sizeof(T) lanes. Wider than the machine's registers it is lowered by the compiler.
template <class T, int kBytes>
struct Simd {
  using Scalar = T;
  using Int = typename IntOf<T>::Type;
  static constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));
  typedef T Vec __attribute__((vector_size(kBytes)));
  typedef Int IntVec __attribute__((vector_size(kBytes)));
  // may_alias and element alignment: how memory is read and written.
  typedef T VecInMemory __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));

  static ONEBYONE_INLINE Vec load(const T* p) { return *reinterpret_cast<const VecInMemory*>(p); }
  static ONEBYONE_INLINE void store(T* p, Vec v) { *reinterpret_cast<VecInMemory*>(p) = v; }
  static ONEBYONE_INLINE Vec broadcast(T s) { return s - Vec{}; }

  // The first n lanes, 0 < n < kLanes; the others are zero and their memory is not read.
  static ONEBYONE_INLINE Vec load_first(const T* p, int n) {
    Vec v{};
    T* lane = reinterpret_cast<T*>(&v);
    copy_first(lane, p, n);
    return v;
  }
  static ONEBYONE_INLINE void store_first(T* p, Vec v, int n) {
    copy_first(p, reinterpret_cast<const T*>(&v), n);
  }

  // Comparisons that let a NaN in v through, as minps/maxps do with their second operand.
  static ONEBYONE_INLINE Vec at_least(Vec v, Vec lo) { return lo > v ? lo : v; }
  static ONEBYONE_INLINE Vec at_most(Vec v, Vec hi) { return hi < v ? hi : v; }

 private:
  // By halves: three moves for seven elements where a loop would take seven.
  static ONEBYONE_INLINE void copy_first(T* to, const T* from, int n) {
    if constexpr (kLanes > 8) copy_part<8>(to, from, n);
    if constexpr (kLanes > 4) copy_part<4>(to, from, n);
    if constexpr (kLanes > 2) copy_part<2>(to, from, n);
    if (n & 1) *to = *from;
  }
  template <int kPart>
  static ONEBYONE_INLINE void copy_part(T*& to, const T*& from, int n) {
    if (n & kPart) {
      __builtin_memcpy(to, from, kPart * sizeof(T));
      to += kPart;
      from += kPart;
    }
  }
};

}  // namespace
}  // namespace onebyone
