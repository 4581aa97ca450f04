// Values as Lua sees them: one number, nested lists, equality, and the picture of a tensor.
#include <algorithm>
#include <cmath>
#include <limits>

#include "bindings/wrap_tensor.h"
#include "runtime/flush.h"

namespace wane::lua {
namespace {

int one_item(Args& a) {
  Tensor x = a.tensor("x");
  if (x.count() != 1) throw error("item: {} elements, expected one", x.count()).note("tensor", describe(x));
  push_element(a.L, x, 0);
  return 1;
}

// Pushes the nested lists of dim.. of x at element `at`; returns the element behind them.
int64_t push_nested(lua_State* L, const Tensor& x, int dim, int64_t at) {
  if (dim == x.rank()) {
    if (is_float(x.dtype()))
      lua_pushnumber(L, x.data<double>()[at]);
    else
      lua_pushinteger(L, x.data<int64_t>()[at]);
    return at + 1;
  }
  luaL_checkstack(L, 4, nullptr);
  lua_createtable(L, int(std::min<int64_t>(x.shape()[dim], INT32_MAX)), 0);
  for (int64_t i = 0; i < x.shape()[dim]; ++i) {
    at = push_nested(L, x, dim + 1, at);
    lua_rawseti(L, -2, i + 1);
  }
  return at;
}

int64_t push_flags(lua_State* L, const Tensor& x, int dim, int64_t at) {
  if (dim == x.rank()) return lua_pushboolean(L, x.data<int64_t>()[at] != 0), at + 1;
  luaL_checkstack(L, 4, nullptr);
  lua_createtable(L, int(std::min<int64_t>(x.shape()[dim], INT32_MAX)), 0);
  for (int64_t i = 0; i < x.shape()[dim]; ++i) {
    at = push_flags(L, x, dim + 1, at);
    lua_rawseti(L, -2, i + 1);
  }
  return at;
}

int to_table(Args& a) {
  Tensor x = a.tensor("x");
  Tensor wide = cast(x.flushed(), is_float(x.dtype()) ? DType::f64 : DType::i64).dense();
  if (x.dtype() == DType::boolean)
    push_flags(a.L, wide, 0, 0);
  else
    push_nested(a.L, wide, 0, 0);
  return 1;
}

int is_same(Args& a) {
  Tensor x = a.tensor("x");
  return push_boolean(a.L, same(x, a.tensor("y"))), 1;
}

Method methods[] = {
    {"item", one_item, "() -> number", "The one element."},
    {"totable", to_table, "() -> nested lists", "All elements as Lua numbers."},
    {"same", is_same, "(y) -> true or false", "Whether shape, dtype and all bits are equal."},
};

// -- the picture
// ----------------------------------------------------------------------------------------------
constexpr int64_t kEdge = 3; // rows and columns shown at each end

std::string format_number(double value, DType dtype) {
  if (dtype == DType::boolean) return value != 0 ? "true" : "false";
  if (!is_float(dtype)) return fmt::format("{}", int64_t(value));
  if (std::isnan(value)) return "nan";
  double size = std::abs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e6)) return fmt::format("{:.3e}", value);
  return size >= 1000 ? fmt::format("{:.1f}", value) : fmt::format("{:.4f}", value);
}

// The positions that are shown of a dim; -1 stands for the gap.
std::vector<int64_t> shown(int64_t size) {
  std::vector<int64_t> list;
  bool gap = size > 2 * kEdge + 1;
  for (int64_t i = 0; i < (gap ? kEdge : size); ++i) list.push_back(i);
  if (gap) list.push_back(-1);
  for (int64_t i = size - kEdge; gap && i < size; ++i) list.push_back(i);
  return list;
}

