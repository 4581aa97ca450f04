// Keys and values of a batch of samples. Samples may stand at different positions; a subset of a cache shares
// the state of its samples, so that prompts of unequal length can be read in groups. Positions move by
// `advance`, once per forward, not by attention.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace wane {

struct KvRows { // of one layer and sample: [capacity, kv_heads, dim], grown by doubling
  BufferPtr keys, values;
  int64_t capacity = 0, kv_heads = 0, dim = 0;
  DType dtype = DType::f32;
};
struct KvSample {
  int64_t position = 0; // tokens kept by every layer
  std::map<std::string, KvRows> layers;
};

class KvCache {
public:
  explicit KvCache(int64_t samples);
  std::shared_ptr<KvCache> subset(std::span<const int64_t> samples) const;

  int64_t samples() const { return int64_t(samples_.size()); }
  int64_t position(int64_t sample) const { return samples_[size_t(sample)]->position; }
  KvSample& sample(int64_t index) { return *samples_[size_t(index)]; }
  void advance(int64_t tokens);
  void rewind(int64_t sample, int64_t position); // forgets what came after
  void release();                                // frees all rows; the cache is empty again
  size_t bytes() const;

private:
  KvCache() = default;
  std::vector<std::shared_ptr<KvSample>> samples_;
};

} // namespace wane
