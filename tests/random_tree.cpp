#include "tests/random_tree.h"

#include <cmath>

#include "runtime/calls.h"

using namespace wane;
using reference::Array;

namespace {

constexpr DType kLeafTypes[] = {DType::f32, DType::f32, DType::bf16, DType::f16, DType::e4m3, DType::e5m2,
                                DType::f64, DType::i64, DType::i32,  DType::i8,  DType::u8,   DType::boolean,
                                DType::f32, DType::f32, DType::bf16, DType::bf16};
constexpr Reduction kReductions[] = {Reduction::sum, Reduction::sumsq, Reduction::min, Reduction::max,
                                     Reduction::absmax};

Shape leaf_shape(int choice, int64_t rows, int64_t n) {
  switch (choice) {
  case 0: return {rows, n};
  case 1: return {n};
  case 2: return {rows, 1};
  case 3: return {1, n};
  case 4: return {3, rows, n};
  case 5: return {3, 1, 1};
  default: return {};
  }
}

Array drawn(const Line& line, const Shape& shape) {
  std::mt19937 rng(line.seed);
  auto pick = [&](int below) { return int(rng() % uint32_t(below)); };
  static const double kSpecial[] = {0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 1e30, -1e-40, 0.5, 2.5, 65504};
  std::normal_distribution<double> normal(0, 2);
  bool plain = pick(3) > 0; // no special values
  Array out{shape, line.dtype, {}};
  for (int64_t i = 0; i < shape.count(); ++i) {
    reference::Number x;
    if (is_float(line.dtype))
      x.real = reference::rounded(line.dtype, !plain && pick(8) == 0 ? kSpecial[pick(12)] : normal(rng));
    else
      x = reference::converted({0, plain || pick(4) ? pick(40) - 20 : int64_t(uint64_t(rng()) << 32 | rng())},
                               DType::i64, line.dtype);
    out.values.push_back(x);
  }
  return out;
}

// Slices leave out the first element (and the last, where there are enough).
void slice_of(int64_t size, int64_t& first, int64_t& count) {
  first = size > 1;
  count = size - first - (size > 2);
}

Array constant_of(const Line& line) {
  reference::Number x{line.value, int64_t(line.value)};
  if (is_float(line.dtype)) x.real = reference::rounded(line.dtype, line.value);
  return {{}, line.dtype, {x}};
}

Shape expanded_shape(const Shape& shape) {
  Shape out;
  out.push_back(3);
  for (int64_t size : shape) out.push_back(size);
  return out;
}

Array value_of(const Tree& tree, const Line& line, const std::vector<Array>& before) {
  auto arg = [&](int i) -> const Array& { return before[size_t(line.args[i])]; };
  switch (line.kind) {
  case LineKind::leaf: return drawn(line, leaf_shape(line.choice, tree.rows, tree.n));
  case LineKind::literal: return line.contents;
  case LineKind::constant: return constant_of(line);
  case LineKind::map: {
    std::vector<Array> operands;
    for (int i : line.args)
      if (i >= 0) operands.push_back(before[size_t(i)]);
    return reference::map(line.op, operands);
  }
  case LineKind::cast: return reference::cast(arg(0), line.dtype);
  case LineKind::lookup: return reference::lookup(arg(0), arg(1));
  case LineKind::reduce: return reference::reduce(line.reduction, arg(0));
  case LineKind::transpose: {
    int rank = arg(0).shape.rank();
    return reference::transposed(arg(0), line.choice % rank, (line.choice + 1) % rank);
  }
  case LineKind::slice: {
    int dim = line.choice % arg(0).shape.rank();
    int64_t first, count;
    slice_of(arg(0).shape[dim], first, count);
    return reference::sliced(arg(0), dim, first, count);
  }
  case LineKind::expand: return reference::expanded(arg(0), expanded_shape(arg(0).shape));
  }
  throw error(Fault::internal, "a line of kind {}", int(line.kind));
}

Tensor run_line(const Line& line, const Array& value, const std::vector<Tensor>& before) {
  auto arg = [&](int i) -> const Tensor& { return before[size_t(line.args[i])]; };
  switch (line.kind) {
  case LineKind::leaf:
  case LineKind::literal: return reference::tensor_of(value);
  case LineKind::constant:
    return is_float(line.dtype) ? full({}, line.dtype, value.values[0].real)
                                : full({}, line.dtype, value.values[0].whole);
  case LineKind::map: {
    std::vector<Tensor> operands;
    for (int i : line.args)
      if (i >= 0) operands.push_back(before[size_t(i)]);
    return map(line.op, operands);
  }
  case LineKind::cast: return cast(arg(0), line.dtype);
  case LineKind::lookup: return lookup(arg(0), arg(1));
  case LineKind::reduce: return reduce(line.reduction, arg(0), arg(0).rank() - 1);
  case LineKind::transpose:
    return transpose(arg(0), line.choice % arg(0).rank(), (line.choice + 1) % arg(0).rank());
  case LineKind::slice: {
    int dim = line.choice % arg(0).rank();
    int64_t first, count;
    slice_of(arg(0).shape()[dim], first, count);
    return slice(arg(0), dim, first, count);
  }
  case LineKind::expand: return expand(arg(0), expanded_shape(arg(0).shape()));
  }
  throw error(Fault::internal, "a line of kind {}", int(line.kind));
}

class Drawing {
public:
  explicit Drawing(std::mt19937& rng) : rng_(rng) {}

