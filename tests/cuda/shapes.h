// shapes.h - awkward convolutions: one, tiles and vectors more or less one, primes, edges, nothing at all.
#pragma once

#include <vector>

#include "convolution.h"

namespace onebyone::cuda {

// {batch, ic, ih, iw, oc, kh, kw}, {stride}, {dilation}, {pad top, left, bottom, right}, groups
inline const std::vector<Shape> kShapes = {
    {1, 1, 1, 1, 1, 1, 1},
    {2, 3, 5, 7, 17, 1, 1},
    {1, 17, 1, 49, 33, 1, 1},
    {1, 64, 7, 9, 63, 1, 1},    // m and n a tile less one
    {1, 32, 8, 8, 64, 1, 1},    // all whole
    {1, 24, 5, 13, 65, 1, 1},   // a tile and one
    {1, 40, 3, 43, 129, 1, 1},  // the big tile and one
    {2, 12, 11, 23, 66, 1, 1},
    {1, 520, 3, 3, 19, 1, 1},  // long sums, few outputs: split
    {3, 96, 1, 1, 37, 1, 1},
    {2, 9, 8, 11, 21, 1, 1, 2, 3},
    {1, 4, 5, 6, 7, 1, 1, 1, 2, 1, 1, 1, 2, 0, 1},  // padding around one tap
    {1, 1, 3, 3, 1, 3, 3},
    {2, 3, 9, 8, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
    {1, 3, 23, 19, 13, 7, 7, 2, 2, 1, 1, 3, 3, 3, 3},  // a first layer
    {1, 5, 7, 7, 35, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},    // odd channels
    {1, 6, 6, 9, 8, 3, 3, 2, 3, 1, 1, 0, 1, 1, 1},     // pairs
    {1, 16, 9, 8, 30, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},   // whole copies
    {2, 8, 8, 9, 5, 5, 2, 1, 1, 1, 2, 0, 1, 2, 0},     // asymmetric, dilated
    {1, 20, 1, 12, 6, 1, 7, 1, 1, 1, 1, 0, 3, 0, 3},   // one row
    {1, 6, 11, 1, 4, 4, 1, 3, 1, 1, 1, 2, 0, 5, 0},    // padding wider than a step
    {1, 3, 2, 2, 4, 2, 2, 1, 1, 1, 1, 3, 4, 4, 3},     // windows of padding alone
    {1, 136, 5, 4, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},   // split, with weights reordered
    {2, 8, 6, 7, 12, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 4},
    {1, 48, 5, 5, 66, 3, 3, 1, 1, 2, 2, 1, 1, 1, 1, 2},
    {1, 9, 8, 6, 9, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 9},     // depthwise
    {3, 5, 37, 11, 15, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 5},  // three outputs a channel, several blocks
    {1, 34, 4, 3, 34, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 17},
};

// No output, or no product.
inline const std::vector<Shape> kEmpty = {
    {0, 3, 5, 7, 4, 1, 1},
    {2, 3, 5, 7, 0, 1, 1},
    {2, 3, 0, 7, 4, 1, 1},
    {1, 0, 5, 7, 4, 3, 3},
    {1, 4, 0, 3, 5, 1, 1, 1, 1, 1, 1, 2, 0, 1, 0},  // padding around nothing
};

}  // namespace onebyone::cuda
