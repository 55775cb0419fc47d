#include "network/arena.h"

#include <algorithm>
#include <numeric>

namespace onebyone {

ArenaPlan plan_arena(const std::vector<Lifetime>& buffers) {
  ArenaPlan plan;
  plan.offsets.assign(buffers.size(), 0);
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].size > buffers[b].size; });
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    const Lifetime& buffer = buffers[i];
    int64_t end = 0, best = -1, best_gap = 0;
    for (const size_t j : placed) {
      const Lifetime& other = buffers[j];
      if (other.last < buffer.first || buffer.last < other.first) continue;
      const int64_t gap = plan.offsets[j] - end;
      if (gap >= buffer.size && (best < 0 || gap < best_gap)) best = end, best_gap = gap;
      end = std::max(end, plan.offsets[j] + other.size);
    }
    plan.offsets[i] = best < 0 ? end : best;
    plan.size = std::max(plan.size, plan.offsets[i] + buffer.size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), plan.offsets[i],
                                   [&](int64_t offset, size_t j) { return offset < plan.offsets[j]; }),
                  i);
  }
  return plan;
}

}  // namespace onebyone
