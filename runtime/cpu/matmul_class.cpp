// Which kernels a product runs on here, the hash of a fixed one, and whether the batch can be seen in the
// bits.
#include <cstring>
#include <optional>
#include <random>

#include "runtime/cpu/attention_part.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul_product.h"

namespace wane {
namespace {

// A fixed product: [m, k] x [n, k] of small pseudo-random numbers, in any compute type.
struct Probe {
  DType compute, out_dtype;
  int64_t m, n, k;
  std::vector<std::byte> a;
  PackedWeightsPtr w;

  Probe(DType compute_, int64_t m_, int64_t n_, int64_t k_)
      : compute(compute_), out_dtype(compute == DType::i8    ? DType::i32
                                     : compute == DType::f64 ? DType::f64
                                                             : DType::f32),
        m(m_), n(n_), k(k_) {
    std::minstd_rand random{2026};
    a = numbers(m * k, random);
    w = pack_weights(compute, compute, numbers(n * k, random).data(), n, k, k, 1);
  }

  std::vector<std::byte> numbers(int64_t count, std::minstd_rand& random) const {
    std::vector<std::byte> out(size_t(count) * size_of(compute));
    for (int64_t i = 0; i < count; ++i) {
      int draw = int(random() % 4096) - 2048;
      std::byte* at = &out[size_t(i) * size_of(compute)];
      float value = float(draw) / 511.7f; // full mantissas, or no sum would round
      double wide = draw / 511.7;
      auto byte = int8_t(draw / 17);
      if (compute == DType::f32) std::memcpy(at, &value, 4);
      if (compute == DType::f64) std::memcpy(at, &wide, 8);
      if (compute == DType::bf16) std::memcpy(at, reinterpret_cast<std::byte*>(&value) + 2, 2);
      if (compute == DType::i8) std::memcpy(at, &byte, 1);
    }
    return out;
  }

  // The first `rows` rows on their own.
  std::vector<std::byte> run(int64_t rows) const {
    std::vector<std::byte> out(size_t(rows * n) * size_of(out_dtype));
    matmul_packed(compute, a.data(), rows, k, *w, out.data(), out_dtype, n);
    return out;
  }
};

std::vector<DType> native_types() {
  std::vector<DType> types{DType::f32, DType::f64, DType::i8};
  if (native_bf16()) types.insert(types.begin() + 1, DType::bf16);
  return types;
}

std::string implementation(DType compute) {
  if (amx_computes(compute)) return fmt::format("{} own:amx", name_of(compute));
  std::string own = fmt::format("{} own:{}", name_of(compute), name_of(isa_level()));
  if (!library_computes(compute)) return own;
  return fmt::format("{} {}", name_of(compute), library_implementation(compute, 64, 1024, 512));
}

// The batch sizes of which the rows come out different than among 64.
std::optional<std::string> batch_note(DType compute, int64_t k) {
  Probe probe(compute, 130, 512, k);
  auto among = probe.run(130);
  std::string differing;
  for (int64_t rows : {1, 2, 3, 5, 8, 9, 16, 33, 64, 65}) {
    auto alone = probe.run(rows);
    if (std::memcmp(alone.data(), among.data(), alone.size()) != 0) differing += fmt::format(" {}", rows);
  }
  if (differing.empty()) return std::nullopt;
  return fmt::format("{} products are not batch-invariant here: k = {}, rows{}", name_of(compute), k,
                     differing);
}

MatmulClass find_class() {
  MatmulClass found;
  found.isa = name_of(isa_level());
  uint64_t hash = 0xcbf29ce484222325; // FNV-1a
  for (DType compute : native_types()) {
    found.implementations.push_back(implementation(compute));
    for (std::byte b : Probe(compute, 72, 200, 600).run(72)) hash = (hash ^ uint64_t(b)) * 0x100000001b3;
  }
  found.probe_hash = fmt::format("{:016x}", hash);
  found.implementations.push_back(fmt::format("attention own:{}", cpu::attention_form()));
  if (!native_bf16())
    found.notes.push_back("bf16 products are computed in f32: the CPU has no instructions for them");
  if (!native_int8())
    found.notes.push_back("i8 products run on a plain kernel: the CPU has no instructions for them");
  for (DType compute : {DType::f32, DType::bf16})
    if (library_computes(compute) || amx_computes(compute))
      for (int64_t k : {576, 1536})
        if (auto note = batch_note(compute, k)) found.notes.push_back(*note);
  return found;
}

} // namespace

const MatmulClass& matmul_class() {
  static const MatmulClass found = find_class();
  return found;
}

} // namespace wane
