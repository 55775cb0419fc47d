#include <pybind11/stl.h>

#include "bindings/arguments.h"
#include "bindings/conv_call.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "bindings/tensors.h"
#include "core/check.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"
#include "network/network.h"

namespace onebyone::bindings {
namespace {

template <class T>
constexpr Dtype kDtype = sizeof(T) == 4 ? Dtype::kFloat32 : Dtype::kFloat64;

// The value of a name, for messages that list all.
template <class E>
struct Named {
  const char* name;
  E value;
};
template <class E, size_t kCount>
E parse_name(const std::string& op, const char* argument, const std::string& name,
             const Named<E> (&all)[kCount]) {
  std::string names;
  for (const Named<E>& entry : all) {
    if (name == entry.name) return entry.value;
    names += concat(names.empty() ? "'" : ", '", entry.name, "'");
  }
  fail(op, ": ", argument, " must be one of ", names, ", got '", name, "'");
}

constexpr Named<UnaryKind> kUnary[] = {
    {"abs", UnaryKind::kAbs},     {"neg", UnaryKind::kNeg},           {"sign", UnaryKind::kSign},
    {"exp", UnaryKind::kExp},     {"log", UnaryKind::kLog},           {"sqrt", UnaryKind::kSqrt},
    {"erf", UnaryKind::kErf},     {"floor", UnaryKind::kFloor},       {"ceil", UnaryKind::kCeil},
    {"round", UnaryKind::kRound}, {"sin", UnaryKind::kSin},           {"cos", UnaryKind::kCos},
    {"elu", UnaryKind::kElu},     {"softplus", UnaryKind::kSoftplus}, {"reciprocal", UnaryKind::kReciprocal},
    {"mish", UnaryKind::kMish}};
constexpr Named<BinaryKind> kBinary[] = {{"add", BinaryKind::kAdd}, {"sub", BinaryKind::kSub},
                                         {"mul", BinaryKind::kMul}, {"div", BinaryKind::kDiv},
                                         {"max", BinaryKind::kMax}, {"min", BinaryKind::kMin},
                                         {"pow", BinaryKind::kPow}};
constexpr Named<ReduceKind> kReduce[] = {{"mean", ReduceKind::kMean}, {"sum", ReduceKind::kSum},
                                         {"max", ReduceKind::kMax},   {"min", ReduceKind::kMin},
                                         {"prod", ReduceKind::kProd}, {"l1", ReduceKind::kL1},
                                         {"l2", ReduceKind::kL2},     {"sum_square", ReduceKind::kSumSquare}};
constexpr Named<PadMode> kPad[] = {
    {"constant", PadMode::kConstant}, {"reflect", PadMode::kReflect}, {"edge", PadMode::kEdge}};
constexpr Named<ResizeMode> kResize[] = {
    {"nearest", ResizeMode::kNearest}, {"linear", ResizeMode::kLinear}, {"cubic", ResizeMode::kCubic}};
constexpr Named<ResizeCoordinates> kCoordinates[] = {
    {"half_pixel", ResizeCoordinates::kHalfPixel},
    {"pytorch_half_pixel", ResizeCoordinates::kPytorchHalfPixel},
    {"align_corners", ResizeCoordinates::kAlignCorners},
    {"asymmetric", ResizeCoordinates::kAsymmetric}};
constexpr Named<ResizeNearest> kNearest[] = {{"round_prefer_floor", ResizeNearest::kRoundPreferFloor},
                                             {"round_prefer_ceil", ResizeNearest::kRoundPreferCeil},
                                             {"floor", ResizeNearest::kFloor},
                                             {"ceil", ResizeNearest::kCeil}};

// A network that runs: arrays in, arrays out.
template <class T>
class NetworkBinding {
 public:
  NetworkBinding(const Graph<T>& graph, int threads)
      : network_(graph, get_precision() == Precision::kExact, active_kernels(),
                 threads ? threads : get_num_threads()),
        threads_(threads) {}

  py::object call(const py::args& args) const {
    Arrays arrays(network_, args);
    {
      const GilRelease release;
      network_.run(arrays.inputs.data(), arrays.outputs.data(), threads());
    }
    return arrays.results(args);
  }

