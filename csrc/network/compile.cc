#include "network/compile.h"

#include <algorithm>
#include <limits>
#include <map>

#include "core/check.h"
#include "core/int_math.h"
#include "core/memory_pool.h"
#include "network/arena.h"
#include "network/arrangement.h"
#include "network/chain.h"
#include "network/fuse.h"
#include "network/slots.h"
#include "network/steps.h"

namespace onebyone {
namespace {

// Fewer are an image that is done, rather than one that the next convolution reads.
constexpr int64_t kManyChannels = 8;

}  // namespace

template <class T>
class Compiler {
 public:
  Compiler(const Graph<T>& graph, bool exact, const KernelTable& table, Network<T>& network)
      : graph_(graph), maker_{exact, table}, arranged_(arrange(graph, maker_)), network_(network) {}

  void run() {
    slots_.resize(graph_.shape_count());
    for (now_ = 0; now_ < graph_.nodes().size(); ++now_) {
      const Node<T>& node = graph_.nodes()[now_];
      if (arranged_.next_in_chain[now_] == kNoNode)
        std::visit([&](const auto& op) { add(node, op); }, node.op);
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) add_output(i);
    plan_memory();
  }

 private:
  using NodeT = Node<T>;

  ConvSpec spec_of(const NodeT& node, const ConvOp<T>& op, int64_t out_step, ConvRole role) const {
    return conv_spec_of(graph_, maker_, node, op, out_step, role);
  }

  // ---- places ----

  int add_buffer(BufferKind kind, int64_t size, int64_t place = 0) {
    network_.buffers_.push_back({kind, size, place});
    return static_cast<int>(network_.buffers_.size()) - 1;
  }
  Slot temporary(const Dims& shape, const AxisOrder& order) {
    return dense_slot(add_buffer(BufferKind::kArena, element_count(shape)), shape, order);
  }
  const Slot& at(ValueId value) const { return *slots_[value]; }

  // Where `value` is to be written, in this order if it has memory of its own.
  Slot place(ValueId value, const AxisOrder& order) {
    if (slots_[value]) return at(value);
    const Parent& parent = arranged_.parents[value];
    const Dims& shape = graph_.shape(value);
    Slot slot;
    if (parent.value != kNoNode) {
      slot = narrow(place(parent.value, order), parent.axis, parent.start, shape[parent.axis]);
    } else if (const int output = arranged_.output_of[value];
               output != kNoNode && same_strides(output_slot(output), dense_slot(0, shape, order))) {
      slot = output_slot(output);
      slot.buffer = output_buffer(output);
    } else {
      slot = temporary(shape, order);
    }
    slots_[value] = slot;
    return slot;
  }

  // How the caller's array of an output lies.
  Slot output_slot(int output) const {
    const GraphOutput& o = graph_.outputs()[output];
    const Dims& shape = graph_.shape(o.value);
    return dense_slot(0, shape,
                      o.layout == Layout::kNhwc && shape.size() == 4 ? channels_last() : row_major());
  }
  int output_buffer(int output) {
    const auto [entry, fresh] = output_buffers_.try_emplace(output, 0);
    if (fresh)
      entry->second = add_buffer(BufferKind::kOutput,
                                 element_count(graph_.shape(graph_.outputs()[output].value)), output);
    return entry->second;
  }

  // The place of an elementwise operation's output: over input 0 if nobody reads that again.
  Slot place_over(const NodeT& node) {
    const ValueId from = node.inputs[0], to = node.output;
    if (may_overwrite(node)) {
      slots_[to] = at(from);
      return at(to);
    }
    return place(to, order_of(at(from)));
  }
  bool may_overwrite(const NodeT& node) const {
    const ValueId from = node.inputs[0], to = node.output;
    const auto memory_of = [&](ValueId value) { return arranged_.memory_of[value]; };
    if (slots_[to] || arranged_.parents[to].value != kNoNode || arranged_.output_of[to] != kNoNode)
      return false;
    if (graph_.shape(from) != graph_.shape(to) || memory_of(from) != from ||
        arranged_.last_read[from] != now_)
      return false;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (node.inputs[i] != from && memory_of(node.inputs[i]) == from) return false;
    const Slot& slot = at(from);
    const Buffer& buffer = network_.buffers_[slot.buffer];
    return buffer.kind == BufferKind::kArena && slot.offset == 0 &&
           buffer.size == element_count(graph_.shape(from)) && is_dense(slot, order_of(slot));
  }

