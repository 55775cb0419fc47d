#include "network/arrangement.h"

#include <algorithm>

#include "network/chain.h"

namespace onebyone {
namespace {

// An intermediate image of less stays in L2 by itself. From 128 KB to 1 MB networks take the same time; with
// 2 MB MobileNet v2 takes 22 % more (AVX2 11 %) and EfficientNet-B0 10 % (6 %).
constexpr int64_t kChainFrom = 1 << 20;
// By Winograd the convolution before costs less, but its image goes to memory and back. It must save as much:
// 3 -> 512 -> 64 at 256x256 (estimated at 1.27) takes 56 ms as a chain of direct products and 64 apart.
constexpr double kWinogradSaves = 1.3;
// The least of an image that a 1x1 convolution reads scaled, as for chains. DenseNet-121 takes 3 % less (one
// thread and two; at 480x480 two threads 10 %), with 256 KB 2 %, with 2 MB nothing.
constexpr int64_t kScaledFrom = 1 << 20;

template <class T>
class Arranger {
 public:
  Arranger(const Graph<T>& graph, const StepMaker<T>& maker) : graph_(graph), maker_(maker) {}

  Arrangement run() {
    find_chains();
    find_parents();
    find_memory();
    find_last_reads();
    return std::move(result_);
  }

 private:
  using NodeT = Node<T>;

  template <class... Ops>
  static bool is_any(const NodeT& node) {
    return (std::holds_alternative<Ops>(node.op) || ...);
  }
  static bool is_view(const NodeT& node) { return is_any<ReshapeOp, TransposeOp, SliceOp, ExpandOp>(node); }

  // Convolutions that chain.h serves as one step, where it is worth it: which comes next, of all but the
  // last. Depthwise ones take their neighbours first.
  void find_chains() {
    const auto& nodes = graph_.nodes();
    result_.next_in_chain.assign(nodes.size(), kNoNode);
    result_.before_in_chain.assign(nodes.size(), kNoNode);
    std::vector<int> reads(graph_.shape_count());
    maker_of_.assign(graph_.shape_count(), kNoNode);
    for (size_t i = 0; i < nodes.size(); ++i) {
      maker_of_[nodes[i].output] = static_cast<int>(i);
      for (const ValueId input : nodes[i].inputs) ++reads[input];
    }
    for (const GraphOutput& output : graph_.outputs()) ++reads[output.value];
    // The node that makes what node i reads, for it alone, where that is as large.
    const auto before = [&](size_t i, int64_t least_bytes) -> int {
      const ValueId x = nodes[i].inputs[0];
      const bool plain = nodes[maker_of_[x]].inputs.size() == 1 && reads[x] == 1;
      const int64_t bytes = element_count(graph_.shape(x)) * static_cast<int64_t>(sizeof(T));
      return plain && bytes >= least_bytes ? maker_of_[x] : kNoNode;
    };
    const auto join = [&](int first, size_t second) {
      result_.next_in_chain[first] = static_cast<int>(second);
      result_.before_in_chain[second] = first;
    };
    std::vector<ChainRole> roles;
    for (const NodeT& node : nodes) roles.push_back(role_of(node));
    for (size_t i = 0; i < nodes.size(); ++i)
      if (roles[i] == ChainRole::kRows)
        if (const int first = before(i, kChainFrom);
            first != kNoNode &&
            (roles[first] == ChainRole::kPointwise || roles[first] == ChainRole::kPixels) &&
            sees_few_rows(nodes[i]))
          join(first, i);
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (roles[i] != ChainRole::kPointwise || result_.next_in_chain[i] != kNoNode) continue;
      const int first = before(i, kChainFrom);
      if (first != kNoNode && roles[first] != ChainRole::kNone && result_.next_in_chain[first] == kNoNode &&
          !(is_strassens(nodes[first]) && is_strassens(nodes[i])))
        join(first, i);
    }
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (roles[i] != ChainRole::kPointwise || result_.before_in_chain[i] != kNoNode) continue;
      if (const int first = before(i, kScaledFrom); first != kNoNode && scales_pixels(nodes[first]))
        join(first, i);
    }
  }
  // Whether a depthwise convolution's window spans less than half of its image. Else the chain keeps most of
  // what it saves, a row or two are made at a time by products that read all weights for them, and threads
  // make the rows again that two of them see: three layers of 5x5 with dilation 2 at 20x20, behind 1x1 from
  // 112 and 160 to 672 and 960, take 3.8 ms apart and 4.7 as chains.
  bool sees_few_rows(const NodeT& node) const {
    const auto& conv = std::get<ConvOp<T>>(node.op);
    const int64_t window = (conv.weights.weight.height - 1) * conv.dilation.h + 1;
    return 2 * (window + conv.stride.h) < graph_.shape(node.inputs[0])[2];
  }
  // Two that are better apart: 192 -> 384 -> 192 at 40x40 takes 4.5 ms as a chain, 4.3 by Strassen's
  // algorithm, 384 -> 768 -> 384 at 20x20 4.4 and 4.1.
  bool is_strassens(const NodeT& node) const {
    const auto& conv = std::get<ConvOp<T>>(node.op);
    return maker_.conv_plan(conv_spec_of(graph_, maker_, node, conv, 0, ConvRole::kStep), conv).algorithm ==
           Algorithm::kStrassen;
  }
  // Whether scaled_pixels.h can do it.
  static bool scales_pixels(const NodeT& node) {
    const auto* scale = std::get_if<ScaleShiftOp>(&node.op);
    return scale ? scale->axis == 1 : std::holds_alternative<ActivationOp>(node.op);
  }
  // What a convolution can be in a chain: made by pixels, 1x1 of stride 1 besides, or made by rows.
  enum class ChainRole { kNone, kPixels, kPointwise, kRows };
  ChainRole role_of(const NodeT& node) const {
    const auto* conv = std::get_if<ConvOp<T>>(&node.op);
    if (!conv || conv->scaled) return ChainRole::kNone;
    const ConvSpec stage = conv_spec_of(graph_, maker_, node, *conv, 0, ConvRole::kStage);
    const ConvPlan plan = maker_.conv_plan(stage, *conv);
    if (Chain<T>::by_rows(plan)) return ChainRole::kRows;
    if (!Chain<T>::by_pixels(plan)) return ChainRole::kNone;
    const ConvSpec step = conv_spec_of(graph_, maker_, node, *conv, 0, ConvRole::kStep);
    const ConvPlan apart = maker_.conv_plan(step, *conv);
    if (apart.algorithm == Algorithm::kWinograd &&
        kWinogradSaves * maker_.conv_cycles(step, *conv, apart) < maker_.conv_cycles(stage, *conv, plan))
      return ChainRole::kNone;
    const Dims &x = graph_.shape(node.inputs[0]), &y = graph_.shape(node.output);
    const ImageView<const T>& w = conv->weights.weight;
    const bool pointwise = w.height == 1 && w.width == 1 && conv->stride.h == 1 && conv->stride.w == 1 &&
                           x[2] == y[2] && x[3] == y[3] && conv->groups == 1;
    return pointwise ? ChainRole::kPointwise : ChainRole::kPixels;
  }
  // From the last join to the first: one whose inputs all lie side by side in a later one is part of that.
  void find_parents() {
    result_.parents.resize(graph_.shape_count());
    for (size_t i = graph_.nodes().size(); i-- > 0;) {
      const NodeT& node = graph_.nodes()[i];
      const auto* join = std::get_if<ConcatOp>(&node.op);
      if (!join || join_of_parts(node, join->axis)) continue;
      int64_t start = 0;
      for (const ValueId input : node.inputs) {
        const NodeT& made = graph_.nodes()[maker_of_[input]];
        const bool writes = !is_view(made) && !is_any<InputOp, ConstantOp<T>>(made);
        const bool once = std::count(node.inputs.begin(), node.inputs.end(), input) == 1;
        if (writes && once && result_.parents[input].value == kNoNode)
          result_.parents[input] = {node.output, join->axis, start};
        start += graph_.shape(input)[join->axis];
      }
    }
  }
  bool join_of_parts(const NodeT& node, int axis) {
    const Parent first = result_.parents[node.inputs[0]];
    int64_t start = first.start;
    for (const ValueId input : node.inputs) {
      const Parent& parent = result_.parents[input];
      if (parent.value == kNoNode || parent.value != first.value || parent.axis != axis ||
          parent.start != start)
        return false;
      start += graph_.shape(input)[axis];
    }
    if (result_.parents[node.output].value != kNoNode) return false;
    result_.parents[node.output] = first;
    return true;
  }

