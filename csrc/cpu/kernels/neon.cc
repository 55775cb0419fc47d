// neon.cc - arm64: Advanced SIMD, part of every armv8 CPU.
#include "table-inl.h"

namespace onebyone {

// 6x16: 24 accumulators + 4 of B + 1 broadcast = 29 of 32 registers.
extern const KernelTable kNeonKernels;
const KernelTable kNeonKernels = make_table<16, 6, 4>("neon");

}  // namespace onebyone