  Tree run() {
    static const int64_t kSizes[] = {1, 2, 3, 7, 16, 17, 31, 64, 100, 255, 256, 257, 600, 2049};
    tree_.rows = 1 + pick(9);
    tree_.n = kSizes[pick(pick(4) ? 9 : 14)];
    if (pick(40) == 0) tree_.n = 5000; // more than one thread's share
    for (int i = 0, leaves = 3 + pick(4); i < leaves; ++i)
      put({.kind = LineKind::leaf,
           .dtype = kLeafTypes[pick(16)],
           .choice = pick(3) ? pick(4) : pick(7),
           .seed = uint32_t(rng_())});
    for (int i = 0, nodes = 4 + pick(21); i < nodes; ++i) node();
    return std::move(tree_);
  }

private:
  int pick(int below) { return int(rng_() % uint32_t(below)); }
  int any() { // mostly what was made last, so that trees are deep
    int count = int(tree_.lines.size());
    return pick(2) ? count - 1 - pick(std::min(count, 4)) : pick(count);
  }
  const Array& value(int line) const { return values_[size_t(line)]; }

  bool put(Line line) {
    try {
      Array value = value_of(tree_, line, values_);
      if (value.count() > 60000) return false;
      tree_.lines.push_back(std::move(line));
      values_.push_back(std::move(value));
      return true;
    } catch (const Error&) {
      return false; // shapes that do not fit, or operands an operation does not take
    }
  }

  Line drawn_line() {
    Line line;
    line.flush = pick(5) == 0;
    line.args[0] = any();
    const Array& x = value(line.args[0]);
    int kind = pick(20);
    if (kind < 2) {
      line.kind = LineKind::cast;
      line.dtype = kLeafTypes[pick(16)];
    } else if (kind < 5 && x.shape.rank() > 0) {
      line.kind = LineKind::reduce;
      int choices[] = {0, 2, 3};
      line.reduction = kReductions[is_float(x.dtype) ? pick(5) : choices[pick(3)]];
    } else if (kind == 5 && x.shape.rank() > 0) {
      line.kind = pick(2) ? LineKind::transpose : LineKind::slice;
      line.choice = pick(3);
    } else if (kind == 6 && x.shape.rank() > 0 && x.shape.rank() < 3) {
      line.kind = LineKind::expand;
    } else if (kind == 7) {
      line.kind = LineKind::constant;
      static const double kValues[] = {0.5, 2, -1, 1e-6, 127, 3, -3.25, 0};
      line.dtype = kLeafTypes[pick(16)];
      line.value = kValues[pick(8)];
      if (!is_float(line.dtype)) line.value = line.dtype == DType::boolean ? pick(2) : pick(7);
    } else if (kind == 8) {
      line.kind = LineKind::lookup;
      line.args[1] = any();
    } else {
      draw_map(line);
    }
    return line;
  }

  void draw_map(Line& line) {
    line.kind = LineKind::map;
    do line.op = Op(pick(int(op_table().size())));
    while (line.op == Op::cast || line.op == Op::lookup);
    static const Op kCommon[] = {Op::add,     Op::sub,     Op::mul,   Op::mul,  Op::div,
                                 Op::maximum, Op::minimum, Op::round, Op::silu, Op::square};
    if (pick(2)) line.op = kCommon[pick(10)];
    for (int i = 1; i < info(line.op).arity; ++i) line.args[i] = any();
    if (info(line.op).arity > 1 && pick(3) == 0) std::swap(line.args[0], line.args[1]);
  }

  void node() {
    for (int attempt = 0; attempt < 20; ++attempt)
      if (Line line = drawn_line(); allowed(line) && put(line)) return;
  }

