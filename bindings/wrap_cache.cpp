// The cache of keys and values, and attention over it.
#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"
#include "runtime/kv_cache.h"

namespace wane::lua {

struct CacheBox {
  std::shared_ptr<KvCache> value;
};
template <> struct Class<CacheBox> { static constexpr const char* name = "cache"; };

namespace {

constexpr int64_t kMostSamples = 1 << 20;

KvCache& cache_of(Args& a, const char* name = "cache") {
  auto& box = a.object<CacheBox>(name);
  if (!box.value) throw error("{}: the cache was freed", a.method.label());
  return *box.value;
}

int make_cache(Args& a) {
  int64_t samples = a.integer("samples");
  if (samples < 1 || samples > kMostSamples)
    throw error("cache: {} samples, expected 1 to {}", samples, kMostSamples);
  push_object<CacheBox>(a.L, std::make_shared<KvCache>(samples));
  return 1;
}

int positions(Args& a) {
  auto& cache = cache_of(a);
  std::vector<int64_t> list;
  for (int64_t i = 0; i < cache.samples(); ++i) list.push_back(cache.position(i));
  return results(a.L, std::span<const int64_t>(list));
}

int advance(Args& a) {
  auto& cache = cache_of(a);
  int64_t tokens = a.integer("tokens");
  if (tokens < 0) throw error("advance: {} tokens", tokens);
  cache.advance(tokens);
  return 0;
}

int64_t sample_number(const char* who, int64_t number, int64_t samples) {
  if (number < 1 || number > samples) throw error("{}: sample {} of {}", who, number, samples);
  return number - 1;
}

int rewind_to(Args& a) {
  auto& cache = cache_of(a);
  int64_t sample = sample_number("rewind", a.integer("sample"), cache.samples());
  int64_t position = a.integer("position");
  if (position < 0 || position > cache.position(sample))
    throw error("rewind: position {} of a sample with {}", position, cache.position(sample));
  cache.rewind(sample, position);
  return 0;
}

int subset(Args& a) {
  auto& cache = cache_of(a);
  auto samples = a.integers("samples");
  for (int64_t& sample : samples) sample = sample_number("subset", sample, cache.samples());
  push_object<CacheBox>(a.L, cache.subset(samples));
  return 1;
}

int release(Args& a) {
  auto& box = a.object<CacheBox>("cache");
  a.take_all();
  if (box.value) box.value->release();
  box.value.reset();
  return 0;
}

Method methods[] = {
    {"positions", positions, "() -> list", "Tokens kept, per sample."},
    {"advance", advance, "(tokens)", "Moves all positions on."},
    {"rewind", rewind_to, "(sample, position)", "Forgets what came after a position."},
    {"subset", subset, "(samples) -> cache", "A cache of some samples; it shares their state."},
    {"free", release, "()", "Lets go of the memory now."},
};

int index(Args& a) {
  lua_State* L = a.L;
  auto& box = a.object<CacheBox>("cache");
  auto name = std::string(a.string("field"));
  for (auto& method : methods)
    if (name == method.name) return push_method(L, method), 1;
  if (name == "samples") return results(L, box.value ? box.value->samples() : int64_t(0));
  if (name == "bytes") return results(L, box.value ? int64_t(box.value->bytes()) : int64_t(0));
  return lua_pushnil(L), 1;
}

Method metamethods[] = {
    {"__index", index, "", "", Kind::plain},
    {"__close", release, "", "", Kind::plain},
};

KvCache* maybe_cache(Args& a) {
  if (!a.is_nil()) return &cache_of(a);
  a.skip();
  return nullptr;
}

int attend_with(Args& a) {
  KvCache* cache = maybe_cache(a);
  auto layer = std::string(a.string("layer"));
  Tensor q = a.tensor("q"), k = a.tensor("k"), v = a.tensor("v");
  int64_t window = a.integer("window", 0);
  return results(a.L, attend(cache, layer, q, k, v, window, a.number("scale")));
}

int attend_turned_with(Args& a) {
  KvCache* cache = maybe_cache(a);
  auto layer = std::string(a.string("layer"));
  Tensor q = a.tensor("q"), k = a.tensor("k"), v = a.tensor("v"), freqs = a.tensor("freqs");
  int64_t window = a.integer("window", 0);
  return results(a.L, attend_turned(cache, layer, q, k, v, freqs, window, a.number("scale")));
}

Method functions[] = {
    {"cache", make_cache, "(samples) -> cache", "Keys and values of a batch, empty."},
    {"attend", attend_with, "(cache or nil, layer, q, k, v, window, scale) -> tensor",
     "Causal attention over [batch, tokens, heads, dim], keeping k and v; window 0: all that came before."},
    {"attend_turned", attend_turned_with, "(cache or nil, layer, q, k, v, freqs, window, scale) -> tensor",
     "The same of [batch, tokens, heads * dim], after rope of q and k at the cache's positions."},
};

} // namespace

void open_cache(lua_State* L) {
  for (auto& method : methods) method.is_method = true;
  make_class<CacheBox>(L, {}, metamethods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
