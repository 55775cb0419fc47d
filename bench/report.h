// report.h - what bench_conv prints: one line a benchmark, over its repetitions. Used by bench_conv.cc.
#pragma once

#include <benchmark/benchmark.h>

namespace onebyone::bench {

// Counters that a benchmark sets in every repetition.
inline constexpr char kRate[] = "FLOP/s";
inline constexpr char kPeak[] = "peak";    // FLOP/s, measured beside the repetition
inline constexpr char kShare[] = "share";  // rate / peak

// The median and best time, the spread (median to worst), GFLOP/s, the peak, and the median and best share.
// Shares are taken repetition by repetition: on a machine whose clock drifts, both of its numbers drift
// together.
class LayerReporter : public benchmark::BenchmarkReporter {
 public:
  explicit LayerReporter(size_t name_width) : name_width_(static_cast<int>(name_width)) {}

  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;

 private:
  const int name_width_;
};

}  // namespace onebyone::bench
