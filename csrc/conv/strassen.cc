// strassen.cc - 1x1 convolution with an eighth fewer multiplications: one step of Strassen's algorithm in
// Winograd's form, which takes the fewest additions. Called through conv2d.cc; calls Kernels::strassen_sums
// and gemm.
//
//   C = A B by halves of pixels, input channels and output channels (Strassen, "Gaussian elimination is not
//   optimal", 1969; Douglas et al., "GEMMW: a portable level 3 BLAS Winograd variant", 1994):
//
//   s1 = a21 + a22   t1 = b12 - b11   p1 = a11 b11   p5 = s1 t1    c11 = p1 + p2
//   s2 = s1 - a11    t2 = b22 - t1    p2 = a12 b21   p6 = s2 t2    u2  = p1 + p6
//   s3 = a11 - a21   t3 = b22 - b12   p3 = s4 b22    p7 = s3 t3    u3  = u2 + p7       c21 = u3 - p4
//   s4 = a12 - s2    t4 = t2 - b21    p4 = a22 t4                  c12 = u2 + p5 + p3  c22 = u3 + p5
//
// The plan makes the t of the weights. An image goes by blocks of pixels, whose s and u stay in cache; the
// GEMM adds a product to what is there, so that c12 and c22 alone take a pass of their own.
// Knows cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "conv/algorithm.h"
#include "conv/exact_fallback.h"
#include "conv/packing.h"
#include "conv/tasks.h"
#include "conv/window_table.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// What lies packed for each panel of output channels, in the order in which it is multiplied.
enum Product { kP1, kP2, kP6, kP7, kP4, kP5, kP3 };
constexpr int64_t kProducts = 7;

// Panels whose sums are made together: 3 x 48 rows of 4 x 32 columns are 74 KB beside A's sums in L2.
constexpr int64_t kColumns = 128;

template <class T>
class Strassen final : public ConvAlgorithm<T> {
 public:
  Strassen(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
           const ConvWeights<T>& weights, MakeExact<T> make_exact)
      : g_(problem.geometry),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        step_(problem.output_step()),
        depth_(g_.ic / 2),
        left_(std::min(round_up(ceil_div(g_.oc, 2), kernels.lanes), g_.oc)),
        right_(g_.oc - left_),
        panels_(ceil_div(left_, plan.nr)),
        k_blocks_(split_k(1, depth_, plan.kc)),
        weight_(panels_ * kProducts * depth_ * plan.nr),
        bias_(weights.bias ? 2 * panels_ * plan.nr : 0),
        zeros_(g_.ic),
        exact_(std::move(make_exact)) {
    std::fill_n(zeros_.data(), zeros_.size(), T(0));
    for (int64_t i = 0; i < bias_.size(); ++i) {
      const int64_t oc = output_channel(i / (panels_ * plan.nr), i % (panels_ * plan.nr));
      bias_[i] = oc < 0 ? T(0) : weights.bias[oc * weights.bias_stride];
    }
    const double largest = pack(weights.weight);
    // |s| <= 4 |a|, and each u is a sum of at most four products of `depth_`.
    const double bound = static_cast<double>(std::numeric_limits<T>::max()) /
                         (16 * static_cast<double>(depth_) * (largest < 1 ? 1 : largest));
    if (bound > 0) limit_ = static_cast<T>(bound);
    if (limit_ == 0) exact_.prepare(weights);
  }

  int64_t scratch_bytes() const override {
    int64_t bytes = 0;
    layout_scratch(nullptr, bytes);
    return bytes;
  }

