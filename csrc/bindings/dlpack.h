// bindings/dlpack.h - a CPU tensor of another library as a NumPy array, through the DLPack exchange protocol.
#pragma once

#include <pybind11/numpy.h>

#include <string>

namespace onebyone::bindings {

// Shares the exporter's memory and keeps it alive; read-only if the exporter says so.
// `object` has __dlpack__. Throws TypeError (not on the CPU, not exportable, a type NumPy lacks).
pybind11::array from_dlpack(const std::string& op, const char* name, pybind11::handle object);

}  // namespace onebyone::bindings
