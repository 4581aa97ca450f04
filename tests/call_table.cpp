#include "tests/call_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/calls.h"

namespace calls {

using namespace wane;

namespace {

// f on each line of x along `dim`: it gets the line and gives another, of any one length.
Plain along(const Plain& x, int dim, int64_t length,
            const std::function<std::vector<double>(const std::vector<double>&)>& f) {
  Shape shape = x.shape;
  shape[dim] = length;
  Plain out(shape);
  int64_t n = x.shape[dim], inner = 1, outer = 1;
  for (int d = 0; d < dim; ++d) outer *= x.shape[d];
  for (int d = dim + 1; d < x.shape.rank(); ++d) inner *= x.shape[d];
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      std::vector<double> line;
      for (int64_t k = 0; k < n; ++k) line.push_back(x.v[size_t((o * n + k) * inner + i)]);
      auto y = f(line);
      for (int64_t k = 0; k < length; ++k) out.v[size_t((o * length + k) * inner + i)] = y[size_t(k)];
    }
  return out;
}

std::vector<int64_t> order_of(const std::vector<double>& x, bool descending) {
  std::vector<int64_t> at(x.size());
  std::iota(at.begin(), at.end(), 0);
  std::stable_sort(at.begin(), at.end(), [&](int64_t a, int64_t b) {
    return descending ? x[size_t(a)] > x[size_t(b)] : x[size_t(a)] < x[size_t(b)];
  });
  return at;
}

double fold(Reduction kind, const std::vector<double>& x) {
  double y = kind == Reduction::prod || kind == Reduction::all ? 1 : 0;
  int64_t best = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (kind == Reduction::argmax ? x[i] > x[size_t(best)] : x[i] < x[size_t(best)]) best = int64_t(i);
    switch (kind) {
    case Reduction::sum: y += x[i]; break;
    case Reduction::sumsq: y += x[i] * x[i]; break;
    case Reduction::prod: y *= x[i]; break;
    case Reduction::any: y = y != 0 || x[i] != 0; break;
    case Reduction::all: y = y != 0 && x[i] != 0; break;
    case Reduction::min: y = i ? std::min(y, x[i]) : x[i]; break;
    case Reduction::max: y = i ? std::max(y, x[i]) : x[i]; break;
    case Reduction::absmax: y = std::max(y, std::abs(x[i])); break;
    default: y = double(best);
    }
  }
  return y;
}

Plain product(const Plain& x, const Plain& y) { // of matrices
  Plain out({x.shape[0], y.shape[1]});
  for (int64_t i = 0; i < x.shape[0]; ++i)
    for (int64_t k = 0; k < x.shape[1]; ++k)
      for (int64_t j = 0; j < y.shape[1]; ++j) out(i, j) += x(i, k) * y(k, j);
  return out;
}
Plain turned(const Plain& x) {
  Plain out({x.shape[1], x.shape[0]});
  for (int64_t i = 0; i < x.shape[0]; ++i)
    for (int64_t j = 0; j < x.shape[1]; ++j) out(j, i) = x(i, j);
  return out;
}
Plain lower_factor(const Plain& a) {
  Plain l(a.shape);
  for (int64_t j = 0; j < a.shape[0]; ++j)
    for (int64_t i = j; i < a.shape[0]; ++i) {
      double s = a(i, j);
      for (int64_t k = 0; k < j; ++k) s -= l(i, k) * l(j, k);
      l(i, j) = i == j ? std::sqrt(s) : s / l(j, j);
    }
  return l;
}
Plain solved(const Plain& t, const Plain& b, bool upper) { // t triangular
  Plain x = b;
  int64_t n = t.shape[0];
  for (int64_t step = 0; step < n; ++step) {
    int64_t i = upper ? n - 1 - step : step;
    for (int64_t c = 0; c < b.shape[1]; ++c) {
      double s = x(i, c);
      for (int64_t k = upper ? i + 1 : 0; k < (upper ? n : i); ++k) s -= t(i, k) * x(k, c);
      x(i, c) = s / t(i, i);
    }
  }
  return x;
}
Plain identity(int64_t n) {
  Plain out({n, n});
  for (int64_t i = 0; i < n; ++i) out(i, i) = 1;
  return out;
}
Plain positive_solved(const Plain& a, const Plain& b) {
  Plain l = lower_factor(a);
  return solved(turned(l), solved(l, b, false), true);
}

