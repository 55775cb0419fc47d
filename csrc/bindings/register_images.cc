// bindings/register_images.cc - functions of images that give images of another size: pooling, resizing,
// transposed convolution.
#include "bindings/arguments.h"
#include "bindings/conv_call.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "conv/conv_transpose2d.h"
#include "core/check.h"
#include "core/int_math.h"
#include "core/parallel.h"
#include "core/precision.h"
#include "cpu/isa.h"
#include "ops/pool.h"
#include "ops/resize.h"

namespace onebyone::bindings {
namespace {

// x, the image of a call.
struct Image {
  std::string op;
  const py::object& object;
  py::array array;
  Layout layout;
  Axes axes;

  Image(const char* name, const py::object& x, const py::object& layout_object)
      : op(name),
        object(x),
        array(input_array(op, "x", x)),
        layout(parse_layout(op, layout_object, "NCHW", "NHWC")) {
    if (array.ndim() != 3 && array.ndim() != 4)
      fail(op, ": x must have 4 dimensions ",
           layout == Layout::kNchw ? "(N, C, H, W) or 3 (C, H, W)" : "(N, H, W, C) or 3 (H, W, C)",
           " in layout ", layout == Layout::kNchw ? "NCHW" : "NHWC", ", got ", array.ndim(), ": ",
           shape_text(array));
    axes = image_axes_2d(static_cast<int>(array.ndim()), layout);
  }

  ImageShape shape() const { return image_shape(Shape(array.shape(), array.shape() + array.ndim()), axes); }

