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

int largest_winograd_tile(int64_t kernel, int64_t stride) {
  if (kernel == 1 && stride == 1) return 1;
  // A phase of one tap saves nothing, and those of longer filters are rare.
  if (stride > 2 || (stride == 2 && (kernel < 3 || kernel > 8))) return 0;
  const int64_t taps = ceil_div(kernel, stride);
  if (taps >= kWinogradPoints || !winograd_serves_taps(static_cast<int>(taps))) return 0;
  return kWinogradPoints + 1 - static_cast<int>(taps);
}

template <class T>
AlignedBuffer<T> winograd_filters(const ConvGeometry& g, const ImageView<const T>& weight,
                                  const WinogradTiles& tiles, int64_t nr) {
  const WinogradAxis &high = tiles.high, &wide = tiles.wide;
  const int64_t oc = g.group_oc(), panels = ceil_div(oc, nr), panel_rows = tiles.filter_rows();
  const std::vector<double> gh = filter_matrix(high.points(), high.taps),
                            gw = filter_matrix(wide.points(), wide.taps);
  AlignedBuffer<T> filters(checked_mul(checked_mul(g.groups * panels * nr, high.products(), "weight"),
                                       checked_mul(wide.products(), tiles.row, "weight"), "weight"));
  if (tiles.row != tiles.channels) std::fill_n(filters.data(), filters.size(), T(0));
  // A panel's column of filters at a time, so that the innermost loops run along output channels.
  const int64_t line = wide.taps * nr;
  std::vector<double> taps(g.taps() * nr), lines(high.points() * line), sums(nr);
  const auto transform_phase = [&](int phase_h, int phase_w, T* dst) {
    std::fill(lines.begin(), lines.end(), 0.0);
    for (int i = 0; i < high.points(); ++i)
      for (int64_t y = phase_h; y < g.kh; y += high.stride)
        for (int64_t x = phase_w; x < g.kw; x += wide.stride)
          for (int64_t j = 0; j < nr; ++j)
            lines[i * line + x / wide.stride * nr + j] +=
                gh[i * high.taps + y / high.stride] * taps[(y * g.kw + x) * nr + j];
    const int place = tiles.place(phase_h, phase_w);
    for (int i = 0; i < high.points(); ++i)
      for (int p = 0; p < wide.points(); ++p) {
        if (phase_h >= high.phases(i) || phase_w >= wide.phases(p)) continue;
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int64_t x = 0; x < wide.taps; ++x)
          for (int64_t j = 0; j < nr; ++j) sums[j] += gw[p * wide.taps + x] * lines[i * line + x * nr + j];
        T* out = dst + (tiles.filter_row(i, p) + (place - tiles.first_place(p)) * tiles.row) * nr;
        for (int64_t j = 0; j < nr; ++j) out[j] = static_cast<T>(sums[j]);
      }
  };
  for (int64_t panel = 0; panel < g.groups * panels; ++panel) {
    const int64_t first = panel % panels * nr, columns = std::min(nr, oc - first);
    const T* src = weight.data + (panel / panels * oc + first) * weight.sn;
    T* dst = filters.data() + panel * panel_rows * nr;
    for (int64_t c = 0; c < tiles.channels; ++c, src += weight.sc, dst += nr) {
      for (int64_t y = 0; y < g.kh; ++y)
        for (int64_t x = 0; x < g.kw; ++x)
          for (int64_t j = 0; j < columns; ++j)
            taps[(y * g.kw + x) * nr + j] = src[y * weight.sh + x * weight.sw + j * weight.sn];
      for (int phase_h = 0; phase_h < high.stride; ++phase_h)
        for (int phase_w = 0; phase_w < wide.stride; ++phase_w) transform_phase(phase_h, phase_w, dst);
    }
  }
  return filters;
}

