// pool-inl.h - maxima and means over windows of pixels. Contracts: PoolPixelsArgs (channels last, vectors
// along the channels) and PoolPlaneArgs (channels first, vectors along the rows). Knows registers. Does not
// know images or threads.
#pragma once

#include "kernel_table.h"
#include "simd.h"
#include "transpose-inl.h"

namespace onebyone {
namespace {

// How a window's pixels are combined, from kStart on.
template <class S>
struct PoolMax {
  using Vec = typename S::Vec;
  static constexpr typename S::Scalar kStart = -__builtin_inf();
  // A NaN of either goes through.
  static ONEBYONE_INLINE Vec combine(Vec acc, Vec x) {
    const Vec larger = S::at_least(x, acc);
    return acc == acc ? larger : acc;
  }
  static ONEBYONE_INLINE Vec finish(Vec acc, typename S::Scalar) { return acc; }
  static ONEBYONE_INLINE Vec finish(Vec acc, Vec) { return acc; }
};
template <class S>
struct PoolMean {
  using Vec = typename S::Vec;
  static constexpr typename S::Scalar kStart = 0;
  static ONEBYONE_INLINE Vec combine(Vec acc, Vec x) { return acc + x; }
  static ONEBYONE_INLINE Vec finish(Vec acc, typename S::Scalar scale) { return acc * scale; }
  static ONEBYONE_INLINE Vec finish(Vec acc, Vec scale) { return acc * scale; }
};

template <class T>
ONEBYONE_INLINE T pool_scale(const PoolPixelsArgs<T>& a, int64_t i) {
  return a.maximum ? T(1) : a.row_scale * a.column_scale[i];
}

// Pixel i, kVecs vectors of channels from c on: a row's taps are combined first and then the rows, which
// keeps the sums of large windows short.
template <class S, template <class> class Op, int kVecs>
ONEBYONE_INLINE void pool_window(const PoolPixelsArgs<typename S::Scalar>& a, int64_t i, int64_t begin,
                                 int64_t end, int64_t c) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  Vec total[kVecs];
  ONEBYONE_UNROLL
  for (int v = 0; v < kVecs; ++v) total[v] = S::broadcast(Op<S>::kStart);
  const int64_t step = a.dilation * a.x_stride;
  for (int64_t r = 0; r < a.kh; ++r) {
    const T* x = a.rows[r] + (i * a.stride - a.left + begin * a.dilation) * a.x_stride + c;
    Vec acc[kVecs];
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) acc[v] = S::broadcast(Op<S>::kStart);
    for (int64_t s = begin; s < end; ++s, x += step) {
      ONEBYONE_UNROLL
      for (int v = 0; v < kVecs; ++v) acc[v] = Op<S>::combine(acc[v], S::load(x + v * S::kLanes));
    }
    ONEBYONE_UNROLL
    for (int v = 0; v < kVecs; ++v) total[v] = Op<S>::combine(total[v], acc[v]);
  }
  const T scale = pool_scale(a, i);
  ONEBYONE_UNROLL
  for (int v = 0; v < kVecs; ++v)
    S::store(a.out + i * a.out_stride + c + v * S::kLanes, Op<S>::finish(total[v], scale));
}

// Pixel i, any window; a.channels >= S::kLanes. The last vector may do some channels again.
template <class S, template <class> class Op>
void pool_pixel(const PoolPixelsArgs<typename S::Scalar>& a, int64_t i) {
  const int64_t place = i * a.stride - a.left;
  int64_t begin = place < 0 ? (-place + a.dilation - 1) / a.dilation : 0;
  int64_t end = place < a.width ? (a.width - place + a.dilation - 1) / a.dilation : 0;
  if (end > a.kw) end = a.kw;
  if (begin > end) begin = end;
  constexpr int kBlock = 4;
  int64_t c = 0;
  for (; c + kBlock * S::kLanes <= a.channels; c += kBlock * S::kLanes)
    pool_window<S, Op, kBlock>(a, i, begin, end, c);
  for (; c < a.channels; c += S::kLanes)
    pool_window<S, Op, 1>(a, i, begin, end, c + S::kLanes <= a.channels ? c : a.channels - S::kLanes);
}

