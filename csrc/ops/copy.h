// ops/copy.h - tensors moved from one arrangement to another: transposition, change of layout, slices, joins,
// broadcasting, padding. Called by network/ and bindings/; calls KernelTable::transpose.
#pragma once

#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

// out = x: one shape, any strides (x's may be negative or 0). At the speed of memory for transpositions (NCHW
// to NHWC and back), slices and joins.
template <class T>
void copy(const TensorView<const T>& x, const TensorView<T>& out, const Kernels<T>& kernels, int threads);

enum class PadMode { kConstant, kReflect, kEdge };

// out with `before[d]` elements of padding before x along axis d, and what out's shape leaves after it.
// Negative padding crops. kReflect: the padding along an axis is less than x's size there.
template <class T>
void pad(const TensorView<const T>& x, const int64_t* before, PadMode mode, T value, const TensorView<T>& out,
         const Kernels<T>& kernels, int threads);

// out[.., i, ..] = x[.., indices[i], ..] along `axis`; 0 <= indices[i] < x.shape[axis].
template <class T>
void gather(const TensorView<const T>& x, int axis, const int64_t* indices, const TensorView<T>& out,
            const Kernels<T>& kernels, int threads);

}  // namespace onebyone
