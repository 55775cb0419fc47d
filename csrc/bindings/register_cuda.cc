#include "bindings/arguments.h"
#include "bindings/owned_gpu_array.h"
#include "bindings/register.h"
#include "gpu/conv2d.h"
#include "gpu/library.h"

namespace onebyone::bindings {

void register_cuda(py::module_& m) {
  m.def("cuda_why_not", &cuda_why_not);
  m.def("cuda_device_count", &cuda_device_count);
  m.def("get_allow_tf32", &get_allow_tf32);
  m.def(
      "set_allow_tf32",
      [](const py::object& allow) { set_allow_tf32(parse_bool("set_allow_tf32", "allow", allow)); },
      py::arg("allow"));
  register_gpu_arrays(m);
}

}  // namespace onebyone::bindings
