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

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "conv/conv2d.h"
#include "core/check.h"
#include "core/parallel.h"
#include "cpu/isa.h"
#include "cpu/peak.h"
#include "layers.h"
#include "report.h"

namespace onebyone::bench {
namespace {

// Of the largest output. Sums of 3000 products err by some 1e-6, Winograd's by 3e-6; a wrong index by 1e-2
// and more.
constexpr double kTolerance = 2e-5;
// Before and after each repetition: long enough for the clock to settle, short beside the default 0.2 s
// between.
constexpr double kPeakSeconds = 0.02;

struct Options {
  std::string shapes = ONEBYONE_DEFAULT_LAYERS;
  std::vector<Layout> layouts{Layout::kNhwc, Layout::kNchw};
  int threads = 1;
  Algorithm algorithm = Algorithm::kAuto;
};

const char* name_of(Layout layout) { return layout == Layout::kNhwc ? "NHWC" : "NCHW"; }

// Magnitudes from 2^-10 to 1 of either sign: neither zeros, which some peers skip, nor denormals, which are
// slow.
std::vector<float> random_values(int64_t count, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<float> values(count);
  for (float& v : values) {
    const uint32_t r = bits();
    const float magnitude = 0x1p-10f + static_cast<float>(r >> 9) * (1 - 0x1p-10f) * 0x1p-23f;
    v = r & 1 ? magnitude : -magnitude;
  }
  return values;
}

ImageView<const float> image_view(const float* data, const ImageShape& s, Layout layout) {
  const auto [n, c, h, w] = s;
  if (layout == Layout::kNhwc) return {data, n, c, h, w, h * w * c, 1, w * c, c};
  return {data, n, c, h, w, c * h * w, h * w, w, 1};
}

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

ConvSpec spec_of(const BenchLayer& layer, Layout layout, Algorithm algorithm) {
  ConvSpec spec;
  spec.x = layer.x;
  spec.layout = layout;
  spec.stride = layer.stride;
  spec.padding = layer.padding;
  spec.dilation = layer.dilation;
  spec.groups = layer.groups;
  spec.algorithm = algorithm;
  return spec;
}

// The data of a layer and the result it must have, both channels last; made when its first benchmark runs.
struct LayerData {
  std::vector<float> x, weight, bias, expected;
  ImageShape out;

  explicit LayerData(const BenchLayer& layer)
      : x(random_values(layer.x.batch * layer.x.channels * layer.x.height * layer.x.width, 1)),
        weight(random_values(layer.weight[0] * layer.weight[1] * layer.weight[2] * layer.weight[3], 2)),
        bias(random_values(layer.weight[0], 3)) {
    const Conv2d<float> reference(spec_of(layer, Layout::kNhwc, Algorithm::kReference), weights(layer),
                                  active_kernels());
    const ConvGeometry& g = reference.geometry();
    out = {g.batch, g.oc, g.oh, g.ow};
    expected.resize(g.batch * g.oc * g.out_pixels());
    reference.run(image_view(x.data(), layer.x, Layout::kNhwc), nullptr, expected.data(), get_num_threads());
  }

