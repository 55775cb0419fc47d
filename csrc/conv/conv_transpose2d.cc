#include "conv/conv_transpose2d.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/check.h"
#include "core/int_math.h"
#include "core/parallel.h"
#include "cpu/isa.h"

namespace onebyone {
namespace {

// Along one axis, the phases whose convolutions are alike but for the taps they take: output j * stride + p
// of phase p is the sum over t < taps of x[j - before + t * dilation] * w[last_tap(p) - t * tap_step], where
// x is the image without `crop` pixels at its beginning, cut to `in`.
struct PhaseClass {
  int64_t taps, tap_step, dilation, before, after, crop, in, out;
  std::vector<int64_t> phases, last_tap;

  bool alike(const PhaseClass& other) const {
    return taps == other.taps && before == other.before && after == other.after && crop == other.crop &&
           in == other.in && out == other.out;
  }
};

struct Axis {
  int64_t in, kernel, stride, dilation, before, out;
};

// Phase p alone; no taps if none of them meets the image.
PhaseClass one_phase(const Axis& a, int64_t p) {
  const int64_t common = std::gcd(a.stride, a.dilation);
  PhaseClass phase{.taps = 0,
                   .tap_step = a.stride / common,
                   .dilation = a.dilation / common,
                   .before = 0,
                   .after = 0,
                   .crop = 0,
                   .in = a.in,
                   .out = ceil_div(a.out - p, a.stride),
                   .phases = {p},
                   .last_tap = {}};
  int64_t tap = 0;
  while (tap < a.kernel && tap < phase.tap_step && (p + a.before - tap * a.dilation) % a.stride != 0) ++tap;
  if (tap >= a.kernel || tap >= phase.tap_step) return phase;
  phase.taps = (a.kernel - 1 - tap) / phase.tap_step + 1;
  phase.last_tap = {tap + (phase.taps - 1) * phase.tap_step};
  phase.before = (phase.last_tap[0] * a.dilation - p - a.before) / a.stride;
  phase.after = phase.out - phase.before + (phase.taps - 1) * phase.dilation - a.in;
  if (phase.before < 0) {
    phase.crop = -phase.before;
    phase.in -= phase.crop;
    phase.before = 0;
  }
  if (phase.after < 0) {
    phase.in += phase.after;
    phase.after = 0;
  }
  if (phase.in <= 0) phase.taps = 0;
  return phase;
}

// The phases with taps, those alike together; `all` is false if there are others.
std::vector<PhaseClass> phase_classes(const Axis& a, bool& all) {
  std::vector<PhaseClass> classes;
  for (int64_t p = 0; p < std::min(a.stride, a.out); ++p) {
    PhaseClass phase = one_phase(a, p);
    if (phase.taps == 0) {
      all = false;
      continue;
    }
    const auto same =
        std::find_if(classes.begin(), classes.end(), [&](const PhaseClass& c) { return c.alike(phase); });
    if (same == classes.end()) {
      classes.push_back(std::move(phase));
    } else {
      same->phases.push_back(p);
      same->last_tap.push_back(phase.last_tap[0]);
    }
  }
  return classes;
}

int64_t output_axis(const std::string& op, const char* axis, int64_t in, int64_t kernel, int64_t stride,
                    int64_t dilation, int64_t before, int64_t after, int64_t output_padding) {
  if (stride < 1) fail(op, ": stride must be at least 1, got ", stride, " (", axis, ")");
  if (dilation < 1) fail(op, ": dilation must be at least 1, got ", dilation, " (", axis, ")");
  if (kernel < 1) fail(op, ": weight's kernel must be at least 1x1, got ", axis, " ", kernel);
  if (before < 0 || after < 0)
    fail(op, ": padding must not be negative, got (", before, ", ", after, ") in ", axis,
         "; output_padding adds to the output");
  if (output_padding < 0 || output_padding >= std::max(stride, dilation))
    fail(op, ": output_padding must be less than stride or dilation, got ", output_padding, " with stride ",
         stride, " and dilation ", dilation, " (", axis, ")");
  if (in < 1) fail(op, ": x has no pixels (", axis, " 0)");
  const int64_t extent =
      checked_add(checked_mul(kernel - 1, dilation, "dilated kernel"), 1, "dilated kernel");
  const int64_t whole = checked_add(checked_mul(in - 1, stride, "output"), extent, "output");
  if (std::max({whole, before, after, stride, dilation}) > kFarthest)
    fail(op, ": the output, padding, stride or dilation is too large in ", axis, "; at most ", kFarthest);
  const int64_t out = whole + output_padding - before - after;
  if (out < 1)
    fail(op, ": padding (", before, ", ", after, ") leaves nothing of the output's ", axis, " ",
         whole + output_padding, "; use less padding");
  return out;
}

}  // namespace

ImageShape conv_transpose_output(const ConvTransposeSpec& spec, const std::array<int64_t, 4>& weight) {
  const std::string& op = spec.op;
  const auto [ic, group_oc, kh, kw] = weight;
  if (spec.groups < 1) fail(op, ": groups must be at least 1, got ", spec.groups);
  if (ic != spec.x.channels)
    fail(op, ": weight expects ", ic, " input channels (weight.shape[0]), x has ", spec.x.channels, " (",
         spec.channels_from, ")");
  if (ic % spec.groups != 0)
    fail(op, ": groups ", spec.groups, " does not divide weight's ", ic, " input channels (weight.shape[0])");
  const ImageShape out{spec.x.batch, checked_mul(group_oc, spec.groups, "output"),
                       output_axis(op, "height", spec.x.height, kh, spec.stride.h, spec.dilation.h,
                                   spec.padding.top, spec.padding.bottom, spec.output_padding.h),
                       output_axis(op, "width", spec.x.width, kw, spec.stride.w, spec.dilation.w,
                                   spec.padding.left, spec.padding.right, spec.output_padding.w)};
  const int64_t pixels = checked_mul(checked_mul(out.batch, out.height, "output"), out.width, "output");
  checked_mul(checked_mul(pixels, out.channels, "output"), 2 * static_cast<int64_t>(sizeof(double)),
              "output");
  return out;
}

template <class T>
struct ConvTranspose2d<T>::Impl {
  // The phases of a class along each axis: one convolution with an output channel for each phase and channel,
  // ordered [group][phase down][phase across][channel of the group].
  struct Part {
    PhaseClass h, w;
    Conv2d<T> conv;
  };

