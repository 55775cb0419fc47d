// bench_conv - the speed of one convolution at a time, through Conv2d<float>.
//
//   bench_conv [--shapes=FILE] [--layout=NHWC|NCHW|both] [--threads=N] [--algorithm=NAME] [--benchmark_...]
//
// Each layer is first compared with the reference algorithm; a wrong one is not timed and makes the exit
// code 1. Around every repetition the FMA peak of as many threads is measured, and the share of it is
// reported beside the time. Library flags of use: --benchmark_filter=REGEX, --benchmark_repetitions=N,
// --benchmark_min_time=SECONDS,
// --benchmark_out=FILE, --benchmark_format=json|csv|console. A wrong flag or file: one line, exit code 2.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "conv/conv2d.h"
#include "core/check.h"
#include "core/parallel.h"
#include "cpu/isa.h"
#include "harness.h"
#include "layer_data.h"
#include "layers.h"

namespace onebyone::bench {
namespace {

struct Options {
  std::string shapes = ONEBYONE_DEFAULT_LAYERS;
  std::vector<Layout> layouts{Layout::kNhwc, Layout::kNchw};
  int threads = 1;
  Algorithm algorithm = Algorithm::kAuto;
};

const char* name_of(Layout layout) { return layout == Layout::kNhwc ? "NHWC" : "NCHW"; }

std::vector<float> nhwc_to_nchw(const std::vector<float>& from, const ImageShape& s) {
  std::vector<float> to(from.size());
  const ImageView<const float> src = image_view(from.data(), s, Layout::kNhwc);
  int64_t at = 0;
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t c = 0; c < s.channels; ++c)
      for (int64_t h = 0; h < s.height; ++h)
        for (int64_t w = 0; w < s.width; ++w)
          to[at++] = src.data[n * src.sn + c * src.sc + h * src.sh + w * src.sw];
  return to;
}

// Measures one layer in one layout. The library calls a benchmark several times to find its number of
// iterations and once a repetition: the first call prepares and verifies, and what it made is kept until
// another layer's turn.
class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {}

  bool failed() const { return failed_; }

  void run(benchmark::State& state, const BenchLayer& layer, Layout layout) {
    if (layer_ != &layer || layout_ != layout) prepare(layer, layout);
    if (!problem_.empty()) return state.SkipWithError(problem_.c_str());
    const ImageView<const float> x = image_view(x_.data(), layer.x, layout);
    time_with_peak(state, 2.0 * static_cast<double>(conv_->geometry().macs()), options_.threads,
                   [&] { conv_->run(x, nullptr, out_.data(), options_.threads); });
    state.SetLabel(conv_->describe(options_.threads));
  }

 private:
  void prepare(const BenchLayer& layer, Layout layout) {
    problem_.clear();
    try {
      if (layer_ != &layer) {
        data_.reset();
        data_.emplace(layer);
      }
      layer_ = &layer, layout_ = layout;
      conv_.emplace(spec_of(layer, layout, options_.algorithm), data_->weights(layer), active_kernels());
      verify();
    } catch (const std::invalid_argument& error) {
      problem_ = error.what();  // the algorithm that was asked for cannot serve this layer
    }
    if (!problem_.empty())
      std::fprintf(stderr, "bench_conv: %s %s: %s\n", layer.text.c_str(), name_of(layout), problem_.c_str());
  }

  void verify() {
    const bool nhwc = layout_ == Layout::kNhwc;
    x_ = nhwc ? data_->x : nhwc_to_nchw(data_->x, layer_->x);
    out_.assign(data_->expected.size(), std::nanf(""));
    conv_->run(image_view(x_.data(), layer_->x, layout_), nullptr, out_.data(), options_.threads);
    const double error = error_of(out_, nhwc ? data_->expected : nhwc_to_nchw(data_->expected, data_->out));
    if (error <= kTolerance) return;
    failed_ = true;
    problem_ = concat("wrong result, not timed: off by ", error, " of the largest output, allowed ",
                      kTolerance, "; ", conv_->describe(options_.threads));
  }

  const Options options_;
  const BenchLayer* layer_ = nullptr;
  Layout layout_{};
  std::optional<LayerData> data_;
  std::optional<Conv2d<float>> conv_;
  std::vector<float> x_, out_;
  std::string problem_;  // why the current benchmark is not timed
  bool failed_ = false;
};

Algorithm parse_algorithm(std::string_view name) {
  std::string known;
  for (const Algorithm a : kAlgorithms) {
    if (name == to_string(a)) return a;
    known += concat(known.empty() ? "" : ", ", to_string(a));
  }
  fail("--algorithm must be one of ", known, "; got '", name, "'");
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (const auto& [key, value] : own_flags(argc, argv)) {
    if (key == "--shapes") {
      options.shapes = value;
    } else if (key == "--layout") {
      if (value == "NHWC" || value == "NCHW")
        options.layouts = {value == "NHWC" ? Layout::kNhwc : Layout::kNchw};
      else if (value != "both")
        fail("--layout must be NHWC, NCHW or both; got '", value, "'");
    } else if (key == "--threads") {
      options.threads = static_cast<int>(parse_number(key, value, kMaxThreads));
    } else if (key == "--algorithm") {
      options.algorithm = parse_algorithm(value);
    } else {
      fail("unknown flag '", key, "'; known: --shapes, --layout, --threads, --algorithm, --benchmark_...");
    }
  }
  return options;
}

void print_help() {
  std::printf(
      "bench_conv [--shapes=FILE] [--layout=NHWC|NCHW|both] [--threads=N] [--algorithm=NAME] "
      "[--benchmark_filter=REGEX]"
      " [--benchmark_...]\n");
}

int run(int argc, char** argv) {
  Harness harness(argc, argv, print_help);
  const Options options = parse_options(argc, argv);
  const std::vector<BenchLayer> layers = read_layers(options.shapes);
  Bench bench(options);
  for (const BenchLayer& layer : layers)
    for (const Layout layout : options.layouts)
      harness.add(layer.text + " " + name_of(layout),
                  [&, layout](benchmark::State& state) { bench.run(state, layer, layout); });
  if (!harness.run(options.threads)) return 2;
  return bench.failed() ? 1 : 0;
}

}  // namespace
}  // namespace onebyone::bench

int main(int argc, char** argv) {
  return onebyone::bench::run_main("bench_conv", onebyone::bench::run, argc, argv);
}
