// Positions and layout: x[{...}], with, reshape, transposes, expand, tile, split, gather.
#include <numeric>

#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"

namespace wane::lua {
namespace {

std::string key_name(size_t dim) { return fmt::format("dim {}", dim + 1); }

// A 1-based position, negative from the end, as an offset; `size` itself is allowed where `past` says so.
int64_t offset_of(int64_t position, int64_t size, size_t dim) {
  int64_t offset = position < 0 ? size + position : position - 1;
  if (position == 0) throw error("index: position 0 in {}; positions count from 1", key_name(dim));
  if (offset < 0 || offset >= size)
    throw error("index: position {} in {} of size {}", position, key_name(dim), size);
  return offset;
}

void read_range(Args& a, int index, int64_t size, size_t dim, Box& box) {
  auto ends = a.to_integers(index, "range");
  if (ends.empty()) return box.first.push_back(0), box.count.push_back(size);
  if (ends.size() != 2)
    throw error("index: {} has a range of {} numbers, expected {{first, last}} or {{}}", key_name(dim),
                ends.size());
  int64_t first = ends[0] < 0 ? size + ends[0] + 1 : ends[0],
          last = ends[1] < 0 ? size + ends[1] + 1 : ends[1];
  if (first < 1 || last > size || last < first - 1)
    throw error("index: range {{{}, {}}} in {} of size {}", ends[0], ends[1], key_name(dim), size);
  box.first.push_back(first - 1);
  box.count.push_back(last - first + 1);
}

std::vector<int64_t> read_sizes(Args& a) { // a list, or the numbers themselves; -1 is allowed
  if (lua_istable(a.L, a.peek())) return a.integers("sizes");
  std::vector<int64_t> sizes;
  do sizes.push_back(a.integer("sizes"));
  while (a.more());
  return sizes;
}

int reshape_to(Args& a) {
  Tensor x = a.tensor("x");
  check_view(a, x);
  auto sizes = read_sizes(a);
  int64_t known = 1, open = -1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] >= 0) {
      known *= sizes[i];
    } else {
      if (sizes[i] != -1) throw error("reshape: size {} of dim {}", sizes[i], i + 1);
      if (open >= 0) throw error("reshape: more than one size is -1");
      open = int64_t(i);
    }
  }
  if (open >= 0) {
    if (known == 0 || x.count() % known)
      throw error("reshape: {} elements do not divide by {}", x.count(), known).note("tensor", describe(x));
    sizes[size_t(open)] = x.count() / known;
  }
  return results(a.L, reshape(x, Shape(std::span<const int64_t>(sizes))));
}

int expand_to(Args& a) {
  Tensor x = a.tensor("x");
  check_view(a, x);
  auto sizes = read_sizes(a);
  int64_t skip = int64_t(sizes.size()) - x.rank(); // -1 keeps a size
  for (size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] == -1 && int64_t(i) >= skip) sizes[i] = x.shape()[int(int64_t(i) - skip)];
  return results(a.L, expand(x, Shape(std::span<const int64_t>(sizes))));
}

int tile_by(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L, tile(x, Shape(std::span<const int64_t>(read_sizes(a)))));
}

int turn(Args& a) { // t
  Tensor x = a.tensor("x");
  check_view(a, x);
  if (x.rank() < 2) throw error("t: needs at least 2 dims").note("tensor", describe(x));
  return results(a.L, transpose(x, x.rank() - 2, x.rank() - 1));
}

int transpose_dims(Args& a) {
  Tensor x = a.tensor("x");
  check_view(a, x);
  int first = a.dim("d1", x.rank());
  return results(a.L, transpose(x, first, a.dim("d2", x.rank())));
}

int split_parts(Args& a) {
  Tensor x = a.tensor("x");
  check_view(a, x);
  int64_t n = a.integer("n");
  int dim = a.dim("dim", x.rank(), 0);
  int64_t size = x.rank() ? x.shape()[dim] : 0;
  if (n < 1 || x.rank() == 0 || size % n)
    throw error("split: dim {} of size {} has no {} equal parts", dim + 1, size, n)
        .note("tensor", describe(x));
  lua_createtable(a.L, int(n), 0);
  for (int64_t i = 0; i < n; ++i) {
    push(a.L, slice(x, dim, i * (size / n), size / n));
    lua_rawseti(a.L, -2, i + 1);
  }
  return 1;
}

// Positions as Lua gives them, a list or a tensor of integers, counted from 1: as i32 counted from 0.
Tensor read_positions(Args& a) {
  if (!lua_istable(a.L, a.peek())) {
    Tensor given = a.tensor("positions");
    if (is_float(given.dtype()) || given.dtype() == DType::boolean)
      throw error("{}: positions are {}, expected integers", a.method.label(), name_of(given.dtype()));
    return map(Op::sub, cast(given, DType::i32), full(Shape{}, DType::i32, int64_t(1)));
  }
  auto list = a.integers("positions");
  std::vector<int32_t> offsets;
  for (int64_t each : list) {
    if (each < 1 || each > INT32_MAX) throw error("{}: position {}", a.method.label(), each);
    offsets.push_back(int32_t(each - 1));
  }
  return from_bytes({int64_t(offsets.size())}, DType::i32, std::as_bytes(std::span(offsets)));
}

