// The CUDA text of programs, without a GPU: compiled to machine code by NVRTC where that is installed, and
// built by the host's compiler and run beside the CPU back end, which must give the same bits.
#include <doctest/doctest.h>

#include <random>
#include <set>

#include "runtime/calls.h"
#include "runtime/cuda/emit.h"
#include "runtime/cuda/nvrtc.h"
#include "runtime/cuda/proof.h"
#include "runtime/flush.h"
#include "tests/host_kernels.h"

using namespace wane;

namespace {

constexpr DType kFloats[] = {DType::f32, DType::f64, DType::bf16, DType::f16, DType::e4m3, DType::e5m2};
constexpr DType kWholes[] = {DType::i64, DType::i32, DType::i8, DType::u8, DType::boolean};

// The distinct programs that run while it lives; the suite's own collection goes on afterwards.
class Recorder {
public:
  Recorder() {
    programs().clear();
    keys().clear();
    set_program_hook([](const Program& program) {
      if (keys().insert(program.key()).second) programs().push_back(program);
    });
  }
  ~Recorder() { set_program_hook(&cuda::CudaProof::see); }
  static std::vector<Program>& programs() {
    static std::vector<Program> all;
    return all;
  }

private:
  static std::set<std::string>& keys() {
    static std::set<std::string> all;
    return all;
  }
};

Tensor tensor_of(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, DType::f32);
  for (int64_t i = 0; i < t.count(); ++i) t.data<float>()[i] = float(i % 23) * 0.25f;
  return dtype == DType::f32 ? t : cast(t, dtype).flushed();
}

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

void check_compiles(const std::vector<Program>& programs) {
  if (!cuda::nvrtc_available()) {
    MESSAGE("skipped: no NVRTC");
    return;
  }
  auto failures = cuda::compile_failures(cuda::covering(programs, 0));
  CHECK_MESSAGE(failures.empty(), failures.size(),
                " programs do not compile; the first: ", failures.empty() ? "" : failures[0]);
}

std::vector<Program> record(void (*work)()) {
  Recorder recorder;
  work();
  return Recorder::programs();
}

} // namespace

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
      if (how.rule != ResultRule::integer)
        for (DType dtype : kFloats) run(dtype);
      for (DType dtype : kWholes) run(dtype);
    }
  });
  CHECK(programs.size() > 500);
  check_compiles(programs);
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
  check_compiles(programs);
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
  check_compiles(programs);
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
  check_compiles(programs);
  check_on_host(programs);
}
