// The CUDA text of programs, without a GPU: compiled to machine code by NVRTC where that is installed, and
// built by the host's compiler and run beside the CPU back end, which must give the same bits.
#include <doctest/doctest.h>

#include <random>

#include "runtime/calls.h"
#include "runtime/cuda/emit.h"
#include "tests/host_launch.h"
#include "tests/recorded_programs.h"

using namespace wane;

namespace {

constexpr DType kFloats[] = {DType::f32, DType::f64, DType::bf16, DType::f16, DType::e4m3, DType::e5m2};
constexpr DType kWholes[] = {DType::i64, DType::i32, DType::i8, DType::u8, DType::boolean};

void check_on_host(const std::vector<Program>& programs) {
  REQUIRE(!programs.empty());
  if (!HostKernels::compiler_available()) {
    MESSAGE("skipped: no g++ to build the CUDA text with");
    return;
  }
  HostKernels kernels(programs);
  REQUIRE(kernels.problem() == "");
  uint32_t seed = 1;
  for (auto& program : programs) CHECK(difference(kernels, program, seed++) == "");
}

} // namespace

TEST_CASE("cuda: a program's text holds no size and its name does not depend on one") {
  auto programs = record([] {
    for (int64_t n : {7, 700}) { // the first program makes bf16
      Tensor sum = map(Op::add, tensor_of({3, n}, DType::f32), tensor_of({3, n}, DType::bf16));
      map(Op::mul, sum, full({}, DType::f32, double(n))).flushed();
    }
  });
  REQUIRE(programs.size() == 2);
  std::string text = cuda::emit_cuda(programs[1]), name = cuda::kernel_name(programs[1]);
  CHECK(name.starts_with("wane_flat_"));
  CHECK(text.find("#include") == std::string::npos);
  CHECK(text.substr(text.find("extern"))
        == "extern \"C\" __global__ void __launch_bounds__(256) " + name
               + "(const __grid_constant__ WaneLaunch<2, 1> launch) {\n"
                 "  const float v3 = (float)launch.constants[0].real;\n"
                 "#pragma unroll 1\n"
                 "  for (WaneWalk walk(launch); walk.row < launch.rows; walk.next(launch.n)) {\n"
                 "    const long long row = walk.row, column = walk.column;\n"
                 "    const long long at0 = wane_at(launch, 0, row);\n"
                 "    const long long at1 = wane_at(launch, 1, row);\n"
                 "    const float v0 = wane_load_f32(launch.inputs[0], at0, column);\n"
                 "    const float v1 = wane_load_bf16(launch.inputs[1], at1, column);\n"
                 "    const float v2 = op_add_f32(v0, v1);\n"
                 "    const float v4 = op_mul_f32(v2, v3);\n"
                 "    wane_store_f32(launch.output, row * launch.n + column, v4);\n"
                 "  }\n}\n");
}

TEST_CASE("cuda: every op on every dtype it takes compiles and gives the CPU's bits") {
  auto programs = record([] {
    for (size_t o = 0; o < op_table().size(); ++o) {
      const OpInfo& how = op_table()[o];
      if (Op(o) == Op::cast || Op(o) == Op::lookup) continue;
      auto run = [&](DType dtype) {
        std::vector<Tensor> args;
        for (int i = 0; i < how.arity; ++i)
          args.push_back(
              tensor_of({3, 8}, how.rule == ResultRule::chosen && i == 0 ? DType::boolean : dtype));
        map(Op(o), args).flushed();
      };
      bool everywhere =
          Op(o) == Op::add || Op(o) == Op::mul || Op(o) == Op::lt; // rounding is the same for every op
      if (how.kinds != OpKinds::I)
        for (DType dtype : kFloats)
          if (everywhere || size_of(dtype) >= 4 || dtype == DType::bf16) run(dtype);
      if (how.kinds != OpKinds::F)
        for (DType dtype : kWholes)
          if (everywhere || dtype != DType::i8) run(dtype);
    }
  });
  CHECK(programs.size() > 250);
  check_on_host(programs);
}

