// bench_winograd - the parts of a Winograd convolution one by one, through the kernel table: the input
// transform, the products and the output transform of a channels-last layer, one thread.
//
//   bench_winograd [--shapes=FILE] [--tile=OUTPUTS] [--benchmark_...]
//
// The plan of algorithm "winograd" gives tiles and blocks; --tile another size of tile. Layers that the
// algorithm or this program does not serve (groups) are left out. Before a part is timed, all three are run
// and the result is compared with the reference; a wrong one is not timed and makes the exit code 1.
// GFLOP/s and shares are those the layer would reach if it consisted of the part alone: the inverse of the
// layer's share is the sum of the parts' inverses. A wrong flag or file: one line, exit code 2.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "conv/conv2d.h"
#include "conv/packing.h"
#include "conv/winograd_tiles.h"
#include "core/aligned_buffer.h"
#include "core/check.h"
#include "core/int_math.h"
#include "cpu/isa.h"
#include "harness.h"
#include "layer_data.h"
#include "layers.h"

namespace onebyone::bench {
namespace {

constexpr int64_t kMaxPoints = 16;  // along a side, more than any tile has

struct Options {
  std::string shapes = ONEBYONE_DEFAULT_LAYERS;
  int tile = 0;  // the plan's
};

ConvPlan plan_of(const BenchLayer& layer, const ConvGeometry& g, int tile) {
  ConvProblem problem;
  problem.geometry = g;
  problem.layout = Layout::kNhwc;
  problem.algorithm = Algorithm::kWinograd;
  ConvPlan plan = make_plan(layer.text, problem, active_kernels());
  const int most_h = largest_winograd_tile(g.kh, g.stride.h),
            most_w = largest_winograd_tile(g.kw, g.stride.w);
  for (const auto& [side, most, taps] :
       {std::tuple(&plan.tile_h, most_h, g.kh), std::tuple(&plan.tile_w, most_w, g.kw)}) {
    if (tile > most) fail("--tile is ", tile, ", the kernels serve ", most, " for ", taps, " taps");
    if (tile > 0) *side = tile;
  }
  return plan;
}

// One layer, prepared. A block of tiles goes through the three parts while the others wait, as in
// winograd.cc, but each part can be run for all blocks by itself: then it works on what was left there.
class Parts {
 public:
  Parts(const BenchLayer& layer, const ConvGeometry& geometry, int tile)
      : kernels_(active_kernels().f32),
        g_(geometry),
        data_(layer),
        plan_(plan_of(layer, g_, tile)),
        tiles_(g_, plan_.tile_h, plan_.tile_w, kernels_.lanes),
        high_(tiles_.high),
        wide_(tiles_.wide),
        filters_(winograd_filters(g_, data_.weights(layer).weight, tiles_, plan_.nr)),
        bias_(pack_bias(g_, data_.weights(layer), plan_.nr)),
        columns_(ceil_div(g_.oc, plan_.nr) * plan_.nr),
        v_row_(tiles_.phases() * round_up(g_.ic, kernels_.lanes)),
        v_point_(odd_lines<float>(plan_.mc * v_row_)),
        m_point_(odd_lines<float>(plan_.mc * columns_)),
        v_(tiles_.points() * v_point_),
        m_(tiles_.points() * m_point_),
        rows_(plan_.mc),
        zeros_(g_.ic),
        out_(data_.expected.size()) {
    // What no tile of a block writes is multiplied too, by the whole products of error().
    std::fill_n(v_.data(), v_.size(), 1.0f);
    for (int64_t i = 0; i < plan_.mc; ++i) rows_[i] = v_.data() + i * v_row_;
  }

  double error() {
    for (int64_t b = 0; b < blocks(); ++b) {
      input(b);
      products(b, true);
      output(b);
    }
    return error_of(out_, data_.expected);
  }

  void all_inputs() {
    for (int64_t b = 0; b < blocks(); ++b) input(b);
  }
  // Of each point, as many rows as there are tiles that have it.
  void all_products() {
    for (int64_t b = 0; b < blocks(); ++b) products(b, false);
  }
  void all_outputs() {
    for (int64_t b = 0; b < blocks(); ++b) output(b);
  }

 private:
  int64_t tiles() const { return g_.batch * high_.tiles() * wide_.tiles(); }
  int64_t blocks() const { return ceil_div(tiles(), plan_.mc); }

