// core/precision.h - how far a result may stray from plain float sums: one setting of the process. A leaf.
// Read by bindings/, which puts it into each ConvSpec; what exists already keeps what it was made with.
#pragma once

#include <string>

namespace onebyone {

enum class Precision {
  kFast,  // algorithms that trade rounding for speed (Winograd) may be chosen within their stated bound
  kExact  // none of them is: an error like that of the direct method
};
const char* to_string(Precision precision);
// Throws std::invalid_argument listing the values; `name` is the caller's for the message.
Precision parse_precision(const std::string& name, const std::string& text);

// The first default: ONEBYONE_PRECISION, else fast. Any thread may set it; threads see it at their next call.
Precision get_precision();
void set_precision(Precision precision);

}  // namespace onebyone
