// bench_ops - the operations of csrc/ops on the shapes that networks have, warm, one thread or --threads=N.
//
//   bench_ops [--threads=N] [--benchmark_...]
//
// GB/s counts each tensor once, read or written; "copy" of the same bytes is the yardstick.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "cpu/isa.h"
#include "harness.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"

namespace onebyone::bench {
namespace {

constexpr int64_t kMostThreads = 1024;

// A 4-D tensor of logical shape (n, c, h, w); sizes of 1 broadcast.
struct Tensor {
  std::vector<float> memory;
  TensorView<float> view;

  Tensor(std::vector<int64_t> shape, Layout layout) : view{} {
    int64_t size = 1;
    for (const int64_t n : shape) size *= n;
    memory = random_values(size, 1);
    view.data = memory.data();
    view.rank = 4;
    int64_t stride = 1;
    const int order[2][4] = {{3, 2, 1, 0}, {1, 3, 2, 0}};
    for (const int d : order[layout == Layout::kNhwc]) {
      view.shape[d] = shape[d];
      view.strides[d] = stride;
      stride *= shape[d];
    }
  }
  // Seen in another's shape.
  TensorView<const float> like(const Tensor& other) const {
    TensorView<const float> v = read_only(view);
    for (int d = 0; d < 4; ++d) {
      if (v.shape[d] == 1) v.strides[d] = 0;
      v.shape[d] = other.view.shape[d];
    }
    return v;
  }
};

const char* name_of(Layout layout) { return layout == Layout::kNhwc ? " NHWC" : " NCHW"; }

void add_all(Harness& harness, int threads) {
  const Kernels<float>& kernels = active_kernels().f32;
  const auto add = [&](const std::string& name, size_t bytes, std::function<void()> body) {
    harness.add(name, [=](benchmark::State& state) {
      for (auto _ : state) body();
      state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
    });
  };
  const auto make = [](std::vector<int64_t> shape, Layout layout) {
    return std::make_shared<Tensor>(std::move(shape), layout);
  };
  for (const Layout layout : {Layout::kNchw, Layout::kNhwc}) {
    const Layout other = layout == Layout::kNchw ? Layout::kNhwc : Layout::kNchw;
    {
      const auto x = make({1, 256, 56, 56}, layout), y = make({1, 256, 56, 56}, layout);
      const Activation relu{ActivationKind::kClip, 0, 1e30};
      add(std::string("copy 256x56x56") + name_of(layout), 8 * x->memory.size(),
          [=, &kernels] { copy(read_only(x->view), y->view, kernels, threads); });
      add(std::string("add+relu 256x56x56") + name_of(layout), 12 * x->memory.size(), [=, &kernels] {
        binary(BinaryKind::kAdd, read_only(x->view), read_only(y->view), relu, y->view, kernels, threads);
      });
      const auto scale = make({1, 256, 1, 1}, layout);
      add(std::string("scale_shift 256x56x56") + name_of(layout), 8 * x->memory.size(), [=, &kernels] {
        scale_shift(read_only(x->view), 1, scale->memory.data(), scale->memory.data(), relu, y->view, kernels,
                    threads);
      });
    }
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{1, 16, 28, 28}, {1, 96, 112, 112}, {1, 1152, 7, 7}}) {
      const auto x = make(shape, layout), y = make(shape, layout), s = make({1, shape[1], 1, 1}, layout);
      add("SE multiply " + std::to_string(shape[1]) + "x" + std::to_string(shape[2]) + name_of(layout),
          8 * x->memory.size(), [=, &kernels] {
            binary(BinaryKind::kMul, read_only(x->view), s->like(*x), {}, y->view, kernels, threads);
          });
    }
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{1, 64, 112, 112},
                                              {1, 3, 224, 224},
                                              {1, 64, 64, 64},
                                              {1, 512, 28, 28},
                                              {1, 2048, 7, 7},
                                              {1, 16, 112, 112}}) {
      const auto x = make(shape, layout), y = make(shape, other);
      add("to" + std::string(name_of(other)) + " " + std::to_string(shape[1]) + "x" +
              std::to_string(shape[2]),
          8 * x->memory.size(), [=, &kernels] { copy(read_only(x->view), y->view, kernels, threads); });
    }
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{1, 2048, 7, 7}, {1, 32, 112, 112}, {1, 1152, 7, 7}}) {
      const auto x = make(shape, layout), y = make({1, shape[1], 1, 1}, layout);
      add("mean " + std::to_string(shape[1]) + "x" + std::to_string(shape[2]) + name_of(layout),
          4 * x->memory.size(),
          [=, &kernels] { reduce(ReduceKind::kMean, read_only(x->view), y->view, kernels, threads); });
    }
    {
      const auto x = make({1, 1000, 20, 20}, layout), y = make({1, 1000, 20, 20}, layout);
      add(std::string("softmax 1000x20x20") + name_of(layout), 8 * x->memory.size(),
          [=, &kernels] { softmax(read_only(x->view), 1, false, y->view, kernels, threads); });
      add(std::string("concat's slice 1000x20x20") + name_of(layout), 8 * 400 * 256, [=, &kernels] {
        TensorView<const float> part = read_only(x->view);
        TensorView<float> to = y->view;
        part.shape[1] = to.shape[1] = 256;
        to.data += 256 * to.strides[1];
        copy(part, to, kernels, threads);
      });
    }
    {
      const auto x = make({1, 64, 56, 56}, layout), y = make({1, 64, 56, 56}, layout);
      const auto image = [](const auto& v) {
        using Element = std::remove_pointer_t<decltype(v.data)>;
        return ImageView<Element>{v.data,       v.shape[0],   v.shape[1],   v.shape[2],  v.shape[3],
                                  v.strides[0], v.strides[1], v.strides[2], v.strides[3]};
      };
      add(std::string("lrn 64x56x56") + name_of(layout), 8 * x->memory.size(), [=, &kernels] {
        lrn({5, 1e-4, 0.75, 1}, image(read_only(x->view)), image(y->view), kernels, threads);
      });
    }
  }
  for (const int64_t n : {64, 197, 512}) {
    const auto a = make({1, 1, n, n}, Layout::kNchw), c = make({1, 1, n, n}, Layout::kNchw);
    for (const bool transposed : {false, true}) {
      TensorView<const float> b = read_only(a->view);
      if (transposed) std::swap(b.strides[2], b.strides[3]);
      harness.add("matmul " + std::to_string(n) + (transposed ? " by a transpose" : ""),
                  [=, &kernels](benchmark::State& state) {
                    time_with_peak(state, 2.0 * n * n * n, threads,
                                   [&] { matmul(read_only(a->view), b, c->view, kernels, threads); });
                  });
    }
  }
}

int run(int argc, char** argv) {
  Harness harness(argc, argv, [] { std::puts("bench_ops [--threads=N] [--benchmark_...]"); });
  int threads = 1;
  for (const auto& [key, value] : own_flags(argc, argv)) {
    if (key != "threads") fail("--", key, ": the only flag is --threads");
    threads = static_cast<int>(parse_number(key, value, kMostThreads));
  }
  add_all(harness, threads);
  return harness.run(threads) ? 0 : 2;
}

}  // namespace
}  // namespace onebyone::bench

int main(int argc, char** argv) {
  return onebyone::bench::run_main("bench_ops", onebyone::bench::run, argc, argv);
}
