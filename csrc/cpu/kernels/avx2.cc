// avx2.cc - x86-64 with AVX2 and FMA (Haswell, Zen and later).
#include "table-inl.h"

namespace onebyone {

// 6x16: 12 accumulators + 2 of B + 1 broadcast = 15 of 16 ymm; 12 chains > latency 4 x 2 ports.
extern const KernelTable kAvx2Kernels;
const KernelTable kAvx2Kernels = make_table<32, 6, 2>("avx2");

}  // namespace onebyone
