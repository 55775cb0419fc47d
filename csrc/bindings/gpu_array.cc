#include "bindings/gpu_array.h"

#include "bindings/arguments.h"
#include "bindings/dlpack.h"
#include "core/check.h"
#include "core/int_math.h"

namespace onebyone::bindings {
namespace {

constexpr Stream kLegacy = 1;  // CUDA's and DLPack's other number for the default stream
constexpr const char* kInterface = "__cuda_array_interface__";

bool on_cuda(dlpack::Device device) {
  return device.type == dlpack::kCuda || device.type == dlpack::kCudaManaged;
}

// object.name, or none if reading it fails (torch raises for tensors on the CPU, and with gradients).
py::object attribute(py::handle object, const char* name) {
  PyObject* value = PyObject_GetAttrString(object.ptr(), name);
  if (!value) PyErr_Clear();
  return value ? py::reinterpret_steal<py::object>(value) : py::none();
}

bool is_dlpack(py::handle object) {
  return py::hasattr(object, "__dlpack__") && py::hasattr(object, "__dlpack_device__");
}

int device_of_pointer(const py::dict& interface) {
  const auto address = interface["data"].cast<py::tuple>()[0].cast<std::uintptr_t>();
  int32_t device = 0;
  if (address != 0 && cuda_why_not().empty())
    check_cuda(kInterface, cuda_library().pointer_device(reinterpret_cast<const void*>(address), &device));
  return device;
}

[[noreturn]] void wrong_dtype(const std::string& op, const char* name, const std::string& dtype) {
  throw py::type_error(concat(op, ": ", name, " has dtype ", dtype,
                              "; on a GPU float32, float16 and bfloat16 are supported: convert it to one"));
}

CudaDtype dtype_of(const std::string& op, const char* name, dlpack::DataType type) {
  if (type.lanes == 1 && type.code == dlpack::kFloat && type.bits == 32) return CudaDtype::kFloat32;
  if (type.lanes == 1 && type.code == dlpack::kFloat && type.bits == 16) return CudaDtype::kFloat16;
  if (type.lanes == 1 && type.code == dlpack::kBfloat && type.bits == 16) return CudaDtype::kBfloat16;
  constexpr const char* kCodes[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const std::string code = type.code < std::size(kCodes) ? kCodes[type.code] : concat("code ", type.code);
  wrong_dtype(op, name, concat(code, static_cast<int>(type.bits)));
}

// Whether elements at these strides, in units of `unit` bytes an element, are dense in C order.
template <class Strides>
bool is_dense(const Shape& shape, const Strides& strides, int64_t unit) {
  int64_t expected = unit;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

GpuArray from_exporter(const std::string& op, const char* name, py::handle object, Stream stream) {
  const Exported exported = dlpack_export(op, name, object, py::int_(stream == 0 ? kLegacy : stream));
  const dlpack::Tensor& t = *exported.tensor;
  if (!on_cuda(t.device))
    throw py::type_error(concat(op, ": ", name, ".__dlpack__() gave an array ", place_text(t.device)));
  GpuArray array{.name = name,
                 .object = py::reinterpret_borrow<py::object>(object),
                 .data = static_cast<std::byte*>(t.data) + t.byte_offset,
                 .shape = Shape(t.shape, t.shape + t.ndim),
                 .dtype = dtype_of(op, name, t.dtype),
                 .owner = exported.owner,
                 .dense = true,
                 .read_only = exported.read_only};
  if (t.strides) array.dense = is_dense(array.shape, t.strides, 1);
  return array;
}

// https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html, versions 0 to 3.
GpuArray from_interface(const std::string& op, const char* name, py::handle object, int device,
                        Stream stream) {
  const py::dict interface = object.attr(kInterface);
  if (interface.contains("mask") && !interface["mask"].is_none())
    throw py::type_error(concat(op, ": ", name, " is a masked array"));
  const auto type = interface["typestr"].cast<std::string>();
  if (type != "<f4" && type != "<f2") wrong_dtype(op, name, type);
  const auto data = interface["data"].cast<py::tuple>();
  GpuArray array{.name = name,
                 .object = py::reinterpret_borrow<py::object>(object),
                 .data = reinterpret_cast<std::byte*>(data[0].cast<std::uintptr_t>()),
                 .shape = {},
                 .dtype = type == "<f4" ? CudaDtype::kFloat32 : CudaDtype::kFloat16,
                 .owner = py::reinterpret_borrow<py::object>(object),
                 .dense = true,
                 .read_only = data[1].cast<bool>()};
  for (const py::handle size : interface["shape"].cast<py::tuple>())
    array.shape.push_back(size.cast<py::ssize_t>());
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    Shape strides;
    for (const py::handle stride : interface["strides"].cast<py::tuple>())
      strides.push_back(stride.cast<py::ssize_t>());
    array.dense = is_dense(array.shape, strides, bytes_of(array.dtype));
  }
  const std::optional<Stream> theirs = interface_stream(object);
  if (theirs && *theirs != stream)
    check_cuda(op, cuda_library().wait(device, handle_of(stream), handle_of(*theirs)));
  return array;
}

}  // namespace

std::optional<int> gpu_of(py::handle object) {
  if (py::isinstance<py::array>(object) || object.is_none()) return std::nullopt;
  if (attribute(object, "is_cuda").ptr() == Py_False) return std::nullopt;
  if (is_dlpack(object)) {
    const std::optional<dlpack::Device> device = dlpack_device(object);
    return device && on_cuda(*device) ? std::optional<int>(device->id) : std::nullopt;
  }
  const py::object interface = attribute(object, kInterface);
  if (!py::isinstance<py::dict>(interface)) return std::nullopt;
  return device_of_pointer(interface);
}

std::string place_of(py::handle object) {
  if (const std::optional<int> device = gpu_of(object)) return concat("on cuda:", *device);
  if (is_dlpack(object))
    if (const std::optional<dlpack::Device> device = dlpack_device(object)) return place_text(*device);
  if (py::isinstance<py::array>(object) || py::hasattr(object, "__array_interface__")) return "in CPU memory";
  return concat("a ", std::string(py::str(py::type::handle_of(object).attr("__name__"))));
}

void throw_mixed(const std::string& op, const std::string& a, const std::string& a_place,
                 const std::string& b, const std::string& b_place) {
  throw py::type_error(concat(op, ": ", a, " is ", a_place, " and ", b, " is ", b_place,
                              "; the arrays of a call must lie in the same memory: move one of them"));
}

int64_t GpuArray::bytes() const {
  int64_t bytes = bytes_of(dtype);
  for (const py::ssize_t size : shape) bytes = checked_mul(bytes, size, "an array");
  return bytes;
}

GpuArray gpu_array(const std::string& op, const char* name, py::handle object, int device, Stream stream) {
  return is_dlpack(object) ? from_exporter(op, name, object, stream)
                           : from_interface(op, name, object, device, stream);
}

std::optional<Stream> interface_stream(py::handle object) {
  if (is_dlpack(object)) return std::nullopt;
  const py::object given = attribute(object, kInterface);
  if (!py::isinstance<py::dict>(given)) return std::nullopt;
  const auto interface = py::reinterpret_borrow<py::dict>(given);
  if (!interface.contains("stream") || interface["stream"].is_none()) return std::nullopt;
  const auto stream = interface["stream"].cast<Stream>();
  return stream == kLegacy ? 0 : stream;
}

Stream parse_stream(const std::string& op, py::handle value) {
  py::object number = py::reinterpret_borrow<py::object>(value);
  if (py::hasattr(value, "__cuda_stream__")) {
    // A method, and in the protocol's first version a pair: (version, address).
    const py::object given = value.attr("__cuda_stream__");
    const py::object pair = PyCallable_Check(given.ptr()) ? given() : given;
    number = pair.cast<py::tuple>()[1];
  } else {
    for (const char* name : {"cuda_stream", "ptr"})
      if (py::hasattr(value, name)) {
        number = value.attr(name);
        break;
      }
  }
  if (!PyIndex_Check(number.ptr()) || PyBool_Check(number.ptr()))
    throw py::type_error(concat(op, ": stream must be a CUDA stream's address as an int, or an object with ",
                                "__cuda_stream__, .cuda_stream or .ptr, got ", std::string(py::repr(value))));
  const int64_t stream = parse_int(op, "stream", number);
  if (stream < 0) fail(op, ": stream must not be negative, got ", stream);
  return stream == static_cast<int64_t>(kLegacy) ? 0 : static_cast<Stream>(stream);
}

}  // namespace onebyone::bindings
