#include "gpu/conv2d.h"

#include <atomic>

#include "core/check.h"

namespace onebyone {
namespace {

std::atomic<bool> allow_tf32{false};

int32_t cuda_algorithm(const std::string& op, Algorithm algorithm, const ConvGeometry& g) {
  switch (algorithm) {
    case Algorithm::kAuto: return OB_CUDA_AUTO;
    case Algorithm::kDirect: return OB_CUDA_DIRECT;
    case Algorithm::kDepthwise:
      if (g.group_ic() != 1)
        fail(op, ": algorithm 'depthwise' needs groups of one input channel, here they have ", g.group_ic());
      return OB_CUDA_DEPTHWISE;
    default:
      fail(op, ": algorithm '", to_string(algorithm), "' does not exist on a GPU; 'auto', 'direct' and ",
           "'depthwise' do");
  }
}

}  // namespace

const char* to_string(CudaDtype dtype) {
  switch (dtype) {
    case CudaDtype::kFloat32: return "float32";
    case CudaDtype::kFloat16: return "float16";
    case CudaDtype::kBfloat16: return "bfloat16";
  }
  return "";
}

bool get_allow_tf32() { return allow_tf32.load(std::memory_order_relaxed); }
void set_allow_tf32(bool allow) { allow_tf32.store(allow, std::memory_order_relaxed); }

CudaConv2d::CudaConv2d(const std::string& op, const ConvGeometry& g, Layout layout,
                       const Activation& activation, Algorithm algorithm, CudaDtype dtype, int device)
    : op_(op),
      geometry_(g),
      desc_{.struct_size = sizeof(onebyone_cuda_conv2d_desc),
            .dtype = static_cast<int32_t>(dtype),
            .layout = layout == Layout::kNhwc ? OB_CUDA_NHWC : OB_CUDA_NCHW,
            .algorithm = cuda_algorithm(op, algorithm, g),
            .allow_tf32 = get_allow_tf32(),
            .activation = static_cast<int32_t>(activation.kind),
            .a = activation.a,
            .b = activation.b,
            .batch = g.batch,
            .ic = g.ic,
            .ih = g.ih,
            .iw = g.iw,
            .oc = g.oc,
            .oh = g.oh,
            .ow = g.ow,
            .kh = g.kh,
            .kw = g.kw,
            .stride_h = g.stride.h,
            .stride_w = g.stride.w,
            .dilation_h = g.dilation.h,
            .dilation_w = g.dilation.w,
            .pad_top = g.pad.top,
            .pad_left = g.pad.left,
            .groups = g.groups},
      device_(device) {
  if (empty()) return;
  std::size_t bytes = 0;
  check_cuda(op, cuda_library().conv2d_workspace(&desc_, device, &bytes));
  workspace_bytes_ = static_cast<int64_t>(bytes);
}

void CudaConv2d::run(const onebyone_cuda_conv2d_pointers& pointers, void* stream) const {
  if (!empty()) check_cuda(op_, cuda_library().conv2d_forward(&desc_, &pointers, device_, stream));
}

std::string CudaConv2d::kernel() const {
  if (empty()) return "nothing";
  char text[256] = "";
  check_cuda(op_, cuda_library().conv2d_describe(&desc_, device_, text, sizeof text));
  return text;
}

std::string CudaConv2d::describe() const {
  const Layout layout = desc_.layout == OB_CUDA_NHWC ? Layout::kNhwc : Layout::kNchw;
  return concat(onebyone::describe(geometry_, layout), " ", to_string(static_cast<CudaDtype>(desc_.dtype)),
                " cuda:", device_, ": ", kernel());
}

}  // namespace onebyone
