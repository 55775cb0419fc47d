#include "bindings/arguments.h"

#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/parallel.h"

namespace onebyone::bindings {
namespace {

std::string repr_of(py::handle value) { return py::repr(value); }

bool is_int(py::handle value) { return PyIndex_Check(value.ptr()) && !PyBool_Check(value.ptr()); }
bool is_sequence(py::handle value) { return PyTuple_Check(value.ptr()) || PyList_Check(value.ptr()); }

[[noreturn]] void wrong_type(const std::string& op, const char* name, const char* expected,
                             py::handle value) {
  throw py::type_error(concat(op, ": ", name, " must be ", expected, ", got ", repr_of(value)));
}

int64_t to_int64(const std::string& op, const char* name, py::handle value) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long result = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow) fail(op, ": ", name, " ", repr_of(value), " does not fit into 64 bits");
  return result;
}

struct NamedActivation {
  const char* name;
  Activation activation;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
const NamedActivation kActivations[] = {
    {"relu", {ActivationKind::kClip, 0, kInfinity}},
    {"relu6", {ActivationKind::kClip, 0, 6}},
    {"leaky_relu", {ActivationKind::kLeakyRelu, 0.01, 0}},
    {"sigmoid", {ActivationKind::kSigmoid, 0, 0}},
    {"tanh", {ActivationKind::kTanh, 0, 0}},
    {"silu", {ActivationKind::kSilu, 0, 0}},
    {"hardswish", {ActivationKind::kHardswish, 0, 0}},
    {"hardsigmoid", {ActivationKind::kHardsigmoid, 0, 0}},
    {"gelu", {ActivationKind::kGelu, 0, 0}},
};

double activation_parameter(const std::string& op, py::handle value) {
  if (!PyFloat_Check(value.ptr()) && !is_int(value) && !py::hasattr(value, "__float__"))
    wrong_type(op, "activation's parameter", "a number", value);
  const double number = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred()) throw py::error_already_set();
  if (std::isnan(number)) fail(op, ": activation's parameter must not be NaN");
  return number;
}

[[noreturn]] void wrong_activation(const std::string& op, py::handle value) {
  std::string names;
  for (const NamedActivation& a : kActivations) names += concat("'", a.name, "', ");
  fail(op, ": activation must be None, ", names, "('leaky_relu', slope) or ('clip', lo, hi), got ",
       repr_of(value));
}

}  // namespace

int64_t parse_int(const std::string& op, const char* name, py::handle value) {
  if (!is_int(value)) wrong_type(op, name, "an int", value);
  return to_int64(op, name, value);
}

bool parse_bool(const std::string& op, const char* name, py::handle value) {
  if (!PyBool_Check(value.ptr())) wrong_type(op, name, "True or False", value);
  return value.ptr() == Py_True;
}

double parse_number(const std::string& op, const char* name, py::handle value, const char* expected) {
  const double number = PyFloat_AsDouble(value.ptr());
  if (!PyErr_Occurred()) return number;
  PyErr_Clear();
  wrong_type(op, name, expected, value);
}

Pair parse_pair(const std::string& op, const char* name, py::handle value) {
  if (is_int(value)) {
    const int64_t v = to_int64(op, name, value);
    return {v, v};
  }
  if (!is_sequence(value)) wrong_type(op, name, "an int or (h, w)", value);
  const py::sequence items = py::reinterpret_borrow<py::sequence>(value);
  if (items.size() != 2) fail(op, ": ", name, " must be an int or (h, w), got ", repr_of(value));
  return {parse_int(op, name, py::object(items[0])), parse_int(op, name, py::object(items[1]))};
}

Pair parse_single(const std::string& op, const char* name, py::handle value) {
  if (is_int(value)) return {1, to_int64(op, name, value)};
  if (!is_sequence(value)) wrong_type(op, name, "an int or a tuple of one int", value);
  const py::sequence items = py::reinterpret_borrow<py::sequence>(value);
  if (items.size() != 1) fail(op, ": ", name, " must be an int or a tuple of one int, got ", repr_of(value));
  return {1, parse_int(op, name, py::object(items[0]))};
}

namespace {

Padding parse_padding_name(const std::string& op, py::handle value) {
  const std::string name = py::str(value);
  if (name == "valid") return AutoPadding::kValid;
  if (name == "same") return AutoPadding::kSame;
  fail(op, ": padding must be numbers, 'valid' or 'same', got ", repr_of(value));
}

}  // namespace

