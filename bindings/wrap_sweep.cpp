// What solvers are made of: the column sweep (a quantizer's maps traced once, and the walk over a matrix that
// stdlib/sweep.lua drives) and the second moments of a layer's inputs.
#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"
#include "runtime/gram.h"
#include "runtime/range_search.h"
#include "runtime/sweep.h"

namespace wane::lua {

template <> struct Class<Sweep> { static constexpr const char* name = "sweep"; };
template <> struct Class<Gram> { static constexpr const char* name = "gram"; };
template <> struct Class<SweepQuantizer> { static constexpr const char* name = "sweep quantizer"; };
template <> struct Class<RangeQuantizer> { static constexpr const char* name = "range quantizer"; };

namespace {

constexpr int64_t kPlaceholderRows = 16;

Tensor placeholder(int64_t columns, DType dtype) {
  Tensor out = empty({kPlaceholderRows, columns}, dtype, "traced");
  std::fill_n(out.bytes(), size_t(out.count()) * size_of(dtype), std::byte(0));
  return out;
}

// (function(w, params) -> codes, values; { name = columns }, dtype, bits) -> the traced maps, parameter names
// in order
int trace_maps(Args& a) {
  const int function = a.take(), widths = a.table("params");
  const DType dtype = a.dtype("dtype");
  const int bits = int(a.integer("bits"));
  const Tensor weight = placeholder(1, dtype);
  std::vector<Tensor> params;
  std::vector<std::string> names;
  lua_pushvalue(a.L, function);
  push(a.L, weight);
  lua_newtable(a.L);
  const int table = lua_gettop(a.L);
  for (lua_pushnil(a.L); lua_next(a.L, widths); lua_pop(a.L, 1)) {
    names.emplace_back(lua_tostring(a.L, -2));
    params.push_back(placeholder(lua_tointeger(a.L, -1), DType::f32));
    push(a.L, params.back());
    lua_setfield(a.L, table, names.back().c_str());
  }
  {
    TraceScope tracing;
    lua_call(a.L, 2, 2);
  }
  const int values = lua_gettop(a.L);
  auto result = [&](int index) {
    auto* box = test_object<TensorBox>(a.L, index);
    if (!box) throw error(Fault::internal, "sweep: a traced function gave a {}", type_name(a.L, index));
    return box->value;
  };
  push_object<SweepQuantizer>(a.L, weight, params, result(values - 1), result(values), bits);
  push(a.L, std::span<const std::string>(names));
  return 2;
}

// Calls the function at `function` on placeholders while tracing; the tensors that it gives, nil left out.
std::vector<Tensor> traced_call(Args& a, int function, std::span<const Tensor> given) {
  const int top = lua_gettop(a.L);
  lua_pushvalue(a.L, function);
  for (auto& each : given) push(a.L, each);
  {
    TraceScope tracing;
    lua_call(a.L, int(given.size()), LUA_MULTRET);
  }
  std::vector<Tensor> found;
  for (int i = top + 1; i <= lua_gettop(a.L); i++) {
    if (lua_isnil(a.L, i)) continue;
    auto* box = test_object<TensorBox>(a.L, i);
    if (!box) throw error(Fault::internal, "search_ranges: a traced function gave a {}", type_name(a.L, i));
    found.push_back(box->value);
  }
  lua_settop(a.L, top);
  return found;
}

// (fit, off, beyond or nil, weighed): fit(lo, hi) gives the parameters, then the reach where there is `beyond`; off(x,
// weights, parameters ..) and beyond(x, weights, reach) give what an element's error counts; all f32 [n, 1].
int trace_ranges(Args& a) {
  const int fit = a.take(), off = a.take(), beyond = a.take();
  auto numbers = [] { return placeholder(1, DType::f32); };
  RangeQuantizer out;
  const Tensor ends[] = {numbers(), numbers()};
  const std::vector<Tensor> fitted = traced_call(a, fit, ends);
  out.bounded = !lua_isnoneornil(a.L, beyond);
  out.params = int(fitted.size()) - out.bounded;
  out.fit = TracedMaps("search_ranges: fit", ends, fitted);
  std::vector<Tensor> given{numbers(), numbers()};
  for (int i = 0; i < out.params; i++) given.push_back(numbers());
  out.off = TracedMaps("search_ranges: off", given, traced_call(a, off, given));
  if (out.bounded) {
    const Tensor reach[] = {numbers(), numbers(), numbers()};
    out.beyond = TracedMaps("search_ranges: beyond", reach, traced_call(a, beyond, reach));
  }
  push_object<RangeQuantizer>(a.L, std::move(out));
  return 1;
}

int range_search(Args& a) {
  auto& quantizer = a.object<RangeQuantizer>("maps");
  const Tensor x = a.tensor("x");
  const Tensor weights = a.is_nil() ? (a.skip(), Tensor()) : a.tensor("weights");
  const Tensor lo = a.tensor("lo"), hi = a.tensor("hi");
  const int64_t tries = a.integer("tries");
  return results(a.L, search_ranges(quantizer, x, weights, lo, hi, tries, a.integer("grid")));
}

// 1-based positions as 0-based columns; nothing for nil.
std::vector<int32_t> read_order(Args& a) {
  std::vector<int32_t> order;
  if (a.is_nil()) return a.skip(), order;
  const Tensor given = cast(a.tensor("order"), DType::i32).dense();
  if (given.rank() != 1)
    throw error("sweep: order is {}, expected one position a column", to_string(given.shape()))
        .note("order", describe(given));
  for (int64_t i = 0; i < given.count(); i++) order.push_back(given.data<int32_t>()[i] - 1);
  return order;
}

int begin(Args& a) {
  const Tensor w = a.tensor("w"), u = a.tensor("u");
  std::vector<int32_t> order = read_order(a);
  const Tensor second = a.is_nil() ? (a.skip(), Tensor()) : a.tensor("second");
  push_object<Sweep>(a.L, w, u, second, std::move(order));
  return 1;
}

int next_columns(Args& a) {
  auto& sweep = a.object<Sweep>("sweep");
  return results(a.L, sweep.next_columns(a.integer("count")));
}

// (count, maps, { tensor, ... }, group_columns)
int advance(Args& a) {
  auto& sweep = a.object<Sweep>("sweep");
  const int64_t count = a.integer("count");
  auto& maps = a.object<SweepQuantizer>("maps");
  const int list = a.table("params");
  std::vector<Tensor> params;
  for (lua_Integer i = 1; i <= lua_Integer(lua_rawlen(a.L, list)); i++) {
    lua_rawgeti(a.L, list, i);
    params.push_back(a.to_tensor(lua_gettop(a.L), "params"));
  }
  lua_settop(a.L, a.count());
  sweep.advance(count, maps, params, a.integer("group_columns", 0));
  return 0;
}

int codes(Args& a) { return results(a.L, a.object<Sweep>("sweep").codes()); }
int errors(Args& a) { return results(a.L, a.object<Sweep>("sweep").errors()); }
int losses(Args& a) { return results(a.L, a.object<Sweep>("sweep").row_losses()); }

// The triangle of a Hessian with what is added to its diagonal, which so needs no matrix of its own.
int damped_triangle(Args& a) {
  const Tensor h = a.tensor("h");
  return results(a.L, inverse_upper(h, a.tensor("added")));
}

int reordered(Args& a) {
  const Tensor x = a.tensor("x"), order = a.tensor("order");
  return results(a.L,
                 reorder(x, map(Op::sub, cast(order, DType::i32), full(Shape{}, DType::i32, int64_t(1)))));
}

int make_gram(Args& a) {
  const bool square = a.boolean("square");
  push_object<Gram>(a.L, square, a.boolean("cross"));
  return 1;
}

int gram_add(Args& a) {
  auto& gram = a.object<Gram>("gram");
  const Tensor x = a.tensor("x");
  gram.add(x, a.is_nil() ? (a.skip(), Tensor()) : a.tensor("y"));
  return 0;
}

int gram_square(Args& a) { return results(a.L, a.object<Gram>("gram").square_mean()); }
int gram_cross(Args& a) { return results(a.L, a.object<Gram>("gram").cross_mean()); }
int gram_tokens(Args& a) { return results(a.L, a.object<Gram>("gram").tokens()); }

Method gram_methods[] = {
    {"add", gram_add, "(x [, y])", "Adds tokens: [tokens, channels] of x, and of y for cross products."},
    {"square_mean", gram_square, "() -> tensor", "The mean of x x^T over the tokens, f32."},
    {"cross_mean", gram_cross, "() -> tensor", "The mean of y x^T over the tokens, f32."},
    {"tokens", gram_tokens, "() -> integer", "The number of tokens."},
};

Method methods[] = {
    {"next_columns", next_columns, "(count) -> tensor", "The next columns with all repayments so far."},
    {"advance", advance, "(count, maps, params [, group_columns])", "Codes the next columns."},
    {"codes", codes, "() -> tensor", "u8 codes, in the original order."},
    {"errors", errors, "() -> tensor", "e of each column, in the original order."},
    {"row_losses", losses, "() -> tensor", "Sum of e^2 of each row, f64."},
};

Method functions[] = {
    {"sweep", begin, "(w, u [, order [, second]]) -> sweep", "A sweep over the columns of w, not yet begun."},
    {"sweep_maps", trace_maps, "(function, params, dtype, bits) -> maps, names",
     "A quantizer's encode and decode, traced for the sweep."},
    {"range_maps", trace_ranges, "(fit, off [, beyond]) -> maps",
     "A quantizer's fit to a range and an element's error, traced for search_ranges."},
    {"search_ranges", range_search, "(maps, x, weights, lo, hi, tries, grid) -> tensor",
     "Of p * (lo, hi), p = 1 - i / grid, the p of each row with the least error, [rows, 1]."},
    {"damped_triangle", damped_triangle, "(h, added) -> tensor",
     "u, upper, with u^T u the inverse of h [n, n] with added [n] on its diagonal."},
    {"reorder", reordered, "(x, order) -> tensor", "Rows and columns of x [n, n] in this order, from 1."},
    {"gram", make_gram, "(square, cross) -> gram", "Sums of x x^T, of y x^T or of both over tokens."},
};

} // namespace

void open_sweep(lua_State* L) {
  make_class<Sweep>(L, methods);
  make_class<SweepQuantizer>(L, {});
  make_class<RangeQuantizer>(L, {});
  make_class<Gram>(L, gram_methods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
