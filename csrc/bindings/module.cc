// bindings/module.cc - onebyone._core. Documentation lives in the Python package.
#include "bindings/register.h"
#include "core/parallel.h"
#include "cpu/isa.h"

PYBIND11_MODULE(_core, m) {
  onebyone::active_kernels();   // a wrong ONEBYONE_ISA is an error at import, as is
  onebyone::get_num_threads();  // a wrong ONEBYONE_NUM_THREADS
  m.attr("__version__") = ONEBYONE_VERSION;
  onebyone::bindings::register_config(m);
  onebyone::bindings::register_conv(m);
  onebyone::bindings::register_plan(m);
}
