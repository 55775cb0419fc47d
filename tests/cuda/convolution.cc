#include "convolution.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <ostream>
#include <random>

namespace onebyone::cuda {
namespace {

int64_t size_of(int32_t dtype) { return dtype == OB_CUDA_FLOAT32 ? 4 : 2; }

void encode(int32_t dtype, float value, unsigned char* at) {
  if (dtype == OB_CUDA_FLOAT32) {
    std::memcpy(at, &value, 4);
    return;
  }
  const uint16_t bits = dtype == OB_CUDA_FLOAT16
                            ? emulator::half_of_float(value)
                            : static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
  std::memcpy(at, &bits, 2);
}

float decode(int32_t dtype, const unsigned char* at) {
  if (dtype == OB_CUDA_FLOAT32) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return dtype == OB_CUDA_FLOAT16 ? emulator::float_of_half(bits)
                                  : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Device memory that ends where the array ends.
class DeviceArray {
 public:
  DeviceArray(int32_t dtype, const std::vector<float>& values, int misaligned)
      : DeviceArray(static_cast<int64_t>(values.size()) * size_of(dtype), misaligned * size_of(dtype)) {
    for (size_t i = 0; i < values.size(); ++i) encode(dtype, values[i], data() + i * size_of(dtype));
  }
  DeviceArray(int64_t bytes, int64_t offset) : offset_(offset) {
    if (bytes) onebyone_cuda_malloc(static_cast<size_t>(bytes + offset), 0, nullptr, &memory_);
  }
  ~DeviceArray() { onebyone_cuda_free(memory_, 0, nullptr); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  unsigned char* data() const { return memory_ ? static_cast<unsigned char*>(memory_) + offset_ : nullptr; }

 private:
  void* memory_ = nullptr;
  const int64_t offset_;
};

// Element of an image array in the description's layout.
int64_t place(bool nhwc, int64_t n, int64_t c, int64_t y, int64_t x, int64_t channels, int64_t height,
              int64_t width) {
  return nhwc ? ((n * height + y) * width + x) * channels + c : ((n * channels + c) * height + y) * width + x;
}

double activate(const onebyone_cuda_conv2d_desc& d, double v) {
  const auto clip = [](double t, double lo, double hi) { return std::fmin(std::fmax(t, lo), hi); };
  switch (static_cast<ActivationKind>(d.activation)) {
    case ActivationKind::kNone: return v;
    case ActivationKind::kClip: return clip(v, d.a, d.b);
    case ActivationKind::kLeakyRelu: return v > 0 ? v : d.a * v;
    case ActivationKind::kSigmoid: return 1 / (1 + std::exp(-v));
    case ActivationKind::kTanh: return std::tanh(v);
    case ActivationKind::kSilu: return v / (1 + std::exp(-v));
    case ActivationKind::kHardswish: return v * clip(v + 3, 0, 6) / 6;
    case ActivationKind::kHardsigmoid: return clip(v + 3, 0, 6) / 6;
    case ActivationKind::kGelu: return 0.5 * v * std::erfc(-v / std::sqrt(2.0));
  }
  return v;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.batch << 'x' << s.ic << 'x' << s.ih << 'x' << s.iw << "-" << s.oc << "_k" << s.kh << 'x'
             << s.kw << "_s" << s.stride_h << 'x' << s.stride_w << "_d" << s.dilation_h << 'x' << s.dilation_w
             << "_p" << s.pad_top << '.' << s.pad_left << '.' << s.pad_bottom << '.' << s.pad_right << "_g"
             << s.groups;
}

onebyone_cuda_conv2d_desc describe_shape(const Shape& s, int32_t dtype, int32_t layout) {
  onebyone_cuda_conv2d_desc d = {};
  d.struct_size = sizeof d;
  d.dtype = dtype;
  d.layout = layout;
  d.batch = s.batch;
  d.ic = s.ic, d.ih = s.ih, d.iw = s.iw;
  d.oc = s.oc, d.kh = s.kh, d.kw = s.kw;
  d.stride_h = s.stride_h, d.stride_w = s.stride_w;
  d.dilation_h = s.dilation_h, d.dilation_w = s.dilation_w;
  d.pad_top = s.pad_top, d.pad_left = s.pad_left;
  d.groups = s.groups;
  d.oh = (s.ih + s.pad_top + s.pad_bottom - (s.kh - 1) * s.dilation_h - 1) / s.stride_h + 1;
  d.ow = (s.iw + s.pad_left + s.pad_right - (s.kw - 1) * s.dilation_w - 1) / s.stride_w + 1;
  return d;
}

Arrays make_arrays(const onebyone_cuda_conv2d_desc& d, uint32_t seed) {
  std::mt19937 random(seed);
  const auto fill = [&](int64_t size, float unit) {
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = (static_cast<float>(random() % 17) - 8) * unit;
    return values;
  };
  Arrays arrays;
  arrays.x = fill(d.batch * d.ic * d.ih * d.iw, 0.125f);
  arrays.weight = fill(d.oc * (d.ic / d.groups) * d.kh * d.kw, 0.125f);
  arrays.bias = fill(d.oc, 0.25f);
  arrays.residual = fill(d.batch * d.oc * d.oh * d.ow, 0.125f);
  return arrays;
}

std::vector<double> reference(const onebyone_cuda_conv2d_desc& d, const Arrays& arrays) {
  const bool nhwc = d.layout == OB_CUDA_NHWC;
  const int64_t ic = d.ic / d.groups, oc = d.oc / d.groups;
  std::vector<double> y(static_cast<size_t>(d.batch * d.oc * d.oh * d.ow));
  for (int64_t n = 0; n < d.batch; ++n)
    for (int64_t o = 0; o < d.oc; ++o)
      for (int64_t oy = 0; oy < d.oh; ++oy)
        for (int64_t ox = 0; ox < d.ow; ++ox) {
          double sum = arrays.bias.empty() ? 0 : arrays.bias[o];
          for (int64_t c = 0; c < ic; ++c)
            for (int64_t r = 0; r < d.kh; ++r)
              for (int64_t s = 0; s < d.kw; ++s) {
                const int64_t iy = oy * d.stride_h - d.pad_top + r * d.dilation_h;
                const int64_t ix = ox * d.stride_w - d.pad_left + s * d.dilation_w;
                if (iy < 0 || iy >= d.ih || ix < 0 || ix >= d.iw) continue;
                sum += static_cast<double>(arrays.weight[((o * ic + c) * d.kh + r) * d.kw + s]) *
                       arrays.x[place(nhwc, n, o / oc * ic + c, iy, ix, d.ic, d.ih, d.iw)];
              }
          const int64_t at = place(nhwc, n, o, oy, ox, d.oc, d.oh, d.ow);
          if (!arrays.residual.empty()) sum += arrays.residual[at];
          y[at] = activate(d, sum);
        }
  return y;
}

Result run(const onebyone_cuda_conv2d_desc& desc, const Arrays& arrays, int misaligned) {
  Result result = {};
  const auto failed = [&](int32_t code) {
    if (code == OB_CUDA_OK) return false;
    result.code = code;
    result.message = onebyone_cuda_last_error();
    return true;
  };
  char text[200];
  size_t bytes = 0;
  if (failed(onebyone_cuda_conv2d_describe(&desc, 0, text, sizeof text))) return result;
  result.plan = text;
  if (failed(onebyone_cuda_conv2d_workspace(&desc, 0, &bytes))) return result;

  const int64_t outputs = desc.batch * desc.oc * desc.oh * desc.ow;
  const DeviceArray x(desc.dtype, arrays.x, misaligned), weight(desc.dtype, arrays.weight, misaligned);
  const DeviceArray bias(desc.dtype, arrays.bias, misaligned),
      residual(desc.dtype, arrays.residual, misaligned);
  const DeviceArray y(outputs * size_of(desc.dtype), misaligned * size_of(desc.dtype));
  const DeviceArray workspace(static_cast<int64_t>(bytes), 0);
  const onebyone_cuda_conv2d_pointers pointers = {x.data(),        weight.data(), bias.data(),
                                                  residual.data(), y.data(),      workspace.data()};
  if (failed(onebyone_cuda_conv2d_forward(&desc, &pointers, 0, nullptr))) return result;
  for (int64_t i = 0; i < outputs; ++i)
    result.y.push_back(decode(desc.dtype, y.data() + i * size_of(desc.dtype)));
  return result;
}

int64_t count_wrong(const onebyone_cuda_conv2d_desc& desc, const std::vector<float>& y,
                    const std::vector<double>& expected, double tolerance) {
  const double rounding = desc.dtype == OB_CUDA_FLOAT32   ? 0
                          : desc.dtype == OB_CUDA_FLOAT16 ? 0x1p-11
                                                          : 0x1p-8;
  int64_t wrong = y.size() == expected.size() ? 0 : 1;
  for (size_t i = 0; i < std::min(y.size(), expected.size()); ++i)
    if (!(std::fabs(y[i] - expected[i]) <= tolerance + (tolerance + rounding) * std::fabs(expected[i])))
      ++wrong;
  return wrong;
}

}  // namespace onebyone::cuda
