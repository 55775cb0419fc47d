// bindings/module.cc - onebyone._core. Documentation lives in the Python package.
#include "bindings/register.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"

PYBIND11_MODULE(_core, m) {
  // A wrong ONEBYONE_ISA, ONEBYONE_NUM_THREADS or ONEBYONE_PRECISION is an error at import.
  onebyone::active_kernels();
  onebyone::get_num_threads();
  onebyone::get_precision();
  m.attr("__version__") = ONEBYONE_VERSION;
  onebyone::bindings::register_config(m);
  onebyone::bindings::register_conv(m);
  onebyone::bindings::register_plan(m);
}
