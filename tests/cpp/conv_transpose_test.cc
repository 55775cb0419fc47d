// Transposed convolution against its definition: every input pixel adds its filter to the output.
#include <vector>

#include "conv/conv_transpose2d.h"
#include "testing.h"

namespace onebyone {
namespace {

template <class T>
class ConvTranspose : public ::testing::Test {};
TYPED_TEST_SUITE(ConvTranspose, RealTypes);

struct Case {
  int64_t ic, group_oc, h, w, kh, kw;
  ConvTransposeSpec spec;
};

template <class T>
void check(const KernelTable& table, const Case& c, Layout layout, int64_t batch, bool with_bias,
           Random& random) {
  ConvTransposeSpec spec = c.spec;
  SCOPED_TRACE(::testing::Message() << c.ic << " -> " << c.group_oc << " x " << spec.groups << ", " << c.h
                                    << "x" << c.w << " kernel " << c.kh << "x" << c.kw << " stride "
                                    << spec.stride.h << "," << spec.stride.w << " dilation "
                                    << spec.dilation.h << "," << spec.dilation.w << " padding "
                                    << spec.padding.top << "," << spec.padding.bottom << ","
                                    << spec.padding.left << "," << spec.padding.right << " output_padding "
                                    << spec.output_padding.h << "," << spec.output_padding.w << " layout "
                                    << int(layout) << " batch " << batch);
  spec.x = {batch, c.ic, c.h, c.w};
  spec.layout = layout;
  const bool nhwc = layout == Layout::kNhwc;
  const int64_t plane = c.h * c.w;
  // A view with gaps, rows backwards.
  ImageView<const T> shape{nullptr, batch, c.ic, c.h, c.w, plane * (c.ic + 1), plane, -c.w, 1};
  if (nhwc) shape = {nullptr, batch, c.ic, c.h, c.w, plane * (c.ic + 1), 1, -c.w * (c.ic + 1), c.ic + 1};
  const StridedImage<T> x(shape, random);
  const int64_t taps = c.kh * c.kw, oc = c.group_oc * spec.groups;
  const std::vector<T> weight = random.values<T>(c.ic * c.group_oc * taps), bias = random.values<T>(2 * oc);
  const ConvWeights<T> weights{
      {weight.data(), c.ic, c.group_oc, c.kh, c.kw, c.group_oc * taps, taps, c.kw, 1},
      with_bias ? bias.data() : nullptr,
      2};
  const ConvTranspose2d<T> conv(spec, weights, table);
  const ImageShape out = conv.output_shape();
  std::vector<double> want(batch * oc * out.height * out.width);
  const auto place = [&](int64_t n, int64_t o, int64_t y, int64_t i) {
    return nhwc ? ((n * out.height + y) * out.width + i) * oc + o
                : ((n * oc + o) * out.height + y) * out.width + i;
  };
  const int64_t group_ic = c.ic / spec.groups;
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t channel = 0; channel < c.ic; ++channel)
      for (int64_t v = 0; v < c.h; ++v)
        for (int64_t u = 0; u < c.w; ++u)
          for (int64_t j = 0; j < c.group_oc; ++j)
            for (int64_t r = 0; r < c.kh; ++r)
              for (int64_t s = 0; s < c.kw; ++s) {
                const int64_t y = v * spec.stride.h + r * spec.dilation.h - spec.padding.top;
                const int64_t i = u * spec.stride.w + s * spec.dilation.w - spec.padding.left;
                if (y < 0 || y >= out.height || i < 0 || i >= out.width) continue;
                const double value =
                    x.view.data[n * x.view.sn + channel * x.view.sc + v * x.view.sh + u * x.view.sw];
                want[place(n, channel / group_ic * c.group_oc + j, y, i)] +=
                    value * weight[((channel * c.group_oc + j) * c.kh + r) * c.kw + s];
              }
  for (const int threads : {1, 3}) {
    std::vector<T> got(want.size(), kNan<T>);
    conv.run(x.view, got.data(), threads);
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t o = 0; o < oc; ++o)
        for (int64_t y = 0; y < out.height; ++y)
          for (int64_t i = 0; i < out.width; ++i) {
            const int64_t at = place(n, o, y, i);
            const double sum = want[at] + (with_bias ? double(bias[2 * o]) : 0);
            ASSERT_NEAR(got[at], double(activate_exactly<T>(spec.activation, sum)),
                        4 * double(group_ic * taps + 2) * kEps<T>)
                << "image " << n << " channel " << o << " row " << y << " column " << i;
          }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](Case c, Pair stride, Edges padding, Pair output_padding, Pair dilation,
                       int64_t groups) {
    c.spec.stride = stride;
    c.spec.padding = padding;
    c.spec.output_padding = output_padding;
    c.spec.dilation = dilation;
    c.spec.groups = groups;
    all.push_back(c);
  };
  add({5, 7, 4, 6, 2, 2, {}}, {2, 2}, {0, 0, 0, 0}, {0, 0}, {1, 1}, 1);
  add({24, 1, 5, 9, 2, 2, {}}, {2, 2}, {0, 0, 0, 0}, {0, 0}, {1, 1}, 1);
  add({3, 20, 3, 3, 3, 4, {}}, {3, 4}, {0, 0, 0, 0}, {0, 0}, {1, 1}, 1);
  add({5, 3, 4, 6, 4, 4, {}}, {2, 2}, {1, 1, 1, 1}, {0, 0}, {1, 1}, 1);
  add({5, 3, 4, 6, 3, 3, {}}, {2, 2}, {1, 1, 1, 1}, {1, 1}, {1, 1}, 1);
  add({4, 5, 5, 4, 3, 3, {}}, {1, 1}, {1, 0, 0, 1}, {0, 0}, {1, 1}, 1);
  add({3, 2, 5, 4, 1, 2, {}}, {3, 2}, {0, 0, 0, 0}, {2, 1}, {1, 1}, 1);  // phases without taps
  add({3, 2, 5, 7, 3, 3, {}}, {2, 3}, {0, 2, 3, 1}, {1, 2}, {2, 2}, 1);
  add({3, 2, 5, 7, 2, 3, {}}, {2, 2}, {4, 1, 0, 5}, {0, 0}, {3, 4}, 1);  // cropped inputs
  add({6, 4, 5, 3, 2, 2, {}}, {2, 2}, {0, 0, 0, 0}, {0, 0}, {1, 1}, 3);
  add({6, 1, 5, 3, 4, 4, {}}, {2, 2}, {1, 1, 1, 1}, {0, 0}, {1, 1}, 6);
  add({4, 2, 1, 1, 5, 5, {}}, {4, 3}, {0, 1, 1, 0}, {0, 0}, {1, 2}, 2);
  add({2, 3, 1, 2, 16, 16, {}}, {8, 8}, {4, 4, 4, 4}, {0, 0}, {1, 1}, 1);
  return all;
}

