// bindings/owned_gpu_array.h - results for libraries that have no way to make an array for us:
// onebyone.cuda.Array, memory of the CUDA library that is handed over through DLPack. Called by
// array_library.cc.
#pragma once

#include "bindings/gpu_array.h"

namespace onebyone::bindings {

// A fresh C-ordered one, uninitialised. Its memory is taken and given back in the order of `stream`, which
// has to outlive it.
py::object owned_gpu_array(const Shape& shape, CudaDtype dtype, int device, Stream stream);

// Its class, as onebyone._core.CudaArray.
void register_gpu_arrays(py::module_& m);

}  // namespace onebyone::bindings
