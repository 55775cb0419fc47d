// depthwise.cu - groups of few channels, both layouts, all types: a thread sums one output at a time straight
// from x, whose neighbours' reads it shares through L1. Memory sets the pace, not arithmetic. Never run on a
// GPU yet: its logic is checked by emulation (tests/cuda).
#include "epilogue.h"
#include "kernels.h"
#include "tiles.h"
#include "types.h"
#include "window.h"

namespace onebyone::cuda {
namespace {

template <class T, bool kNhwc>
ONEBYONE_DEVICE float product(const Problem& p, int64_t image, int32_t channel, int32_t oy, int32_t ox) {
  const int32_t group = channel / p.group_oc, taps = p.kh * p.kw;
  const Pixel pixel = {image_base<kNhwc>(p, image, group), oy * p.stride_h - p.pad_top,
                       ox * p.stride_w - p.pad_left};
  const T* const weight = static_cast<const T*>(p.weight) + static_cast<int64_t>(channel) * p.k;
  float sum = 0;
  for (int32_t r = 0; r < p.kh; ++r)
    for (int32_t s = 0; s < p.kw; ++s) {
      const int64_t at = source<kNhwc>(p, pixel, {0, r, s});
      if (at < 0) continue;
      const int64_t apart = kNhwc ? 1 : static_cast<int64_t>(p.ih) * p.iw;
      for (int32_t c = 0; c < p.group_ic; ++c)
        sum +=
            to_float(static_cast<const T*>(p.x)[at + c * apart]) * to_float(weight[c * taps + r * p.kw + s]);
    }
  return sum;
}

// A block has kFlatThreads * kFlatRun consecutive outputs. Only its first place needs 64 bits: what follows
// is counted from there, in planes (NCHW) or pixels (NHWC).
template <class T, bool kNhwc>
ONEBYONE_KERNEL(kFlatThreads, 4)
depthwise(const Problem p) {
  const int64_t start = static_cast<int64_t>(blockIdx.x) * (kFlatThreads * kFlatRun);
  const int32_t plane = p.oh * p.ow, inner = kNhwc ? p.oc : plane;
  const int64_t outer = start / inner, outer_count = kNhwc ? plane : p.oc;
  const int64_t image0 = outer / outer_count;
  const uint32_t inner0 = static_cast<uint32_t>(start - outer * inner);
  const uint32_t outer0 = static_cast<uint32_t>(outer - image0 * outer_count);
#pragma unroll 1
  for (uint32_t i = threadIdx.x; i < kFlatThreads * kFlatRun; i += kFlatThreads) {
    if (start + i >= p.y_size) return;
    const uint32_t row = (inner0 + i) / inner, within = inner0 + i - row * inner;
    const uint32_t images = (outer0 + row) / static_cast<uint32_t>(outer_count);
    const uint32_t rest = outer0 + row - images * static_cast<uint32_t>(outer_count);
    const int32_t channel = static_cast<int32_t>(kNhwc ? within : rest);
    const int32_t place = static_cast<int32_t>(kNhwc ? rest : within), oy = place / p.ow;
    float v[1] = {product<T, kNhwc>(p, image0 + images, channel, oy, place - oy * p.ow)};
    write_outputs<T>(p, 0, start + i, 0, channel, 0, 1, v);
  }
}

template <class T>
cudaError_t launch_type(const Plan& plan, const Problem& p, cudaStream_t stream) {
  return launch(p.nhwc ? depthwise<T, true> : depthwise<T, false>, plan.blocks, kFlatThreads, 0, stream, p);
}

}  // namespace

cudaError_t launch_depthwise(const Plan& plan, const Problem& p, cudaStream_t stream) {
  switch (plan.type) {
    case DataType::kFloat32: return launch_type<float>(plan, p, stream);
    case DataType::kFloat16: return launch_type<Float16>(plan, p, stream);
    default: return launch_type<BFloat16>(plan, p, stream);
  }
}

}  // namespace onebyone::cuda
