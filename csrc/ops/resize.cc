#include "ops/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/check.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Output elements below which another thread costs more than it saves.
constexpr int64_t kElementsPerThread = 32 * 1024;
// Rows of a task: the first is made without what the one before leaves.
constexpr int64_t kLeastRows = 8;

// Along one axis: output i is the sum over t < taps of weights[i * taps + t] * x[places[i * taps + t]].
template <class T>
struct Taps {
  int64_t taps;
  std::vector<int64_t> places;
  std::vector<T> weights;
};

// Where output i lies among the inputs.
template <class T>
T coordinate(ResizeCoordinates kind, int64_t i, T scale, int64_t in, int64_t out) {
  const T at = static_cast<T>(i);
  switch (kind) {
    case ResizeCoordinates::kAsymmetric: return at / scale;
    case ResizeCoordinates::kAlignCorners:
      return out == 1 ? T(0) : at * static_cast<T>(in - 1) / static_cast<T>(out - 1);
    case ResizeCoordinates::kPytorchHalfPixel:
      if (out == 1) return T(0);
      [[fallthrough]];
    case ResizeCoordinates::kHalfPixel: return (at + T(0.5)) / scale - T(0.5);
  }
  return at;
}

template <class T>
T nearest(ResizeNearest kind, T at) {
  switch (kind) {
    case ResizeNearest::kFloor: return std::floor(at);
    case ResizeNearest::kCeil: return std::ceil(at);
    case ResizeNearest::kRoundPreferFloor: return std::ceil(at - T(0.5));
    case ResizeNearest::kRoundPreferCeil: return std::floor(at + T(0.5));
  }
  return at;
}

