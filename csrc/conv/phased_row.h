// conv/phased_row.h - columns of a row sorted by their remainder modulo a number of phases, so that vectors
// hold columns so many apart. Used by few_channels.cc and winograd_rows.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/int_math.h"

namespace onebyone {

// to[i] = the row's column first + i * phases, for i < count: 0 outside [0, width). Columns are `step` apart.
template <class T>
void lay_out_phase(const T* from, int64_t step, int64_t width, int64_t first, int64_t phases, T* to,
                   int64_t count) {
  const int64_t before = std::min(ceil_div(std::max<int64_t>(-first, 0), phases), count);
  const int64_t x = first + before * phases;
  const int64_t inside = x < width ? std::min(ceil_div(width - x, phases), count - before) : 0;
  std::fill_n(to, before, T(0));
  to += before;
  from += x * step;
  step *= phases;
  if (step == 1)
    std::memcpy(to, from, inside * sizeof(T));
  else if (step == 2)
    for (int64_t i = 0; i < inside; ++i) to[i] = from[2 * i];
  else
    for (int64_t i = 0; i < inside; ++i) to[i] = from[i * step];
  std::fill_n(to + inside, count - before - inside, T(0));
}

}  // namespace onebyone