// Pixels [i, i + 4) of windows of three columns that lie in the image: columns are combined first, each for
// all the windows it is in; 9 of them fit the registers beside the sums. Loads per output of a 3x3
// window: 4.5 at stride 1 and 6.75 at stride 2.
template <class S, template <class> class Op, int kStride>
void pool_columns(const PoolPixelsArgs<typename S::Scalar>& a, int64_t i) {
  using T = typename S::Scalar;
  using Vec = typename S::Vec;
  constexpr int kPixels = 4, kColumns = (kPixels - 1) * kStride + 3;
  T scale[kPixels];
  for (int p = 0; p < kPixels; ++p) scale[p] = pool_scale(a, i + p);
  for (int64_t next = 0; next < a.channels; next += S::kLanes) {
    const int64_t c = next + S::kLanes <= a.channels ? next : a.channels - S::kLanes;
    Vec column[kColumns];
    ONEBYONE_UNROLL
    for (int q = 0; q < kColumns; ++q) column[q] = S::broadcast(Op<S>::kStart);
    for (int64_t r = 0; r < a.kh; ++r) {
      const T* x = a.rows[r] + (i * kStride - a.left) * a.x_stride + c;
      ONEBYONE_UNROLL
      for (int q = 0; q < kColumns; ++q) column[q] = Op<S>::combine(column[q], S::load(x + q * a.x_stride));
    }
    ONEBYONE_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      const Vec* w = column + p * kStride;
      S::store(a.out + (i + p) * a.out_stride + c,
               Op<S>::finish(Op<S>::combine(Op<S>::combine(w[0], w[1]), w[2]), scale[p]));
    }
  }
}

template <class S, template <class> class Op>
void pool_row(const PoolPixelsArgs<typename S::Scalar>& a) {
  const bool columns = a.kw == 3 && a.dilation == 1 && (a.stride == 1 || a.stride == 2);
  for (int64_t i = 0; i < a.ow;) {
    const int64_t place = i * a.stride - a.left;
    if (columns && i + 4 <= a.ow && place >= 0 && place + 3 * a.stride + 3 <= a.width) {
      if (a.stride == 1)
        pool_columns<S, Op, 1>(a, i);
      else
        pool_columns<S, Op, 2>(a, i);
      i += 4;
    } else {
      pool_pixel<S, Op>(a, i++);
    }
  }
}

template <class T, int kBytes>
void pool_pixels(const PoolPixelsArgs<T>& args) {
  using S = Simd<T, kBytes>;
  using One = Simd<T, sizeof(T)>;
  if (args.channels >= S::kLanes)
    args.maximum ? pool_row<S, PoolMax>(args) : pool_row<S, PoolMean>(args);
  else
    args.maximum ? pool_row<One, PoolMax>(args) : pool_row<One, PoolMean>(args);
}

// Lanes l < n are p[l * stride].
template <class S>
struct EveryPixel {
  ONEBYONE_INLINE typename S::Vec operator()(const typename S::Scalar* p, int) const { return S::load(p); }
};
template <class S>
struct EverySecond {
  ONEBYONE_INLINE typename S::Vec operator()(const typename S::Scalar* p, int) const {
    return shuffle<S>(S::load(p), S::load(p + S::kLanes), [](int l) { return 2 * l; });
  }
};
template <class S>
struct EveryNth {
  int64_t stride;
  ONEBYONE_INLINE typename S::Vec operator()(const typename S::Scalar* p, int n) const {
    typename S::Vec v{};
    for (int l = 0; l < n; ++l) v[l] = p[l * stride];
    return v;
  }
};

// scratch[x] = the rows combined, x < width, followed by kStart up to a whole vector if they are narrower. Of
// rows that are, the memory up to `end` may be read: whole vectors, where load_first waits for its parts.
template <class S, template <class> class Op>
void pool_rows_into(const typename S::Scalar* x, int64_t rows, int64_t row_step, int64_t width,
                    const typename S::Scalar* end, typename S::Scalar* scratch) {
  using Vec = typename S::Vec;
  const Vec start = S::broadcast(Op<S>::kStart);
  if (width < S::kLanes) {
    const int lanes = static_cast<int>(width);
    Vec acc = start;
    for (int64_t r = 0; r < rows; ++r, x += row_step)
      acc = Op<S>::combine(acc, end - x >= S::kLanes ? S::load(x) : S::load_first(x, lanes));
    typename S::IntVec lane{};
    ONEBYONE_UNROLL
    for (int l = 0; l < S::kLanes; ++l) lane[l] = l;
    S::store(scratch, lane < static_cast<typename S::Int>(lanes) ? acc : start);
    return;
  }
  for (int64_t next = 0; next < width; next += S::kLanes) {
    const int64_t at = next + S::kLanes <= width ? next : width - S::kLanes;
    Vec acc = start;
    for (int64_t r = 0; r < rows; ++r) acc = Op<S>::combine(acc, S::load(x + r * row_step + at));
    S::store(scratch + at, acc);
  }
}

