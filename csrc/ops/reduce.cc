#include "ops/reduce.h"

#include <cmath>
#include <limits>

#include "core/aligned_buffer.h"
#include "ops/copy.h"
#include "ops/loops.h"

namespace onebyone {
namespace {

ReductionKind reduction_of(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::kMean:
    case ReduceKind::kSum: return ReductionKind::kSum;
    case ReduceKind::kMax: return ReductionKind::kMax;
    case ReduceKind::kMin: return ReductionKind::kMin;
    case ReduceKind::kProd: return ReductionKind::kProd;
    case ReduceKind::kL1: return ReductionKind::kSumAbs;
    case ReduceKind::kL2:
    case ReduceKind::kSumSquare: return ReductionKind::kSumSquare;
  }
  fail("reduce: kind ", static_cast<int>(kind), " is not known");
}

// How results of parts are combined.
ReductionKind combination_of(ReductionKind kind) {
  return kind == ReductionKind::kSumAbs || kind == ReductionKind::kSumSquare ? ReductionKind::kSum : kind;
}

double of_nothing(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::kMean: return std::numeric_limits<double>::quiet_NaN();
    case ReduceKind::kMax: return -std::numeric_limits<double>::infinity();
    case ReduceKind::kMin: return std::numeric_limits<double>::infinity();
    case ReduceKind::kProd: return 1;
    default: return 0;
  }
}

// Some of the dimensions of x, in the order of its memory.
struct Dims {
  int rank = 0;
  int64_t shape[kMaxRank + 2], x[kMaxRank + 2], out[kMaxRank + 2];

  void add(int64_t size, int64_t x_stride, int64_t out_stride) {
    shape[rank] = size, x[rank] = x_stride, out[rank++] = out_stride;
  }
  int64_t size() const {
    int64_t product = 1;
    for (int d = 0; d < rank; ++d) product *= shape[d];
    return product;
  }
};

// x's shortest stride is 1. `totals` has an element for each of out's, in the order of x's memory.
template <class T>
class Reducer {
 public:
  Reducer(ReductionKind kind, const Loops<2>& loops, const T* x, const Kernels<T>& kernels, int threads)
      : kind_(kind),
        x_(x),
        kernels_(kernels),
        size_(loops.size()),
        n_(loops.n()),
        threads_(useful_threads(size_, kCheapGrain, threads)) {
    for (int d = 0; d + 1 < loops.rank; ++d) {
      const bool reduced = loops.strides[1][d] == 0;
      (reduced ? reduced_ : kept_).add(loops.shape[d], loops.strides[0][d], loops.strides[1][d]);
    }
    within_ = loops.strides[1][loops.rank - 1] == 0;
  }

  void run(T* totals) const { within_ ? reduce_within(totals) : reduce_rows(totals); }

 private:
  // Rows of n are summed, those of an element of out one after another.
  void reduce_within(T* totals) const {
    const int64_t kept = kept_.size(), parts = reduced_.size();
    AlignedBuffer<T> buffer(parts > 1 ? kept * parts : 0);
    T* const sums = parts > 1 ? buffer.data() : totals;
    Dims rows;
    for (const Dims* dims : {&kept_, &reduced_})
      for (int d = 0; d < dims->rank; ++d) rows.add(dims->shape[d], dims->x[d], 0);
    int64_t dense = 1;
    for (int d = rows.rank - 1; d >= 0; --d) rows.out[d] = dense, dense *= rows.shape[d];
    const Loops<2> loops(rows.rank, rows.shape, {rows.out, rows.x});
    loops.for_each_piece_in_parallel(
        std::max<int64_t>(1, kCheapGrain / n_), kThreadAlign, threads_,
        [&](const int64_t (&offsets)[2], int64_t outer, int64_t count) {
          for (int64_t r = 0; r < outer; ++r)
            kernels_.reduce_within({.kind = kind_,
                                    .rows = count,
                                    .n = n_,
                                    .src = x_ + offsets[1] + r * loops.row_stride(1),
                                    .row_stride = loops.step(1),
                                    .dst = sums + offsets[0] + r * loops.row_stride(0),
                                    .accumulate = false});
        });
    if (parts > 1)
      kernels_.reduce_within({.kind = combination_of(kind_),
                              .rows = kept,
                              .n = parts,
                              .src = sums,
                              .row_stride = parts,
                              .dst = totals,
                              .accumulate = false});
  }

