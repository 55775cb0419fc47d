#include "ops/pool.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/check.h"
#include "core/int_math.h"
#include "core/parallel.h"
#include "ops/loops.h"

namespace onebyone {
namespace {

// Pixels read below which another thread costs more than it saves: 3 us of one core.
constexpr int64_t kReadsPerThread = 32 * 1024;

int64_t pool_output_axis(const std::string& op, const char* axis, int64_t in, int64_t kernel, int64_t stride,
                         int64_t dilation, int64_t before, int64_t after, bool ceil_mode) {
  const int64_t extent =
      checked_add(checked_mul(kernel - 1, dilation, "dilated kernel_size"), 1, "dilated kernel_size");
  if (std::max({extent, stride, in}) > kFarthest)
    fail(op, ": kernel_size ", kernel, " with dilation ", dilation, ", or stride ", stride,
         ", is too large in ", axis, "; at most ", kFarthest, " pixels");
  if (std::max(before, after) >= extent)
    fail(op, ": padding (", before, ", ", after, ") in ", axis,
         " leaves windows without a pixel: kernel_size ", kernel, " covers ", extent, " with dilation ",
         dilation, "; use less padding");
  const int64_t padded = in + before + after;
  const int64_t steps = padded - extent + (ceil_mode ? stride - 1 : 0);
  if (steps < 0) {
    if (in == 0) return 0;
    fail(op, ": kernel_size (", axis, " ", kernel, ", ", extent, " with dilation ", dilation,
         ") is larger than x with its padding (", axis, " ", padded, " = ", before, " + ", in, " + ", after,
         "); use more padding or a smaller kernel_size");
  }
  const int64_t out = steps / stride + 1;
  return ceil_mode && (out - 1) * stride >= in + before ? out - 1 : out;
}

// Along one axis: the taps of a window from `place` on that fall into [0, end).
struct Taps {
  int64_t begin, end;
};
Taps taps_within(int64_t place, int64_t kernel, int64_t dilation, int64_t end) {
  const int64_t first = place < 0 ? ceil_div(-place, dilation) : 0;
  const int64_t last = place < end ? std::min(kernel, ceil_div(end - place, dilation)) : 0;
  return {std::min(first, last), last};
}

// An average's divisor is the product of one for its rows and one for its columns: 1 / that of each output.
// Zeros follow, a vector of `lanes` of them.
template <class T>
std::vector<T> scales(const PoolSpec& spec, int64_t out, int64_t in, int64_t kernel, int64_t stride,
                      int64_t dilation, int64_t before, int64_t after, int64_t divisor, int lanes) {
  std::vector<T> result(out + lanes);
  for (int64_t i = 0; i < out; ++i) {
    const int64_t place = i * stride - before;
    const Taps inside = taps_within(place, kernel, dilation, in);
    const int64_t count = divisor ? divisor
                          : spec.count_include_pad
                              ? taps_within(place + before, kernel, dilation, in + before + after).end
                              : inside.end - inside.begin;
    result[i] = count ? T(1) / static_cast<T>(count) : T(0);
  }
  return result;
}

template <class T>
struct Pooling {
  const PoolSpec& spec;
  const ImageView<const T>& x;
  const ImageView<T>& out;
  const Kernels<T>& kernels;
  std::vector<T> row_scale, column_scale;

  bool maximum() const { return spec.kind == PoolKind::kMax; }

  // Channels [channel, channel + channels) of row `row` of the output, counted through all images.
  void channels_last(int64_t row, int64_t channel, int64_t channels) const {
    const int64_t n = row / out.height, y = row % out.height;
    const int64_t place = y * spec.stride.h - spec.pad.top;
    const Taps taps = taps_within(place, spec.kernel.h, spec.dilation.h, x.height);
    const int64_t kh = taps.end - taps.begin;
    const T** rows = reinterpret_cast<const T**>(thread_scratch(kh * static_cast<int64_t>(sizeof(const T*))));
    for (int64_t r = 0; r < kh; ++r)
      rows[r] = x.data + (n * x.sn + (place + (taps.begin + r) * spec.dilation.h) * x.sh + channel);
    kernels.pool_pixels({.maximum = maximum(),
                         .ow = out.width,
                         .channels = channels,
                         .kh = kh,
                         .kw = spec.kernel.w,
                         .stride = spec.stride.w,
                         .dilation = spec.dilation.w,
                         .left = spec.pad.left,
                         .width = x.width,
                         .rows = rows,
                         .x_stride = x.sw,
                         .column_scale = column_scale.data(),
                         .row_scale = maximum() ? T(1) : row_scale[y],
                         .out = out.data + (n * out.sn + y * out.sh + channel),
                         .out_stride = out.sw});
  }

  int64_t plane_scratch() const {
    const int64_t reach = (out.width - 1) * spec.stride.w + (spec.kernel.w - 1) * spec.dilation.w + 1;
    return std::max(reach, spec.pad.left + x.width) + 2 * kernels.lanes;
  }