std::string grid(const Tensor& matrix) { // of a flushed matrix
  auto rows = shown(matrix.shape()[0]), columns = shown(matrix.shape()[1]);
  std::vector<std::vector<std::string>> cells(rows.size() + 1);
  cells[0].push_back("");
  for (int64_t c : columns) cells[0].push_back(c < 0 ? "..." : fmt::format("{}", c + 1));
  for (size_t r = 0; r < rows.size(); ++r) {
    auto& line = cells[r + 1];
    line.push_back(rows[r] < 0 ? "..." : fmt::format("{}", rows[r] + 1));
    if (rows[r] < 0) continue;
    for (int64_t c : columns)
      line.push_back(c < 0 ? "..."
                           : format_number(item(matrix, rows[r] * matrix.shape()[1] + c), matrix.dtype()));
  }
  std::vector<size_t> width(columns.size() + 1, 0);
  for (auto& line : cells)
    for (size_t i = 0; i < line.size(); ++i) width[i] = std::max(width[i], line[i].size());
  std::string out;
  for (auto& line : cells) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i)
      text += fmt::format("{}{:>{}}", i ? "  " : "", line[i], width[i]);
    out += text + "\n";
  }
  return out;
}

std::string short_number(double value) { // for lines of prose: 4 digits, whole numbers as they are
  if (value == std::floor(value) && std::abs(value) < 1e6) return fmt::format("{}", int64_t(value));
  return fmt::format("{:.4g}", value);
}

std::string short_list(const Tensor& x) { // few elements on the header's line
  std::string out;
  for (int64_t i = 0; i < x.count(); ++i) {
    double value = item(x, i);
    out +=
        "   "
        + (is_float(x.dtype()) && !std::isnan(value) ? short_number(value) : format_number(value, x.dtype()));
  }
  return out;
}

std::string size_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) bytes /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} B", int64_t(bytes)) : fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string statistics(const Tensor& x) {
  Tensor wide = x.dtype() == DType::f64 ? x : cast(x, DType::f32).flushed();
  Tensor bad = map(Op::isnan, wide);
  auto nans = int64_t(reduce_all(Reduction::sum, cast(bad, DType::i64)));
  Tensor clean = nans ? map(Op::where, bad, full(Shape{}, wide.dtype(), 0.0), wide).flushed() : wide;
  double n = double(x.count() - nans);
  auto extreme = [&](Reduction kind, double otherwise) {
    if (!nans) return reduce_all(kind, wide);
    return reduce_all(kind, map(Op::where, bad, full(Shape{}, wide.dtype(), otherwise), wide));
  };
  if (n == 0) return fmt::format("nan {}", nans);
  double mean = reduce_all(Reduction::sum, clean) / n;
  Tensor off = map(Op::sub, clean, full(Shape{}, clean.dtype(), mean));
  if (nans) off = map(Op::where, bad, full(Shape{}, off.dtype(), 0.0), off);
  double deviation = std::sqrt(reduce_all(Reduction::sumsq, off) / n);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return fmt::format(
      "min {}   max {}   mean {}   std {}   nan {}", short_number(extreme(Reduction::min, kInfinity)),
      short_number(extreme(Reduction::max, -kInfinity)), short_number(mean), short_number(deviation), nans);
}

} // namespace

std::string tensor_header(const Tensor& x) {
  return fmt::format("{} {}", to_string(x.shape()), name_of(x.dtype()));
}

std::string describe_values(const Tensor& given) {
  std::string out = fmt::format("{}   {}   cpu", to_string(given.shape()), name_of(given.dtype()));
  Tensor x = given.dense(); // a source is read once
  if (x.count() <= 8 && (x.rank() < 2 || x.count() == x.shape()[0] || x.count() == x.shape().back()))
    return out + short_list(x);
  out += "   " + size_text(double(x.count()) * double(size_of(x.dtype()))) + "\n";
  if (x.count() == 0) return out.substr(0, out.size() - 1);
  // Above two dims the last matrix of the first of each is shown, and said.
  Tensor matrix = x;
  std::string which;
  while (matrix.rank() > 2) {
    which += fmt::format("{}, ", 1);
    matrix = squeeze(slice(matrix, 0, 0, 1), 0);
  }
  if (!which.empty()) out += fmt::format("at [{{ {}{{}}, {{}} }}]\n", which);
  if (matrix.rank() == 1) matrix = reshape(matrix, {1, matrix.count()});
  return out + grid(matrix) + statistics(x);
}

std::span<Method> reading_methods() { return methods; }

} // namespace wane::lua
