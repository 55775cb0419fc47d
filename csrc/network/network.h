// network/network.h - a compiled network: steps in order over one arena. Called by bindings/; made from a
// Graph by compile.cc. Knows memory and time. Does not know Python.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/tensor_view.h"
#include "cpu/kernels/kernel_table.h"
#include "network/graph.h"

namespace onebyone {

// Where a value lies: in a buffer, `offset` elements from its begin.
struct Slot {
  int buffer = -1;
  int64_t offset = 0;
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};
};

// Some memory that values lie in. Inputs and outputs are the caller's.
enum class BufferKind { kArena, kInput, kOutput, kConstant };
struct Buffer {
  BufferKind kind;
  int64_t size;   // elements
  int64_t place;  // in the arena or among the constants: elements; of inputs and outputs: which
};

template <class T>
struct Step {
  std::string name, op;  // the node's name; what is done: "conv", "max_pool"
  std::vector<Slot> inputs;
  Slot output;
  std::function<void(const TensorView<const T>* inputs, const TensorView<T>& output, int threads)> run;
  std::function<std::string(int threads)> describe;  // the plan, or null
  int64_t macs = 0;
  int64_t weight_bytes = 0;
  std::function<int64_t(int threads)> workspace_bytes;  // or null
};

struct NetworkMemory {
  int64_t weights, activations, workspace;  // bytes
};

struct StepTime {
  std::string name, op, output, plan;
  double seconds;
  int64_t macs;
};

template <class T>
class Network {
 public:
  // The array of an input or output: its shape as the caller sees it, contiguous.
  struct Port {
    std::string name;
    Dims shape;
  };

  // Fuses, chooses and packs. exact: no algorithm with larger rounding errors than the direct one. threads:
  // how many will probably run it.
  Network(Graph<T> graph, bool exact, const KernelTable& kernels, int threads);

  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& outputs() const { return outputs_; }

  // One array for each port. Safe to call from several threads at once: each call has an arena of its own.
  void run(const T* const* inputs, T* const* outputs, int threads) const;
  // The same, and how long each step took.
  std::vector<StepTime> profile(const T* const* inputs, T* const* outputs, int threads) const;

  NetworkMemory memory(int threads) const;
  // A line for each step: name, operation, output and plan.
  std::string describe(int threads) const;

 private:
  template <class U>
  friend class Compiler;

  Network() = default;

  // What the steps and the rest are given: the callers' arrays, and those between them.
  struct Arrays {
    AlignedBuffer<T> between;
    std::vector<T*> outputs, rest_outputs;
    std::vector<const T*> rest_inputs;
  };
  Arrays arrays(T* const* outputs) const;
  int64_t between_size() const;
  // The steps for one group of images, in an arena of its own.
  template <class Each>
  void run_steps(int64_t group, const T* const* inputs, T* const* outputs, int threads,
                 const Each& each) const;
  int64_t shared_groups(int threads) const;

  // The steps are run for each group of images of the batch (per_image.h), then the rest, if there is one.
  int64_t groups_ = 1;
  std::unique_ptr<Network> rest_;
  std::vector<size_t> rest_outputs_;  // which of the outputs, in order
  std::vector<Port> inputs_, outputs_;
  std::vector<Buffer> buffers_;
  std::vector<Step<T>> steps_;
  AlignedBuffer<T> constants_;
  int64_t arena_size_ = 0;  // elements
};

}  // namespace onebyone
