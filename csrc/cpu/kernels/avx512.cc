// avx512.cc - x86-64 with AVX-512 F, VL, BW and DQ (Skylake-X, Zen 4 and later).
// Compiled a second time with AVX2 flags as "avx512-lowered": the same logic, run where there is no AVX-512.
#include "table-inl.h"

// 12x32: 24 accumulators + 2 of B + 1 broadcast = 27 of 32 zmm; 14 rows would need 14 row pointers beside the
// panel pointer and the counter, and there are 15 general registers. Where C is wider 6x64 and 8x48: 29 and
// 28 zmm, 10 and 11 loads for 24 FMAs instead of 14, and half as often A from L2; 5 to 10 % on most layers.
// Panels of 32 columns stay, two of them to a tile: narrow layers waste less.
#ifndef ONEBYONE_AVX512_LOWERED
#define ONEBYONE_AVX512_TABLE kAvx512Kernels
#define ONEBYONE_AVX512_NAME "avx512"
#define ONEBYONE_AVX512_ROWS 12
#else
#define ONEBYONE_AVX512_TABLE kAvx512LoweredKernels
#define ONEBYONE_AVX512_NAME "avx512-lowered"
#define ONEBYONE_AVX512_ROWS ONEBYONE_AVX512_LOWERED
#endif

namespace onebyone {

extern const KernelTable ONEBYONE_AVX512_TABLE;
const KernelTable ONEBYONE_AVX512_TABLE = make_table<64, ONEBYONE_AVX512_ROWS, 2, 4>(ONEBYONE_AVX512_NAME);

}  // namespace onebyone
