// passes.cu - what runs before and after a GEMM: weights into rows of k, partial sums into outputs.
// Never run on a GPU yet: their logic is checked by emulation (tests/cuda).
#include "epilogue.h"
#include "kernels.h"
#include "tiles.h"
#include "types.h"

namespace onebyone::cuda {
namespace {

struct Reorder {
  const void* src;
  void* dst;
  int64_t size;  // oc * ldk
  int32_t ldk, k, ic, taps;
};

// dst[o][tap * ic + c] = src[o][c][tap]; zeros for k and behind.
template <class Word>
ONEBYONE_KERNEL(kFlatThreads, 4)
reorder(const Reorder p) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kFlatThreads + threadIdx.x;
  if (at >= p.size) return;
  const int64_t o = at / p.ldk;
  const int32_t k = static_cast<int32_t>(at - o * p.ldk);
  Word word = 0;
  if (k < p.k) {
    const int32_t tap = k / p.ic, c = k - tap * p.ic;
    word = static_cast<const Word*>(p.src)[o * p.k + c * p.taps + tap];
  }
  static_cast<Word*>(p.dst)[at] = word;
}

// One output a thread. The splits of the problem are in `splits`; p.splits is 1, so that outputs are written.
struct Reduce {
  Problem p;
  int32_t splits;
};

template <class T>
ONEBYONE_KERNEL(kFlatThreads, 4)
reduce(const Reduce all) {
  const Problem& p = all.p;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kFlatThreads + threadIdx.x;
  if (at >= p.y_size) return;
  float v[1] = {0};
  for (int32_t s = 0; s < all.splits; ++s) v[0] += p.partial[s * p.y_size + at];
  const int64_t inner = p.nhwc ? 1 : static_cast<int64_t>(p.oh) * p.ow;
  write_outputs<T>(p, 0, at, 0, static_cast<int32_t>(at / inner % p.oc), 0, 1, v);
}

int64_t flat_blocks(int64_t size) { return (size + kFlatThreads - 1) / kFlatThreads; }

}  // namespace

cudaError_t launch_reorder(const Plan& plan, const Problem& p, const void* weight, void* dst,
                           cudaStream_t stream) {
  const Reorder args = {weight, dst, static_cast<int64_t>(p.oc) * p.ldk, p.ldk, p.k, p.group_ic, p.kh * p.kw};
  return launch(plan.type == DataType::kFloat32 ? reorder<uint32_t> : reorder<uint16_t>,
                flat_blocks(args.size), kFlatThreads, 0, stream, args);
}

cudaError_t launch_reduce(const Plan& plan, const Problem& p, cudaStream_t stream) {
  Reduce args = {p, p.splits};
  args.p.splits = 1;
  const int64_t blocks = flat_blocks(p.y_size);
  switch (plan.type) {
    case DataType::kFloat32: return launch(reduce<float>, blocks, kFlatThreads, 0, stream, args);
    case DataType::kFloat16: return launch(reduce<Float16>, blocks, kFlatThreads, 0, stream, args);
    default: return launch(reduce<BFloat16>, blocks, kFlatThreads, 0, stream, args);
  }
}

}  // namespace onebyone::cuda
