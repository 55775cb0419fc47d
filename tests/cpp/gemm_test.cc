// The microkernel against its contract (GemmArgs, Epilogue): every table and type, every remainder of the
// tile. What may not be read is NaN or outside the buffer; what may not be written holds a canary.
#include <algorithm>
#include <ostream>
#include <set>
#include <utility>

#include "testing.h"

namespace onebyone {
namespace {

constexpr double kCanary = -12345.0625;

// What the products are added to: C as it is, or rows that lie elsewhere.
enum class Addend { kNone, kItself, kOther };
constexpr Addend kAddends[] = {Addend::kNone, Addend::kItself, Addend::kOther};

struct GemmCase {
  int64_t m, n, taps, kc;
  Addend addend = Addend::kNone;
  bool finish = false;  // with an epilogue
  bool bias_m = false, bias_n = false, residual = false;
  Activation activation{};
};

std::ostream& operator<<(std::ostream& text, const GemmCase& c) {
  return text << "m " << c.m << " n " << c.n << " taps " << c.taps << " kc " << c.kc << " addend "
              << static_cast<int>(c.addend) << " epilogue " << c.finish << " bias_m " << c.bias_m
              << " bias_n " << c.bias_n << " residual " << c.residual << " activation "
              << static_cast<int>(c.activation.kind);
}

// Rows of A in shuffled places of one buffer, NaN between, the last one at its very end. In half of the cases
// a_tap_stride is 0: all taps read the same rows.
template <class T>
struct RowsOfA {
  std::vector<T> memory;
  std::vector<const T*> table;
  int64_t tap_stride, offset = 3;

  RowsOfA(const GemmCase& c, Random& random) : tap_stride(random.below(2) * (c.m + 2)) {
    const int64_t rows = tap_stride ? c.m * c.taps : c.m, pitch = c.kc + offset;
    memory.assign(rows * pitch, kNan<T>);
    // Entries past the m rows of a tap point nowhere.
    table.assign(tap_stride ? c.taps * tap_stride : c.m, nullptr);
    const int64_t first = rows ? random.below(rows) : 0;
    for (int64_t r = 0; r < rows; ++r) {
      T* row = memory.data() + (first + r) % rows * pitch;
      for (int64_t p = 0; p < c.kc; ++p) row[offset + p] = random.value<T>();
      table[r / c.m * tap_stride + r % c.m] = row;
    }
  }
  T at(int64_t tap, int64_t i, int64_t p) const { return table[tap * tap_stride + i][offset + p]; }
};

// Panels of nr columns with NaN between panels and zeros past column n.
template <class T>
struct PanelsOfB {
  std::vector<T> memory;
  int64_t nr, panel_stride;

  PanelsOfB(const GemmCase& c, int64_t width, Random& random)
      : nr(width), panel_stride(c.taps * c.kc * width + 5) {
    const int64_t panels = (c.n + nr - 1) / nr, depth = c.taps * c.kc;
    memory.assign(panels ? (panels - 1) * panel_stride + depth * nr : 0, kNan<T>);
    for (int64_t p = 0; p < panels; ++p)
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t l = 0; l < nr; ++l)
          memory[p * panel_stride + k * nr + l] = p * nr + l < c.n ? random.value<T>() : T(0);
  }
  T at(int64_t k, int64_t j) const { return memory[j / nr * panel_stride + k * nr + j % nr]; }
};

// The rows of C (or of the residual) with `guard` elements around and `ldc - n` between.
template <class T>
struct RowsOfC {
  std::vector<T> memory;
  int64_t guard, ldc;

