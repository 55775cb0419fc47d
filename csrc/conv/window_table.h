// window_table.h - where the windows of output pixels lie in a channels-last image: a table of pointers, by
// which the GEMM reads the image in place (the indirect convolution of Dukhan, arXiv 1907.02129). Used by
// implicit_gemm_nhwc.cc.
//
// A window is cut into segments of products that lie side by side in memory: a row of the filter (kw * ic
// of them) if the plan says so, else a tap (group_ic). A segment is read
//   in place          where it lies in the image,
//   as zeros          where all of it lies on padding,
//   from a patch      where part of it does, or where the image is not contiguous: a copy.
// Few channels need nothing else: 3x3 over 3 channels is three segments of 9, copied at the image's left and
// right edge alone.
#pragma once

#include <algorithm>

#include "conv/plan.h"
#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone {

template <class T>
class WindowTable {
 public:
  // zeros: a segment of all groups. All must outlive the table.
  WindowTable(const ConvGeometry& g, const ImageView<const T>& x, int64_t segment_taps, const T* zeros)
      : g_(g),
        x_(x),
        segment_taps_(segment_taps),
        zeros_(zeros),
        contiguous_((x.sc == 1 || g.ic == 1) && (segment_taps == 1 || x.sw == g.ic)) {}

  // Whether one table serves all groups, a group's channels at an offset from its pointers.
  bool shared_by_groups() const { return contiguous_; }

  // table[s * count + i]: where products [block.channel, block.channel + block.channels) of segment block.tap
  // + s, s < block.taps, of output pixel first + i lie; pixels are counted through rows and images.
  // `patches` has room for all of them. `group` counts only if the table is not shared.
  void fill(int64_t first, int64_t count, int64_t group, const KBlock& block, const T** table,
            T* patches) const {
    int64_t ox = first % g_.ow, oy = first / g_.ow % g_.oh, n = first / g_.out_pixels();
    for (int64_t i = 0; i < count;) {
      const int64_t run = std::min(g_.ow - ox, count - i);
      Run pixels{.n = n, .iy = 0, .ix = 0, .count = run, .inside = 0, .after = 0};
      int64_t dy = block.tap * segment_taps_ / g_.kw, dx = block.tap * segment_taps_ % g_.kw;
      for (int64_t s = 0; s < block.taps; ++s) {
        pixels.iy = oy * g_.stride.h - g_.pad.top + dy * g_.dilation.h;
        const int64_t ix = ox * g_.stride.w - g_.pad.left + dx * g_.dilation.w;
        if (s == 0 || ix != pixels.ix) find_inside(ix, pixels);
        patches = fill_run(pixels, group, block, table + s * count + i, patches);
        if ((dx += segment_taps_) == g_.kw) dx = 0, ++dy;
      }
      i += run;
      ox = 0;
      if (++oy == g_.oh) oy = 0, ++n;
    }
  }

 private:
  // Pixels side by side in image n, whose segments begin in row iy from column ix on; [inside, after) are
  // read in place.
  struct Run {
    int64_t n, iy, ix, count, inside, after;
  };

  void find_inside(int64_t ix, Run& run) const {
    run.ix = ix;
    run.inside = run.after = run.count;
    if (!contiguous_) return;
    const int64_t ends = g_.iw - segment_taps_ + 1;  // a segment that begins here reaches past the image
    run.inside = std::clamp<int64_t>(ceil_div(-ix, g_.stride.w), 0, run.count);
    run.after = std::clamp<int64_t>(ceil_div(ends - ix, g_.stride.w), run.inside, run.count);
  }

  // One segment of a run. Returns where the next patch goes.
  T* fill_run(const Run& run, int64_t group, const KBlock& block, const T** table, T* patches) const {
    if (run.iy < 0 || run.iy >= g_.ih) {
      std::fill_n(table, run.count, zeros_);
      return patches;
    }
    const T* const row = x_.data + (run.n * x_.sn + run.iy * x_.sh);
    const auto fill_patches = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        table[i] = patch(row, run.ix + i * g_.stride.w, group, block, patches);
    };
    fill_patches(0, run.inside);
    int64_t offset = run.inside * g_.stride.w * x_.sw + run.ix * x_.sw + block.channel;
    const int64_t step = g_.stride.w * x_.sw, after = run.after;
    for (int64_t i = run.inside; i < after; ++i, offset += step) table[i] = row + offset;
    fill_patches(run.after, run.count);
    return patches;
  }

  // The segment that begins at column ix of an image row, written at `patches`, which moves on; or zeros.
  const T* patch(const T* row, int64_t ix, int64_t group, const KBlock& block, T*& patches) const {
    // Taps [first, last) lie in the image.
    const int64_t first = std::clamp<int64_t>(-ix, 0, segment_taps_);
    const int64_t last = std::clamp<int64_t>(g_.iw - ix, first, segment_taps_);
    if (first == last) return zeros_;
    const int64_t channels = g_.group_ic(), end = block.channel + block.channels;
    const T* const begin = patches;
    int64_t k = block.channel;
    const auto zeros_to = [&](int64_t stop) {
      for (; k < stop; ++k) *patches++ = T(0);
    };
    zeros_to(std::min(first * channels, end));
    for (const int64_t stop = std::min(last * channels, end); k < stop;) {
      const int64_t tap = k / channels, channel = k % channels;
      // With one group a contiguous image's taps are one run.
      const int64_t run = contiguous_ ? stop - k : std::min(channels - channel, stop - k);
      const T* src = row + ((ix + tap) * x_.sw + (group * channels + channel) * x_.sc);
      const int64_t step = contiguous_ ? 1 : x_.sc;
      for (int64_t j = 0; j < run; ++j) patches[j] = src[j * step];
      patches += run;
      k += run;
    }
    zeros_to(end);
    return begin;
  }

  const ConvGeometry& g_;
  const ImageView<const T>& x_;
  const int64_t segment_taps_;
  const T* const zeros_;
  const bool contiguous_;
};

}  // namespace onebyone
