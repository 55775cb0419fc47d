#include <pybind11/stl.h>

#include <algorithm>
#include <variant>

#include "bindings/arguments.h"
#include "bindings/gil.h"
#include "bindings/gpu_array.h"
#include "bindings/plan.h"
#include "bindings/register.h"
#include "core/check.h"
#include "core/parallel.h"
#include "cpu/isa.h"

namespace onebyone::bindings {
namespace {

// A Conv2d of either dtype.
class CpuPlan final : public Plan {
 public:
  explicit CpuPlan(const PlanArguments& arguments)
      : Plan(arguments), threads_(parse_threads(kPlanOp, arguments.num_threads)) {
    const WeightArrays weights = weight_arrays(kPlanOp, arguments.conv.weight, arguments.conv.bias, nullptr,
                                               4, "(K, C/groups, R, S)", kWeightAxes2d);
    const ConvSpec spec = parse_spec(arguments);
    dtype_ = dtype_of(weights.weight);
    if (dtype_ == Dtype::kFloat32)
      make<float>(spec, weights);
    else
      make<double>(spec, weights);
    output_shape_ =
        std::visit([&](const auto& conv) { return bindings::output_shape(conv.geometry(), axes_); }, *conv_);
  }

  py::object call(const py::object& x, const py::object& residual, const py::object& out,
                  const py::object& stream) const override {
    if (!stream.is_none()) fail(kPlanOp, ": stream is for CUDA arrays, the plan's weight is in CPU memory");
    return on_cpu(kPlanOp, "the plan's weight", [&] {
      return std::visit([&](const auto& conv) { return call_with(conv, x, residual, out); }, *conv_);
    });
  }

  std::string describe() const override {
    return std::visit([&](const auto& conv) { return conv.describe(threads()); }, *conv_);
  }
  std::string algorithm() const override {
    return std::visit([](const auto& conv) { return to_string(conv.plan().algorithm); }, *conv_);
  }
  std::string isa() const override {
    return std::visit([](const auto& conv) { return conv.plan().isa; }, *conv_);
  }
  std::string device() const override { return "cpu"; }
  int64_t flops() const override {
    return std::visit([](const auto& conv) { return 2 * conv.macs(); }, *conv_);
  }
  int64_t workspace_bytes() const override {
    return std::visit([&](const auto& conv) { return conv.workspace_bytes(threads()); }, *conv_);
  }
  const char* dtype() const override { return to_string(dtype_); }

 private:
  int threads() const { return threads_ ? threads_ : get_num_threads(); }

  template <class T>
  void make(const ConvSpec& spec, const WeightArrays& weights) {
    const ConvWeights<T> views = weight_views<T>(weights);
    const GilRelease release;
    conv_ = std::make_unique<Conv>(std::in_place_type<Conv2d<T>>, spec, views, active_kernels());
  }

  template <class T>
  py::object call_with(const Conv2d<T>& conv, const py::object& x_object, const py::object& residual_object,
                       const py::object& out_object) const {
    const py::array x = input_array(kPlanOp, "x", x_object);
    check_same_dtype(kPlanOp, "x", x, dtype_);
    check_call(shape_view(x), !residual_object.is_none());
    const py::object residual = residual_array(kPlanOp, residual_object, dtype_, output_shape_);
    py::array out =
        result_array(kPlanOp, out_object, dtype_, output_shape_, {{"x", x}, {"residual", residual}});
    const ImageView<const T> image = image_view<T>(x, axes_);
    const T* residual_data =
        residual.is_none() ? nullptr : data_of<T>(py::reinterpret_borrow<py::array>(residual));
    T* out_data = data_of<T>(out);
    {
      const GilRelease release;
      conv.run(image, residual_data, out_data, threads());
    }
    return returned(out_object, x_object, out);
  }

