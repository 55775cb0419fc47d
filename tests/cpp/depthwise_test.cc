// Kernels::depthwise against its definition (DepthwiseArgs), with canaries around every row of the output.
#include <vector>

#include "testing.h"

namespace onebyone {
namespace {

template <class T>
class DepthwiseKernel : public ::testing::Test {};
TYPED_TEST_SUITE(DepthwiseKernel, RealTypes);

struct Row {
  int64_t groups, group_ic, group_oc;
  int64_t ow, kh, kw, stride = 1, dilation = 1, left = 0, width = 0;  // width 0: what the taps reach
  int64_t block = 3;
};

template <class T>
void check(const Kernels<T>& kernels, const Row& row, bool extras, ActivationKind kind) {
  SCOPED_TRACE(::testing::Message() << row.groups << " groups of " << row.group_ic << " -> " << row.group_oc
                                    << ", ow " << row.ow << " kernel " << row.kh << "x" << row.kw
                                    << " stride " << row.stride << " dilation " << row.dilation << " left "
                                    << row.left << " width " << row.width << " extras " << extras);
  constexpr int64_t kGap = 2, kFirstRow = 1;
  const T canary = T(99);
  Random random;
  const int64_t ic = row.groups * row.group_ic, oc = row.groups * row.group_oc, lanes = kernels.lanes;
  const int64_t reach = (row.ow - 1) * row.stride + (row.kw - 1) * row.dilation + 1;
  const int64_t width = row.width ? row.width : reach;
  const int64_t run = row.group_oc < lanes ? oc : row.group_oc;
  const int64_t per_run = (run + lanes - 1) / lanes, columns = std::min(run, lanes);
  const int64_t filter = (kFirstRow + row.kh) * row.kw * row.group_ic;
  const std::vector<T> weight = random.values<T>(filter * oc), bias = random.values<T>(oc);
  std::vector<T> packed;
  for (int64_t start = 0; start < oc; start += run)
    for (int64_t v = 0; v < per_run; ++v)
      for (int64_t k = -1; k < filter; ++k)
        for (int64_t l = 0; l < lanes; ++l) {
          const int64_t j = start + std::min(v * lanes, run - columns) + l;
          packed.push_back(l >= columns ? T(0) : k < 0 ? (extras ? bias[j] : T(0)) : weight[k * oc + j]);
        }
  // Each row is its own exactly sized buffer: AddressSanitizer sees a read past it.
  const int64_t x_stride = ic + 1;
  std::vector<std::vector<T>> rows;
  std::vector<const T*> table;
  for (int64_t r = 0; r < row.kh; ++r) rows.push_back(random.values<T>((width - 1) * x_stride + ic));
  for (const std::vector<T>& values : rows) table.push_back(values.data());
  const int64_t ld = oc + kGap;
  std::vector<T> out(row.ow * ld, canary);
  const std::vector<T> residual = random.values<T>(row.ow * ld);
  Epilogue<T> epilogue;
  epilogue.activation = {kind, -0.5, 0.75};
  if (extras) epilogue.residual = residual.data();
  const int64_t vectors = oc / run * per_run;
  // In two parts, as two threads would.
  for (const auto& [begin, end] : {std::pair{int64_t(0), vectors / 2}, std::pair{vectors / 2, vectors}})
    kernels.depthwise({.ow = row.ow,
                       .run = run,
                       .begin = begin,
                       .end = end,
                       .block = row.block,
                       .kh = row.kh,
                       .kw = row.kw,
                       .first_row = kFirstRow,
                       .stride = row.stride,
                       .dilation = row.dilation,
                       .left = row.left,
                       .width = width,
                       .ic = ic,
                       .group_ic = row.group_ic,
                       .group_oc = row.group_oc,
                       .rows = table.data(),
                       .x_stride = x_stride,
                       .weight = packed.data(),
                       .weight_stride = (filter + 1) * lanes,
                       .out = out.data(),
                       .ld = ld,
                       .epilogue = &epilogue});
  for (int64_t i = 0; i < row.ow; ++i)
    for (int64_t j = 0; j < ld; ++j) {
      if (j >= oc) {
        ASSERT_EQ(out[i * ld + j], canary) << "wrote past pixel " << i;
        continue;
      }
      double sum = extras ? double(bias[j]) + double(residual[i * ld + j]) : 0;
      for (int64_t r = 0; r < row.kh; ++r)
        for (int64_t s = 0; s < row.kw; ++s) {
          const int64_t place = i * row.stride + s * row.dilation - row.left;
          if (place < 0 || place >= width) continue;
          for (int64_t c = 0; c < row.group_ic; ++c)
            sum += double(rows[r][place * x_stride + j / row.group_oc * row.group_ic + c]) *
                   double(weight[(((kFirstRow + r) * row.kw + s) * row.group_ic + c) * oc + j]);
        }
      if (kind == ActivationKind::kClip) sum = std::min(std::max(sum, -0.5), 0.75);
      if (kind == ActivationKind::kLeakyRelu && sum < 0) sum *= -0.5;
      ASSERT_NEAR(double(out[i * ld + j]), sum, 2 * double(row.kh * row.kw * row.group_ic + 3) * kEps<T>)
          << "pixel " << i << " channel " << j;
    }
}

constexpr ActivationKind kKinds[] = {ActivationKind::kNone, ActivationKind::kClip,
                                     ActivationKind::kLeakyRelu};

TYPED_TEST(DepthwiseKernel, AnyNumberOfChannels) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (int64_t n = 1; n <= 5 * kernels.lanes + 1; n += n < 2 * kernels.lanes ? 1 : 5)
      for (const int64_t ow : {1, 3, 4, 9})
        for (const bool extras : {false, true})
          for (const ActivationKind kind : kKinds)
            ASSERT_NO_FATAL_FAILURE(
                check<TypeParam>(kernels, {n, 1, 1, ow, 3, 3, 1, 1, 1, ow}, extras, kind));
  });
}