  // A tile of a block: its row there, image, first output and outputs.
  struct Tile {
    int64_t row, image, oy, ox;
    int mh, mw, nh, nw;
  };
  template <class Body>
  void for_tiles(int64_t block, const Body& body) const {
    const int64_t begin = part_begin(tiles(), blocks(), block),
                  end = part_begin(tiles(), blocks(), block + 1);
    for (int64_t id = begin; id < end; ++id) {
      const int64_t tx = id % wide_.tiles(), ty = id / wide_.tiles() % high_.tiles();
      body(Tile{id - begin, id / (wide_.tiles() * high_.tiles()), ty * high_.tile, tx * wide_.tile,
                high_.outputs(ty), wide_.outputs(tx), high_.points_of(high_.outputs(ty)),
                wide_.points_of(wide_.outputs(tx))});
    }
  }

  void input(int64_t block) {
    for_tiles(block, [&](const Tile& t) {
      for (int h = 0; h < high_.stride; ++h)
        for (int w = 0; w < wide_.stride; ++w) input_phase(t, h, w);
    });
  }

  void input_phase(const Tile& t, int phase_h, int phase_w) {
    const auto first = [](int64_t at, int64_t stride, int n) {
      return static_cast<int>(std::clamp<int64_t>(ceil_div(at, stride), 0, n));
    };
    const int64_t iy = t.oy * g_.stride.h + phase_h - g_.pad.top;
    const int64_t ix = t.ox * g_.stride.w + phase_w - g_.pad.left, row = g_.iw * g_.ic;
    kernels_.winograd_input({.nh = t.nh,
                             .nw = t.nw,
                             .top = first(-iy, g_.stride.h, t.nh),
                             .bottom = first(g_.ih - iy, g_.stride.h, t.nh),
                             .left = first(-ix, g_.stride.w, t.nw),
                             .right = first(g_.iw - ix, g_.stride.w, t.nw),
                             .infinity_h = phase_h < high_.longer,
                             .infinity_w = phase_w < wide_.longer,
                             .src = data_.x.data() + t.image * g_.ih * row + iy * row + ix * g_.ic,
                             .zeros = zeros_.data(),
                             .src_h = row * g_.stride.h,
                             .src_w = g_.ic * g_.stride.w,
                             .ahead = t.mw * g_.ic * g_.stride.w,
                             .channels = g_.ic,
                             .dst = v_.data() + t.row * v_row_ + tiles_.place(phase_h, phase_w) * tiles_.row,
                             .stride_h = v_point_ * wide_.points(),
                             .stride_w = v_point_});
  }

  void products(int64_t block, bool whole) {
    for (int h = 0; h < high_.points(); ++h)
      for (int w = 0; w < wide_.points(); ++w) {
        const int64_t high = h < high_.edge_points() ? high_.tiles() : high_.full_tiles();
        const int64_t wide = w < wide_.edge_points() ? wide_.tiles() : wide_.full_tiles();
        const int64_t rows = whole ? tiles() : g_.batch * high * wide;
        const int64_t point = h * wide_.points() + w;
        kernels_.gemm({.m = part_begin(rows, blocks(), block + 1) - part_begin(rows, blocks(), block),
                       .n = columns_,
                       .taps = 1,
                       .kc = tiles_.depth(h, w),
                       .a_rows = rows_.data(),
                       .a_tap_stride = 0,
                       .a_offset = point * v_point_ + tiles_.first_place(w) * tiles_.row,
                       .b = filters_.data() + tiles_.filter_row(h, w) * plan_.nr,
                       .b_panel_stride = tiles_.filter_rows() * plan_.nr,
                       .c = m_.data() + point * m_point_,
                       .ldc = columns_,
                       .addend = nullptr,
                       .ld_addend = 0,
                       .rows_outside = false,
                       .epilogue = nullptr});
      }
  }

  void output(int64_t block) {
    Epilogue<float> epilogue;
    epilogue.bias_n = bias_.data();
    for_tiles(block, [&](const Tile& t) {
      kernels_.winograd_output({.mh = t.mh,
                                .mw = t.mw,
                                .nh = t.nh,
                                .nw = t.nw,
                                .src = m_.data() + t.row * columns_,
                                .stride_h = m_point_ * wide_.points(),
                                .stride_w = m_point_,
                                .channels = g_.oc,
                                .out = out_.data() + ((t.image * g_.oh + t.oy) * g_.ow + t.ox) * g_.oc,
                                .out_h = g_.ow * g_.oc,
                                .out_w = g_.oc,
                                .next_out = t.mw * g_.oc,
                                .epilogue = &epilogue});
    });
  }

