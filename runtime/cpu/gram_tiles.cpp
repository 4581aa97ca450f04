#include "runtime/cpu/gram_tiles.h"

#include <algorithm>
#include <vector>

#include "runtime/cpu/pool.h"
#include "runtime/error.h"

namespace wane::cpu {
namespace {

constexpr int64_t kPartGroups = 12; // of a part's rows and columns: its sums stay in the second-level cache

struct Part {
  const GramProduct* product;
  int64_t row, column; // first groups
};

void add_part(const Part& part, float* sums) {
  const auto& p = *part.product;
  const int64_t rows = std::min(kPartGroups, p.left.groups - part.row);
  const int64_t columns = std::min(kPartGroups, p.right.groups - part.column);
  const bool diagonal = p.lower && part.row == part.column;
  isa_v4::gram_multiply(p.left.at(part.row), p.right.at(part.column), p.left.stride, p.left.blocks, rows,
                        columns, diagonal, sums);
  const int64_t first_row = part.row * kGramGroup, first_column = part.column * kGramGroup;
  const int64_t last_row = std::min(p.rows, first_row + rows * kGramGroup);
  for (int64_t r = first_row; r < last_row; ++r) {
    const int64_t end = diagonal ? r + 1 : std::min(p.columns, first_column + columns * kGramGroup);
    const float* from = sums + (r - first_row) * columns * kGramGroup - first_column;
    float* to = p.sum + r * p.columns;
    for (int64_t c = first_column; c < end; ++c) to[c] += from[c];
  }
}

} // namespace

GramPanels::GramPanels(int64_t channels, int64_t tokens)
    : groups((channels + 2 * kGramGroup - 1) / (2 * kGramGroup) * 2),
      blocks((tokens + kGramBlock - 1) / kGramBlock), stride((blocks + 1) * kGramTileWords),
      buffer(allocate(size_t(groups * stride) * sizeof(uint32_t))) {}

void gram_pack(std::span<const uint16_t* const> tokens, int64_t channels, const GramPanels& left,
               const GramPanels& right) {
  const GramPanels& any = left.buffer ? left : right;
  parallel_parts(any.blocks, [&](int64_t block, int) {
    const uint16_t* rows[kGramBlock] = {};
    const int64_t first = block * kGramBlock, count = std::min(kGramBlock, int64_t(tokens.size()) - first);
    std::copy_n(tokens.begin() + first, count, rows);
    auto to = [&](const GramPanels& panels) {
      return panels.buffer ? panels.at(0) + block * kGramTileWords : nullptr;
    };
    isa_v4::gram_pack_block(rows, channels, any.groups, to(left), to(right), any.stride);
  });
}

void gram_add(std::span<const GramProduct> products) {
  std::vector<Part> parts;
  for (auto& p : products)
    for (int64_t row = 0; row < p.left.groups; row += kPartGroups)
      for (int64_t column = 0; column < p.right.groups; column += kPartGroups)
        if (!p.lower || column <= row) parts.push_back({&p, row, column});
  // What is cheaper comes last, so that the threads end together.
  std::stable_partition(parts.begin(), parts.end(),
                        [](const Part& part) { return !part.product->lower || part.row != part.column; });
  constexpr size_t kSums = size_t(kPartGroups * kGramGroup * kPartGroups * kGramGroup);
  std::vector<BufferPtr> scratch;
  for (int t = 0; t < thread_count(); ++t) scratch.push_back(allocate(kSums * sizeof(float)));
  parallel_parts(int64_t(parts.size()), [&](int64_t i, int thread) {
    add_part(parts[size_t(i)], scratch[size_t(thread)]->as<float>());
  });
}

} // namespace wane::cpu