  // ---- steps ----

  Step<T>& emit(Step<T> step, const std::string& name, std::vector<Slot> inputs, const Slot& output) {
    step.name = name;
    step.inputs = std::move(inputs);
    step.output = output;
    network_.steps_.push_back(std::move(step));
    return network_.steps_.back();
  }
  void emit_copy(const std::string& name, const Slot& from, const Slot& to) {
    emit(maker_.copy(), name, {from}, to);
  }
  // A step whose output must lie in `order`, dense or as `fits` says; else it is copied where it belongs.
  template <class Fits, class Make>
  void emit_ordered(const NodeT& node, const std::vector<Slot>& inputs, const AxisOrder& order,
                    const Fits& fits, const Make& make) {
    const Slot target = place(node.output, order);
    if (fits(target)) {
      emit(make(target), node.name, inputs, target);
      return;
    }
    const Slot dense = temporary(graph_.shape(node.output), order);
    emit(make(dense), node.name, inputs, dense);
    emit_copy(node.name, dense, target);
  }

  // The image with contiguous channels, copied if it lies otherwise; once for all readers.
  Slot with_channels_last(ValueId value) {
    const Slot& slot = at(value);
    if (slot.shape[1] == 1 || slot.strides[1] == 1) return slot;
    const auto [entry, fresh] = channels_last_.try_emplace(value);
    if (fresh) {
      entry->second = temporary(shape_of(slot), channels_last());
      emit_copy("", slot, entry->second);
    }
    return entry->second;
  }
  Slot dense_copy(const Slot& slot, const AxisOrder& order) {
    const Slot copy = temporary(shape_of(slot), order);
    emit_copy("", slot, copy);
    return copy;
  }

  void add(const NodeT& node, const InputOp& op) {
    const Dims& shape = graph_.shape(node.output);
    const bool last = op.layout == Layout::kNhwc && shape.size() == 4;
    slots_[node.output] = dense_slot(
        add_buffer(BufferKind::kInput, element_count(shape), static_cast<int64_t>(network_.inputs_.size())),
        shape, last ? channels_last() : row_major());
    network_.inputs_.push_back({node.name, caller_shape(shape, op.layout)});
  }
  static Dims caller_shape(const Dims& shape, Layout layout) {
    if (layout == Layout::kNchw || shape.size() != 4) return shape;
    return {shape[0], shape[2], shape[3], shape[1]};
  }

  void add(const NodeT& node, const ConstantOp<T>& op) {
    const Dims& shape = graph_.shape(node.output);
    slots_[node.output] = dense_slot(add_buffer(BufferKind::kConstant, element_count(shape), constants_size_),
                                     shape, row_major());
    constants_.push_back({op.data, constants_size_});
    constants_size_ += round_up(element_count(shape), kLine);
  }

  // Convolutions and linear layers: the residual must lie as the output does.
  template <class Step, class Make>
  void emit_product(const NodeT& node, std::vector<Slot> inputs, const AxisOrder& order, const Step& step_of,
                    const Make& make) {
    const Slot target = place(node.output, order);
    Slot out = target;
    if (!step_of(out)) out = temporary(graph_.shape(node.output), order);
    if (node.inputs.size() > inputs.size()) {
      const ValueId added = node.inputs[inputs.size()];
      const bool image = order == channels_last();
      Slot residual = image ? with_channels_last(added) : at(added);
      if (!same_strides(residual, out)) {
        if (!is_dense(out, order)) out = temporary(graph_.shape(node.output), order);
        if (!same_strides(residual, out)) residual = dense_copy(residual, order);
      }
      inputs.push_back(residual);
    }
    emit(make(*step_of(out)), node.name, std::move(inputs), out);
    if (out.buffer != target.buffer) emit_copy(node.name, out, target);
  }

