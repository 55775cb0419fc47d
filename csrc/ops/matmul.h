// ops/matmul.h - products of two tensors neither of which is constant. Called by network/ and bindings/;
// calls KernelTable::pack and gemm. (A constant one is a 1x1 convolution: conv/conv2d.h.)
#pragma once

#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

// out[.., i, j] = sum over p of a[.., i, p] * b[.., p, j]. All have one rank >= 2 and the same leading shape
// (broadcast as strides of 0); any strides in a and b, rows of out contiguous.
template <class T>
void matmul(const TensorView<const T>& a, const TensorView<const T>& b, const TensorView<T>& out,
            const Kernels<T>& kernels, int threads);

}  // namespace onebyone
