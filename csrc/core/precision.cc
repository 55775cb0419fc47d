#include "core/precision.h"

#include <atomic>
#include <cstdlib>

#include "core/check.h"

namespace onebyone {
namespace {

std::atomic<Precision>& setting() {
  static std::atomic<Precision> precision = [] {
    const char* text = std::getenv("ONEBYONE_PRECISION");
    return text && *text ? parse_precision("ONEBYONE_PRECISION", text) : Precision::kFast;
  }();
  return precision;
}

}  // namespace

const char* to_string(Precision precision) { return precision == Precision::kExact ? "exact" : "fast"; }

Precision parse_precision(const std::string& name, const std::string& text) {
  for (const Precision precision : {Precision::kFast, Precision::kExact})
    if (text == to_string(precision)) return precision;
  fail(name, " must be 'fast' or 'exact', got '", text, "'");
}

Precision get_precision() { return setting().load(std::memory_order_relaxed); }

void set_precision(Precision precision) { setting().store(precision, std::memory_order_relaxed); }

}  // namespace onebyone