  // run(x, out, kernels, threads) without the GIL, on views of this image and one of `size`; what the caller
  // gets.
  template <class Run>
  py::object map(Pair size, const py::object& out_object, const Run& run) const {
    ImageShape result = shape();
    result.height = size.h;
    result.width = size.w;
    py::array out = result_array(op, out_object, dtype_of(array), array_shape(result, axes), {{"x", array}});
    const auto typed = [&]<class T>(T) {
      const ImageView<const T> x = image_view<T>(array, axes);
      const ImageView<T> y = output_view<T>(out, axes);
      const int threads = get_num_threads();
      const GilRelease release;
      run(x, y, kernels_of<T>(active_kernels()), threads);
    };
    if (dtype_of(array) == Dtype::kFloat32)
      typed(float{});
    else
      typed(double{});
    return returned(out_object, object, out);
  }
};

py::object run_pool(const Image& image, const PoolSpec& spec, const py::object& out) {
  return image.map(pool_output(image.op, spec, image.shape()), out,
                   [&](const auto& x, const auto& y, const auto& kernels, int threads) {
                     pool(spec, x, y, kernels, threads);
                   });
}

PoolSpec window(const std::string& op, PoolKind kind, const py::object& kernel_size, const py::object& stride,
                const py::object& padding, const py::object& ceil_mode) {
  PoolSpec spec;
  spec.kind = kind;
  spec.kernel = parse_pair(op, "kernel_size", kernel_size);
  spec.stride = stride.is_none() ? spec.kernel : parse_pair(op, "stride", stride);
  spec.pad = parse_edges(op, padding);
  spec.ceil_mode = parse_bool(op, "ceil_mode", ceil_mode);
  return spec;
}

py::object max_pool2d(const py::object& x, const py::object& kernel_size, const py::object& stride,
                      const py::object& padding, const py::object& dilation, const py::object& ceil_mode,
                      const py::object& layout, const py::object& out) {
  const Image image("max_pool2d", x, layout);
  PoolSpec spec = window(image.op, PoolKind::kMax, kernel_size, stride, padding, ceil_mode);
  spec.dilation = parse_pair(image.op, "dilation", dilation);
  return run_pool(image, spec, out);
}

py::object avg_pool2d(const py::object& x, const py::object& kernel_size, const py::object& stride,
                      const py::object& padding, const py::object& ceil_mode,
                      const py::object& count_include_pad, const py::object& divisor_override,
                      const py::object& layout, const py::object& out) {
  const Image image("avg_pool2d", x, layout);
  PoolSpec spec = window(image.op, PoolKind::kAverage, kernel_size, stride, padding, ceil_mode);
  spec.count_include_pad = parse_bool(image.op, "count_include_pad", count_include_pad);
  if (!divisor_override.is_none()) {
    spec.divisor = parse_int(image.op, "divisor_override", divisor_override);
    if (spec.divisor == 0)
      fail(image.op, ": divisor_override must not be 0; None divides by the window's size");
  }
  return run_pool(image, spec, out);
}

// int or (h, w), either of which may be None: as x.
Pair adaptive_size(const Image& image, const py::object& output_size) {
  const ImageShape shape = image.shape();
  if (output_size.is_none()) return {shape.height, shape.width};
  Pair size;
  if (py::isinstance<py::sequence>(output_size) && py::len(output_size) == 2) {
    const auto items = py::reinterpret_borrow<py::sequence>(output_size);
    const auto item = [&](int i, int64_t same) {
      const py::object value = items[i];
      return value.is_none() ? same : parse_int(image.op, "output_size", value);
    };
    size = {item(0, shape.height), item(1, shape.width)};
  } else {
    size = parse_pair(image.op, "output_size", output_size);
  }
  if (size.h < 0 || size.w < 0)
    fail(image.op, ": output_size must not be negative, got (", size.h, ", ", size.w, ")");
  if (shape.height == 0 || shape.width == 0) {
    if (size.h > 0 && size.w > 0 && shape.batch > 0 && shape.channels > 0)
      fail(image.op, ": x has no pixels to average, its shape is ", shape_text(image.array));
  }
  return size;
}

py::object adaptive_avg_pool2d(const py::object& x, const py::object& output_size, const py::object& layout,
                               const py::object& out) {
  const Image image("adaptive_avg_pool2d", x, layout);
  return image.map(adaptive_size(image, output_size), out,
                   [](const auto& from, const auto& to, const auto& kernels, int threads) {
                     adaptive_average_pool(from, to, kernels, threads);
                   });
}

// torch's names: which of ONNX's they are.
ResizeSpec resize_spec(const std::string& op, const py::object& mode, const py::object& align_corners) {
  const std::string name = PyUnicode_Check(mode.ptr()) ? std::string(py::str(mode)) : "";
  ResizeSpec spec;
  if (name == "nearest" || name == "nearest-exact") {
    if (!align_corners.is_none())
      fail(op, ": align_corners is for mode 'bilinear' and 'bicubic', got ",
           std::string(py::repr(align_corners)), " with mode '", name, "'; leave it None");
    const bool exact = name == "nearest-exact";
    spec.coordinates = exact ? ResizeCoordinates::kHalfPixel : ResizeCoordinates::kAsymmetric;
    spec.nearest = exact ? ResizeNearest::kRoundPreferCeil : ResizeNearest::kFloor;
    return spec;
  }
  if (name != "bilinear" && name != "bicubic")
    fail(op, ": mode must be 'nearest', 'nearest-exact', 'bilinear' or 'bicubic', got ",
         std::string(py::repr(mode)));
  spec.mode = name == "bilinear" ? ResizeMode::kLinear : ResizeMode::kCubic;
  if (!align_corners.is_none() && parse_bool(op, "align_corners", align_corners))
    spec.coordinates = ResizeCoordinates::kAlignCorners;
  return spec;
}

double parse_scale(const std::string& op, py::handle value) {
  const double scale = parse_number(op, "scale_factor", value, "a number or (h, w)");
  if (!(scale > 0) || scale > 1e9) fail(op, ": scale_factor must be above 0 and at most 1e9, got ", scale);
  return scale;
}

py::object interpolate(const py::object& x, const py::object& size, const py::object& scale_factor,
                       const py::object& mode, const py::object& align_corners, const py::object& layout,
                       const py::object& out) {
  const Image image("interpolate", x, layout);
  ResizeSpec spec = resize_spec(image.op, mode, align_corners);
  const ImageShape shape = image.shape();
  Pair result;
  if (size.is_none() == scale_factor.is_none())
    fail(image.op, ": give either size or scale_factor", size.is_none() ? "" : ", not both");
  if (!size.is_none()) {
    result = parse_pair(image.op, "size", size);
  } else {
    if (PyTuple_Check(scale_factor.ptr()) || PyList_Check(scale_factor.ptr())) {
      const auto items = py::reinterpret_borrow<py::sequence>(scale_factor);
      if (items.size() != 2)
        fail(image.op, ": scale_factor must be a number or (h, w), got ",
             std::string(py::repr(scale_factor)));
      spec.scale_h = parse_scale(image.op, py::object(items[0]));
      spec.scale_w = parse_scale(image.op, py::object(items[1]));
    } else {
      spec.scale_h = spec.scale_w = parse_scale(image.op, scale_factor);
    }
    const auto scaled = [&](int64_t pixels, double scale) {
      const double wanted = static_cast<double>(pixels) * scale;
      if (wanted > 1e15) fail(image.op, ": scale_factor ", scale, " makes ", pixels, " pixels too many");
      return static_cast<int64_t>(wanted);
    };
    result = {scaled(shape.height, spec.scale_h), scaled(shape.width, spec.scale_w)};
  }
  if (result.h < 1 || result.w < 1)
    fail(image.op, ": the output must have at least 1 pixel, got (", result.h, ", ", result.w, ") from ",
         size.is_none() ? "scale_factor" : "size");
  if (shape.height == 0 || shape.width == 0)
    fail(image.op, ": x has no pixels, its shape is ", shape_text(image.array));
  return image.map(result, out, [&](const auto& from, const auto& to, const auto& kernels, int threads) {
    resize(spec, from, to, kernels, threads);
  });
}

py::object conv_transpose2d(const py::object& x, const py::object& weight, const py::object& bias,
                            const py::object& stride, const py::object& padding,
                            const py::object& output_padding, const py::object& groups,
                            const py::object& dilation, const py::object& activation,
                            const py::object& layout, const py::object& out_object) {
  const Image image("conv_transpose2d", x, layout);
  const std::string& op = image.op;
  const Dtype dtype = dtype_of(image.array);
  const ConvTransposeSpec spec{.op = op,
                               .x = image.shape(),
                               .layout = image.layout,
                               .channels_from = channels_from(image.axes, py::str(layout)),
                               .stride = parse_pair(op, "stride", stride),
                               .padding = parse_edges(op, padding),
                               .output_padding = parse_pair(op, "output_padding", output_padding),
                               .dilation = parse_pair(op, "dilation", dilation),
                               .groups = parse_int(op, "groups", groups),
                               .activation = parse_activation(op, activation),
                               .exact = get_precision() == Precision::kExact};
  const WeightArrays weights = transposed_weight_arrays(op, weight, bias, dtype, spec.groups);
  const auto typed = [&]<class T>(T) {
    const ConvWeights<T> views = weight_views<T>(weights);
    const ConvTranspose2d<T> conv = [&] {
      const GilRelease release;
      return ConvTranspose2d<T>(spec, views, active_kernels());
    }();
    py::array out = result_array(op, out_object, dtype, array_shape(conv.output_shape(), image.axes),
                                 {{"x", image.array}, {"weight", weights.weight}, {"bias", weights.bias}});
    const ImageView<const T> view = image_view<T>(image.array, image.axes);
    T* data = data_of<T>(out);
    const int threads = get_num_threads();
    {
      const GilRelease release;
      conv.run(view, data, threads);
    }
    return returned(out_object, x, out);
  };
  return dtype == Dtype::kFloat32 ? typed(float{}) : typed(double{});
}

}  // namespace

void register_images(py::module_& m) {
  m.def("max_pool2d", &max_pool2d, py::arg("x"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("ceil_mode") = false, py::kw_only(),
        py::arg("layout") = "NCHW", py::arg("out") = py::none());
  m.def("avg_pool2d", &avg_pool2d, py::arg("x"), py::arg("kernel_size"), py::arg("stride") = py::none(),
        py::arg("padding") = 0, py::arg("ceil_mode") = false, py::arg("count_include_pad") = true,
        py::arg("divisor_override") = py::none(), py::kw_only(), py::arg("layout") = "NCHW",
        py::arg("out") = py::none());
  m.def("adaptive_avg_pool2d", &adaptive_avg_pool2d, py::arg("x"), py::arg("output_size"), py::kw_only(),
        py::arg("layout") = "NCHW", py::arg("out") = py::none());
  m.def("interpolate", &interpolate, py::arg("x"), py::arg("size") = py::none(),
        py::arg("scale_factor") = py::none(), py::arg("mode") = "nearest",
        py::arg("align_corners") = py::none(), py::kw_only(), py::arg("layout") = "NCHW",
        py::arg("out") = py::none());
  m.def("conv_transpose2d", &conv_transpose2d, py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(),
        py::arg("stride") = 1, py::arg("padding") = 0, py::arg("output_padding") = 0, py::arg("groups") = 1,
        py::arg("dilation") = 1, py::kw_only(), py::arg("activation") = py::none(),
        py::arg("layout") = "NCHW", py::arg("out") = py::none());
}

}  // namespace onebyone::bindings
