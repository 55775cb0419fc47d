#include "ops/copy.h"

#include <cstring>

#include "ops/loops.h"

namespace onebyone {
namespace {

// Dimension `p` of the loops is contiguous in x and the last one in out: squares of both go through registers
// (TransposeArgs: rows along the last dimension, columns along p), by tiles that stay in L1.
template <class T>
class Transposition {
 public:
  Transposition(const Loops<2>& loops, int p) : loops_(loops), p_(p) {
    tiles_p_ = ceil_div(loops.shape[p], kTileP);
    tiles_q_ = ceil_div(loops.n(), kTileQ);
  }

  void run(const T* x, T* out, const Kernels<T>& kernels, int threads) const {
    const int64_t tiles = loops_.size() / (loops_.shape[p_] * loops_.n()) * tiles_p_ * tiles_q_;
    parallel_for(tiles, useful_threads(loops_.size(), kCheapGrain, threads),
                 [&](int64_t tile) { run_tile(tile, x, out, kernels); });
  }

 private:
  static constexpr int64_t kTileP = 64, kTileQ = 64;

  void run_tile(int64_t tile, const T* x, T* out, const Kernels<T>& kernels) const {
    const int q = loops_.rank - 1;
    const int64_t begin_q = tile % tiles_q_ * kTileQ, begin_p = tile / tiles_q_ % tiles_p_ * kTileP;
    const int64_t to_out = loops_.strides[0][p_], to_x = loops_.strides[1][q];
    out += begin_q + begin_p * to_out;
    x += begin_p + begin_q * to_x;
    int64_t rest = tile / tiles_q_ / tiles_p_;
    for (int d = loops_.rank - 1; d >= 0; --d) {
      if (d == p_ || d == q) continue;
      const int64_t i = rest % loops_.shape[d];
      rest /= loops_.shape[d];
      out += i * loops_.strides[0][d];
      x += i * loops_.strides[1][d];
    }
    kernels.transpose({.rows = std::min(kTileQ, loops_.n() - begin_q),
                       .columns = std::min(kTileP, loops_.shape[p_] - begin_p),
                       .src = x,
                       .src_stride = to_x,
                       .dst = out,
                       .dst_stride = to_out,
                       .residual = nullptr,
                       .activation = {}});
  }

  const Loops<2>& loops_;
  const int p_;
  int64_t tiles_p_, tiles_q_;
};

template <class T>
void copy_row(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t n) {
  if (from_step == 1 && to_step == 1)
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
  else if (from_step == 0 && to_step == 1)
    std::fill_n(to, n, *from);
  else
    for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
}

// to[r * to_row + j * to_step] = from[j * from_step + r]: a few long rows, those of photographs' channels by
// vectors, others element by element. By blocks that stay in L1 while each row in turn is read through.
template <class T>
void interleave(const T* from, int64_t from_step, T* to, int64_t to_row, int64_t to_step, int64_t rows,
                int64_t n, const Kernels<T>& kernels) {
  if (to_step == 1 && to_row == n && n <= kMostInterleaved)
    return kernels.transpose({.rows = n,
                              .columns = rows,
                              .src = from,
                              .src_stride = from_step,
                              .dst = to,
                              .dst_stride = to_row,
                              .residual = nullptr,
                              .activation = {}});
  constexpr int64_t kBlock = 512;
  for (int64_t r = 0; r < rows; r += kBlock)
    for (int64_t j = 0; j < n; ++j)
      copy_row(from + j * from_step + r, 1, to + r * to_row + j * to_step, to_row,
               std::min(kBlock, rows - r));
}

}  // namespace

template <class T>
void copy(const TensorView<const T>& x, const TensorView<T>& out, const Kernels<T>& kernels, int threads) {
  const Loops<2> loops(out.rank, out.shape, {out.strides, x.strides});
  if (loops.size() == 0) return;
  if (loops.step(0) == 1 && loops.step(1) != 1) {
    for (int p = loops.rank - 2; p >= 0; --p)
      if (loops.strides[1][p] == 1 && std::min(loops.shape[p], loops.n()) >= kernels.lanes / 2)
        return Transposition<T>(loops, p).run(x.data, out.data, kernels, threads);
  }
  loops.for_each_piece_in_parallel(
      kCheapGrain, kThreadAlign, threads, [&](const int64_t (&offsets)[2], int64_t rows, int64_t n) {
        if (loops.row_stride(1) == 1 && loops.step(1) != 1 && n < rows)
          return interleave(x.data + offsets[1], loops.step(1), out.data + offsets[0], loops.row_stride(0),
                            loops.step(0), rows, n, kernels);
        for (int64_t r = 0; r < rows; ++r)
          copy_row(x.data + offsets[1] + r * loops.row_stride(1), loops.step(1),
                   out.data + offsets[0] + r * loops.row_stride(0), loops.step(0), n);
      });
}

template <class T>
void gather(const TensorView<const T>& x, int axis, const int64_t* indices, const TensorView<T>& out,
            const Kernels<T>& kernels, int threads) {
  // Indices in equal steps are one slice.
  const int64_t count = out.shape[axis];
  for (int64_t i = 0; i < count;) {
    int64_t end = i + 1, step = 0;
    if (end < count) step = indices[end] - indices[i];
    while (end < count && indices[end] - indices[end - 1] == step) ++end;
    TensorView<const T> from = x;
    TensorView<T> to = out;
    from.data += indices[i] * x.strides[axis];
    to.data += i * out.strides[axis];
    from.shape[axis] = to.shape[axis] = end - i;
    from.strides[axis] = step * x.strides[axis];
    copy(from, to, kernels, threads);
    i = end;
  }
}

template void copy(const TensorView<const float>&, const TensorView<float>&, const Kernels<float>&, int);
template void copy(const TensorView<const double>&, const TensorView<double>&, const Kernels<double>&, int);
template void gather(const TensorView<const float>&, int, const int64_t*, const TensorView<float>&,
                     const Kernels<float>&, int);
template void gather(const TensorView<const double>&, int, const int64_t*, const TensorView<double>&,
                     const Kernels<double>&, int);

}  // namespace onebyone