std::vector<double> hadamard_line(const std::vector<double>& x) { // a power of two
  std::vector<double> y = x;
  for (size_t h = 1; h < y.size(); h *= 2)
    for (size_t i = 0; i < y.size(); i += 2 * h)
      for (size_t j = i; j < i + h; ++j) {
        double a = y[j], b = y[j + h];
        y[j] = a + b, y[j + h] = a - b;
      }
  for (double& v : y) v /= std::sqrt(double(y.size()));
  return y;
}

// -- the table
// --------------------------------------------------------------------------------------------------
void add_reductions(std::vector<Call>& all) {
  struct Row {
    Reduction kind;
    Gives gives;
    double tolerance;
  };
  const Row kRows[] = {{Reduction::sum, Gives::wide, 2e-6},  {Reduction::sumsq, Gives::wide, 2e-6},
                       {Reduction::prod, Gives::wide, 2e-6}, {Reduction::min, Gives::reduced, 0},
                       {Reduction::max, Gives::reduced, 0},  {Reduction::absmax, Gives::reduced, 0},
                       {Reduction::any, Gives::boolean, 0},  {Reduction::all, Gives::boolean, 0},
                       {Reduction::argmax, Gives::i64, 0},   {Reduction::argmin, Gives::i64, 0}};
  for (auto& row : kRows)
    for (int dim : {0, 1, 2}) {
      Call call;
      call.name = fmt::format("{} along dim {}", name_of(row.kind), dim + 1);
      call.shapes = {{3, 19, 33}};
      if (row.kind == Reduction::prod) call.shapes = {{3, 5, 4}};
      call.gives = row.gives, call.tolerance = row.tolerance;
      Reduction kind = row.kind;
      call.run = [=](auto& x) { return reduce(kind, x[0], dim); };
      call.want = [=](auto& x) {
        return along(x[0], dim, 1, [=](auto& line) { return std::vector<double>{fold(kind, line)}; });
      };
      call.empties = {{{3, 19, 33}}};
      call.empties[0][0][(dim + 1) % 3] = 0;
      if (row.kind == Reduction::sum || row.kind == Reduction::all) {
        call.empties.push_back({{3, 19, 33}});
        call.empties[1][0][dim] = 0;
      }
      all.push_back(call);
    }
}

void add_along(std::vector<Call>& all) {
  for (int dim : {0, 1}) {
    const Shape shape = dim ? Shape{70, 64} : Shape{64, 70};
    const std::vector<std::vector<Shape>> none = {{dim ? Shape{0, 64} : Shape{64, 0}}};
    auto add = [&](const char* name, Takes takes, Gives gives, double tolerance, int64_t length, auto run,
                   auto line) {
      Call call{
          fmt::format("{} along dim {}", name, dim + 1), {shape}, takes, gives, tolerance, {}, {}, none};
      call.run = [=](auto& x) { return run(x[0]); };
      call.want = [=](auto& x) { return along(x[0], dim, length, line); };
      all.push_back(call);
    };
    using List = std::vector<double>;
    auto picked = [](const List& x, bool descending, bool values, size_t count) {
      List out;
      for (int64_t at : order_of(x, descending)) out.push_back(values ? x[size_t(at)] : double(at));
      out.resize(count);
      return out;
    };
    add(
        "cumsum", Takes::all, Gives::wide, 2e-6, 64, [=](auto& x) { return cumsum(x, dim); },
        [](const List& x) {
          List y(x.size());
          std::partial_sum(x.begin(), x.end(), y.begin());
          return y;
        });
    add(
        "sort", Takes::all, Gives::same, 0, 64, [=](auto& x) { return sort(x, dim).first; },
        [=](const List& x) { return picked(x, false, true, 64); });
    add(
        "argsort", Takes::all, Gives::i32, 0, 64, [=](auto& x) { return sort(x, dim, true).second; },
        [=](const List& x) { return picked(x, true, false, 64); });
    add(
        "topk", Takes::all, Gives::same, 0, 7, [=](auto& x) { return topk(x, 7, dim).first; },
        [=](const List& x) { return picked(x, true, true, 7); });
    add(
        "positions of topk", Takes::all, Gives::i32, 0, 7, [=](auto& x) { return topk(x, 7, dim).second; },
        [=](const List& x) { return picked(x, true, false, 7); });
    add(
        "quantile", Takes::all, Gives::f32_or_f64, 2e-7, 1, [=](auto& x) { return quantile(x, 0.3, dim); },
        [=](const List& x) {
          List y = picked(x, false, true, 64);
          double at = 0.3 * 63;
          size_t low = size_t(at);
          return List{y[low] + (at - double(low)) * (y[low + 1] - y[low])};
        });
    add(
        "flip", Takes::all, Gives::same, 0, 64, [=](auto& x) { return flip(x, dim); },
        [](const List& x) { return List(x.rbegin(), x.rend()); });
    add(
        "hadamard", Takes::floats, Gives::same, 1e-6, 64, [=](auto& x) { return hadamard(x, dim); },
        hadamard_line);
    auto shares = [](const List& x) {
      double top = *std::max_element(x.begin(), x.end()), total = 0;
      for (double v : x) total += std::exp(v - top);
      List y;
      for (double v : x) y.push_back(std::exp(v - top) / total);
      return y;
    };
    add(
        "softmax", Takes::all, Gives::real, 2e-6, 64, [=](auto& x) { return softmax(x, dim); }, shares);
    add(
        "logsumexp", Takes::all, Gives::f32_or_f64, 2e-6, 1, [=](auto& x) { return logsumexp(x, dim); },
        [=](const List& x) { return List{x[0] - std::log(shares(x)[0])}; });
  }
}

