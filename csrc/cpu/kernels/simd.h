// simd.h - one vector type over GCC/Clang vector extensions. Included by the -inl.h kernels alone,
// so it is compiled once per ISA; the unnamed namespace keeps each copy private to its object file.
#pragma once

#include <stdint.h>

#if defined(__clang__)
#define ONEBYONE_UNROLL _Pragma("clang loop unroll(full)")
#define ONEBYONE_UNROLL_BY_4 _Pragma("clang loop unroll_count(4)")
#else
#define ONEBYONE_UNROLL _Pragma("GCC unroll 64")
#define ONEBYONE_UNROLL_BY_4 _Pragma("GCC unroll 4")
#endif
#define ONEBYONE_INLINE inline __attribute__((always_inline))

// Returns the minimum or maximum by x86's instruction for a vector of a register. GCC makes a comparison and
// a blend of a condition on vectors, 4 operations for 1 on AVX2: silu takes twice as long.
#if defined(__x86_64__) && !defined(__clang__)
#define ONEBYONE_X86_MIN_MAX(op, a, b)                                                \
  if constexpr (kBytes == 16 && sizeof(T) == 4) return __builtin_ia32_##op##ps(a, b); \
  if constexpr (kBytes == 16 && sizeof(T) == 8) return __builtin_ia32_##op##pd(a, b); \
  ONEBYONE_AVX_MIN_MAX(op, a, b)
#else
#define ONEBYONE_X86_MIN_MAX(op, a, b)
#endif
#if defined(__AVX512F__)
#define ONEBYONE_AVX_MIN_MAX(op, a, b)                                                                  \
  if constexpr (kBytes == 64 && sizeof(T) == 4) return __builtin_ia32_##op##ps512_mask(a, b, a, -1, 4); \
  if constexpr (kBytes == 64 && sizeof(T) == 8) return __builtin_ia32_##op##pd512_mask(a, b, a, -1, 4)
#elif defined(__AVX__)
#define ONEBYONE_AVX_MIN_MAX(op, a, b)                                                   \
  if constexpr (kBytes == 32 && sizeof(T) == 4) return __builtin_ia32_##op##ps256(a, b); \
  if constexpr (kBytes == 32 && sizeof(T) == 8) return __builtin_ia32_##op##pd256(a, b)
#else
#define ONEBYONE_AVX_MIN_MAX(op, a, b)
#endif

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
    // By way of the stack a vector waits 15 cycles for its parts; GCC makes no masked load of anything said
    // in vectors.
#if defined(__AVX512F__)
    if constexpr (kBytes == 64 && sizeof(T) == 4)
      return __builtin_ia32_loadups512_mask(p, Vec{}, first_bits(n));
    if constexpr (kBytes == 64 && sizeof(T) == 8)
      return __builtin_ia32_loadupd512_mask(p, Vec{}, first_bits(n));
#elif defined(__AVX2__)
    using Mask = long long __attribute__((vector_size(32)));
    if constexpr (kBytes == 32 && sizeof(T) == 4)
      return __builtin_ia32_maskloadps256(reinterpret_cast<const Vec*>(p), first_lanes(n));
    if constexpr (kBytes == 32 && sizeof(T) == 8)
      return __builtin_ia32_maskloadpd256(reinterpret_cast<const Vec*>(p), (Mask)first_lanes(n));
#endif
    Vec v{};
    T* lane = reinterpret_cast<T*>(&v);
    copy_first(lane, p, n);
    return v;
  }
  static ONEBYONE_INLINE void store_first(T* p, Vec v, int n) {
    // AVX2's masked store takes 12 cycles on Zen 3 (uops.info), as long as the parts.
#if defined(__AVX512F__)
    if constexpr (kBytes == 64 && sizeof(T) == 4) return __builtin_ia32_storeups512_mask(p, v, first_bits(n));
    if constexpr (kBytes == 64 && sizeof(T) == 8) return __builtin_ia32_storeupd512_mask(p, v, first_bits(n));
#endif
    copy_first(p, reinterpret_cast<const T*>(&v), n);
  }

  // Comparisons that let a NaN in v through, as minps/maxps do with their second operand.
  static ONEBYONE_INLINE Vec at_least(Vec v, Vec lo) {
    ONEBYONE_X86_MIN_MAX(max, lo, v);
    return lo > v ? lo : v;
  }
  static ONEBYONE_INLINE Vec at_most(Vec v, Vec hi) {
    ONEBYONE_X86_MIN_MAX(min, hi, v);
    return hi < v ? hi : v;
  }

  // Of lanes that are 0 or NaN.
  static ONEBYONE_INLINE bool has_nan(Vec v) {
    T sum = 0;
    for (int l = 0; l < kLanes; ++l) sum += v[l];
    return sum != 0;
  }

 private:
  // The first n lanes: bits of 1, or lanes of -1.
  static ONEBYONE_INLINE uint16_t first_bits(int n) { return static_cast<uint16_t>((1u << n) - 1); }
  static ONEBYONE_INLINE IntVec first_lanes(int n) {
    IntVec lanes;
    for (int l = 0; l < kLanes; ++l) lanes[l] = l;
    return lanes < static_cast<Int>(n);
  }

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

// GCC would work out ahead of the loops all that derives from v (a pointer to each column, each bit of a
// mask) and, as there are not so many registers, fetch it from the stack inside: a third of the time of 3x3
// on AVX2.
template <class V>
ONEBYONE_INLINE V opaque(V v) {
  asm volatile("" : "+r"(v));
  return v;
}

}  // namespace
}  // namespace onebyone
