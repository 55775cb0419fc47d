// bindings/register_images.cc - functions of images that give images of another size: pooling.
#include "bindings/arguments.h"
#include "bindings/conv_call.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "core/check.h"
#include "core/parallel.h"
#include "cpu/isa.h"
#include "ops/pool.h"

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
}

}  // namespace onebyone::bindings
