#include "report.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace onebyone::bench {
namespace {

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  const size_t half = v.size() / 2;
  return v.size() % 2 ? v[half] : (v[half - 1] + v[half]) / 2;
}

}  // namespace

bool LayerReporter::ReportContext(const Context&) {
  std::printf("%-*s %10s %10s %8s %9s %9s %7s %7s\n", name_width_, "layer", "median ms", "best ms", "spread",
              "GFLOP/s", "peak", "share", "best");
  return true;
}

void LayerReporter::ReportRuns(const std::vector<Run>& runs) {
  std::vector<double> ms, rate, peak, share;
  for (const Run& run : runs) {
    // Aggregates are made here; a benchmark that gave up has said why and set no counters.
    if (run.run_type != Run::RT_Iteration || run.counters.count(kRate) == 0) continue;
    ms.push_back(run.real_accumulated_time / static_cast<double>(run.iterations) * 1e3);
    rate.push_back(run.counters.at(kRate));
    peak.push_back(run.counters.at(kPeak));
    share.push_back(run.counters.at(kShare));
  }
  if (ms.empty()) return;
  const double middle = median(ms);
  std::printf("%-*s %10.4f %10.4f %7.1f%% %9.1f %9.1f %6.1f%% %6.1f%%\n", name_width_,
              runs[0].run_name.function_name.c_str(), middle, *std::min_element(ms.begin(), ms.end()),
              (*std::max_element(ms.begin(), ms.end()) / middle - 1) * 100, median(rate) * 1e-9,
              median(peak) * 1e-9, median(share) * 100, *std::max_element(share.begin(), share.end()) * 100);
  std::fflush(stdout);
}

}  // namespace onebyone::bench