  ConvTransposeSpec spec;
  ImageShape out;
  const Kernels<T>& kernels;
  std::vector<T> bias;  // one value per output channel
  std::vector<Part> parts;
  bool covered = true;  // the parts write every output

  Impl(const ConvTransposeSpec& given, const ConvWeights<T>& weights, const KernelTable& table)
      : spec(given), kernels(kernels_of<T>(table)) {
    const ImageView<const T>& w = weights.weight;
    out = conv_transpose_output(spec, {w.batch, w.channels, w.height, w.width});
    for (int64_t c = 0; c < out.channels; ++c)
      bias.push_back(weights.bias ? weights.bias[c * weights.bias_stride] : T(0));
    const Axis h{spec.x.height, w.height, spec.stride.h, spec.dilation.h, spec.padding.top, out.height};
    const Axis v{spec.x.width, w.width, spec.stride.w, spec.dilation.w, spec.padding.left, out.width};
    const std::vector<PhaseClass> down = phase_classes(h, covered), across = phase_classes(v, covered);
    for (const PhaseClass& a : down)
      for (const PhaseClass& b : across) parts.push_back({a, b, make_conv(a, b, weights, table)});
  }

  Conv2d<T> make_conv(const PhaseClass& h, const PhaseClass& w, const ConvWeights<T>& weights,
                      const KernelTable& table) const {
    const ImageView<const T>& src = weights.weight;
    const int64_t groups = spec.groups, group_oc = src.channels, group_ic = src.batch / groups;
    const int64_t down = std::ssize(h.phases), across = std::ssize(w.phases);
    const int64_t oc = groups * down * across * group_oc;
    std::vector<T> weight, channel_bias;
    weight.reserve(oc * group_ic * h.taps * w.taps);
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t a = 0; a < down; ++a)
        for (int64_t b = 0; b < across; ++b)
          for (int64_t j = 0; j < group_oc; ++j) {
            channel_bias.push_back(bias[g * group_oc + j]);
            for (int64_t c = 0; c < group_ic; ++c)
              for (int64_t r = 0; r < h.taps; ++r)
                for (int64_t s = 0; s < w.taps; ++s)
                  weight.push_back(src.data[(g * group_ic + c) * src.sn + j * src.sc +
                                            (h.last_tap[a] - r * h.tap_step) * src.sh +
                                            (w.last_tap[b] - s * w.tap_step) * src.sw]);
          }
    const int64_t taps = h.taps * w.taps;
    return Conv2d<T>({.op = spec.op,
                      .x = {spec.x.batch, spec.x.channels, h.in, w.in},
                      .layout = spec.layout,
                      .channels_from = spec.channels_from,
                      .padding = Edges{h.before, h.after, w.before, w.after},
                      .dilation = {h.dilation, w.dilation},
                      .groups = groups,
                      .activation = spec.activation,
                      .exact = spec.exact},
                     {{weight.data(), oc, group_ic, h.taps, w.taps, group_ic * taps, taps, w.taps, 1},
                      weights.bias ? channel_bias.data() : nullptr,
                      1},
                     table);
  }

