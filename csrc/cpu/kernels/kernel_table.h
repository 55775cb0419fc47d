// kernel_table.h - what one instruction set offers: plain structs and function pointers.
// The only header that kernels share with the rest of the tree; filled by baseline.cc, avx2.cc, ...,
// chosen once per process by cpu/isa.cc. No inline code here: a function compiled with -mavx2 and
// merged by the linker into a baseline caller would crash the CPU that lacks AVX2.
#pragma once

#include <stdint.h>

namespace onebyone {

enum class ActivationKind : int32_t {
  kNone,
  kClip,       // min(max(v, a), b): relu, relu6, clip
  kLeakyRelu,  // v > 0 ? v : a * v
  kSigmoid,
  kTanh,
  kSilu,
  kHardswish,
  kHardsigmoid,
  kGelu,  // exact, by erfc
};

// A NaN stays a NaN through every kind.
struct Activation {
  ActivationKind kind = ActivationKind::kNone;
  double a = 0;
  double b = 0;
};

// What happens to a sum: v + bias + residual, then the activation.
template <class T>
struct Epilogue {
  const T* bias_m = nullptr;    // one value per row of C, or null
  const T* bias_n = nullptr;    // one value per column, readable up to a multiple of nr, or null
  const T* residual = nullptr;  // laid out as C (same ldc), or null
  Activation activation;
};

// c[i][j] = addend[i][j] + sum over taps t and p < kc of a(t, i)[p] * b[j / nr][t * kc + p][j % nr],
// for i < m, j < n; a(t, i) = a_rows[t * a_tap_stride + i] + a_offset, p contiguous.
// B is packed: panels of nr columns, a panel is k rows of nr, the last one padded with zeros.
// C is written at c + i * ldc + j and nowhere else. The addend, at addend + i * ld_addend + j, may be null,
// or c itself. The sum over the taps and p of one call is made from the epilogue's bias, or zero, by blocks,
// then added to it. `epilogue` is null while more of k is to come. m, n, taps and kc may be 0. Strides count
// elements.
//
// The order of the tiles: by panels, a panel of B staying in L1 while all rows of A stream past (4 bytes a
// cycle); with rows_outside by rows, a few rows of A staying in L1 while all of B streams past (11 bytes a
// cycle), which pays where C's rows are long and lie pages apart.
//
// next_b: null if B comes from L2 or nearer. Else the next panel is fetched while one is multiplied, and
// instead of one after the last what lies at next_b, the B of the call that comes next.
template <class T>
struct GemmArgs {
  int64_t m, n, taps, kc;
  const T* const* a_rows;
  int64_t a_tap_stride, a_offset;
  const T* b;
  int64_t b_panel_stride;
  T* c;
  int64_t ldc;
  const T* addend;
  int64_t ld_addend;
  bool rows_outside;
  const Epilogue<T>* epilogue;
  const T* next_b = nullptr;
};

// c[i][j] = epilogue(sum over p < k of a[i * a_row + p] * b[offsets[p] + j]) for i < m, j < n; 1 <= m <=
// window_mr. Rows of C (and the residual) are ldc apart; whole vectors of b are readable. Longer sums are
// made by blocks. bias_n is not used.
template <class T>
struct WindowArgs {
  int64_t m, n, k;
  const T* a;
  int64_t a_row;
  const T* b;
  const int64_t* offsets;
  T* c;
  int64_t ldc;
  const Epilogue<T>* epilogue;
};

// c[i][j] = epilogue(sum over p < k of a[i * lda + p] * b[j * ldb + p]) for i < m, j < n; c and residual have
// rows of ldc. bias_n: n values; bias_m is not used.
template <class T>
struct DotArgs {
  int64_t m, n, k;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  T* c;
  int64_t ldc;
  const Epilogue<T>* epilogue;
};

// Packs columns for GemmArgs::b, one vector of `lanes` columns at a time. For every k < kc, the ops in order:
// dst[k * nr + op.dst + l] = src[k * k_stride + op.src + l * lane_stride] for op.from <= l < op.to;
// lanes below op.from keep what earlier ops gave them, lanes from op.to on are left to later ops.
// If op.whole, the elements of all lanes may be read; else only those named. op.src == kZeros: zeros instead.
inline constexpr int64_t kZeros = INT64_MIN;
struct PackOp {
  int64_t src;
  int32_t dst;
  int8_t from, to;
  bool whole;
};
template <class T>
struct PackArgs {
  int64_t kc, k_stride, lane_stride;
  const PackOp* ops;
  int64_t op_count;
  const T* src;
  T* dst;
};

// Rows [row_begin, row_end) of `ow` output pixels of a depthwise or grouped convolution, channels last:
// out[y - row_begin][i][j] = epilogue(sum over r < kh, s < kw, c < group_ic of
//   x[row(y, r)][place(i, s)][j / group_oc * group_ic + c] * w[r][s][c][j])
// for i < ow and the output channels j of vectors [begin, end); taps whose
// row(y, r) = y * stride_h - top + r * dilation_h is not in [0, height) or whose
// place(i, s) = i * stride - left + s * dilation is not in [0, width) are left out.
// Vectors divide runs of `run` output channels, which divide oc: within a run vector v is the channels
// [first, first + lanes), first = min(v * lanes, run - lanes); the last may overlap the one before. Its
// weights are at weight + v * weight_stride: `lanes` of bias, then for each row, tap and input channel
// `lanes` of w; where run < lanes zeros follow. Up to `block` vectors are done together, all rows of them
// before the next ones. Fast if group_oc is 1, divides lanes (and group_ic <= group_oc), or is `run`. A pixel
// of x has ic channels and is x_stride from the next, its rows are x_row apart; a pixel of out (and of the
// residual) ld, rows are ow pixels.
template <class T>
struct DepthwiseArgs {
  int64_t ow, run, begin, end, block;
  int64_t row_begin, row_end;
  int64_t kh, kw, stride_h, stride, dilation_h, dilation, top, left, height, width;
  int64_t ic, group_ic, group_oc;
  const T* x;
  int64_t x_row, x_stride;
  const T* weight;
  int64_t weight_stride;
  T* out;
  int64_t ld;
  const Epilogue<T>* epilogue;
};

// A vector of output pixels: where its first product reads, but for the tap's offset, and where it is
// written.
struct PlanePixels {
  int64_t src, out;
};
// Rows of a depthwise or grouped convolution, channels first, of one group:
// out[o * plane + p.out + l] = epilogue(sum over t < taps of
//   src[p.src + offsets[t] + l] * weight[o * taps + t])
// for o < outputs, the vectors p of `pixels` and their lanes l < min(lanes, ow). Whole vectors of src are
// readable. The pixels of the `rows` rows lie one after another in out. bias_m: `outputs` values; bias_n is
// not used.
template <class T>
struct PlanesArgs {
  int64_t rows, ow, outputs, taps;
  const T* src;
  const int64_t* offsets;
  const PlanePixels* pixels;
  int64_t vectors;
  const T* weight;
  T* out;
  int64_t plane;
  const Epilogue<T>* epilogue;
};

// One tile's pixels to Winograd's points (winograd_points.h), channels last. The pixel in row i, column j of
// the tile's nh x nw is at src + i * src_h + j * src_w if it lies in the image, top <= i < bottom and
// left <= j < right, and else padding: `zeros`, as many as there are channels. Point (i, j) is written at
// dst + i * stride_h + j * stride_w, whole vectors (the lanes past the last channel are zero). The pixels
// `ahead` further on are fetched meanwhile. Without infinity along a side, its points 0 are not written, and
// the last pixels, which go nowhere else, not read.
template <class T>
struct WinogradInputArgs {
  int nh, nw, top, bottom, left, right;
  bool infinity_h, infinity_w;
  const T *src, *zeros;
  int64_t src_h, src_w, ahead, channels;
  T* dst;
  int64_t stride_h, stride_w;
};

// One tile's points to mh x mw outputs: the inverse of the above after multiplication with the filters, then
// the epilogue. Point (i, j) is read at src + i * stride_h + j * stride_w, whole vectors; output (i, j) is
// written at out + i * out_h + j * out_w, residual alike; bias_n is readable in whole vectors, bias_m is not
// used. next_out: the distance to the output of the tile that comes next, whose memory is fetched; or 0.
// Returns false if a sum was not finite: then what was written means nothing.
template <class T>
struct WinogradOutputArgs {
  int mh, mw, nh, nw;
  const T* src;
  int64_t stride_h, stride_w, channels;
  T* out;
  int64_t out_h, out_w;
  int64_t next_out;
  const Epilogue<T>* epilogue;
};

// Winograd along the width alone, filters of 3 taps: a tile is 4 outputs, of 6 pixels and points. Up to so
// many tiles go together: a group.
inline constexpr int kWinogradRowOutputs = 4, kWinogradRowTiles = 4;
// One row of an image to its tiles' points. The pixel in column x of channel c is at
// src[x * src_step + c * src_channel], and 0 outside [0, width); tile t begins in column first + 4 * t. Point
// p of tile t is written at dst[((t / group * channels + c) * 6 + p) * group + t % group].
template <class T>
struct WinogradRowInputArgs {
  int64_t tiles, channels, first, width;
  const T* src;
  int64_t src_step, src_channel;
  T* dst;
};
// 1 <= tiles <= group of them, to outputs. Point p of tile t, of the image's row that the filter's row
// r < rows sees, is at points[r][offset + (c * 6 + p) * group + t] for c < depth. The filters, whose points
// are filters[(((v * rows + r) * depth + c) * 6 + p) * lanes + l] for output channel v * lanes + l, are zero
// past the last channel. Output j of tile t is written at out[4 * t + j] and its residual read at
// residual[4 * t + j]; the places may repeat. bias_n is readable in whole vectors; bias_m and the epilogue's
// residual are not used. Returns the tiles, as bits, in which a sum was not finite: what was written of them
// means nothing.
template <class T>
struct WinogradRowArgs {
  int64_t tiles, rows, depth, channels;
  const T* const* points;
  int64_t offset;
  const T* filters;
  T* const* out;
  const T* const* residual;
  const Epilogue<T>* epilogue;
};

// dst[j * dst_stride + i] = src[i * src_stride + j] for i < rows, j < columns; then the residual, laid out as
// dst, is added, and the activation applied. What lies `ahead` of src is fetched meanwhile, unless it is 0.
// Up to kMostInterleaved rows that become dense, and nothing else to do, are put together by whole vectors.
inline constexpr int64_t kMostInterleaved = 4;
template <class T>
struct TransposeArgs {
  int64_t rows, columns;
  const T* src;
  int64_t src_stride;
  T* dst;
  int64_t dst_stride;
  const T* residual;
  Activation activation;
  int64_t ahead = 0;
};

// Pooling, a row of `ow` output pixels, channels last: out[i * out_stride + c] = the maximum over r < kh, s <
// kw of rows[r][place(i, s) * x_stride + c], or else their sum * row_scale * column_scale[i]; taps whose
// place(i, s) = i * stride - left + s * dilation is not in [0, width) are left out. The maximum of what holds
// a NaN is NaN, of nothing -infinity.
template <class T>
struct PoolPixelsArgs {
  bool maximum;
  int64_t ow, channels, kh, kw, stride, dilation, left, width;
  const T* const* rows;
  int64_t x_stride;
  const T* column_scale;
  T row_scale;
  T* out;
  int64_t out_stride;
};

// Pooling, rows [begin, end) of a plane's output, channels first; as above in both directions:
// out[y * out_stride + i] from x[v * x_stride + u], v = y * stride_h - top + r * dilation_h, u alike, and
// row_scale[y]. scratch: the larger of left + width and (ow - 1) * stride_w + (kw - 1) * dilation_w + 1, and
// two vectors more. column_scale is readable up to a vector past its end. x_stride >= 0,
// left < (kw - 1) * dilation_w + 1; ow and width are not 0.
template <class T>
struct PoolPlaneArgs {
  bool maximum;
  int64_t begin, end, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left, height, width;
  const T* x;
  int64_t x_stride;
  const T *row_scale, *column_scale;
  T* out;
  int64_t out_stride;
  T* scratch;
};

// out[i * out_stride + c] = the sum over t < taps of weights[i * taps + t] * src[places[i * taps + t] + c]
// for i < pixels and c < channels; taps is not 0.
template <class T>
struct ResampleArgs {
  int64_t pixels, channels, taps;
  const T* src;
  const int64_t* places;
  const T* weights;
  T* out;
  int64_t out_stride;
};

// out[r * out_row + i] = activation(f(in[0], in[1], ..)) for r < rows, i < n, operand k's element at
// in[k].data + r * in[k].row + i * in[k].step; step is 0 or 1. kMulAdd (in[0] * in[1] + in[2]) and kAddAdd
// have three operands, the others two. out may be an operand of the same strides. kMax and kMin give NaN if
// either is.
enum class ElementwiseKind : int32_t { kAdd, kSub, kMul, kDiv, kMax, kMin, kMulAdd, kAddAdd };
template <class T>
struct ElementwiseOperand {
  const T* data;
  int64_t row, step;
};
template <class T>
struct ElementwiseArgs {
  ElementwiseKind kind;
  int64_t rows, n;
  ElementwiseOperand<T> in[3];
  T* out;
  int64_t out_row;
  Activation activation;
};

// reduce_rows: dst[j] = the combination over r < rows of src[r * row_stride + j], for j < n; with
// `accumulate` also of what dst[j] was. rows >= 1. reduce_within: dst[r] = the combination over j < n of the
// same, for r < rows; `accumulate` is not used. Sums of rows are made by eights, those within by blocks. kMax
// and kMin give NaN if any is.
enum class ReductionKind : int32_t { kSum, kSumAbs, kSumSquare, kProd, kMax, kMin };
template <class T>
struct ReduceArgs {
  ReductionKind kind;
  int64_t rows, n;
  const T* src;
  int64_t row_stride;
  T* dst;
  bool accumulate;
};

// Element (r, j) is at src[r * src_stride + j], its result at dst[r * dst_stride + j]: exp(v - max) /
// sum(exp(v - max)), or its logarithm, for r < rows and j < n. softmax_within: max and sum are a row's;
// softmax_rows: a column's. dst may be src. rows, n >= 1.
template <class T>
struct SoftmaxArgs {
  int64_t rows, n;
  const T* src;
  int64_t src_stride;
  T* dst;
  int64_t dst_stride;
  bool log;
};

// Strassen's sums (conv/strassen.cc) of pairs of rows, each of two halves of n: a11 = top[r], a12 = top[r] +
// n, a21 = bottom[r], a22 = bottom[r] + n, for r < rows. Row r of s1 = a21 + a22, s2 = s1 - a11, s3 = a11 -
// a21 and s4 = a12 - s2 is written at sums + r * sums_row, the next one's rows sums_stride after it. Returns
// false if an element was not between -limit and limit; limit > 0.
template <class T>
struct StrassenSumsArgs {
  int64_t rows, n;
  const T *const *top, *const *bottom;
  T* sums;
  int64_t sums_row, sums_stride;
  T limit;
};

template <class T>
struct Kernels {
  int mr, nr;     // the register tile: mr rows x nr columns
  int window_mr;  // rows of the window kernel's tile
  int lanes;      // elements of a vector
  void (*gemm)(const GemmArgs<T>&);
  void (*window)(const WindowArgs<T>&);
  void (*dot)(const DotArgs<T>&);
  void (*pack)(const PackArgs<T>&);
  void (*depthwise)(const DepthwiseArgs<T>&);
  void (*planes)(const PlanesArgs<T>&);
  void (*pool_pixels)(const PoolPixelsArgs<T>&);
  void (*pool_plane)(const PoolPlaneArgs<T>&);
  void (*resample)(const ResampleArgs<T>&);
  void (*winograd_input)(const WinogradInputArgs<T>&);
  bool (*winograd_output)(const WinogradOutputArgs<T>&);
  // Null where registers hold too few tiles.
  void (*winograd_row_input)(const WinogradRowInputArgs<T>&);
  int (*winograd_row)(const WinogradRowArgs<T>&);
  bool (*strassen_sums)(const StrassenSumsArgs<T>&);
  void (*transpose)(const TransposeArgs<T>&);
  void (*activate)(const Activation&, const T* src, T* dst, int64_t n);  // src may equal dst
  void (*elementwise)(const ElementwiseArgs<T>&);
  void (*reduce_rows)(const ReduceArgs<T>&);
  void (*reduce_within)(const ReduceArgs<T>&);
  void (*softmax_rows)(const SoftmaxArgs<T>&);
  void (*softmax_within)(const SoftmaxArgs<T>&);
  // Runs `iterations` times 12 independent vector FMAs on registers; returns their sum.
  T (*fma_loop)(int64_t iterations);
  int fma_flops;  // floating-point operations in one iteration of fma_loop
};

struct KernelTable {
  const char* isa;
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace onebyone