  py::list profile(const py::args& args) const {
    Arrays arrays(network_, args);
    std::vector<StepTime> times;
    {
      const GilRelease release;
      times = network_.profile(arrays.inputs.data(), arrays.outputs.data(), threads());
    }
    py::list rows;
    for (const StepTime& t : times)
      rows.append(py::make_tuple(t.name, t.op, t.output, t.plan, t.seconds, t.macs));
    return rows;
  }

  py::dict memory() const {
    const NetworkMemory memory = network_.memory(threads());
    py::dict result;
    result["weights"] = memory.weights;
    result["activations"] = memory.activations;
    result["workspace"] = memory.workspace;
    return result;
  }

  std::string describe() const { return network_.describe(threads()); }
  py::list ports(bool inputs) const {
    py::list result;
    for (const auto& port : inputs ? network_.inputs() : network_.outputs())
      result.append(py::make_tuple(port.name, py::tuple(py::cast(port.shape))));
    return result;
  }

 private:
  int threads() const { return threads_ ? threads_ : get_num_threads(); }

  // The arrays of one call, kept alive, and their pointers.
  struct Arrays {
    std::vector<py::array> given, made;
    std::vector<const T*> inputs;
    std::vector<T*> outputs;

    Arrays(const Network<T>& network, const py::args& args) {
      const std::string op = "Network";
      const auto& ports = network.inputs();
      if (args.size() != ports.size()) {
        std::string names;
        for (const auto& port : ports) names += concat(names.empty() ? "" : ", ", port.name);
        fail(op, ": takes ", ports.size(), " inputs (", names, "), got ", args.size());
      }
      for (size_t i = 0; i < ports.size(); ++i) {
        const char* name = ports[i].name.c_str();
        const py::array array = input_array(op, name, args[i]);
        check_same_dtype(op, name, array, kDtype<T>);
        if (!std::equal(ports[i].shape.begin(), ports[i].shape.end(), array.shape(),
                        array.shape() + array.ndim()))
          fail(op, ": ", name, " has shape ", shape_text(array), ", the network was compiled for ",
               dims_text(ports[i].shape));
        given.push_back(contiguous(array));
        inputs.push_back(data_of<T>(std::as_const(given.back())));  // may be read-only
      }
      for (const auto& port : network.outputs()) {
        made.push_back(empty_array(kDtype<T>, Shape(port.shape.begin(), port.shape.end())));
        outputs.push_back(data_of<T>(made.back()));
      }
    }

    // In the first input's library.
    py::object results(const py::args& args) const {
      const auto result = [&](const py::array& array) -> py::object {
        return args.size() ? in_library_of(args[0], array) : py::object(array);
      };
      if (made.size() == 1) return result(made[0]);
      py::tuple all(made.size());
      for (size_t i = 0; i < made.size(); ++i) all[i] = result(made[i]);
      return all;
    }
  };

  const Network<T> network_;
  const int threads_;  // 0: as many as get_num_threads() says at each call
};

// A Graph whose arrays stay alive with it.
template <class T>
class GraphBinding {
 public:
  ValueId input(const std::string& name, const Dims& shape, const py::object& layout) {
    return graph_.input(name, shape, parse_layout(name, layout, "NCHW", "NHWC"));
  }
  ValueId constant(const py::object& array) {
    const std::string op = "Graph.constant";
    const py::array values = tensor(op, "array", array);
    check_same_dtype(op, "array", values, kDtype<T>);
    kept_.push_back(values);
    return graph_.constant(tensor_view<T>(values));
  }
  void output(const std::string& name, ValueId value, const py::object& layout) {
    graph_.output(name, value, parse_layout(name, layout, "NCHW", "NHWC"));
  }