void add_layout(std::vector<Call>& all) {
  auto joined = [](const Plain& x, const Plain& y) {
    Plain out({x.shape[0], x.shape[1] + y.shape[1]});
    for (int64_t i = 0; i < x.shape[0]; ++i)
      for (int64_t j = 0; j < out.shape[1]; ++j) out(i, j) = j < x.shape[1] ? x(i, j) : y(i, j - x.shape[1]);
    return out;
  };
  all.push_back({"concat",
                 {{7, 5}, {7, 3}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) { return concat(x, 1); },
                 [=](auto& x) { return joined(x[0], x[1]); },
                 {{{7, 0}, {7, 3}}, {{0, 5}, {0, 3}}, {{7, 0}, {7, 0}}}});
  all.push_back({"tile",
                 {{3, 5}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) {
                   return tile(x[0], {2, 3});
                 },
                 [](auto& x) {
                   Plain out({2 * x[0].shape[0], 3 * x[0].shape[1]});
                   for (int64_t i = 0; i < out.shape[0]; ++i)
                     for (int64_t j = 0; j < out.shape[1]; ++j)
                       out(i, j) = x[0](i % x[0].shape[0], j % x[0].shape[1]);
                   return out;
                 },
                 {{{0, 5}}, {{3, 0}}}});
  all.push_back({"gather",
                 {{6, 9}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) {
                   const int32_t at[] = {5, 0, 5, 3};
                   return gather(x[0], 0, from_bytes({4}, DType::i32, std::as_bytes(std::span(at))));
                 },
                 [](auto& x) {
                   Plain out({4, x[0].shape[1]});
                   const int64_t at[] = {5, 0, 5, 3};
                   for (int64_t i = 0; i < 4; ++i)
                     for (int64_t j = 0; j < out.shape[1]; ++j) out(i, j) = x[0](at[i], j);
                   return out;
                 },
                 {{{6, 0}}}});
  all.push_back({"embedding",
                 {{11, 6}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) {
                   const int32_t at[] = {10, 0, 4};
                   return embedding(from_bytes({3}, DType::i32, std::as_bytes(std::span(at))), x[0]);
                 },
                 [](auto& x) {
                   Plain out({3, x[0].shape[1]});
                   const int64_t at[] = {10, 0, 4};
                   for (int64_t i = 0; i < 3; ++i)
                     for (int64_t j = 0; j < out.shape[1]; ++j) out(i, j) = x[0](at[i], j);
                   return out;
                 },
                 {{{11, 0}}}});
  all.push_back({"with",
                 {{6, 9}, {2, 1}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) {
                   const int64_t first[] = {3, 1}, count[] = {2, 4};
                   return with(x[0], first, count, x[1]);
                 },
                 [](auto& x) {
                   Plain out = x[0];
                   for (int64_t i = 3; i < 5; ++i)
                     for (int64_t j = 1; j < 5; ++j) out(i, j) = x[1](i - 3, 0);
                   return out;
                 },
                 {}});
  all.push_back({"diag of a matrix",
                 {{6, 9}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) { return diag(x[0]); },
                 [](auto& x) {
                   Plain out({std::min(x[0].shape[0], x[0].shape[1])});
                   for (int64_t i = 0; i < out.shape[0]; ++i) out.v[size_t(i)] = x[0](i, i);
                   return out;
                 },
                 {{{0, 9}}}});
  all.push_back({"diag of a vector",
                 {{7}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) { return diag(x[0]); },
                 [](auto& x) {
                   Plain out({x[0].shape[0], x[0].shape[0]});
                   for (int64_t i = 0; i < out.shape[0]; ++i) out(i, i) = x[0].v[size_t(i)];
                   return out;
                 },
                 {{{0}}}});
  all.push_back({"reshape",
                 {{6, 4}},
                 Takes::all,
                 Gives::same,
                 0,
                 [](auto& x) {
                   return reshape(x[0], {x[0].count() / 4, 2, 2});
                 },
                 [](auto& x) {
                   Plain out = x[0];
                   out.shape = {x[0].shape[0], 2, 2};
                   return out;
                 },
                 {{{0, 4}}}});
}

