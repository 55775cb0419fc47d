#include <pybind11/stl.h>

#include "bindings/arguments.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "conv/plan.h"
#include "core/check.h"
#include "core/memory_pool.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"
#include "cpu/peak.h"

namespace onebyone::bindings {
namespace {

int parse_threads(const char* op, const char* name, py::handle value, int least) {
  const int64_t n = parse_int(op, name, value);
  if (n < least || n > kMaxThreads)
    fail(op, ": ", name, " must be from ", least, " to ", kMaxThreads, ", got ", n);
  return static_cast<int>(n);
}

py::dict build_info() {
  py::dict info;
  info["version"] = ONEBYONE_VERSION;
  info["openmp"] = openmp_runtime();
  info["compiler"] = ONEBYONE_COMPILER;
  info["build type"] = ONEBYONE_BUILD_TYPE;
  info["compiler flags"] = ONEBYONE_FLAGS;
  info["kernel flags"] = "-ffp-contract=fast, and each ISA's own";
  return info;
}

double measure_peak(const py::object& num_threads, double seconds, const std::string& dtype) {
  const int threads = parse_threads("measure_peak", "num_threads", num_threads, 1);
  if (dtype != "float32" && dtype != "float64")
    fail("measure_peak: dtype must be 'float32' or 'float64', got '", dtype, "'");
  if (!(seconds >= 0 && seconds <= 60)) fail("measure_peak: seconds must be from 0 to 60, got ", seconds);
  const KernelTable& kernels = active_kernels();
  const GilRelease release;
  return dtype == "float32" ? measure_fma_peak<float>(kernels, threads, seconds)
                            : measure_fma_peak<double>(kernels, threads, seconds);
}

double read_bandwidth(const py::object& num_threads, int64_t bytes, double seconds) {
  const int threads = parse_threads("measure_read_bandwidth", "num_threads", num_threads, 1);
  if (bytes < 1) fail("measure_read_bandwidth: bytes must be at least 1, got ", bytes);
  if (!(seconds >= 0 && seconds <= 60))
    fail("measure_read_bandwidth: seconds must be from 0 to 60, got ", seconds);
  const GilRelease release;
  return measure_read_bandwidth(threads, bytes, seconds);
}

}  // namespace

void register_config(py::module_& m) {
  m.def("isa", [] { return active_kernels().isa; });
  m.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const RunnableIsa& isa : runnable_isas())
      if (isa.listed) names.emplace_back(isa.kernels->isa);
    return names;
  });
  m.def(
      "set_num_threads",
      [](const py::object& n) { set_num_threads(parse_threads("set_num_threads", "n", n, 1)); },
      py::arg("n"));
  m.def("get_num_threads", &get_num_threads);
  m.def(
      "set_local_num_threads",
      [](const py::object& n) { return set_local_num_threads(parse_threads("threads", "n", n, 0)); },
      py::arg("n"));
  m.def(
      "set_precision",
      [](const py::object& precision) {
        if (!PyUnicode_Check(precision.ptr()))
          throw py::type_error(concat("set_precision: precision must be 'fast' or 'exact', got ",
                                      std::string(py::repr(precision))));
        set_precision(parse_precision("set_precision: precision", py::str(precision)));
      },
      py::arg("precision"));
  m.def("get_precision", [] { return to_string(get_precision()); });
  m.def("empty_cache", &empty_cache);
  m.def("cached_bytes", &cached_bytes);
  m.def("get_cache_limit", &get_cache_limit);
  m.def(
      "set_cache_limit",
      [](const py::object& limit) { set_cache_limit(parse_int("set_cache_limit", "limit", limit)); },
      py::arg("limit"));
  m.def("algorithms", [] {
    std::vector<std::string> names;
    for (const Algorithm a : kAlgorithms) names.emplace_back(to_string(a));
    return names;
  });
  m.def("build_info", &build_info);
  m.def("measure_peak", &measure_peak, py::arg("num_threads") = 1, py::arg("seconds") = 0.1,
        py::arg("dtype") = "float32");
  m.def("measure_read_bandwidth", &read_bandwidth, py::arg("num_threads") = 1,
        py::arg("bytes") = int64_t{1} << 28, py::arg("seconds") = 0.1);
}

}  // namespace onebyone::bindings
