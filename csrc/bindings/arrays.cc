#include "bindings/arrays.h"

#include <algorithm>
#include <bit>

#include "bindings/dlpack.h"
#include "bindings/register.h"
#include "core/aligned_buffer.h"
#include "core/check.h"

namespace onebyone::bindings {
namespace {

// What owns the memory of a big result.
using Memory = AlignedBuffer<std::byte>;

constexpr int kNumpyFloat32 = 11, kNumpyFloat64 = 12;  // NPY_FLOAT, NPY_DOUBLE

std::string type_name(py::handle object) { return py::str(py::type::handle_of(object).attr("__name__")); }

// Shares the memory of any array that can be shared; dtype and alignment as they come.
py::array any_array(const std::string& op, const char* name, py::handle object) {
  if (py::isinstance<py::array>(object)) {
    // A mask would be dropped without a word. Plain arrays, the usual case, are not asked.
    if (Py_TYPE(object.ptr()) != py::detail::npy_api::get().PyArray_Type_ && py::hasattr(object, "mask"))
      throw py::type_error(concat(op, ": ", name, " is a masked array; use its filled() method"));
    return py::reinterpret_borrow<py::array>(object);
  }
  if (py::hasattr(object, "__dlpack__")) return from_dlpack(op, name, object);
  if (py::hasattr(object, "__array_interface__")) return py::module_::import("numpy").attr("asarray")(object);
  throw py::type_error(
      concat(op, ": ", name, " must be a NumPy array or a CPU array with DLPack or the array ",
             "interface, got ", type_name(object), "; convert it with numpy.asarray(..., 'float32')"));
}

bool is_native_float(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const int number = dtype.num();
  const char order = dtype.byteorder();
  // NumPy may write the native order out.
  constexpr char kNative = std::endian::native == std::endian::little ? '<' : '>';
  return (number == kNumpyFloat32 || number == kNumpyFloat64) &&
         (order == '=' || order == '|' || order == kNative);
}

// Elements at addresses and strides that are whole elements.
bool is_aligned(const py::array& array) {
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) return false;
  for (py::ssize_t i = 0; i < array.ndim(); ++i)
    if (array.strides(i) % array.itemsize() != 0) return false;
  return true;
}

void check_native_float(const std::string& op, const char* name, const py::array& array) {
  if (is_native_float(array)) return;
  throw py::type_error(concat(op, ": ", name, " has dtype ", std::string(py::str(array.dtype())),
                              "; float32 and float64 in native byte order are supported: convert it with ",
                              name, ".astype('float32')"));
}

// First byte and one past the last byte that the array can reach.
std::pair<const char*, const char*> byte_range(const py::array& array) {
  const char* low = static_cast<const char*>(array.data());
  const char* high = low;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    const py::ssize_t reach = (array.shape(i) - 1) * array.strides(i);
    (reach < 0 ? low : high) += reach;
  }
  return {low, high + array.itemsize()};
}

}  // namespace

const char* to_string(Dtype dtype) { return dtype == Dtype::kFloat32 ? "float32" : "float64"; }

std::string shape_text(ShapeView shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += concat(i ? ", " : "", shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string shape_text(const py::array& array) { return shape_text(shape_view(array)); }

py::array input_array(const std::string& op, const char* name, py::handle object) {
  py::array array = any_array(op, name, object);
  check_native_float(op, name, array);
  return is_aligned(array) ? array : py::array(array.attr("copy")());
}

Dtype dtype_of(const py::array& array) { return array.itemsize() == 4 ? Dtype::kFloat32 : Dtype::kFloat64; }

void check_same_dtype(const std::string& op, const char* name, const py::array& array, Dtype dtype) {
  if (dtype_of(array) != dtype)
    throw py::type_error(concat(op, ": ", name, " has dtype ", to_string(dtype_of(array)),
                                ", the others have ", to_string(dtype), "; convert it with ", name,
                                ".astype('", to_string(dtype), "')"));
}

py::array output_array(const std::string& op, py::handle object, Dtype dtype, const Shape& shape) {
  py::array out = any_array(op, "out", object);
  if (!is_native_float(out) || dtype_of(out) != dtype)
    fail(op, ": out has dtype ", std::string(py::str(out.dtype())), ", the result has ", to_string(dtype));
  if (!std::equal(shape.begin(), shape.end(), out.shape(), out.shape() + out.ndim()))
    fail(op, ": out has shape ", shape_text(out), ", the result has ", shape_text(shape));
  if (!(out.flags() & py::array::c_style) || !is_aligned(out))
    fail(op, ": out must be C-contiguous; use numpy.empty(", shape_text(shape), ", '", to_string(dtype),
         "')");
  if (!out.writeable()) fail(op, ": out is read-only");
  return out;
}

void check_no_overlap(const std::string& op, const py::array& out, const char* name, const py::array& input) {
  if (out.size() == 0 || input.size() == 0) return;
  const auto [out_begin, out_end] = byte_range(out);
  const auto [begin, end] = byte_range(input);
  if (out_end <= begin || end <= out_begin) return;
  // The ranges meet; whether elements do is NumPy's exact (and slower) question.
  if (py::module_::import("numpy").attr("shares_memory")(out, input).cast<bool>())
    fail(op, ": out overlaps ", name, " in memory; use an array of its own");
}

py::array empty_array(Dtype dtype, const Shape& shape) {
  const py::dtype type = dtype == Dtype::kFloat32 ? py::dtype::of<float>() : py::dtype::of<double>();
  int64_t bytes = type.itemsize();
  for (const py::ssize_t size : shape) bytes = checked_mul(bytes, size, "the result");
  if (bytes < kRecycleFrom) return py::array(type, shape);
  py::object memory = py::cast(Memory(bytes));
  return py::array(type, shape, memory.cast<Memory&>().data(), memory);
}

// A buffer, so that NumPy lets the array's writeable flag be cleared and set again.
void register_arrays(py::module_& m) {
  py::class_<Memory>(m, "_Memory", py::buffer_protocol()).def_buffer([](Memory& memory) {
    return py::buffer_info(memory.data(), 1, "B", memory.size());
  });
}

py::object in_library_of(py::handle like, py::object result) {
  if (py::isinstance<py::array>(like)) return result;
  py::object library;
  if (py::hasattr(like, "__array_namespace__")) {
    library = like.attr("__array_namespace__")();
  } else {
    const std::string module = py::str(py::type::handle_of(like).attr("__module__"));
    const py::dict modules = py::module_::import("sys").attr("modules");
    const py::str root(module.substr(0, module.find('.')));
    if (modules.contains(root)) library = modules[root];
  }
  if (library && py::hasattr(library, "from_dlpack")) return library.attr("from_dlpack")(result);
  return result;
}

py::array contiguous(const py::array& array) {
  if (array.flags() & py::array::c_style) return array;
  return py::module_::import("numpy").attr("ascontiguousarray")(array);
}

}  // namespace onebyone::bindings
