#include "harness.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>
#include <random>

#include "core/check.h"
#include "cpu/isa.h"
#include "cpu/peak.h"
#include "report.h"

namespace onebyone::bench {
namespace {

// Before and after each repetition: long enough for the clock to settle, short beside the default 0.1 s
// between.
constexpr double kPeakSeconds = 0.02;

bool has_flag(int argc, char** argv, std::string_view name) {
  return std::any_of(argv + 1, argv + argc,
                     [name](const char* flag) { return std::string_view(flag).starts_with(name); });
}

}  // namespace

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

double error_of(const std::vector<float>& got, const std::vector<float>& expected) {
  double largest = 0, difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - expected[i]);
    difference = std::isnan(d) ? HUGE_VAL : std::max(difference, d);
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return difference / largest;
}

void time_with_peak(benchmark::State& state, double flops, int threads, const std::function<void()>& body) {
  const double before = measure_fma_peak<float>(active_kernels(), threads, kPeakSeconds);
  for (auto iteration : state) {
    body();
    benchmark::ClobberMemory();
  }
  const double after = measure_fma_peak<float>(active_kernels(), threads, kPeakSeconds);
  const double peak = std::max(before, after);
  state.counters[kRate] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  state.counters[kShare] = benchmark::Counter(flops / peak, benchmark::Counter::kIsIterationInvariantRate);
  state.counters[kPeak] = peak;
}

std::vector<std::pair<std::string_view, std::string_view>> own_flags(int argc, char** argv) {
  std::vector<std::pair<std::string_view, std::string_view>> flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const size_t equals = flag.find('=');
    if (equals == std::string_view::npos) fail("unknown flag '", flag, "'; flags have the form --key=value");
    flags.emplace_back(flag.substr(0, equals), flag.substr(equals + 1));
  }
  return flags;
}

int64_t parse_number(std::string_view flag, std::string_view text, int64_t most) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > most)
    fail(flag, " must be a whole number from 1 to ", most, "; got '", text, "'");
  return value;
}

int run_main(const char* program, int (*run)(int, char**), int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 2;
  }
}

Harness::Harness(int& argc, char** argv, void (*print_help)())
    : own_format_(has_flag(argc, argv, "--benchmark_format")),
      min_time_(has_flag(argc, argv, "--benchmark_min_time")),
      repetitions_(has_flag(argc, argv, "--benchmark_repetitions")) {
  benchmark::Initialize(&argc, argv, print_help);
}

void Harness::add(const std::string& name, std::function<void(benchmark::State&)> body) {
  name_width_ = std::max(name_width_, name.size());
  benchmark::internal::Benchmark* added = benchmark::RegisterBenchmark(name.c_str(), std::move(body));
  added->UseRealTime()->Unit(benchmark::kMillisecond);
  if (!min_time_) added->MinTime(0.1);
  if (!repetitions_) added->Repetitions(5);
}

bool Harness::run(int threads) {
  std::fprintf(stderr, "%s, %d thread%s, GFLOP/s count direct arithmetic, peak is FMA's\n",
               active_kernels().isa, threads, threads == 1 ? "" : "s");
  LayerReporter reporter(name_width_);
  return (own_format_ ? benchmark::RunSpecifiedBenchmarks() : benchmark::RunSpecifiedBenchmarks(&reporter)) >
         0;
}

}  // namespace onebyone::bench