  void find_memory() {
    for (ValueId value = 0; value < static_cast<ValueId>(graph_.shape_count()); ++value)
      result_.memory_of.push_back(memory_of(value));
  }
  ValueId memory_of(ValueId value) const {
    while (maker_of_[value] != kNoNode) {
      const NodeT& made = graph_.nodes()[maker_of_[value]];
      if (result_.parents[value].value != kNoNode)
        value = result_.parents[value].value;
      else if (is_view(made))
        value = made.inputs[0];
      else
        break;
    }
    return value;
  }

  void find_last_reads() {
    result_.last_read.assign(graph_.shape_count(), 0);
    result_.output_of.assign(graph_.shape_count(), kNoNode);
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      size_t reader = i;  // the last of its chain
      while (result_.next_in_chain[reader] != kNoNode) reader = result_.next_in_chain[reader];
      for (const ValueId input : graph_.nodes()[i].inputs) {
        size_t& last = result_.last_read[result_.memory_of[input]];
        last = std::max(last, reader);
      }
    }
    for (size_t i = graph_.outputs().size(); i-- > 0;) {
      const ValueId value = graph_.outputs()[i].value;
      result_.last_read[result_.memory_of[value]] = graph_.nodes().size();
      result_.output_of[value] = static_cast<int>(i);
    }
  }

  const Graph<T>& graph_;
  const StepMaker<T>& maker_;
  std::vector<int> maker_of_;  // by value: the node that makes it; kNoNode of values that fusion left without
  Arrangement result_;
};

}  // namespace

template <class T>
Arrangement arrange(const Graph<T>& graph, const StepMaker<T>& maker) {
  return Arranger<T>(graph, maker).run();
}

template Arrangement arrange(const Graph<float>&, const StepMaker<float>&);
template Arrangement arrange(const Graph<double>&, const StepMaker<double>&);

}  // namespace onebyone
