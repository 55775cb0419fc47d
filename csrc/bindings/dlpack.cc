#include "bindings/dlpack.h"

#include <cstdint>
#include <vector>

#include "core/check.h"

namespace onebyone::bindings {
namespace {

namespace py = pybind11;
using namespace dlpack;

// Takes the managed tensor out of its capsule; the new capsule deletes it.
template <class M>
py::capsule own(const py::capsule& exported, const char* used_name) {
  M* managed = exported.get_pointer<M>();
  if (PyCapsule_SetName(exported.ptr(), used_name) != 0) throw py::error_already_set();
  return py::capsule(managed, [](void* p) {
    M* m = static_cast<M*>(p);
    if (m->deleter) m->deleter(m);
  });
}

std::string numpy_type(DataType type) {
  if (type.lanes != 1) return "";
  const int bytes = type.bits / 8;
  switch (type.code) {
    case kInt: return concat("i", bytes);
    case kUint: return concat("u", bytes);
    case kFloat: return bytes >= 2 ? concat("f", bytes) : "";
    case kComplex: return concat("c", bytes);
    case kBool: return "?";
    default: return "";
  }
}

bool reached_by_cpu(Device device) {
  return device.type == kCpu || device.type == kCudaHost || device.type == kRocmHost;
}

py::array wrap(const std::string& op, const char* name, const Exported& exported) {
  const Tensor& t = *exported.tensor;
  if (!reached_by_cpu(t.device)) throw NotOnCpu(op, name, place_text(t.device));
  const std::string type = numpy_type(t.dtype);
  if (type.empty())
    throw py::type_error(concat(op, ": ", name, " has a dtype that is not supported (DLPack code ",
                                static_cast<int>(t.dtype.code), ", ", static_cast<int>(t.dtype.bits),
                                " bits); convert it to float32 or float64"));
  const py::dtype dtype(type);
  std::vector<py::ssize_t> shape(t.shape, t.shape + t.ndim), strides;
  if (t.strides)
    for (int i = 0; i < t.ndim; ++i) strides.push_back(t.strides[i] * dtype.itemsize());
  const char* data = static_cast<const char*>(t.data) + t.byte_offset;
  py::array array(dtype, std::move(shape), std::move(strides), data, exported.owner);
  if (exported.read_only) array.attr("setflags")(py::arg("write") = false);
  return array;
}

py::capsule call_dlpack(const std::string& op, const char* name, py::handle object,
                        const py::object& stream) {
  py::dict options;
  if (!stream.is_none()) options["stream"] = stream;
  try {
    const py::object method = object.attr("__dlpack__");
    py::object exported;
    try {
      exported = method(**options, py::arg("max_version") = py::make_tuple(1, 0));
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;  // an exporter from before version 1 takes no max_version
      exported = method(**options);
    }
    if (PyCapsule_CheckExact(exported.ptr())) return py::reinterpret_borrow<py::capsule>(exported);
  } catch (py::error_already_set& error) {
    throw py::type_error(
        concat(op, ": ", name, " cannot be read through DLPack: ", std::string(py::str(error.value()))));
  }
  throw py::type_error(concat(op, ": ", name, ".__dlpack__() did not return a DLPack capsule"));
}

}  // namespace

NotOnCpu::NotOnCpu(const std::string& op, const std::string& argument, const std::string& its_place)
    : py::type_error(concat(op, ": ", argument, " is not in CPU memory but ", its_place,
                            "; move it to the CPU (conv2d and Conv2dPlan alone run on GPUs)")),
      name(argument),
      place(its_place) {}

std::string place_text(Device device) {
  switch (device.type) {
    case kCpu:
    case kCudaHost:
    case kRocmHost: return "in CPU memory";
    case kCuda:
    case kCudaManaged: return concat("on cuda:", device.id);
    case kRocm: return concat("on rocm:", device.id);
    default: return concat("on DLPack device type ", device.type, ", number ", device.id);
  }
}

std::optional<Device> dlpack_device(py::handle object) {
  try {
    const auto [type, id] = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    return Device{type, id};
  } catch (const py::error_already_set&) {
  } catch (const py::cast_error&) {
  }
  return std::nullopt;
}

Exported dlpack_export(const std::string& op, const char* name, py::handle object, const py::object& stream) {
  const py::capsule capsule = call_dlpack(op, name, object, stream);
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) {
    const py::capsule owner = own<Managed>(capsule, "used_dltensor");
    return {owner, &owner.get_pointer<Managed>()->tensor, false};
  }
  if (!PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned"))
    throw py::type_error(concat(op, ": ", name, ".__dlpack__() did not return a DLPack capsule"));
  const py::capsule owner = own<ManagedVersioned>(capsule, "used_dltensor_versioned");
  const ManagedVersioned* managed = owner.get_pointer<ManagedVersioned>();
  if (managed->major > 1)
    throw py::type_error(
        concat(op, ": ", name, " uses DLPack version ", managed->major, "; version 1 is supported"));
  return {owner, &managed->tensor, (managed->flags & kReadOnly) != 0};
}

py::array from_dlpack(const std::string& op, const char* name, py::handle object) {
  // Asked first: an accelerator's tensor would otherwise be exported only to be refused.
  try {
    const auto [type, id] = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    if (!reached_by_cpu({type, id})) throw NotOnCpu(op, name, place_text({type, id}));
  } catch (py::error_already_set& error) {
    throw py::type_error(
        concat(op, ": ", name, " cannot be read through DLPack: ", std::string(py::str(error.value()))));
  }
  return wrap(op, name, dlpack_export(op, name, object, py::none()));
}

}  // namespace onebyone::bindings
