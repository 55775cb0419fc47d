#include "conv/packing.h"

#include <algorithm>

namespace onebyone {
namespace {

// Where tap `tap` of weight[oc][c] begins, oc = c = 0.
template <class T>
const T* tap_of(const ImageView<const T>& w, int64_t tap) {
  return w.data + tap / w.width * w.sh + tap % w.width * w.sw;
}

}  // namespace

template <class T>
AlignedBuffer<T> pack_weight_panels(const ConvGeometry& g, const ImageView<const T>& weight, int64_t nr) {
  const int64_t oc = g.group_oc(), ic = g.group_ic();
  const int64_t panels = ceil_div(oc, nr);
  AlignedBuffer<T> packed(checked_mul(checked_mul(g.groups * panels, nr, "weight"), g.taps() * ic, "weight"));
  T* dst = packed.data();
  for (int64_t group = 0; group < g.groups; ++group)
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t first = panel * nr;
      const int64_t columns = std::min(nr, oc - first);
      for (int64_t tap = 0; tap < g.taps(); ++tap) {
        const T* src = tap_of(weight, tap) + (group * oc + first) * weight.sn;
        for (int64_t c = 0; c < ic; ++c, src += weight.sc, dst += nr) {
          for (int64_t j = 0; j < columns; ++j) dst[j] = src[j * weight.sn];
          std::fill(dst + columns, dst + nr, T(0));
        }
      }
    }
  return packed;
}

template <class T>
AlignedBuffer<T> pack_weight_rows(const ConvGeometry& g, const ImageView<const T>& weight,
                                  int64_t row_stride) {
  AlignedBuffer<T> packed(checked_mul(g.oc, row_stride, "weight"));
  for (int64_t oc = 0; oc < g.oc; ++oc) {
    T* dst = packed.data() + oc * row_stride;
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      const T* src = tap_of(weight, tap) + oc * weight.sn;
      for (int64_t c = 0; c < g.group_ic(); ++c) *dst++ = src[c * weight.sc];
    }
  }
  return packed;
}

template <class T>
AlignedBuffer<T> pack_weight_vectors(const ConvGeometry& g, const ConvWeights<T>& weights, int64_t run,
                                     int64_t lanes) {
  const int64_t columns = std::min(lanes, run);
  const int64_t rows = checked_add(checked_mul(g.taps(), g.group_ic(), "weight"), 1, "weight");
  AlignedBuffer<T> packed(checked_mul(g.oc / run * ceil_div(run, lanes) * lanes, rows, "weight"));
  T* dst = packed.data();
  for (int64_t start = 0; start < g.oc; start += run)
    for (int64_t at = 0; at < run; at += lanes) {
      const int64_t first = start + std::min(at, run - columns);
      const auto add_row = [&](const T* src, int64_t stride) {
        for (int64_t j = 0; j < columns; ++j) dst[j] = src ? src[(first + j) * stride] : T(0);
        std::fill(dst + columns, dst + lanes, T(0));
        dst += lanes;
      };
      add_row(weights.bias, weights.bias_stride);
      for (int64_t tap = 0; tap < g.taps(); ++tap)
        for (int64_t c = 0; c < g.group_ic(); ++c)
          add_row(tap_of(weights.weight, tap) + c * weights.weight.sc, weights.weight.sn);
    }
  return packed;
}

template <class T>
AlignedBuffer<T> pack_bias(const ConvGeometry& g, const ConvWeights<T>& weights, int64_t multiple) {
  if (!weights.bias) return {};
  const int64_t oc = g.group_oc(), padded = round_up(oc, multiple);
  AlignedBuffer<T> packed(g.groups * padded);
  for (int64_t group = 0; group < g.groups; ++group)
    for (int64_t j = 0; j < padded; ++j)
      packed[group * padded + j] = j < oc ? weights.bias[(group * oc + j) * weights.bias_stride] : T(0);
  return packed;
}

template <class T>
std::vector<T> unpack_bias(const ConvGeometry& g, const AlignedBuffer<T>& packed, int64_t multiple) {
  std::vector<T> bias;
  if (packed.size() == 0) return bias;
  const int64_t oc = g.group_oc(), padded = round_up(oc, multiple);
  for (int64_t j = 0; j < g.oc; ++j) bias.push_back(packed[j / oc * padded + j % oc]);
  return bias;
}

#define ONEBYONE_INSTANTIATE(T)                                                                             \
  template AlignedBuffer<T> pack_weight_panels<T>(const ConvGeometry&, const ImageView<const T>&, int64_t); \
  template AlignedBuffer<T> pack_weight_rows<T>(const ConvGeometry&, const ImageView<const T>&, int64_t);   \
  template AlignedBuffer<T> pack_weight_vectors<T>(const ConvGeometry&, const ConvWeights<T>&, int64_t,     \
                                                   int64_t);                                                \
  template AlignedBuffer<T> pack_bias<T>(const ConvGeometry&, const ConvWeights<T>&, int64_t);              \
  template std::vector<T> unpack_bias<T>(const ConvGeometry&, const AlignedBuffer<T>&, int64_t);
ONEBYONE_INSTANTIATE(float)
ONEBYONE_INSTANTIATE(double)
#undef ONEBYONE_INSTANTIATE

}  // namespace onebyone
