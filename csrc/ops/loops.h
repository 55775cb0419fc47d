// ops/loops.h - the loops that all operations on tensors share: dimensions ordered and collapsed, work
// divided among threads, rows handed to the kernels. Used by ops/*.cc alone. Knows no arithmetic.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "core/int_math.h"
#include "core/parallel.h"
#include "core/tensor_view.h"

namespace onebyone {

// Threads begin at multiples of so many elements: no two write to one cache line.
inline constexpr int64_t kThreadAlign = 64;

// A nest of loops over the elements of kOperands tensors of one shape. Operand 0 decides the order: its
// longest stride is outermost. Dimensions of size 1 are left out, and two are one where each operand's
// elements allow it. rank is at least 2: there is a row, of length n(), and a number of rows.
template <int kOperands>
struct Loops {
  int rank = 0;
  int64_t shape[kMaxRank + 2] = {};
  int64_t strides[kOperands][kMaxRank + 2] = {};

  Loops(int dims, const int64_t* sizes, const int64_t* const (&operand_strides)[kOperands]) {
    for (int d = 0; d < dims; ++d) {
      if (sizes[d] == 1) continue;
      int at = rank++;
      for (; at > 0 && std::abs(strides[0][at - 1]) < std::abs(operand_strides[0][d]); --at) move(at - 1, at);
      shape[at] = sizes[d];
      for (int o = 0; o < kOperands; ++o) strides[o][at] = operand_strides[o][d];
    }
    collapse();
    for (; rank < 2; ++rank) {
      for (int d = rank; d > 0; --d) move(d - 1, d);
      shape[0] = 1;
      for (int o = 0; o < kOperands; ++o) strides[o][0] = 0;
      if (rank == 0)
        for (int o = 0; o < kOperands; ++o) strides[o][0] = 1;  // a scalar is a row of one
    }
  }

  int64_t n() const { return shape[rank - 1]; }
  int64_t size() const {
    int64_t product = 1;
    for (int d = 0; d < rank; ++d) product *= shape[d];
    return product;
  }
  int64_t step(int operand) const { return strides[operand][rank - 1]; }
  int64_t row_stride(int operand) const { return strides[operand][rank - 2]; }

  // Walks the elements [begin, end), counted in the order of the loops: f(offsets, rows, n) for pieces of
  // rows; offsets[o] is operand o's first element.
  template <class F>
  void for_each_piece(int64_t begin, int64_t end, const F& f) const {
    while (begin < end) {
      int64_t offsets[kOperands] = {};
      int64_t rest = begin, first[2] = {};  // in the row, of the rows
      for (int d = rank - 1; d >= 0; --d) {
        const int64_t i = rest % shape[d];
        rest /= shape[d];
        if (d >= rank - 2) first[rank - 1 - d] = i;
        for (int o = 0; o < kOperands; ++o) offsets[o] += i * strides[o][d];
      }
      const bool whole = first[0] == 0 && end - begin >= n();
      const int64_t rows = whole ? std::min(shape[rank - 2] - first[1], (end - begin) / n()) : 1;
      const int64_t length = whole ? n() : std::min(n() - first[0], end - begin);
      f(offsets, rows, length);
      begin += rows * length;
    }
  }

  // The same for all elements, in tasks of at least `grain` that begin at multiples of `align`.
  template <class F>
  void for_each_piece_in_parallel(int64_t grain, int64_t align, int threads, const F& f) const {
    const int64_t total = size(), units = ceil_div(total, align);
    parallel_ranges(
        units, ceil_div(grain, align), useful_threads(total, grain, threads),
        [&](int64_t begin, int64_t end) { for_each_piece(begin * align, std::min(total, end * align), f); });
  }

 private:
  void move(int from, int to) {
    shape[to] = shape[from];
    for (int o = 0; o < kOperands; ++o) strides[o][to] = strides[o][from];
  }
  void collapse() {
    int last = 0;
    for (int d = 1; d < rank; ++d) {
      bool joins = true;
      for (int o = 0; o < kOperands; ++o) joins &= strides[o][last] == strides[o][d] * shape[d];
      const int64_t outer = joins ? shape[last] : 1;
      if (!joins) ++last;
      move(d, last);
      shape[last] *= outer;
    }
    rank = std::min(rank, last + 1);
  }
};

}  // namespace onebyone