  ValueId conv2d(ValueId x, const py::object& weight, const py::object& bias, const py::object& stride,
                 const py::object& padding, const py::object& dilation, const py::object& groups,
                 const py::object& activation, const std::string& name) {
    const std::string op = node_label(name, "conv2d");
    return graph_.conv2d(name, x, weights(op, weight, bias, 4, "(K, C/groups, R, S)", kWeightAxes2d),
                         parse_pair(op, "stride", stride), parse_padding(op, padding),
                         parse_pair(op, "dilation", dilation), parse_int(op, "groups", groups),
                         parse_activation(op, activation));
  }
  ValueId conv_transpose2d(ValueId x, const py::object& weight, const py::object& bias,
                           const py::object& stride, const py::object& padding,
                           const py::object& output_padding, const py::object& dilation,
                           const py::object& groups, const std::string& name) {
    const std::string op = node_label(name, "conv_transpose2d");
    const int64_t group_count = parse_int(op, "groups", groups);
    const ConvWeights<T> views = kept(transposed_weight_arrays(op, weight, bias, kDtype<T>, group_count));
    return graph_.conv_transpose2d(name, x, views, parse_pair(op, "stride", stride), parse_edges(op, padding),
                                   parse_pair(op, "output_padding", output_padding),
                                   parse_pair(op, "dilation", dilation), group_count);
  }
  ValueId linear(ValueId x, const py::object& weight, const py::object& bias, const py::object& activation,
                 const std::string& name) {
    const std::string op = node_label(name, "linear");
    return graph_.linear(name, x, weights(op, weight, bias, 2, "(out_features, in_features)", kMatrixAxes),
                         parse_activation(op, activation));
  }
  ValueId matmul(ValueId a, ValueId b, const std::string& name) { return graph_.matmul(name, a, b); }

  ValueId batch_norm(ValueId x, const py::object& weight, const py::object& bias, const py::object& mean,
                     const py::object& var, double eps, const std::string& name) {
    const std::string op = node_label(name, "batch_norm");
    const Dims& shape = graph_.shape(x);
    if (shape.size() < 2)
      fail(op, ": x must have at least 2 dimensions (N, C, ...), got shape ", dims_text(shape));
    const auto values = [&](const char* argument, const py::object& object) {
      return channel_array(op, argument, object, kDtype<T>, shape[1], "x.shape[1]");
    };
    const py::object w = values("weight", weight), b = values("bias", bias), m = values("mean", mean),
                     v = values("var", var);
    ChannelFactors factors = batch_norm_factors(shape[1], channel_data<T>(m), channel_data<T>(v),
                                                channel_data<T>(w), channel_data<T>(b), eps);
    return graph_.scale_shift(name, x, 1, std::move(factors.scale), std::move(factors.shift));
  }

  ValueId activation(ValueId x, const py::object& activation, const std::string& name) {
    return graph_.activation(name, x, parse_activation(node_label(name, "activation"), activation));
  }
  ValueId unary(ValueId x, const std::string& kind, const std::string& name) {
    return graph_.unary(name, x, parse_name(node_label(name, "unary"), "kind", kind, kUnary));
  }
  ValueId binary(ValueId a, ValueId b, const std::string& kind, const std::string& name) {
    return graph_.binary(name, a, b, parse_name(node_label(name, "binary"), "kind", kind, kBinary));
  }

