#include "conv/winograd_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>
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

// The inverse of the first `taps` rows of G, [tap][point]: Lagrange's polynomials of the finite points among
// them; infinity's is the product of all (x - a_k).
std::vector<double> tap_matrix(int64_t taps) {
  std::vector<double> matrix(taps * taps);
  for (int i = 0; i < taps; ++i) {
    std::vector<double> c(taps);  // coefficients
    c[0] = i == 0 ? 1 : winograd_filter_scale(i) / winograd_denominator(i, static_cast<int>(taps));
    for (int k = 1; k < taps; ++k) {
      if (k == i) continue;
      for (int64_t t = taps - 1; t >= 0; --t) c[t] = (t > 0 ? c[t - 1] : 0) - kWinogradPoint[k] * c[t];
    }
    for (int64_t t = 0; t < taps; ++t) matrix[t * taps + i] = c[t];
  }
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

template <class T>
std::vector<T> winograd_weights(const ConvGeometry& g, const AlignedBuffer<T>& filters, int points_h,
                                int points_w, int64_t nr) {
  const int64_t ic = g.group_ic(), panels = ceil_div(g.group_oc(), nr);
  const std::vector<double> gh = tap_matrix(g.kh), gw = tap_matrix(g.kw);
  constexpr double kRounding = std::numeric_limits<T>::epsilon() / 2;
  std::vector<T> weights(g.oc * ic * g.taps());
  T* dst = weights.data();
  for (int64_t oc = 0; oc < g.oc; ++oc) {
    const int64_t panel = oc / g.group_oc() * panels + oc % g.group_oc() / nr;
    const T* const column = filters.data() + panel * points_h * points_w * ic * nr + oc % g.group_oc() % nr;
    for (int64_t c = 0; c < ic; ++c)
      for (int64_t y = 0; y < g.kh; ++y)
        for (int64_t x = 0; x < g.kw; ++x) {
          double sum = 0, error = 0;  // what the rounding of the points may have made of 0
          for (int64_t i = 0; i < g.kh; ++i)
            for (int64_t j = 0; j < g.kw; ++j) {
              const double point = gh[y * g.kh + i] * gw[x * g.kw + j] *
                                   static_cast<double>(column[((i * points_w + j) * ic + c) * nr]);
              sum += point;
              error += kRounding * std::abs(point);
            }
          *dst++ = std::abs(sum) > error ? static_cast<T>(sum) : T(0);
        }
  }
  return weights;
}

#define ONEBYONE_INSTANTIATE(T)                                                                        \
  template AlignedBuffer<T> winograd_filters(const ConvGeometry&, const ImageView<const T>&, int, int, \
                                             int64_t);                                                 \
  template std::vector<T> winograd_weights(const ConvGeometry&, const AlignedBuffer<T>&, int, int, int64_t);
ONEBYONE_INSTANTIATE(float)
ONEBYONE_INSTANTIATE(double)
#undef ONEBYONE_INSTANTIATE

}  // namespace onebyone
