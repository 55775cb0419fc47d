// ops/runs.h - element-by-element functions of strided tensors as rows that a kernel can read: what is not
// contiguous goes through a buffer in L1. Used by elementwise.cc and unary.cc.
#pragma once

#include "cpu/kernels/kernel_table.h"
#include "ops/loops.h"

namespace onebyone {

// Rows of kInputs operands and of the result, whose elements are contiguous.
template <class T, int kInputs>
struct Runs {
  int64_t rows, n;
  ElementwiseOperand<T> in[kInputs];
  T* out;
  int64_t out_row;
};

// Loops of out (operand 0) and inputs, which have its shape.
template <class T, int kInputs>
Loops<kInputs + 1> loops_over(const TensorView<T>& out, const TensorView<const T>* const (&in)[kInputs]) {
  const int64_t* strides[kInputs + 1] = {out.strides};
  for (int k = 0; k < kInputs; ++k) strides[k + 1] = in[k]->strides;
  return {out.rank, out.shape, strides};
}

// f(runs) for all elements. Inputs have steps of 1, or 0 if kScalars.
template <bool kScalars, class T, int kInputs, class F>
void for_each_run(const Loops<kInputs + 1>& loops, const T* const (&in)[kInputs], T* out, int64_t grain,
                  int threads, const F& f) {
  constexpr int64_t kBuffer = 256;
  bool direct = loops.step(0) == 1;
  const auto readable = [&](int k) { return loops.step(k + 1) == 1 || (kScalars && loops.step(k + 1) == 0); };
  for (int k = 0; k < kInputs; ++k) direct &= readable(k);

  loops.for_each_piece_in_parallel(
      grain, kThreadAlign, threads, [&](const int64_t (&offsets)[kInputs + 1], int64_t rows, int64_t n) {
        Runs<T, kInputs> runs{rows, n, {}, out + offsets[0], loops.row_stride(0)};
        for (int k = 0; k < kInputs; ++k)
          runs.in[k] = {in[k] + offsets[k + 1], loops.row_stride(k + 1), loops.step(k + 1)};
        if (direct) return f(runs);

        T buffers[kInputs + 1][kBuffer];
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t i = 0; i < n; i += kBuffer) {
            const int64_t length = std::min(kBuffer, n - i);
            T* const to = runs.out + r * runs.out_row + i * loops.step(0);
            Runs<T, kInputs> part{1, length, {}, loops.step(0) == 1 ? to : buffers[kInputs], 0};
            for (int k = 0; k < kInputs; ++k) {
              const auto& x = runs.in[k];
              const T* const from = x.data + r * x.row + i * x.step;
              part.in[k] = {from, 0, x.step};
              if (readable(k)) continue;
              for (int64_t j = 0; j < length; ++j) buffers[k][j] = from[j * x.step];
              part.in[k] = {buffers[k], 0, 1};
            }
            f(part);
            if (part.out != to)
              for (int64_t j = 0; j < length; ++j) to[j * loops.step(0)] = part.out[j];
          }
      });
}

}  // namespace onebyone