TYPED_TEST(DepthwiseKernel, AnyRow) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    const int64_t n = 2 * kernels.lanes + 1;
    for (const int64_t kw : {1, 2, 3, 5, 7, 9, 14})
      for (const int64_t stride : {1, 2, 3})
        for (const int64_t dilation : {1, 2})
          for (const int64_t ow : {1, 2, 4, 6, 7, 8, 13, 22})
            for (const int64_t kh : {0, 1, 2}) {
              const int64_t reach = (ow - 1) * stride + (kw - 1) * dilation + 1;
              ASSERT_NO_FATAL_FAILURE(check<TypeParam>(kernels, {n, 1, 1, ow, kh, kw, stride, dilation}, true,
                                                       ActivationKind::kClip));
              // The taps fall beside the image on both sides, or all of them do.
              for (const auto& [left, width] : {std::pair{kw / 2, reach - kw / 2 - 1}, {reach, int64_t(2)}})
                if (width > 0) {
                  ASSERT_NO_FATAL_FAILURE(
                      check<TypeParam>(kernels, {n, 1, 1, ow, kh, kw, stride, dilation, left, width}, true,
                                       ActivationKind::kNone));
                }
            }
  });
}

TYPED_TEST(DepthwiseKernel, GroupsAndMultipliers) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    for (const auto& [ic, oc] : {std::pair{1, 2},
                                 {1, 3},
                                 {1, 5},
                                 {1, 17},
                                 {2, 2},
                                 {2, 4},
                                 {3, 3},
                                 {4, 4},
                                 {4, 2},
                                 {8, 8},
                                 {2, 16},
                                 {12, 12},
                                 {16, 16},
                                 {5, 24},
                                 {33, 32}})
      for (const int64_t groups : {1, 2, 5, 16, 21})
        for (const int64_t ow : {1, 5, 9})
          for (const int64_t stride : {1, 2, 3})
            for (const int64_t kw : {1, 3, 4})
              ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
                  kernels, {groups, ic, oc, ow, 2, kw, stride, 1, 1, (ow - 1) * stride + kw - 1 + (kw == 1)},
                  ow == 5, kKinds[stride - 1]));
  });
}

}  // namespace
}  // namespace onebyone
