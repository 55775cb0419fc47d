#include "network/network.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "core/parallel.h"
#include "network/compile.h"
#include "network/per_image.h"

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
Network<T>::Network(Graph<T> graph, bool exact, const KernelTable& kernels, int threads) {
  BatchSplit<T> split = split_batch(graph, threads);
  groups_ = split.groups;
  rest_outputs_ = std::move(split.rest_outputs);
  compile(std::move(graph), exact, kernels, *this);
  if (groups_ == 1) return;
  for (std::vector<Port>* ports : {&inputs_, &outputs_})
    for (Port& port : *ports) port.shape[0] *= groups_;
  if (!split.rest) return;
  rest_.reset(new Network);
  compile(std::move(*split.rest), exact, kernels, *rest_);
  // Its inputs are no outputs for the caller.
  outputs_.resize(outputs_.size() - rest_->inputs_.size());
  for (size_t i = 0; i < rest_outputs_.size(); ++i)
    outputs_.insert(outputs_.begin() + static_cast<std::ptrdiff_t>(rest_outputs_[i]), rest_->outputs_[i]);
}

template <class T>
typename Network<T>::Arrays Network<T>::arrays(T* const* outputs) const {
  Arrays arrays;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const bool in_rest = std::binary_search(rest_outputs_.begin(), rest_outputs_.end(), i);
    (in_rest ? arrays.rest_outputs : arrays.outputs).push_back(outputs[i]);
  }
  if (!rest_) return arrays;
  arrays.between = AlignedBuffer<T>(between_size());
  T* next = arrays.between.data();
  for (const Port& port : rest_->inputs_) {
    arrays.outputs.push_back(next);
    arrays.rest_inputs.push_back(next);
    next += element_count(port.shape);
  }
  return arrays;
}

template <class T>
int64_t Network<T>::between_size() const {
  int64_t size = 0;
  if (rest_)
    for (const Port& port : rest_->inputs_) size += element_count(port.shape);
  return size;
}

template <class T>
template <class Each>
void Network<T>::run_steps(int64_t group, const T* const* inputs, T* const* outputs, int threads,
                           const Each& each) const {
  AlignedBuffer<T> arena(arena_size_);
  std::vector<T*> bases;
  bases.reserve(buffers_.size());
  for (const Buffer& buffer : buffers_) {
    switch (buffer.kind) {
      case BufferKind::kArena: bases.push_back(arena.data() + buffer.place); break;
      case BufferKind::kOutput: bases.push_back(outputs[buffer.place] + group * buffer.size); break;
      // Never an output of a step.
      case BufferKind::kInput:
        bases.push_back(const_cast<T*>(inputs[buffer.place]) + group * buffer.size);
        break;
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

// How many groups are run each on one thread, all threads at once: there are no barriers between the threads
// then, and what a thread writes it reads from its own cache. Those left for less than half of the threads
// are run one after another, each on all threads.
template <class T>
int64_t Network<T>::shared_groups(int threads) const {
  if (groups_ < threads) return 0;
  const int64_t left = groups_ % threads;
  return 2 * left > threads ? groups_ : groups_ - left;
}

template <class T>
void Network<T>::run(const T* const* inputs, T* const* outputs, int threads) const {
  const Arrays at = arrays(outputs);
  const auto run_group = [&](int64_t group, int group_threads) {
    run_steps(group, inputs, at.outputs.data(), group_threads,
              [](const Step<T>&, const auto& run_step) { run_step(); });
  };
  const int64_t shared = shared_groups(threads);
  parallel_for(shared, threads, [&](int64_t group) { run_group(group, 1); });
  for (int64_t group = shared; group < groups_; ++group) run_group(group, threads);
  if (rest_) rest_->run(at.rest_inputs.data(), at.rest_outputs.data(), threads);
}

template <class T>
std::vector<StepTime> Network<T>::profile(const T* const* inputs, T* const* outputs, int threads) const {
  using Clock = std::chrono::steady_clock;
  std::vector<StepTime> times;
  for (const Step<T>& step : steps_)
    times.push_back({.name = step.name,
                     .op = step.op,
                     .output = shape_of(step.output),
                     .plan = step.describe ? step.describe(threads) : std::string(),
                     .seconds = 0,
                     .macs = groups_ * step.macs});
  const Arrays at = arrays(outputs);
  for (int64_t group = 0; group < groups_; ++group) {
    auto time = times.begin();
    run_steps(group, inputs, at.outputs.data(), threads, [&](const Step<T>&, const auto& run_step) {
      const Clock::time_point start = Clock::now();
      run_step();
      time++->seconds += std::chrono::duration<double>(Clock::now() - start).count();
    });
  }
  if (rest_)
    std::ranges::move(rest_->profile(at.rest_inputs.data(), at.rest_outputs.data(), threads),
                      std::back_inserter(times));
  return times;
}

template <class T>
NetworkMemory Network<T>::memory(int threads) const {
  const int64_t shared = shared_groups(threads);
  const int64_t arenas = shared ? std::min<int64_t>(shared, threads) : 1;
  NetworkMemory memory{constants_.bytes(), arenas * arena_size_ * static_cast<int64_t>(sizeof(T)), 0};
  for (const Step<T>& step : steps_) {
    memory.weights += step.weight_bytes;
    if (!step.workspace_bytes) continue;
    if (shared) memory.workspace = std::max(memory.workspace, arenas * step.workspace_bytes(1));
    if (shared < groups_) memory.workspace = std::max(memory.workspace, step.workspace_bytes(threads));
  }
  if (!rest_) return memory;
  const NetworkMemory rest = rest_->memory(threads);
  return {memory.weights + rest.weights,
          std::max(memory.activations, rest.activations) + between_size() * static_cast<int64_t>(sizeof(T)),
          std::max(memory.workspace, rest.workspace)};
}

template <class T>
std::string Network<T>::describe(int threads) const {
  const int64_t shared = shared_groups(threads);
  std::string text;
  if (groups_ > 1) {
    const int64_t images = outputs_[0].shape[0], group = images / groups_;
    text = concat(
        "for each ", group == 1 ? "image" : concat(group, " images"), " of ", images,
        threads == 1 || !shared ? "" : concat(", ", threads, " at once on one thread each"),
        shared == 0 || shared == groups_ ? "" : concat(", the last ", groups_ - shared, " on all threads"),
        ":\n");
  }
  for (const Step<T>& step : steps_) {
    text += concat(step.name.empty() ? step.op : step.name, " -> ", shape_of(step.output), ": ",
                   step.describe ? step.describe(shared ? 1 : threads) : step.op, "\n");
  }
  if (rest_) text += concat("for all ", outputs_[0].shape[0], " images:\n", rest_->describe(threads));
  return text;
}

template class Network<float>;
template class Network<double>;

}  // namespace onebyone
