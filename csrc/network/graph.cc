#include "network/graph.h"

#include <algorithm>

#include "core/check.h"
#include "core/int_math.h"

namespace onebyone {
namespace {

int64_t checked_count(const std::string& op, const Dims& shape) {
  int64_t count = sizeof(double);
  for (const int64_t size : shape) {
    if (size < 0) fail(op, ": shape must not be negative, got ", dims_text(shape));
    count = checked_mul(count, size, op.c_str());
  }
  return count / static_cast<int64_t>(sizeof(double));
}

// NumPy's rule for two shapes.
Dims broadcast_shapes(const std::string& op, const Dims& a, const Dims& b) {
  Dims shape(std::max(a.size(), b.size()));
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t from_a = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t from_b = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (from_a != from_b && from_a != 1 && from_b != 1)
      fail(op, ": shapes ", dims_text(a), " and ", dims_text(b), " cannot be broadcast together");
    shape[shape.size() - 1 - i] = from_a == 1 ? from_b : from_a;
  }
  return shape;
}

}  // namespace

int64_t element_count(const Dims& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::string node_label(const std::string& name, const char* op) {
  return name.empty() ? std::string(op) : concat(op, " '", name, "'");
}

std::string dims_text(const Dims& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += onebyone::concat(i ? ", " : "", shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

template <class T>
ValueId Graph<T>::check(ValueId value) const {
  if (value < 0 || value >= static_cast<ValueId>(shapes_.size()))
    fail("Graph: value ", value, " does not exist; use what the graph's methods return");
  return value;
}

template <class T>
int Graph<T>::axis_of(const std::string& name, ValueId x, int axis) const {
  const int rank = static_cast<int>(shape(x).size());
  if (axis < -rank || axis >= rank)
    fail(name, ": axis ", axis, " is out of range for x of shape ", dims_text(shape(x)));
  return axis < 0 ? axis + rank : axis;
}

template <class T>
ImageShape Graph<T>::image_shape(const std::string& name, ValueId x) const {
  const Dims& s = shape(x);
  if (s.size() != 4) fail(name, ": x must have 4 dimensions (N, C, H, W), got shape ", dims_text(s));
  return {s[0], s[1], s[2], s[3]};
}

template <class T>
ValueId Graph<T>::add(const std::string& name, Op<T> op, std::vector<ValueId> inputs, Dims shape) {
  checked_count(name.empty() ? "Graph" : name, shape);
  if (shape.size() > kMaxRank)
    fail(name, ": at most ", kMaxRank, " dimensions are supported, got shape ", dims_text(shape));
  const auto value = static_cast<ValueId>(shapes_.size());
  shapes_.push_back(std::move(shape));
  nodes_.push_back({name, std::move(op), std::move(inputs), value});
  return value;
}

template <class T>
ValueId Graph<T>::input(const std::string& name, const Dims& shape, Layout layout) {
  return add(name, InputOp{layout}, {}, shape);
}

template <class T>
ValueId Graph<T>::constant(const TensorView<const T>& data) {
  return add("constant", ConstantOp<T>{data}, {}, Dims(data.shape, data.shape + data.rank));
}

template <class T>
void Graph<T>::output(const std::string& name, ValueId value, Layout layout) {
  outputs_.push_back({name, check(value), layout});
}

template <class T>
ValueId Graph<T>::conv2d(const std::string& name, ValueId x, const ConvWeights<T>& weights, Pair stride,
                         const Padding& padding, Pair dilation, int64_t groups,
                         const Activation& activation) {
  const std::string op = node_label(name, "conv2d");
  const ImageView<const T>& w = weights.weight;
  const ConvGeometry g = make_geometry(op, image_shape(op, x), {w.batch, w.channels, w.height, w.width},
                                       stride, padding, dilation, groups, "x.shape[1]");
  return add(name, ConvOp<T>{weights, stride, dilation, g.pad, groups, {}, activation}, {x},
             {g.batch, g.oc, g.oh, g.ow});
}

template <class T>
ValueId Graph<T>::conv_transpose2d(const std::string& name, ValueId x, const ConvWeights<T>& weights,
                                   Pair stride, const Edges& padding, Pair output_padding, Pair dilation,
                                   int64_t groups) {
  const std::string op = node_label(name, "conv_transpose2d");
  const ImageShape out = conv_transpose_output(
      {.op = op,
       .x = image_shape(op, x),
       .channels_from = "x.shape[1]",
       .stride = stride,
       .padding = padding,
       .output_padding = output_padding,
       .dilation = dilation,
       .groups = groups},
      {weights.weight.batch, weights.weight.channels, weights.weight.height, weights.weight.width});
  return add(name, ConvTransposeOp<T>{weights, stride, dilation, output_padding, padding, groups, {}, {}},
             {x}, {out.batch, out.channels, out.height, out.width});
}

template <class T>
ValueId Graph<T>::linear(const std::string& name, ValueId x, const ConvWeights<T>& weights,
                         const Activation& activation) {
  const std::string op = node_label(name, "linear");
  Dims result = shape(x);
  if (result.empty()) fail(op, ": x must have at least 1 dimension (..., in_features), got a scalar");
  if (result.back() != weights.weight.channels)
    fail(op, ": weight expects ", weights.weight.channels, " features (weight.shape[1]), x has shape ",
         dims_text(result));
  result.back() = weights.weight.batch;
  return add(name, LinearOp<T>{weights, {}, activation}, {x}, result);
}

template <class T>
ValueId Graph<T>::matmul(const std::string& name, ValueId a, ValueId b) {
  const std::string op = node_label(name, "matmul");
  const Dims sa = shape(a), sb = shape(b);  // copies: adding values moves the shapes
  if (sa.size() < 2 || sb.size() < 2 || sa.back() != sb[sb.size() - 2])
    fail(op, ": shapes ", dims_text(sa), " and ", dims_text(sb), " cannot be multiplied");
  Dims result = broadcast_shapes(op, Dims(sa.begin(), sa.end() - 2), Dims(sb.begin(), sb.end() - 2));
  const auto with_leading = [&](const Dims& s) {
    Dims whole = result;
    whole.insert(whole.end(), s.end() - 2, s.end());
    return whole;
  };
  // Both with all leading axes: broadcasting is a view.
  const ValueId left = expand(name, a, with_leading(sa)), right = expand(name, b, with_leading(sb));
  result.push_back(sa[sa.size() - 2]);
  result.push_back(sb.back());
  return add(name, MatmulOp{}, {left, right}, result);
}

template <class T>
ValueId Graph<T>::scale_shift(const std::string& name, ValueId x, int axis, std::vector<double> scale,
                              std::vector<double> shift) {
  const std::string op = node_label(name, "scale_shift");
  axis = axis_of(op, x, axis);
  const auto size = static_cast<size_t>(shape(x)[axis]);
  if (scale.size() != size || shift.size() != size)
    fail(op, ": has ", scale.size(), " scales and ", shift.size(), " shifts, axis ", axis, " of x of shape ",
         dims_text(shape(x)), " has ", size, " elements");
  return add(name, ScaleShiftOp{axis, std::move(scale), std::move(shift), {}}, {x}, shape(x));
}

template <class T>
ValueId Graph<T>::activation(const std::string& name, ValueId x, const Activation& activation) {
  if (activation.kind == ActivationKind::kNone) return check(x);
  return add(name, ActivationOp{activation}, {x}, shape(x));
}

template <class T>
ValueId Graph<T>::unary(const std::string& name, ValueId x, UnaryKind kind) {
  return add(name, UnaryOp{kind}, {x}, shape(x));
}

template <class T>
ValueId Graph<T>::binary(const std::string& name, ValueId a, ValueId b, BinaryKind kind) {
  return add(name, BinaryOp{kind, {}}, {a, b},
             broadcast_shapes(node_label(name, "binary"), shape(a), shape(b)));
}

template <class T>
ValueId Graph<T>::pool(const std::string& name, ValueId x, const PoolSpec& spec) {
  const std::string op = node_label(name, spec.kind == PoolKind::kMax ? "max_pool2d" : "avg_pool2d");
  const ImageShape s = image_shape(op, x);
  const Pair out = pool_output(op, spec, s);
  return add(name, PoolOp{spec}, {x}, {s.batch, s.channels, out.h, out.w});
}

template <class T>
ValueId Graph<T>::adaptive_avg_pool(const std::string& name, ValueId x, Pair size) {
  const std::string op = node_label(name, "adaptive_avg_pool2d");
  const ImageShape s = image_shape(op, x);
  if (size.h < 1 || size.w < 1)
    fail(op, ": output_size must be at least 1, got (", size.h, ", ", size.w, ")");
  if (size.h == 1 && size.w == 1) return reduce(name, x, {2, 3}, ReduceKind::kMean, true);
  return add(name, AdaptivePoolOp{}, {x}, {s.batch, s.channels, size.h, size.w});
}

template <class T>
ValueId Graph<T>::resize(const std::string& name, ValueId x, Pair size, const ResizeSpec& spec) {
  const std::string op = node_label(name, "resize");
  const ImageShape s = image_shape(op, x);
  if (size.h < 0 || size.w < 0 || ((s.height == 0 || s.width == 0) && size.h * size.w != 0))
    fail(op, ": cannot resize ", s.height, "x", s.width, " to ", size.h, "x", size.w);
  return add(name, ResizeOp{spec}, {x}, {s.batch, s.channels, size.h, size.w});
}

template <class T>
ValueId Graph<T>::reduce(const std::string& name, ValueId x, const std::vector<int>& axes, ReduceKind kind,
                         bool keepdims) {
  const std::string op = node_label(name, "reduce");
  Dims kept = shape(x), dropped;
  std::vector<bool> reduced(kept.size());
  for (const int axis : axes) reduced[axis_of(op, x, axis)] = true;
  for (size_t d = 0; d < kept.size(); ++d) {
    if (reduced[d])
      kept[d] = 1;
    else
      dropped.push_back(kept[d]);
  }
  const ValueId result = add(name, ReduceOp{kind}, {x}, kept);
  return keepdims ? result : reshape(name, result, dropped);
}

template <class T>
ValueId Graph<T>::softmax(const std::string& name, ValueId x, int axis, bool log) {
  return add(name, SoftmaxOp{axis_of(node_label(name, "softmax"), x, axis), log}, {x}, shape(x));
}

template <class T>
ValueId Graph<T>::lrn(const std::string& name, ValueId x, const LrnSpec& spec) {
  const std::string op = node_label(name, "lrn");
  image_shape(op, x);
  if (spec.size < 1) fail(op, ": size must be at least 1, got ", spec.size);
  return add(name, LrnOp{spec}, {x}, shape(x));
}

template <class T>
ValueId Graph<T>::concat(const std::string& name, const std::vector<ValueId>& inputs, int axis) {
  const std::string op = node_label(name, "concat");
  if (inputs.empty()) fail(op, ": needs at least one input");
  Dims result = shape(inputs[0]);
  axis = axis_of(op, inputs[0], axis);
  result[axis] = 0;
  for (const ValueId input : inputs) {
    Dims other = shape(input);
    if (other.size() == result.size()) {
      result[axis] = checked_add(result[axis], other[axis], op.c_str());
      other[axis] = result[axis];
    }
    if (other != result)
      fail(op, ": inputs must agree in all axes but ", axis, ", got ", dims_text(shape(inputs[0])), " and ",
           dims_text(shape(input)));
  }
  if (inputs.size() == 1) return inputs[0];
  return add(name, ConcatOp{axis}, inputs, result);
}

template <class T>
ValueId Graph<T>::pad(const std::string& name, ValueId x, const Dims& before, const Dims& after, PadMode mode,
                      double value) {
  const std::string op = node_label(name, "pad");
  Dims result = shape(x);
  if (before.size() != result.size() || after.size() != result.size())
    fail(op, ": needs ", result.size(), " sizes before and after, got ", before.size(), " and ",
         after.size());
  for (size_t d = 0; d < result.size(); ++d) {
    if (mode == PadMode::kReflect && std::max(before[d], after[d]) >= std::max<int64_t>(result[d], 1))
      fail(op, ": reflected padding (", before[d], ", ", after[d], ") must be less than x's size ", result[d],
           " along axis ", d);
    if (mode == PadMode::kEdge && result[d] == 0 && (before[d] > 0 || after[d] > 0))
      fail(op, ": an empty axis (", d, ") has no edge to repeat");
    result[d] = checked_add(checked_add(result[d], before[d], op.c_str()), after[d], op.c_str());
    if (result[d] < 0)
      fail(op, ": padding (", before[d], ", ", after[d], ") leaves nothing of axis ", d, " of x of shape ",
           dims_text(shape(x)));
  }
  return add(name, PadOp{before, mode, value}, {x}, result);
}

template <class T>
ValueId Graph<T>::gather(const std::string& name, ValueId x, const std::vector<int64_t>& indices, int axis) {
  const std::string op = node_label(name, "gather");
  axis = axis_of(op, x, axis);
  Dims result = shape(x);
  GatherOp gather{axis, indices};
  for (int64_t& index : gather.indices) {
    if (index < -result[axis] || index >= result[axis])
      fail(op, ": index ", index, " is out of range for axis ", axis, " of x of shape ", dims_text(result));
    if (index < 0) index += result[axis];
  }
  result[axis] = static_cast<int64_t>(indices.size());
  return add(name, std::move(gather), {x}, result);
}

template <class T>
ValueId Graph<T>::reshape(const std::string& name, ValueId x, const Dims& shape_) {
  const std::string op = node_label(name, "reshape");
  if (shape_ == shape(x)) return x;
  if (checked_count(op, shape_) != element_count(shape(x)))
    fail(op, ": cannot reshape ", dims_text(shape(x)), " to ", dims_text(shape_),
         ": the number of elements differs");
  return add(name, ReshapeOp{}, {x}, shape_);
}

template <class T>
ValueId Graph<T>::transpose(const std::string& name, ValueId x, const std::vector<int>& perm) {
  const std::string op = node_label(name, "transpose");
  const Dims& s = shape(x);
  TransposeOp transpose;
  Dims result;
  std::vector<bool> seen(s.size());
  for (const int axis : perm) {
    const int d = axis_of(op, x, axis);
    if (seen[d]) fail(op, ": perm names axis ", axis, " twice");
    seen[d] = true;
    transpose.perm.push_back(d);
    result.push_back(s[d]);
  }
  if (result.size() != s.size()) fail(op, ": perm has ", perm.size(), " axes, x has shape ", dims_text(s));
  return add(name, std::move(transpose), {x}, result);
}

template <class T>
ValueId Graph<T>::slice(const std::string& name, ValueId x, const Dims& starts, const Dims& sizes,
                        const Dims& steps) {
  const std::string op = node_label(name, "slice");
  const Dims& s = shape(x);
  if (starts.size() != s.size() || sizes.size() != s.size() || steps.size() != s.size())
    fail(op, ": needs a start, a size and a step for each axis of x of shape ", dims_text(s));
  for (size_t d = 0; d < s.size(); ++d) {
    if (sizes[d] < 0 || steps[d] == 0)
      fail(op, ": size must not be negative nor step 0, got ", sizes[d], " and ", steps[d], " for axis ", d);
    if (sizes[d] == 0) continue;
    const int64_t last = checked_add(starts[d], checked_mul(sizes[d] - 1, steps[d], op.c_str()), op.c_str());
    if (std::min(starts[d], last) < 0 || std::max(starts[d], last) >= s[d])
      fail(op, ": elements ", starts[d], " to ", last, " are not in axis ", d, " of x of shape ",
           dims_text(s));
  }
  return add(name, SliceOp{starts, steps}, {x}, sizes);
}

template <class T>
ValueId Graph<T>::expand(const std::string& name, ValueId x, const Dims& shape_) {
  const std::string op = node_label(name, "expand");
  const Dims result = broadcast_shapes(op, shape(x), shape_);
  if (result == shape(x)) return x;
  Dims whole = shape(x);
  whole.insert(whole.begin(), result.size() - whole.size(), 1);
  return add(name, ExpandOp{}, {reshape(name, x, whole)}, result);
}

template class Graph<float>;
template class Graph<double>;

}  // namespace onebyone
