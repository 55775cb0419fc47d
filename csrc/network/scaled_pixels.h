// network/scaled_pixels.h - what a 1x1 convolution reads where a normalisation or an activation stands before
// it: pixels of an image, scaled, shifted and activated, a block at a time. Used by chain.cc; calls
// KernelTable. Channels last.
#pragma once

#include <string>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"

namespace onebyone {

template <class T>
class ScaledPixels {
 public:
  // activation(x * scale[c] + shift[c]), or activation(x) where both are empty.
  ScaledPixels(const std::vector<double>& scale, const std::vector<double>& shift,
               const Activation& activation, const Kernels<T>& kernels);

  // Pixels [first, first + count) of x, counted through rows and images, pixel first + i at dst + i * step;
  // with the bits of ops/elementwise.h. x has contiguous channels.
  void make(const ImageView<const T>& x, int64_t first, int64_t count, T* dst, int64_t step) const;

  std::string describe() const;

 private:
  struct Run {
    const T* src;
    int64_t src_step, pixels, channels;
    T* dst;
    int64_t dst_step;
  };
  void make(const Run& run) const;

  AlignedBuffer<T> scale_, shift_;
  const Activation activation_;
  const Kernels<T>& kernels_;
};

}  // namespace onebyone