  // A convolution that is the output as it stands.
  bool direct() const { return parts.size() == 1 && covered && spec.stride.h == 1 && spec.stride.w == 1; }

  int64_t part_elements(const Part& part) const {
    const ConvGeometry& g = part.conv.geometry();
    return g.batch * g.oc * g.out_pixels();
  }

  // Rows of every image's channel-first planes or channel-last pixels of `part`, put where they belong.
  void interleave(const Part& part, const T* src, T* dst, int threads) const {
    const ConvGeometry& g = part.conv.geometry();
    if (spec.layout == Layout::kNchw) {
      parallel_for(g.batch * out.channels, threads, [&](int64_t plane) { planes(part, src, dst, plane); });
    } else {
      parallel_for(g.batch * g.oh, threads, [&](int64_t row) { pixels(part, src, dst, row); });
    }
  }

  // Plane `plane` of the output, counted through all images, from those of its phases.
  void planes(const Part& part, const T* src, T* dst, int64_t plane) const {
    const ConvGeometry& g = part.conv.geometry();
    const int64_t group_oc = out.channels / spec.groups, sw = spec.stride.w;
    const int64_t n = plane / out.channels, group = plane % out.channels / group_oc, j = plane % group_oc;
    const int64_t down = std::ssize(part.h.phases), across = std::ssize(part.w.phases);
    const auto source = [&](int64_t a, int64_t b, int64_t y) {
      const int64_t channel = ((group * down + a) * across + b) * group_oc + j;
      return src + (((n * g.oc + channel) * g.oh + y) * g.ow);
    };
    for (int64_t y = 0; y < g.oh; ++y)
      for (int64_t a = 0; a < down; ++a) {
        T* to = dst + ((plane * out.height + y * spec.stride.h + part.h.phases[a]) * out.width);
        if (sw == 2 && across == 2) {
          // Two rows zipped into one: whole vectors, where a loop over one of them is an element at a time.
          const T *even = source(a, 0, y), *odd = source(a, 1, y);
          for (int64_t i = 0; i < g.ow; ++i) {
            to[2 * i] = even[i];
            to[2 * i + 1] = odd[i];
          }
          continue;
        }
        for (int64_t b = 0; b < across; ++b) {
          const T* from = source(a, b, y);
          for (int64_t i = 0; i < g.ow; ++i) to[i * sw + part.w.phases[b]] = from[i];
        }
      }
  }

