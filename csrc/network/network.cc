#include "network/network.h"

#include <algorithm>
#include <chrono>

#include "network/compile.h"

namespace onebyone {
namespace {

template <class T>
TensorView<T> view_at(const Slot& slot, T* buffer) {
  TensorView<T> view;
  view.data = buffer + slot.offset;
  view.rank = slot.rank;
  std::copy_n(slot.shape, kMaxRank, view.shape);
  std::copy_n(slot.strides, kMaxRank, view.strides);
  return view;
}

std::string shape_of(const Slot& slot) { return dims_text(Dims(slot.shape, slot.shape + slot.rank)); }

}  // namespace

template <class T>
Network<T>::Network(Graph<T> graph, bool exact, const KernelTable& kernels) {
  compile(std::move(graph), exact, kernels, *this);
}

template <class T>
template <class Each>
void Network<T>::run_steps(const T* const* inputs, T* const* outputs, int threads, const Each& each) const {
  AlignedBuffer<T> arena(arena_size_);
  std::vector<T*> bases;
  bases.reserve(buffers_.size());
  for (const Buffer& buffer : buffers_) {
    switch (buffer.kind) {
      case BufferKind::kArena: bases.push_back(arena.data() + buffer.place); break;
      case BufferKind::kOutput: bases.push_back(outputs[buffer.place]); break;
      // Never an output of a step.
      case BufferKind::kInput: bases.push_back(const_cast<T*>(inputs[buffer.place])); break;
      case BufferKind::kConstant: bases.push_back(const_cast<T*>(constants_.data()) + buffer.place); break;
    }
  }
  std::vector<TensorView<const T>> views;
  for (const Step<T>& step : steps_) {
    views.clear();
    for (const Slot& slot : step.inputs) views.push_back(view_at<const T>(slot, bases[slot.buffer]));
    const TensorView<T> output = view_at(step.output, bases[step.output.buffer]);
    each(step, [&] { step.run(views.data(), output, threads); });
  }
}

template <class T>
void Network<T>::run(const T* const* inputs, T* const* outputs, int threads) const {
  run_steps(inputs, outputs, threads, [](const Step<T>&, const auto& run_step) { run_step(); });
}

template <class T>
std::vector<StepTime> Network<T>::profile(const T* const* inputs, T* const* outputs, int threads) const {
  using Clock = std::chrono::steady_clock;
  std::vector<StepTime> times;
  run_steps(inputs, outputs, threads, [&](const Step<T>& step, const auto& run_step) {
    const Clock::time_point start = Clock::now();
    run_step();
    times.push_back({.name = step.name,
                     .op = step.op,
                     .output = shape_of(step.output),
                     .plan = step.describe ? step.describe(threads) : std::string(),
                     .seconds = std::chrono::duration<double>(Clock::now() - start).count(),
                     .macs = step.macs});
  });
  return times;
}

template <class T>
NetworkMemory Network<T>::memory(int threads) const {
  NetworkMemory memory{constants_.bytes(), arena_size_ * static_cast<int64_t>(sizeof(T)), 0};
  for (const Step<T>& step : steps_) {
    memory.weights += step.weight_bytes;
    if (step.workspace_bytes) memory.workspace = std::max(memory.workspace, step.workspace_bytes(threads));
  }
  return memory;
}

template <class T>
std::string Network<T>::describe(int threads) const {
  std::string text;
  for (const Step<T>& step : steps_) {
    text += concat(step.name.empty() ? step.op : step.name, " -> ", shape_of(step.output), ": ",
                   step.describe ? step.describe(threads) : step.op, "\n");
  }
  return text;
}

template class Network<float>;
template class Network<double>;

}  // namespace onebyone
