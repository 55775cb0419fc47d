// pad.cc - padding as copies: along each axis out is what lies before x, x, and what lies after, and each of
// the three is a view of x whose stride there is x's, its negative (kReflect) or 0 (kEdge).
#include "ops/copy.h"

#include <algorithm>

namespace onebyone {
namespace {

template <class T>
class Padding {
 public:
  Padding(const TensorView<const T>& x, const int64_t* before, PadMode mode, const T& value,
          const Kernels<T>& kernels, int threads)
      : x_(x), before_(before), mode_(mode), value_(value), kernels_(kernels), threads_(threads) {}

  // Axes before `axis` are settled: `from` and `to` have the same size there.
  void run(int axis, const TensorView<const T>& from, const TensorView<T>& to) const {
    if (axis == to.rank) return copy(from, to, kernels_, threads_);
    const int64_t size = x_.shape[axis], first = before_[axis], step = x_.strides[axis];
    const int64_t begin = std::clamp<int64_t>(first, 0, to.shape[axis]);
    const int64_t end = std::clamp<int64_t>(first + size, begin, to.shape[axis]);
    // Along the axis, element i of out is x's element i - first.
    part(axis, from, to, begin, end, begin - first, step);
    switch (mode_) {
      case PadMode::kConstant:
        fill(axis, to, 0, begin);
        fill(axis, to, end, to.shape[axis]);
        break;
      case PadMode::kReflect:
        part(axis, from, to, 0, begin, first, -step);
        part(axis, from, to, end, to.shape[axis], 2 * (size - 1) + first - end, -step);
        break;
      case PadMode::kEdge:
        part(axis, from, to, 0, begin, 0, 0);
        part(axis, from, to, end, to.shape[axis], size - 1, 0);
        break;
    }
  }

 private:
  // out's [begin, end) along the axis, read from x's element `source` on.
  void part(int axis, TensorView<const T> from, TensorView<T> to, int64_t begin, int64_t end, int64_t source,
            int64_t step) const {
    if (begin >= end) return;
    from.data += source * x_.strides[axis];
    from.strides[axis] = step;
    to.data += begin * to.strides[axis];
    from.shape[axis] = to.shape[axis] = end - begin;
    run(axis + 1, from, to);
  }
  void fill(int axis, TensorView<T> to, int64_t begin, int64_t end) const {
    if (begin >= end) return;
    to.data += begin * to.strides[axis];
    to.shape[axis] = end - begin;
    TensorView<const T> from = read_only(to);
    from.data = &value_;
    std::fill_n(from.strides, kMaxRank, 0);
    copy(from, to, kernels_, threads_);
  }

  const TensorView<const T>& x_;
  const int64_t* before_;
  const PadMode mode_;
  const T& value_;
  const Kernels<T>& kernels_;
  const int threads_;
};

}  // namespace

template <class T>
void pad(const TensorView<const T>& x, const int64_t* before, PadMode mode, T value, const TensorView<T>& out,
         const Kernels<T>& kernels, int threads) {
  if (out.size() == 0) return;
  Padding<T>(x, before, mode, value, kernels, threads).run(0, x, out);
}

template void pad(const TensorView<const float>&, const int64_t*, PadMode, float, const TensorView<float>&,
                  const Kernels<float>&, int);
template void pad(const TensorView<const double>&, const int64_t*, PadMode, double, const TensorView<double>&,
                  const Kernels<double>&, int);

}  // namespace onebyone
