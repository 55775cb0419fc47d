#include "network/per_image.h"

#include <algorithm>

namespace onebyone {
namespace {

template <class T>
class BatchSplitter {
 public:
  explicit BatchSplitter(Graph<T>& graph) : graph_(graph), carries_(graph.shape_count()) {}

  BatchSplit<T> run(int threads) {
    BatchSplit<T> split;
    if (!find_batch() || !follow_images()) return split;
    const int64_t group = group_size(threads);
    if (group == batch_) return split;
    const std::vector<bool> in_rest = find_rest();
    if (only_rest(in_rest) || rounds_otherwise(in_rest)) return split;
    split.groups = batch_ / group;
    if (std::find(in_rest.begin(), in_rest.end(), true) != in_rest.end()) take_rest(in_rest, split);
    for (const NodeT& node : graph_.nodes())
      if (carries_[node.output]) graph_.resize_batch(node.output, group);
    return split;
  }

 private:
  using NodeT = Node<T>;

  const Dims& shape(ValueId value) const { return graph_.shape(value); }
  bool has_batch(ValueId value) const { return !shape(value).empty() && shape(value)[0] == batch_; }

  // ---- whether images have to do with each other ----

  bool find_batch() {
    for (const NodeT& node : graph_.nodes()) {
      if (!std::holds_alternative<InputOp>(node.op)) continue;
      if (batch_ == 0 && !shape(node.output).empty()) batch_ = shape(node.output)[0];
      if (!has_batch(node.output)) return false;
    }
    return batch_ > 1;
  }

  // False if some operation mixes images, or an output carries none.
  bool follow_images() {
    for (const NodeT& node : graph_.nodes()) {
      const bool reads_images =
          std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) { return carries_[input]; });
      carries_[node.output] = reads_images || starts_images(node);
      if (reads_images && !(has_batch(node.output) &&
                            std::visit([&](const auto& op) { return keeps_apart(node, op); }, node.op)))
        return false;
    }
    return std::all_of(graph_.outputs().begin(), graph_.outputs().end(),
                       [&](const GraphOutput& output) { return carries_[output.value]; });
  }

  // An input, or a constant repeated for every image.
  bool starts_images(const NodeT& node) const {
    if (std::holds_alternative<InputOp>(node.op)) return true;
    return std::holds_alternative<ExpandOp>(node.op) && has_batch(node.output) &&
           shape(node.inputs[0])[0] == 1;
  }

  bool all_carry(const NodeT& node) const {
    return std::all_of(node.inputs.begin(), node.inputs.end(),
                       [&](ValueId input) { return carries_[input]; });
  }

  // Whether image i of the output, which has a batch too, is made from images i of the inputs.

