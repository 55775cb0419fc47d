// network/arena.h - one block of memory for all activations, planned by lifetime. Called by compile.cc.
#pragma once

#include <cstdint>
#include <vector>

namespace onebyone {

// What a buffer needs: `size` units while steps [first, last] run.
struct Lifetime {
  int64_t size;
  int first, last;
};

struct ArenaPlan {
  std::vector<int64_t> offsets;  // by buffer
  int64_t size = 0;
};

// Places the largest buffer first, each into the smallest gap that holds it between those that live at the
// same time ("greedy by size" of Pisarchyk and Lee, "Efficient memory management for deep neural net
// inference", 2020). Sizes are multiples of the alignment already.
ArenaPlan plan_arena(const std::vector<Lifetime>& buffers);

}  // namespace onebyone
