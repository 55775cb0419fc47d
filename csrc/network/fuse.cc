#include "network/fuse.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace onebyone {
namespace {

constexpr ValueId kDead = -1;  // the output of a node that is gone

template <class T>
class Fuser {
 public:
  explicit Fuser(Graph<T>& graph) : graph_(graph), nodes_(graph.mutable_nodes()) {}

  void run() {
    index();
    drop_unread();
    each(&Fuser::scale_shift_of_constant);
    each(&Fuser::known_activation);
    each(&Fuser::padding_into_convolution);
    each(&Fuser::factors_into_pointwise);
    each(&Fuser::scale_shift_into_producer);
    each(&Fuser::known_activation);
    each(&Fuser::average_before_pointwise);
    each(&Fuser::without_effect);
    each(&Fuser::scale_shift_into_producer);
    each(&Fuser::sum_into_residual);
    each(&Fuser::activation_into_producer);
    drop_unread();
    std::erase_if(nodes_, [](const Node<T>& node) { return node.output == kDead; });
  }

 private:
  using NodeT = Node<T>;

  // Who makes and how many read each value; a graph's output is read by the caller.
  void index() {
    producer_.assign(graph_.shape_count(), 0);
    uses_.assign(graph_.shape_count(), 0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].output == kDead) continue;
      producer_[nodes_[i].output] = i;
      for (const ValueId input : nodes_[i].inputs) ++uses_[input];
    }
    for (const GraphOutput& output : graph_.outputs()) ++uses_[output.value];
  }

  void each(void (Fuser::*rule)(size_t)) {
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].output != kDead) (this->*rule)(i);
  }

  NodeT& maker(ValueId value) { return nodes_[producer_[value]]; }
  template <class K>
  K* made_by(ValueId value) {
    return std::get_if<K>(&maker(value).op);
  }
  const Dims& shape(ValueId value) const { return graph_.shape(value); }

  void drop_unread() {
    for (size_t i = nodes_.size(); i-- > 0;) {
      NodeT& node = nodes_[i];
      // The caller gives all inputs, read or not.
      if (node.output == kDead || uses_[node.output] || std::holds_alternative<InputOp>(node.op)) continue;
      for (const ValueId input : node.inputs) --uses_[input];
      node.output = kDead;
    }
  }

  // `node` takes inputs and operation over; what it read before is read once less.
  void replace(NodeT& node, Op<T> op, std::vector<ValueId> inputs) {
    for (const ValueId input : inputs) ++uses_[input];
    for (const ValueId input : node.inputs) --uses_[input];
    node.op = std::move(op);
    node.inputs = std::move(inputs);
  }

  // The maker of node's only input now makes node's output; node is gone.
  void absorb(NodeT& node) {
    NodeT& before = maker(node.inputs[0]);
    uses_[before.output] = 0;
    before.output = node.output;
    producer_[node.output] = static_cast<size_t>(&before - nodes_.data());
    node.output = kDead;
  }

  // ---- a constant along one axis ----

  // The values of a constant that differ along `axis` of a value of `rank` at most; axis -1: one value.
  struct AxisValues {
    int axis = -1;
    std::vector<double> values;
  };
  std::optional<AxisValues> along_one_axis(ValueId value, int rank) {
    const auto* constant = made_by<ConstantOp<T>>(value);
    if (!constant || constant->data.rank > rank) return {};
    const TensorView<const T>& data = constant->data;
    AxisValues result;
    int64_t count = 1, stride = 0;
    for (int d = 0; d < data.rank; ++d) {
      if (data.shape[d] == 1) continue;
      if (result.axis >= 0 || data.shape[d] == 0) return {};
      result.axis = rank - data.rank + d;
      count = data.shape[d];
      stride = data.strides[d];
    }
    for (int64_t i = 0; i < count; ++i) result.values.push_back(static_cast<double>(data.data[i * stride]));
    return result;
  }

  void scale_shift_of_constant(size_t i) {
    NodeT& node = nodes_[i];
    const auto* binary = std::get_if<BinaryOp>(&node.op);
    if (!binary) return;
    const BinaryKind kind = binary->kind;
    const int rank = static_cast<int>(shape(node.output).size());
    for (const int side : {1, 0}) {
      const ValueId x = node.inputs[1 - side];
      if (shape(x) != shape(node.output) || made_by<ConstantOp<T>>(x)) continue;
      std::optional<AxisValues> constant = along_one_axis(node.inputs[side], rank);
      if (!constant || rank == 0) continue;
      if (constant->axis < 0) {
        // Along the channels, where a convolution before can take it.
        constant->axis = std::min(rank - 1, 1);
        constant->values.assign(shape(x)[constant->axis], constant->values[0]);
      }
      const size_t n = constant->values.size();
      ScaleShiftOp op{constant->axis, std::vector<double>(n, 1), std::vector<double>(n, 0), {}};
      switch (kind) {
        case BinaryKind::kAdd: op.shift = constant->values; break;
        case BinaryKind::kSub:
          for (size_t j = 0; j < n; ++j) {
            op.scale[j] = side == 1 ? 1 : -1;
            op.shift[j] = side == 1 ? -constant->values[j] : constant->values[j];
          }
          break;
        case BinaryKind::kMul: op.scale = constant->values; break;
        case BinaryKind::kDiv:
          if (side == 0) return;
          for (size_t j = 0; j < n; ++j) op.scale[j] = 1 / constant->values[j];
          break;
        default: return;
      }
      return replace(node, std::move(op), {x});
    }
  }

  void without_effect(size_t i) {
    NodeT& node = nodes_[i];
    const auto* op = std::get_if<ScaleShiftOp>(&node.op);
    if (!op || op->activation.kind != ActivationKind::kNone) return;
    const auto all = [](const std::vector<double>& values, double v) {
      return std::all_of(values.begin(), values.end(), [v](double x) { return std::abs(x - v) < 1e-12; });
    };
    if (all(op->scale, 1) && all(op->shift, 0)) forward(node);
  }

  // Whoever reads node's output reads its input instead.
  void forward(NodeT& node) {
    const ValueId from = node.output, to = node.inputs[0];
    for (NodeT& other : nodes_)
      if (other.output != kDead)
        for (ValueId& input : other.inputs)
          if (input == from) input = to, ++uses_[to];
    for (GraphOutput& output : graph_.mutable_outputs())
      if (output.value == from) output.value = to, ++uses_[to];
    --uses_[to];
    uses_[from] = 0;
    node.output = kDead;
  }

  // ---- activations written as products ----

  void known_activation(size_t i) {
    NodeT& node = nodes_[i];
    const auto* product = std::get_if<BinaryOp>(&node.op);
    if (!product || product->kind != BinaryKind::kMul) return;
    for (const int side : {0, 1}) {
      const ValueId x = node.inputs[side], gate = node.inputs[1 - side];
      if (uses_[gate] != 1 || maker(gate).inputs.size() != 1 || maker(gate).inputs[0] != x) continue;
      if (const auto* activation = made_by<ActivationOp>(gate)) {
        Activation known = activation->activation;
        if (known.kind == ActivationKind::kSigmoid)
          known.kind = ActivationKind::kSilu;
        else if (known.kind == ActivationKind::kHardsigmoid)
          known.kind = ActivationKind::kHardswish;
        else
          continue;
        return replace_with_activation(node, known, x);
      }
    }
    hardswish_by_parts(node);
  }

  void replace_with_activation(NodeT& node, const Activation& activation, ValueId x) {
    const ValueId gate = node.inputs[0] == x ? node.inputs[1] : node.inputs[0];
    replace(node, ActivationOp{activation}, {x});
    drop_chain(gate);
  }
  // A value that nobody reads any more, and what was made for it alone.
  void drop_chain(ValueId value) {
    if (uses_[value]) return;
    NodeT& node = maker(value);
    if (std::holds_alternative<InputOp>(node.op)) return;
    const std::vector<ValueId> inputs = node.inputs;
    node.output = kDead;
    for (const ValueId input : inputs) {
      --uses_[input];
      drop_chain(input);
    }
  }

  // x * clip(x + 3, 0, 6) * s: as exporters write hardswish, s = 1/6 before or after the product.
  void hardswish_by_parts(NodeT& node) {
    for (const int side : {0, 1}) {
      const ValueId x = node.inputs[side];
      ValueId gate = node.inputs[1 - side];
      double scale = 1;
      if (const auto* s = made_by<ScaleShiftOp>(gate); s && uniform(s->scale) && uniform(s->shift) &&
                                                       uses_[gate] == 1 && s->shift[0] == 0 &&
                                                       s->activation.kind == ActivationKind::kNone) {
        scale = s->scale[0];
        gate = maker(gate).inputs[0];
      }
      const auto* clip = made_by<ActivationOp>(gate);
      if (!clip || uses_[gate] != 1 || clip->activation.kind != ActivationKind::kClip ||
          clip->activation.a != 0 || clip->activation.b != 6)
        continue;
      const ValueId sum = maker(gate).inputs[0];
      const auto* shift = made_by<ScaleShiftOp>(sum);
      if (!shift || uses_[sum] != 1 || maker(sum).inputs[0] != x || !uniform(shift->scale) ||
          !uniform(shift->shift) || shift->scale[0] != 1 || shift->shift[0] != 3 ||
          shift->activation.kind != ActivationKind::kNone)
        continue;
      const Activation hardswish{ActivationKind::kHardswish, 0, 0};
      if (std::abs(scale * 6 - 1) < 1e-6) return replace_with_activation(node, hardswish, x);
      // The factor after the product: the only reader is a division by 6.
      const ValueId product = node.output;
      if (scale != 1 || uses_[product] != 1) continue;
      for (NodeT& reader : nodes_) {
        if (reader.output == kDead || reader.inputs.size() != 1 || reader.inputs[0] != product) continue;
        auto* after = std::get_if<ScaleShiftOp>(&reader.op);
        if (!after || !uniform(after->scale) || !uniform(after->shift) || after->shift[0] != 0 ||
            std::abs(after->scale[0] * 6 - 1) > 1e-6)
          continue;
        std::fill(after->scale.begin(), after->scale.end(), 1);
        return replace_with_activation(node, hardswish, x);
      }
    }
  }
  static bool uniform(const std::vector<double>& values) {
    return !values.empty() &&
           std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
  }

  // ---- into a convolution ----

  void padding_into_convolution(size_t i) {
    NodeT& node = nodes_[i];
    auto* conv = std::get_if<ConvOp<T>>(&node.op);
    const auto* pad = conv ? made_by<PadOp>(node.inputs[0]) : nullptr;
    if (!pad || pad->mode != PadMode::kConstant || pad->value != 0) return;
    const ValueId x = maker(node.inputs[0]).inputs[0];
    Dims after(4);
    for (int d = 0; d < 4; ++d) {
      after[d] = shape(node.inputs[0])[d] - shape(x)[d] - pad->before[d];
      if (pad->before[d] < 0 || after[d] < 0 || (d < 2 && pad->before[d] + after[d] > 0)) return;
    }
    Edges edges = conv->padding;
    edges.top += pad->before[2], edges.bottom += after[2];
    edges.left += pad->before[3], edges.right += after[3];
    conv->padding = edges;
    ++uses_[x];
    const ValueId padded = std::exchange(node.inputs[0], x);
    --uses_[padded];
    drop_chain(padded);
  }

  // x * factors (N, C, 1, 1) before a 1x1 convolution, the end of squeeze-and-excite. The convolution scales
  // its weights, which is less work than a pass over the image where that has more pixels than outputs.
  void factors_into_pointwise(size_t i) {
    NodeT& node = nodes_[i];
    auto* conv = std::get_if<ConvOp<T>>(&node.op);
    if (!conv || uses_[node.inputs[0]] != 1) return;
    const auto* product = made_by<BinaryOp>(node.inputs[0]);
    if (!product || product->kind != BinaryKind::kMul || product->activation.kind != ActivationKind::kNone)
      return;
    const Dims x = shape(node.inputs[0]), y = shape(node.output);
    const ImageView<const T>& w = conv->weights.weight;
    if (w.height != 1 || w.width != 1 || conv->groups != 1 || conv->stride.h != 1 || conv->stride.w != 1 ||
        x[2] != y[2] || x[3] != y[3] || x[1] < 2 || x[2] * x[3] <= y[1])
      return;
    const std::vector<ValueId> operands = maker(node.inputs[0]).inputs;
    for (const int side : {0, 1}) {
      const ValueId image = operands[side], factors = operands[1 - side];
      if (shape(image) != x || shape(factors) != Dims{x[0], x[1], 1, 1}) continue;
      conv->scaled = true;
      const ValueId scaled = node.inputs[0];
      ++uses_[image], ++uses_[factors];
      node.inputs = {image, factors};
      --uses_[scaled];
      return drop_chain(scaled);
    }
  }

  // The mean over windows of a 1x1 convolution's output is the convolution of the means, which have fewer
  // pixels. DenseNet's transitions are that: with a quarter of their products DenseNet-121 takes 35.7 ms
  // instead of 40.3.
  void average_before_pointwise(size_t i) {
    NodeT& pool = nodes_[i];
    const auto* op = std::get_if<PoolOp>(&pool.op);
    if (!op || op->spec.kind != PoolKind::kAverage || op->spec.divisor || uses_[pool.inputs[0]] != 1) return;
    const Edges& pad = op->spec.pad;  // zeros that count would weigh the bias less
    if (pad.top || pad.bottom || pad.left || pad.right) return;
    NodeT& product = maker(pool.inputs[0]);
    const auto* conv = std::get_if<ConvOp<T>>(&product.op);
    if (!conv || product.inputs.size() != 1 || conv->activation.kind != ActivationKind::kNone) return;
    const Dims &x = shape(product.inputs[0]), &between = shape(product.output), &y = shape(pool.output);
    const ImageView<const T>& w = conv->weights.weight;
    if (w.height != 1 || w.width != 1 || conv->stride.h != 1 || conv->stride.w != 1 || x[2] != between[2] ||
        x[3] != between[3] || 2 * y[2] * y[3] > x[2] * x[3])
      return;
    graph_.set_shape(product.output, {x[0], x[1], y[2], y[3]});
    std::swap(product.op, pool.op);
    std::swap(product.name, pool.name);
  }

  // What a product's output is multiplied and shifted by lands in its weights.
  struct Target {
    Folded* folded;
    int axis;
    int64_t channels;
  };
  // A product that can take more: no activation and no residual yet.
  std::optional<Target> open_product(NodeT& node) {
    const Dims& s = shape(node.output);
    if (auto* conv = std::get_if<ConvOp<T>>(&node.op))
      if (conv->activation.kind == ActivationKind::kNone && node.inputs.size() == conv->residual_at())
        return Target{&conv->folded, 1, s[1]};
    if (auto* conv = std::get_if<ConvTransposeOp<T>>(&node.op))
      if (conv->activation.kind == ActivationKind::kNone) return Target{&conv->folded, 1, s[1]};
    if (auto* linear = std::get_if<LinearOp<T>>(&node.op))
      if (linear->activation.kind == ActivationKind::kNone && node.inputs.size() == 1)
        return Target{&linear->folded, static_cast<int>(s.size()) - 1, s.back()};
    return {};
  }

  void scale_shift_into_producer(size_t i) {
    NodeT& node = nodes_[i];
    const auto* op = std::get_if<ScaleShiftOp>(&node.op);
    if (!op || uses_[node.inputs[0]] != 1) return;
    NodeT& before = maker(node.inputs[0]);
    const auto same_axis = [&](int axis, int64_t channels, ScaleShiftOp& moved) {
      moved = *op;
      if (op->axis == axis) return true;
      // One value for all channels is the same along any axis.
      if (!uniform(op->scale) || !uniform(op->shift)) return false;
      moved.scale.assign(channels, op->scale[0]);
      moved.shift.assign(channels, op->shift[0]);
      return true;
    };
    ScaleShiftOp moved;
    if (std::optional<Target> target = open_product(before)) {
      if (!same_axis(target->axis, target->channels, moved)) return;
      combine(target->folded->scale, target->folded->shift, moved);
      set_activation(before, moved.activation);
      absorb(node);
    } else if (auto* first = std::get_if<ScaleShiftOp>(&before.op);
               first && first->activation.kind == ActivationKind::kNone) {
      if (!same_axis(first->axis, static_cast<int64_t>(first->scale.size()), moved)) return;
      combine(first->scale, first->shift, moved);
      first->activation = moved.activation;
      absorb(node);
    }
  }
  static void combine(std::vector<double>& scale, std::vector<double>& shift, const ScaleShiftOp& next) {
    if (scale.empty()) {
      scale = next.scale;
      shift = next.shift;
      return;
    }
    for (size_t c = 0; c < scale.size(); ++c) {
      shift[c] = shift[c] * next.scale[c] + next.shift[c];
      scale[c] *= next.scale[c];
    }
  }

  // a + b, where one is a product read here alone: the later one of the two, since it needs the other.
  void sum_into_residual(size_t i) {
    NodeT& node = nodes_[i];
    const auto* sum = std::get_if<BinaryOp>(&node.op);
    if (!sum || sum->kind != BinaryKind::kAdd || node.inputs[0] == node.inputs[1]) return;
    int side = producer_[node.inputs[0]] > producer_[node.inputs[1]] ? 0 : 1;
    for (int attempt = 0; attempt < 2; ++attempt, side = 1 - side) {
      const ValueId product = node.inputs[side], other = node.inputs[1 - side];
      if (uses_[product] != 1 || shape(product) != shape(node.output) || shape(other) != shape(node.output))
        continue;
      NodeT& before = maker(product);
      if (std::holds_alternative<ConvTransposeOp<T>>(before.op) || !open_product(before)) continue;
      const Activation activation = sum->activation;
      // The product moves here, where both are known.
      std::string name = before.name;
      Op<T> op = std::move(before.op);
      std::vector<ValueId> inputs = before.inputs;
      inputs.push_back(other);
      before.output = kDead;
      uses_[product] = 0;
      node.name = std::move(name);
      node.op = std::move(op);
      node.inputs = inputs;
      set_activation(node, activation);
      return;
    }
  }

  void activation_into_producer(size_t i) {
    NodeT& node = nodes_[i];
    const auto* op = std::get_if<ActivationOp>(&node.op);
    if (!op || uses_[node.inputs[0]] != 1) return;
    if (set_activation(maker(node.inputs[0]), op->activation)) absorb(node);
  }

  // False if the operation has no room for it.
  static bool set_activation(NodeT& node, const Activation& activation) {
    const auto set = [&](Activation& place) {
      if (place.kind != ActivationKind::kNone) return activation.kind == ActivationKind::kNone;
      place = activation;
      return true;
    };
    return std::visit(
        [&](auto& op) {
          if constexpr (requires { op.activation; } &&
                        !std::is_same_v<std::decay_t<decltype(op)>, ActivationOp>)
            return set(op.activation);
          else
            return false;
        },
        node.op);
  }

  Graph<T>& graph_;
  std::vector<NodeT>& nodes_;
  std::vector<size_t> producer_;
  std::vector<int> uses_;
};

}  // namespace

template <class T>
void fuse(Graph<T>& graph) {
  Fuser<T>(graph).run();
}

template void fuse(Graph<float>&);
template void fuse(Graph<double>&);

}  // namespace onebyone
