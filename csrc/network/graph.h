// network/graph.h - a network as a list of operations on values, before anything is decided: what bindings/
// builds, fuse.cc rewrites and compile.cc turns into steps. Knows shapes. Does not know memory or layouts:
// images have the shape (N, C, H, W) here however they will lie.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "conv/conv_transpose2d.h"
#include "core/geometry.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/resize.h"

namespace onebyone {

using ValueId = int32_t;
using Dims = std::vector<int64_t>;

int64_t element_count(const Dims& shape);
std::string dims_text(const Dims& shape);
// A node for messages: its operation, and its name if it has one.
std::string node_label(const std::string& name, const char* op);

// Operations. What inputs they have is said beside each; all have one output.

struct InputOp {                  // none
  Layout layout = Layout::kNchw;  // of the caller's array, if its rank is 4
};
template <class T>
struct ConstantOp {  // none
  TensorView<const T> data;
};

// What was multiplied onto each output channel of a product after its bias, folded into its weights when they
// are packed: weight * scale, bias * scale + shift. Empty: nothing was.
struct Folded {
  std::vector<double> scale, shift;
};
template <class T>
struct ConvOp {  // x, its factors if it is scaled, and the residual if there is one
  ConvWeights<T> weights;
  Pair stride, dilation;
  Edges padding;
  int64_t groups;
  Folded folded;
  Activation activation;
  bool scaled = false;  // x is multiplied with factors (N, C, 1, 1)

  size_t residual_at() const { return scaled ? 2 : 1; }  // among the inputs, if there is one
};
template <class T>
struct ConvTransposeOp {  // x
  ConvWeights<T> weights;
  Pair stride, dilation, output_padding;
  Edges padding;
  int64_t groups;
  Folded folded;
  Activation activation;
};
// Along the last axis: weight (out, in) as an image view of 1x1 filters.
template <class T>
struct LinearOp {  // x, and the residual if there is one
  ConvWeights<T> weights;
  Folded folded;
  Activation activation;
};
struct MatmulOp {};  // a, b

// Along `axis`; a scalar has one element for any axis.
struct ScaleShiftOp {  // x
  int axis;
  std::vector<double> scale, shift;
  Activation activation;
};
struct ActivationOp {  // x
  Activation activation;
};
struct UnaryOp {  // x
  UnaryKind kind;
};
struct BinaryOp {  // a, b
  BinaryKind kind;
  Activation activation;
};

struct PoolOp {  // x
  PoolSpec spec;
};
struct AdaptivePoolOp {};  // x
struct ResizeOp {          // x
  ResizeSpec spec;
};
struct ReduceOp {  // x; the output keeps its rank
  ReduceKind kind;
};
struct SoftmaxOp {  // x
  int axis;
  bool log;
};
struct LrnOp {  // x
  LrnSpec spec;
};

struct ConcatOp {  // any number
  int axis;
};
struct PadOp {  // x
  Dims before;
  PadMode mode;
  double value;
};
struct GatherOp {  // x
  int axis;
  std::vector<int64_t> indices;
};

// Views: no operation on data if strides can say it.
struct ReshapeOp {};  // x
struct TransposeOp {  // x; output axis d is x's perm[d]
  std::vector<int> perm;
};
struct SliceOp {  // x; output element i along d is x's starts[d] + i * steps[d]
  Dims starts, steps;
};
struct ExpandOp {};  // x; of one rank with the output

template <class T>
using Op =
    std::variant<InputOp, ConstantOp<T>, ConvOp<T>, ConvTransposeOp<T>, LinearOp<T>, MatmulOp, ScaleShiftOp,
                 ActivationOp, UnaryOp, BinaryOp, PoolOp, AdaptivePoolOp, ResizeOp, ReduceOp, SoftmaxOp,
                 LrnOp, ConcatOp, PadOp, GatherOp, ReshapeOp, TransposeOp, SliceOp, ExpandOp>;

template <class T>
struct Node {
  std::string name;  // the caller's, for messages and profiles
  Op<T> op;
  std::vector<ValueId> inputs;
  ValueId output;
};

struct GraphOutput {
  std::string name;
  ValueId value;
  Layout layout;
};

// Built node by node, each after what it reads. Every function checks its arguments, infers the output's
// shape and returns its value; std::invalid_argument names the node, the argument and the cure. Weights and
// constants are views: they must live until the graph is compiled.
template <class T>
class Graph {
 public:
  ValueId input(const std::string& name, const Dims& shape, Layout layout);
  ValueId constant(const TensorView<const T>& data);
  void output(const std::string& name, ValueId value, Layout layout);