void add_products(std::vector<Call>& all) {
  all.push_back({"matmul",
                 {{33, 70}, {70, 45}},
                 Takes::products,
                 Gives::same,
                 4e-6,
                 [](auto& x) { return matmul(x[0], x[1]); },
                 [](auto& x) { return product(x[0], x[1]); },
                 {{{0, 70}, {70, 45}}, {{33, 70}, {70, 0}}, {{33, 0}, {0, 45}}}});
  all.push_back({"linear",
                 {{33, 70}, {45, 70}},
                 Takes::products,
                 Gives::same,
                 4e-6,
                 [](auto& x) { return linear(x[0], x[1]); },
                 [](auto& x) { return product(x[0], turned(x[1])); },
                 {{{0, 70}, {45, 70}}, {{33, 70}, {0, 70}}}});
  all.push_back({"rms_norm",
                 {{9, 70}, {70}},
                 Takes::all,
                 Gives::real,
                 4e-6,
                 [](auto& x) { return rms_norm(x[0], x[1], 1e-5); },
                 [](auto& x) {
                   return along(x[0], 1, x[0].shape[1], [&](const std::vector<double>& line) {
                     double square = 0;
                     for (double v : line) square += v * v / double(line.size());
                     std::vector<double> y;
                     for (size_t i = 0; i < line.size(); ++i)
                       y.push_back(line[i] / std::sqrt(square + 1e-5) * x[1].v[i]);
                     return y;
                   });
                 },
                 {{{0, 70}, {70}}}});
}

// Of a matrix that is x x^T + n I: condition at most about 20, so that f32's error stays near n ulps.
void add_linalg(std::vector<Call>& all) {
  auto add = [&](const char* name, std::vector<Shape> shapes, auto run, auto want) {
    all.push_back({name, shapes, Takes::floats, Gives::f32_or_f64, 4e-5, run, want, {}, false, true});
    all.back().empties = {{{0, 0}}};
    for (size_t i = 1; i < shapes.size(); ++i) all.back().empties[0].push_back({0, 3});
  };
  add(
      "cholesky", {{70, 70}}, [](auto& x) { return cholesky(x[0]); },
      [](auto& x) { return lower_factor(x[0]); });
  add(
      "inverse", {{70, 70}}, [](auto& x) { return inverse(x[0]); },
      [](auto& x) { return positive_solved(x[0], identity(x[0].shape[0])); });
  add(
      "inverse_upper", {{70, 70}}, [](auto& x) { return inverse_upper(x[0]); },
      [](auto& x) { return turned(lower_factor(positive_solved(x[0], identity(x[0].shape[0])))); });
  add(
      "solve", {{70, 70}, {70, 3}}, [](auto& x) { return solve(x[0], x[1]); },
      [](auto& x) { return positive_solved(x[0], x[1]); });
  add(
      "solve_lower", {{70, 70}, {70, 3}}, [](auto& x) { return solve_triangular(x[0], x[1], false); },
      [](auto& x) { return solved(x[0], x[1], false); });
  add(
      "solve_upper", {{70, 70}, {70, 3}}, [](auto& x) { return solve_triangular(x[0], x[1], true); },
      [](auto& x) { return solved(x[0], x[1], true); });
}

constexpr int64_t kTokens = 7, kHeads = 4, kKept = 2, kDim = 8; // of the attention tests