  void add(const NodeT& node, const ConvOp<T>& op) {
    std::vector<const NodeT*> stages{&node};
    const std::vector<int>& before = arranged_.before_in_chain;
    for (int i = before[now_]; i != kNoNode; i = before[i]) stages.insert(stages.begin(), &graph_.nodes()[i]);
    const auto* const first = std::get_if<ConvOp<T>>(&stages[0]->op);
    const NodeT* const scaled = first ? nullptr : stages[0];
    const bool alone = stages.size() == 1;
    const bool any_strides =
        first &&
        maker_.conv_plan(spec_of(*stages[0], *first, 0, alone ? ConvRole::kStep : ConvRole::kStage), *first)
            .any_strides();
    const ValueId x = stages[0]->inputs[0];
    std::vector<Slot> inputs{any_strides ? at(x) : with_channels_last(x)};
    if (scaled) stages.erase(stages.begin());
    if (op.scaled) {
      const Slot factors = at(node.inputs[1]);
      inputs.push_back(is_dense(factors, row_major()) ? factors : dense_copy(factors, row_major()));
    }
    const auto chain = [&](int64_t step, Layout out) {
      std::vector<std::pair<ConvSpec, const ConvOp<T>*>> specs;
      for (const NodeT* stage : stages) {
        const auto& conv = std::get<ConvOp<T>>(stage->op);
        specs.emplace_back(spec_of(*stage, conv, stage == &node ? step : 0, ConvRole::kStage), &conv);
      }
      return maker_.chain(specs, scaled ? &scaled->op : nullptr, out);
    };
    if (!alone && is_spread_chain(node, stages)) {
      emit(chain(0, Layout::kNchw), node.name, std::move(inputs), place(node.output, row_major()));
      return;
    }
    emit_product(node, std::move(inputs), channels_last(), pixel_step, [&](int64_t step) {
      return alone ? maker_.conv(spec_of(node, op, step, ConvRole::kStep), op) : chain(step, Layout::kNhwc);
    });
  }

  // Whether a chain writes its output as the caller's array of channels first lies: an image as large as the
  // output less to be written, read and kept.
  bool is_spread_chain(const NodeT& last, const std::vector<const NodeT*>& stages) const {
    if (!is_callers_planes(last.output)) return false;
    for (const NodeT* stage : stages) {
      const auto& conv = std::get<ConvOp<T>>(stage->op);
      if (stage->inputs.size() > 1 ||
          !Chain<T>::by_pixels(maker_.conv_plan(spec_of(*stage, conv, 0, ConvRole::kStage), conv)))
        return false;
    }
    return true;
  }
  // Whether a value is the caller's array of channels first, and nothing else reads it.
  bool is_callers_planes(ValueId value) const {
    const int output = arranged_.output_of[value];
    if (output == kNoNode || slots_[value] || arranged_.parents[value].value != kNoNode ||
        graph_.outputs()[output].layout == Layout::kNhwc)
      return false;
    const auto reads = [&](const NodeT& node) {
      return std::count(node.inputs.begin(), node.inputs.end(), value) > 0;
    };
    return std::none_of(graph_.nodes().begin(), graph_.nodes().end(), reads);
  }

  void add(const NodeT& node, const LinearOp<T>& op) {
    Slot x = at(node.inputs[0]);
    if (!row_step(x)) x = dense_copy(x, row_major());
    const int64_t x_step = *row_step(x);
    emit_product(node, {x}, row_major(), row_step, [&](int64_t step) {
      return maker_.linear(node.name, op, graph_.shape(node.inputs[0]), x_step, node.inputs.size() > 1, step);
    });
  }

  void add(const NodeT& node, const ConvTransposeOp<T>& op) {
    const Slot x = with_channels_last(node.inputs[0]);
    emit_ordered(
        node, {x}, channels_last(), [](const Slot& out) { return is_dense(out, channels_last()); },
        [&](const Slot&) { return maker_.conv_transpose(node.name, op, graph_.shape(node.inputs[0])); });
  }

  void add(const NodeT& node, const MatmulOp&) {
    emit_ordered(
        node, {at(node.inputs[0]), at(node.inputs[1])}, row_major(),
        [](const Slot& out) { return out.shape[out.rank - 1] <= 1 || out.strides[out.rank - 1] == 1; },
        [&](const Slot& out) {
          const int64_t inner = at(node.inputs[0]).shape[out.rank - 1];
          return maker_.matmul(element_count(shape_of(out)) * inner);
        });
  }