int gather_at(Args& a) {
  Tensor x = a.tensor("x");
  int dim = a.dim("dim", x.rank());
  return results(a.L, gather(x, dim, read_positions(a)));
}

int with_value(Args& a) {
  Tensor x = a.tensor("x");
  Box box = read_box(a, a.take(), x.shape());
  Tensor value = fit_value(a, a.operand("value", x), box);
  return results(a.L, with(x, box.first, box.count, value));
}

Method methods[] = {
    {"reshape", reshape_to, "{ sizes } -> tensor", "The same elements in another shape; one size may be -1.",
     Kind::view},
    {"expand", expand_to, "{ sizes } -> tensor", "Dims of size 1 repeated without a copy; -1 keeps a size.",
     Kind::view},
    {"tile", tile_by, "{ repeats } -> tensor", "The tensor repeated along each dim."},
    {"t", turn, "() -> tensor", "The last two dims exchanged.", Kind::view},
    {"transpose", transpose_dims, "(d1, d2) -> tensor", "Two dims exchanged.", Kind::view},
    {"split", split_parts, "(n [, dim = 1]) -> list of tensors", "n equal parts along a dim.", Kind::view},
    {"gather", gather_at, "(dim, positions) -> tensor",
     "What lies at these positions of a dim: a list picks slices, a tensor of x's rank picks elements."},
    {"with", with_value, "({ rows, cols }, value) -> tensor", "The tensor with other values there."},
};

} // namespace

Shape Box::full() const { return Shape(std::span<const int64_t>(count)); }

Shape Box::kept() const {
  Shape shape;
  for (size_t i = 0; i < count.size(); ++i)
    if (!dropped[i]) shape.push_back(count[i]);
  return shape;
}

Box read_box(Args& a, int index, const Shape& shape) {
  lua_State* L = a.L;
  Box box;
  auto one = [&](size_t dim) { // the entry on top of the stack
    if (int(dim) >= shape.rank())
      throw error("index: {} positions for {} dim{}", dim + 1, shape.rank(), shape.rank() == 1 ? "" : "s")
          .hint("a range stands in braces of its own: x[{ {1, 4} }]");
    int64_t size = shape[int(dim)];
    if (lua_istable(L, -1)) {
      read_range(a, lua_gettop(L), size, dim, box);
      return box.dropped.push_back(false);
    }
    if (!lua_isinteger(L, -1))
      throw error("index: {}: expected a position or a range, got {}", key_name(dim),
                  describe_argument(L, -1));
    box.first.push_back(offset_of(lua_tointeger(L, -1), size, dim));
    box.count.push_back(1);
    box.dropped.push_back(true);
  };
  if (lua_istable(L, index)) {
    auto entries = size_t(lua_rawlen(L, index));
    for (size_t dim = 0; dim < entries; ++dim) {
      lua_rawgeti(L, index, lua_Integer(dim + 1));
      one(dim);
      lua_pop(L, 1);
    }
  } else if (lua_isinteger(L, index)) {
    lua_pushvalue(L, index);
    one(0);
    lua_pop(L, 1);
  } else {
    throw error("index: expected a position or a list of positions, got {}", describe_argument(L, index));
  }
  for (auto dim = int(box.count.size()); dim < shape.rank(); ++dim) {
    box.first.push_back(0);
    box.count.push_back(shape[dim]);
    box.dropped.push_back(false);
  }
  return box;
}

Tensor cut(const Tensor& x, const Box& box) {
  Tensor out = x;
  for (int dim = 0; dim < x.rank(); ++dim)
    if (box.count[size_t(dim)] != x.shape()[dim])
      out = slice(out, dim, box.first[size_t(dim)], box.count[size_t(dim)]);
  for (int dim = x.rank() - 1; dim >= 0; --dim)
    if (box.dropped[size_t(dim)]) out = squeeze(out, dim);
  return out;
}

Tensor fit_value(Args& a, const Tensor& value, const Box& box) {
  Shape kept = box.kept(), wide;
  if (!broadcast(value.shape(), kept, wide) || !(wide == kept))
    throw error("{}: a value of {} for a place of {}", a.method.label(), to_string(value.shape()),
                to_string(kept))
        .note("value", describe(value));
  if (kept.rank() == int(box.count.size()) || value.rank() == 0) return value;
  return reshape(expand(value, kept), box.full());
}

std::span<Method> layout_methods() { return methods; }

} // namespace wane::lua
