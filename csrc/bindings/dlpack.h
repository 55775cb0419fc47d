// bindings/dlpack.h - arrays of other libraries through the DLPack exchange protocol: on the CPU as NumPy
// arrays, on a GPU as what the exporter says of them.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <string>

#include "bindings/dlpack_abi.h"

namespace onebyone::bindings {

// An array where the CPU does not reach it. Complete as it is for functions that run on the CPU alone.
struct NotOnCpu : pybind11::type_error {
  NotOnCpu(const std::string& op, const std::string& argument, const std::string& its_place);
  std::string name, place;  // "weight", "on cuda:0"
};

// "in CPU memory", "on cuda:0", "on DLPack device type 8, number 0"
std::string place_text(dlpack::Device device);

// What object.__dlpack_device__() says; none if it is not there or fails.
std::optional<dlpack::Device> dlpack_device(pybind11::handle object);

// A tensor that its exporter keeps alive as long as `owner` lives.
struct Exported {
  pybind11::capsule owner;
  const dlpack::Tensor* tensor;
  bool read_only;
};
// Calls object.__dlpack__, with `stream` unless it is none. Throws TypeError (not exportable, a later
// version).
Exported dlpack_export(const std::string& op, const char* name, pybind11::handle object,
                       const pybind11::object& stream);

// Shares the exporter's memory and keeps it alive; read-only if the exporter says so.
// `object` has __dlpack__. Throws NotOnCpu, or TypeError (not exportable, a type NumPy lacks).
pybind11::array from_dlpack(const std::string& op, const char* name, pybind11::handle object);

}  // namespace onebyone::bindings
