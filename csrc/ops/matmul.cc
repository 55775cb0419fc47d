#include "ops/matmul.h"

#include <cstring>

#include "core/aligned_buffer.h"
#include "ops/copy.h"
#include "ops/loops.h"

namespace onebyone {
namespace {

// Products summed per block: a panel of B (512 x 32 floats = 64 KB) streams from L2, A's rows (2 KB each)
// stay in L1. Columns per block: B's block (512 KB of floats) stays in L2.
constexpr int64_t kDepth = 512, kColumns = 256;

template <class T>
class Product {
 public:
  Product(const TensorView<const T>& a, const TensorView<const T>& b, const TensorView<T>& out,
          const Kernels<T>& kernels)
      : m_(out.shape[out.rank - 2]),
        n_(out.shape[out.rank - 1]),
        k_(a.shape[a.rank - 1]),
        a_row_(a.strides[a.rank - 2]),
        a_step_(a.strides[a.rank - 1]),
        b_row_(b.strides[b.rank - 2]),
        b_step_(b.strides[b.rank - 1]),
        ldc_(out.strides[out.rank - 2]),
        kernels_(kernels),
        panels_(ceil_div(n_, kernels.nr)),
        block_panels_(std::max<int64_t>(1, kColumns / kernels.nr)) {}

  int64_t panels() const { return panels_; }

  // Rows [row, row_end) and panels [panel, panel_end) of one product.
  void run(const T* a, const T* b, T* c, int64_t row, int64_t row_end, int64_t panel,
           int64_t panel_end) const {
    const int64_t nr = kernels_.nr, rows = row_end - row, depth = std::min(k_, kDepth);
    const bool packs_a = a_step_ != 1 && k_ > 1;
    const int64_t table = round_up(rows * static_cast<int64_t>(sizeof(T*)), kCacheLine);
    const int64_t a_bytes =
        packs_a ? round_up(checked_mul(rows, depth * static_cast<int64_t>(sizeof(T)), "matmul"), kCacheLine)
                : 0;
    const int64_t panel_stride = odd_lines<T>(depth * nr);
    std::byte* const scratch =
        thread_scratch(table + a_bytes + block_panels_ * panel_stride * static_cast<int64_t>(sizeof(T)));
    const T** const pointers = reinterpret_cast<const T**>(scratch);
    T* const packed_a = reinterpret_cast<T*>(scratch + table);
    T* const packed_b = reinterpret_cast<T*>(scratch + table + a_bytes);

    for (int64_t p = 0; p < std::max<int64_t>(k_, 1); p += kDepth) {
      const int64_t kc = std::min(kDepth, k_ - p);
      if (packs_a) move(a + row * a_row_ + p * a_step_, a_row_, a_step_, packed_a, kc, rows, kc);
      for (int64_t i = 0; i < rows; ++i)
        pointers[i] = packs_a ? packed_a + i * kc : a + (row + i) * a_row_ + p;
      for (int64_t begin = panel; begin < panel_end; begin += block_panels_) {
        const int64_t end = std::min(panel_end, begin + block_panels_);
        for (int64_t j = begin; j < end; ++j)
          pack_panel(b + p * b_row_ + j * nr * b_step_, kc, std::min(nr, n_ - j * nr),
                     packed_b + (j - begin) * panel_stride);
        kernels_.gemm({.m = rows,
                       .n = std::min(end * nr, n_) - begin * nr,
                       .taps = 1,
                       .kc = kc,
                       .a_rows = pointers,
                       .a_tap_stride = 0,
                       .a_offset = 0,
                       .b = packed_b,
                       .b_panel_stride = panel_stride,
                       .c = c + row * ldc_ + begin * nr,
                       .ldc = ldc_,
                       .addend = p > 0 ? c + row * ldc_ + begin * nr : nullptr,
                       .ld_addend = ldc_,
                       .rows_outside = false,
                       .epilogue = nullptr});
      }
    }
  }

 private:
  // to[i * ld + j] = from[i * row + j * step] for i < rows, j < n.
  void move(const T* from, int64_t row, int64_t step, T* to, int64_t ld, int64_t rows, int64_t n) const {
    if (row == 1 && step != 1) {
      kernels_.transpose({.rows = n,
                          .columns = rows,
                          .src = from,
                          .src_stride = step,
                          .dst = to,
                          .dst_stride = ld,
                          .residual = nullptr,
                          .activation = {}});
      return;
    }
    for (int64_t i = 0; i < rows; ++i, from += row, to += ld) {
      if (step == 1)
        std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
      else
        for (int64_t j = 0; j < n; ++j) to[j] = from[j * step];
    }
  }
  void pack_panel(const T* from, int64_t kc, int64_t columns, T* to) const {
    move(from, b_row_, b_step_, to, kernels_.nr, kc, columns);
    if (columns < kernels_.nr)
      for (int64_t p = 0; p < kc; ++p)
        std::fill(to + p * kernels_.nr + columns, to + (p + 1) * kernels_.nr, T(0));
  }

  const int64_t m_, n_, k_, a_row_, a_step_, b_row_, b_step_, ldc_;
  const Kernels<T>& kernels_;
  const int64_t panels_, block_panels_;
};

}  // namespace

template <class T>
void matmul(const TensorView<const T>& a, const TensorView<const T>& b, const TensorView<T>& out,
            const Kernels<T>& kernels, int threads) {
  if (out.size() == 0) return;
  const Product<T> product(a, b, out, kernels);
  const int batch_rank = out.rank - 2;
  const int64_t m = out.shape[batch_rank], k = a.shape[a.rank - 1];
  const Loops<3> batch(batch_rank, out.shape, {out.strides, a.strides, b.strides});
  // A product is shared by columns, each thread packing its own of B; one of few columns by rows.
  const int64_t products = batch.size();
  constexpr int64_t kFlopsOfGrain = 64;  // an element of kCheapGrain takes as long as so many products
  const int team = useful_threads(out.size() * std::max<int64_t>(k, 1), kCheapGrain * kFlopsOfGrain, threads);
  const int64_t shares = products >= team ? 1 : ceil_div(team, products);
  const bool by_columns = product.panels() >= shares;
  const int64_t units = by_columns ? product.panels() : ceil_div(m, kernels.mr);
  const int64_t parts = std::min(shares, units);
  parallel_for(products * parts, team, [&](int64_t task) {
    const int64_t begin = part_begin(units, parts, task % parts);
    const int64_t end = part_begin(units, parts, task % parts + 1), i = task / parts;
    batch.for_each_piece(i, i + 1, [&](const int64_t (&offsets)[3], int64_t, int64_t) {
      const T* const x = a.data + offsets[1];
      const T* const y = b.data + offsets[2];
      T* const c = out.data + offsets[0];
      if (by_columns)
        product.run(x, y, c, 0, m, begin, end);
      else
        product.run(x, y, c, begin * kernels.mr, std::min(m, end * kernels.mr), 0, product.panels());
    });
  });
}

template void matmul(const TensorView<const float>&, const TensorView<const float>&, const TensorView<float>&,
                     const Kernels<float>&, int);
template void matmul(const TensorView<const double>&, const TensorView<const double>&,
                     const TensorView<double>&, const Kernels<double>&, int);

}  // namespace onebyone