  bool allowed(const Line& line) const {
    if (line.kind == LineKind::lookup) {
      const Array& table = value(line.args[1]);
      return table.shape.rank() == 1 && table.count() <= 256 && table.dtype != DType::i64;
    }
    if (line.kind != LineKind::map) return true;
    for (int i : line.args)
      if (i >= 0 && info(line.op).rule == ResultRule::integer && is_float(value(i).dtype)) return false;
    return true;
  }

  std::mt19937& rng_;
  Tree tree_;
  std::vector<Array> values_;
};

// Only what the last line needs, renumbered.
Tree trimmed(const Tree& tree) {
  std::vector<int> place(tree.lines.size(), -1);
  place.back() = 0;
  for (size_t i = tree.lines.size(); i-- > 0;)
    for (int arg : tree.lines[i].args)
      if (place[i] >= 0 && arg >= 0) place[size_t(arg)] = 0;
  Tree out{tree.rows, tree.n, {}};
  for (size_t i = 0; i < tree.lines.size(); ++i) {
    if (place[i] < 0) continue;
    place[i] = int(out.lines.size());
    out.lines.push_back(tree.lines[i]);
    for (int& arg : out.lines.back().args)
      if (arg >= 0) arg = place[size_t(arg)];
  }
  return out;
}

bool replace_if_fails(Tree& tree, Tree smaller, const Fails& fails) {
  smaller = trimmed(smaller);
  try {
    if (!fails(smaller)) return false;
  } catch (const Error&) {
    return false; // a tree that does not fit together
  }
  tree = std::move(smaller);
  return true;
}

bool shrink_sizes(Tree& tree, const Fails& fails) {
  for (auto [rows, n] : {std::pair<int64_t, int64_t>{1, 1},
                         {1, 2},
                         {1, tree.n},
                         {1, tree.n / 2},
                         {2, 2},
                         {tree.rows / 2, tree.n},
                         {tree.rows, tree.n / 2},
                         {tree.rows, tree.n - 1}}) {
    Tree smaller = tree;
    smaller.rows = rows, smaller.n = n;
    if (rows >= 1 && n >= 1 && rows * n < tree.rows * tree.n && replace_if_fails(tree, smaller, fails))
      return true;
  }
  return false;
}

bool shrink_lines(Tree& tree, const Fails& fails) {
  for (size_t i = tree.lines.size(); i-- > 0;) { // an earlier node as the result
    Tree smaller = tree;
    smaller.lines.resize(i + 1);
    if (i + 1 < tree.lines.size() && replace_if_fails(tree, smaller, fails)) return true;
  }
  for (size_t i = 0; i < tree.lines.size(); ++i) // a node's operand in place of the node
    for (int arg : tree.lines[i].args) {
      if (arg < 0) continue;
      Tree smaller = tree;
      for (auto& line : smaller.lines)
        for (int& other : line.args)
          if (other == int(i)) other = arg;
      if (trimmed(smaller).lines.size() < tree.lines.size() && replace_if_fails(tree, smaller, fails))
        return true;
    }
  for (size_t i = 0; i < tree.lines.size(); ++i)
    if (tree.lines[i].flush) {
      Tree smaller = tree;
      smaller.lines[i].flush = false;
      if (replace_if_fails(tree, smaller, fails)) return true;
    }
  return false;
}

bool shrink_to_literals(Tree& tree, const Fails& fails) {
  std::vector<Array> values = values_of(tree);
  for (size_t i = tree.lines.size() - 1; i-- > 0;) {
    Line& line = tree.lines[i];
    if (line.kind == LineKind::literal || line.kind == LineKind::leaf || line.kind == LineKind::constant)
      continue;
    Tree smaller = tree;
    smaller.lines[i] = {.kind = LineKind::literal, .dtype = values[i].dtype, .contents = values[i]};
    if (trimmed(smaller).lines.size() < tree.lines.size() && replace_if_fails(tree, smaller, fails))
      return true;
  }
  return false;
}

// -- as Lua
// ----------------------------------------------------------------------------------------------------
std::string number_text(DType dtype, reference::Number x) {
  if (dtype == DType::boolean) return x.whole ? "true" : "false";
  if (!is_float(dtype)) return x.whole == INT64_MIN ? "math.mininteger" : fmt::format("{}", x.whole);
  if (x.real != x.real) return "0/0";
  if (std::isinf(x.real)) return x.real > 0 ? "math.huge" : "-math.huge";
  std::string text = fmt::format("{}", x.real);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string nested_text(const Array& a, int dim, int64_t& at) {
  if (dim == a.shape.rank()) return number_text(a.dtype, a.values[size_t(at++)]);
  std::string out = "{";
  for (int64_t i = 0; i < a.shape[dim]; ++i) out += (i ? ", " : " ") + nested_text(a, dim + 1, at);
  return out + " }";
}

std::string tensor_text(const Array& a) {
  int64_t at = 0;
  if (a.shape.rank() == 0)
    return fmt::format("wane.full({{}}, {}, {{ dtype = \"{}\" }})", number_text(a.dtype, a.values[0]),
                       name_of(a.dtype));
  return fmt::format("wane.tensor({}, {{ dtype = \"{}\" }})", nested_text(a, 0, at), name_of(a.dtype));
}

std::string map_text(Op op, const std::vector<std::string>& x) {
  static const std::pair<Op, const char*> kSigns[] = {{Op::add, "+"}, {Op::sub, "-"}, {Op::mul, "*"},
                                                      {Op::div, "/"}, {Op::mod, "%"}, {Op::pow, "^"}};
  for (auto& [which, sign] : kSigns)
    if (op == which) return fmt::format("{} {} {}", x[0], sign, x[1]);
  if (op == Op::where) return fmt::format("wane.where({}, {}, {})", x[0], x[1], x[2]);
  return fmt::format("{}:{}({})", x[0], info(op).name, x.size() > 1 ? x[1] : "");
}

std::string slice_text(const Shape& shape, int choice) {
  std::string out;
  for (int d = 0; d < shape.rank(); ++d) {
    int64_t first, count;
    slice_of(shape[d], first, count);
    out += d ? ", " : "";
    out += d == choice % shape.rank() ? fmt::format("{{ {}, {} }}", first + 1, first + count) : "{}";
  }
  return out;
}

std::string line_text(const Line& line, const Array& value, const std::vector<Array>& values) {
  std::vector<std::string> x;
  for (int arg : line.args)
    if (arg >= 0) x.push_back(fmt::format("t{}", arg + 1));
  switch (line.kind) {
  case LineKind::map: return map_text(line.op, x);
  case LineKind::cast: return fmt::format("{}:to \"{}\"", x[0], name_of(line.dtype));
  case LineKind::lookup: return fmt::format("{}:lookup({})", x[0], x[1]);
  case LineKind::reduce:
    return fmt::format("{}:{}(-1)", x[0],
                       line.reduction == Reduction::sumsq ? "square():sum" : name_of(line.reduction));
  case LineKind::transpose: {
    int rank = value.shape.rank();
    return fmt::format("{}:transpose({}, {})", x[0], line.choice % rank + 1, (line.choice + 1) % rank + 1);
  }
  case LineKind::slice:
    return fmt::format("{}[{{ {} }}]", x[0], slice_text(values[size_t(line.args[0])].shape, line.choice));
  case LineKind::expand: {
    Shape shape = value.shape;
    return fmt::format("{}:expand {{ {} }}", x[0], fmt::join(shape.begin(), shape.end(), ", "));
  }
  default: return tensor_text(value);
  }
}

} // namespace

Tree random_tree(std::mt19937& rng) { return Drawing(rng).run(); }

std::vector<Array> values_of(const Tree& tree) {
  std::vector<Array> values;
  for (auto& line : tree.lines) values.push_back(value_of(tree, line, values));
  return values;
}

std::string failure_of(const Tree& tree, const std::vector<Array>& want) {
  std::vector<Tensor> nodes;
  try {
    for (size_t i = 0; i < tree.lines.size(); ++i) {
      nodes.push_back(run_line(tree.lines[i], want[i], nodes));
      if (tree.lines[i].flush) nodes.back().flushed();
    }
    for (size_t i = nodes.size(); i-- > 0;)
      if (std::string problem = reference::difference(nodes[i], want[i]); !problem.empty())
        return fmt::format("t{}: {}", i + 1, problem);
  } catch (const Error& e) {
    return e.text();
  }
  return "";
}

std::string failure_of(const Tree& tree) { return failure_of(tree, values_of(tree)); }

Tree shrunk(Tree tree, const Fails& fails) {
  while (shrink_lines(tree, fails) || shrink_sizes(tree, fails)) {
  }
  while (shrink_to_literals(tree, fails) || shrink_lines(tree, fails)) {
  }
  return tree;
}

std::string lua_of(const Tree& tree) {
  std::vector<Array> values = values_of(tree);
  std::string out;
  for (size_t i = 0; i < tree.lines.size(); ++i)
    out += fmt::format("local t{} = {}{}\n", i + 1, line_text(tree.lines[i], values[i], values),
                       tree.lines[i].flush ? " -- computed at once" : "");
  return out + fmt::format("print(t{}:totable())\n", tree.lines.size());
}
