// In which order does the library sum over K? Found by experiment, because it depends on the CPU and its
// caches: with column values 2^24, 1 and 1 at rows 0, p and q, the ones survive rounding only if they are
// added to each other first. That gives the chunk; random data then has to come out bit for bit.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "runtime/cpu/matmul_product.h"

namespace wane {
namespace {

constexpr int64_t kRows = 64, kColumns = 192;

// Numbers as f32 or bf16, whichever is computed in.
std::vector<std::byte> as_type(DType compute, const std::vector<float>& values) {
  std::vector<std::byte> out(values.size() * size_of(compute));
  for (size_t i = 0; i < values.size(); ++i)
    if (compute == DType::f32)
      std::memcpy(&out[i * 4], &values[i], 4);
    else
      std::memcpy(&out[i * 2], reinterpret_cast<const std::byte*>(&values[i]) + 2,
                  2); // truncation: any values do
  return out;
}

PackedWeightsPtr pack(DType compute, const std::vector<float>& w, int64_t n, int64_t k) {
  return pack_weights(compute, compute, as_type(compute, w).data(), n, k, k, 1);
}

// Are the products of K positions p and p + 1 added to each other before they meet that of position 0?
std::vector<bool> neighbours_meet(DType compute, int64_t k, const std::vector<int64_t>& positions) {
  auto ones = as_type(compute, std::vector<float>(size_t(kRows * k), 1.0f));
  std::vector<bool> meet;
  for (size_t begin = 0; begin < positions.size(); begin += size_t(kColumns)) {
    std::vector<float> w(size_t(kColumns * k)), out(size_t(kRows * kColumns));
    size_t count = std::min(positions.size() - begin, size_t(kColumns));
    for (size_t c = 0; c < count; ++c) {
      float* column = &w[c * size_t(k)];
      column[0] = 0x1p24f;
      column[positions[begin + c]] = column[positions[begin + c] + 1] = 1;
    }
    library_tile(compute, ones.data(), kRows, k, pack(compute, w, kColumns, k)->block(0), kColumns,
                 out.data());
    for (size_t c = 0; c < count; ++c) meet.push_back(out[c] != 0x1p24f);
  }
  return meet;
}

// The end of the first chunk, k if there is only one.
int64_t first_chunk(DType compute, int64_t k) {
  std::vector<int64_t> positions;
  for (int64_t p = 16; p + 2 < k; p += 16) positions.push_back(p);
  auto meet = neighbours_meet(compute, k, positions);
  auto first = std::find(meet.begin(), meet.end(), true);
  return first == meet.end() ? k : positions[size_t(first - meet.begin())];
}

SumOrder find_order(DType compute, int64_t k) {
  std::minstd_rand random{12345};
  auto numbers = [&](int64_t n) {
    std::vector<float> v((size_t(n)));
    for (auto& x : v) x = float(int(random() % 65536) - 32768) / 16384.0f;
    return v;
  };
  // Rows as the own kernels want them, padded to 32; the library gets them dense.
  int64_t padded = (k + 31) / 32 * 32;
  auto values = numbers(kRows * k);
  std::vector<float> wide(size_t(kRows * padded));
  for (int64_t r = 0; r < kRows; ++r) std::copy_n(&values[size_t(r * k)], k, &wide[size_t(r * padded)]);
  auto a = as_type(compute, values), a_padded = as_type(compute, wide);
  auto w = pack(compute, numbers(kColumns * k), kColumns, k);
  std::vector<float> expected(size_t(kRows * kColumns)), out(8 * 64);
  library_tile(compute, a.data(), kRows, k, w->block(0), kColumns, expected.data());

  auto matches = [&](const SumOrder& order) {
    for (int rows : {1, 2, 3, 8})
      for (int64_t b = 0; b < kColumns / 64; ++b) {
        rows_in_order(order, compute, a_padded.data(), padded, rows, w->block(b), k, out.data());
        for (int r = 0; r < rows; ++r)
          if (std::memcmp(&out[size_t(r) * 64], &expected[size_t(r * kColumns + b * 64)], 256) != 0)
            return false;
      }
    return true;
  };
  SumOrder found;
  auto attempt = [&](SumOrder order) {
    if (found.kind == SumOrder::unknown && matches(order)) found = order;
  };
  for (int64_t chunk : {k, int64_t{512}, int64_t{1024}})
    if (chunk <= k) attempt({SumOrder::chunks, chunk});
  if (found.kind == SumOrder::unknown) attempt({SumOrder::chunks, first_chunk(compute, k)});
  return found;
}

} // namespace

SumOrder sum_order(DType compute, int64_t k) {
  if (amx_computes(compute)) return {SumOrder::amx, 0};
  static std::mutex mutex;
  static auto* known = new std::map<std::pair<DType, int64_t>, SumOrder>;
  {
    std::lock_guard lock(mutex);
    if (auto found = known->find({compute, k}); found != known->end()) return found->second;
  }
  SumOrder order = find_order(compute, k); // not under the lock: it uses the pool; twice gives the same
  std::lock_guard lock(mutex);
  return known->emplace(std::pair{compute, k}, order).first->second;
}

void rows_in_order(const SumOrder& order, DType compute, const void* a, int64_t lda, int rows,
                   const void* block, int64_t k, float* out) {
  const MatmulKernels& kernels = matmul_kernels();
  if (compute == DType::f32)
    kernels.rows_f32(static_cast<const float*>(a), lda, rows, static_cast<const float*>(block), k,
                     order.chunk, out);
  else if (order.kind == SumOrder::amx)
    kernels.rows_bf16_amx(static_cast<const uint16_t*>(a), lda, rows, static_cast<const uint16_t*>(block), k,
                          out);
  else
    kernels.rows_bf16(static_cast<const uint16_t*>(a), lda, rows, static_cast<const uint16_t*>(block), k,
                      order.chunk, out);
}

} // namespace wane