  // Rows [begin, end) of plane `plane`, counted through all images.
  void channels_first(int64_t plane, int64_t begin, int64_t end) const {
    const int64_t n = plane / x.channels, c = plane % x.channels;
    kernels.pool_plane({.maximum = maximum(),
                        .begin = begin,
                        .end = end,
                        .ow = out.width,
                        .kh = spec.kernel.h,
                        .kw = spec.kernel.w,
                        .stride_h = spec.stride.h,
                        .stride_w = spec.stride.w,
                        .dilation_h = spec.dilation.h,
                        .dilation_w = spec.dilation.w,
                        .top = spec.pad.top,
                        .left = spec.pad.left,
                        .height = x.height,
                        .width = x.width,
                        .x = x.data + (n * x.sn + c * x.sc),
                        .x_stride = x.sh,
                        .row_scale = row_scale.data(),
                        .column_scale = column_scale.data(),
                        .out = out.data + (n * out.sn + c * out.sc),
                        .out_stride = out.sh,
                        .scratch = reinterpret_cast<T*>(thread_scratch(
                            checked_mul(plane_scratch(), static_cast<int64_t>(sizeof(T)), "a row")))});
  }

  // Any strides, and padding that dwarfs the image.
  void plain(int64_t row) const {
    const int64_t n = row / out.height, y = row % out.height;
    const int64_t v = y * spec.stride.h - spec.pad.top;
    const Taps h = taps_within(v, spec.kernel.h, spec.dilation.h, x.height);
    for (int64_t i = 0; i < out.width; ++i) {
      const int64_t u = i * spec.stride.w - spec.pad.left;
      const Taps w = taps_within(u, spec.kernel.w, spec.dilation.w, x.width);
      for (int64_t c = 0; c < x.channels; ++c) {
        const int64_t image = n * x.sn + c * x.sc;
        T total = maximum() ? -std::numeric_limits<T>::infinity() : T(0);
        for (int64_t r = h.begin; r < h.end; ++r)
          for (int64_t s = w.begin; s < w.end; ++s) {
            const T value =
                x.data[image + (v + r * spec.dilation.h) * x.sh + (u + s * spec.dilation.w) * x.sw];
            if (!maximum())
              total += value;
            else if (value > total || value != value)
              total = value;
          }
        if (!maximum()) total *= row_scale[y] * column_scale[i];
        out.data[n * out.sn + c * out.sc + y * out.sh + i * out.sw] = total;
      }
    }
  }