  using Conv = std::variant<Conv2d<float>, Conv2d<double>>;
  std::unique_ptr<Conv> conv_;
  Dtype dtype_;
  int threads_;
};

Shape parse_shape(const py::object& value) {
  if (!PyTuple_Check(value.ptr()) && !PyList_Check(value.ptr()))
    throw py::type_error(
        concat(kPlanOp, ": input_shape must be a tuple of 3 or 4 ints, got ", std::string(py::repr(value))));
  Shape shape;
  for (const py::handle item : py::reinterpret_borrow<py::sequence>(value))
    shape.push_back(parse_int(kPlanOp, "input_shape", item));
  if (shape.size() != 3 && shape.size() != 4)
    fail(kPlanOp, ": input_shape must have 3 or 4 entries, got ", shape_text(shape));
  for (const py::ssize_t size : shape)
    if (size < 0) fail(kPlanOp, ": input_shape must not be negative, got ", shape_text(shape));
  return shape;
}

bool parse_residual(const py::object& value) {
  if (!PyBool_Check(value.ptr()))
    throw py::type_error(concat(kPlanOp,
                                ": residual must be True or False (the array is given to the call), got ",
                                std::string(py::repr(value))));
  return value.ptr() == Py_True;
}

std::unique_ptr<Plan> make_plan(const py::object& weight, const py::object& bias, const py::object& stride,
                                const py::object& padding, const py::object& dilation,
                                const py::object& groups, const py::object& input_shape,
                                const py::object& activation, const py::object& residual,
                                const py::object& layout, const py::object& algorithm,
                                const py::object& num_threads) {
  const PlanArguments arguments{
      {weight, bias, stride, padding, dilation, groups, activation, layout, algorithm},
      input_shape,
      residual,
      num_threads};
  if (const std::optional<int> device = gpu_of(weight)) return make_gpu_plan(arguments, *device);
  return on_cpu(kPlanOp, "weight",
                [&]() -> std::unique_ptr<Plan> { return std::make_unique<CpuPlan>(arguments); });
}

}  // namespace

Plan::Plan(const PlanArguments& arguments)
    : layout_name_(py::str(arguments.conv.layout)),
      input_shape_(parse_shape(arguments.input_shape)),
      residual_(parse_residual(arguments.residual)) {}

ConvSpec Plan::parse_spec(const PlanArguments& arguments) {
  ConvSpec spec = bindings::parse_spec(kPlanOp, arguments.conv);
  spec.residual = residual_;
  axes_ = image_axes_2d(static_cast<int>(input_shape_.size()), spec.layout);
  spec.x = image_shape(input_shape_, axes_);
  spec.channels_from = concat("input_shape[", axes_.c, "], layout ", layout_name_);
  return spec;
}

void Plan::check_call(ShapeView x, bool has_residual) const {
  if (!std::ranges::equal(x, input_shape_))
    fail(kPlanOp, ": x has shape ", shape_text(x), ", the plan was made for input_shape ",
         shape_text(input_shape_));
  if (residual_ != has_residual)
    fail(kPlanOp, ": residual ",
         has_residual ? "is given, but the plan was made with residual=False"
                      : "is missing: the plan was made with residual=True");
}

void register_plan(py::module_& m) {
  const auto tuple = [](const Shape& shape) { return py::tuple(py::cast(shape)); };
  py::class_<Plan>(m, "Conv2dPlan")
      .def(py::init(&make_plan), py::arg("weight"), py::arg("bias") = py::none(), py::arg("stride") = 1,
           py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1, py::kw_only(),
           py::arg("input_shape"), py::arg("activation") = py::none(), py::arg("residual") = false,
           py::arg("layout") = "NCHW", py::arg("algorithm") = "auto", py::arg("num_threads") = py::none())
      // Two of them, because an argument more is a look-up more for every call by keyword.
      .def(
          "__call__",
          [](const Plan& p, const py::object& x, const py::object& residual, const py::object& out) {
            return p.call(x, residual, out, py::none());
          },
          py::arg("x"), py::arg("residual") = py::none(), py::arg("out") = py::none())
      .def("__call__", &Plan::call, py::arg("x"), py::arg("residual") = py::none(),
           py::arg("out") = py::none(), py::kw_only(), py::arg("stream"))
      .def("__repr__", &Plan::describe)
      .def_property_readonly("algorithm", &Plan::algorithm)
      .def_property_readonly("isa", &Plan::isa)
      .def_property_readonly("device", &Plan::device)
      .def_property_readonly("flops", &Plan::flops)
      .def_property_readonly("workspace_bytes", &Plan::workspace_bytes)
      .def_property_readonly("input_shape", [=](const Plan& p) { return tuple(p.input_shape()); })
      .def_property_readonly("output_shape", [=](const Plan& p) { return tuple(p.output_shape()); })
      .def_property_readonly("dtype", &Plan::dtype)
      .def_property_readonly("layout", &Plan::layout);
}

}  // namespace onebyone::bindings
