// What a profile hears, what explain shows, and that every point where work happens can be left by an error.
#include "runtime/profile.h"

#include <cmath>
#include <map>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/calls.h"
#include "runtime/cpu/pool.h"
#include "runtime/explain.h"
#include "runtime/expression.h"
#include "runtime/flush.h"
#include "runtime/pressure.h"
#include "runtime/random.h"
#include "tests/settings.h"

using namespace wane;

namespace {

struct Heard {
  std::string name;
  WorkRecord record;
};
std::vector<Heard> heard;

// Hears everything in its scope; programs run fused, as the expected counts are.
struct Listening {
  bool fused = fuse_enabled();
  Listening() {
    heard.clear();
    set_fuse(true);
    set_work_listener([](const WorkRecord& work) { heard.push_back({std::string(work.name), work}); });
  }
  ~Listening() {
    set_work_listener(nullptr);
    set_fuse(fused);
  }
};

Tensor random(const Shape& shape, uint64_t key = 1) { return randn(shape, DType::f32, key).flushed(); }
Tensor number(double x) { return full(Shape{}, DType::f32, x); }
const Heard& last() { return heard.back(); }

} // namespace

TEST_CASE("profile: nobody listening, nothing is told") {
  heard.clear();
  map(Op::add, random({8, 8}), number(1)).flushed();
  CHECK(!profiling());
  CHECK(heard.empty());
}

TEST_CASE("profile: a program tells its operations, bytes, line and cause") {
  Tensor x = random({64, 32}), row = random({32}), column = random({64, 1});
  Listening on;
  OriginScope line({intern_file("recipes/w4.lua"), 14});
  Tensor y = map(Op::mul, map(Op::add, x, row), column);
  Tensor z = cast(map(Op::silu, y), DType::bf16);
  sort(z, 1);
  matmul(x, transpose(x, 0, 1));
  REQUIRE(heard.size() >= 2);
  const Heard& program = heard[0];
  CHECK(program.name == "add mul silu +1");
  CHECK(program.record.ops == 4);
  CHECK(program.record.cause == FlushCause::call);
  CHECK(to_string(program.record.origin) == "recipes/w4.lua:14");
  CHECK(program.record.bytes == 64 * 32 * 4 + 32 * 4 + 64 * 4 + 64 * 32 * 2);
  CHECK(program.record.flops == 4 * 64 * 32);
  CHECK(last().name == "matmul");
  CHECK(last().record.cause == FlushCause::none);
  CHECK(last().record.product);
  CHECK(last().record.flops == 2.0 * 64 * 64 * 32);
  CHECK(last().record.bytes == 64 * 32 * 4 * 2 + 64 * 64 * 4);
}

TEST_CASE("profile: every cause of a flush is told") {
  Tensor x = random({16, 16});
  auto plus = [](const Tensor& a) { return map(Op::add, a, number(1)); };
  auto cause = [&](auto&& body) {
    Listening on;
    body();
    for (auto& h : heard)
      if (h.record.cause != FlushCause::none) return h.record.cause;
    return FlushCause::none;
  };
  CHECK(cause([&] { reduce_all(Reduction::sum, plus(x)); }) == FlushCause::value);
  CHECK(cause([&] { item(plus(x), 0); }) == FlushCause::value);
  CHECK(cause([&] { transpose(plus(x), 0, 1); }) == FlushCause::view);
  CHECK(cause([&] { sort(plus(x), 1); }) == FlushCause::call);
  CHECK(cause([&] {
          CauseScope asked(FlushCause::asked);
          plus(x).flushed();
        })
        == FlushCause::asked);
  CHECK(cause([&] {
          Tensor y = x;
          for (int i = 0; i < kMaxHeight + 1; ++i) y = plus(y);
        })
        == FlushCause::height);
  CHECK(cause([&] {
          Tensor y = x;
          for (int i = 0; i < kMaxInputs; ++i) y = map(Op::add, random({16, 16}, uint64_t(i)), y);
        })
        == FlushCause::inputs);
  CHECK(cause([&] { // one operand, however often it is read
          Tensor y = plus(x);
          for (int i = 0; i < kMaxInputs + 4; ++i) y = map(Op::add, y, x);
        })
        == FlushCause::none);
  CHECK(cause([&] {
          std::vector<Tensor> level(8, x);
          for (auto& t : level)
            for (int i = 0; i < 10; ++i) t = plus(t);
          while (level.size() > 1) {
            std::vector<Tensor> next;
            for (size_t i = 0; i + 1 < level.size(); i += 2)
              next.push_back(map(Op::mul, level[i], level[i + 1]));
            level = next;
          }
        })
        == FlushCause::ops);
  CHECK(cause([&] {
          Tensor y = x;
          for (int i = 0; i < kMaxReductions + 1; ++i) y = map(Op::sub, y, reduce(Reduction::max, y, 1));
        })
        == FlushCause::reductions);
  CHECK(cause([&] { // each node once, however many read it
          Tensor y = plus(x);
          for (int i = 0; i < kMaxHeight - 1; ++i) y = map(Op::mul, y, y);
          Tensor top = reduce(Reduction::max, x, 1);
          for (int i = 0; i < 4; ++i) top = map(Op::where, map(Op::gt, top, number(0)), top, plus(top));
          map(Op::add, map(Op::mul, x, top), top);
        })
        == FlushCause::none);
  CHECK(cause([&] { map(Op::add, plus(random({16})), x); }) == FlushCause::rows);
  CHECK(cause([&] {
          Tensor shared = plus(x);
          map(Op::mul, shared, x).flushed();
          heard.clear();
          map(Op::div, shared, x).flushed();
        })
        == FlushCause::shared);
  size_t ceiling = memory_ceiling();
  CHECK(cause([&] {
          int64_t n = 256; // two of these are more than a quarter of the ceiling, whatever else is alive
          while (size_t(n * n * 4) < memory_use().live) n *= 2;
          Tensor big = random({n, n}), other = random({n, n}, 2);
          set_memory_ceiling(memory_use().live + size_t(n * n * 12));
          Tensor y = map(Op::add, big, other);
          for (int i = 0; i < 3; ++i) y = map(Op::add, y, big);
        })
        == FlushCause::retained);
  set_memory_ceiling(ceiling);
  CHECK(cause([&] {
          set_fuse(false);
          plus(x);
        })
        == FlushCause::unfused);
}