  RowsOfC(const GemmCase& c, int64_t around, int64_t gap, T outside)
      : memory(c.m && c.n ? (c.m - 1) * (c.n + gap) + c.n + 2 * around : 2 * around, outside),
        guard(around),
        ldc(c.n + gap) {}
  T* data() { return memory.data() + guard; }
  T& at(int64_t i, int64_t j) { return memory[guard + i * ldc + j]; }
};

// The order of the tiles (rows_outside) and what is fetched ahead are drawn: they change no value.
template <class T>
void check(const Kernels<T>& kernels, const GemmCase& c, Random& random) {
  const RowsOfA<T> a(c, random);
  const PanelsOfB<T> b(c, kernels.nr, random);
  // Half of the cases end with the buffer, the others have canaries around; half have canaries between rows.
  const int64_t guard = random.below(2) * 2 * kernels.nr, gap = random.below(2) * 3;
  RowsOfC<T> out(c, guard, gap, T(kCanary)), before(c, guard, gap, T(kCanary)), residual(c, 0, gap, kNan<T>);
  RowsOfC<T> other(c, 0, 1 + random.below(3), kNan<T>);
  for (int64_t i = 0; i < c.m; ++i)
    for (int64_t j = 0; j < c.n; ++j) {
      out.at(i, j) = before.at(i, j) = c.addend == Addend::kItself ? random.value<T>() : kNan<T>;
      other.at(i, j) = random.value<T>();
      residual.at(i, j) = random.value<T>();
    }
  const std::vector<T> bias_m = random.values<T>(c.m);
  std::vector<T> bias_n = random.values<T>((c.n + kernels.nr - 1) / kernels.nr * kernels.nr);
  std::fill(bias_n.begin() + c.n, bias_n.end(), kNan<T>);

  const Epilogue<T> epilogue{.bias_m = c.bias_m ? bias_m.data() : nullptr,
                             .bias_n = c.bias_n ? bias_n.data() : nullptr,
                             .residual = c.residual ? residual.data() : nullptr,
                             .activation = c.activation};
  kernels.gemm({.m = c.m,
                .n = c.n,
                .taps = c.taps,
                .kc = c.kc,
                .a_rows = a.table.data(),
                .a_tap_stride = a.tap_stride,
                .a_offset = a.offset,
                .b = b.memory.data(),
                .b_panel_stride = b.panel_stride,
                .c = out.data(),
                .ldc = out.ldc,
                .addend = c.addend == Addend::kNone     ? nullptr
                          : c.addend == Addend::kItself ? out.data()
                                                        : other.data(),
                .ld_addend = c.addend == Addend::kItself ? out.ldc : other.ldc,
                .rows_outside = random.below(2) == 0,
                .epilogue = c.finish ? &epilogue : nullptr,
                .next_b = random.below(2) ? b.memory.data() : nullptr});

  // The bound of style: 2 (k + 1) eps for a sum of k terms in [-1, 1]; a function adds a few units of its
  // own.
  const double terms = static_cast<double>(c.taps * c.kc) + 4;
  const double tolerance = (2 * (terms + 1) + 8) * kEps<T>;
  for (int64_t i = 0; i < c.m; ++i)
    for (int64_t j = 0; j < c.n; ++j) {
      double sum = 0;
      for (int64_t t = 0; t < c.taps; ++t)
        for (int64_t p = 0; p < c.kc; ++p)
          sum += static_cast<double>(a.at(t, i, p)) * static_cast<double>(b.at(t * c.kc + p, j));
      if (c.addend != Addend::kNone) sum += (c.addend == Addend::kItself ? before : other).at(i, j);
      if (c.finish) {
        sum += (c.bias_m ? bias_m[i] : T(0)) + (c.bias_n ? static_cast<double>(bias_n[j]) : 0);
        if (c.residual) sum += residual.at(i, j);
        sum = static_cast<double>(activate_exactly<T>(c.activation, sum));
      }
      ASSERT_NEAR(static_cast<double>(out.at(i, j)), sum, tolerance)
          << c << " at row " << i << " column " << j;
      before.at(i, j) = out.at(i, j);
    }
  // All that differs from before has been checked: the rest must be as it was.
  ASSERT_TRUE(std::equal(out.memory.begin(), out.memory.end(), before.memory.begin()))
      << c << ": wrote outside of its rows";
}

template <class T>
std::set<int64_t> awkward_widths(const Kernels<T>& kernels) {
  const int64_t lanes = kernels.lanes, nr = kernels.nr;
  return {0,  1,      lanes / 2,      lanes - 1,          lanes,  lanes + 1,  nr - lanes / 2, nr - 1,
          nr, nr + 1, nr + lanes / 2, 2 * nr - lanes / 2, 2 * nr, 2 * nr + 3, 3 * nr + 1};
}

template <class T>
class Gemm : public ::testing::Test {};
TYPED_TEST_SUITE(Gemm, RealTypes);

TYPED_TEST(Gemm, SumsForEveryRemainder) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    Random random;
    for (int64_t m = 0; m <= 2 * kernels.mr + 1; ++m)
      for (const int64_t n : awkward_widths(kernels))
        for (const int64_t taps : {0, 1, 3})
          for (const int64_t kc : {0, 1, 5, 17})
            for (const Addend addend : kAddends)
              ASSERT_NO_FATAL_FAILURE(check<T>(kernels, {m, n, taps, kc, addend}, random));
  });
}