  ValueId max_pool2d(ValueId x, const py::object& kernel, const py::object& stride, const py::object& padding,
                     const py::object& dilation, bool ceil_mode, const std::string& name) {
    const std::string op = node_label(name, "max_pool2d");
    return graph_.pool(name, x,
                       {.kind = PoolKind::kMax,
                        .kernel = parse_pair(op, "kernel_size", kernel),
                        .stride = parse_pair(op, "stride", stride.is_none() ? kernel : stride),
                        .dilation = parse_pair(op, "dilation", dilation),
                        .pad = parse_edges(op, padding),
                        .ceil_mode = ceil_mode,
                        .count_include_pad = true,
                        .divisor = 0});
  }
  ValueId avg_pool2d(ValueId x, const py::object& kernel, const py::object& stride, const py::object& padding,
                     bool ceil_mode, bool count_include_pad, const py::object& divisor,
                     const std::string& name) {
    const std::string op = node_label(name, "avg_pool2d");
    return graph_.pool(name, x,
                       {.kind = PoolKind::kAverage,
                        .kernel = parse_pair(op, "kernel_size", kernel),
                        .stride = parse_pair(op, "stride", stride.is_none() ? kernel : stride),
                        .dilation = {1, 1},
                        .pad = parse_edges(op, padding),
                        .ceil_mode = ceil_mode,
                        .count_include_pad = count_include_pad,
                        .divisor = divisor.is_none() ? 0 : parse_int(op, "divisor_override", divisor)});
  }
  ValueId adaptive_avg_pool2d(ValueId x, const py::object& size, const std::string& name) {
    return graph_.adaptive_avg_pool(name, x,
                                    parse_pair(node_label(name, "adaptive_avg_pool2d"), "output_size", size));
  }
  ValueId resize(ValueId x, const py::object& size, const py::object& scales, const std::string& mode,
                 const std::string& coordinates, const std::string& nearest, double cubic_a,
                 const std::string& name) {
    const std::string op = node_label(name, "resize");
    ResizeSpec spec{.mode = parse_name(op, "mode", mode, kResize),
                    .coordinates = parse_name(op, "coordinates", coordinates, kCoordinates),
                    .nearest = parse_name(op, "nearest", nearest, kNearest),
                    .cubic_a = cubic_a};
    if (!scales.is_none()) std::tie(spec.scale_h, spec.scale_w) = py::cast<std::pair<double, double>>(scales);
    return graph_.resize(name, x, parse_pair(op, "size", size), spec);
  }
  ValueId reduce(ValueId x, const std::vector<int>& axes, const std::string& kind, bool keepdims,
                 const std::string& name) {
    return graph_.reduce(name, x, axes, parse_name(node_label(name, "reduce"), "kind", kind, kReduce),
                         keepdims);
  }
  ValueId softmax(ValueId x, int axis, bool log, const std::string& name) {
    return graph_.softmax(name, x, axis, log);
  }
  ValueId lrn(ValueId x, int64_t size, double alpha, double beta, double k, const std::string& name) {
    return graph_.lrn(name, x, {size, alpha, beta, k});
  }

  ValueId join(const std::vector<ValueId>& values, int axis, const std::string& name) {
    return graph_.concat(name, values, axis);
  }
  ValueId pad(ValueId x, const Dims& before, const Dims& after, const std::string& mode, double value,
              const std::string& name) {
    return graph_.pad(name, x, before, after, parse_name(node_label(name, "pad"), "mode", mode, kPad), value);
  }
  ValueId gather(ValueId x, const std::vector<int64_t>& indices, int axis, const std::string& name) {
    return graph_.gather(name, x, indices, axis);
  }
  ValueId reshape(ValueId x, const Dims& shape, const std::string& name) {
    return graph_.reshape(name, x, shape);
  }
  ValueId transpose(ValueId x, const std::vector<int>& perm, const std::string& name) {
    return graph_.transpose(name, x, perm);
  }
  ValueId slice(ValueId x, const Dims& starts, const Dims& sizes, const Dims& steps,
                const std::string& name) {
    return graph_.slice(name, x, starts, sizes, steps);
  }
  ValueId expand(ValueId x, const Dims& shape, const std::string& name) {
    return graph_.expand(name, x, shape);
  }

  py::tuple shape(ValueId value) const { return py::tuple(py::cast(graph_.shape(value))); }

  std::unique_ptr<NetworkBinding<T>> compile(const py::object& num_threads) const {
    const int threads = parse_threads("Graph.compile", num_threads);
    if (graph_.outputs().empty()) fail("Graph.compile: the graph has no output; call output()");
    const GilRelease release;
    return std::make_unique<NetworkBinding<T>>(graph_, threads);
  }

 private:
  ConvWeights<T> weights(const std::string& op, const py::object& weight, const py::object& bias, int ndim,
                         const char* form, const Axes& axes) {
    const Dtype dtype = kDtype<T>;
    return kept(weight_arrays(op, weight, bias, &dtype, ndim, form, axes));
  }
  // The arrays stay alive with the graph.
  ConvWeights<T> kept(const WeightArrays& arrays) {
    kept_.push_back(arrays.weight);
    kept_.push_back(arrays.bias);
    return weight_views<T>(arrays);
  }

