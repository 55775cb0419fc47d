// Kernels::depthwise against its definition (DepthwiseArgs), with canaries around every pixel of the output.
#include <limits>
#include <vector>

#include "testing.h"

namespace onebyone {
namespace {

template <class T>
class DepthwiseKernel : public ::testing::Test {};
TYPED_TEST_SUITE(DepthwiseKernel, RealTypes);

struct Band {
  int64_t groups, group_ic, group_oc;
  int64_t ow, kh, kw, stride = 1, dilation = 1, left = 0, width = 0;  // width 0: what the taps reach
  int64_t rows = 1, stride_h = 1, dilation_h = 1, top = 0, height = 0;
  int64_t block = 3;
};

template <class T>
void check(const Kernels<T>& kernels, const Band& band, bool extras, ActivationKind kind) {
  SCOPED_TRACE(::testing::Message() << band.groups << " groups of " << band.group_ic << " -> "
                                    << band.group_oc << ", ow " << band.ow << " kernel " << band.kh << "x"
                                    << band.kw << " stride " << band.stride << " dilation " << band.dilation
                                    << " left " << band.left << " width " << band.width << ", " << band.rows
                                    << " rows stride " << band.stride_h << " dilation " << band.dilation_h
                                    << " top " << band.top << " height " << band.height << " extras "
                                    << extras);
  constexpr int64_t kGap = 2, kFirstRow = 1;  // of the outputs
  const T canary = T(99);
  Random random;
  const int64_t ic = band.groups * band.group_ic, oc = band.groups * band.group_oc, lanes = kernels.lanes;
  const int64_t reach = (band.ow - 1) * band.stride + (band.kw - 1) * band.dilation + 1;
  const int64_t width = band.width ? band.width : reach;
  const int64_t rows = kFirstRow + band.rows;
  const int64_t reach_h = (rows - 1) * band.stride_h + (band.kh - 1) * band.dilation_h + 1;
  const int64_t height = band.height ? band.height : reach_h;
  const int64_t run = band.group_oc < lanes ? oc : band.group_oc;
  const int64_t per_run = (run + lanes - 1) / lanes, columns = std::min(run, lanes);
  const int64_t filter = band.kh * band.kw * band.group_ic;
  const std::vector<T> weight = random.values<T>(filter * oc), bias = random.values<T>(oc);
  std::vector<T> packed;
  for (int64_t start = 0; start < oc; start += run)
    for (int64_t v = 0; v < per_run; ++v)
      for (int64_t k = -1; k < filter; ++k)
        for (int64_t l = 0; l < lanes; ++l) {
          const int64_t j = start + std::min(v * lanes, run - columns) + l;
          packed.push_back(l >= columns ? T(0) : k < 0 ? (extras ? bias[j] : T(0)) : weight[k * oc + j]);
        }
  // Between pixels and rows NaN, beyond the last nothing: AddressSanitizer sees a read past it.
  const int64_t x_stride = ic + 1, x_row = width * x_stride + 1;
  std::vector<T> x((height - 1) * x_row + (width - 1) * x_stride + ic, std::numeric_limits<T>::quiet_NaN());
  for (int64_t h = 0; h < height; ++h)
    for (int64_t w = 0; w < width; ++w) {
      const std::vector<T> pixel = random.values<T>(ic);
      std::copy(pixel.begin(), pixel.end(), x.begin() + h * x_row + w * x_stride);
    }
  const int64_t ld = oc + kGap, out_row = band.ow * ld;
  std::vector<T> out(band.rows * out_row, canary);
  const std::vector<T> residual = random.values<T>(band.rows * out_row);
  Epilogue<T> epilogue;
  epilogue.activation = {kind, -0.5, 0.75};
  if (extras) epilogue.residual = residual.data();
  const int64_t vectors = oc / run * per_run;
  // In two parts, as two threads would.
  for (const auto& [begin, end] : {std::pair{int64_t(0), vectors / 2}, std::pair{vectors / 2, vectors}})
    kernels.depthwise({.ow = band.ow,
                       .run = run,
                       .begin = begin,
                       .end = end,
                       .block = band.block,
                       .row_begin = kFirstRow,
                       .row_end = rows,
                       .kh = band.kh,
                       .kw = band.kw,
                       .stride_h = band.stride_h,
                       .stride = band.stride,
                       .dilation_h = band.dilation_h,
                       .dilation = band.dilation,
                       .top = band.top,
                       .left = band.left,
                       .height = height,
                       .width = width,
                       .ic = ic,
                       .group_ic = band.group_ic,
                       .group_oc = band.group_oc,
                       .x = x.data(),
                       .x_row = x_row,
                       .x_stride = x_stride,
                       .weight = packed.data(),
                       .weight_stride = (filter + 1) * lanes,
                       .out = out.data(),
                       .ld = ld,
                       .epilogue = &epilogue});
  for (int64_t p = 0; p < band.rows * band.ow; ++p)
    for (int64_t j = 0; j < ld; ++j) {
      const int64_t y = kFirstRow + p / band.ow, i = p % band.ow;
      if (j >= oc) {
        ASSERT_EQ(out[p * ld + j], canary) << "wrote past pixel " << p;
        continue;
      }
      double sum = extras ? double(bias[j]) + double(residual[p * ld + j]) : 0;
      for (int64_t r = 0; r < band.kh; ++r)
        for (int64_t s = 0; s < band.kw; ++s) {
          const int64_t place_h = y * band.stride_h + r * band.dilation_h - band.top;
          const int64_t place = i * band.stride + s * band.dilation - band.left;
          if (place < 0 || place >= width || place_h < 0 || place_h >= height) continue;
          for (int64_t c = 0; c < band.group_ic; ++c)
            sum += double(x[place_h * x_row + place * x_stride + j / band.group_oc * band.group_ic + c]) *
                   double(weight[((r * band.kw + s) * band.group_ic + c) * oc + j]);
        }
      if (kind == ActivationKind::kClip) sum = std::min(std::max(sum, -0.5), 0.75);
      if (kind == ActivationKind::kLeakyRelu && sum < 0) sum *= -0.5;
      ASSERT_NEAR(double(out[p * ld + j]), sum, 2 * double(band.kh * band.kw * band.group_ic + 3) * kEps<T>)
          << "row " << y << " pixel " << i << " channel " << j;
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
            for (const int64_t kh : {1, 2}) {
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

TYPED_TEST(DepthwiseKernel, AnyRows) {
  for_each_table([](const KernelTable& table) {
    const Kernels<TypeParam>& kernels = kernels_of<TypeParam>(table);
    const int64_t n = kernels.lanes + 3;
    for (const auto& [kh, kw] : {std::pair{1, 3}, {2, 5}, {3, 3}, {5, 5}, {7, 7}, {3, 8}})
      for (const int64_t stride : {1, 2})
        for (const int64_t stride_h : {1, 2, 3, 9})
          for (const int64_t dilation_h : {1, 3})
            for (const int64_t rows : {1, 2, 3, 5})
              for (const int64_t ow : {3, 9}) {
                const int64_t reach = rows * stride_h + (kh - 1) * dilation_h + 1;
                // All taps within the image; some beside it; an image that is lower than the window; none in
                // it.
                for (const auto& [top, height] : {std::pair{int64_t(0), reach},
                                                  {kh / 2, std::max<int64_t>(reach - kh, 1)},
                                                  {2 * stride_h, int64_t(1)},
                                                  {reach, int64_t(1)},
                                                  {-reach, int64_t(1)}})
                  ASSERT_NO_FATAL_FAILURE(check<TypeParam>(
                      kernels,
                      {n, 1, 1, ow, kh, kw, stride, 1, 1, 0, rows, stride_h, dilation_h, top, height}, true,
                      kKinds[(rows + kh) % 3]));
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