  int64_t weight_bytes() const override { return weight_.bytes() + bias_.bytes(); }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    const int64_t pixels = g_.out_pixels(), blocks = g_.batch * image_blocks();
    if (blocks == 0 || pixels == 0 || g_.oc == 0) return;
    typename ExactFallback<T>::Flags overflowed(g_.batch);
    TaskGrid grid = split_tasks(blocks, panels_, threads);
    if (grid.tasks() > 1) grid.row_pieces = std::clamp<int64_t>(blocks / grid.rows, 1, kTasksPerThread);
    AlignedBuffer<T> shared(grid.columns > 1 ? blocks * block_sums() : 0);
    const Tensors t{x, residual, out, overflowed.data(), shared.size() ? shared.data() : nullptr};
    if (t.sums) share_sums(t, blocks, threads);
    parallel_for(grid.tasks(), threads,
                 [&](int64_t task) { run_task(t, task_range(grid, blocks, panels_, 1, task)); });
    exact_.run(overflowed, g_, x, residual, out, pixels * step_, threads, [this] { return unpack(); });
  }

 private:
  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
    std::atomic<bool>* overflowed;  // by image
    T* sums;                        // of all blocks, where several threads need them, or null
  };
  struct Scratch {
    const T** pixels;  // of the image
    const T** rows;    // of the four sums, one after the other
    T* sums;           // of a block
    T *u, *u3, *p5;
    T* patches;
  };
  // A block of pixels: the upper half of the rows, and the lower, which may be one fewer.
  struct Block {
    int64_t image, first, upper, lower;
  };

  static constexpr int64_t kElement = sizeof(T);

  // The right half of the output channels may be the smaller one, so that it begins with a vector. -1: none.
  int64_t output_channel(int64_t half, int64_t column) const {
    if (column >= (half ? right_ : left_)) return -1;
    return half * left_ + column;
  }

  // Of every image alike, so that its results do not depend on the batch or on threads.
  int64_t image_blocks() const { return ceil_div(g_.out_pixels(), plan_.mc); }
  int64_t most_rows() const { return ceil_div(plan_.mc, 2); }
  // Odd numbers of cache lines: rows 4 KB apart would share L1's sets.
  int64_t sums_row() const { return odd_lines<T>(depth_); }
  int64_t block_sums() const { return 4 * most_rows() * sums_row(); }
  int64_t products_row() const { return std::min(panels_, block_panels()) * plan_.nr; }
  int64_t block_panels() const { return std::max<int64_t>(kColumns / plan_.nr, 1); }

  Scratch layout_scratch(std::byte* base, int64_t& bytes) const {
    bytes = 0;
    const auto take = [&](int64_t size) {
      return base + std::exchange(bytes, bytes + round_up(size, kCacheLine));
    };
    const auto take_elements = [&](int64_t size) { return reinterpret_cast<T*>(take(size * kElement)); };
    const int64_t rows = most_rows(), pointer = sizeof(T*);
    Scratch s;
    s.pixels = reinterpret_cast<const T**>(take(2 * rows * pointer));
    s.rows = reinterpret_cast<const T**>(take(4 * rows * pointer));
    s.sums = take_elements(block_sums());
    s.u = take_elements(rows * products_row());
    s.u3 = take_elements(rows * products_row());
    s.p5 = take_elements(rows * products_row());
    s.patches = take_elements(2 * rows * g_.ic);
    return s;
  }

  Block block_at(int64_t index) const {
    const int64_t image = index / image_blocks(), pixels = g_.out_pixels();
    const int64_t first = part_begin(pixels, image_blocks(), index % image_blocks());
    const int64_t count = part_begin(pixels, image_blocks(), index % image_blocks() + 1) - first;
    return {image, image * pixels + first, ceil_div(count, 2), count / 2};
  }

  // Where threads share blocks by their columns, each makes some rows of the sums for all.
  void share_sums(const Tensors& t, int64_t blocks, int threads) const {
    const int64_t parts = std::min(ceil_div(threads, blocks), most_rows());
    parallel_for(blocks * parts, threads, [&](int64_t task) {
      const Block block = block_at(task / parts);
      int64_t bytes = scratch_bytes();
      Scratch s = layout_scratch(thread_scratch(bytes), bytes);
      s.sums = t.sums + task / parts * block_sums();
      find_rows(t.x, block, s);
      add_up(t, block, part_begin(block.upper, parts, task % parts),
             part_begin(block.upper, parts, task % parts + 1), s);
    });
  }

  // Rows are blocks, counted through the images, columns panels of both halves.
  void run_task(const Tensors& t, const TaskRange& range) const {
    const auto [begin, end, panel_begin, panel_end] = range;
    int64_t bytes = scratch_bytes();
    Scratch s = layout_scratch(thread_scratch(bytes), bytes);
    const int64_t column_blocks = ceil_div(panel_end - panel_begin, block_panels());
    for (int64_t at = begin; at < end; ++at) {
      const Block block = block_at(at);
      if (t.sums) s.sums = t.sums + at * block_sums();
      find_rows(t.x, block, s);
      if (!t.sums) add_up(t, block, 0, block.upper, s);
      if (t.overflowed[block.image].load(std::memory_order_relaxed)) continue;
      for (int64_t c = 0; c < column_blocks; ++c)
        multiply(t, block, panel_begin + part_begin(panel_end - panel_begin, column_blocks, c),
                 panel_begin + part_begin(panel_end - panel_begin, column_blocks, c + 1), s);
    }
  }

  // The block's pixels, and the rows of their sums. Where the lower half lacks a pixel it is one of zeros.
  void find_rows(const ImageView<const T>& x, const Block& block, const Scratch& s) const {
    WindowTable<T>(g_, x, 1, zeros_.data())
        .fill(block.first, block.upper + block.lower, 0, {0, 1, 0, g_.ic}, s.pixels, s.patches);
    if (block.lower < block.upper) s.pixels[2 * block.upper - 1] = zeros_.data();
    for (int64_t i = 0; i < 4 * most_rows(); ++i) s.rows[i] = s.sums + i * sums_row();
  }

  // Rows [begin, end) of the block's sums.
  void add_up(const Tensors& t, const Block& block, int64_t begin, int64_t end, const Scratch& s) const {
    const bool fine = limit_ > 0 && kernels_.strassen_sums({.rows = end - begin,
                                                            .n = depth_,
                                                            .top = s.pixels + begin,
                                                            .bottom = s.pixels + block.upper + begin,
                                                            .sums = s.sums + begin * sums_row(),
                                                            .sums_row = sums_row(),
                                                            .sums_stride = most_rows() * sums_row(),
                                                            .limit = limit_});
    if (!fine) t.overflowed[block.image].store(true, std::memory_order_relaxed);
  }

  // One of the products, of n columns from a panel on, added to `addend` (or zeros) and finished.
  struct Operands {
    Product product;
    int64_t rows, n;
    const T* const* a;
    int64_t a_offset;
    T* c;
    int64_t ldc;
    const T* addend;
    const Epilogue<T>* epilogue;
  };

  void multiply(const Tensors& t, const Block& block, int64_t panel, int64_t panel_end,
                const Scratch& s) const {
    const int64_t column = panel * plan_.nr, n = std::min(panel_end * plan_.nr, left_) - column;
    const int64_t right = std::max<int64_t>(std::min(panel_end * plan_.nr, right_) - column, 0);
    const int64_t row = products_row(), upper = block.upper, lower = block.lower;
    const T* const* const top = s.pixels;
    const T* const* const bottom = s.pixels + upper;
    const auto sums = [&](int64_t i) { return s.rows + (i - 1) * most_rows(); };
    // Quarters of the output and the residual, and the epilogues of the halves.
    const int64_t at = block.first * step_ + column, below = at + upper * step_;
    const T* const bias = bias_.size() ? bias_.data() + column : nullptr;
    const auto finish = [&](const T* bias_n, int64_t from) {
      return Epilogue<T>{
          .bias_n = bias_n, .residual = t.residual ? t.residual + from : nullptr, .activation = activation_};
    };
    const Epilogue<T> c11 = finish(bias, at), c21 = finish(bias, below), c12 = finish(nullptr, at + left_);
    const Epilogue<T> p5{.bias_n = bias ? bias + panels_ * plan_.nr : nullptr,
                         .activation = {}};  // of both c12 and c22
    product(panel, {kP1, upper, n, top, 0, s.u, row, nullptr, nullptr});
    product(panel, {kP2, upper, n, top, depth_, t.out + at, step_, s.u, &c11});
    product(panel, {kP6, upper, n, sums(2), 0, s.u, row, s.u, nullptr});
    product(panel, {kP7, upper, n, sums(3), 0, s.u3, row, s.u, nullptr});
    product(panel, {kP4, lower, n, bottom, depth_, t.out + below, step_, s.u3, &c21});
    product(panel, {kP5, upper, right, sums(1), 0, s.p5, row, nullptr, &p5});
    add(upper, right, s.u, row, nullptr, s.p5, s.u, row, {});
    product(panel, {kP3, upper, right, sums(4), 0, t.out + at + left_, step_, s.u, &c12});
    add(lower, right, s.u3, row, t.residual ? t.residual + below + left_ : nullptr, s.p5,
        t.out + below + left_, step_, activation_);
  }

  // out = a + b + residual, activated; the residual lies as out.
  void add(int64_t rows, int64_t n, const T* a, int64_t ld, const T* residual, const T* b, T* out,
           int64_t ldout, const Activation& activation) const {
    kernels_.elementwise({.kind = residual ? ElementwiseKind::kAddAdd : ElementwiseKind::kAdd,
                          .rows = rows,
                          .n = n,
                          .in = {{a, ld, 1}, {b, ld, 1}, {residual, ldout, 1}},
                          .out = out,
                          .out_row = ldout,
                          .activation = activation});
  }

  void product(int64_t panel, const Operands& o) const {
    const T* const b = weight_.data() + (panel * kProducts + o.product) * depth_ * plan_.nr;
    for (const KBlock& k : k_blocks_) {
      const bool first = &k == &k_blocks_.front(), last = &k == &k_blocks_.back();
      const T* const here = b + k.channel * plan_.nr;
      kernels_.gemm({.m = o.rows,
                     .n = o.n,
                     .taps = 1,
                     .kc = k.channels,
                     .a_rows = o.a,
                     .a_tap_stride = 0,
                     .a_offset = o.a_offset + k.channel,
                     .b = here,
                     .b_panel_stride = kProducts * depth_ * plan_.nr,
                     .c = o.c,
                     .ldc = o.ldc,
                     .addend = first ? o.addend : o.c,
                     .ld_addend = first ? products_row() : o.ldc,
                     .rows_outside = false,
                     .epilogue = last ? o.epilogue : nullptr,
                     .next_b = fetches_ahead(weight_.bytes(), kernels_.lanes * kElement)
                                   ? here + k.channels * plan_.nr
                                   : nullptr});
    }
  }

  // ---- weights ----

  T* packed(int64_t panel, Product product) {
    return weight_.data() + (panel * kProducts + product) * depth_ * plan_.nr;
  }

  // Returns the largest magnitude; NaN or infinity if there is one.
  double pack(const ImageView<const T>& w) {
    double largest = 0;
    for (int64_t panel = 0; panel < panels_; ++panel)
      for (int64_t k = 0; k < depth_; ++k)
        for (int64_t j = 0; j < plan_.nr; ++j) {
          const int64_t at = k * plan_.nr + j;
          const auto weight = [&](int64_t row_half, int64_t half) {
            const int64_t oc = output_channel(half, panel * plan_.nr + j);
            return oc < 0 ? 0.0 : static_cast<double>(w.data[oc * w.sn + (k + row_half * depth_) * w.sc]);
          };
          const double b11 = weight(0, 0), b12 = weight(0, 1), b21 = weight(1, 0), b22 = weight(1, 1);
          const double t1 = b12 - b11, t2 = b22 - t1, t3 = b22 - b12, t4 = t2 - b21;
          const auto put = [&](Product product, double value) {
            packed(panel, product)[at] = static_cast<T>(value);
            const double size = std::abs(static_cast<double>(static_cast<T>(value)));
            if (!std::isnan(largest) && !(size <= largest)) largest = size;
          };
          put(kP1, b11);
          put(kP2, b21);
          put(kP6, t2);
          put(kP7, t3);
          put(kP4, -t4);
          put(kP5, t1);
          put(kP3, b22);
        }
    return largest;
  }

  // The weights again: b12 = b22 - t3.
  typename ExactFallback<T>::Weights unpack() const {
    typename ExactFallback<T>::Weights own;
    own.weight.resize(g_.oc * g_.ic);
    for (int64_t oc = 0; oc < g_.oc; ++oc) {
      const int64_t half = oc >= left_, column = oc - half * left_, panel = column / plan_.nr;
      if (bias_.size()) own.bias.push_back(bias_[half * panels_ * plan_.nr + column]);
      for (int64_t k = 0; k < depth_; ++k) {
        const auto packed_at = [&](Product product) {
          return weight_[(panel * kProducts + product) * depth_ * plan_.nr + k * plan_.nr +
                         column % plan_.nr];
        };
        T* const weight = own.weight.data() + oc * g_.ic + k;
        weight[0] = half ? packed_at(kP3) - packed_at(kP7) : packed_at(kP1);
        weight[depth_] = half ? packed_at(kP3) : packed_at(kP2);
      }
    }
    return own;
  }

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t step_;          // between pixels of out
  const int64_t depth_;         // of a half
  const int64_t left_, right_;  // output channels of the halves
  const int64_t panels_;        // of each
  const std::vector<KBlock> k_blocks_;
  AlignedBuffer<T> weight_;
  AlignedBuffer<T> bias_;
  AlignedBuffer<T> zeros_;
  T limit_ = 0;  // of the image's magnitudes, so that nothing overflows that would not without sums; or 0
  ExactFallback<T> exact_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_strassen(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                                  const ConvWeights<T>& weights, MakeExact<T> make_exact) {
  return std::make_unique<Strassen<T>>(problem, plan, kernels, weights, std::move(make_exact));
}

template ConvAlgorithmPtr<float> make_strassen(const ConvProblem&, const ConvPlan&, const Kernels<float>&,
                                               const ConvWeights<float>&, MakeExact<float>);
template ConvAlgorithmPtr<double> make_strassen(const ConvProblem&, const ConvPlan&, const Kernels<double>&,
                                                const ConvWeights<double>&, MakeExact<double>);

}  // namespace onebyone
