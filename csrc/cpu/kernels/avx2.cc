// avx2.cc - x86-64 with AVX2 and FMA (Haswell, Zen and later).
#include "simd.h"

// 21.5 instructions for 12 FMAs instead of 24. A thread that shares its core with another waits for
// instructions rather than for its FMA units: 14 layers of 1x1 take 9 % less beside a neighbour, six of them
// 2 % less alone (Zen 3, channels last). By eight: no less, and 35 % more code.
#define ONEBYONE_UNROLL_PRODUCTS ONEBYONE_UNROLL_BY_4
#include "table-inl.h"

namespace onebyone {

// 6x16: 12 accumulators + 2 of B + 1 broadcast = 15 of 16 ymm; 12 chains > latency 4 x 2 ports. 4x24, 16 ymm,
// where a vector is left over: 6 chains alone would wait for their latency (96 -> 24 at 56x56: 81 to 93 % of
// the peak).
extern const KernelTable kAvx2Kernels;
const KernelTable kAvx2Kernels = make_table<32, 6, 2, 3>("avx2");

}  // namespace onebyone
