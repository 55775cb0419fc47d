// Kernels::depthwise against its definition (DepthwiseArgs), with canaries around every row of the output.
#include <vector>

#include "testing.h"

namespace onebyone {
namespace {

template <class T>
class DepthwiseKernel : public ::testing::Test {};
TYPED_TEST_SUITE(DepthwiseKernel, RealTypes);

template <class T>
void check(const Kernels<T>& kernels, int64_t m, int64_t n, int64_t taps, bool extras, ActivationKind kind) {
  SCOPED_TRACE(::testing::Message() << "m " << m << " n " << n << " taps " << taps << " extras " << extras);
  constexpr int64_t kOffset = 3, kGap = 2;
  const T canary = T(99);
  Random random;
  const std::vector<T> weight = random.values<T>(taps * n), bias = random.values<T>(n);
  // Each row is its own exactly sized buffer: AddressSanitizer sees a read past it.
  std::vector<std::vector<T>> rows;
  std::vector<const T*> table;
  for (int64_t i = 0; i < taps * m; ++i) rows.push_back(random.values<T>(kOffset + n));
  for (const std::vector<T>& row : rows) table.push_back(row.data());
  const int64_t ld = n + kGap;
  std::vector<T> out(m * ld, canary);
  const std::vector<T> residual = random.values<T>(m * ld);
  Epilogue<T> epilogue;
  epilogue.activation = {kind, -0.5, 0.75};
  if (extras) {
    epilogue.bias_n = bias.data();
    epilogue.residual = residual.data();
  }
  kernels.depthwise({.m = m,
                     .n = n,
                     .taps = taps,
                     .rows = table.data(),
                     .tap_stride = m,
                     .offset = kOffset,
                     .weight = weight.data(),
                     .weight_stride = n,
                     .out = out.data(),
                     .ld = ld,
                     .epilogue = &epilogue});
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < ld; ++j) {
      if (j >= n) {
        ASSERT_EQ(out[i * ld + j], canary) << "wrote past row " << i;
        continue;
      }
      double sum = extras ? double(bias[j]) + double(residual[i * ld + j]) : 0;
      for (int64_t t = 0; t < taps; ++t)
        sum += double(rows[t * m + i][kOffset + j]) * double(weight[t * n + j]);
      if (kind == ActivationKind::kClip) sum = std::min(std::max(sum, -0.5), 0.75);
      if (kind == ActivationKind::kLeakyRelu && sum < 0) sum *= -0.5;
      ASSERT_NEAR(double(out[i * ld + j]), sum, 2 * double(taps + 3) * kEps<T>)
          << "pixel " << i << " channel " << j;
    }
}

TYPED_TEST(DepthwiseKernel, FollowsItsDefinition) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (int64_t n = 1; n <= 9 * kernels.lanes + 1; n += n < 2 * kernels.lanes ? 1 : 5)
      for (const int64_t m : {0, 1, 2, 3, 7})
        for (const int64_t taps : {0, 1, 9})
          for (const bool extras : {false, true})
            for (const ActivationKind kind :
                 {ActivationKind::kNone, ActivationKind::kClip, ActivationKind::kLeakyRelu})
              ASSERT_NO_FATAL_FAILURE(check<TypeParam>(kernels, m, n, taps, extras, kind));
  });
}

}  // namespace
}  // namespace onebyone