// The outputs of a row from its combined rows, the padding included. Rows narrower than a vector are written
// whole where a later row will write what follows them.
template <class S, template <class> class Op, class Load>
void pool_row_out(const PoolPlaneArgs<typename S::Scalar>& a, const Load& load, typename S::Scalar row_scale,
                  typename S::Scalar* out) {
  using Vec = typename S::Vec;
  const int lanes = a.ow < S::kLanes ? static_cast<int>(a.ow) : S::kLanes;
  const bool whole = a.out_stride == a.ow && a.out + a.end * a.ow - out >= S::kLanes;
  for (int64_t next = 0; next < a.ow; next += S::kLanes) {
    const int64_t i = next + S::kLanes <= a.ow || next == 0 ? next : a.ow - S::kLanes;
    const typename S::Scalar* x = a.scratch + i * a.stride_w;
    Vec acc = load(x, lanes);
    for (int64_t s = 1; s < a.kw; ++s) acc = Op<S>::combine(acc, load(x + s * a.dilation_w, lanes));
    Vec scale{};
    if (!a.maximum) scale = S::load(a.column_scale + i) * row_scale;
    if (lanes == S::kLanes || whole)
      S::store(out + i, Op<S>::finish(acc, scale));
    else
      S::store_first(out, Op<S>::finish(acc, scale), lanes);
  }
}

// The one output of a row whose taps are neighbours: lanes first, then their sum.
template <class S, template <class> class Op>
void pool_one_out(const PoolPlaneArgs<typename S::Scalar>& a, typename S::Scalar row_scale,
                  typename S::Scalar* out) {
  using One = Simd<typename S::Scalar, sizeof(typename S::Scalar)>;
  typename S::Vec acc = S::broadcast(Op<S>::kStart);
  int64_t s = 0;
  for (; s + S::kLanes <= a.kw; s += S::kLanes) acc = Op<S>::combine(acc, S::load(a.scratch + s));
  typename One::Vec sum = One::broadcast(Op<S>::kStart);
  if (s)
    for (int l = 0; l < S::kLanes; ++l) sum = Op<One>::combine(sum, One::broadcast(acc[l]));
  for (; s < a.kw; ++s) sum = Op<One>::combine(sum, One::load(a.scratch + s));
  One::store(out, Op<One>::finish(sum, a.maximum ? row_scale : row_scale * a.column_scale[0]));
}

template <class S, template <class> class Op>
void pool_rows(const PoolPlaneArgs<typename S::Scalar>& a) {
  using T = typename S::Scalar;
  const int64_t reach = (a.ow - 1) * a.stride_w + (a.kw - 1) * a.dilation_w + 1;
  const int64_t used = reach - a.left < a.width ? reach - a.left : a.width;
  for (int64_t i = 0; i < a.left; ++i) a.scratch[i] = Op<S>::kStart;
  for (int64_t i = a.left + (used > 0 ? used : 0); i < reach + 2 * S::kLanes; ++i)
    a.scratch[i] = Op<S>::kStart;
  const T* end = a.x + ((a.height - 1) * a.x_stride + a.width);
  for (int64_t y = a.begin; y < a.end; ++y) {
    const int64_t place = y * a.stride_h - a.top;
    int64_t first = place < 0 ? (-place + a.dilation_h - 1) / a.dilation_h : 0;
    int64_t last = place < a.height ? (a.height - place + a.dilation_h - 1) / a.dilation_h : 0;
    if (last > a.kh) last = a.kh;
    if (first > last) first = last;
    pool_rows_into<S, Op>(a.x + (place + first * a.dilation_h) * a.x_stride, last - first,
                          a.dilation_h * a.x_stride, used, end, a.scratch + a.left);
    const T row_scale = a.maximum ? T(1) : a.row_scale[y];
    T* out = a.out + y * a.out_stride;
    if (a.ow == 1 && a.dilation_w == 1)
      pool_one_out<S, Op>(a, row_scale, out);
    else if (a.stride_w == 1)
      pool_row_out<S, Op>(a, EveryPixel<S>{}, row_scale, out);
    else if (a.stride_w == 2)
      pool_row_out<S, Op>(a, EverySecond<S>{}, row_scale, out);
    else
      pool_row_out<S, Op>(a, EveryNth<S>{a.stride_w}, row_scale, out);
  }
}

template <class T, int kBytes>
void pool_plane(const PoolPlaneArgs<T>& args) {
  using S = Simd<T, kBytes>;
  args.maximum ? pool_rows<S, PoolMax>(args) : pool_rows<S, PoolMean>(args);
}

}  // namespace
}  // namespace onebyone
