// Random expressions of the tensor language: drawn, run on the engine, computed node by node (reference.h),
// made smaller while they still fail, and printed as Lua.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/reference.h"

enum class LineKind { leaf, literal, constant, map, cast, lookup, reduce, transpose, slice, expand };

struct Line { // one node; operands are earlier lines
  LineKind kind = LineKind::leaf;
  wane::Op op{};
  wane::Reduction reduction{};
  wane::DType dtype = wane::DType::f32; // of a leaf, a constant, a cast
  int args[3] = {-1, -1, -1};
  int choice = 0;                 // the shape of a leaf, the dim of a view
  uint32_t seed = 0;              // of a leaf's contents
  double value = 0;               // of a constant
  bool flush = false;             // computed as soon as it is made
  reference::Array contents = {}; // of a literal
};

struct Tree {
  int64_t rows = 1, n = 1; // sizes that the shapes are made of
  std::vector<Line> lines; // the last one is the result
};

// Up to 24 nodes over up to 6 leaves.
Tree random_tree(std::mt19937& rng);

// Every node's value, one node at a time. An Error where a tree does not fit together.
std::vector<reference::Array> values_of(const Tree& tree);
// The tree on the engine, read from the last node to the first: "node 7: ..." where it differs from `want`,
// an error's text, or "".
std::string failure_of(const Tree& tree, const std::vector<reference::Array>& want);
std::string failure_of(const Tree& tree);

// A smaller tree that fails, too.
using Fails = std::function<bool(const Tree&)>;
Tree shrunk(Tree tree, const Fails& fails);
std::string lua_of(const Tree& tree);
