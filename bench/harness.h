// harness.h - what the benchmarks share: data, the peak beside a repetition, flags, registration and report.
// Used by bench_conv.cc, bench_gemm.cc and bench_winograd.cc.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/geometry.h"
#include "core/tensor_view.h"

namespace onebyone::bench {

// Of the largest output. Sums of 3000 products err by some 1e-6, Winograd's by 3e-6; a wrong index by 1e-2
// and more.
inline constexpr double kTolerance = 2e-5;

// Magnitudes from 2^-10 to 1 of either sign: neither zeros, which some peers skip, nor denormals, which are
// slow.
std::vector<float> random_values(int64_t count, unsigned seed);

// The view of an array that is contiguous in the layout.
ImageView<const float> image_view(const float* data, const ImageShape& s, Layout layout);

// The largest difference in relation to the largest output; a NaN anywhere counts as infinite.
double error_of(const std::vector<float>& got, const std::vector<float>& expected);

// Times `body` for the iterations of `state` and sets the counters of report.h, `flops` being those of one
// iteration. The FMA peak of `threads` threads is measured before and after, and the larger one counts: a
// share shall not look better for a peak that was disturbed.
void time_with_peak(benchmark::State& state, double flops, int threads, const std::function<void()>& body);

// Flags of the form --key=value that the library left in argv; throws std::invalid_argument for another form.
std::vector<std::pair<std::string_view, std::string_view>> own_flags(int argc, char** argv);

// A whole number from 1 to `most`, or std::invalid_argument naming the flag.
int64_t parse_number(std::string_view flag, std::string_view text, int64_t most);

// What main does: returns run's exit code, or says what it threw and returns 2.
int run_main(const char* program, int (*run)(int argc, char** argv), int argc, char** argv);

// Inside `run`: register benchmarks, then run the chosen ones.
class Harness {
 public:
  // Takes the library's flags out of argv; a bad one ends the process.
  Harness(int& argc, char** argv, void (*print_help)());

  void add(const std::string& name, std::function<void(benchmark::State&)> body);

  // Runs and reports by LayerReporter, or in the library's format if one was asked for. False if the filter
  // matched nothing, which the library has said.
  bool run(int threads);

 private:
  bool own_format_, min_time_, repetitions_;
  size_t name_width_ = 0;
};

}  // namespace onebyone::bench
