// Every call of the language that is no map, with what it gives in plain f64 arithmetic, for
// tests/test_generated_calls.cpp: a new call is a row here.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/reference.h"

namespace calls {

using reference::Array;
using wane::DType;
using wane::Reduction;
using wane::Shape;
using wane::Tensor;

struct Plain {
  Shape shape;
  std::vector<double> v;
  explicit Plain(const Shape& s, double value = 0) : shape(s), v(size_t(s.count()), value) {}
  explicit Plain(const Array& a) : shape(a.shape) {
    for (int64_t i = 0; i < a.count(); ++i) v.push_back(a.at(i));
  }
  double& operator()(int64_t i, int64_t j) { return v[size_t(i * shape.back() + j)]; }
  double operator()(int64_t i, int64_t j) const { return v[size_t(i * shape.back() + j)]; }
};
using Plains = std::vector<Plain>;

enum class Takes { all, floats, products }; // products: i8, too
enum class Gives {
  same,
  real,       // the same of floats, f32 of whole numbers
  wide,       // sums: i64 of whole numbers, f32 or f64 of floats
  reduced,    // min, max: f32 or f64 of floats, the same of whole numbers, i32 of bool
  f32_or_f64, // f64 of f64 alone
  attended,   // bf16 of bf16 alone, else f32
  f64,
  i32,
  i64,
  boolean
};

struct Call {
  std::string name;
  std::vector<Shape> shapes; // of the operands in the dtype
  Takes takes = Takes::all;
  Gives gives = Gives::same;
  // Of the largest exact magnitude: how far the result may be before it is rounded to its dtype. 0: exact.
  double tolerance = 0;
  std::function<Tensor(const std::vector<Tensor>&)> run = {};
  std::function<Plain(const Plains&)> want = {};
  std::vector<std::vector<Shape>> empties = {}; // operands without elements
  bool in_f32 = false;                          // operands are read as f32, whatever they are
  bool positive = false;                        // the first operand is positive definite, so never broadcast
};

const std::vector<Call>& table_of_calls();

} // namespace calls
