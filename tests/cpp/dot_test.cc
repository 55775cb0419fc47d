// Kernels::dot against its definition (DotArgs), with canaries around every row of the output.
#include <vector>

#include "testing.h"

namespace onebyone {
namespace {

template <class T>
class DotKernel : public ::testing::Test {};
TYPED_TEST_SUITE(DotKernel, RealTypes);

template <class T>
void check(const Kernels<T>& kernels, int64_t m, int64_t n, int64_t k, bool extras, ActivationKind kind) {
  SCOPED_TRACE(::testing::Message() << "m " << m << " n " << n << " k " << k << " extras " << extras);
  constexpr int64_t kGap = 3;
  const T canary = T(99);
  Random random;
  // The last row ends with its last element: AddressSanitizer sees a read past it.
  const int64_t lda = k + 1, ldb = k + 2, ldc = n + kGap;
  const std::vector<T> a = random.values<T>(m ? (m - 1) * lda + k : 0),
                       b = random.values<T>((n - 1) * ldb + k), bias = random.values<T>(n),
                       residual = random.values<T>(m * ldc);
  std::vector<T> c(m * ldc, canary);
  Epilogue<T> epilogue;
  epilogue.activation = {kind, -0.5, 0.75};
  if (extras) {
    epilogue.bias_n = bias.data();
    epilogue.residual = residual.data();
  }
  kernels.dot({.m = m,
               .n = n,
               .k = k,
               .a = a.data(),
               .lda = lda,
               .b = b.data(),
               .ldb = ldb,
               .c = c.data(),
               .ldc = ldc,
               .epilogue = &epilogue});
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < ldc; ++j) {
      if (j >= n) {
        ASSERT_EQ(c[i * ldc + j], canary) << "wrote past row " << i;
        continue;
      }
      double sum = extras ? double(bias[j]) + double(residual[i * ldc + j]) : 0;
      for (int64_t p = 0; p < k; ++p) sum += double(a[i * lda + p]) * double(b[j * ldb + p]);
      if (kind == ActivationKind::kClip) sum = std::min(std::max(sum, -0.5), 0.75);
      if (kind == ActivationKind::kLeakyRelu && sum < 0) sum *= -0.5;
      ASSERT_NEAR(double(c[i * ldc + j]), sum, 2 * double(k + 3) * kEps<T>) << "row " << i << " column " << j;
    }
}

TYPED_TEST(DotKernel, FollowsItsDefinition) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (const int64_t m : {0, 1, 2, 3, 4, 7})
      for (const int64_t n : {1, 3, 4, 5, 11, 31})
        for (const int64_t k : {0, 1, kernels.lanes - 1, kernels.lanes, 2 * kernels.lanes + 3,
                                128 * kernels.lanes, 131 * kernels.lanes + 1})
          for (const ActivationKind kind :
               {ActivationKind::kNone, ActivationKind::kClip, ActivationKind::kLeakyRelu})
            ASSERT_NO_FATAL_FAILURE(check<TypeParam>(kernels, m, n, k, kind != ActivationKind::kNone, kind));
  });
}

// Neither the rows nor the columns beside it change an output.
TYPED_TEST(DotKernel, SumsAloneAreTheSame) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    const Kernels<T>& kernels = kernels_of<T>(table);
    constexpr int64_t kRows = 7, kColumns = 31;
    Random random;
    for (const int64_t k : {kernels.lanes + 3, 140 * kernels.lanes + 1}) {
      const std::vector<T> a = random.values<T>(kRows * k), b = random.values<T>(kColumns * k);
      const Epilogue<T> none;
      const auto dot = [&](int64_t i, int64_t m, int64_t j, int64_t n) {
        std::vector<T> c(m * n);
        kernels.dot({.m = m,
                     .n = n,
                     .k = k,
                     .a = a.data() + i * k,
                     .lda = k,
                     .b = b.data() + j * k,
                     .ldb = k,
                     .c = c.data(),
                     .ldc = n,
                     .epilogue = &none});
        return c;
      };
      const std::vector<T> all = dot(0, kRows, 0, kColumns);
      for (int64_t i = 0; i < kRows; ++i) {
        const std::vector<T> row = dot(i, 1, 0, kColumns);
        for (int64_t j = 0; j < kColumns; ++j) {
          ASSERT_EQ(row[j], all[i * kColumns + j]) << "row " << i << " column " << j << " of " << k;
          ASSERT_EQ(dot(i, 1, j, 1)[0], row[j]) << "row " << i << " column " << j << " of " << k;
        }
      }
    }
  });
}

}  // namespace
}  // namespace onebyone
