#include "conv/tasks.h"

#include <algorithm>

#include "conv/cost.h"
#include "core/int_math.h"

namespace onebyone {
namespace {

// A part is done in as many pieces as take 20 us, up to so many, which have at least so many output channels.
constexpr double kCyclesPerPiece = 60000;
constexpr int64_t kMostPieces = 8, kPieceColumns = 64;

}  // namespace

std::vector<KBlock> split_k(int64_t taps, int64_t channels, int64_t limit) {
  if (channels == 0 || taps == 0) return {{0, 0, 0, 0}};
  std::vector<KBlock> blocks;
  if (channels <= limit) {
    const int64_t count = ceil_div(taps, limit / channels);
    for (int64_t b = 0; b < count; ++b) {
      const int64_t tap = part_begin(taps, count, b);
      blocks.push_back({tap, part_begin(taps, count, b + 1) - tap, 0, channels});
    }
  } else {
    const int64_t count = ceil_div(channels, limit);
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t b = 0; b < count; ++b) {
        const int64_t channel = part_begin(channels, count, b);
        blocks.push_back({tap, 1, channel, part_begin(channels, count, b + 1) - channel});
      }
  }
  return blocks;
}

namespace {

// cost(rows, columns) of the largest task.
template <class Cost>
TaskGrid cheapest_grid(int64_t row_units, int64_t column_units, int threads, const Cost& cost) {
  TaskGrid best{1, 1};
  if (threads <= 1) return best;
  auto best_cost = cost(row_units, column_units);
  for (int64_t rows = std::min<int64_t>(threads, row_units); rows >= 1; --rows) {
    const int64_t columns = std::min<int64_t>(threads / rows, column_units);
    const auto grid_cost = cost(ceil_div(row_units, rows), ceil_div(column_units, columns));
    if (grid_cost < best_cost) {
      best = {rows, columns};
      best_cost = grid_cost;
    }
  }
  return best;
}

}  // namespace

TaskGrid split_tasks(int64_t row_units, int64_t column_units, int threads) {
  return cheapest_grid(row_units, column_units, threads,
                       [](int64_t rows, int64_t columns) { return rows * columns; });
}

TaskRange task_range(const TaskGrid& grid, int64_t row_units, int64_t column_units, int64_t row_align,
                     int64_t index) {
  const int64_t pieces = grid.row_pieces * grid.column_pieces;
  const int64_t part = index / pieces, r = part / grid.columns, c = part % grid.columns;
  const int64_t piece = index % pieces, i = piece / grid.column_pieces, j = piece % grid.column_pieces;
  const int64_t row = part_begin(row_units, grid.rows, r), row_end = part_begin(row_units, grid.rows, r + 1);
  const int64_t column = part_begin(column_units, grid.columns, c);
  const int64_t width = part_begin(column_units, grid.columns, c + 1) - column;
  const int64_t units = ceil_div(row_end - row, row_align);
  return {std::min(row_end, row + part_begin(units, grid.row_pieces, i) * row_align),
          std::min(row_end, row + part_begin(units, grid.row_pieces, i + 1) * row_align),
          column + part_begin(width, grid.column_pieces, j),
          column + part_begin(width, grid.column_pieces, j + 1)};
}

TaskGrid split_output(const ConvGeometry& g, const ConvPlan& plan, int element_bytes, int64_t rows,
                      int64_t columns, int64_t width, int threads) {
  const auto cost = [&](int64_t part_rows, int64_t part_columns) {
    return estimate_share_cycles(g, plan, element_bytes, {part_rows, part_columns, width, columns * width});
  };
  TaskGrid grid = cheapest_grid(rows, columns, threads, cost);
  if (grid.rows * grid.columns == 1) return grid;
  const int64_t part_rows = ceil_div(rows, grid.rows), part_columns = ceil_div(columns, grid.columns);
  const int64_t pieces =
      std::min(kMostPieces, static_cast<int64_t>(cost(part_rows, part_columns) / kCyclesPerPiece));
  grid.row_pieces = std::clamp<int64_t>(ceil_div(part_rows, plan.mc), 1, std::max<int64_t>(pieces, 1));
  // Winograd would transform the tiles once more for every piece of columns.
  if (plan.algorithm != Algorithm::kWinograd)
    grid.column_pieces = std::clamp<int64_t>(pieces / grid.row_pieces, 1,
                                             std::max<int64_t>(part_columns * width / kPieceColumns, 1));
  return grid;
}

}  // namespace onebyone