TEST_CASE("cuda: casts between all dtypes and lookups in all tables") {
  auto programs = record([] {
    for (auto from : kDTypes)
      for (auto to : kDTypes)
        cast(tensor_of({3, 8}, *dtype_named(from.name)), *dtype_named(to.name)).flushed();
    for (DType index : {DType::f32, DType::bf16, DType::i8, DType::u8, DType::i32, DType::i64, DType::f64})
      for (DType table :
           {DType::f32, DType::f64, DType::bf16, DType::e4m3, DType::i32, DType::i8, DType::boolean})
        map(Op::add, lookup(tensor_of({4, 8}, index), tensor_of({16}, table)), tensor_of({4, 1}, table))
            .flushed();
  });
  CHECK(programs.size() > 110);
  check_on_host(programs);
}

TEST_CASE("cuda: reductions, softmax, norms and quantizers: the same sums in the same order") {
  auto programs = record([] {
    for (DType dtype : kFloats) {
      Tensor x = tensor_of({5, 40}, dtype);
      for (auto kind : {Reduction::sum, Reduction::sumsq, Reduction::min, Reduction::max, Reduction::absmax})
        reduce(kind, x, 1).flushed();
      softmax(x, 1).flushed();
      logsumexp(x, 1).flushed();
      rms_norm(x, tensor_of({40}, DType::f32), 1e-5).flushed();
      Tensor v = cast(x, DType::f32),
             scale = map(Op::div, reduce(Reduction::absmax, v, 1), full({}, DType::f32, 127.0));
      Tensor codes = map(
          Op::maximum, map(Op::minimum, map(Op::round, map(Op::div, v, scale)), full({}, DType::f32, 127.0)),
          full({}, DType::f32, -128.0));
      cast(codes, DType::i8).flushed();
      Tensor y = cast(map(Op::mul, codes, scale), dtype);
      reduce(Reduction::sumsq, map(Op::sub, y, x), 1).flushed();
      Tensor low = reduce(Reduction::min, v, 1), high = reduce(Reduction::max, v, 1); // two in one phase
      map(Op::div, map(Op::sub, v, low), map(Op::sub, high, low)).flushed();
    }
  });
  check_on_host(programs);
}

TEST_CASE("cuda: random trees of maps and reductions") {
  auto programs = record([] {
    std::mt19937 rng(11);
    auto pick = [&](size_t n) { return size_t(rng() % uint32_t(n)); };
    for (int round = 0; round < 100; ++round) {
      std::vector<Tensor> pool{tensor_of({3, 40}, DType::f32), tensor_of({40}, DType::f32),
                               tensor_of({3, 1}, DType::f32),  tensor_of({3, 40}, DType::bf16),
                               tensor_of({3, 1}, DType::f16),  full({}, DType::f32, 0.5)};
      const Op unary[] = {Op::exp, Op::tanh, Op::silu, Op::sqrt, Op::neg, Op::abs, Op::round, Op::floor};
      const Op binary[] = {Op::add, Op::mul, Op::sub, Op::div, Op::maximum, Op::minimum};
      const Reduction folds[] = {Reduction::sum, Reduction::sumsq, Reduction::min, Reduction::max,
                                 Reduction::absmax};
      for (int i = 0; i < 12; ++i) {
        const Tensor a = pool[pick(pool.size())], b = pool[pick(pool.size())];
        switch (pick(8)) {
        case 0: pool.push_back(a.rank() ? reduce(folds[pick(5)], a, a.rank() - 1) : a); break;
        case 1:
        case 2: pool.push_back(map(unary[pick(8)], a)); break;
        case 3: pool.push_back(map(Op::where, map(Op::lt, a, b), a, b)); break;
        case 4: pool.push_back(cast(a, kFloats[pick(4)])); break;
        default: pool.push_back(map(binary[pick(6)], a, b));
        }
      }
      pool.back().flushed();
    }
  });
  CHECK(programs.size() > 60);
  check_on_host(programs);
}