  // Row `row` of the phases' pixels, counted through all images. The channels of all phases across are
  // neighbouring pixels of the output if there is one group and no phase is missing.
  void pixels(const Part& part, const T* src, T* dst, int64_t row) const {
    const ConvGeometry& g = part.conv.geometry();
    const int64_t down = std::ssize(part.h.phases), across = std::ssize(part.w.phases);
    const bool whole = spec.groups == 1 && across == spec.stride.w;
    const int64_t run = whole ? across * out.channels : out.channels / spec.groups;
    const int64_t n = row / g.oh, y = row % g.oh;
    for (int64_t a = 0; a < down; ++a) {
      T* to = dst + (n * out.height + y * spec.stride.h + part.h.phases[a]) * out.width * out.channels;
      for (int64_t i = 0; i < g.ow; ++i) {
        const T* from = src + (row * g.ow + i) * g.oc + a * run * (whole ? 1 : across);
        if (whole && run == 2) {  // 2x2 to one channel, a network's last layer: no call for two elements
          to[2 * i] = from[0];
          to[2 * i + 1] = from[1];
          continue;
        }
        if (whole) {
          std::copy_n(from, run, to + i * run);
          continue;
        }
        for (int64_t group = 0; group < spec.groups; ++group)
          for (int64_t b = 0; b < across; ++b)
            std::copy_n(from + (group * down * across + b) * run, run,
                        to + (i * spec.stride.w + part.w.phases[b]) * out.channels + group * run);
      }
    }
  }

  // activation(bias), for the outputs that no tap meets.
  void fill(T* dst, int threads) const {
    std::vector<T> value(bias);
    kernels.activate(spec.activation, value.data(), value.data(), out.channels);
    const int64_t pixels = out.height * out.width;
    if (spec.layout == Layout::kNchw) {
      parallel_for(out.batch * out.channels, threads, [&](int64_t plane) {
        std::fill_n(dst + plane * pixels, pixels, value[plane % out.channels]);
      });
    } else {
      parallel_for(out.batch * pixels, threads, [&](int64_t pixel) {
        std::copy_n(value.data(), out.channels, dst + pixel * out.channels);
      });
    }
  }
};

template <class T>
ConvTranspose2d<T>::ConvTranspose2d(const ConvTransposeSpec& spec, const ConvWeights<T>& weights,
                                    const KernelTable& kernels)
    : impl_(std::make_unique<Impl>(spec, weights, kernels)) {}
template <class T>
ConvTranspose2d<T>::~ConvTranspose2d() = default;

template <class T>
const ImageShape& ConvTranspose2d<T>::output_shape() const {
  return impl_->out;
}

template <class T>
void ConvTranspose2d<T>::run(const ImageView<const T>& x, T* out, int threads) const {
  const ImageShape& shape = impl_->out;
  if (shape.batch == 0 || shape.channels == 0) return;
  if (!impl_->covered) impl_->fill(out, threads);
  int64_t elements = 0;
  if (!impl_->direct())
    for (const auto& part : impl_->parts) elements = std::max(elements, impl_->part_elements(part));
  AlignedBuffer<T> buffer(elements);
  for (const auto& part : impl_->parts) {
    ImageView<const T> view = x;
    if (!x.empty()) view.data += part.h.crop * x.sh + part.w.crop * x.sw;
    view.height = part.h.in;
    view.width = part.w.in;
    part.conv.run(view, nullptr, impl_->direct() ? out : buffer.data(), threads);
    if (!impl_->direct()) impl_->interleave(part, buffer.data(), out, threads);
  }
}

template <class T>
int64_t ConvTranspose2d<T>::workspace_bytes(int threads) const {
  int64_t elements = 0, scratch = 0;
  for (const auto& part : impl_->parts) {
    elements = std::max(elements, impl_->direct() ? 0 : impl_->part_elements(part));
    scratch = std::max(scratch, part.conv.workspace_bytes(threads));
  }
  return elements * static_cast<int64_t>(sizeof(T)) + scratch;
}

template <class T>
std::string ConvTranspose2d<T>::describe(int threads) const {
  std::string text = concat("conv_transpose x", impl_->spec.stride.h, "x", impl_->spec.stride.w, ": ");
  for (const auto& part : impl_->parts)
    text += concat(&part == impl_->parts.data() ? "" : "; ", part.conv.describe(threads));
  return text;
}

template class ConvTranspose2d<float>;
template class ConvTranspose2d<double>;

}  // namespace onebyone
