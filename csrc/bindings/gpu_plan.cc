#include "bindings/gpu_call.h"
#include "bindings/plan.h"
#include "core/check.h"

namespace onebyone::bindings {
namespace {

// Weights that stay on their GPU and a description. A call from another stream than the one that was current
// at the beginning has to come after the copy of the weights, as for any array of the library.
class GpuPlan final : public Plan {
 public:
  GpuPlan(const PlanArguments& arguments, int device) : Plan(arguments) {
    if (!arguments.num_threads.is_none())
      fail(kPlanOp, ": num_threads is for the CPU, weight is on cuda:", device);
    const ConvSpec spec = parse_spec(arguments);
    GpuCall call(kPlanOp, "weight", arguments.conv.weight, device, py::none());
    const GpuArray weight = call.take("weight", arguments.conv.weight);
    const std::optional<GpuArray> bias = call.take_optional("bias", arguments.conv.bias);
    check_weight_shape(kPlanOp, weight.shape, 4, "(K, C/groups, R, S)");
    if (bias) {
      check_gpu_dtype(kPlanOp, *bias, weight.dtype);
      check_bias_shape(kPlanOp, bias->shape, weight.shape[0]);
    }
    conv_.emplace(kPlanOp, gpu_geometry(spec, weight), spec.layout, spec.activation, spec.algorithm,
                  weight.dtype, device);
    output_shape_ = bindings::output_shape(conv_->geometry(), axes_);
    home_ = call.stream();
    weight_ = call.snapshot(weight);
    if (bias) bias_ = call.snapshot(*bias);
  }

  py::object call(const py::object& x_object, const py::object& residual_object, const py::object& out,
                  const py::object& stream) const override {
    if (const std::optional<int> device = gpu_of(x_object); !device || *device != conv_->device())
      throw_mixed(kPlanOp, "x", place_of(x_object), "the plan's weight", concat("on ", this->device()));
    GpuCall call(kPlanOp, "x", x_object, conv_->device(), stream);
    GpuArray x = call.take("x", x_object);
    check_gpu_dtype(kPlanOp, x, weight_->dtype);
    check_call(x.shape, !residual_object.is_none());
    std::optional<GpuArray> residual = call.take_optional("residual", residual_object);
    if (residual) {
      check_gpu_dtype(kPlanOp, *residual, weight_->dtype);
      check_residual_shape(kPlanOp, residual->shape, output_shape_);
    }
    call.use(*weight_, home_);
    if (bias_) call.use(*bias_, home_);
    return call.run(*conv_, {std::move(x), *weight_, bias_, std::move(residual)}, out, weight_->dtype,
                    output_shape_);
  }

  std::string describe() const override { return conv_->describe(); }
  std::string algorithm() const override {
    const std::string kernel = conv_->kernel();
    return kernel.substr(0, kernel.find(' '));
  }
  std::string isa() const override { return "cuda"; }
  std::string device() const override { return concat("cuda:", conv_->device()); }
  int64_t flops() const override { return 2 * conv_->geometry().macs(); }
  int64_t workspace_bytes() const override { return conv_->workspace_bytes(); }
  const char* dtype() const override { return to_string(weight_->dtype); }

 private:
  std::optional<CudaConv2d> conv_;
  Stream home_ = 0;
  std::optional<GpuArray> weight_, bias_;
};

}  // namespace

std::unique_ptr<Plan> make_gpu_plan(const PlanArguments& arguments, int device) {
  return std::make_unique<GpuPlan>(arguments, device);
}

}  // namespace onebyone::bindings
