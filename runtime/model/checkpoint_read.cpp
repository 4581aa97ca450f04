// Reading and decoding of one tensor. Parts are cut by shape alone, each about a quarter of an L2 cache, so
// that a part is decoded where pread has just put it.
#include <algorithm>

#include "runtime/cpu/pool.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/gguf_blocks.h"
#include "runtime/model/gguf_names.h"

namespace wane {
namespace {

constexpr uint64_t kPartBytes = 256 << 10; // of source, where it is decoded
constexpr uint64_t kCopyBytes = 4 << 20;   // where it is only copied

std::span<std::byte> scratch(size_t bytes) {
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < bytes) buffer.resize(bytes);
  return std::span(buffer).first(bytes);
}

Error not_readable(const TensorEntry& entry, const std::string& path) {
  return error("not supported: tensor type {} of {}", name_of(entry.type), shown_name(entry.name))
      .note("file", path);
}

} // namespace

void Checkpoint::read(const TensorEntry& entry, DType as, std::span<std::byte> target, int64_t first_row,
                      int64_t rows, RowOrder order) const {
  auto& path = file_of(entry).path();
  if (!is_readable(entry.type)) throw not_readable(entry, path);
  if (!can_decode(entry.type, as))
    throw error("not supported: reading {}, which is {}, as {}", shown_name(entry.name), name_of(entry.type),
                name_of(as))
        .note("file", path);
  int64_t all_rows = entry.rows();
  if (rows < 0) rows = all_rows - first_row;
  if (first_row < 0 || first_row > all_rows || rows < 0 || rows > all_rows - first_row)
    throw error(Fault::internal, "read: rows {} to {} of {}, which has {}", first_row, first_row + rows,
                shown_name(entry.name), all_rows);
  uint64_t wanted = uint64_t(rows) * uint64_t(entry.cols()) * size_of(as);
  if (target.size() != wanted)
    throw error(Fault::internal, "read: a target of {} bytes for {} of {}", target.size(), wanted,
                shown_name(entry.name));
  if (wanted == 0) return;
  if (order == RowOrder::model && entry.permuted_heads > 0)
    return read_permuted(entry, as, target, first_row, rows);
  read_straight(entry, as, target, entry.offset + entry.bytes / uint64_t(all_rows) * uint64_t(first_row));
}

void Checkpoint::decode(const TensorEntry& entry, std::span<const std::byte> source, DType as,
                        std::byte* target, uint64_t offset) const {
  auto& form = info(entry.type);
  if (entry.type == StoredType::boolean) {
    auto odd = std::find_if(source.begin(), source.end(), [](std::byte b) { return b > std::byte{1}; });
    if (odd != source.end())
      throw bad_file(
          file_of(entry).path(), offset + uint64_t(odd - source.begin()),
          fmt::format("tensor {} holds the boolean {}, expected 0 or 1", shown_name(entry.name), int(*odd)));
  }
  int64_t count = int64_t(source.size() / form.type_size);
  if (is_block(entry.type))
    decode_kernels().blocks(entry.type, source.data(), count, as, target);
  else if (own_dtype(entry.type) == as)
    std::copy(source.begin(), source.end(), target);
  else
    decode_kernels().numbers(own_dtype(entry.type), source.data(), count, as, target);
}

void Checkpoint::read_straight(const TensorEntry& entry, DType as, std::span<std::byte> target,
                               uint64_t offset) const {
  auto& file = file_of(entry);
  auto& form = info(entry.type);
  bool copy = is_plain(entry.type) && own_dtype(entry.type) == as;
  uint64_t block_target = form.block_size * size_of(as), blocks = target.size() / block_target;
  uint64_t step = std::max<uint64_t>(1, (copy ? kCopyBytes : kPartBytes) / form.type_size);
  parallel_parts(int64_t((blocks + step - 1) / step), [&](int64_t part, int) {
    uint64_t first = uint64_t(part) * step, now = std::min(step, blocks - first);
    uint64_t at = offset + first * form.type_size;
    auto out = target.subspan(first * block_target, now * block_target);
    if (copy && as != DType::boolean) return file.read(at, out);
    auto raw = scratch(now * form.type_size);
    file.read(at, raw);
    decode(entry, raw, as, out.data(), at);
  });
}

// One part per head: its rows lie together in the file, only their order differs.
void Checkpoint::read_permuted(const TensorEntry& entry, DType as, std::span<std::byte> target,
                               int64_t first_row, int64_t rows) const {
  bool vector = entry.shape.size() < 2; // a bias: every number is a row
  if (vector && is_block(entry.type)) throw not_readable(entry, file_of(entry).path());
  if (vector) first_row = 0, rows = entry.cols();
  int64_t head_dim = (vector ? entry.cols() : entry.rows()) / entry.permuted_heads;
  uint64_t row_source = entry.bytes / uint64_t(head_dim * entry.permuted_heads),
           row_target = target.size() / uint64_t(rows);
  int64_t first_head = first_row / head_dim, heads = (first_row + rows - 1) / head_dim - first_head + 1;
  parallel_parts(heads, [&](int64_t part, int) {
    int64_t top = (first_head + part) * head_dim;
    uint64_t at = entry.offset + uint64_t(top) * row_source;
    auto raw = scratch(uint64_t(head_dim) * row_source);
    file_of(entry).read(at, raw);
    for (int64_t row = std::max(top, first_row); row < std::min(top + head_dim, first_row + rows); ++row) {
      auto from = raw.subspan(uint64_t(gguf_row_of(row, head_dim) - top) * row_source, row_source);
      decode(entry, from, as, target.data() + uint64_t(row - first_row) * row_target,
             at + uint64_t(from.data() - raw.data()));
    }
  });
}

} // namespace wane
