// network/arrangement.h - what can be said of a graph's values and nodes before any of them has a place:
// which convolutions form chains, which values are parts of others, when each is read last. Called by
// compile.cc.
#pragma once

#include <vector>

#include "network/steps.h"

namespace onebyone {

inline constexpr int kNoNode = -1;

// A value that is written into its part of a joined one.
struct Parent {
  ValueId value = kNoNode;
  int axis = 0;
  int64_t start = 0;
};

struct Arrangement {
  std::vector<int> next_in_chain, before_in_chain;  // by node; kNoNode at the ends
  std::vector<Parent> parents;                      // by value
  std::vector<ValueId> memory_of;  // by value: whose memory its own is part of, as far as views can say
  std::vector<size_t> last_read;   // by value that has memory of its own: the last node that reads from it
  std::vector<int> output_of;      // by value: the first output that it is, or kNoNode
};

template <class T>
Arrangement arrange(const Graph<T>& graph, const StepMaker<T>& maker);

// What a convolution of the graph is asked for (StepMaker::conv_spec).
template <class T>
ConvSpec conv_spec_of(const Graph<T>& graph, const StepMaker<T>& maker, const Node<T>& node,
                      const ConvOp<T>& op, int64_t out_step, ConvRole role) {
  return maker.conv_spec(node.name, op, graph.shape(node.inputs[0]), node.inputs.size() > op.residual_at(),
                         out_step, role);
}

}  // namespace onebyone
