// bindings/arguments.h - Python's ways to write stride, padding, activation, ... as the core's types.
// Wrong types raise TypeError, wrong values ValueError; both name the argument.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "conv/plan.h"
#include "core/geometry.h"

namespace onebyone::bindings {

namespace py = pybind11;

int64_t parse_int(const std::string& op, const char* name, py::handle value);
bool parse_bool(const std::string& op, const char* name, py::handle value);
// Anything that float() takes; `expected` is what the message asks for.
double parse_number(const std::string& op, const char* name, py::handle value,
                    const char* expected = "a number");
// int or (h, w)
Pair parse_pair(const std::string& op, const char* name, py::handle value);
// int, (h, w), ((top, bottom), (left, right)), "valid" or "same"
Padding parse_padding(const std::string& op, py::handle value);
// The same, numbers alone
Edges parse_edges(const std::string& op, py::handle value);
// int, (w,), ((left, right),), "valid" or "same": one spatial axis, taken as the width
Padding parse_padding_1d(const std::string& op, py::handle value);
// int or (w,), as (1, w)
Pair parse_single(const std::string& op, const char* name, py::handle value);
// None, a name, ("leaky_relu", slope) or ("clip", lo, hi)
Activation parse_activation(const std::string& op, py::handle value);
// `first` and `last` are the names for channels first and channels last.
Layout parse_layout(const std::string& op, py::handle value, const char* first, const char* last);
// None as 0: as many as get_num_threads() says at each call.
int parse_threads(const std::string& op, py::handle value);
Algorithm parse_algorithm(const std::string& op, py::handle value);

}  // namespace onebyone::bindings
