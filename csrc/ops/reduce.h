// ops/reduce.h - sums and their like along axes, and what is built on them. Called by network/ and bindings/;
// calls KernelTable. Results do not depend on the number of threads.
#pragma once

#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

enum class ReduceKind : int32_t { kMean, kSum, kMax, kMin, kProd, kL1, kL2, kSumSquare };

// out has x's rank, and size 1 along the axes that are reduced: those where out.shape[d] == 1 and x.shape[d]
// != 1 (of size 1 both: nothing changes but kL1, kL2, kSumSquare). Sums are made by blocks, as the GEMM's.
// Reducing no elements gives 0 for sums, 1 for kProd, NaN for kMean, -inf and inf for kMax and kMin.
template <class T>
void reduce(ReduceKind kind, const TensorView<const T>& x, const TensorView<T>& out,
            const Kernels<T>& kernels, int threads);

// out = exp(x - max) / sum(exp(x - max)) along `axis`, or its logarithm.
template <class T>
void softmax(const TensorView<const T>& x, int axis, bool log, const TensorView<T>& out,
             const Kernels<T>& kernels, int threads);

// Across channels (Krizhevsky et al., 2012): out = x / (k + alpha / size * sum of squares of the `size`
// channels around it) ^ beta; of an even size one more after than before (ONNX LRN).
struct LrnSpec {
  int64_t size;
  double alpha, beta, k;
};
template <class T>
void lrn(const LrnSpec& spec, const ImageView<const T>& x, const ImageView<T>& out, const Kernels<T>& kernels,
         int threads);

}  // namespace onebyone
