#include "conv/winograd_tiles.h"

#include <algorithm>
#include <vector>

#include "core/int_math.h"
#include "cpu/kernels/winograd_points.h"

namespace onebyone {
namespace {

// G of one side, [point][tap]: powers of the point; infinity takes the last tap.
std::vector<double> filter_matrix(int points, int64_t taps) {
  std::vector<double> matrix(points * taps);
  for (int i = 0; i < points; ++i) {
    double power = 1 / winograd_filter_scale(i);
    for (int64_t k = 0; k < taps; ++k) {
      matrix[i * taps + k] = i == 0 ? (k == taps - 1) : power;
      power *= kWinogradPoint[i];
    }
  }
  if (taps == 1) return {1.0};
  return matrix;
}

}  // namespace

int largest_winograd_tile(int64_t taps) {
  if (taps == 1) return 1;
  if (taps >= kWinogradPoints || !winograd_serves_taps(static_cast<int>(taps))) return 0;
  return kWinogradPoints + 1 - static_cast<int>(taps);
}

template <class T>
AlignedBuffer<T> winograd_filters(const ConvGeometry& g, const ImageView<const T>& weight, int points_h,
                                  int points_w, int64_t nr) {
  const int64_t oc = g.group_oc(), ic = g.group_ic(), panels = ceil_div(oc, nr);
  const int64_t points = int64_t{points_h} * points_w;
  const std::vector<double> gh = filter_matrix(points_h, g.kh), gw = filter_matrix(points_w, g.kw);
  AlignedBuffer<T> filters(checked_mul(checked_mul(g.groups * panels * nr, points, "weight"), ic, "weight"));
  // A panel's column of filters at a time, so that the innermost loops run along output channels.
  std::vector<double> taps(g.taps() * nr), lines(points_h * g.kw * nr), sums(nr);
  for (int64_t panel = 0; panel < g.groups * panels; ++panel) {
    const int64_t first = panel % panels * nr, columns = std::min(nr, oc - first);
    const T* src = weight.data + (panel / panels * oc + first) * weight.sn;
    T* dst = filters.data() + panel * points * ic * nr;
    for (int64_t c = 0; c < ic; ++c, src += weight.sc, dst += nr) {
      for (int64_t y = 0; y < g.kh; ++y)
        for (int64_t x = 0; x < g.kw; ++x)
          for (int64_t j = 0; j < columns; ++j)
            taps[(y * g.kw + x) * nr + j] = src[y * weight.sh + x * weight.sw + j * weight.sn];
      std::fill(lines.begin(), lines.end(), 0.0);
      for (int i = 0; i < points_h; ++i)
        for (int64_t y = 0; y < g.kh; ++y)
          for (int64_t xj = 0; xj < g.kw * nr; ++xj)
            lines[i * g.kw * nr + xj] += gh[i * g.kh + y] * taps[y * g.kw * nr + xj];
      for (int i = 0; i < points_h; ++i)
        for (int p = 0; p < points_w; ++p) {
          std::fill(sums.begin(), sums.end(), 0.0);
          for (int64_t x = 0; x < g.kw; ++x)
            for (int64_t j = 0; j < nr; ++j) sums[j] += gw[p * g.kw + x] * lines[(i * g.kw + x) * nr + j];
          T* out = dst + (i * points_w + p) * ic * nr;
          for (int64_t j = 0; j < nr; ++j) out[j] = static_cast<T>(sums[j]);
        }
    }
  }
  return filters;
}

template AlignedBuffer<float> winograd_filters(const ConvGeometry&, const ImageView<const float>&, int, int,
                                               int64_t);
template AlignedBuffer<double> winograd_filters(const ConvGeometry&, const ImageView<const double>&, int, int,
                                                int64_t);

}  // namespace onebyone
