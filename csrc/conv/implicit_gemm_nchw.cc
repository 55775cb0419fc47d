// implicit_gemm_nchw.cc - convolution as a GEMM over channels-first images. Called through conv2d.cc; calls
// Kernels::pack and Kernels::gemm.
//
//   C[oc][pixel] = sum over taps and channels of A[oc][tap, channel] * B[tap, channel][pixel]
//
// A is the weights, read in place. B is the image, packed through the taps into panels of nr pixels for one
// cache block at a time: im2col that never leaves the cache. A 1x1 convolution of any stride is one tap.
// Knows cache blocks and tasks. Does not know SIMD or Python.
#include <algorithm>

#include "conv/algorithm.h"
#include "conv/packing.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

template <class T>
class ImplicitGemmNchw final : public ConvAlgorithm<T> {
 public:
  ImplicitGemmNchw(const ConvProblem& problem, const ConvPlan& plan, const Kernels<T>& kernels,
                   const ConvWeights<T>& weights)
      : g_(problem.geometry),
        plan_(plan),
        kernels_(kernels),
        activation_(problem.activation),
        depth_(g_.taps() * g_.group_ic()),
        blocks_(split_k(g_.taps(), g_.group_ic(), plan.kc)),
        weight_(pack_weight_rows(g_, weights.weight)),
        bias_(pack_bias(g_, weights, 1)),
        rows_(g_.oc) {
    for (int64_t oc = 0; oc < g_.oc; ++oc) rows_[oc] = weight_.data() + oc * depth_;
  }

  // Per pixel of a block: its packed products, its place, its offset.
  int64_t scratch_bytes() const override {
    return plan_.nc * static_cast<int64_t>(plan_.kc * sizeof(T) + sizeof(Pixel) + sizeof(int64_t)) +
           3 * kCacheLine;
  }

  void run(const ImageView<const T>& x, const T* residual, T* out, int threads) const override {
    const int64_t row_units = g_.groups * ceil_div(g_.group_oc(), plan_.mr);
    const int64_t column_units = g_.batch * ceil_div(g_.out_pixels(), plan_.nr);
    if (row_units == 0 || column_units == 0) return;
    // Pixels are the first choice to split: output channels that are split pack the same pixels twice.
    const TaskGrid grid = split_tasks(column_units, row_units, threads);
    parallel_for(grid.rows * grid.columns, threads, [&](int64_t task) {
      const int64_t c = task / grid.columns, r = task % grid.columns;
      run_task({x, residual, out}, part_begin(row_units, grid.columns, r),
               part_begin(row_units, grid.columns, r + 1), part_begin(column_units, grid.rows, c),
               part_begin(column_units, grid.rows, c + 1));
    });
  }

 private:
  struct Tensors {
    const ImageView<const T>& x;
    const T* residual;
    T* out;
  };
  struct Pixel {
    int64_t offset;  // of the window's first tap, in one image's channel
    int64_t y, x;
    bool exists;  // false past the end of the image, in its last panel
  };