TEST_CASE("profile: seconds of what runs inside are not counted twice") {
  Tensor x = random({256, 256});
  Listening on;
  auto start = std::chrono::steady_clock::now();
  matmul(map(Op::exp, x), map(Op::exp, x));
  double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), sum = 0;
  for (auto& h : heard) sum += h.record.seconds;
  CHECK(heard.size() >= 2);
  CHECK(sum <= whole);
}

TEST_CASE("profile: an error in a call leaves no span open") {
  Tensor x = random({4, 4});
  Listening on;
  for (int i = 0; i < 3; ++i) CHECK_THROWS_AS(gather(x, 0, full({2}, DType::i32, int64_t(9))), Error);
  CHECK(current_cause() == FlushCause::view);
  heard.clear();
  map(Op::add, x, number(1)).flushed();
  CHECK(heard.size() == 1);
  CHECK(heard[0].record.cause == FlushCause::view);
}

TEST_CASE("profile: what the machine can do is measured and plausible") {
  Floors floors = measure_floors();
  CHECK(floors.bytes_per_second > 1e7);
  CHECK(floors.flops_per_second > 1e7);
  CHECK(floors.product.find("matmul 1024^3") != std::string::npos);
}

TEST_CASE("explain: tree, limits, bytes, program, loops and CUDA text, and nothing runs") {
  bool fused = fuse_enabled();
  set_fuse(true);
  OriginScope line({intern_file("a.lua"), 3});
  Tensor x = random({64, 48});
  Tensor source = from_expression(map(Op::mul, x, number(3)));
  Tensor y = map(Op::add, map(Op::div, map(Op::silu, x), reduce(Reduction::absmax, x, 1)), source);
  auto text = explain(y);
  auto has = [&](const std::string& words) {
    CAPTURE(words);
    CAPTURE(text);
    CHECK(text.find(words) != std::string::npos);
  };
  has("[64 x 48]   f32  made by add at a.lua:3");
  has("pending: 4 ops, 1 reductions,");
  has("one pass by the row template");
  has("absmax   [64 x 1]   f32  at a.lua:3");
  has("decoded from codes");
  has("flushes   ops 4 of 64,");
  has("moves     36.0 KiB in and out, 12288 operations, 64 rows of 48");
  has("%0 = input 0   f32");
  has("= silu ");
  has("not lowered already");
  has("wane_row_");
  has("op_div_f32(");
  CHECK(text.find("wane_exp(") == std::string::npos); // the shared text stays away
  CHECK(y.node()->kind == NodeKind::map);
  CHECK(explain(y) == text); // looking changed nothing
  CHECK(explain(y, true).size() > text.size() + 10000);
  y.flushed();
  CHECK(explain(y) == describe(y) + "\n  in memory");
  Tensor again = map(Op::add, map(Op::div, map(Op::silu, x), reduce(Reduction::absmax, x, 1)), source);
  text = explain(again);
  has(", lowered already");
  text = explain(map(Op::mul, map(Op::silu, x), random({64, 48}, 2)));
  has("= silu, mul r"); // one loop, the load between them before it
  Tensor powers = x;    // what is read twice is shown once
  for (int i = 0; i < kMaxHeight; ++i) powers = map(Op::mul, powers, powers);
  text = explain(powers);
  has("pending: 32 ops, 0 reductions, 1 inputs, height 32;");
  has("mul   [64 x 48]   f32  at a.lua:3  as above");
  CHECK(text.size() < 20000);
  CHECK(explain(number(2)).find("one number") != std::string::npos);
  CHECK(explain(source).find("read when it is used") != std::string::npos);
  CHECK(explain(map(Op::neg, random({0, 3}))).find("nothing will run") != std::string::npos);
  set_fuse(fused);
}

