// Kernels::pack against its definition (PackArgs), which is also how the expected memory is made: op after
// op, lane after lane. The source is a buffer of exactly what may be read, with NaN where no lane's value
// lies: a read past either end is AddressSanitizer's to see. What no op covers holds
// a canary; what is undefined is not looked at.
#include <algorithm>
#include <utility>

#include "testing.h"

namespace onebyone {
namespace {

constexpr int kCanary = 99;

struct Strides {
  int64_t k, lane;
};

// Elements [first, second) that the ops may read, as offsets from src.
std::pair<int64_t, int64_t> reach_of(const std::vector<PackOp>& ops, int lanes, int64_t kc, Strides stride) {
  std::pair<int64_t, int64_t> reach{0, 0};
  bool any = false;
  for (const PackOp& op : ops)
    for (const int64_t k : {int64_t{0}, kc - 1})
      for (const int64_t l : {op.whole ? 0 : int64_t{op.from}, (op.whole ? lanes : int64_t{op.to}) - 1}) {
        if (op.src == kZeros || kc == 0) continue;
        const int64_t at = k * stride.k + op.src + l * stride.lane;
        reach = any ? std::pair(std::min(reach.first, at), std::max(reach.second, at + 1))
                    : std::pair(at, at + 1);
        any = true;
      }
  return reach;
}

template <class T>
void check(const Kernels<T>& kernels, const std::vector<PackOp>& ops, int64_t kc, Strides stride) {
  SCOPED_TRACE(::testing::Message() << ops.size() << " ops, kc " << kc << " k_stride " << stride.k
                                    << " lane_stride " << stride.lane);
  Random random;
  const int lanes = kernels.lanes;
  const auto [low, high] = reach_of(ops, lanes, kc, stride);
  std::vector<T> memory(high - low, kNan<T>);
  memory.reserve(1);  // a pointer even where nothing is read
  const T* src = memory.data() - low;
  for (const PackOp& op : ops)
    for (int64_t k = 0; k < kc && op.src != kZeros; ++k)
      for (int l = op.from; l < op.to; ++l)
        memory[k * stride.k + op.src + l * stride.lane - low] = random.value<T>();

  int64_t last = 0;  // column of the widest row of k: the buffer ends there
  for (const PackOp& op : ops) last = std::max<int64_t>(last, op.dst + lanes);
  std::vector<T> packed(kc ? (kc - 1) * kernels.nr + last : 0, T(kCanary)), expected = packed;
  for (int64_t k = 0; k < kc; ++k)
    for (const PackOp& op : ops)
      for (int l = op.from; l < lanes; ++l) {
        T& lane = expected[k * kernels.nr + op.dst + l];
        if (l >= op.to)
          lane = kNan<T>;  // undefined: left to later ops
        else
          lane = op.src == kZeros ? T(0) : src[k * stride.k + op.src + l * stride.lane];
      }
  kernels.pack({.kc = kc,
                .k_stride = stride.k,
                .lane_stride = stride.lane,
                .ops = ops.data(),
                .op_count = static_cast<int64_t>(ops.size()),
                .src = src,
                .dst = packed.data()});

  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) continue;
    ASSERT_EQ(packed[i], expected[i]) << "element " << i % kernels.nr << " of k " << i / kernels.nr;
  }
}

template <class T>
void check_strides(const Kernels<T>& kernels, const std::vector<PackOp>& ops) {
  for (const int64_t kc : {0, 1, 2, 7, 8, 19})
    for (const int64_t k_stride : {1, 5, 1000, 0, -13, -1000})
      for (const int64_t lane_stride : {1, 2, 3, 50, 0, -1, -2})
        ASSERT_NO_FATAL_FAILURE(check<T>(kernels, ops, kc, {k_stride, lane_stride}));
}

PackOp op_of(int64_t src, int64_t dst, int64_t from, int64_t to, bool whole) {
  return {.src = src,
          .dst = static_cast<int32_t>(dst),
          .from = static_cast<int8_t>(from),
          .to = static_cast<int8_t>(to),
          .whole = whole};
}

// Columns side by side in runs of the given widths, image rows or (negative) padding, over panels with room
// between. A vector's first run begins at its lane 0, the next ones where the one before ends.
std::vector<PackOp> ops_for(const std::vector<int64_t>& widths, int64_t lanes, int64_t nr, int64_t row_pitch,
                            bool whole) {
  std::vector<PackOp> ops;
  int64_t column = 0, row = 0;
  for (const int64_t width : widths) {
    const int64_t end = column + std::abs(width);
    for (int64_t first = column / lanes * lanes; first < end; first += lanes) {
      const int64_t dst = first / nr * (20 * nr) + first % nr, from = std::max<int64_t>(column - first, 0);
      ops.push_back(
          op_of(width < 0 ? kZeros : row + first - column, dst, from, std::min(lanes, end - first), whole));
    }
    column = end;
    row += row_pitch;
  }
  return ops;
}

template <class T>
class Pack : public ::testing::Test {};
TYPED_TEST_SUITE(Pack, RealTypes);

TYPED_TEST(Pack, Nothing) {
  for_each_table([](const KernelTable& table) { check_strides(kernels_of<TypeParam>(table), {}); });
}

TYPED_TEST(Pack, EveryRangeOfLanes) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (int from = 0; from < kernels.lanes; ++from) {
      for (int to = from + 1; to <= kernels.lanes; ++to)
        for (const int64_t src : {int64_t{-5}, kZeros})
          for (const bool whole : {false, true})
            ASSERT_NO_FATAL_FAILURE(
                check_strides(kernels, {op_of(src, to % 2 * kernels.lanes, from, to, whole)}));
    }
  });
}

// Image rows of every width, with seams in every place of a vector, over several panels.
TYPED_TEST(Pack, RowsSideBySide) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (int64_t width = 1; width <= kernels.nr + 1; ++width) {
      const std::vector<int64_t> widths(2 * kernels.nr / width + 1, width);
      for (const int64_t pitch : {width, width + 40, -width - 3})

        for (const bool whole : {false, true})
          ASSERT_NO_FATAL_FAILURE(
              check_strides(kernels, ops_for(widths, kernels.lanes, kernels.nr, pitch, whole)));
    }
  });
}

// Rows between zeros, as padding leaves them.
TYPED_TEST(Pack, RowsBetweenZeros) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (const int64_t zeros : {1, 2, 3, kernels.lanes, kernels.lanes + 1})
      for (const int64_t width : {1, 5, kernels.lanes - 1, kernels.nr})
        ASSERT_NO_FATAL_FAILURE(
            check_strides(kernels, ops_for({-zeros, width, -2 * zeros, width, -zeros}, kernels.lanes,
                                           kernels.nr, width, zeros == 2)));
  });
}

// Ops on the same vectors in any order: a later one wins from its first lane on.
TYPED_TEST(Pack, LaterOpsWin) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    const int64_t lanes = kernels.lanes;
    Random random;
    for (int round = 0; round < 20; ++round) {
      std::vector<PackOp> ops(random.below(12));
      for (PackOp& op : ops) {
        const int64_t from = random.below(lanes);
        op =
            op_of(random.below(5) ? random.below(100) - 50 : kZeros, random.below(kernels.nr / lanes) * lanes,
                  from, from + 1 + random.below(lanes - from), random.below(2) == 0);
      }
      ASSERT_NO_FATAL_FAILURE(check_strides(kernels, ops));
    }
  });
}

}  // namespace
}  // namespace onebyone