// Keys's cubic convolution (1981): the weights of the four pixels around a place `s` past the second.
template <class T>
void cubic_weights(T s, T a, T* w) {
  const auto near = [&](T d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far = [&](T d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  w[0] = far(s + 1);
  w[1] = near(s);
  w[2] = near(1 - s);
  w[3] = far(2 - s);
}

template <class T>
Taps<T> make_taps(const ResizeSpec& spec, double given_scale, int64_t in, int64_t out) {
  const int64_t taps = spec.mode == ResizeMode::kNearest ? 1 : spec.mode == ResizeMode::kLinear ? 2 : 4;
  Taps<T> result{taps, std::vector<int64_t>(checked_mul(out, taps, "resize")), std::vector<T>(out * taps)};
  const T scale = given_scale != 0 ? static_cast<T>(given_scale) : static_cast<T>(out) / static_cast<T>(in);
  const T last = static_cast<T>(in - 1);
  for (int64_t i = 0; i < out; ++i) {
    int64_t* places = result.places.data() + i * taps;
    T* weights = result.weights.data() + i * taps;
    T at = coordinate(spec.coordinates, i, scale, in, out);
    if (!std::isfinite(at)) fail("resize: scale ", given_scale, " is too small");
    if (spec.mode == ResizeMode::kNearest) {
      places[0] = static_cast<int64_t>(std::clamp(nearest(spec.nearest, at), T(0), last));
      weights[0] = 1;
    } else if (spec.mode == ResizeMode::kLinear) {
      at = std::clamp(at, T(0), last);
      places[0] = static_cast<int64_t>(at);
      places[1] = std::min(places[0] + 1, in - 1);
      weights[1] = at - static_cast<T>(places[0]);
      weights[0] = 1 - weights[1];
    } else {
      const T below = std::floor(at);
      cubic_weights(at - below, static_cast<T>(spec.cubic_a), weights);
      for (int64_t t = 0; t < 4; ++t)
        places[t] = static_cast<int64_t>(std::clamp(below + static_cast<T>(t - 1), T(0), last));
    }
  }
  return result;
}

template <class T>
struct Resizing {
  const ImageView<const T>& x;
  const ImageView<T>& out;
  const Kernels<T>& kernels;
  Taps<T> h, w;
  bool copies;          // nearest: no sums
  int64_t repeats = 0;  // nearest: every pixel of a row is repeated so often; 0: it varies

  // Runs row(image or plane, y, whether the row above was done by the same call and has the same taps,
  // whether the call begins with it).
  template <class Row>
  void rows(int64_t count, int threads, const Row& row) const {
    parallel_ranges(count * out.height, kLeastRows, threads, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        const int64_t y = at % out.height;
        const bool same = at > begin && y > 0 &&
                          std::equal(h.places.begin() + y * h.taps, h.places.begin() + (y + 1) * h.taps,
                                     h.places.begin() + (y - 1) * h.taps) &&
                          std::equal(h.weights.begin() + y * h.taps, h.weights.begin() + (y + 1) * h.taps,
                                     h.weights.begin() + (y - 1) * h.taps);
        row(at / out.height, y, same, at == begin || y == 0);
      }
    });
  }

  void channels_last(int64_t n, int64_t y, bool same) const {
    T* to = out.data + (n * out.sn + y * out.sh);
    if (same && out.sw == out.channels) {
      std::copy_n(to - out.sh, out.width * out.channels, to);
      return;
    }
    const T* from = x.data + n * x.sn;
    if (copies) {
      const T* row = from + h.places[y] * x.sh;
      for (int64_t i = 0; i < out.width; ++i)
        std::copy_n(row + w.places[i] * x.sw, x.channels, to + i * out.sw);
      return;
    }
    // The taps of both axes as one list: x is read in place.
    const int64_t taps = h.taps * w.taps, total = out.width * taps;
    std::byte* scratch = thread_scratch(total * static_cast<int64_t>(sizeof(int64_t) + sizeof(T)));
    int64_t* places = reinterpret_cast<int64_t*>(scratch);
    T* weights = reinterpret_cast<T*>(places + total);
    for (int64_t i = 0, at = 0; i < out.width; ++i)
      for (int64_t r = y * h.taps; r < (y + 1) * h.taps; ++r)
        for (int64_t s = i * w.taps; s < (i + 1) * w.taps; ++s, ++at) {
          places[at] = h.places[r] * x.sh + w.places[s] * x.sw;
          weights[at] = h.weights[r] * w.weights[s];
        }
    kernels.resample({.pixels = out.width,
                      .channels = x.channels,
                      .taps = taps,
                      .src = from,
                      .places = places,
                      .weights = weights,
                      .out = to,
                      .out_stride = out.sw});
  }

  // `first`: no row of the plane was done by this call yet.
  void channels_first(int64_t plane, int64_t y, bool same, bool first) const {
    const int64_t n = plane / x.channels, c = plane % x.channels;
    T* to = out.data + (n * out.sn + c * out.sc + y * out.sh);
    if (same) {
      std::copy_n(to - out.sh, out.width, to);
      return;
    }
    const T* from = x.data + (n * x.sn + c * x.sc);
    if (copies)
      repeat_row(from + h.places[y] * x.sh, to);
    else if (x.height < out.height)
      wide_rows_first(from, y, first, to);
    else
      high_columns_first(from, y, to);
  }

  // Each row of the image is made as wide as the output once and serves several rows of it, which are sums of
  // whole vectors: 40x40 -> 320x320, 21 channels, takes 0.5 ms, the other way 1.7 (AVX-512).
  void wide_rows_first(const T* from, int64_t y, bool first, T* to) const {
    constexpr int64_t kMostTaps = 4;
    const int64_t step = odd_lines<T>(out.width), taps = h.taps;
    std::byte* scratch = thread_scratch(taps * step * static_cast<int64_t>(sizeof(T)));
    T* kept = reinterpret_cast<T*>(scratch);
    // Row p of the image is kept at p % taps: an output's are consecutive, but for those at the edges.
    const int64_t* places = h.places.data() + y * taps;
    int64_t at[kMostTaps];
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t place = places[t];
      at[t] = place % taps * step;
      const int64_t* before = places - taps;
      if ((!first && std::find(before, places, place) != places) ||
          std::find(places, places + t, place) != places + t)
        continue;
      kernels.resample({.pixels = out.width,
                        .channels = 1,
                        .taps = w.taps,
                        .src = from + place * x.sh,
                        .places = w.places.data(),
                        .weights = w.weights.data(),
                        .out = kept + at[t],
                        .out_stride = 1});
    }
    kernels.resample({.pixels = 1,
                      .channels = out.width,
                      .taps = taps,
                      .src = kept,
                      .places = at,
                      .weights = h.weights.data() + y * taps,
                      .out = to,
                      .out_stride = 0});
  }

  // A row of the output's height first, whole vectors of it, which is then made as wide.
  void high_columns_first(const T* from, int64_t y, T* to) const {
    std::byte* scratch = thread_scratch(x.width * static_cast<int64_t>(sizeof(T)));
    T* row = reinterpret_cast<T*>(scratch);
    int64_t places[4];
    for (int64_t t = 0; t < h.taps; ++t) places[t] = h.places[y * h.taps + t] * x.sh;
    kernels.resample({.pixels = 1,
                      .channels = x.width,
                      .taps = h.taps,
                      .src = from,
                      .places = places,
                      .weights = h.weights.data() + y * h.taps,
                      .out = row,
                      .out_stride = 0});
    kernels.resample({.pixels = out.width,
                      .channels = 1,
                      .taps = w.taps,
                      .src = row,
                      .places = w.places.data(),
                      .weights = w.weights.data(),
                      .out = to,
                      .out_stride = 1});
  }

  void repeat_row(const T* from, T* to) const {
    if (repeats == 1) {
      std::copy_n(from, out.width, to);
    } else if (repeats == 2) {
      for (int64_t i = 0; i < x.width; ++i) to[2 * i] = to[2 * i + 1] = from[i];
    } else if (repeats > 2) {
      for (int64_t i = 0; i < x.width; ++i)
        for (int64_t k = 0; k < repeats; ++k) *to++ = from[i];
    } else {
      for (int64_t i = 0; i < out.width; ++i) to[i] = from[w.places[i]];
    }
  }

  // Any strides.
  void plain(int64_t n, int64_t y) const {
    for (int64_t c = 0; c < x.channels; ++c)
      for (int64_t i = 0; i < out.width; ++i) {
        T sum = 0;
        for (int64_t r = y * h.taps; r < (y + 1) * h.taps; ++r)
          for (int64_t s = i * w.taps; s < (i + 1) * w.taps; ++s) {
            const T value = x.data[n * x.sn + c * x.sc + h.places[r] * x.sh + w.places[s] * x.sw];
            if (copies)
              sum = value;
            else
              sum += h.weights[r] * w.weights[s] * value;
          }
        out.data[n * out.sn + c * out.sc + y * out.sh + i * out.sw] = sum;
      }
  }

  void run(int threads) const {
    if (x.sc == 1 && out.sc == 1 && x.channels > 1)
      rows(x.batch, threads, [&](int64_t n, int64_t y, bool same, bool) { channels_last(n, y, same); });
    else if ((x.sw == 1 || x.width == 1) && (out.sw == 1 || out.width == 1))
      rows(x.batch * x.channels, threads,
           [&](int64_t plane, int64_t y, bool same, bool first) { channels_first(plane, y, same, first); });
    else
      rows(x.batch, threads, [&](int64_t n, int64_t y, bool, bool) { plain(n, y); });
  }
};

}  // namespace

