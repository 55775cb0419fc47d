// conv/visible_taps.h - which taps of a filter see the image, for which outputs. The others meet padding
// alone, and need not be multiplied: of 3x3 with dilation and padding 24 over 20x20, which DeepLab has, one
// tap is left, with 12 an output sees four of nine at most. Used by conv2d.cc, plan.cc, cost.cc and the
// GEMMs.
#pragma once

#include <vector>

#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone {

struct IndexRange {
  int64_t begin, end;

  int64_t size() const { return end - begin; }
  bool contains(int64_t index) const { return index >= begin && index < end; }
  bool operator==(const IndexRange&) const = default;
};

// One side of the convolution: output o's tap t lies at stride * o + dilation * t - pad.
struct FilterAxis {
  int64_t in, out, taps, stride, dilation, pad;

  // The outputs whose tap lies in the image, and the taps of an output that do; empty if there are none.
  IndexRange seeing(int64_t tap) const;
  IndexRange seen_by(int64_t output) const;
  // Of the products along this side those with the image.
  double visible_share() const;
};
inline FilterAxis high_axis(const ConvGeometry& g) {
  return {g.ih, g.oh, g.kh, g.stride.h, g.dilation.h, g.pad.top};
}
inline FilterAxis wide_axis(const ConvGeometry& g) {
  return {g.iw, g.ow, g.kw, g.stride.w, g.dilation.w, g.pad.left};
}

// Neighbouring outputs whose same taps see the image.
struct VisibleTaps {
  IndexRange outputs, taps;
};
// All outputs, in order.
std::vector<VisibleTaps> split_by_visible_taps(const FilterAxis& axis);

// The same convolution by a smaller filter: without the first and last rows and columns of taps that no
// output sees the image by. One tap at least is left. An axis whose padding would become negative keeps more
// of its first taps.
ConvGeometry without_hidden_taps(const ConvGeometry& g);

// The weights (oc, group_ic, kh, kw) of `asked` that its convolution without hidden taps, `seen`, has.
template <class T>
ImageView<const T> visible_weights(ImageView<const T> weight, const ConvGeometry& asked,
                                   const ConvGeometry& seen) {
  weight.data += (asked.pad.top - seen.pad.top) / asked.dilation.h * weight.sh +
                 (asked.pad.left - seen.pad.left) / asked.dilation.w * weight.sw;
  weight.height = seen.kh;
  weight.width = seen.kw;
  return weight;
}

}  // namespace onebyone
