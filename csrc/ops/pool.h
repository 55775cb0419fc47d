// ops/pool.h - pooling over windows of an image, either layout. Called by network/ and bindings/; calls
// KernelTable.
#pragma once

#include <string>

#include "core/geometry.h"
#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

enum class PoolKind : int32_t { kMax, kAverage };

struct PoolSpec {
  PoolKind kind = PoolKind::kMax;
  Pair kernel{1, 1}, stride{1, 1}, dilation{1, 1};
  Edges pad{0, 0, 0, 0};
  bool ceil_mode = false;         // a last window that hangs over the edge counts, if it begins inside or on
                                  // the padding before (as in torch)
  bool count_include_pad = true;  // kAverage: divide by the window's size with its padding, not by the pixels
                                  // in the image (what hangs over the padding never counts, as in torch)
  int64_t divisor = 0;            // kAverage: divide by this instead, if not 0
};

// The output's height and width. Throws std::invalid_argument naming `op`, the argument and the cure.
Pair pool_output(const std::string& op, const PoolSpec& spec, const ImageShape& x);

// out has pool_output's height and width. A maximum over a window that holds a NaN is NaN. Windows without a
// pixel give -infinity or 0. Any strides; fast where channels or rows are contiguous in both images.
template <class T>
void pool(const PoolSpec& spec, const ImageView<const T>& x, const ImageView<T>& out,
          const Kernels<T>& kernels, int threads);

// Output (i, j) is the mean of rows [floor(i * ih / oh), ceil((i + 1) * ih / oh)) and columns alike.
template <class T>
void adaptive_average_pool(const ImageView<const T>& x, const ImageView<T>& out, const Kernels<T>& kernels,
                           int threads);

}  // namespace onebyone
