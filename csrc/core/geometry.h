// core/geometry.h - the arithmetic of a 2-D convolution: shapes, padding, taps. A leaf.
// Sizes are 64-bit; what could overflow is checked where it is computed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace onebyone {

enum class Layout { kNchw, kNhwc };

// Farther from an image than any tap may fall: places are computed from kernels, strides and padding without
// further checks.
inline constexpr int64_t kFarthest = int64_t{1} << 40;

struct Pair {
  int64_t h, w;
};

struct Edges {
  int64_t top, bottom, left, right;
};

// As the caller wrote it: explicit sizes, or "valid" / "same".
enum class AutoPadding { kValid, kSame };
using Padding = std::variant<Edges, AutoPadding>;

struct ImageShape {
  int64_t batch, channels, height, width;
};

// One convolution with everything resolved; validated by make_geometry.
struct ConvGeometry {
  int64_t batch, ic, ih, iw;
  int64_t oc, oh, ow;
  int64_t kh, kw;
  Pair stride, dilation;
  Edges pad;
  int64_t groups;

  int64_t taps() const { return kh * kw; }
  int64_t group_ic() const { return groups ? ic / groups : 0; }
  int64_t group_oc() const { return groups ? oc / groups : 0; }
  int64_t out_pixels() const { return oh * ow; }
  // Multiplications (each with its addition), padding included: the usual count.
  int64_t macs() const { return batch * out_pixels() * oc * taps() * group_ic(); }
};

// Checks and resolves. `op` is the caller's name for messages. `x_channel_axis` and `layout_name` name where
// the channels of x were found. Throws std::invalid_argument naming the argument, the values and the cure.
ConvGeometry make_geometry(const std::string& op, const ImageShape& x, const std::array<int64_t, 4>& weight,
                           Pair stride, const Padding& padding, Pair dilation, int64_t groups,
                           const std::string& channels_from);

}  // namespace onebyone