  ValueId conv2d(const std::string& name, ValueId x, const ConvWeights<T>& weights, Pair stride,
                 const Padding& padding, Pair dilation, int64_t groups, const Activation& activation);
  ValueId conv_transpose2d(const std::string& name, ValueId x, const ConvWeights<T>& weights, Pair stride,
                           const Edges& padding, Pair output_padding, Pair dilation, int64_t groups);
  ValueId linear(const std::string& name, ValueId x, const ConvWeights<T>& weights,
                 const Activation& activation);
  ValueId matmul(const std::string& name, ValueId a, ValueId b);
  ValueId scale_shift(const std::string& name, ValueId x, int axis, std::vector<double> scale,
                      std::vector<double> shift);
  ValueId activation(const std::string& name, ValueId x, const Activation& activation);
  ValueId unary(const std::string& name, ValueId x, UnaryKind kind);
  ValueId binary(const std::string& name, ValueId a, ValueId b, BinaryKind kind);
  ValueId pool(const std::string& name, ValueId x, const PoolSpec& spec);
  ValueId adaptive_avg_pool(const std::string& name, ValueId x, Pair size);
  ValueId resize(const std::string& name, ValueId x, Pair size, const ResizeSpec& spec);
  ValueId reduce(const std::string& name, ValueId x, const std::vector<int>& axes, ReduceKind kind,
                 bool keepdims);
  ValueId softmax(const std::string& name, ValueId x, int axis, bool log);
  ValueId lrn(const std::string& name, ValueId x, const LrnSpec& spec);
  ValueId concat(const std::string& name, const std::vector<ValueId>& inputs, int axis);
  ValueId pad(const std::string& name, ValueId x, const Dims& before, const Dims& after, PadMode mode,
              double value);
  ValueId gather(const std::string& name, ValueId x, const std::vector<int64_t>& indices, int axis);
  ValueId reshape(const std::string& name, ValueId x, const Dims& shape);
  ValueId transpose(const std::string& name, ValueId x, const std::vector<int>& perm);
  ValueId slice(const std::string& name, ValueId x, const Dims& starts, const Dims& sizes, const Dims& steps);
  ValueId expand(const std::string& name, ValueId x, const Dims& shape);

  const Dims& shape(ValueId value) const { return shapes_[check(value)]; }
  size_t shape_count() const { return shapes_.size(); }  // values are 0 to this
  const std::vector<GraphOutput>& outputs() const { return outputs_; }
  const std::vector<Node<T>>& nodes() const { return nodes_; }

  // For fuse.cc, which rewrites the list in place.
  std::vector<Node<T>>& mutable_nodes() { return nodes_; }
  std::vector<GraphOutput>& mutable_outputs() { return outputs_; }
  void set_shape(ValueId value, Dims shape) { shapes_[value] = std::move(shape); }
  // For per_image.cc, which makes axis 0 of every value with images another.
  void resize_batch(ValueId value, int64_t size) { shapes_[value][0] = size; }

 private:
  ValueId check(ValueId value) const;
  int axis_of(const std::string& name, ValueId x, int axis) const;
  ImageShape image_shape(const std::string& name, ValueId x) const;
  ValueId add(const std::string& name, Op<T> op, std::vector<ValueId> inputs, Dims shape);

  std::vector<Node<T>> nodes_;
  std::vector<Dims> shapes_;  // by value
  std::vector<GraphOutput> outputs_;
};

}  // namespace onebyone
