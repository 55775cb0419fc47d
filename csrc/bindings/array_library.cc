#include "bindings/array_library.h"

#include <pybind11/stl.h>

#include "bindings/owned_gpu_array.h"
#include "core/check.h"

namespace onebyone::bindings {
namespace {

// sys.modules[library] if `array` is an instance of the class it names.
py::object module_of(py::handle array, const char* library, const char* cls) {
  const py::dict modules = py::module_::import("sys").attr("modules");
  if (!modules.contains(library)) return py::none();
  py::object module = modules[library];
  if (!py::hasattr(module, cls) || !py::isinstance(array, module.attr(cls))) return py::none();
  return module;
}

}  // namespace

Entered::Entered(py::object manager) : manager_(std::move(manager)) {
  if (!manager_.is_none()) manager_.attr("__enter__")();
}

Entered::~Entered() {
  if (manager_.is_none()) return;
  try {
    manager_.attr("__exit__")(py::none(), py::none(), py::none());
  } catch (py::error_already_set& error) {
    error.discard_as_unraisable("onebyone");
  }
}

ArrayLibrary::ArrayLibrary(py::handle array, int device) : array_(array), device_(device) {
  if (module_ = module_of(array, "torch", "Tensor"); !module_.is_none())
    kind_ = Kind::kTorch;
  else if (module_ = module_of(array, "cupy", "ndarray"); !module_.is_none())
    kind_ = Kind::kCupy;
}

py::object ArrayLibrary::on_cuda() const { return module_.attr("cuda"); }

Stream ArrayLibrary::current_stream() const {
  switch (kind_) {
    case Kind::kTorch: return on_cuda().attr("current_stream")(device_).attr("cuda_stream").cast<Stream>();
    case Kind::kCupy: return on_cuda().attr("get_current_stream")(device_).attr("ptr").cast<Stream>();
    default: return interface_stream(array_).value_or(0);
  }
}

py::object ArrayLibrary::device_context() const {
  switch (kind_) {
    case Kind::kTorch:
      if (on_cuda().attr("current_device")().cast<int>() == device_) return py::none();
      return on_cuda().attr("device")(device_);
    case Kind::kCupy:
      if (on_cuda().attr("runtime").attr("getDevice")().cast<int>() == device_) return py::none();
      return on_cuda().attr("Device")(device_);
    default: return py::none();
  }
}

py::object ArrayLibrary::torch_stream(Stream stream) const {
  return on_cuda().attr("ExternalStream")(stream, py::arg("device") = device_);
}

py::object ArrayLibrary::stream_context(Stream stream) const {
  switch (kind_) {
    case Kind::kTorch: return on_cuda().attr("stream")(torch_stream(stream));
    case Kind::kCupy: return on_cuda().attr("ExternalStream")(stream, device_);
    default: return py::none();
  }
}

py::object ArrayLibrary::empty(const Shape& shape, CudaDtype dtype, Stream stream) const {
  const py::tuple size = py::cast(shape);
  switch (kind_) {
    case Kind::kTorch:
      return module_.attr("empty")(size, py::arg("dtype") = module_.attr(to_string(dtype)),
                                   py::arg("device") = concat("cuda:", device_));
    case Kind::kCupy: return module_.attr("empty")(size, py::arg("dtype") = to_string(dtype));
    default: return owned_gpu_array(shape, dtype, device_, stream);
  }
}

py::object ArrayLibrary::adopted(const py::object& made) const {
  return kind_ == Kind::kOther ? in_library_of(array_, made) : made;
}

py::object ArrayLibrary::contiguous(const std::string& op, const char* name, const py::object& array) const {
  switch (kind_) {
    case Kind::kTorch: return array.attr("contiguous")();
    case Kind::kCupy: return module_.attr("ascontiguousarray")(array);
    default:
      fail(op, ": ", name, " is not C-contiguous; copy it by its own library (torch's and CuPy's arrays are ",
           "copied without asking)");
  }
}

py::object ArrayLibrary::snapshot(const py::object& array) const {
  switch (kind_) {
    case Kind::kTorch: return array.attr("clone")();
    case Kind::kCupy: return array.attr("copy")();
    default: return array;
  }
}

void ArrayLibrary::record_stream(const py::object& array, Stream stream) const {
  if (kind_ == Kind::kTorch) array.attr("record_stream")(torch_stream(stream));
}

}  // namespace onebyone::bindings
