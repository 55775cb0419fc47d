// softmax.cc - softmax of reduce.h: rows of distributions, or columns of them, for the kernels.
#include "core/aligned_buffer.h"
#include "ops/loops.h"
#include "ops/reduce.h"

namespace onebyone {

template <class T>
void softmax(const TensorView<const T>& x, int axis, bool log, const TensorView<T>& out,
             const Kernels<T>& kernels, int threads) {
  const int64_t length = out.shape[axis], x_axis = x.strides[axis], out_axis = out.strides[axis];
  if (out.size() == 0) return;
  int64_t shape[kMaxRank];
  std::copy_n(out.shape, kMaxRank, shape);
  shape[axis] = 1;
  const Loops<2> loops(out.rank, shape, {out.strides, x.strides});  // over the distributions
  const bool within = length == 1 || (x_axis == 1 && out_axis == 1);
  const bool rows = loops.step(0) == 1 && loops.step(1) == 1;
  loops.for_each_piece_in_parallel(
      std::max<int64_t>(1, kCostlyGrain / length), within ? 1 : kThreadAlign, threads,
      [&](const int64_t (&offsets)[2], int64_t outer, int64_t n) {
        for (int64_t r = 0; r < outer; ++r) {
          const T* const from = x.data + offsets[1] + r * loops.row_stride(1);
          T* const to = out.data + offsets[0] + r * loops.row_stride(0);
          if (within) {
            kernels.softmax_within({n, length, from, loops.step(1), to, loops.step(0), log});
          } else if (rows) {
            kernels.softmax_rows({length, n, from, x_axis, to, out_axis, log});
          } else {
            T* const buffer = reinterpret_cast<T*>(
                thread_scratch(checked_mul(length, static_cast<int64_t>(sizeof(T)), "softmax")));
            for (int64_t j = 0; j < n; ++j) {
              for (int64_t i = 0; i < length; ++i) buffer[i] = from[j * loops.step(1) + i * x_axis];
              kernels.softmax_within({1, length, buffer, 0, buffer, 0, log});
              for (int64_t i = 0; i < length; ++i) to[j * loops.step(0) + i * out_axis] = buffer[i];
            }
          }
        }
      });
}

template void softmax(const TensorView<const float>&, int, bool, const TensorView<float>&,
                      const Kernels<float>&, int);
template void softmax(const TensorView<const double>&, int, bool, const TensorView<double>&,
                      const Kernels<double>&, int);

}  // namespace onebyone
