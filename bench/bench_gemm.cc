// bench_gemm - Kernels<float>::gemm alone, one thread: A in rows, B packed, all of it warm.
//
//   bench_gemm [--m=M,...] [--n=N,...] [--k=K,...] [--benchmark_...]
//
// Every combination is measured; its name says how many KB the three matrices take together, which decides
// the cache they come from. The defaults fill L1, L2 and L3 of most processors. Each product is first
// compared with float64 sums; a wrong one is not timed and makes the exit code 1. A wrong flag: one line,
// exit code 2.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/check.h"
#include "core/int_math.h"
#include "cpu/isa.h"
#include "harness.h"

namespace onebyone::bench {
namespace {

constexpr int64_t kMaxSize = 1 << 20;
constexpr int64_t kMaxElements = int64_t{1} << 30;  // of a matrix: 4 GB

struct Options {
  std::vector<int64_t> m{12, 96, 3136}, n{64, 256}, k{64, 256};
};

struct Shape {
  int64_t m, n, k;
};

// The matrices of one shape. A's rows lie an odd number of cache lines apart, as rows of images may not: the
// kernel's limit is wanted, not that of L1's sets.
class Product {
 public:
  Product(const Shape& shape, const Kernels<float>& kernels)
      : s_(shape),
        kernels_(kernels),
        ld_(odd_lines<float>(s_.k)),
        panels_(ceil_div(s_.n, kernels.nr)),
        a_(random_values(s_.m * ld_, 1)),
        b_(panels_ * s_.k * kernels.nr),
        c_(s_.m * s_.n, std::nanf("")),
        rows_(s_.m) {
    for (int64_t i = 0; i < s_.m; ++i) rows_[i] = a_.data() + i * ld_;
    const std::vector<float> values = random_values(b_.size(), 2);
    std::copy(values.begin(), values.end(), b_.data());
  }

  void run() {
    kernels_.gemm({.m = s_.m,
                   .n = s_.n,
                   .taps = 1,
                   .kc = s_.k,
                   .a_rows = rows_.data(),
                   .a_tap_stride = 0,
                   .a_offset = 0,
                   .b = b_.data(),
                   .b_panel_stride = s_.k * kernels_.nr,
                   .c = c_.data(),
                   .ldc = s_.n,
                   .addend = nullptr,
                   .ld_addend = 0,
                   .rows_outside = false,
                   .epilogue = &epilogue_});
  }

  // Of some rows, the first and the last among them.
  double error() {
    run();
    const int nr = kernels_.nr;
    std::vector<float> got, expected;
    const int64_t step = std::max<int64_t>(1, (s_.m - 1) / 8);
    for (int64_t i = 0; i < s_.m; i += step) {
      const int64_t row = i + step < s_.m ? i : s_.m - 1;
      for (int64_t j = 0; j < s_.n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < s_.k; ++p)
          sum += static_cast<double>(rows_[row][p]) * b_[(j / nr * s_.k + p) * nr + j % nr];
        got.push_back(c_[row * s_.n + j]);
        expected.push_back(static_cast<float>(sum));
      }
    }
    return error_of(got, expected);
  }

 private:
  const Shape s_;
  const Kernels<float>& kernels_;
  const int64_t ld_, panels_;
  const std::vector<float> a_;
  AlignedBuffer<float> b_;
  std::vector<float> c_;
  std::vector<const float*> rows_;
  const Epilogue<float> epilogue_;
};

std::vector<int64_t> parse_list(std::string_view flag, std::string_view text) {
  std::vector<int64_t> values;
  while (true) {
    const size_t comma = text.find(',');
    values.push_back(parse_number(flag, text.substr(0, comma), kMaxSize));
    if (comma == std::string_view::npos) return values;
    text.remove_prefix(comma + 1);
  }
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (const auto& [key, value] : own_flags(argc, argv)) {
    if (key == "--m")
      options.m = parse_list(key, value);
    else if (key == "--n")
      options.n = parse_list(key, value);
    else if (key == "--k")
      options.k = parse_list(key, value);
    else
      fail("unknown flag '", key, "'; known: --m, --n, --k, --benchmark_...");
  }
  return options;
}

void print_help() {
  std::printf(
      "bench_gemm [--m=M,...] [--n=N,...] [--k=K,...] [--benchmark_filter=REGEX] [--benchmark_...]\n");
}

int run(int argc, char** argv) {
  Harness harness(argc, argv, print_help);
  const Options options = parse_options(argc, argv);
  const Kernels<float>& kernels = active_kernels().f32;
  bool failed = false;
  for (const int64_t m : options.m)
    for (const int64_t n : options.n)
      for (const int64_t k : options.k) {
        if (std::max({m * n, m * k, n * k}) > kMaxElements) fail("m, n and k are too large together");
        const int64_t bytes = (m * k + k * n + m * n) * static_cast<int64_t>(sizeof(float));
        harness.add(concat("m=", m, " n=", n, " k=", k, " (", ceil_div(bytes, 1024), " KB)"),
                    [&, m, n, k](benchmark::State& state) {
                      Product product({m, n, k}, kernels);
                      const double error = product.error();
                      if (!(error <= kTolerance)) {
                        failed = true;
                        const std::string why = concat("wrong result, not timed: off by ", error);
                        std::fprintf(stderr, "bench_gemm: m=%ld n=%ld k=%ld: %s\n", static_cast<long>(m),
                                     static_cast<long>(n), static_cast<long>(k), why.c_str());
                        return state.SkipWithError(why.c_str());
                      }
                      const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
                      time_with_peak(state, flops, 1, [&] { product.run(); });
                    });
      }
  if (!harness.run(1)) return 2;
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace onebyone::bench

int main(int argc, char** argv) {
  return onebyone::bench::run_main("bench_gemm", onebyone::bench::run, argc, argv);
}