  void add(const NodeT& node, const ScaleShiftOp& op) {
    const Slot x = at(node.inputs[0]);
    emit(maker_.scale_shift(op), node.name, {x}, place_over(node));
  }
  void add(const NodeT& node, const ActivationOp& op) {
    const Slot x = at(node.inputs[0]);
    emit(maker_.activation(op), node.name, {x}, place_over(node));
  }
  void add(const NodeT& node, const UnaryOp& op) {
    const Slot x = at(node.inputs[0]);
    emit(maker_.unary(op), node.name, {x}, place_over(node));
  }
  void add(const NodeT& node, const BinaryOp& op) {
    const Dims& shape = graph_.shape(node.output);
    const Slot a = expanded(at(node.inputs[0]), shape), b = expanded(at(node.inputs[1]), shape);
    Slot out;
    if (graph_.shape(node.inputs[0]) == shape)
      out = place_over(node);
    else
      out = place(node.output, order_of(graph_.shape(node.inputs[1]) == shape ? b : a));
    emit(maker_.binary(op), node.name, {a, b}, out);
  }

  void add(const NodeT& node, const PoolOp& op) { add_image(node, maker_.pool(op)); }
  void add(const NodeT& node, const AdaptivePoolOp&) { add_image(node, maker_.adaptive_pool()); }
  // What the caller gets channels first is made so where that is larger than what it is made of and its rows
  // are long enough: 21 channels of 320x320 from 40x40 take 0.5 ms, channels last and then copied 3.9; 64 of
  // 128x128 from 64x64 0.64 and 0.78, but 64 of 40x40 from 20x20 0.11 and 0.04 (AVX-512).
  void add(const NodeT& node, const ResizeOp& op) {
    constexpr int64_t kLongRow = 128;
    const Slot& x = at(node.inputs[0]);
    const Dims& y = graph_.shape(node.output);
    if (!is_callers_planes(node.output) || y[3] < kLongRow ||
        element_count(graph_.shape(node.inputs[0])) >= element_count(y))
      return add_image(node, maker_.resize(op));
    const Slot planes = x.shape[3] == 1 || x.strides[3] == 1 ? x : dense_copy(x, row_major());
    emit(maker_.resize(op), node.name, {planes}, place(node.output, row_major()));
  }
  void add(const NodeT& node, const LrnOp& op) { add_image(node, maker_.lrn(op)); }
  void add(const NodeT& node, const ReduceOp& op) { add_like_input(node, maker_.reduce(op)); }
  void add(const NodeT& node, const SoftmaxOp& op) { add_like_input(node, maker_.softmax(op)); }
  void add(const NodeT& node, const PadOp& op) { add_like_input(node, maker_.pad(op)); }
  void add(const NodeT& node, const GatherOp& op) { add_like_input(node, maker_.gather(op)); }
  void add_image(const NodeT& node, Step<T> step) {
    const Slot x = with_channels_last(node.inputs[0]);
    emit(std::move(step), node.name, {x}, place(node.output, channels_last()));
  }
  void add_like_input(const NodeT& node, Step<T> step) {
    const Slot x = at(node.inputs[0]);
    emit(std::move(step), node.name, {x}, place(node.output, order_of(x)));
  }

  void add(const NodeT& node, const ConcatOp& op) {
    const Slot whole = place(node.output, order_of(at(node.inputs[0])));
    int64_t start = 0;
    for (const ValueId input : node.inputs) {
      const Slot& from = at(input);
      const Slot to = narrow(whole, op.axis, start, from.shape[op.axis]);
      start += from.shape[op.axis];
      if (from.buffer != to.buffer || from.offset != to.offset) emit_copy(node.name, from, to);
    }
  }

