// baseline.cc - any CPU of the architecture the package is built for (x86-64 with SSE2, armv8): no -m flags.
#include "table-inl.h"

namespace onebyone {

// 4x8: 8 accumulators + 2 of B + 1 broadcast + 1 product (SSE has no FMA and overwrites an operand) = 12 of
// 16 xmm.
extern const KernelTable kBaselineKernels;
const KernelTable kBaselineKernels = make_table<16, 4, 2>("baseline");

}  // namespace onebyone
