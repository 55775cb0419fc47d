// conv/tasks.h - how a convolution's sums are cut into blocks and its output into tasks for threads. Called
// by the algorithms and by network/chain.cc. Pure arithmetic on sizes. Does not touch data.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/plan.h"

namespace onebyone {

// Part of the sum: `taps` filter taps from `tap`, of each the channels [channel, channel + channels).
// k counts taps outside, channels inside; one tap where channels are split.
struct KBlock {
  int64_t tap, taps, channel, channels;
};
// Covers taps x channels in order, blocks of near-equal size of at most about `limit` products.
std::vector<KBlock> split_k(int64_t taps, int64_t channels, int64_t limit);

// How the output matrix is shared: rows x columns parts, one a thread, each done in row_pieces x
// column_pieces tasks: other threads take some of them where a thread is held up.
struct TaskGrid {
  int64_t rows, columns, row_pieces = 1, column_pieces = 1;

  int64_t tasks() const { return rows * columns * row_pieces * column_pieces; }
};
struct TaskRange {
  int64_t row_begin, row_end, column_begin, column_end;
};
// Task `index` of the grid over row_units x column_units. Those of one part follow each other; pieces of a
// part begin at multiples of `row_align` rows of it.
TaskRange task_range(const TaskGrid& grid, int64_t row_units, int64_t column_units, int64_t row_align,
                     int64_t index);

// At most `threads` parts over row_units x column_units, the largest as small as possible; among equals the
// most parts along rows. In one piece.
TaskGrid split_tasks(int64_t row_units, int64_t column_units, int threads);

// The same for the channels-last GEMM (rows are pixels) and Winograd (tiles), by what the largest part should
// cost (cost.h). Columns are blocks of `width` output channels, counted through groups. In pieces of whole
// blocks of rows, and with the GEMM of columns where there are too few.
TaskGrid split_output(const ConvGeometry& g, const ConvPlan& plan, int element_bytes, int64_t rows,
                      int64_t columns, int64_t width, int threads);

}  // namespace onebyone