  // Convolutions, pooling and what else has images (N, C, H, W); elementwise operations of one input;
  // reshapes and expansions, whose elements stay in order; reductions, which left axis 0 alone if its size is
  // N still.
  template <class Other>
  bool keeps_apart(const NodeT& node, const Other&) const {
    return all_carry(node);
  }
  bool keeps_apart(const NodeT& node, const LinearOp<T>&) const {
    return all_carry(node) && shape(node.output).size() > 1;
  }
  bool keeps_apart(const NodeT& node, const MatmulOp&) const {
    return shape(node.output).size() > 2 ? all_carry(node) : !carries_[node.inputs[1]];
  }
  bool keeps_apart(const NodeT& node, const BinaryOp&) const {
    const size_t rank = shape(node.output).size();
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
      const bool has_axis = shape(input).size() == rank;
      return carries_[input] ? has_axis : !has_axis || shape(input)[0] == 1;
    });
  }
  bool keeps_apart(const NodeT&, const ScaleShiftOp& op) const { return op.axis != 0; }
  bool keeps_apart(const NodeT&, const SoftmaxOp& op) const { return op.axis != 0; }
  bool keeps_apart(const NodeT&, const GatherOp& op) const { return op.axis != 0; }
  bool keeps_apart(const NodeT&, const PadOp& op) const { return op.before[0] == 0; }
  bool keeps_apart(const NodeT&, const TransposeOp& op) const { return op.perm[0] == 0; }
  bool keeps_apart(const NodeT&, const SliceOp& op) const { return op.starts[0] == 0 && op.steps[0] == 1; }
  bool keeps_apart(const NodeT& node, const ConcatOp& op) const { return all_carry(node) && op.axis != 0; }

  // ---- groups ----

  // With fewer groups than threads the batch stays whole: layer by layer, it has more work for all threads
  // between their barriers than each group would have.
  int64_t group_size(int threads) const {
    int64_t largest = 0;
    for (const NodeT& node : graph_.nodes())
      if (carries_[node.output]) largest = std::max(largest, element_count(shape(node.output)) / batch_);
    const auto bytes = [&](int64_t images) { return images * largest * static_cast<int64_t>(sizeof(T)); };
    if (batch_ < threads) return batch_;
    int64_t group = 1;
    for (int64_t size = 2; size < batch_; ++size)
      if (batch_ % size == 0 && batch_ / size >= threads && bytes(size) <= kSmall) group = size;
    return bytes(group) < kTiny ? batch_ : group;
  }

  // ---- the rest ----

  // Values with one vector an image: (N, C) or (N, C, 1, 1).
  bool is_vector(ValueId value) const {
    const Dims& s = shape(value);
    return carries_[value] && s.size() > 1 &&
           std::all_of(s.begin() + 2, s.end(), [](int64_t n) { return n == 1; });
  }

  // By node: whether it makes vectors of vectors, for others like it and for outputs alone.
  std::vector<bool> find_rest() const {
    const std::vector<NodeT>& nodes = graph_.nodes();
    std::vector<bool> rest(nodes.size()), read_by_images(graph_.shape_count());
    bool has_product = false;
    for (size_t i = nodes.size(); i-- > 0;) {
      const NodeT& node = nodes[i];
      const auto vector_or_constant = [&](ValueId value) { return !carries_[value] || is_vector(value); };
      rest[i] = !std::holds_alternative<InputOp>(node.op) && is_vector(node.output) &&
                !read_by_images[node.output] &&
                std::all_of(node.inputs.begin(), node.inputs.end(), vector_or_constant);
      if (!rest[i])
        for (const ValueId input : node.inputs) read_by_images[input] = true;
      else
        has_product |= std::holds_alternative<LinearOp<T>>(node.op) ||
                       std::holds_alternative<ConvOp<T>>(node.op) ||
                       std::holds_alternative<MatmulOp>(node.op);
    }
    if (!has_product) rest.assign(rest.size(), false);
    return rest;
  }

  bool only_rest(const std::vector<bool>& in_rest) const {
    for (size_t i = 0; i < in_rest.size(); ++i) {
      const NodeT& node = graph_.nodes()[i];
      if (!in_rest[i] && carries_[node.output] && !std::holds_alternative<InputOp>(node.op)) return false;
    }
    return true;
  }

  // Whether a linear layer has few rows in an image, but not in the batch: groups, whose size follows the
  // threads, would not have the bits of the batch.
  bool rounds_otherwise(const std::vector<bool>& in_rest) const {
    for (size_t i = 0; i < in_rest.size(); ++i) {
      const NodeT& node = graph_.nodes()[i];
      if (in_rest[i] || !carries_[node.output] || !std::holds_alternative<LinearOp<T>>(node.op)) continue;
      const Dims& s = shape(node.output);
      const int64_t rows = element_count(Dims(s.begin(), s.end() - 1));
      if (rows / batch_ <= kFewRows && rows > kFewRows) return true;
    }
    return false;
  }

  void take_rest(const std::vector<bool>& in_rest, BatchSplit<T>& split) {
    std::vector<bool> made(graph_.shape_count()), read(graph_.shape_count());
    std::vector<NodeT> nodes, rest_nodes;
    std::vector<GraphOutput> outputs;
    split.rest = graph_;
    split.rest->mutable_outputs().clear();
    for (size_t i = 0; i < in_rest.size(); ++i) {
      const NodeT& node = graph_.nodes()[i];
      made[node.output] = in_rest[i];
      if (!in_rest[i]) continue;
      for (const ValueId input : node.inputs) read[input] = true;
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const GraphOutput& output = graph_.outputs()[i];
      if (made[output.value]) split.rest_outputs.push_back(i);
      (made[output.value] ? split.rest->mutable_outputs() : outputs).push_back(output);
    }
    for (size_t i = 0; i < in_rest.size(); ++i) {
      const NodeT& node = graph_.nodes()[i];
      if (!in_rest[i]) nodes.push_back(node);
      if (in_rest[i] || !carries_[node.output]) {
        rest_nodes.push_back(node);
      } else if (read[node.output]) {
        rest_nodes.push_back({node.name, InputOp{}, {}, node.output});
        outputs.push_back({node.name, node.output, Layout::kNchw});
      }
    }
    split.rest->mutable_nodes() = std::move(rest_nodes);
    graph_.mutable_nodes() = std::move(nodes);
    graph_.mutable_outputs() = std::move(outputs);
  }

  // Bytes of a group's largest value: with what is read and written beside it, it stays in L2.
  static constexpr int64_t kSmall = 256 * 1024;
  // Less than this is done in no more time than it takes to start the steps.
  static constexpr int64_t kTiny = 16 * 1024;

  Graph<T>& graph_;
  int64_t batch_ = 0;
  std::vector<bool> carries_;  // by value: images along axis 0
};

}  // namespace

template <class T>
BatchSplit<T> split_batch(Graph<T>& graph, int threads) {
  return BatchSplitter<T>(graph).run(threads);
}

template BatchSplit<float> split_batch(Graph<float>&, int);
template BatchSplit<double> split_batch(Graph<double>&, int);

}  // namespace onebyone
