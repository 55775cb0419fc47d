// bindings/gil.h - lets other Python threads run while the core computes.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

namespace onebyone::bindings {

// pybind11's gil_scoped_release, but for the end of the interpreter. A daemon thread that wants the GIL back
// then is ended by Python before 3.14 through an unwinding of its stack, which aborts the process in a
// destructor, and would drop references without the GIL in those below. It stays here instead, as from 3.14
// on, until the process ends.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;
  ~GilRelease() {
#if defined(__GLIBCXX__)
    try {
      PyEval_RestoreThread(state_);
    } catch (const abi::__forced_unwind&) {
      while (true) pause();
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }

 private:
  PyThreadState* const state_;
};

}  // namespace onebyone::bindings
