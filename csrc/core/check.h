// core/check.h - errors that teach: the values go into the message. A leaf.
// std::invalid_argument becomes Python's ValueError.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace onebyone {

template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream text;
  (text << ... << args);
  return text.str();
}

template <class... Args>
[[noreturn]] void fail(const Args&... args) {
  throw std::invalid_argument(concat(args...));
}

}  // namespace onebyone
