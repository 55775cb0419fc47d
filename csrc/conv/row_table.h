// row_table.h - where the taps of output pixels lie in a channels-last image: a pointer for each tap and
// pixel, to a row of zeros where the tap falls on padding (the indirect convolution of Dukhan, arXiv
// 1907.02129). Used by depthwise.cc.
#pragma once

#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone {

// Where the window of an output pixel begins: possibly in the padding, so an offset and not a pointer.
struct WindowPixel {
  int64_t offset, y, x;
};

// Output pixels [first, first + count), counted through rows and images.
template <class T>
void locate_pixels(const ConvGeometry& g, const ImageView<const T>& x, int64_t first, int64_t count,
                   WindowPixel* pixels) {
  int64_t ox = first % g.ow, oy = first / g.ow % g.oh, n = first / g.out_pixels();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t iy = oy * g.stride.h - g.pad.top, ix = ox * g.stride.w - g.pad.left;
    pixels[i] = {n * x.sn + iy * x.sh + ix * x.sw, iy, ix};
    if (++ox == g.ow) {
      ox = 0;
      if (++oy == g.oh) oy = 0, ++n;
    }
  }
}

// table[t * count + i] for taps [tap, tap + taps) of pixels [0, count). `zeros`: as many as x has channels.
template <class T>
void fill_row_table(const ConvGeometry& g, const ImageView<const T>& x, const WindowPixel* pixels,
                    int64_t count, int64_t tap, int64_t taps, const T* zeros, const T** table) {
  for (const int64_t end = tap + taps; tap < end; ++tap) {
    const int64_t dy = tap / g.kw * g.dilation.h, dx = tap % g.kw * g.dilation.w;
    const int64_t offset = dy * x.sh + dx * x.sw;
    for (int64_t i = 0; i < count; ++i) {
      const bool inside = static_cast<uint64_t>(pixels[i].y + dy) < static_cast<uint64_t>(g.ih) &&
                          static_cast<uint64_t>(pixels[i].x + dx) < static_cast<uint64_t>(g.iw);
      *table++ = inside ? x.data + (pixels[i].offset + offset) : zeros;
    }
  }
}

}  // namespace onebyone