  // Row tiles [tile_begin, tile_end), counted through all groups, x pixel panels [panel_begin, panel_end),
  // counted through all images.
  void run_task(const Tensors& t, int64_t tile_begin, int64_t tile_end, int64_t panel_begin,
                int64_t panel_end) const {
    const int64_t nr = plan_.nr, image_panels = ceil_div(g_.out_pixels(), nr), max_panels = plan_.nc / nr;
    std::byte* scratch = thread_scratch(scratch_bytes());
    const auto take = [&](int64_t bytes) {
      return std::exchange(scratch, scratch + round_up(bytes, kCacheLine));
    };
    T* packed = reinterpret_cast<T*>(take(plan_.nc * plan_.kc * sizeof(T)));
    Pixel* pixels = reinterpret_cast<Pixel*>(take(plan_.nc * sizeof(Pixel)));
    int64_t* lanes = reinterpret_cast<int64_t*>(take(plan_.nc * sizeof(int64_t)));

    while (panel_begin < panel_end) {
      const int64_t image = panel_begin / image_panels, first = panel_begin % image_panels;
      const int64_t in_image = std::min(image_panels - first, panel_end - panel_begin);
      const int64_t blocks = ceil_div(in_image, max_panels);
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = first + part_begin(in_image, blocks, b);
        const int64_t panels = first + part_begin(in_image, blocks, b + 1) - begin;
        run_pixels(t, image, begin * nr, panels, tile_begin, tile_end, pixels, lanes, packed);
      }
      panel_begin += in_image;
    }
  }

  // One cache block of pixels of one image, for all row tiles of the task.
  void run_pixels(const Tensors& t, int64_t image, int64_t pixel, int64_t panels, int64_t tile_begin,
                  int64_t tile_end, Pixel* pixels, int64_t* lanes, T* packed) const {
    const int64_t columns = std::min(panels * plan_.nr, g_.out_pixels() - pixel);
    const int64_t group_tiles = ceil_div(g_.group_oc(), plan_.mr);
    locate_pixels(t.x, pixel, panels * plan_.nr, pixels);
    for (int64_t tile = tile_begin; tile < tile_end;) {
      const int64_t group = tile / group_tiles, local = tile % group_tiles;
      const int64_t tiles = std::min(group_tiles - local, tile_end - tile);
      const int64_t row_end = std::min(g_.group_oc(), (local + tiles) * plan_.mr);
      for (const KBlock& block : blocks_) {
        pack(t.x, image, group, block, panels, pixels, lanes, packed);
        // Rows by blocks that stay in L2 while the panels pass.
        for (int64_t row = local * plan_.mr; row < row_end; row += plan_.mc) {
          const int64_t oc = group * g_.group_oc() + row;
          const int64_t offset = (image * g_.oc + oc) * g_.out_pixels() + pixel;
          Epilogue<T> epilogue;
          epilogue.activation = activation_;
          if (bias_.size()) epilogue.bias_m = bias_.data() + oc;
          if (t.residual) epilogue.residual = t.residual + offset;
          kernels_.gemm({.m = std::min(plan_.mc, row_end - row),
                         .n = columns,
                         .taps = 1,
                         .kc = block.taps * block.channels,
                         .a_rows = rows_.data() + oc,
                         .a_tap_stride = 0,
                         .a_offset = block.tap * g_.group_ic() + block.channel,
                         .b = packed,
                         .b_panel_stride = block.taps * block.channels * plan_.nr,
                         .c = t.out + offset,
                         .ldc = g_.out_pixels(),
                         .accumulate = &block != &blocks_.front(),
                         .epilogue = &block == &blocks_.back() ? &epilogue : nullptr});
        }
      }
      tile += tiles;
    }
  }

  void locate_pixels(const ImageView<const T>& x, int64_t first, int64_t count, Pixel* pixels) const {
    int64_t ox = first % g_.ow, oy = first / g_.ow;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t iy = oy * g_.stride.h - g_.pad.top, ix = ox * g_.stride.w - g_.pad.left;
      pixels[i] = {iy * x.sh + ix * x.sw, iy, ix, oy < g_.oh};
      if (++ox == g_.ow) ox = 0, ++oy;
    }
  }

  void pack(const ImageView<const T>& x, int64_t image, int64_t group, const KBlock& block, int64_t panels,
            const Pixel* pixels, int64_t* lanes, T* packed) const {
    const auto [low, high] = x.extent();
    for (int64_t tap = 0; tap < block.taps; ++tap) {
      const int64_t dy = (block.tap + tap) / g_.kw * g_.dilation.h,
                    dx = (block.tap + tap) % g_.kw * g_.dilation.w;
      const int64_t offset = dy * x.sh + dx * x.sw;
      for (int64_t i = 0; i < panels * plan_.nr; ++i) {
        const Pixel& p = pixels[i];
        const bool inside = p.exists && static_cast<uint64_t>(p.y + dy) < static_cast<uint64_t>(g_.ih) &&
                            static_cast<uint64_t>(p.x + dx) < static_cast<uint64_t>(g_.iw);
        lanes[i] = inside ? p.offset + offset : kNoLane;
      }
      kernels_.pack({.panels = panels,
                     .kc = block.channels,
                     .src = x.data + image * x.sn + (group * g_.group_ic() + block.channel) * x.sc,
                     .k_stride = x.sc,
                     .lanes = lanes,
                     .readable_begin = x.data + low,
                     .readable_end = x.data + high,
                     .dst = packed + tap * block.channels * plan_.nr,
                     .panel_stride = block.taps * block.channels * plan_.nr});
    }
  }

  const ConvGeometry g_;
  const ConvPlan plan_;
  const Kernels<T>& kernels_;
  const Activation activation_;
  const int64_t depth_;  // products per output
  const std::vector<KBlock> blocks_;
  const AlignedBuffer<T> weight_, bias_;
  AlignedBuffer<const T*> rows_;
};

}  // namespace

template <class T>
ConvAlgorithmPtr<T> make_implicit_gemm_nchw(const ConvProblem& problem, const ConvPlan& plan,
                                            const Kernels<T>& kernels, const ConvWeights<T>& weights) {
  return std::make_unique<ImplicitGemmNchw<T>>(problem, plan, kernels, weights);
}

template ConvAlgorithmPtr<float> make_implicit_gemm_nchw(const ConvProblem&, const ConvPlan&,
                                                         const Kernels<float>&, const ConvWeights<float>&);
template ConvAlgorithmPtr<double> make_implicit_gemm_nchw(const ConvProblem&, const ConvPlan&,
                                                          const Kernels<double>&, const ConvWeights<double>&);

}  // namespace onebyone