  // Rows of n elements of out are added to each other, by blocks of rows: shorter chains of rounding errors,
  // and work for threads that does not depend on their number. Blocks enough that threads have different
  // pixels of an image, as in the steps around: each of two reads half of 14x14x672 at once and no line that
  // the other wrote.
  void reduce_rows(T* totals) const {
    constexpr int64_t kMostRows = 256, kLeastRows = 16, kBlocks = 4, kColumns = 512;
    const int64_t rows = reduced_.size(), columns = ceil_div(n_, kColumns);
    const int64_t block_rows = std::clamp(ceil_div(rows, kBlocks), kLeastRows, kMostRows);
    const int64_t blocks = ceil_div(rows, block_rows);
    const Loops<1> kept(kept_.rank, kept_.shape, {kept_.x}),
        reduced(reduced_.rank, reduced_.shape, {reduced_.x});
    const int64_t outer = kept.size();
    AlignedBuffer<T> buffer(blocks > 1 ? outer * blocks * n_ : 0);
    T* const sums = blocks > 1 ? buffer.data() : totals;
    parallel_for(outer * blocks * columns, threads_, [&](int64_t task) {
      const int64_t column = task % columns * kColumns, row = task / columns;
      const int64_t block = row % blocks, k = row / blocks;
      const T* x = x_ + column;
      kept.for_each_piece(k, k + 1, [&](const int64_t (&offset)[1], int64_t, int64_t) { x += offset[0]; });
      bool accumulate = false;
      reduced.for_each_piece(block * block_rows, std::min(rows, (block + 1) * block_rows),
                             [&](const int64_t (&offset)[1], int64_t pieces, int64_t count) {
                               for (int64_t p = 0; p < pieces; ++p, accumulate = true)
                                 kernels_.reduce_rows({.kind = kind_,
                                                       .rows = count,
                                                       .n = std::min(kColumns, n_ - column),
                                                       .src = x + offset[0] + p * reduced.row_stride(0),
                                                       .row_stride = reduced.step(0),
                                                       .dst = sums + row * n_ + column,
                                                       .accumulate = accumulate});
                             });
    });
    if (blocks > 1)
      for (int64_t k = 0; k < outer; ++k)
        kernels_.reduce_rows({.kind = combination_of(kind_),
                              .rows = blocks,
                              .n = n_,
                              .src = sums + k * blocks * n_,
                              .row_stride = n_,
                              .dst = totals + k * n_,
                              .accumulate = false});
  }

  const ReductionKind kind_;
  const T* const x_;
  const Kernels<T>& kernels_;
  const int64_t size_, n_;
  const int threads_;
  Dims kept_, reduced_;  // without the last dimension
  bool within_;          // the last dimension is reduced
};

template <class T>
void finish(ReduceKind kind, int64_t count, T* totals, int64_t n) {
  if (kind == ReduceKind::kMean)
    for (int64_t i = 0; i < n; ++i) totals[i] /= static_cast<T>(count);
  if (kind == ReduceKind::kL2)
    for (int64_t i = 0; i < n; ++i) totals[i] = std::sqrt(totals[i]);
}

template <class T>
void fill(T value, const TensorView<T>& out, const Kernels<T>& kernels, int threads) {
  TensorView<const T> x = read_only(out);
  x.data = &value;
  std::fill_n(x.strides, kMaxRank, 0);
  copy(x, out, kernels, threads);
}

}  // namespace

template <class T>
void reduce(ReduceKind kind, const TensorView<const T>& x, const TensorView<T>& out,
            const Kernels<T>& kernels, int threads) {
  const int64_t size = x.size(), out_size = out.size();
  if (out_size == 0) return;
  if (size == 0) return fill(static_cast<T>(of_nothing(kind)), out, kernels, threads);

  int64_t out_strides[kMaxRank];
  for (int d = 0; d < x.rank; ++d) out_strides[d] = out.shape[d] == x.shape[d] ? out.strides[d] : 0;
  const Loops<2> loops(x.rank, x.shape, {x.strides, out_strides});
  if (loops.step(0) != 1) {
    AlignedBuffer<T> buffer(size);
    TensorView<T> dense = out;
    dense.data = buffer.data();
    int64_t stride = 1;
    for (int d = x.rank - 1; d >= 0; --d) {
      dense.shape[d] = x.shape[d], dense.strides[d] = stride;
      stride *= x.shape[d];
    }
    copy(x, dense, kernels, threads);
    return reduce(kind, read_only(dense), out, kernels, threads);
  }

  // out as the loops see it, and the same in order without gaps: often they are one.
  TensorView<T> result;
  TensorView<const T> ordered;
  result.data = out.data;
  bool same = true;
  for (int d = 0; d < loops.rank; ++d) {
    if (loops.strides[1][d] == 0) continue;
    result.shape[result.rank] = loops.shape[d];
    result.strides[result.rank++] = loops.strides[1][d];
  }
  ordered.rank = result.rank;
  int64_t stride = 1;
  for (int d = result.rank - 1; d >= 0; --d) {
    ordered.shape[d] = result.shape[d], ordered.strides[d] = stride;
    same &= result.strides[d] == stride;
    stride *= result.shape[d];
  }
  AlignedBuffer<T> buffer(same ? 0 : out_size);
  T* const totals = same ? out.data : buffer.data();
  Reducer<T>(reduction_of(kind), loops, x.data, kernels, threads).run(totals);
  finish(kind, size / out_size, totals, out_size);
  if (!same) {
    ordered.data = totals;
    copy(ordered, result, kernels, threads);
  }
}

template void reduce(ReduceKind, const TensorView<const float>&, const TensorView<float>&,
                     const Kernels<float>&, int);
template void reduce(ReduceKind, const TensorView<const double>&, const TensorView<double>&,
                     const Kernels<double>&, int);

}  // namespace onebyone
