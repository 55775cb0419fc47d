// bindings/plan.h - Python's Conv2dPlan, on the CPU (register_plan.cc) or on a GPU (gpu_plan.cc): where its
// weights lie decides.
#pragma once

#include <memory>
#include <string>

#include "bindings/conv_call.h"

namespace onebyone::bindings {

inline const std::string kPlanOp = "Conv2dPlan";

struct PlanArguments {
  ConvArguments conv;
  const py::object& input_shape;
  const py::object& residual;
  const py::object& num_threads;
};

class Plan {
 public:
  virtual ~Plan() = default;
  virtual py::object call(const py::object& x, const py::object& residual, const py::object& out,
                          const py::object& stream) const = 0;
  virtual std::string describe() const = 0;
  virtual std::string algorithm() const = 0;
  virtual std::string isa() const = 0;
  virtual std::string device() const = 0;
  virtual int64_t flops() const = 0;
  virtual int64_t workspace_bytes() const = 0;
  virtual const char* dtype() const = 0;

  const Shape& input_shape() const { return input_shape_; }
  const Shape& output_shape() const { return output_shape_; }
  const std::string& layout() const { return layout_name_; }

 protected:
  explicit Plan(const PlanArguments& arguments);

  // The spec of everything but the weights, x's shape included.
  ConvSpec parse_spec(const PlanArguments& arguments);
  // Throws ValueError unless x has input_shape and residual is there exactly if the plan has one.
  void check_call(ShapeView x, bool has_residual) const;

  std::string layout_name_;
  Shape input_shape_, output_shape_;
  Axes axes_{};
  bool residual_ = false;
};

// `device` is the GPU of the weights.
std::unique_ptr<Plan> make_gpu_plan(const PlanArguments& arguments, int device);

}  // namespace onebyone::bindings
