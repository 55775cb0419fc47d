#include "layers.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>

#include "core/check.h"

namespace onebyone::bench {
namespace {

// Sizes past this are a slip of the pen, and their products might not fit 64 bits.
constexpr int64_t kMaxSize = 1 << 20;

// "3x5" -> {3, 5}: `count` numbers, or one that stands for all if `repeat`.
std::vector<int64_t> parse_sizes(std::string_view text, size_t count, bool repeat) {
  std::vector<int64_t> sizes;
  const char *at = text.data(), *end = text.data() + text.size();
  while (true) {
    int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0 || value > kMaxSize)
      fail("'", text, "' is not made of numbers from 0 to ", kMaxSize);
    sizes.push_back(value);
    if (next == end) break;
    if (*next != 'x') fail("'", text, "' should be numbers with an x between them");
    at = next + 1;
  }
  if (repeat && sizes.size() == 1) sizes.resize(count, sizes[0]);
  if (sizes.size() != count) fail("'", text, "' has ", sizes.size(), " numbers, expected ", count);
  return sizes;
}

Pair parse_pair(std::string_view text) {
  const std::vector<int64_t> v = parse_sizes(text, 2, true);
  return {v[0], v[1]};
}

BenchLayer parse_layer(const std::string& line) {
  BenchLayer layer{};
  std::istringstream words(line);
  std::string shape, arrow, oc, word;
  if (!(words >> shape >> arrow >> oc) || arrow != "->") fail("expected 'BATCHxICxIHxIW -> OC kKH[xKW] ...'");
  const std::vector<int64_t> x = parse_sizes(shape, 4, false);
  layer.x = {x[0], x[1], x[2], x[3]};
  layer.weight = {parse_sizes(oc, 1, false)[0], 0, 0, 0};
  layer.text = shape + " -> " + oc;
  std::string seen;
  while (words >> word) {
    const char key = word[0];
    const std::string_view value = std::string_view(word).substr(1);
    if (seen.find(key) != std::string::npos) fail("'", key, "' is given twice");
    seen += key;
    switch (key) {
      case 'k': {
        const Pair k = parse_pair(value);
        layer.weight[2] = k.h, layer.weight[3] = k.w;
        break;
      }
      case 's': layer.stride = parse_pair(value); break;
      case 'd': layer.dilation = parse_pair(value); break;
      case 'g': layer.groups = parse_sizes(value, 1, false)[0]; break;
      case 'p': {
        if (value == "same") {
          layer.padding = AutoPadding::kSame;
        } else {
          const Pair p = parse_pair(value);
          layer.padding = Edges{p.h, p.h, p.w, p.w};
        }
        break;
      }
      default: fail("'", word, "' begins with none of k, s, p, d, g");
    }
    layer.text += " " + word;
  }
  if (seen.find('k') == std::string::npos) fail("the kernel (k1, k3, k1x7, ...) is missing");
  if (layer.groups < 1) fail("groups must be at least 1, got ", layer.groups);
  layer.weight[1] = layer.x.channels / layer.groups;
  const ConvGeometry g = make_geometry("layer", layer.x, layer.weight, layer.stride, layer.padding,
                                       layer.dilation, layer.groups, "channels in the file");
  if (g.macs() == 0) fail("there is nothing to compute");
  return layer;
}

}  // namespace

std::vector<BenchLayer> read_layers(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail("cannot read '", path, "'");
  std::vector<BenchLayer> layers;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    line.resize(std::min(line.find('#'), line.size()));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      layers.push_back(parse_layer(line));
    } catch (const std::invalid_argument& error) {
      fail(path, ":", number, ": ", error.what());
    }
  }
  if (layers.empty()) fail("no layers in '", path, "'");
  return layers;
}

}  // namespace onebyone::bench
