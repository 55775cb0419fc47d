// table-inl.h - builds an ISA's KernelTable from its numbers; used by the last lines of each ISA's file.
#pragma once

#include "activation-inl.h"
#include "depthwise-inl.h"
#include "dot-inl.h"
#include "elementwise-inl.h"
#include "gemm-inl.h"
#include "kernel_table.h"
#include "pack-inl.h"
#include "planes-inl.h"
#include "pool-inl.h"
#include "reduce-inl.h"
#include "resample-inl.h"
#include "simd.h"
#include "softmax-inl.h"
#include "strassen-inl.h"
#include "transpose-inl.h"
#include "window-inl.h"
#include "winograd-inl.h"
#include "winograd_rows-inl.h"

namespace onebyone {
namespace {

// 12 chains cover the latency (4 to 5 cycles) of two FMA ports.
template <class T, int kBytes>
T fma_loop(int64_t iterations) {
  using S = Simd<T, kBytes>;
  typename S::Vec acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = S::broadcast(T(0.5) + T(0.01) * T(i));
  typename S::Vec x = S::broadcast(T(0.999999)), y = S::broadcast(T(1e-7));
  for (int64_t n = 0; n < iterations; ++n) {
    ONEBYONE_UNROLL
    for (int i = 0; i < 12; ++i) acc[i] = acc[i] * x + y;
  }
  for (int i = 1; i < 12; ++i) acc[0] += acc[i];
  return acc[0][0];
}

template <class T, int kBytes, int kMr, int kNv, int kWide>
constexpr Kernels<T> make_kernels() {
  constexpr int kLanes = Simd<T, kBytes>::kLanes, kWindowRows = kMr < kMostWindowRows ? kMr : kMostWindowRows;
  return {.mr = kMr,
          .nr = kNv * kLanes,
          .window_mr = kWindowRows,
          .lanes = kLanes,
          .gemm = &gemm<T, kBytes, kMr, kNv, kWide>,
          .window = &window<T, kBytes, kWindowRows, kNv>,
          .dot = &dot<T, kBytes>,
          .pack = &pack<T, kBytes, kNv>,
          .depthwise = &depthwise<T, kBytes>,
          .planes = &planes<T, kBytes>,
          .pool_pixels = &pool_pixels<T, kBytes>,
          .pool_plane = &pool_plane<T, kBytes>,
          .resample = &resample<T, kBytes>,
          .winograd_input = &winograd_input<T, kBytes>,
          .winograd_output = &winograd_output<T, kBytes>,
          .winograd_row_input = winograd_row_input_of<T, kBytes, kMr * kNv>(),
          .winograd_row = winograd_row_of<T, kBytes, kMr * kNv>(),
          .strassen_sums = &strassen_sums<T, kBytes>,
          .transpose = &transpose<T, kBytes>,
          .activate = &activate<T, kBytes>,
          .elementwise = &elementwise<T, kBytes>,
          .reduce_rows = &reduce_rows<T, kBytes>,
          .reduce_within = &reduce_within<T, kBytes>,
          .softmax_rows = &softmax_rows<T, kBytes>,
          .softmax_within = &softmax_within<T, kBytes>,
          .fma_loop = &fma_loop<T, kBytes>,
          .fma_flops = 12 * 2 * kLanes};
}

// kMr rows x kNv vectors for both types: a double tile has half the columns of a float tile. Wider GEMM tiles
// of as many sums have up to kWide vectors.
template <int kBytes, int kMr, int kNv, int kWide = kNv>
constexpr KernelTable make_table(const char* isa) {
  return {.isa = isa,
          .f32 = make_kernels<float, kBytes, kMr, kNv, kWide>(),
          .f64 = make_kernels<double, kBytes, kMr, kNv, kWide>()};
}

}  // namespace
}  // namespace onebyone
