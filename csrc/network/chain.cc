#include "network/chain.h"

#include <algorithm>
#include <cstring>

#include "conv/tasks.h"
#include "core/aligned_buffer.h"
#include "core/int_math.h"
#include "core/parallel.h"

namespace onebyone {
namespace {

// Of an intermediate image in cache, beside the weights: half of a Zen 3's L2. With 64 KB 3 -> 512 -> 64 at
// 256x256 takes 1 to 2 % less, others the same; 1 MB takes 8 % more.
constexpr int64_t kChainBytes = 256 * 1024;
// Of scaled pixels: with 32 KB to 256 KB DenseNet-121 takes the same within 2 %.
constexpr int64_t kScaledBytes = 128 * 1024;
// Fewer pixels than this in a block would read the weights too often.
constexpr int64_t kLeastPixels = 48;

}  // namespace

template <class T>
bool Chain<T>::by_pixels(const ConvPlan& plan) {
  if (plan.algorithm == Algorithm::kWinograd) return plan.along_rows;
  return (plan.algorithm == Algorithm::kGemm || plan.algorithm == Algorithm::kDirect) && !plan.dot &&
         !plan.narrow_groups && !plan.few_outputs;
}
template <class T>
bool Chain<T>::by_rows(const ConvPlan& plan) {
  return plan.algorithm == Algorithm::kDepthwise;
}

template <class T>
Chain<T>::Chain(std::vector<Stage> stages, std::unique_ptr<const ScaledPixels<T>> scaled,
                const Kernels<T>* transposing)
    : stages_(std::move(stages)), scaled_(std::move(scaled)), transposing_(transposing) {
  int64_t widest = 1;
  for (size_t i = 0; i < stages_.size(); ++i) {
    if (by_rows(stages_[i]->plan())) rows_stage_ = static_cast<int>(i);
    if (i + 1 < stages_.size()) widest = std::max(widest, geometry(i).oc);
  }
  const int64_t mr = std::max(stages_[0]->plan().mr, 1);
  const auto fitting = [&](int64_t bytes, int64_t elements) {
    const int64_t pixels = bytes / (elements * static_cast<int64_t>(sizeof(T)));
    return round_up(std::max(kLeastPixels, pixels), mr);
  };
  block_pixels_ = fitting(kChainBytes, widest);
  if (!scaled_) return;
  // Not a multiple of a page, where a tile's rows would share L1's sets.
  scaled_step_ = odd_lines<T>(geometry(0).ic);
  scaled_pixels_ = fitting(kScaledBytes, scaled_step_);
  if (stages_.size() == 1) block_pixels_ = scaled_pixels_;
}

// Rows of the depthwise stage's input that are kept: a window and some more.
template <class T>
int64_t Chain<T>::expanded_rows() const {
  if (rows_stage_ == 0) return 0;
  const ConvGeometry& g = geometry(rows_stage_);
  return std::max(window_rows(g) + g.stride.h, kChainBytes / (g.iw * g.ic * static_cast<int64_t>(sizeof(T))));
}

// Rows of its output that are made at a time.
template <class T>
int64_t Chain<T>::band_rows() const {
  const ConvGeometry& g = geometry(rows_stage_);
  const int64_t fit = std::max<int64_t>(1, kChainBytes / 2 / (g.ow * g.oc * static_cast<int64_t>(sizeof(T))));
  if (rows_stage_ == 0) return fit;
  return std::min(fit, (expanded_rows() - window_rows(g)) / g.stride.h + 1);
}

template <class T>
int64_t Chain<T>::buffer_size() const {
  int64_t elements = scaled_size();
  if (rows_stage_ < 0) {
    const size_t kept = stages_.size() - (transposing_ ? 0 : 1);
    for (size_t i = 0; i < kept; ++i) elements += block_pixels_ * geometry(i).oc;
  } else {
    const ConvGeometry& g = geometry(rows_stage_);
    elements += expanded_rows() * g.iw * g.ic + band_rows() * g.ow * g.oc;
  }
  return elements;
}

template <class T>
void Chain<T>::run(const ImageView<const T>& x, const T* residual, T* out, int threads) const {
  const ConvGeometry& last = geometry(stages_.size() - 1);
  const Tensors t{x, residual, out};
  if (rows_stage_ < 0) {
    const int64_t pixels = last.batch * last.out_pixels();
    // Parts of equal size for the threads, each in blocks of whole tiles.
    const int64_t mr = std::max(stages_[0]->plan().mr, 1);
    const int64_t parts = std::clamp<int64_t>(ceil_div(pixels, mr), 1, threads);
    const TaskGrid grid{.rows = parts,
                        .columns = 1,
                        .row_pieces = std::max<int64_t>(1, ceil_div(ceil_div(pixels, parts), block_pixels_))};
    parallel_for(grid.tasks(), threads, [&](int64_t task) {
      const TaskRange range = task_range(grid, pixels, 1, mr, task);
      run_pixels(t, range.row_begin, range.row_end);
    });
  } else {
    if (last.batch == 0 || last.out_pixels() == 0) return;
    const int64_t parts = std::min(last.oh, ceil_div(threads, last.batch));
    parallel_for(last.batch * parts, threads, [&](int64_t task) {
      const int64_t part = task % parts;
      run_rows(t, task / parts, part_begin(last.oh, parts, part), part_begin(last.oh, parts, part + 1));
    });
  }
}

// The first stage's output pixels [begin, end), at t.out. `scratch` has room for a block of scaled ones.
template <class T>
void Chain<T>::run_first(const Tensors& t, T* scratch, int64_t begin, int64_t end) const {
  const ConvAlgorithm<T>& conv = stages_[0]->algorithm();
  if (!scaled_) return conv.run_part(t.x, t.residual, t.out, begin, end);
  const ConvGeometry& g = geometry(0);
  const int64_t step = scaled_step_, out_step = stages_[0]->problem().output_step();
  for (int64_t pixel = begin; pixel < end; pixel += scaled_pixels_) {
    const int64_t count = std::min(scaled_pixels_, end - pixel), at = (pixel - begin) * out_step;
    scaled_->make(t.x, pixel, count, scratch, step);
    conv.run_part(spaced_image<T>(scratch, g, step), t.residual ? t.residual + at : nullptr, t.out + at, 0,
                  count);
  }
}

template <class T>
void Chain<T>::run_pixels(const Tensors& t, int64_t begin, int64_t end) const {
  AlignedBuffer<T> memory(buffer_size());
  T* next = memory.data() + scaled_size();
  const T* made = nullptr;
  for (size_t i = 0; i < stages_.size(); ++i) {
    const bool last = i + 1 == stages_.size();
    const int64_t at = begin * stages_[i]->problem().output_step();
    T* const out = last && !transposing_ ? t.out + at : next;
    const T* const residual = last && t.residual ? t.residual + at : nullptr;
    if (i == 0)
      run_first({t.x, residual, out}, memory.data(), begin, end);
    else  // sees the block as the first pixels of an image
      stages_[i]->algorithm().run_part(dense_image(made, geometry(i)), residual, out, 0, end - begin);
    made = out;
    next += block_pixels_ * geometry(i).oc;
  }
  if (transposing_) spread_channels(made, t.out, begin, end);
}

// Pixels [begin, end), counted through the images: from a block of them, channels last, to `out`.
template <class T>
void Chain<T>::spread_channels(const T* block, T* out, int64_t begin, int64_t end) const {
  const int64_t channels = geometry(stages_.size() - 1).oc, size = geometry(stages_.size() - 1).out_pixels();
  for (int64_t pixel = begin; pixel < end;) {
    const int64_t image = pixel / size, next = std::min(end, (image + 1) * size);
    transposing_->transpose({.rows = next - pixel,
                             .columns = channels,
                             .src = block + (pixel - begin) * channels,
                             .src_stride = channels,
                             .dst = out + image * channels * size + pixel % size,
                             .dst_stride = size,
                             .residual = nullptr,
                             .activation = {}});
    pixel = next;
  }
}

template <class T>
void Chain<T>::run_rows(const Tensors& t, int64_t image, int64_t begin, int64_t end) const {
  const ConvGeometry& g = geometry(rows_stage_);
  const bool expands = rows_stage_ > 0, projects = rows_stage_ + 1 < static_cast<int>(stages_.size());
  const int64_t row_size = g.iw * g.ic, kept_rows = expanded_rows();
  AlignedBuffer<T> memory(buffer_size());
  T* const expanded = memory.data() + scaled_size();
  T* const band = expanded + kept_rows * row_size;

  const auto first_row = [&](int64_t row) {
    return std::clamp<int64_t>(row * g.stride.h - g.pad.top, 0, g.ih);
  };
  const auto end_row = [&](int64_t row) {
    return std::clamp<int64_t>(row * g.stride.h - g.pad.top + window_rows(g), 0, g.ih);
  };
  int64_t low = 0, high = 0;  // rows of the depthwise input that `expanded` holds
  for (int64_t row = begin; row < end;) {
    const int64_t next = std::min(end, row + band_rows());
    ImageView<const T> x = t.x;
    if (expands) {
      const int64_t from = first_row(row), to = std::max(from, end_row(next - 1));
      if (high > from)
        std::memmove(expanded, expanded + (from - low) * row_size, (high - from) * row_size * sizeof(T));
      else
        high = from;
      low = from;
      const int64_t base = image * g.ih;
      run_first({t.x, nullptr, expanded + (high - low) * row_size}, memory.data(), (base + high) * g.iw,
                (base + to) * g.iw);
      high = std::max(high, to);
      // Row y of the image at expanded + (y - low) * row_size.
      x = dense_image(expanded - low * row_size, g);
      x.sn = 0;
    }
    const int64_t pixel = (image * g.oh + row) * g.ow, pixels = (next - row) * g.ow;
    const int64_t at = pixel * stages_.back()->problem().output_step();
    const T* const residual = t.residual ? t.residual + at : nullptr;
    stages_[rows_stage_]->algorithm().run_part(x, projects ? nullptr : residual, projects ? band : t.out + at,
                                               pixel, pixel + pixels);
    if (projects)
      stages_.back()->algorithm().run_part(dense_image(band, geometry(stages_.size() - 1)), residual,
                                           t.out + at, 0, pixels);
    row = next;
  }
}

template <class T>
int64_t Chain<T>::macs() const {
  int64_t sum = 0;
  for (const Stage& stage : stages_) sum += stage->macs();
  return sum;
}

template <class T>
int64_t Chain<T>::weight_bytes() const {
  int64_t sum = 0;
  for (const Stage& stage : stages_) sum += stage->weight_bytes();
  return sum;
}

template <class T>
int64_t Chain<T>::workspace_bytes(int threads) const {
  int64_t scratch = 0;
  for (const Stage& stage : stages_) scratch = std::max(scratch, stage->algorithm().scratch_bytes());
  return (scratch + buffer_size() * static_cast<int64_t>(sizeof(T))) * threads;
}

template <class T>
std::string Chain<T>::describe(int threads) const {
  std::string text = rows_stage_ < 0 ? concat("chain of ", block_pixels_, " pixels")
                                     : concat("chain of ", band_rows(), " rows");
  if (scaled_) text += concat("; ", scaled_->describe());
  for (const Stage& stage : stages_) text += concat("; ", stage->describe(threads));
  return text;
}

template class Chain<float>;
template class Chain<double>;

}  // namespace onebyone
