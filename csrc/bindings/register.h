// bindings/register.h - the topics of the extension module, one file each; called by module.cc.
#pragma once

#include <pybind11/pybind11.h>

namespace onebyone::bindings {

void register_arrays(pybind11::module_& m);   // the owner of a result's memory
void register_config(pybind11::module_& m);   // threads, precision, memory, ISA, build, measured peak
void register_conv(pybind11::module_& m);     // conv2d, conv1d, linear, activate
void register_cuda(pybind11::module_& m);     // whether there is a GPU, its settings, arrays on it
void register_images(pybind11::module_& m);   // pooling, resizing, conv_transpose2d
void register_network(pybind11::module_& m);  // Graph, Network
void register_ops(pybind11::module_& m);      // batch_norm, softmax, add, concat, pad
void register_plan(pybind11::module_& m);     // Conv2dPlan

}  // namespace onebyone::bindings
