// network/per_image.h - a graph of a batch in two: what is made of a few images at a time, and what of all of
// them at once. Called by network.cc. Knows what operations do along axis 0. Does not know memory or threads.
#pragma once

#include <optional>
#include <vector>

#include "network/graph.h"

namespace onebyone {

template <class T>
struct BatchSplit {
  int64_t groups = 1;                // of images, each of which the graph is run for
  std::optional<Graph<T>> rest;      // then run once for the whole batch
  std::vector<size_t> rest_outputs;  // which of the outputs are its own
};

// If no image of the batch has to do with another, makes the graph one of a group of images. Else leaves it
// alone: one group.
//
// Axis 0 of all inputs is the batch, of one size N > 1. A value carries images, image i of it made from image
// i of the inputs alone, or is the same for all of them: made from constants. What cannot be told from the
// operations refuses the graph: constants with N images, which may differ from each other, and reshapes that
// put images together, even if a later one takes them apart.
//
// A group is one image, or as many as divide the batch and are small together, if `threads` groups are left;
// a batch of next to nothing, or of fewer images than threads, stays whole. Bits do not depend on the groups.
// The layers at a network's end that make vectors of vectors are the rest: a weight there is read for one
// product an image, so they are fastest with all images at once (AlexNet's, with 235 of its 244 MB: 13.2 ms
// an image alone, 7.2 as one of 8). The rest's inputs are outputs of the graph, after its own.
template <class T>
BatchSplit<T> split_batch(Graph<T>& graph, int threads);

}  // namespace onebyone
