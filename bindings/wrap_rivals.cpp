// What `wane bench` divides by, as values with run() and a description (runtime/bench/rivals.h).
#include "bindings/host.h"
#include "runtime/bench/rivals.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"

namespace wane::lua {

struct RivalBox {
  bench::Rival value;
};
template <> struct Class<RivalBox> { static constexpr const char* name = "rival"; };

namespace {

int give(Args& a, bench::Rival rival) {
  push_object<RivalBox>(a.L, std::move(rival));
  return 1;
}

int silu(Args& a) {
  Tensor x = a.tensor("a"), y = a.tensor("b"), z = a.tensor("c");
  return give(a, bench::silu_loop(x, y, z, a.boolean("streaming")));
}
int mul_add(Args& a) {
  Tensor x = a.tensor("a"), y = a.tensor("b");
  return give(a, bench::mul_add_loop(x, y, a.tensor("c")));
}
int rows(Args& a) {
  auto what = std::string(a.string("what"));
  Tensor x = a.tensor("x");
  return give(a, bench::row_loop(what, x, a.integer("group", 0)));
}
int read(Args& a) { return give(a, bench::read_loop(a.integer("bytes"))); }
int copy(Args& a) { return give(a, bench::copy_loop(a.integer("bytes"))); }
int direct(Args& a) {
  Tensor x = a.tensor("x"), w = a.tensor("w");
  return give(a, bench::direct_matmul(x, w, a.boolean("packed")));
}
int lapack(Args& a) {
  Tensor x = a.tensor("x");
  auto rival = bench::lapack_cholesky(x, a.boolean("invert"));
  if (rival) return give(a, std::move(*rival));
  lua_pushnil(a.L);
  return 1;
}
int gptq(Args& a) {
  const Tensor w = a.tensor("w");
  return give(a, bench::gptq_solve(w, a.tensor("h")));
}
// products({ m1, n1, k1, f32_1, m2, n2, k2, f32_2, ... }, dtype); f32: 1 for a result in f32
int products(Args& a) {
  auto flat = a.integers("sizes");
  if (flat.size() % 4) throw error("rival_products: {} numbers, expected m, n, k, f32 of each", flat.size());
  std::vector<bench::RawProduct> sizes;
  for (size_t i = 0; i < flat.size(); i += 4)
    sizes.push_back({flat[i], flat[i + 1], flat[i + 2], flat[i + 3] != 0});
  return give(a, bench::raw_products(sizes, a.dtype("dtype")));
}

int run(Args& a) {
  a.object<RivalBox>("rival").value.run();
  return 0;
}
int describe(Args& a) { return results(a.L, std::string_view(a.object<RivalBox>("rival").value.describe)); }

int machine(Args& a) {
  return results(a.L, std::string_view(fmt::format("{}, {}, {} threads", cpu_model_name(),
                                                   name_of(isa_level()), thread_count())));
}

Method methods[] = {
    {"run", run, "()", "Runs it once."},
    {"describe", describe, "() -> string", "Implementation and threads."},
};
Method functions[] = {
    {"rival_silu", silu, "(a, b, c, streaming) -> rival",
     "silu(a) * b + 0.5 c in one hand-written loop, with plain stores or past the caches."},
    {"rival_mul_add", mul_add, "(a, b, c) -> rival", "a*b + c in one hand-written loop."},
    {"rival_rows", rows, "(what, x [, group]) -> rival", "A hand-written loop over the rows of x."},
    {"rival_read", read, "(bytes) -> rival", "A loop that reads memory."},
    {"rival_copy", copy, "(bytes) -> rival", "memcpy."},
    {"rival_matmul", direct, "(x, w, packed) -> rival", "x [m, k] by w [n, k] with oneDNN called directly."},
    {"rival_lapack", lapack, "(x, invert) -> rival or nil",
     "LAPACK's Cholesky of x, then the inverse of its factor; nil where OpenBLAS is not installed."},
    {"rival_gptq", gptq, "(w, h) -> rival", "A GPTQ solve by the same calls without Lua."},
    {"rival_products", products, "(sizes, dtype) -> rival", "Our tiles on packed weights, back to back."},
    {"machine", machine, "() -> string", "CPU, level and threads, for a printed figure."},
};

} // namespace

void open_rivals(lua_State* L) {
  set_methods(L, functions, false);
  make_class<RivalBox>(L, methods);
}

} // namespace wane::lua