template <class T>
AlignedBuffer<T> winograd_row_filters(const ConvGeometry& g, const ImageView<const T>& weight,
                                      int64_t lanes) {
  const int points = kWinogradRowOutputs + static_cast<int>(g.kw) - 1;
  const std::vector<double> matrix = filter_matrix(points, g.kw);
  AlignedBuffer<T> filters(
      checked_mul(checked_mul(round_up(g.oc, lanes), g.kh * g.ic, "weight"), points, "weight"));
  T* dst = filters.data();
  for (int64_t first = 0; first < g.oc; first += lanes)
    for (int64_t y = 0; y < g.kh; ++y)
      for (int64_t c = 0; c < g.ic; ++c)
        for (int i = 0; i < points; ++i)
          for (int64_t oc = first; oc < first + lanes; ++oc) {
            const T* const row = weight.data + oc * weight.sn + c * weight.sc + y * weight.sh;
            double sum = 0;
            for (int64_t x = 0; oc < g.oc && x < g.kw; ++x)
              sum += matrix[i * g.kw + x] * static_cast<double>(row[x * weight.sw]);
            *dst++ = static_cast<T>(sum);
          }
  return filters;
}

template <class T>
std::vector<T> winograd_weights(const ConvGeometry& g, const AlignedBuffer<T>& filters,
                                const WinogradTiles& tiles, int64_t nr) {
  const WinogradAxis &high = tiles.high, &wide = tiles.wide;
  const int64_t panels = ceil_div(g.group_oc(), nr);
  const std::vector<double> gh = tap_matrix(high.taps), gw = tap_matrix(wide.taps);
  constexpr double kRounding = std::numeric_limits<T>::epsilon() / 2;
  // A tap from a column of filters.
  const auto tap = [&](int64_t y, int64_t x, const T* column) {
    const int phase_h = static_cast<int>(y % high.stride), phase_w = static_cast<int>(x % wide.stride);
    const int place = tiles.place(phase_h, phase_w);
    double sum = 0, error = 0;  // what the rounding of the points may have made of 0
    for (int i = 0; i < high.taps; ++i)
      for (int j = 0; j < wide.taps; ++j) {
        if (phase_h >= high.phases(i) || phase_w >= wide.phases(j)) continue;
        const int64_t row = tiles.filter_row(i, j) + (place - tiles.first_place(j)) * tiles.row;
        const double point = gh[y / high.stride * high.taps + i] * gw[x / wide.stride * wide.taps + j] *
                             static_cast<double>(column[row * nr]);
        sum += point;
        error += kRounding * std::abs(point);
      }
    return std::abs(sum) > error ? static_cast<T>(sum) : T(0);
  };
  std::vector<T> weights(g.oc * g.group_ic() * g.taps());
  T* dst = weights.data();
  for (int64_t oc = 0; oc < g.oc; ++oc) {
    const int64_t panel = oc / g.group_oc() * panels + oc % g.group_oc() / nr;
    const T* column = filters.data() + panel * tiles.filter_rows() * nr + oc % g.group_oc() % nr;
    for (int64_t c = 0; c < g.group_ic(); ++c, column += nr)
      for (int64_t y = 0; y < g.kh; ++y)
        for (int64_t x = 0; x < g.kw; ++x) *dst++ = tap(y, x, column);
  }
  return weights;
}

#define ONEBYONE_INSTANTIATE(T)                                                                            \
  template AlignedBuffer<T> winograd_filters(const ConvGeometry&, const ImageView<const T>&,               \
                                             const WinogradTiles&, int64_t);                               \
  template AlignedBuffer<T> winograd_row_filters(const ConvGeometry&, const ImageView<const T>&, int64_t); \
  template std::vector<T> winograd_weights(const ConvGeometry&, const AlignedBuffer<T>&,                   \
                                           const WinogradTiles&, int64_t);
ONEBYONE_INSTANTIATE(float)
ONEBYONE_INSTANTIATE(double)
#undef ONEBYONE_INSTANTIATE

}  // namespace onebyone
