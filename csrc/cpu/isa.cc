#include "cpu/isa.h"

#include <cstdlib>
#include <string>

#include "core/check.h"

namespace onebyone {

extern const KernelTable kBaselineKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
#ifdef ONEBYONE_LOWERED
extern const KernelTable kAvx512LoweredKernels;
#endif
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
#endif

std::vector<RunnableIsa> runnable_isas() {
  std::vector<RunnableIsa> isas;
#if defined(__x86_64__)
  // The compiler's CPU test includes the operating system's support for the registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
      isas.push_back({&kAvx512Kernels, true});
    isas.push_back({&kAvx2Kernels, true});
#ifdef ONEBYONE_LOWERED
    isas.push_back({&kAvx512LoweredKernels, false});
#endif
  }
#elif defined(__aarch64__)
  isas.push_back({&kNeonKernels, true});
#endif
  isas.push_back({&kBaselineKernels, true});
  return isas;
}

namespace {

const KernelTable& choose() {
  const std::vector<RunnableIsa> isas = runnable_isas();
  const char* text = std::getenv("ONEBYONE_ISA");
  const std::string forced = text ? text : "";
  std::string possible;
  for (const RunnableIsa& isa : isas) {
    if (forced.empty() ? isa.listed : forced == isa.kernels->isa) return *isa.kernels;
    if (isa.listed) possible += concat(possible.empty() ? "" : ", ", isa.kernels->isa);
  }
  fail("ONEBYONE_ISA '", forced, "' is unknown or not supported by this CPU; possible here: ", possible);
}

}  // namespace

int fmas_per_cycle([[maybe_unused]] const KernelTable& kernels) {
#if defined(__x86_64__)
  // Zen 4 (family 19h, as Zen 3, which has no AVX-512) has two units of 32 bytes, others with AVX-512 two
  // of 64.
  if (kernels.f32.lanes == 16) {
    __builtin_cpu_init();
    if (__builtin_cpu_is("amdfam19h")) return 1;
  }
#endif
  return 2;
}

const KernelTable& active_kernels() {
  static const KernelTable& table = choose();
  return table;
}

}  // namespace onebyone
