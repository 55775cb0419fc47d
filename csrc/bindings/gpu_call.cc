#include "bindings/gpu_call.h"

#include <algorithm>

#include "bindings/gil.h"
#include "core/check.h"
#include "gpu/memory.h"

namespace onebyone::bindings {
namespace {

const std::string& checked(const std::string& op, const char* name, int device) {
  if (!cuda_why_not().empty())
    throw py::type_error(
        concat(op, ": ", name, " is on cuda:", device, ", and onebyone cannot use a GPU: ", cuda_why_not()));
  return op;
}

// An input that is not dense is copied before `out` is written.
void check_no_overlap(const std::string& op, const GpuArray& out, const GpuArray& input) {
  if (input.dense && out.data < input.data + input.bytes() && input.data < out.data + out.bytes())
    fail(op, ": out overlaps ", input.name, " in memory; use an array of its own");
}

}  // namespace

GpuCall::GpuCall(const std::string& op, const char* name, const py::object& first, int device,
                 const py::object& stream)
    : op_(checked(op, name, device)),
      first_name_(name),
      device_(device),
      library_(first, device),
      device_context_(library_.device_context()),
      current_(library_.current_stream()),
      stream_(stream.is_none() ? current_ : parse_stream(op, stream)) {}

GpuArray GpuCall::take(const char* name, const py::object& object) {
  if (const std::optional<int> device = gpu_of(object); !device || *device != device_)
    throw_mixed(op_, first_name_, concat("on cuda:", device_), name, place_of(object));
  const ArrayLibrary library(object, device_);
  const bool same = library.is(library_);
  const Entered device(same ? py::none() : library.device_context());
  taken_.push_back(gpu_array(op_, name, object, device_, stream_));
  if ((same ? current_ : library.current_stream()) != stream_) to_record_.push_back(object);
  return taken_.back();
}

std::optional<GpuArray> GpuCall::take_optional(const char* name, const py::object& object) {
  return object.is_none() ? std::nullopt : std::optional<GpuArray>(take(name, object));
}

void GpuCall::use(const GpuArray& array, Stream home) {
  taken_.push_back(array);
  if (home != stream_) to_record_.push_back(array.object);
}

void GpuCall::make_dense(GpuArray& array) const {
  if (array.dense) return;
  const ArrayLibrary library(array.object, device_);
  const Entered stream(library.current_stream() == stream_ ? py::none() : library.stream_context(stream_));
  const py::object copy = library.contiguous(op_, array.name, array.object);
  array = gpu_array(op_, array.name, copy, device_, stream_);
}

GpuArray GpuCall::snapshot(const GpuArray& array) const {
  GpuArray copy = array;
  make_dense(copy);
  if (!array.dense) return copy;
  const py::object made = ArrayLibrary(array.object, device_).snapshot(array.object);
  return gpu_array(op_, array.name, made, device_, stream_);
}

GpuArray GpuCall::take_out(const py::object& out, CudaDtype dtype, const Shape& shape) {
  const std::vector<GpuArray> inputs = taken_;
  const GpuArray y = take("out", out);
  if (y.dtype != dtype)
    fail(op_, ": out has dtype ", to_string(y.dtype), ", the result has ", to_string(dtype));
  if (y.shape != shape)
    fail(op_, ": out has shape ", shape_text(y.shape), ", the result has ", shape_text(shape));
  if (!y.dense) fail(op_, ": out must be C-contiguous");
  if (y.read_only) fail(op_, ": out is read-only");
  for (const GpuArray& input : inputs) check_no_overlap(op_, y, input);
  return y;
}

void GpuCall::launch(const CudaConv2d& conv, const GpuOperands& operands, const GpuArray& y) const {
  std::optional<CudaMemory> workspace;
  if (conv.workspace_bytes() > 0) workspace.emplace(conv.workspace_bytes(), device_, handle_of(stream_));
  const onebyone_cuda_conv2d_pointers pointers{
      .x = operands.x.data,
      .weight = operands.weight.data,
      .bias = operands.bias ? operands.bias->data : nullptr,
      .residual = operands.residual ? operands.residual->data : nullptr,
      .y = y.data,
      .workspace = workspace ? workspace->data() : nullptr};
  const GilRelease release;
  conv.run(pointers, handle_of(stream_));
}

py::object GpuCall::run(const CudaConv2d& conv, GpuOperands operands, const py::object& out, CudaDtype dtype,
                        const Shape& shape) {
  std::optional<GpuArray> y;
  if (!out.is_none()) y = take_out(out, dtype, shape);
  {
    // What is made here is made, and later freed, in the order of the call's stream.
    const Entered stream(stream_ == current_ ? py::none() : library_.stream_context(stream_));
    make_dense(operands.x);
    make_dense(operands.weight);
    if (operands.bias) make_dense(*operands.bias);
    if (operands.residual) make_dense(*operands.residual);
    if (!y) y = gpu_array(op_, "the result", library_.empty(shape, dtype, stream_), device_, stream_);
    launch(conv, operands, *y);
  }
  for (const py::object& array : to_record_) ArrayLibrary(array, device_).record_stream(array, stream_);
  return out.is_none() ? library_.adopted(y->object) : out;
}

void check_gpu_dtype(const std::string& op, const GpuArray& array, CudaDtype dtype) {
  if (array.dtype != dtype)
    throw py::type_error(concat(op, ": ", array.name, " has dtype ", to_string(array.dtype),
                                ", the others have ", to_string(dtype), "; convert it"));
}

ConvGeometry gpu_geometry(const ConvSpec& spec, const GpuArray& weight) {
  return make_geometry(spec.op, spec.x, {weight.shape[0], weight.shape[1], weight.shape[2], weight.shape[3]},
                       spec.stride, spec.padding, spec.dilation, spec.groups, spec.channels_from);
}

py::object gpu_conv2d(const py::object& x_object, const ConvArguments& arguments,
                      const py::object& residual_object, const py::object& out, const py::object& stream,
                      int device) {
  const std::string op = "conv2d";
  ConvSpec spec = parse_spec(op, arguments);
  GpuCall call(op, "x", x_object, device, stream);
  GpuArray x = call.take("x", x_object);
  GpuArray weight = call.take("weight", arguments.weight);
  std::optional<GpuArray> bias = call.take_optional("bias", arguments.bias);
  std::optional<GpuArray> residual = call.take_optional("residual", residual_object);

  const std::string layout = py::str(arguments.layout);
  check_image_shape(op, x.shape, layout);
  check_weight_shape(op, weight.shape, 4, "(K, C/groups, R, S)");
  check_gpu_dtype(op, weight, x.dtype);
  if (bias) {
    check_gpu_dtype(op, *bias, x.dtype);
    check_bias_shape(op, bias->shape, weight.shape[0]);
  }
  const Axes axes = image_axes_2d(static_cast<int>(x.shape.size()), spec.layout);
  spec.x = image_shape(x.shape, axes);
  spec.channels_from = channels_from(axes, layout);
  const ConvGeometry geometry = gpu_geometry(spec, weight);
  const Shape shape = output_shape(geometry, axes);
  if (residual) {
    check_gpu_dtype(op, *residual, x.dtype);
    check_residual_shape(op, residual->shape, shape);
  }
  const CudaConv2d conv(op, geometry, spec.layout, spec.activation, spec.algorithm, x.dtype, device);
  const CudaDtype dtype = x.dtype;
  return call.run(conv, {std::move(x), std::move(weight), std::move(bias), std::move(residual)}, out, dtype,
                  shape);
}

}  // namespace onebyone::bindings