TYPED_TEST(ConvTranspose, AnyShape) {
  for_each_table([](const KernelTable& table) {
    Random random;
    size_t count = 0;
    for (Case c : cases())
      for (const Layout layout : {Layout::kNchw, Layout::kNhwc})
        for (const int64_t batch : {1, 2}) {
          c.spec.activation = all_activations()[count % 4];
          ASSERT_NO_FATAL_FAILURE(check<TypeParam>(table, c, layout, batch, count++ % 3 != 0, random));
        }
  });
}

TEST(ConvTransposeErrors, NameArgumentAndCure) {
  const KernelTable& table = active_kernels();
  const std::vector<float> weight(4 * 3 * 3 * 3);
  const auto message = [&](ConvTransposeSpec spec) -> std::string {
    if (spec.x.batch == 0) spec.x = {1, 4, 5, 5};
    try {
      ConvTranspose2d<float>(spec, {{weight.data(), 4, 3, 3, 3, 27, 9, 3, 1}, nullptr, 1}, table);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  const auto says = [&](const ConvTransposeSpec& spec, const char* text) {
    EXPECT_NE(message(spec).find(text), std::string::npos) << message(spec);
  };
  EXPECT_EQ(message({}), "");
  says({.x = {1, 5, 4, 4}}, "weight expects 4 input channels (weight.shape[0]), x has 5");
  says({.stride = {0, 1}}, "stride must be at least 1");
  says({.padding = {0, 0, -1, 0}}, "padding must not be negative");
  says({.padding = {4, 4, 0, 0}}, "less padding");
  says({.stride = {2, 2}, .output_padding = {2, 0}}, "output_padding must be less than stride or dilation");
  says({.dilation = {1, 0}}, "dilation");
  says({.groups = 3}, "groups 3 does not divide");
  says({.groups = 0}, "groups");
  says({.x = {1, 4, 0, 4}}, "no pixels");
}

}  // namespace
}  // namespace onebyone