template <class T>
void resize(const ResizeSpec& spec, const ImageView<const T>& x, const ImageView<T>& out,
            const Kernels<T>& kernels, int threads) {
  if (out.empty()) return;
  if (x.height == 0 || x.width == 0) fail("resize: x has no pixels (", x.height, " x ", x.width, ")");
  Resizing<T> resizing{x,
                       out,
                       kernels,
                       make_taps<T>(spec, spec.scale_h, x.height, out.height),
                       make_taps<T>(spec, spec.scale_w, x.width, out.width),
                       spec.mode == ResizeMode::kNearest};
  if (resizing.copies && out.width % x.width == 0) {
    resizing.repeats = out.width / x.width;
    for (int64_t i = 0; i < out.width; ++i)
      if (resizing.w.places[i] != i / (out.width / x.width)) resizing.repeats = 0;
  }
  const int64_t worth = out.batch * out.channels * out.height * out.width / kElementsPerThread;
  resizing.run(static_cast<int>(std::clamp<int64_t>(worth, 1, threads)));
}

template void resize(const ResizeSpec&, const ImageView<const float>&, const ImageView<float>&,
                     const Kernels<float>&, int);
template void resize(const ResizeSpec&, const ImageView<const double>&, const ImageView<double>&,
                     const Kernels<double>&, int);

}  // namespace onebyone
