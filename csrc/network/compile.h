// network/compile.h - from a graph to the steps of a Network. Called by network.cc; calls fuse.h, arena.h,
// conv/ and ops/.
//
// Every value gets a place (Slot). Images lie channels last, since that is where convolutions are fastest;
// other tensors lie as their shape says, and elementwise operations keep the order of their input. Views
// (transpose, slice, expand, most reshapes) are strides. What is joined is written into its part of the
// joined tensor; elementwise operations write over an input that nobody reads again.
#pragma once

#include "network/network.h"

namespace onebyone {

// Fills an empty network in.
template <class T>
void compile(Graph<T> graph, bool exact, const KernelTable& kernels, Network<T>& network);

}  // namespace onebyone