void add_model(std::vector<Call>& all) {
  auto positions = [] {
    std::vector<int32_t> at;
    for (int32_t i = 0; i < 2 * kTokens; ++i) at.push_back(i % int32_t(kTokens) * 3);
    return from_bytes({2, kTokens}, DType::i32, std::as_bytes(std::span(at)));
  };
  auto frequencies = [] {
    auto f = rope_frequencies(kDim, 100);
    return from_bytes({kDim / 2}, DType::f64, std::as_bytes(std::span(f)));
  };
  all.push_back({"rope",
                 {{2, kTokens, kHeads, kDim}},
                 Takes::floats,
                 Gives::same,
                 1e-6,
                 [=](auto& x) { return rope(x[0], positions(), frequencies()); },
                 [](auto& x) {
                   Plain out(x[0].shape);
                   auto f = rope_frequencies(kDim, 100);
                   for (int64_t i = 0; i < 2 * kTokens * kHeads; ++i)
                     for (int64_t d = 0; d < kDim / 2; ++d) {
                       double angle = double(i / kHeads % kTokens * 3) * f[size_t(d)];
                       double a = x[0].v[size_t(i * kDim + d)], b = x[0].v[size_t(i * kDim + d + kDim / 2)];
                       out.v[size_t(i * kDim + d)] = a * std::cos(angle) - b * std::sin(angle);
                       out.v[size_t(i * kDim + d + kDim / 2)] = b * std::cos(angle) + a * std::sin(angle);
                     }
                   return out;
                 },
                 {}});
  all.push_back({"attend",
                 {{2, kTokens, kHeads, kDim}, {2, kTokens, kKept, kDim}, {2, kTokens, kKept, kDim}},
                 Takes::floats,
                 Gives::attended,
                 4e-6,
                 [](auto& x) { return attend(nullptr, "", x[0], x[1], x[2], 0, 0.3); },
                 [](auto& x) {
                   Plain out(x[0].shape);
                   for (int64_t b = 0; b < 2; ++b)
                     for (int64_t t = 0; t < kTokens; ++t)
                       for (int64_t h = 0; h < kHeads; ++h) {
                         auto row = [&](const Plain& p, int64_t token, int64_t heads, int64_t head) {
                           return p.v.begin() + ((b * kTokens + token) * heads + head) * kDim;
                         };
                         auto q = row(x[0], t, kHeads, h);
                         std::vector<double> share;
                         double total = 0;
                         for (int64_t s = 0; s <= t; ++s) {
                           auto k = row(x[1], s, kKept, h * kKept / kHeads);
                           share.push_back(std::exp(0.3 * std::inner_product(q, q + kDim, k, 0.0)));
                           total += share.back();
                         }
                         for (int64_t s = 0; s <= t; ++s)
                           for (int64_t d = 0; d < kDim; ++d)
                             out.v[size_t(((b * kTokens + t) * kHeads + h) * kDim + d)] +=
                                 share[size_t(s)] / total * row(x[2], s, kKept, h * kKept / kHeads)[d];
                       }
                   return out;
                 },
                 {}});
  all.push_back({"cross_entropy",
                 {{5, 70}},
                 Takes::all,
                 Gives::f64,
                 2e-6,
                 [](auto& x) {
                   const int32_t targets[] = {3, 0, 69, -1, 8};
                   auto nll = cross_entropy(x[0], targets);
                   return from_bytes({5}, DType::f64, std::as_bytes(std::span(nll)));
                 },
                 [](auto& x) {
                   const int64_t targets[] = {3, 0, 69, -1, 8};
                   Plain out({5});
                   for (int64_t i = 0; i < 5; ++i) {
                     double total = 0;
                     for (int64_t j = 0; j < 70; ++j) total += std::exp(x[0](i, j));
                     if (targets[i] >= 0) out.v[size_t(i)] = std::log(total) - x[0](i, targets[i]);
                   }
                   return out;
                 },
                 {},
                 true});
  all.push_back({"histogram",
                 {{40, 50}},
                 Takes::all,
                 Gives::i64,
                 0,
                 [](auto& x) {
                   auto counts = histogram(x[0], -2, 2.5, 9);
                   return from_bytes({9}, DType::i64, std::as_bytes(std::span(counts)));
                 },
                 [](auto& x) {
                   Plain out({9});
                   for (double v : x[0].v)
                     if (v >= -2 && v <= 2.5) out.v[size_t(std::min(8.0, std::floor((v + 2) / 0.5)))] += 1;
                   return out;
                 },
                 {}});
}

} // namespace

const std::vector<Call>& table_of_calls() {
  static const std::vector<Call> all = [] {
    std::vector<Call> list;
    add_reductions(list);
    add_along(list);
    add_layout(list);
    add_products(list);
    add_linalg(list);
    add_model(list);
    return list;
  }();
  return all;
}

} // namespace calls
