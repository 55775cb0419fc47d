// ops/matmul.h against plain loops in double: any strides, broadcast products, empty sums, threads.
#include "ops/matmul.h"

#include "tensors.h"

namespace onebyone {
namespace {

template <class T>
class OpsMatmul : public ::testing::Test {};
TYPED_TEST_SUITE(OpsMatmul, RealTypes);

template <class T>
void check(const Shape& batch, int64_t m, int64_t n, int64_t k, const Kernels<T>& kernels, Random& random) {
  SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(batch) << " m " << m << " n " << n << " k "
                                    << k);
  Shape a_shape = batch, b_shape = batch, c_shape = batch;
  a_shape.insert(a_shape.end(), {m, k});
  b_shape.insert(b_shape.end(), {k, n});
  c_shape.insert(c_shape.end(), {m, n});
  const int rank = static_cast<int>(c_shape.size());
  Tensor<T> a(a_shape, random_arrangement(rank, true, random));
  Tensor<T> b(b_shape, random_arrangement(rank, true, random));
  a.randomize(random), b.randomize(random);
  Arrangement rows = random_arrangement(rank, false, random);
  rows.order.erase(std::find(rows.order.begin(), rows.order.end(), rank - 1));
  rows.order.push_back(rank - 1);
  rows.gaps.back() = 1;
  std::vector<T> first;
  for (const int threads : {1, 2, 5}) {
    Tensor<T> c(c_shape, rows);
    matmul(a.read(), b.read(), c.view, kernels, threads);
    if (threads == 1) first = c.memory;
    ASSERT_EQ(first, c.memory) << threads << " threads";
    if (threads > 1) continue;
    expect_tensor(
        c,
        [&](const Shape& i) {
          Shape ia = i, ib = i;
          double sum = 0;
          for (int64_t p = 0; p < k; ++p) {
            ia[rank - 1] = ib[rank - 2] = p;
            sum += double(a.at(ia)) * double(b.at(ib));
          }
          return sum;
        },
        [&](double) { return 2 * kEps<T> * (1 + static_cast<double>(k)); });
  }
}

TYPED_TEST(OpsMatmul, FollowsItsDefinition) {
  using T = TypeParam;
  for_each_table([](const KernelTable& table) {
    Random random;
    const Kernels<T>& kernels = kernels_of<T>(table);
    for (int round = 0; round < 120; ++round) {
      Shape batch;
      for (int64_t d = random.below(4); d > 0; --d) batch.push_back(1 + random.below(3));
      check<T>(batch, random.below(20), random.below(75), random.below(40), kernels, random);
      if (::testing::Test::HasFailure()) return;
    }
    check<T>({}, 65, 300, 77, kernels, random);   // shared by columns, several blocks of them
    check<T>({}, 131, 3, 1025, kernels, random);  // by rows, several blocks of k
    check<T>({3}, 50, 64, 200, kernels, random);
  });
}

}  // namespace
}  // namespace onebyone