namespace {

// Work with many points where something is computed or allocated; the sum of what comes out.
double work(const Tensor& x, const Tensor& w) {
  Tensor y = map(Op::silu, linear(map(Op::add, x, number(1)), w));
  Tensor z = softmax(map(Op::mul, y, y), 1);
  Tensor parts[] = {z, sort(z, 1).first};
  Tensor joined = concat(parts, 0);
  Tensor sum = reduce(Reduction::sum, matmul(joined, transpose(joined, 0, 1)), 0);
  return reduce_all(Reduction::sum, sum);
}

// The library's scratchpads belong to threads, which make them when they first take a tile: less than any
// tensor here.
constexpr size_t kScratchpads = 4096;
bool as_before(size_t live) { return memory_use().live < live + kScratchpads; }

int countdown = 0;
bool by_interrupt = false;
void stop_at_zero(const Program&) {
  if (countdown-- > 0) return;
  if (!by_interrupt) throw error(Fault::io, "stopped here");
  request_interrupt();
  check_interrupt();
}

} // namespace

TEST_CASE("an error or Ctrl-C at every program: nothing stays, the pool is idle, the next try is right") {
  for (int threads : {1, 3}) {
    int before = thread_count();
    set_thread_count(threads);
    Tensor x = random({96, 64}), w = random({64, 64}, 2);
    double expected = work(x, w);
    size_t live = memory_use().live;
    for (bool interrupt : {false, true}) {
      by_interrupt = interrupt;
      int points = 0;
      for (bool stopped = true; stopped; ++points) {
        countdown = points;
        set_program_hook(stop_at_zero);
        stopped = false;
        try {
          work(x, w);
        } catch (const Error& e) {
          stopped = true;
          CHECK(e.fault() == (interrupt ? Fault::interrupted : Fault::io));
        }
        set_program_hook(nullptr);
        clear_interrupt();
        CHECK(as_before(live));
        std::vector<int> seen(64);
        parallel_parts(64, [&](int64_t part, int) { seen[size_t(part)] = 1; }); // the pool serves on
        CHECK(std::count(seen.begin(), seen.end(), 1) == 64);
      }
      CHECK(points > 3);
      CHECK(work(x, w) == expected);
    }
    set_thread_count(before);
  }
}

TEST_CASE("memory ends at every allocation: nothing stays, the next try is right") {
  Tensor x = random({96, 64}), w = random({64, 64}, 2);
  double expected = work(x, w);
  size_t live = memory_use().live, before = memory_ceiling();
  int failures = 0;
  for (size_t room = 0; room < (size_t(1) << 20); room += 2048) {
    set_memory_ceiling(live + room);
    double result = expected;
    try {
      result = work(x, w);
    } catch (const Error& e) {
      ++failures;
      CHECK(std::string(e.what()).find("memory: ") == 0);
    }
    set_memory_ceiling(before);
    CHECK(result == expected);
    CHECK(as_before(live));
  }
  CHECK(failures > 10);
  CHECK(work(x, w) == expected);
}

TEST_CASE("packed weights go under pressure and are packed again with the same result") {
  Tensor x = random({32, 256}), w = random({256, 256}, 2);
  Tensor first = linear(x, w).dense();
  REQUIRE(w.node()->packed);
  size_t before = memory_ceiling();
  drop_memory_cache();
  set_memory_ceiling(memory_use().live + 1000);
  set_memory_pressure([] {});
  auto wanted = allocate(size_t(200) << 10); // fits only where the packed copy stands
  CHECK(!w.node()->packed);
  wanted.reset();
  set_memory_ceiling(before);
  set_memory_pressure({});
  CHECK(same(linear(x, w), first));
}

TEST_CASE("a decoded table goes under pressure and is decoded again") {
  Settings settings;
  set_fuse(true); // else there is no expression that stays one
  Tensor codes = random({300, 64}), table = from_expression(map(Op::mul, codes, number(2)));
  Tensor ids = full({5}, DType::i32, int64_t(7)).flushed();
  Tensor first = embedding(ids, table);
  size_t live = memory_use().live, before = memory_ceiling();
  drop_memory_cache();
  set_memory_ceiling(live + 1000);
  set_memory_pressure([] {});
  auto wanted = allocate(size_t(60) << 10);
  CHECK(memory_use().live < live);
  wanted.reset();
  set_memory_ceiling(before);
  set_memory_pressure({});
  CHECK(same(embedding(ids, table), first));
  CHECK(item(first, 0) == item(codes, 7 * 64) * 2);
}