  void add(const NodeT& node, const ReshapeOp&) {
    const Slot& x = at(node.inputs[0]);
    const Dims& shape = graph_.shape(node.output);
    std::optional<Slot> view = reshaped(x, shape);
    if (!view && (joins_channels(x, shape) || joins_pixels(x, shape))) {
      view = temporary(shape, channels_last());
      emit_copy(node.name, x, *reshaped(*view, shape_of(x)));
    } else if (!view) {
      view = reshaped(dense_copy(x, row_major()), shape);
    }
    slots_[node.output] = *view;
  }
  // Whether x is an image whose channels lie last, in several axes: shuffled. They stay last, where the next
  // convolution reads them.
  static bool joins_channels(const Slot& x, const Dims& shape) {
    const int w = x.rank - 1;
    if (shape.size() != 4 || x.rank < 5 || x.shape[0] != shape[0] || x.shape[w - 1] != shape[2] ||
        x.shape[w] != shape[3])
      return false;
    for (int d = 1; d < w - 1; ++d)
      if (x.shape[d] > 1 && x.strides[d] == 1) return true;
    return false;
  }
  // Whether it is depth to space of an image whose channels lie last. They stay last, unless they are as few
  // as the network's result has, whose copy would be a second one.
  static bool joins_pixels(const Slot& x, const Dims& shape) {
    if (shape.size() != 4 || x.rank != 6 || x.shape[0] != shape[0] || x.shape[1] != shape[1] ||
        x.shape[2] * x.shape[3] != shape[2] || x.shape[4] * x.shape[5] != shape[3])
      return false;
    return shape[1] >= kManyChannels && (x.strides[1] == 1 || x.strides[3] == 1 || x.strides[5] == 1);
  }
  void add(const NodeT& node, const TransposeOp& op) {
    slots_[node.output] = transposed(at(node.inputs[0]), op.perm);
  }
  void add(const NodeT& node, const SliceOp& op) {
    slots_[node.output] = sliced(at(node.inputs[0]), op.starts, graph_.shape(node.output), op.steps);
  }
  void add(const NodeT& node, const ExpandOp&) {
    slots_[node.output] = expanded(at(node.inputs[0]), graph_.shape(node.output));
  }

  // The caller's array, unless the value was written there.
  void add_output(size_t i) {
    const GraphOutput& output = graph_.outputs()[i];
    Slot to = output_slot(static_cast<int>(i));
    to.buffer = output_buffer(static_cast<int>(i));
    if (at(output.value).buffer != to.buffer) emit_copy(output.name, at(output.value), to);
    network_.outputs_.push_back({output.name, caller_shape(graph_.shape(output.value), output.layout)});
  }

  // ---- after all steps ----

  static constexpr int64_t kLine = kCacheLine / sizeof(T);

  void plan_memory() {
    std::vector<Lifetime> lifetimes(network_.buffers_.size(), {0, std::numeric_limits<int>::max(), -1});
    for (size_t i = 0; i < network_.steps_.size(); ++i) {
      const auto touch = [&](const Slot& slot) {
        Lifetime& lifetime = lifetimes[slot.buffer];
        lifetime.first = std::min(lifetime.first, static_cast<int>(i));
        lifetime.last = static_cast<int>(i);
      };
      for (const Slot& input : network_.steps_[i].inputs) touch(input);
      touch(network_.steps_[i].output);
    }
    for (size_t i = 0; i < lifetimes.size(); ++i)
      if (network_.buffers_[i].kind == BufferKind::kArena)
        lifetimes[i].size = round_up(network_.buffers_[i].size, kLine);
    const ArenaPlan plan = plan_arena(lifetimes);
    for (size_t i = 0; i < lifetimes.size(); ++i)
      if (network_.buffers_[i].kind == BufferKind::kArena) network_.buffers_[i].place = plan.offsets[i];
    network_.arena_size_ = plan.size;

    network_.constants_ = AlignedBuffer<T>(constants_size_);
    for (const Constant& constant : constants_) {
      TensorView<T> to;
      to.data = network_.constants_.data() + constant.place;
      to.rank = constant.data.rank;
      const Slot dense = dense_slot(0, Dims(constant.data.shape, constant.data.shape + to.rank), row_major());
      std::copy_n(dense.shape, kMaxRank, to.shape);
      std::copy_n(dense.strides, kMaxRank, to.strides);
      copy<T>(constant.data, to, maker_.kernels(), 1);
    }
  }

  struct Constant {
    TensorView<const T> data;
    int64_t place;
  };

  const Graph<T>& graph_;
  const StepMaker<T> maker_;
  const Arrangement arranged_;
  Network<T>& network_;
  size_t now_ = 0;                          // the node that is being added
  std::map<int, int> output_buffers_;       // by output
  std::vector<std::optional<Slot>> slots_;  // by value
  std::map<ValueId, Slot> channels_last_;   // copies of values
  std::vector<Constant> constants_;
  int64_t constants_size_ = 0;
};

template <class T>
void compile(Graph<T> graph, bool exact, const KernelTable& kernels, Network<T>& network) {
  const BundledMemory bundled;  // the packed weights
  fuse(graph);
  Compiler<T>(graph, exact, kernels, network).run();
}

template void compile(Graph<float>, bool, const KernelTable&, Network<float>&);
template void compile(Graph<double>, bool, const KernelTable&, Network<double>&);

}  // namespace onebyone