Padding parse_padding(const std::string& op, py::handle value) {
  if (PyUnicode_Check(value.ptr())) return parse_padding_name(op, value);
  if (is_sequence(value)) {
    const py::sequence items = py::reinterpret_borrow<py::sequence>(value);
    if (items.size() == 2 && is_sequence(py::object(items[0])) && is_sequence(py::object(items[1]))) {
      const Pair h = parse_pair(op, "padding", py::object(items[0]));
      const Pair w = parse_pair(op, "padding", py::object(items[1]));
      return Edges{h.h, h.w, w.h, w.w};
    }
    if (items.size() != 2)
      fail(op, ": padding must be an int, (h, w), ((top, bottom), (left, right)), 'valid' or 'same', got ",
           repr_of(value));
  } else if (!is_int(value)) {
    wrong_type(op, "padding", "an int, (h, w), ((top, bottom), (left, right)), 'valid' or 'same'", value);
  }
  const Pair pad = parse_pair(op, "padding", value);
  return Edges{pad.h, pad.h, pad.w, pad.w};
}

Edges parse_edges(const std::string& op, py::handle value) {
  if (PyUnicode_Check(value.ptr()))
    wrong_type(op, "padding", "an int, (h, w) or ((top, bottom), (left, right))", value);
  return std::get<Edges>(parse_padding(op, value));
}

Padding parse_padding_1d(const std::string& op, py::handle value) {
  if (PyUnicode_Check(value.ptr())) return parse_padding_name(op, value);
  if (is_sequence(value)) {
    const py::sequence items = py::reinterpret_borrow<py::sequence>(value);
    if (items.size() == 1 && is_sequence(py::object(items[0]))) {
      const Pair edges = parse_pair(op, "padding", py::object(items[0]));
      return Edges{0, 0, edges.h, edges.w};
    }
  }
  const int64_t pad = parse_single(op, "padding", value).w;
  return Edges{0, 0, pad, pad};
}

Activation parse_activation(const std::string& op, py::handle value) {
  if (value.is_none()) return {};
  if (PyUnicode_Check(value.ptr())) {
    const std::string name = py::str(value);
    for (const NamedActivation& a : kActivations)
      if (name == a.name) return a.activation;
    wrong_activation(op, value);
  }
  if (!is_sequence(value))
    wrong_type(op, "activation", "None, a name or a tuple (name, parameter, ...)", value);
  const py::sequence items = py::reinterpret_borrow<py::sequence>(value);
  if (items.size() == 0 || !PyUnicode_Check(py::object(items[0]).ptr())) wrong_activation(op, value);
  const std::string name = py::str(py::object(items[0]));
  if (name == "leaky_relu" && items.size() == 2)
    return {ActivationKind::kLeakyRelu, activation_parameter(op, py::object(items[1])), 0};
  if (name == "clip" && items.size() == 3) {
    const double lo = activation_parameter(op, py::object(items[1]));
    const double hi = activation_parameter(op, py::object(items[2]));
    if (lo > hi) fail(op, ": activation ('clip', lo, hi) needs lo <= hi, got ", repr_of(value));
    return {ActivationKind::kClip, lo, hi};
  }
  wrong_activation(op, value);
}

Layout parse_layout(const std::string& op, py::handle value, const char* first, const char* last) {
  if (!PyUnicode_Check(value.ptr()))
    wrong_type(op, "layout", concat("'", first, "' or '", last, "'").c_str(), value);
  const std::string name = py::str(value);
  if (name == first) return Layout::kNchw;
  if (name == last) return Layout::kNhwc;
  fail(op, ": layout must be '", first, "' or '", last, "', got ", repr_of(value));
}

Algorithm parse_algorithm(const std::string& op, py::handle value) {
  if (!PyUnicode_Check(value.ptr())) wrong_type(op, "algorithm", "a string", value);
  const std::string name = py::str(value);
  std::string names;
  for (const Algorithm a : kAlgorithms) {
    if (name == to_string(a)) return a;
    names += concat(names.empty() ? "'" : ", '", to_string(a), "'");
  }
  fail(op, ": algorithm must be one of ", names, ", got ", repr_of(value));
}

int parse_threads(const std::string& op, py::handle value) {
  if (value.is_none()) return 0;
  const int64_t n = parse_int(op, "num_threads", value);
  if (n < 1 || n > kMaxThreads) fail(op, ": num_threads must be from 1 to ", kMaxThreads, ", got ", n);
  return static_cast<int>(n);
}

}  // namespace onebyone::bindings
