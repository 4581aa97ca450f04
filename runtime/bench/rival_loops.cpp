#include <cstring>

#include "runtime/bench/loops.h"
#include "runtime/bench/rivals.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul.h"
#include "runtime/cpu/pool.h"

namespace wane {
#define WANE_LEVEL(level)                                                                                    \
  namespace level {                                                                                          \
  const bench::Loops& bench_loops();                                                                         \
  }
WANE_LEVEL(isa_v2)
WANE_LEVEL(isa_v3)
WANE_LEVEL(isa_v4)
#undef WANE_LEVEL

namespace bench {
namespace {

constexpr int64_t kPart = 1 << 16;

const Loops& loops() {
  return isa_level() == IsaLevel::v4   ? isa_v4::bench_loops()
         : isa_level() == IsaLevel::v3 ? isa_v3::bench_loops()
                                       : isa_v2::bench_loops();
}

int64_t parts_of(int64_t count) { return (count + kPart - 1) / kPart; }

std::string threads_text() { return fmt::format("{}, {} threads", name_of(isa_level()), thread_count()); }

Tensor touched(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  std::memset(t.bytes(), 1, size_t(t.count()) * size_of(dtype));
  return t;
}

} // namespace

namespace {

Rival vector_loop(decltype(Loops::silu) loop, const char* stores, const Tensor& a, const Tensor& b,
                  const Tensor& c) {
  Tensor x = a.dense(), y = b.dense(), z = c.dense(), out = touched(a.shape(), DType::f32);
  return {fmt::format("hand-written loop, {} stores, {}", stores, threads_text()), [=] {
            int64_t count = x.count();
            parallel_parts(parts_of(count), [&](int64_t part, int) {
              int64_t at = part * kPart;
              loop(out.data<float>() + at, x.data<float>() + at, y.data<float>() + at, z.data<float>() + at,
                   std::min(kPart, count - at));
            });
          }};
}

} // namespace

Rival silu_loop(const Tensor& a, const Tensor& b, const Tensor& c, bool streaming) {
  if (!streaming) return vector_loop(loops().silu, "plain", a, b, c);
  if (a.count() % 16) throw error("rival: {} numbers, expected a multiple of 16 for whole lines", a.count());
  return vector_loop(loops().silu_streaming, "streaming", a, b, c);
}
Rival mul_add_loop(const Tensor& a, const Tensor& b, const Tensor& c) {
  return vector_loop(loops().mul_add, "plain", a, b, c);
}

Rival row_loop(const std::string& what, const Tensor& x_in, int64_t group) {
  Tensor x = x_in.dense(), out = touched(x.shape(), DType::f32);
  const int64_t rows = x.shape()[0], n = x.shape()[1], each = std::max<int64_t>(1, kPart / n);
  Tensor w = full({n}, DType::f32, 1.0).dense(); // bytes of 1 would be a number whose products are subnormal
  std::function<void(float*, const float*)> row;
  if (what == "rms_norm")
    row = [=](float* to, const float* from) { loops().rms_norm(to, from, w.data<float>(), n); };
  else if (what == "softmax")
    row = [=](float* to, const float* from) { loops().softmax(to, from, n); };
  else if (what == "fake_quant" && group > 0 && n % group == 0)
    row = [=](float* to, const float* from) { loops().fake_quant(to, from, n, group); };
  else
    throw error("rival: no row loop '{}' for groups of {} in rows of {}", what, group, n);
  return {"hand-written row loop, " + threads_text(), [=] {
            parallel_parts((rows + each - 1) / each, [&](int64_t part, int) {
              for (int64_t r = part * each; r < std::min(rows, (part + 1) * each); ++r)
                row(out.data<float>() + r * n, x.data<float>() + r * n);
            });
          }};
}

Rival read_loop(int64_t bytes) {
  Tensor from = touched({bytes}, DType::u8);
  return {"read loop, " + threads_text(), [=] {
            parallel_parts(parts_of(bytes), [&](int64_t part, int) {
              int64_t at = part * kPart;
              loops().read(from.bytes() + at, std::min(kPart, bytes - at));
            });
          }};
}

Rival copy_loop(int64_t bytes) {
  Tensor from = touched({bytes}, DType::u8), to = touched({bytes}, DType::u8);
  return {"memcpy, " + threads_text(), [=] {
            int64_t each = (bytes + thread_count() - 1) / thread_count();
            parallel_parts(thread_count(), [&](int64_t part, int) {
              int64_t at = std::min(bytes, part * each);
              std::memcpy(to.bytes() + at, from.bytes() + at, size_t(std::min(each, bytes - at)));
            });
          }};
}

Rival raw_products(const std::vector<RawProduct>& sizes, DType dtype) {
  auto weights = std::make_shared<std::vector<PackedWeightsPtr>>();
  int64_t most_in = 1, most_out = 1;
  for (auto& p : sizes) {
    Tensor w = touched({p.n, p.k}, dtype);
    weights->push_back(pack_weights(dtype, dtype, w.bytes(), p.n, p.k, p.k, 1));
    most_in = std::max(most_in, p.m * p.k), most_out = std::max(most_out, p.m * p.n);
  }
  Tensor x = touched({most_in}, dtype), y = touched({most_out}, DType::f32);
  return {fmt::format("{} products, {} threads", sizes.size(), thread_count()), [=] {
            for (size_t i = 0; i < sizes.size(); ++i) {
              auto& p = sizes[i];
              matmul_packed(dtype, x.bytes(), p.m, p.k, *(*weights)[i], y.bytes(), p.f32 ? DType::f32 : dtype,
                            p.n);
            }
          }};
}

} // namespace bench
} // namespace wane
