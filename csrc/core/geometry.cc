#include "core/geometry.h"

#include <algorithm>

#include "core/check.h"
#include "core/int_math.h"

namespace onebyone {
namespace {

std::string pair_text(int64_t h, int64_t w) { return concat("(", h, ", ", w, ")"); }

void check_positive(const std::string& op, const char* name, Pair v) {
  if (v.h < 1 || v.w < 1) fail(op, ": ", name, " must be at least 1, got ", pair_text(v.h, v.w));
}

// Extent of a dilated kernel: (k - 1) * dilation + 1.
int64_t kernel_extent(int64_t k, int64_t dilation) {
  return checked_add(checked_mul(k - 1, dilation, "dilated kernel"), 1, "dilated kernel");
}

struct Axis {
  int64_t before, after, out;
};

// One spatial axis: its padding and output size. "same" puts the odd row or column at the end.
Axis resolve_axis(const std::string& op, const char* axis, int64_t in, int64_t k, int64_t stride,
                  int64_t dilation, const Padding& padding, int64_t before, int64_t after) {
  const int64_t extent = kernel_extent(k, dilation);
  if (std::max({extent, before, after, stride}) > kFarthest)
    fail(op, ": padding (", before, ", ", after, "), stride ", stride, " or dilated kernel ", extent,
         " is too large in ", axis, "; at most ", kFarthest);
  if (const auto* automatic = std::get_if<AutoPadding>(&padding)) {
    before = after = 0;
    if (*automatic == AutoPadding::kSame && in > 0) {
      const int64_t out = ceil_div(in, stride);
      const int64_t needed = checked_add(checked_mul(out - 1, stride, "padding"), extent, "padding") - in;
      if (needed > 0) {
        before = needed / 2;
        after = needed - before;
      }
      return {before, after, out};
    }
  }
  const int64_t padded = checked_add(checked_add(in, before, "padding"), after, "padding");
  if (padded < extent) {
    if (in == 0) return {before, after, 0};
    fail(op, ": weight's kernel (", axis, " ", k, ", ", extent, " with dilation ", dilation,
         ") is larger than x with its padding (", axis, " ", padded, " = ", before, " + ", in, " + ", after,
         "); use more padding or a smaller kernel");
  }
  return {before, after, (padded - extent) / stride + 1};
}

}  // namespace

ConvGeometry make_geometry(const std::string& op, const ImageShape& x, const std::array<int64_t, 4>& weight,
                           Pair stride, const Padding& padding, Pair dilation, int64_t groups,
                           const std::string& channels_from) {
  const auto [oc, weight_ic, kh, kw] = weight;
  check_positive(op, "stride", stride);
  check_positive(op, "dilation", dilation);
  if (groups < 1) fail(op, ": groups must be at least 1, got ", groups);
  if (kh < 1 || kw < 1)
    fail(op, ": weight's kernel must be at least 1x1, got ", kh, "x", kw, " (weight.shape[2:])");
  if (oc % groups != 0)
    fail(op, ": groups ", groups, " does not divide weight's ", oc, " output channels (weight.shape[0])");
  if (x.channels % groups != 0)
    fail(op, ": groups ", groups, " does not divide x's ", x.channels, " channels (", channels_from, ")");
  const int64_t expected = checked_mul(weight_ic, groups, "weight");
  if (expected != x.channels)
    fail(op, ": weight expects ", expected, " input channels (weight.shape[1] ", weight_ic, " x groups ",
         groups, "), x has ", x.channels, " (", channels_from, ")");

  Edges pad{0, 0, 0, 0};
  if (const Edges* edges = std::get_if<Edges>(&padding)) {
    pad = *edges;
    if (pad.top < 0 || pad.bottom < 0 || pad.left < 0 || pad.right < 0)
      fail(op, ": padding must not be negative, got (", pair_text(pad.top, pad.bottom), ", ",
           pair_text(pad.left, pad.right), "); slice x to crop it");
  }
  const Axis h = resolve_axis(op, "height", x.height, kh, stride.h, dilation.h, padding, pad.top, pad.bottom);
  const Axis w = resolve_axis(op, "width", x.width, kw, stride.w, dilation.w, padding, pad.left, pad.right);

  ConvGeometry g{.batch = x.batch,
                 .ic = x.channels,
                 .ih = x.height,
                 .iw = x.width,
                 .oc = oc,
                 .oh = h.out,
                 .ow = w.out,
                 .kh = kh,
                 .kw = kw,
                 .stride = stride,
                 .dilation = dilation,
                 .pad = {h.before, h.after, w.before, w.after},
                 .groups = groups};
  // Everything later is computed from these products without further checks.
  const int64_t pixels = checked_mul(checked_mul(g.batch, g.oh, "output"), g.ow, "output");
  const int64_t outputs = checked_mul(pixels, g.oc, "output");
  checked_mul(outputs, 2 * static_cast<int64_t>(sizeof(double)), "output");
  const int64_t depth = checked_mul(checked_mul(kh, kw, "weight"), weight_ic, "weight");
  checked_mul(checked_mul(outputs, depth, "convolution"), 2, "convolution");
  return g;
}

}  // namespace onebyone