  void run(int threads) const {
    if (x.sc == 1 && out.sc == 1 && x.channels > 1) {
      // Of the row in the middle some channels: 13 rows by two threads are 6.5 each.
      const int64_t unit = 4 * kernels.lanes, units = ceil_div(x.channels, unit);
      parallel_ranges(x.batch * out.height * units, 2 * units, threads, [&](int64_t at, int64_t last) {
        while (at < last) {
          const int64_t begin = at % units, end = std::min(units, begin + last - at);
          channels_last(at / units, begin * unit, std::min(end * unit, x.channels) - begin * unit);
          at += end - begin;
        }
      });
    } else if ((x.sw == 1 || x.width == 1) && (out.sw == 1 || out.width == 1) && x.sh >= 0 &&
               plane_scratch() <= 8 * (x.width + out.width) + 4096) {
      const int64_t rows = x.batch * x.channels * out.height;
      parallel_ranges(rows, out.height, threads, [&](int64_t row, int64_t last) {
        while (row < last) {
          const int64_t begin = row % out.height, end = std::min(out.height, begin + last - row);
          channels_first(row / out.height, begin, end);
          row += end - begin;
        }
      });
    } else {
      parallel_for(x.batch * out.height, threads, [&](int64_t row) { plain(row); });
    }
  }
};

}  // namespace

Pair pool_output(const std::string& op, const PoolSpec& spec, const ImageShape& x) {
  const auto positive = [&](const char* name, Pair v) {
    if (v.h < 1 || v.w < 1) fail(op, ": ", name, " must be at least 1, got (", v.h, ", ", v.w, ")");
  };
  positive("kernel_size", spec.kernel);
  positive("stride", spec.stride);
  positive("dilation", spec.dilation);
  const Edges& pad = spec.pad;
  if (std::min({pad.top, pad.bottom, pad.left, pad.right}) < 0)
    fail(op, ": padding must not be negative, got ((", pad.top, ", ", pad.bottom, "), (", pad.left, ", ",
         pad.right, ")); slice x to crop it");
  const Pair out{pool_output_axis(op, "height", x.height, spec.kernel.h, spec.stride.h, spec.dilation.h,
                                  pad.top, pad.bottom, spec.ceil_mode),
                 pool_output_axis(op, "width", x.width, spec.kernel.w, spec.stride.w, spec.dilation.w,
                                  pad.left, pad.right, spec.ceil_mode)};
  const int64_t pixels = checked_mul(checked_mul(x.batch, out.h, "output"), out.w, "output");
  checked_mul(checked_mul(pixels, x.channels, "output"), static_cast<int64_t>(sizeof(double)), "output");
  return out;
}

template <class T>
void pool(const PoolSpec& spec, const ImageView<const T>& x, const ImageView<T>& out,
          const Kernels<T>& kernels, int threads) {
  if (out.empty()) return;
  Pooling<T> pooling{spec, x, out, kernels, {}, {}};
  if (spec.kind == PoolKind::kAverage) {
    pooling.row_scale = scales<T>(spec, out.height, x.height, spec.kernel.h, spec.stride.h, spec.dilation.h,
                                  spec.pad.top, spec.pad.bottom, spec.divisor, kernels.lanes);
    pooling.column_scale = scales<T>(spec, out.width, x.width, spec.kernel.w, spec.stride.w, spec.dilation.w,
                                     spec.pad.left, spec.pad.right, spec.divisor ? 1 : 0, kernels.lanes);
  }
  const int64_t taps = std::min(spec.kernel.h, x.height) * std::min(spec.kernel.w, x.width);
  const double reads =
      static_cast<double>(out.batch * out.channels * out.height * out.width) * static_cast<double>(taps);
  pooling.run(useful_threads(static_cast<int64_t>(std::min(reads, 1e15)), kReadsPerThread, threads));
}

template <class T>
void adaptive_average_pool(const ImageView<const T>& x, const ImageView<T>& out, const Kernels<T>& kernels,
                           int threads) {
  if (out.empty()) return;
  const auto window = [](int64_t i, int64_t in, int64_t size) {
    const int64_t begin = i * in / size;
    return std::pair{begin, ceil_div((i + 1) * in, size) - begin};
  };
  const int64_t pixels = out.height * out.width;
  const int team = useful_threads(x.batch * x.channels * x.height * x.width, kReadsPerThread, threads);
  // Means of whole planes that lie contiguously are products with a vector of 1 / their size.
  if (pixels == 1 && x.sw == 1 && x.sh == x.width && x.sc != 1 && (out.sc == 1 || x.channels == 1)) {
    const int64_t size = x.height * x.width, tasks = std::min<int64_t>(x.channels, team);
    const std::vector<T> weight(size, T(1) / static_cast<T>(size));
    const Epilogue<T> none;
    parallel_for(tasks, team, [&](int64_t task) {
      const int64_t begin = part_begin(x.channels, tasks, task);
      for (int64_t n = 0; n < x.batch; ++n)
        kernels.dot({.m = 1,
                     .n = part_begin(x.channels, tasks, task + 1) - begin,
                     .k = size,
                     .a = weight.data(),
                     .lda = size,
                     .b = x.data + (n * x.sn + begin * x.sc),
                     .ldb = x.sc,
                     .c = out.data + (n * out.sn + begin),
                     .ldc = x.channels,
                     .epilogue = &none});
    });
    return;
  }
  // Channels are shared as well: most networks end in one output pixel.
  const int64_t unit = x.sc == 1 ? 16 * kernels.lanes : 1;
  const int64_t units = ceil_div(x.channels, unit), images = x.batch * pixels;
  const int64_t tasks = std::min<int64_t>(images * units, 4 * team);
  parallel_for(tasks, team, [&](int64_t task) {
    const int64_t last = part_begin(images * units, tasks, task + 1);
    for (int64_t at = part_begin(images * units, tasks, task); at < last;) {
      const int64_t image = at / units, n = image / pixels;
      const int64_t begin = at % units, end = std::min(units, begin + last - at);
      at += end - begin;
      const int64_t c = begin * unit, channels = std::min(end * unit, x.channels) - c;
      const int64_t y = image % pixels / out.width, i = image % out.width;
      const auto [v, kh] = window(y, x.height, out.height);
      const auto [u, kw] = window(i, x.width, out.width);
      PoolSpec spec;
      spec.kind = PoolKind::kAverage;
      spec.kernel = {kh, kw};
      const ImageView<const T> part{
          x.data + (n * x.sn + c * x.sc + v * x.sh + u * x.sw), 1, channels, kh, kw, x.sn, x.sc, x.sh, x.sw};
      pool<T>(spec, part,
              {out.data + (n * out.sn + c * out.sc + y * out.sh + i * out.sw), 1, channels, 1, 1, out.sn,
               out.sc, out.sh, out.sw},
              kernels, 1);
    }
  });
}

template void pool(const PoolSpec&, const ImageView<const float>&, const ImageView<float>&,
                   const Kernels<float>&, int);
template void pool(const PoolSpec&, const ImageView<const double>&, const ImageView<double>&,
                   const Kernels<double>&, int);
template void adaptive_average_pool(const ImageView<const float>&, const ImageView<float>&,
                                    const Kernels<float>&, int);
template void adaptive_average_pool(const ImageView<const double>&, const ImageView<double>&,
                                    const Kernels<double>&, int);

}  // namespace onebyone