  ConvWeights<float> weights(const BenchLayer& layer) const {
    const auto [oc, ic, kh, kw] = layer.weight;
    return {image_view(weight.data(), {oc, ic, kh, kw}, Layout::kNchw), bias.data(), 1};
  }
};

// The largest difference in relation to the largest output; a NaN anywhere counts as infinite.
double error_of(const std::vector<float>& got, const std::vector<float>& expected) {
  double largest = 0, difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - expected[i]);
    difference = std::isnan(d) ? HUGE_VAL : std::max(difference, d);
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return difference / largest;
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
    const double before = measure_fma_peak<float>(active_kernels(), options_.threads, kPeakSeconds);
    for (auto iteration : state) {
      conv_->run(x, nullptr, out_.data(), options_.threads);
      benchmark::ClobberMemory();
    }
    const double after = measure_fma_peak<float>(active_kernels(), options_.threads, kPeakSeconds);
    // The larger of the two: a share shall not look better for a peak that was disturbed.
    const double peak = std::max(before, after);
    const double flops = 2.0 * static_cast<double>(conv_->geometry().macs());
    state.counters[kRate] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
    state.counters[kShare] = benchmark::Counter(flops / peak, benchmark::Counter::kIsIterationInvariantRate);
    state.counters[kPeak] = peak;
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
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const size_t equals = flag.find('=');
    const std::string_view key = flag.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : flag.substr(equals + 1);
    if (key == "--shapes") {
      options.shapes = value;
    } else if (key == "--layout") {
      if (value == "NHWC" || value == "NCHW")
        options.layouts = {value == "NHWC" ? Layout::kNhwc : Layout::kNchw};
      else if (value != "both")
        fail("--layout must be NHWC, NCHW or both; got '", value, "'");
    } else if (key == "--threads") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.threads);
      if (error != std::errc() || end != value.data() + value.size() || options.threads < 1 ||
          options.threads > kMaxThreads)
        fail("--threads must be a whole number from 1 to ", kMaxThreads, "; got '", value, "'");
    } else if (key == "--algorithm") {
      options.algorithm = parse_algorithm(value);
    } else {
      fail("unknown flag '", flag, "'; known: --shapes, --layout, --threads, --algorithm, --benchmark_...");
    }
  }
  return options;
}

bool has_flag(int argc, char** argv, std::string_view name) {
  return std::any_of(argv + 1, argv + argc,
                     [name](const char* flag) { return std::string_view(flag).starts_with(name); });
}

void print_help() {
  std::printf(
      "bench_conv [--shapes=FILE] [--layout=NHWC|NCHW|both] [--threads=N] [--algorithm=NAME] "
      "[--benchmark_filter=REGEX]"
      " [--benchmark_...]\n");
}

// The flags of the benchmark library are taken out of argv by Initialize, which ends the process at a bad
// value.
int run(int argc, char** argv) {
  // Its own formats where one is asked for, else the line a layer of report.h.
  const bool own_format = has_flag(argc, argv, "--benchmark_format");
  const bool min_time = has_flag(argc, argv, "--benchmark_min_time");
  const bool repetitions = has_flag(argc, argv, "--benchmark_repetitions");
  benchmark::Initialize(&argc, argv, print_help);
  const Options options = parse_options(argc, argv);
  const std::vector<BenchLayer> layers = read_layers(options.shapes);
  Bench bench(options);
  size_t name_width = 0;
  for (const BenchLayer& layer : layers)
    for (const Layout layout : options.layouts) {
      const std::string name = layer.text + " " + name_of(layout);
      name_width = std::max(name_width, name.size());
      benchmark::internal::Benchmark* added = benchmark::RegisterBenchmark(
          name.c_str(), [&, layout](benchmark::State& state) { bench.run(state, layer, layout); });
      added->UseRealTime()->Unit(benchmark::kMillisecond);
      if (!min_time) added->MinTime(0.1);
      if (!repetitions) added->Repetitions(5);
    }
  std::fprintf(stderr, "%s, %d thread%s, GFLOP/s count direct arithmetic, peak is FMA's\n",
               active_kernels().isa, options.threads, options.threads == 1 ? "" : "s");
  LayerReporter reporter(name_width);
  const size_t matched =
      own_format ? benchmark::RunSpecifiedBenchmarks() : benchmark::RunSpecifiedBenchmarks(&reporter);
  if (matched == 0) return 2;  // the library has said that the filter matches nothing
  return bench.failed() ? 1 : 0;
}

}  // namespace
}  // namespace onebyone::bench

int main(int argc, char** argv) {
  try {
    return onebyone::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_conv: %s\n", error.what());
    return 2;
  }
}