  const Kernels<float>& kernels_;
  const ConvGeometry g_;
  const LayerData data_;
  const ConvPlan plan_;
  const WinogradTiles tiles_;
  const WinogradAxis &high_, &wide_;
  const AlignedBuffer<float> filters_, bias_;
  const int64_t columns_, v_row_, v_point_, m_point_;
  AlignedBuffer<float> v_, m_;  // points and products of one block, as in winograd.cc
  std::vector<const float*> rows_;
  const std::vector<float> zeros_;
  std::vector<float> out_;
};

// The library calls a benchmark several times: what one call prepared is kept until another layer's turn.
class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {}

  bool failed() const { return failed_; }

  void run(benchmark::State& state, const BenchLayer& layer, const ConvGeometry& g, void (Parts::*part)()) {
    if (layer_ != &layer) prepare(layer, g);
    if (!problem_.empty()) return state.SkipWithError(problem_.c_str());
    time_with_peak(state, 2.0 * static_cast<double>(g.macs()), 1, [&] { (parts_.get()->*part)(); });
  }

 private:
  void prepare(const BenchLayer& layer, const ConvGeometry& g) {
    problem_.clear();
    parts_ = std::make_unique<Parts>(layer, g, options_.tile);
    layer_ = &layer;
    const double error = parts_->error();
    if (error <= kTolerance) return;
    failed_ = true;
    problem_ = concat("wrong result, not timed: off by ", error, " of the largest output");
    std::fprintf(stderr, "bench_winograd: %s: %s\n", layer.text.c_str(), problem_.c_str());
  }

  const Options options_;
  const BenchLayer* layer_ = nullptr;
  std::unique_ptr<Parts> parts_;
  std::string problem_;
  bool failed_ = false;
};

Options parse_options(int argc, char** argv) {
  Options options;
  for (const auto& [key, value] : own_flags(argc, argv)) {
    if (key == "--shapes")
      options.shapes = value;
    else if (key == "--tile")
      options.tile = static_cast<int>(parse_number(key, value, kMaxPoints));
    else
      fail("unknown flag '", key, "'; known: --shapes, --tile, --benchmark_...");
  }
  return options;
}

void print_help() {
  std::printf(
      "bench_winograd [--shapes=FILE] [--tile=OUTPUTS] [--benchmark_filter=REGEX] [--benchmark_...]\n");
}

bool served(const ConvGeometry& g) {
  return g.groups == 1 && g.taps() > 1 && g.dilation.h == 1 && g.dilation.w == 1 &&
         largest_winograd_tile(g.kh, g.stride.h) > 0 && largest_winograd_tile(g.kw, g.stride.w) > 0;
}

int run(int argc, char** argv) {
  Harness harness(argc, argv, print_help);
  const Options options = parse_options(argc, argv);
  const std::vector<BenchLayer> layers = read_layers(options.shapes);
  Bench bench(options);
  bool any = false;
  for (const BenchLayer& layer : layers) {
    const ConvGeometry g =
        winograd_geometry(make_geometry("layer", layer.x, layer.weight, layer.stride, layer.padding,
                                        layer.dilation, layer.groups, "channels in the file"));
    if (!served(g)) continue;
    any = true;
    plan_of(layer, g, options.tile);  // a tile that cannot be: before anything is timed
    const std::pair<const char*, void (Parts::*)()> parts[] = {{" input", &Parts::all_inputs},
                                                               {" products", &Parts::all_products},
                                                               {" output", &Parts::all_outputs}};
    for (const auto& [name, part] : parts)
      harness.add(layer.text + name,
                  [&, g, part](benchmark::State& state) { bench.run(state, layer, g, part); });
  }
  if (!any)
    fail("no layer of '", options.shapes, "' is one for Winograd: strides 1 and 2, one group, no 1x1");
  if (!harness.run(1)) return 2;
  return bench.failed() ? 1 : 0;
}

}  // namespace
}  // namespace onebyone::bench

int main(int argc, char** argv) {
  return onebyone::bench::run_main("bench_winograd", onebyone::bench::run, argc, argv);
}
