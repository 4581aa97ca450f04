// Random expressions: whatever is fused, flushed or split over threads, every node has the bits that it has
// when it is computed alone. WANE_TREES says how many (1,000 without it), WANE_TREES_SEED from which seed.
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/random_tree.h"
#include "tests/settings.h"

using namespace wane;

namespace {

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atol(text) : otherwise;
}

constexpr long kProven = 60; // trees whose programs join the proof for CUDA, which compiles each

} // namespace

TEST_CASE("random trees have the bits of their nodes computed alone") {
  const long count = setting("WANE_TREES", 1000), seed = setting("WANE_TREES_SEED", 1);
  Settings before;
  MESSAGE(count, " trees from seed ", seed);
  int failures = 0;
  for (long i = 0; i < count && failures < 3; ++i) {
    prove(i < kProven);
    std::mt19937 rng(uint32_t(seed * 1000003 + i));
    Tree tree = random_tree(rng);
    const int threads[] = {1, 2, 3, 7};
    set_thread_count(threads[rng() % 4]);
    set_fuse(rng() % 8 != 0);
    auto want = values_of(tree);
    if (failure_of(tree, want).empty()) continue;
    ++failures;
    Tree small = shrunk(tree, [](const Tree& smaller) { return !failure_of(smaller).empty(); });
    FAIL_CHECK("tree ", i, " of seed ", seed, ", ", thread_count(), " threads, ",
               fuse_enabled() ? "fused" : "op by op", ": ", failure_of(small), "\n", lua_of(small));
  }
}

TEST_CASE("a failing tree is made small and printed as Lua") {
  Settings before;
  prove(false);
  // A property stands in for a wrong engine: a product in bf16 of more than one element.
  auto wrong = [](const Tree& tree) {
    auto values = values_of(tree);
    for (size_t i = 0; i < tree.lines.size(); ++i)
      if (tree.lines[i].kind == LineKind::map && tree.lines[i].op == Op::mul && values[i].dtype == DType::bf16
          && values[i].count() > 1)
        return true;
    return false;
  };
  int shrunk_trees = 0;
  for (uint32_t seed = 0; shrunk_trees < 5; ++seed) {
    std::mt19937 rng(seed);
    Tree tree = random_tree(rng);
    if (!wrong(tree)) continue;
    ++shrunk_trees;
    Tree small = shrunk(tree, wrong);
    CHECK(wrong(small));
    CHECK(small.lines.size() <= 3);
    CHECK(values_of(small).back().count() <= 3);
  }
  Line literal{.kind = LineKind::literal, .dtype = DType::f32};
  literal.contents = {{2}, DType::f32, {{1.5, 0}, {-2, 0}}};
  Line half{.kind = LineKind::constant, .dtype = DType::f32, .value = 0.5};
  Line product{.kind = LineKind::map, .op = Op::mul, .args = {0, 1, -1}, .flush = true};
  Line total{.kind = LineKind::reduce, .reduction = Reduction::sum, .args = {2, -1, -1}};
  Tree known{1, 1, {literal, half, product, total}};
  CHECK(failure_of(known).empty());
  CHECK(lua_of(known)
        == "local t1 = wane.tensor({ 1.5, -2.0 }, { dtype = \"f32\" })\n"
           "local t2 = wane.full({}, 0.5, { dtype = \"f32\" })\n"
           "local t3 = t1 * t2 -- computed at once\n"
           "local t4 = t3:sum(-1)\n"
           "print(t4:totable())\n");
  auto want = values_of(known);
  want[3].values[0].real += 1;
  CHECK(failure_of(known, want) == "t4: element 0 of [1] f32: -0.25, not 0.75");
}
