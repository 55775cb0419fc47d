// The layouts of packed weights and bias (conv/packing.h), element by element, from any view of the weights.
#include "conv/packing.h"

#include "core/geometry.h"
#include "testing.h"

namespace onebyone {
namespace {

struct Sizes {
  int64_t groups, group_oc, group_ic, kh, kw;
};
const std::vector<Sizes> kSizes = {{1, 1, 1, 1, 1}, {1, 5, 3, 1, 1},  {1, 8, 4, 3, 2}, {3, 7, 2, 3, 3},
                                   {5, 1, 1, 3, 1}, {2, 17, 3, 2, 2}, {1, 0, 3, 1, 1}, {1, 4, 0, 1, 1}};

ConvGeometry geometry_of(const Sizes& s) {
  return make_geometry("test", {1, s.groups * s.group_ic, 9, 9},
                       {s.groups * s.group_oc, s.group_ic, s.kh, s.kw}, {1, 1}, Edges{0, 0, 0, 0}, {1, 1},
                       s.groups, "x.shape[1]");
}

// The weights as the user may hold them: contiguous, channels last, sliced, and reversed along every axis.
template <class T>
std::vector<ImageView<const T>> views_of(const Sizes& s) {
  const int64_t oc = s.groups * s.group_oc, ic = s.group_ic, kh = s.kh, kw = s.kw;
  const auto view = [&](int64_t sn, int64_t sc, int64_t sh, int64_t sw) {
    return ImageView<const T>{nullptr, oc, ic, kh, kw, sn, sc, sh, sw};
  };
  return {view(ic * kh * kw, kh * kw, kw, 1), view(kh * kw * ic, 1, kw * ic, ic),
          view(1, oc, kw * ic * oc, ic * oc), view(2 * ic * kh * (kw + 1), 2 * kh * (kw + 1), kw + 1, 1),
          view(-ic * kh * kw, -kh * kw, -kw, -1)};
}

template <class T>
class Packing : public ::testing::Test {
 protected:
  template <class F>
  void for_each_weight(F f) {
    Random random;
    for (const Sizes& s : kSizes) {
      const ConvGeometry g = geometry_of(s);
      for (const ImageView<const T>& shape : views_of<T>(s)) {
        SCOPED_TRACE(::testing::Message() << s.groups << " groups of " << s.group_ic << " -> " << s.group_oc
                                          << " k " << s.kh << "x" << s.kw << " strides " << shape.sn << " "
                                          << shape.sc << " " << shape.sh << " " << shape.sw);
        const StridedImage<T> weight(shape, random);
        const ImageView<const T>& v = weight.view;
        f(g, v, [&](int64_t oc, int64_t tap, int64_t c) {
          return v.data[oc * v.sn + c * v.sc + tap / g.kw * v.sh + tap % g.kw * v.sw];
        });
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
};
TYPED_TEST_SUITE(Packing, RealTypes);

TYPED_TEST(Packing, WeightPanels) {
  using T = TypeParam;
  this->for_each_weight([](const ConvGeometry& g, const ImageView<const T>& view, auto weight) {
    for (const int64_t nr : {1, 4, 16}) {
      const AlignedBuffer<T> packed = pack_weight_panels(g, view, nr);
      int64_t at = 0;  // [group][panel][tap][channel][column]
      for (int64_t group = 0; group < g.groups; ++group)
        for (int64_t first = 0; first < g.group_oc(); first += nr)
          for (int64_t tap = 0; tap < g.taps(); ++tap)
            for (int64_t c = 0; c < g.group_ic(); ++c)
              for (int64_t j = first; j < first + nr; ++j, ++at) {
                const T expected = j < g.group_oc() ? weight(group * g.group_oc() + j, tap, c) : T(0);
                ASSERT_LT(at, packed.size());
                ASSERT_EQ(packed[at], expected) << "nr " << nr << " group " << group << " channel " << j;
              }
      ASSERT_EQ(at, packed.size()) << "nr " << nr;
    }
  });
}

TYPED_TEST(Packing, WeightRows) {
  using T = TypeParam;
  this->for_each_weight([](const ConvGeometry& g, const ImageView<const T>& view, auto weight) {
    const int64_t depth = g.taps() * g.group_ic();
    for (const int64_t row_stride : {depth, depth + 5}) {
      const AlignedBuffer<T> packed = pack_weight_rows(g, view, row_stride);
      ASSERT_EQ(packed.size(), g.oc * row_stride);
      for (int64_t oc = 0; oc < g.oc; ++oc) {
        int64_t at = oc * row_stride;
        for (int64_t tap = 0; tap < g.taps(); ++tap)
          for (int64_t c = 0; c < g.group_ic(); ++c, ++at)
            ASSERT_EQ(packed[at], weight(oc, tap, c)) << "row " << oc << " tap " << tap << " channel " << c;
      }
    }
  });
}

TYPED_TEST(Packing, Bias) {
  using T = TypeParam;
  for (const Sizes& s : kSizes) {
    const ConvGeometry g = geometry_of(s);
    EXPECT_EQ(pack_bias<T>(g, {{}, nullptr, 1}, 8).size(), 0);
    for (const int64_t stride : {1, 3, -1, 0})
      for (const int64_t multiple : {1, 4, 16}) {
        // As a row of oc elements in a buffer that ends with them.
        Random random;
        const StridedImage<T> bias({nullptr, 1, 1, 1, g.oc, 0, 0, 0, stride}, random);
        const AlignedBuffer<T> packed = pack_bias<T>(g, {{}, bias.view.data, stride}, multiple);
        const int64_t padded = (g.group_oc() + multiple - 1) / multiple * multiple;
        if (!bias.view.data) continue;  // no output channels: an empty bias is no bias
        ASSERT_EQ(packed.size(), g.groups * padded);
        for (int64_t group = 0; group < g.groups; ++group)
          for (int64_t j = 0; j < padded; ++j) {
            const T expected = j < g.group_oc() ? bias.view.data[(group * g.group_oc() + j) * stride] : T(0);
            ASSERT_EQ(packed[group * padded + j], expected) << "group " << group << " channel " << j;
          }
      }
  }
}

TYPED_TEST(Packing, BuffersStartOnCacheLines) {
  const AlignedBuffer<TypeParam> buffer(5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kCacheLine, 0u);
  EXPECT_EQ(buffer.bytes(), static_cast<int64_t>(5 * sizeof(TypeParam)));
  EXPECT_EQ(AlignedBuffer<TypeParam>(0).data(), nullptr);
  EXPECT_THROW(AlignedBuffer<TypeParam>(INT64_MAX / 2), std::invalid_argument);
}

}  // namespace
}  // namespace onebyone