  Graph<T> graph_;
  std::vector<py::object> kept_;
};

template <class T>
void register_graph(py::module_& m, const char* graph_name, const char* network_name) {
  using G = GraphBinding<T>;
  using N = NetworkBinding<T>;
  py::class_<N>(m, network_name)
      .def("__call__", &N::call)
      .def("profile", &N::profile)
      .def("__repr__", &N::describe)
      .def_property_readonly("memory", &N::memory)
      .def_property_readonly("inputs", [](const N& n) { return n.ports(true); })
      .def_property_readonly("outputs", [](const N& n) { return n.ports(false); });

  const py::arg_v name = py::arg("name") = "", none_bias = py::arg("bias") = py::none();
  const py::arg_v layout = py::arg("layout") = "NCHW", activation = py::arg("activation") = py::none();
  const py::arg x("x");
  py::class_<G>(m, graph_name)
      .def(py::init<>())
      .def("input", &G::input, py::arg("name"), py::arg("shape"), layout)
      .def("constant", &G::constant, py::arg("array"))
      .def("output", &G::output, py::arg("name"), py::arg("value"), layout)
      .def("shape", &G::shape, py::arg("value"))
      .def("conv2d", &G::conv2d, x, py::arg("weight"), none_bias, py::arg("stride") = 1,
           py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1, activation, name)
      .def("conv_transpose2d", &G::conv_transpose2d, x, py::arg("weight"), none_bias, py::arg("stride") = 1,
           py::arg("padding") = 0, py::arg("output_padding") = 0, py::arg("dilation") = 1,
           py::arg("groups") = 1, name)
      .def("linear", &G::linear, x, py::arg("weight"), none_bias, activation, name)
      .def("matmul", &G::matmul, py::arg("a"), py::arg("b"), name)
      .def("batch_norm", &G::batch_norm, x, py::arg("weight"), py::arg("bias"), py::arg("mean"),
           py::arg("var"), py::arg("eps"), name)
      .def("max_pool2d", &G::max_pool2d, x, py::arg("kernel_size"), py::arg("stride") = py::none(),
           py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("ceil_mode") = false, name)
      .def("avg_pool2d", &G::avg_pool2d, x, py::arg("kernel_size"), py::arg("stride") = py::none(),
           py::arg("padding") = 0, py::arg("ceil_mode") = false, py::arg("count_include_pad") = true,
           py::arg("divisor_override") = py::none(), name)
      .def("adaptive_avg_pool2d", &G::adaptive_avg_pool2d, x, py::arg("output_size"), name)
      .def("activation", &G::activation, x, py::arg("activation"), name)
      .def("unary", &G::unary, x, py::arg("kind"), name)
      .def("binary", &G::binary, py::arg("a"), py::arg("b"), py::arg("kind"), name)
      .def("concat", &G::join, py::arg("values"), py::arg("axis"), name)
      .def("slice", &G::slice, x, py::arg("starts"), py::arg("sizes"), py::arg("steps"), name)
      .def("pad", &G::pad, x, py::arg("before"), py::arg("after"), py::arg("mode") = "constant",
           py::arg("value") = 0.0, name)
      .def("resize", &G::resize, x, py::arg("size"), py::arg("scales"), py::arg("mode"),
           py::arg("coordinates"), py::arg("nearest") = "round_prefer_floor", py::arg("cubic_a") = -0.75,
           name)
      .def("reduce", &G::reduce, x, py::arg("axes"), py::arg("kind"), py::arg("keepdims"), name)
      .def("softmax", &G::softmax, x, py::arg("axis"), py::arg("log") = false, name)
      .def("reshape", &G::reshape, x, py::arg("shape"), name)
      .def("transpose", &G::transpose, x, py::arg("perm"), name)
      .def("expand", &G::expand, x, py::arg("shape"), name)
      .def("gather", &G::gather, x, py::arg("indices"), py::arg("axis"), name)
      .def("lrn", &G::lrn, x, py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"), name)
      .def("compile", &G::compile, py::arg("num_threads") = py::none());
}

}  // namespace

void register_network(py::module_& m) {
  register_graph<float>(m, "_Graph32", "_Network32");
  register_graph<double>(m, "_Graph64", "_Network64");
  m.def(
      "Graph",
      [](const std::string& dtype) -> py::object {
        if (dtype == "float32") return py::cast(std::make_unique<GraphBinding<float>>());
        if (dtype == "float64") return py::cast(std::make_unique<GraphBinding<double>>());
        fail("Graph: dtype must be 'float32' or 'float64', got '", dtype, "'");
      },
      py::arg("dtype") = "float32");
}

}  // namespace onebyone::bindings
