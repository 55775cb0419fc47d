#include "network/compile.h"

#include <algorithm>
#include <limits>
#include <map>

#include "core/check.h"
#include "core/int_math.h"
#include "network/arena.h"
#include "network/chain.h"
#include "network/fuse.h"
#include "network/slots.h"
#include "network/steps.h"

namespace onebyone {

template <class T>
class Compiler {
 public:
  Compiler(const Graph<T>& graph, bool exact, const KernelTable& table, Network<T>& network)
      : graph_(graph), maker_{exact, table}, network_(network) {}

  void run() {
    find_chains();
    find_parents();
    find_last_reads();
    slots_.resize(graph_.shape_count());
    for (now_ = 0; now_ < graph_.nodes().size(); ++now_) {
      const Node<T>& node = graph_.nodes()[now_];
      if (next_in_chain_[now_] == kNoNode) std::visit([&](const auto& op) { add(node, op); }, node.op);
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) add_output(i);
    plan_memory();
  }

 private:
  static constexpr int kNoNode = -1;
  // An intermediate image of less stays in L2 by itself.
  static constexpr int64_t kChainFrom = 1 << 20;
  using NodeT = Node<T>;

  // ---- before any step: what lies in what ----

  // A value that is written into its part of a joined one.
  struct Parent {
    ValueId value = kNoNode;
    int axis = 0;
    int64_t start = 0;
  };

  template <class... Ops>
  static bool is_any(const NodeT& node) {
    return (std::holds_alternative<Ops>(node.op) || ...);
  }
  static bool is_view(const NodeT& node) { return is_any<ReshapeOp, TransposeOp, SliceOp, ExpandOp>(node); }

  // Convolutions that chain.h serves as one step, where it is worth it: which comes next, of all but the
  // last. Depthwise ones take their neighbours first.
  void find_chains() {
    const auto& nodes = graph_.nodes();
    next_in_chain_.assign(nodes.size(), kNoNode);
    before_in_chain_.assign(nodes.size(), kNoNode);
    std::vector<int> reads(graph_.shape_count());
    maker_of_.assign(graph_.shape_count(), kNoNode);
    for (size_t i = 0; i < nodes.size(); ++i) {
      maker_of_[nodes[i].output] = static_cast<int>(i);
      for (const ValueId input : nodes[i].inputs) ++reads[input];
    }
    for (const GraphOutput& output : graph_.outputs()) ++reads[output.value];
    // The convolution before node i that may be joined with it.
    const auto before = [&](size_t i) -> int {
      const ValueId x = nodes[i].inputs[0];
      const NodeT& made = nodes[maker_of_[x]];
      const bool plain =
          std::holds_alternative<ConvOp<T>>(made.op) && made.inputs.size() == 1 && reads[x] == 1;
      const int64_t bytes = element_count(graph_.shape(x)) * static_cast<int64_t>(sizeof(T));
      return plain && bytes >= kChainFrom ? maker_of_[x] : kNoNode;
    };
    const auto join = [&](int first, size_t second) {
      next_in_chain_[first] = static_cast<int>(second);
      before_in_chain_[second] = first;
    };
    std::vector<ChainRole> roles;
    for (const NodeT& node : nodes) roles.push_back(role_of(node));
    for (size_t i = 0; i < nodes.size(); ++i)
      if (roles[i] == ChainRole::kRows)
        if (const int first = before(i); first != kNoNode && roles[first] == ChainRole::kPointwise)
          join(first, i);
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (roles[i] != ChainRole::kPointwise || next_in_chain_[i] != kNoNode) continue;
      const int first = before(i);
      if (first != kNoNode && roles[first] != ChainRole::kNone && next_in_chain_[first] == kNoNode)
        join(first, i);
    }
  }
  // What a convolution can be in a chain: made by pixels, 1x1 of stride 1 besides, or made by rows.
  enum class ChainRole { kNone, kPixels, kPointwise, kRows };
  ChainRole role_of(const NodeT& node) const {
    const auto* conv = std::get_if<ConvOp<T>>(&node.op);
    if (!conv) return ChainRole::kNone;
    const ConvPlan plan = maker_.conv_plan(spec_of(node, *conv, 0), *conv);
    if (Chain<T>::by_rows(plan)) return ChainRole::kRows;
    if (!Chain<T>::by_pixels(plan)) return ChainRole::kNone;
    const Dims &x = graph_.shape(node.inputs[0]), &y = graph_.shape(node.output);
    const ImageView<const T>& w = conv->weights.weight;
    const bool pointwise = w.height == 1 && w.width == 1 && conv->stride.h == 1 && conv->stride.w == 1 &&
                           x[2] == y[2] && x[3] == y[3] && conv->groups == 1;
    return pointwise ? ChainRole::kPointwise : ChainRole::kPixels;
  }
  ConvSpec spec_of(const NodeT& node, const ConvOp<T>& op, int64_t out_step) const {
    return maker_.conv_spec(node.name, op, graph_.shape(node.inputs[0]), node.inputs.size() > 1, out_step);
  }

