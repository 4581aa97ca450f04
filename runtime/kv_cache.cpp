#include "runtime/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/cpu/kernels.h"
#include "runtime/profile.h"

namespace wane {

KvCache::KvCache(int64_t samples) {
  if (samples < 1) throw error("cache: {} samples", samples);
  for (int64_t i = 0; i < samples; ++i) samples_.push_back(std::make_shared<KvSample>());
}

std::shared_ptr<KvCache> KvCache::subset(std::span<const int64_t> samples) const {
  std::shared_ptr<KvCache> part(new KvCache);
  for (int64_t i : samples) {
    if (i < 0 || i >= this->samples()) throw error("cache: sample {} of {}", i + 1, this->samples());
    part->samples_.push_back(samples_[size_t(i)]);
  }
  return part;
}

void KvCache::advance(int64_t tokens) {
  for (auto& sample : samples_) sample->position += tokens;
}

void KvCache::rewind(int64_t sample, int64_t position) {
  auto& s = *samples_.at(size_t(sample));
  if (position < 0 || position > s.position)
    throw error("cache: cannot go from position {} to {}", s.position, position);
  s.position = position;
}

void KvCache::release() {
  for (auto& sample : samples_) *sample = {};
}

size_t KvCache::bytes() const {
  size_t total = 0;
  for (auto& sample : samples_)
    for (auto& [name, rows] : sample->layers) total += rows.keys->bytes() + rows.values->bytes();
  return total;
}

namespace {

void reserve(KvRows& rows, int64_t positions, int64_t kept) {
  if (positions <= rows.capacity) return;
  int64_t capacity = std::max<int64_t>(std::max<int64_t>(64, positions), rows.capacity * 2);
  size_t row = size_t(rows.kv_heads * rows.dim) * size_of(rows.dtype);
  for (BufferPtr* buffer : {&rows.keys, &rows.values}) {
    BufferPtr grown = allocate(size_t(capacity) * row, current_origin());
    if (*buffer) std::memcpy(grown->data(), (*buffer)->data(), size_t(kept) * row);
    *buffer = grown;
  }
  rows.capacity = capacity;
}

void append(KvRows& rows, const Tensor& k, const Tensor& v, int64_t sample, int64_t position) {
  int64_t tokens = k.shape()[1];
  rows.kv_heads = k.shape()[2], rows.dim = k.shape()[3], rows.dtype = k.dtype();
  reserve(rows, position + tokens, position);
  size_t row = size_t(rows.kv_heads * rows.dim) * size_of(rows.dtype);
  size_t from = size_t(sample * tokens) * row;
  std::memcpy(rows.keys->data() + size_t(position) * row, k.bytes() + from, size_t(tokens) * row);
  std::memcpy(rows.values->data() + size_t(position) * row, v.bytes() + from, size_t(tokens) * row);
}

void check_attention(const Tensor& q, const Tensor& k, const Tensor& v, KvCache* cache) {
  bool fits = q.rank() == 4 && k.rank() == 4 && k.shape() == v.shape() && q.shape()[0] == k.shape()[0]
              && q.shape()[1] == k.shape()[1] && q.shape()[3] == k.shape()[3] && k.shape()[2] > 0
              && q.shape()[2] % k.shape()[2] == 0;
  if (!fits)
    throw error("attend: shapes do not fit: expected [batch, tokens, heads, dim] with heads a multiple of "
                "the key heads")
        .note("queries", describe(q))
        .note("keys", describe(k))
        .note("values", describe(v));
  for (auto* t : {&q, &k, &v})
    if (!is_float(t->dtype()))
      throw error("attend: floats expected, got {}", name_of(t->dtype())).note("tensor", describe(*t));
  if (cache && cache->samples() != q.shape()[0])
    throw error("attend: {} samples for a cache of {}", q.shape()[0], cache->samples());
}

} // namespace

Tensor attend(KvCache* cache, const std::string& layer, const Tensor& queries, const Tensor& keys,
              const Tensor& values, int64_t window, double scale) {
  check_attention(queries, keys, values, cache);
  DType dtype = promote(queries.dtype(), promote(keys.dtype(), values.dtype()));
  if (dtype != DType::bf16) dtype = DType::f32;
  WorkSpan span("attend");
  Tensor q = cast(queries, dtype).dense(), k = cast(keys, dtype).dense(), v = cast(values, dtype).dense();
  Tensor out = empty(q.shape(), dtype, "attend");
  int64_t batch = q.shape()[0], tokens = q.shape()[1], heads = q.shape()[2], dim = q.shape()[3],
          kv_heads = k.shape()[2];
  size_t width = size_of(dtype);
  span.moves(q, out);
  std::vector<cpu::AttentionArgs> sequences;
  for (int64_t b = 0; b < batch; ++b) {
    int64_t start = cache ? cache->position(b) : 0;
    size_t at = size_t(b * tokens * heads * dim) * width, kv_at = size_t(b * tokens * kv_heads * dim) * width;
    const std::byte *key = k.bytes() + kv_at, *value = v.bytes() + kv_at;
    if (cache) {
      KvRows& rows = cache->sample(b).layers[layer];
      if (rows.keys && (rows.kv_heads != kv_heads || rows.dim != dim || rows.dtype != dtype))
        throw error("attend: layer {} keeps {} heads of {} in {}, not {} of {} in {}", layer, rows.kv_heads,
                    rows.dim, name_of(rows.dtype), kv_heads, dim, name_of(dtype));
      append(rows, k, v, b, start);
      key = rows.keys->data(), value = rows.values->data();
    }
    double seen = double(start) + double(tokens + 1) / 2; // keys of a token on average, without a window
    if (window > 0) seen = std::min(seen, double(window));
    span.product(4.0 * double(tokens) * seen * double(heads * dim));
    span.bytes(2.0 * double((start + tokens) * kv_heads * dim) * double(width)); // the keys and values seen
    sequences.push_back({dtype, q.bytes() + at, key, value, out.bytes() + at, tokens, start, heads, kv_heads,
                         dim, heads * dim, kv_heads * dim, heads * dim, window, float(scale)});
  }
  if (q.count() > 0) cpu::attention(sequences);
  return out;
}

Tensor attend_turned(KvCache* cache, const std::string& layer, const Tensor& q, const Tensor& k,
                     const Tensor& v, const Tensor& freqs, int64_t window, double scale) {
  int64_t dim = freqs.count() * 2;
  for (auto* t : {&q, &k, &v})
    if (t->rank() != 3 || dim == 0 || t->shape()[2] % dim)
      throw error("attend: expected [batch, tokens, heads * {}]", dim).note("tensor", describe(*t));
  int64_t batch = q.shape()[0], tokens = q.shape()[1];
  if (cache && cache->samples() != batch)
    throw error("attend: {} samples for a cache of {}", batch, cache->samples());
  std::vector<int32_t> all;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < tokens; ++t) all.push_back(int32_t((cache ? cache->position(b) : 0) + t));
  Tensor positions = from_bytes({batch, tokens}, DType::i32, std::as_bytes(std::span(all)));
  auto heads = [&](const Tensor& t) { return reshape(t, {batch, tokens, t.shape()[2] / dim, dim}); };
  Tensor y = attend(cache, layer, rope(heads(q), positions, freqs, 1), rope(heads(k), positions, freqs, 1),
                    heads(v), window, scale);
  return reshape(y, q.shape());
}

} // namespace wane
