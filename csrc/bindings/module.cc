// bindings/module.cc - onebyone._core. Documentation lives in the Python package.
#include "bindings/register.h"
#include "core/memory_pool.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"

PYBIND11_MODULE(_core, m) {
  // A wrong value in the environment is an error at import.
  onebyone::active_kernels();
  onebyone::get_num_threads();
  onebyone::get_precision();
  onebyone::get_cache_limit();
  m.attr("__version__") = ONEBYONE_VERSION;
  onebyone::bindings::register_arrays(m);
  onebyone::bindings::register_config(m);
  onebyone::bindings::register_conv(m);
  onebyone::bindings::register_cuda(m);
  onebyone::bindings::register_images(m);
  onebyone::bindings::register_network(m);
  onebyone::bindings::register_ops(m);
  onebyone::bindings::register_plan(m);
}
