#include "bindings/owned_gpu_array.h"

#include <pybind11/stl.h>

#include <memory>

#include "bindings/dlpack.h"
#include "core/check.h"
#include "core/int_math.h"
#include "gpu/memory.h"

namespace onebyone::bindings {
namespace {

constexpr Stream kLegacy = 1;

struct OwnedArray {
  std::shared_ptr<const CudaMemory> memory;
  Shape shape;
  CudaDtype dtype;
};

// What a capsule points at, whichever its version.
template <class M>
struct Export {
  M managed{};
  std::vector<int64_t> shape;
  std::shared_ptr<const CudaMemory> memory;
};

template <class M>
py::object capsule(const OwnedArray& array, const char* name) {
  auto exported = std::make_unique<Export<M>>();
  exported->shape.assign(array.shape.begin(), array.shape.end());
  exported->memory = array.memory;
  M& managed = exported->managed;
  managed.tensor = {.data = array.memory->data(),
                    .device = {dlpack::kCuda, array.memory->device()},
                    .ndim = static_cast<int32_t>(exported->shape.size()),
                    .dtype = {array.dtype == CudaDtype::kBfloat16 ? dlpack::kBfloat : dlpack::kFloat,
                              static_cast<uint8_t>(8 * bytes_of(array.dtype)), 1},
                    .shape = exported->shape.data(),
                    .strides = nullptr,
                    .byte_offset = 0};
  managed.context = exported.get();
  managed.deleter = [](M* m) { delete static_cast<Export<M>*>(m->context); };
  if constexpr (std::is_same_v<M, dlpack::ManagedVersioned>) managed.major = 1;
  // A capsule that was taken has another name, and its new owner calls the deleter.
  const auto drop = [](PyObject* object) {
    const char* its_name = PyCapsule_GetName(object);
    if (its_name && std::string(its_name).starts_with("dltensor")) {
      auto* m = static_cast<M*>(PyCapsule_GetPointer(object, its_name));
      m->deleter(m);
    }
  };
  PyObject* made = PyCapsule_New(&managed, name, drop);
  if (!made) throw py::error_already_set();
  exported.release();
  return py::reinterpret_steal<py::object>(made);
}

py::object export_array(const OwnedArray& array, const py::object& stream, const py::object& max_version,
                        const py::object& dl_device, const py::object& copy) {
  if (!dl_device.is_none() &&
      dl_device.cast<std::pair<int, int>>() != std::pair<int, int>(dlpack::kCuda, array.memory->device()))
    throw py::buffer_error("__dlpack__: the array cannot be exported to another device");
  if (!copy.is_none() && copy.cast<bool>())
    throw py::buffer_error("__dlpack__: the array is exported without a copy alone");
  // -1: the consumer sees to the order itself; None: the default stream.
  const int64_t number = stream.is_none() ? 0 : stream.cast<int64_t>();
  void* const reader = handle_of(number == static_cast<int64_t>(kLegacy) ? 0 : static_cast<Stream>(number));
  const CudaMemory& memory = *array.memory;
  if (number >= 0 && reader != memory.stream())
    check_cuda("__dlpack__", cuda_library().wait(memory.device(), reader, memory.stream()));
  if (!max_version.is_none() && max_version.cast<py::tuple>()[0].cast<int>() >= 1)
    return capsule<dlpack::ManagedVersioned>(array, "dltensor_versioned");
  return capsule<dlpack::Managed>(array, "dltensor");
}

py::dict interface(const OwnedArray& array) {
  if (array.dtype == CudaDtype::kBfloat16)
    throw py::attribute_error("the CUDA array interface has no bfloat16; use DLPack");
  py::dict dict;
  dict["shape"] = py::tuple(py::cast(array.shape));
  dict["typestr"] = array.dtype == CudaDtype::kFloat32 ? "<f4" : "<f2";
  dict["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(array.memory->data()), false);
  dict["strides"] = py::none();
  dict["version"] = 3;
  const auto stream = reinterpret_cast<Stream>(array.memory->stream());
  dict["stream"] = stream == 0 ? kLegacy : stream;
  return dict;
}

}  // namespace

py::object owned_gpu_array(const Shape& shape, CudaDtype dtype, int device, Stream stream) {
  int64_t bytes = bytes_of(dtype);
  for (const py::ssize_t size : shape) bytes = checked_mul(bytes, size, "the result");
  return py::cast(
      OwnedArray{std::make_shared<const CudaMemory>(bytes, device, handle_of(stream)), shape, dtype});
}

void register_gpu_arrays(py::module_& m) {
  py::class_<OwnedArray>(m, "CudaArray")
      .def("__dlpack__", &export_array, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
           py::arg("copy") = py::none())
      .def("__dlpack_device__",
           [](const OwnedArray& a) {
             return py::make_tuple(static_cast<int>(dlpack::kCuda), a.memory->device());
           })
      .def_property_readonly("__cuda_array_interface__", &interface)
      .def_property_readonly("shape", [](const OwnedArray& a) { return py::tuple(py::cast(a.shape)); })
      .def_property_readonly("dtype", [](const OwnedArray& a) { return to_string(a.dtype); })
      .def("__repr__", [](const OwnedArray& a) {
        return concat("<onebyone.cuda.Array ", shape_text(a.shape), " ", to_string(a.dtype),
                      " on cuda:", a.memory->device(), ">");
      });
}

}  // namespace onebyone::bindings
