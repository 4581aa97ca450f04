// Rotary position embedding, half-split convention. Sines and cosines are the expensive part and the same for
// every layer of a model, so the tables of the last few sets of frequencies are kept.
#include "runtime/cpu/kernels.h"

#include "kernels/math.h"
#include "runtime/cpu/map_kernels.h"
#include "runtime/cpu/pool.h"
#include "runtime/cpu/row_kernels.h"
#include "runtime/error.h"

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace wane::cpu {
namespace {

constexpr int64_t kTokensPerPart = 32;
constexpr int32_t kKeptPositions = 1 << 16; // further ones are computed where they are needed
constexpr size_t kKeptTables = 4;

struct Table {
  std::vector<double> frequencies;
  float factor;
  int32_t positions = 0;
  std::vector<float> cosine, sine; // [positions, half]
};

void fill_angles(const double* frequencies, int64_t half, float factor, int32_t position, float* cosine,
                 float* sine) {
  for (int64_t i = 0; i < half; i++) {
    double angle = double(position) * frequencies[i];
    cosine[i] = float(wane_cos_d(angle) * double(factor));
    sine[i] = float(wane_sin_d(angle) * double(factor));
  }
}

std::shared_ptr<const Table> table_for(const double* frequencies, int64_t half, float factor,
                                       int32_t positions) {
  static std::mutex mutex;
  static std::list<std::shared_ptr<const Table>> kept; // most recent first
  std::lock_guard lock(mutex);
  std::vector<double> wanted(frequencies, frequencies + half);
  auto found = std::find_if(kept.begin(), kept.end(),
                            [&](const auto& t) { return t->factor == factor && t->frequencies == wanted; });
  int32_t size = 256;
  while (size < positions) size *= 2;
  if (found != kept.end() && (*found)->positions >= positions) {
    kept.splice(kept.begin(), kept, found);
    return kept.front();
  }
  auto table = std::make_shared<Table>();
  table->frequencies = std::move(wanted);
  table->factor = factor;
  table->positions = size;
  table->cosine.resize(size_t(size) * size_t(half));
  table->sine.resize(table->cosine.size());
  parallel_parts((size + 63) / 64, [&](int64_t part, int) {
    for (int32_t p = int32_t(part * 64), end = std::min(p + 64, size); p < end; p++)
      fill_angles(frequencies, half, factor, p, &table->cosine[size_t(p * half)],
                  &table->sine[size_t(p * half)]);
  });
  if (found != kept.end()) kept.erase(found);
  kept.push_front(table);
  if (kept.size() > kKeptTables) kept.pop_back();
  return table;
}

void rotate_f64(const double* x, double* out, int64_t heads, int64_t half, int32_t position,
                const double* frequencies, double factor) {
  for (int64_t i = 0; i < half; i++) {
    double angle = double(position) * frequencies[i];
    double c = wane_cos_d(angle) * factor, s = wane_sin_d(angle) * factor;
    for (int64_t h = 0; h < heads; h++) {
      double a = x[2 * h * half + i], b = x[(2 * h + 1) * half + i];
      out[2 * h * half + i] = a * c - b * s;
      out[(2 * h + 1) * half + i] = b * c + a * s;
    }
  }
}

} // namespace

void rope(DType dtype, const void* x, void* out, int64_t tokens, int64_t heads, int64_t dim,
          const int32_t* positions, const double* inv_freq, float factor) {
  if (!is_float(dtype)) throw error("rope: not supported: {}; floats are", name_of(dtype));
  if (dim < 2 || dim % 2) throw error("rope: the size of a head is even, not {}", dim);
  if (tokens == 0 || heads == 0) return;
  const int64_t half = dim / 2, width = heads * dim;
  const int64_t parts = (tokens + kTokensPerPart - 1) / kTokensPerPart;
  if (dtype == DType::f64) {
    parallel_parts(parts, [&](int64_t part, int) {
      for (int64_t t = part * kTokensPerPart, end = std::min(tokens, t + kTokensPerPart); t < end; t++)
        rotate_f64((const double*)x + t * width, (double*)out + t * width, heads, half, positions[t],
                   inv_freq, factor);
    });
    return;
  }
  int32_t most = *std::max_element(positions, positions + tokens);
  auto table = table_for(inv_freq, half, factor, std::clamp<int32_t>(most, 0, kKeptPositions - 1) + 1);
  const RowKernels& rows = row_kernels();
  const MapKernels& maps = map_kernels();
  parallel_parts(parts, [&](int64_t part, int) {
    std::vector<float> own, wide;
    own.resize(size_t(dim));
    for (int64_t t = part * kTokensPerPart, end = std::min(tokens, t + kTokensPerPart); t < end; t++) {
      const float *c = own.data(), *s = own.data() + half;
      if (int32_t p = positions[t]; p >= 0 && p < table->positions) {
        c = table->cosine.data() + p * half;
        s = table->sine.data() + p * half;
      } else
        fill_angles(inv_freq, half, factor, p, own.data(), own.data() + half);
      if (dtype == DType::f32)
        rows.rotate((const float*)x + t * width, (float*)out + t * width, heads, half, c, s);
      else if (dtype == DType::bf16)
        rows.rotate_bf16((const uint16_t*)x + t * width, (uint16_t*)out + t * width, heads, half, c, s);
      else {
        wide.resize(size_t(2 * width));
        const size_t offset = size_t(t * width) * size_of(dtype);
        maps.load[size_t(dtype)](wide.data(), (const char*)x + offset, width);
        rows.rotate(wide.data(), wide.data() + width, heads, half, c, s);
        maps.store[size_t(dtype)]((char*)out + offset, wide.data() + width, width);
      }
    }
  });
}

} // namespace wane::cpu
