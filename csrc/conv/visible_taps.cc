#include "conv/visible_taps.h"

#include <algorithm>

#include "core/int_math.h"

namespace onebyone {
namespace {

struct Trimmed {
  int64_t taps, dilation, before, after;
};

Trimmed trim(const FilterAxis& axis, int64_t after) {
  int64_t first = 0, last = axis.taps - 1;
  while (first < last && axis.seeing(first).size() == 0) ++first;
  while (last > first && axis.seeing(last).size() == 0) --last;
  if (axis.seeing(first).size() == 0) first = last = 0;  // no tap sees anything
  first = std::min(first, axis.pad / axis.dilation);
  const int64_t taps = last - first + 1, dilation = taps == 1 ? 1 : axis.dilation;
  if (taps == axis.taps) return {taps, dilation, axis.pad, after};
  const int64_t before = axis.pad - first * axis.dilation;
  // As far as the outputs reach.
  const int64_t reach = (axis.out - 1) * axis.stride - before + (taps - 1) * dilation + 1;
  return {taps, dilation, before, std::max<int64_t>(reach - axis.in, 0)};
}

}  // namespace

IndexRange FilterAxis::seeing(int64_t tap) const {
  const int64_t at = tap * dilation - pad;  // of output 0
  const int64_t begin = std::clamp<int64_t>(ceil_div(-at, stride), 0, out);
  return {begin, std::clamp<int64_t>(ceil_div(in - at, stride), begin, out)};
}

double FilterAxis::visible_share() const {
  int64_t sum = 0;
  for (int64_t t = 0; t < taps; ++t) sum += seeing(t).size();
  return out > 0 ? static_cast<double>(sum) / static_cast<double>(taps * out) : 1;
}

IndexRange FilterAxis::seen_by(int64_t output) const {
  const int64_t at = output * stride - pad;  // of tap 0
  const int64_t begin = std::clamp<int64_t>(ceil_div(-at, dilation), 0, taps);
  return {begin, std::clamp<int64_t>(ceil_div(in - at, dilation), begin, taps)};
}

std::vector<VisibleTaps> split_by_visible_taps(const FilterAxis& axis) {
  std::vector<VisibleTaps> parts;
  for (int64_t o = 0; o < axis.out; ++o) {
    const IndexRange taps = axis.seen_by(o);
    if (parts.empty() || parts.back().taps != taps)
      parts.push_back({{o, o + 1}, taps});
    else
      parts.back().outputs.end = o + 1;
  }
  return parts;
}

ConvGeometry without_hidden_taps(const ConvGeometry& g) {
  const Trimmed high = trim(high_axis(g), g.pad.bottom), wide = trim(wide_axis(g), g.pad.right);
  ConvGeometry seen = g;
  seen.kh = high.taps;
  seen.kw = wide.taps;
  seen.dilation = {high.dilation, wide.dilation};
  seen.pad = {high.before, high.after, wide.before, wide.after};
  return seen;
}

}  // namespace onebyone
