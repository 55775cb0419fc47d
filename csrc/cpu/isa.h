// cpu/isa.h - which kernels this process uses: one decision, at first use. Calls the kernel tables' objects.
#pragma once

#include <vector>

#include "cpu/kernels/kernel_table.h"

namespace onebyone {

// The best ISA that this CPU and this build have, or the one that ONEBYONE_ISA names.
// Throws std::invalid_argument listing what is possible if that one is unknown or unsupported.
const KernelTable& active_kernels();

// Every table that runs here, best first. An unlisted one ("avx512-lowered") is for tests: never chosen
// unless named.
struct RunnableIsa {
  const KernelTable* kernels;
  bool listed;
};
std::vector<RunnableIsa> runnable_isas();

// FMAs of these kernels' vectors that a core of this CPU starts in a cycle.
int fmas_per_cycle(const KernelTable& kernels);

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table) {
  return table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table) {
  return table.f64;
}

}  // namespace onebyone