// Longer than any block of products that a kernel may sum apart: within a tap, through taps, one tap after
// the other.
TYPED_TEST(Gemm, LongSums) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    Random random;
    for (const auto& [taps, kc] :
         {std::pair<int64_t, int64_t>{1, 129}, {1, 1000}, {3, 127}, {3, 300}, {49, 17}, {130, 1}})
      for (const int64_t m : {1, kernels.mr, kernels.mr + 1})
        for (const int64_t n : {1, kernels.nr, kernels.nr + kernels.lanes, 2 * kernels.nr + 3})
          for (const bool last : {false, true})
            ASSERT_NO_FATAL_FAILURE(check<T>(kernels,
                                             {.m = m,
                                              .n = n,
                                              .taps = taps,
                                              .kc = kc,
                                              .addend = last ? Addend::kOther : Addend::kNone,
                                              .finish = last,
                                              .bias_n = last},
                                             random));
  });
}

TYPED_TEST(Gemm, EpilogueForEveryRemainder) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    Random random;
    for (int64_t m = 0; m <= 2 * kernels.mr + 1; ++m)
      for (const int64_t n : awkward_widths(kernels))
        for (int parts = 0; parts < 24; ++parts)
          ASSERT_NO_FATAL_FAILURE(check<T>(kernels,
                                           {.m = m,
                                            .n = n,
                                            .taps = 2,
                                            .kc = 3,
                                            .addend = kAddends[parts >> 3],
                                            .finish = true,
                                            .bias_m = (parts & 1) != 0,
                                            .bias_n = (parts & 2) != 0,
                                            .residual = (parts & 4) != 0},
                                           random));
  });
}

TYPED_TEST(Gemm, EveryActivation) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    Random random;
    for (const Activation& activation : all_activations())
      for (const int64_t m : {1, kernels.mr - 1, kernels.mr, kernels.mr + 1})
        for (const int64_t n : awkward_widths(kernels))
          for (const int64_t taps : {0, 1, 3})
            for (const bool all : {false, true})
              ASSERT_NO_FATAL_FAILURE(check<T>(kernels,
                                               {.m = m,
                                                .n = n,
                                                .taps = taps,
                                                .kc = 5,
                                                .addend = all ? Addend::kItself : Addend::kNone,
                                                .finish = true,
                                                .bias_m = all,
                                                .bias_n = true,
                                                .residual = all,
                                                .activation = activation},
                                               random));
  });
}

// One row of A for every m: entries of a_rows may be equal, as padding points at one row of zeros.
TYPED_TEST(Gemm, RowsMayCoincide) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    const int64_t m = kernels.mr + 1, n = kernels.nr, k = 7;
    Random random;
    const std::vector<T> row = random.values<T>(k), b = random.values<T>(k * n);
    const std::vector<const T*> rows(m, row.data());
    std::vector<T> c(m * n, kNan<T>);
    kernels.gemm({.m = m,
                  .n = n,
                  .taps = 1,
                  .kc = k,
                  .a_rows = rows.data(),
                  .a_tap_stride = 0,
                  .a_offset = 0,
                  .b = b.data(),
                  .b_panel_stride = 0,
                  .c = c.data(),
                  .ldc = n,
                  .addend = nullptr,
                  .ld_addend = 0,
                  .rows_outside = false,
                  .epilogue = nullptr});
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += static_cast<double>(row[p]) * static_cast<double>(b[p * n + j]);
      ASSERT_NEAR(static_cast<double>(c[j]), sum, 2 * (k + 1) * kEps<T>);
      for (int64_t i = 1; i < m; ++i) ASSERT_EQ(c[i * n + j], c[j]) << "row " << i << " column " << j;
    }
  });
}

// 0 times infinity and NaN are the mathematics' business: nothing may be skipped because a factor is zero.
TYPED_TEST(Gemm, NanAndInfinitySpread) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    const int64_t nr = kernels.nr;
    const T infinity = std::numeric_limits<T>::infinity();
    const std::vector<T> a = {T(0), T(1)};
    const T* row = a.data();
    std::vector<T> b(2 * nr, T(1)), c(nr);
    b[0] = kNan<T>, b[1] = infinity, b[nr + 2] = -infinity;
    const Epilogue<T> epilogue{.activation = {ActivationKind::kClip, 0, 6}};
    kernels.gemm({.m = 1,
                  .n = nr,
                  .taps = 1,
                  .kc = 2,
                  .a_rows = &row,
                  .a_tap_stride = 0,
                  .a_offset = 0,
                  .b = b.data(),
                  .b_panel_stride = 0,
                  .c = c.data(),
                  .ldc = nr,
                  .addend = nullptr,
                  .ld_addend = 0,
                  .rows_outside = false,
                  .epilogue = &epilogue});
    EXPECT_TRUE(std::isnan(c[0]) && std::isnan(c[1])) << c[0] << " " << c[1];
    EXPECT_EQ(c[2], T(0));
    EXPECT_EQ(c[3], T(1));
  });
}

}  // namespace
}  // namespace onebyone
