#include "conv/space_to_depth.h"

#include <algorithm>
#include <cstring>

#include "core/int_math.h"

namespace onebyone {
namespace {

// From 8 channels on phases of their own waste no more than half of a vector.
constexpr int64_t kMostChannels = 7;
// Padding that is laid out: at most so many times the image, or 1 MB of float32.
constexpr double kPaddedImages = 4;
constexpr int64_t kPaddedElements = 256 * 1024;

// f(oc, c, y, x, where that weight lies among the folded ones) for all weights, in their order.
template <class F>
void for_each_weight(const ConvGeometry& g, const F& f) {
  const ConvGeometry folded = space_to_depth(g);
  for (int64_t oc = 0; oc < g.oc; ++oc)
    for (int64_t c = 0; c < g.ic; ++c)
      for (int64_t y = 0; y < g.kh; ++y)
        for (int64_t x = 0; x < g.kw; ++x) {
          const int64_t phase = y % g.stride.h * g.stride.w + x % g.stride.w;
          const int64_t tap = y / g.stride.h * folded.kw + x / g.stride.w;
          f(oc, c, y, x, (oc * folded.ic + phase * g.ic + c) * folded.taps() + tap);
        }
}

// Pixels [begin, end) of a row, which lie in the image, to dst in groups that are `gap` elements apart.
template <class T>
void copy_row(const ImageView<const T>& x, const T* row, int64_t begin, int64_t end, int64_t group,
              int64_t gap, T* dst) {
  for (int64_t i = begin; i < end; i += group, dst += gap) {
    for (int64_t p = 0; p < group; ++p)
      for (int64_t c = 0; c < x.channels; ++c) dst[p * x.channels + c] = row[(i + p) * x.sw + c * x.sc];
  }
}
// `count` groups of contiguous pixels, of kSize elements.
template <class T, int64_t kSize>
void copy_groups(const T* src, int64_t count, int64_t gap, T* dst) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(dst + i * gap, src + i * kSize, kSize * sizeof(T));
}

}  // namespace

bool folds_space_to_depth(const ConvGeometry& g) {
  if (g.stride.h != 2 || g.stride.w != 2 || g.dilation.h != 1 || g.dilation.w != 1 || g.groups != 1 ||
      g.ic > kMostChannels || g.ic == 0 || g.kh < 2 || g.kw < 2)
    return false;
  const double rows = static_cast<double>(g.oh + g.kh / 2), columns = static_cast<double>(g.ow + g.kw / 2);
  return 4 * rows * columns * static_cast<double>(g.ic) <=
         std::max(kPaddedImages * static_cast<double>(g.ic * g.ih * g.iw),
                  static_cast<double>(kPaddedElements));
}

ConvGeometry space_to_depth(const ConvGeometry& g) {
  ConvGeometry folded = g;
  folded.ic = g.ic * g.stride.h * g.stride.w;
  folded.kh = ceil_div(g.kh, g.stride.h);
  folded.kw = ceil_div(g.kw, g.stride.w);
  folded.ih = g.oh + folded.kh - 1;
  folded.iw = g.ow + folded.kw - 1;
  folded.stride = {1, 1};
  folded.pad = {0, 0, 0, 0};
  return folded;
}

template <class T>
std::vector<T> space_to_depth(const ConvGeometry& g, const ImageView<const T>& w) {
  const ConvGeometry folded = space_to_depth(g);
  std::vector<T> weight(folded.oc * folded.ic * folded.taps());
  for_each_weight(g, [&](int64_t oc, int64_t c, int64_t y, int64_t x, int64_t place) {
    weight[place] = w.data[oc * w.sn + c * w.sc + y * w.sh + x * w.sw];
  });
  return weight;
}

template <class T>
std::vector<T> depth_to_space(const ConvGeometry& g, const std::vector<T>& folded) {
  std::vector<T> weight;
  weight.reserve(g.oc * g.ic * g.taps());
  for_each_weight(
      g, [&](int64_t, int64_t, int64_t, int64_t, int64_t place) { weight.push_back(folded[place]); });
  return weight;
}

template <class T>
void space_to_depth(const ConvGeometry& g, const ImageView<const T>& x, int64_t begin, int64_t end, T* dst) {
  const ConvGeometry folded = space_to_depth(g);
  const int64_t group = g.stride.w, size = group * g.ic;  // of a row's pixels that become one
  // Folded columns [first, last) are pixels of the image alone.
  const int64_t first = std::min(ceil_div(std::max<int64_t>(g.pad.left, 0), group), folded.iw);
  const int64_t last = std::clamp((g.iw + g.pad.left) / group, first, folded.iw);
  for (int64_t at = begin; at < end; ++at) {
    const int64_t n = at / folded.ih, r = at % folded.ih;
    T* const out = dst + at * folded.iw * folded.ic;
    for (int64_t phase = 0; phase < g.stride.h; ++phase) {
      const int64_t y = r * g.stride.h + phase - g.pad.top;
      T* const part = out + phase * size;
      const bool inside = y >= 0 && y < g.ih;
      const T* const row = inside ? x.data + n * x.sn + y * x.sh : nullptr;
      const auto edge = [&](int64_t column) {
        for (int64_t p = 0; p < group; ++p) {
          const int64_t i = column * group + p - g.pad.left;
          for (int64_t c = 0; c < g.ic; ++c)
            part[column * folded.ic + p * g.ic + c] =
                inside && i >= 0 && i < g.iw ? row[i * x.sw + c * x.sc] : T(0);
        }
      };
      if (!inside) {
        for (int64_t column = 0; column < folded.iw; ++column) edge(column);
        continue;
      }
      for (int64_t column = 0; column < first; ++column) edge(column);
      for (int64_t column = last; column < folded.iw; ++column) edge(column);
      const int64_t start = first * group - g.pad.left;
      T* const whole = part + first * folded.ic;
      const bool contiguous = (x.sc == 1 || g.ic == 1) && x.sw == g.ic;
      const T* const src = row + start * x.sw;
      if (contiguous && size == 6)
        copy_groups<T, 6>(src, last - first, folded.ic, whole);
      else
        copy_row(x, row, start, start + (last - first) * group, group, folded.ic, whole);
    }
  }
}

#define ONEBYONE_INSTANTIATE(T)                                                           \
  template std::vector<T> space_to_depth(const ConvGeometry&, const ImageView<const T>&); \
  template std::vector<T> depth_to_space(const ConvGeometry&, const std::vector<T>&);     \
  template void space_to_depth(const ConvGeometry&, const ImageView<const T>&, int64_t, int64_t, T*);
ONEBYONE_INSTANTIATE(float)
ONEBYONE_INSTANTIATE(double)
#undef ONEBYONE_INSTANTIATE

}  // namespace onebyone
