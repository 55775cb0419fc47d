// neon.cc - arm64: Advanced SIMD, part of every armv8 CPU.
#include "table-inl.h"

namespace onebyone {

// 6x16: 24 accumulators + 4 of B + 1 of A, whose scalar each FMA takes from a lane: 29 of 32 registers. 24
// chains > latency 4 x 4 pipes (Neoverse V; 2 pipes in N and Cortex-A7x). 8x12 has as many and loads 11
// registers for 24 FMAs where this loads 10.
extern const KernelTable kNeonKernels;
const KernelTable kNeonKernels = make_table<16, 6, 4>("neon");

}  // namespace onebyone
