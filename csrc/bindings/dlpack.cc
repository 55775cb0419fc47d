#include "bindings/dlpack.h"

#include <cstdint>
#include <vector>

#include "core/check.h"

namespace onebyone::bindings {
namespace {

namespace py = pybind11;

// The ABI of https://dmlc.github.io/dlpack/latest/c_api.html, version 1.
enum DeviceType : int32_t { kCpu = 1, kCudaHost = 3, kRocmHost = 11 };
enum TypeCode : uint8_t { kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };
struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null for C order
  uint64_t byte_offset;
};
struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct ManagedVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  Tensor tensor;
};
constexpr uint64_t kReadOnly = 1;

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

py::array wrap(const std::string& op, const char* name, const Tensor& t, const py::capsule& owner,
               bool read_only) {
  if (t.device.type != kCpu && t.device.type != kCudaHost && t.device.type != kRocmHost)
    throw py::type_error(concat(op, ": ", name, " is not in CPU memory (DLPack device type ", t.device.type,
                                "); move it to the CPU"));
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
  py::array array(dtype, std::move(shape), std::move(strides), data, owner);
  if (read_only) array.attr("setflags")(py::arg("write") = false);
  return array;
}

}  // namespace

py::array from_dlpack(const std::string& op, const char* name, py::handle object) {
  py::object exported;
  try {
    // Asked first: an accelerator's tensor would otherwise be exported only to be refused.
    const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    if (device.first != kCpu && device.first != kCudaHost && device.first != kRocmHost)
      throw py::type_error(concat(op, ": ", name, " is not in CPU memory (DLPack device type ", device.first,
                                  "); move it to the CPU"));
    try {
      exported = object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;  // an exporter from before version 1 takes no max_version
      exported = object.attr("__dlpack__")();
    }
  } catch (py::error_already_set& error) {
    throw py::type_error(
        concat(op, ": ", name, " cannot be read through DLPack: ", std::string(py::str(error.value()))));
  }
  const py::capsule capsule = py::reinterpret_borrow<py::capsule>(exported);
  const std::string capsule_name =
      PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned") ? "dltensor_versioned" : "dltensor";
  if (!PyCapsule_IsValid(capsule.ptr(), capsule_name.c_str()))
    throw py::type_error(concat(op, ": ", name, ".__dlpack__() did not return a DLPack capsule"));
  if (capsule_name == "dltensor") {
    const py::capsule owner = own<Managed>(capsule, "used_dltensor");
    return wrap(op, name, owner.get_pointer<Managed>()->tensor, owner, false);
  }
  const py::capsule owner = own<ManagedVersioned>(capsule, "used_dltensor_versioned");
  const ManagedVersioned* managed = owner.get_pointer<ManagedVersioned>();
  if (managed->major > 1)
    throw py::type_error(
        concat(op, ": ", name, " uses DLPack version ", managed->major, "; version 1 is supported"));
  return wrap(op, name, managed->tensor, owner, managed->flags & kReadOnly);
}

}  // namespace onebyone::bindings
