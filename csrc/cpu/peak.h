// cpu/peak.h - the machine's limits, measured: what shares of a peak are shares of.
// Called by the bindings and by bench/.
#pragma once

#include "cpu/kernels/kernel_table.h"

namespace onebyone {

// Floating-point operations per second of independent vector FMAs on `threads` threads, an FMA counting two:
// each thread's best of several rounds, added up. Takes about `seconds`.
template <class T>
double measure_fma_peak(const KernelTable& kernels, int threads, double seconds);

// Bytes per second that `threads` threads read, each its part of a buffer of `bytes`: the best pass over it
// of those that fit into `seconds`, at least one. A buffer larger than the caches shows the memory.
double measure_read_bandwidth(int threads, int64_t bytes, double seconds);

}  // namespace onebyone