  // From the last join to the first: one whose inputs all lie side by side in a later one is part of that.
  void find_parents() {
    parents_.resize(graph_.shape_count());
    for (size_t i = graph_.nodes().size(); i-- > 0;) {
      const NodeT& node = graph_.nodes()[i];
      const auto* join = std::get_if<ConcatOp>(&node.op);
      if (!join || join_of_parts(node, join->axis)) continue;
      int64_t start = 0;
      for (const ValueId input : node.inputs) {
        const NodeT& made = graph_.nodes()[maker_of_[input]];
        const bool writes = !is_view(made) && !is_any<InputOp, ConstantOp<T>>(made);
        const bool once = std::count(node.inputs.begin(), node.inputs.end(), input) == 1;
        if (writes && once && parents_[input].value == kNoNode)
          parents_[input] = {node.output, join->axis, start};
        start += graph_.shape(input)[join->axis];
      }
    }
  }
  bool join_of_parts(const NodeT& node, int axis) {
    const Parent first = parents_[node.inputs[0]];
    int64_t start = first.start;
    for (const ValueId input : node.inputs) {
      const Parent& parent = parents_[input];
      if (parent.value == kNoNode || parent.value != first.value || parent.axis != axis ||
          parent.start != start)
        return false;
      start += graph_.shape(input)[axis];
    }
    if (parents_[node.output].value != kNoNode) return false;
    parents_[node.output] = first;
    return true;
  }

  // The value whose memory a value's is part of, as far as is known before there are places.
  ValueId memory_of(ValueId value) const {
    while (true) {
      const NodeT& made = graph_.nodes()[maker_of_[value]];
      if (parents_[value].value != kNoNode)
        value = parents_[value].value;
      else if (is_view(made))
        value = made.inputs[0];
      else
        return value;
    }
  }

  void find_last_reads() {
    last_read_.assign(graph_.shape_count(), 0);
    output_of_.assign(graph_.shape_count(), kNoNode);
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      size_t reader = i;  // the last of its chain
      while (next_in_chain_[reader] != kNoNode) reader = next_in_chain_[reader];
      for (const ValueId input : graph_.nodes()[i].inputs) {
        size_t& last = last_read_[memory_of(input)];
        last = std::max(last, reader);
      }
    }
    for (size_t i = graph_.outputs().size(); i-- > 0;) {
      const ValueId value = graph_.outputs()[i].value;
      last_read_[memory_of(value)] = graph_.nodes().size();
      output_of_[value] = static_cast<int>(i);
    }
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
    const Parent& parent = parents_[value];
    const Dims& shape = graph_.shape(value);
    Slot slot;
    if (parent.value != kNoNode) {
      slot = narrow(place(parent.value, order), parent.axis, parent.start, shape[parent.axis]);
    } else if (const int output = output_of_[value];
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
    if (slots_[to] || parents_[to].value != kNoNode || output_of_[to] != kNoNode) return false;
    if (graph_.shape(from) != graph_.shape(to) || memory_of(from) != from || last_read_[from] != now_)
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
  void emit_product(const NodeT& node, const Slot& x, const AxisOrder& order, const Step& step_of,
                    const Make& make) {
    const Slot target = place(node.output, order);
    Slot out = target;
    if (!step_of(out)) out = temporary(graph_.shape(node.output), order);
    std::vector<Slot> inputs{x};
    if (node.inputs.size() > 1) {
      const bool image = order == channels_last();
      Slot residual = image ? with_channels_last(node.inputs[1]) : at(node.inputs[1]);
      if (!same_strides(residual, out)) {
        if (!is_dense(out, order)) out = temporary(graph_.shape(node.output), order);
        if (!same_strides(residual, out)) residual = dense_copy(residual, order);
      }
      inputs.push_back(residual);
    }
    emit(make(*step_of(out)), node.name, inputs, out);
    if (out.buffer != target.buffer) emit_copy(node.name, out, target);
  }

  void add(const NodeT& node, const ConvOp<T>& op) {
    std::vector<const NodeT*> stages{&node};
    for (int i = before_in_chain_[now_]; i != kNoNode; i = before_in_chain_[i])
      stages.insert(stages.begin(), &graph_.nodes()[i]);
    const Slot x = with_channels_last(stages[0]->inputs[0]);
    emit_product(node, x, channels_last(), pixel_step, [&](int64_t step) {
      if (stages.size() == 1) return maker_.conv(spec_of(node, op, step), op);
      std::vector<std::pair<ConvSpec, const ConvOp<T>*>> specs;
      for (const NodeT* stage : stages) {
        const auto& conv = std::get<ConvOp<T>>(stage->op);
        specs.emplace_back(spec_of(*stage, conv, stage == &node ? step : 0), &conv);
      }
      return maker_.chain(specs);
    });
  }

  void add(const NodeT& node, const LinearOp<T>& op) {
    Slot x = at(node.inputs[0]);
    if (!row_step(x)) x = dense_copy(x, row_major());
    const int64_t x_step = *row_step(x);
    emit_product(node, x, row_major(), row_step, [&](int64_t step) {
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
  void add(const NodeT& node, const ResizeOp& op) { add_image(node, maker_.resize(op)); }
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
    if (!view) view = reshaped(dense_copy(x, row_major()), shape);
    slots_[node.output] = *view;
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
  Network<T>& network_;
  size_t now_ = 0;                                    // the node that is being added
  std::vector<int> maker_of_;                         // by value: the node that makes it
  std::vector<int> next_in_chain_, before_in_chain_;  // by node
  std::vector<Parent> parents_;                       // by value
  std::vector<size_t> last_read_;  // by value that has memory of its own: the last node that reads from it
  std::vector<int> output_of_;     // by value: the first output that it is, or kNoNode
  std::map<int, int> output_buffers_;       // by output
  std::vector<std::optional<Slot>> slots_;  // by value
  std::map<ValueId, Slot> channels_last_;   // copies of values
  std::vector<Constant> constants_;
  int64_t constants_size_ = 0;
};

template <class T>
void compile(Graph<T> graph, bool exact, const KernelTable& kernels, Network<T>& network) {
  fuse(graph);
  Compiler<T>(graph, exact, kernels, network).run();
}

template void compile(Graph<float>, bool, const KernelTable&, Network<float>&);
template void compile(Graph<double>, bool, const KernelTable&, Network<double>&);

}  // namespace onebyone
