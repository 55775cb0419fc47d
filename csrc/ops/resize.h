// ops/resize.h - images resampled to another height and width, either layout. Called by network/ and
// bindings/; calls KernelTable::resample. The names are ONNX's (operator Resize).
#pragma once

#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

enum class ResizeMode { kNearest, kLinear, kCubic };
enum class ResizeCoordinates { kHalfPixel, kPytorchHalfPixel, kAlignCorners, kAsymmetric };
enum class ResizeNearest { kRoundPreferFloor, kRoundPreferCeil, kFloor, kCeil };

struct ResizeSpec {
  ResizeMode mode = ResizeMode::kNearest;
  ResizeCoordinates coordinates = ResizeCoordinates::kHalfPixel;
  ResizeNearest nearest = ResizeNearest::kRoundPreferFloor;
  double scale_h = 0, scale_w = 0;  // out / x; 0: the ratio of the sizes
  double cubic_a = -0.75;
};

// The same batch and channels in both. Pixels beside the image are those at its edge. Coordinates are
// computed in T, as onnxruntime does for float. Any strides; fast where channels or rows are contiguous in
// both images.
template <class T>
void resize(const ResizeSpec& spec, const ImageView<const T>& x, const ImageView<T>& out,
            const Kernels<T>& kernels, int threads);

}  // namespace onebyone
