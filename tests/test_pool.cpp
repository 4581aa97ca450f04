#include "runtime/cpu/pool.h"

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <xmmintrin.h>

#include "runtime/error.h"

using namespace wane;

namespace {

// Puts the thread count back, so that the order of test cases does not matter.
struct Threads {
  int before = thread_count();
  explicit Threads(int n) { set_thread_count(n); }
  ~Threads() { set_thread_count(before); }
};

template <class F> std::string message_of(F&& body) {
  try {
    body();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

} // namespace

TEST_CASE("pool: every part runs exactly once, with a thread number in range") {
  for (int threads : {1, 2, 3, 7}) {
    Threads set(threads);
    CHECK(thread_count() == threads);
    for (int64_t parts : {0, 1, 2, 5, 64, 1000}) {
      std::vector<std::atomic<int>> runs(size_t(std::max<int64_t>(parts, 1)));
      std::atomic<bool> in_range{true};
      parallel_parts(parts, [&](int64_t part, int thread) {
        runs[size_t(part)].fetch_add(1);
        if (thread < 0 || thread >= threads) in_range = false;
      });
      for (int64_t i = 0; i < parts; ++i) REQUIRE(runs[size_t(i)] == 1);
      CHECK(in_range);
    }
  }
}

TEST_CASE("pool: two parts of one job run at the same time") {
  Threads set(2);
  std::atomic<int> arrived{0};
  bool met[2] = {false, false};
  parallel_parts(2, [&](int64_t part, int) {
    arrived.fetch_add(1);
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived.load() < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    met[part] = arrived.load() == 2;
  });
  CHECK(met[0]);
  CHECK(met[1]);
}

TEST_CASE("pool: writes of a job are seen by the caller and by the next job") {
  Threads set(3);
  std::vector<int64_t> values(257, 0);
  for (int round = 0; round < 3000; ++round)
    parallel_parts(int64_t(values.size()), [&](int64_t part, int) { values[size_t(part)] += part; });
  for (size_t i = 0; i < values.size(); ++i) REQUIRE(values[i] == int64_t(i) * 3000);
}

TEST_CASE("pool: workers that fell asleep are woken") {
  Threads set(2);
  std::set<int> seen;
  for (int round = 0; round < 200 && seen.size() < 2; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1)); // much longer than they spin
    std::atomic<int> mask{0};
    parallel_parts(2, [&](int64_t, int thread) {
      mask.fetch_or(1 << thread);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    for (int i = 0; i < 2; ++i)
      if (mask >> i & 1) seen.insert(i);
  }
  CHECK(seen.size() == 2);
}

TEST_CASE("pool: a nested call runs on the thread that makes it") {
  Threads set(3);
  std::atomic<int> sum{0}, moved{0};
  parallel_parts(8, [&](int64_t, int thread) {
    auto self = std::this_thread::get_id();
    parallel_parts(10, [&](int64_t part, int inner) {
      sum.fetch_add(int(part));
      if (std::this_thread::get_id() != self || inner != thread) moved.fetch_add(1);
    });
  });
  CHECK(sum == 8 * 45);
  CHECK(moved == 0);
  parallel_parts(4, [&](int64_t, int) { CHECK_THROWS_AS(set_thread_count(2), Error); });
}

TEST_CASE("pool: an exception reaches the caller with its type and the rest is dropped") {
  for (int threads : {1, 2, 3}) {
    Threads set(threads);
    std::atomic<int> ran{0};
    auto job = [&] {
      parallel_parts(100000, [&](int64_t part, int) {
        ran.fetch_add(1);
        if (part == 5) throw std::out_of_range("part five");
      });
    };
    CHECK_THROWS_AS(job(), std::out_of_range);
    CHECK(ran < 100000);
    std::atomic<int> after{0};
    parallel_parts(50, [&](int64_t, int) { after.fetch_add(1); });
    CHECK(after == 50);
  }
}

TEST_CASE("pool: an interrupt stops a job between parts") {
  for (int threads : {1, 2}) {
    Threads set(threads);
    std::atomic<int> ran{0};
    Fault fault = Fault::internal;
    try {
      parallel_parts(100000, [&](int64_t, int) {
        if (ran.fetch_add(1) == 20) request_interrupt();
      });
    } catch (const Error& e) {
      fault = e.fault();
    }
    clear_interrupt();
    CHECK(fault == Fault::interrupted);
    CHECK(ran < 1000);
  }
}

TEST_CASE("pool: several callers take turns") {
  Threads set(2);
  std::atomic<int64_t> total{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        parallel_parts(16, [&](int64_t part, int) { total.fetch_add(part); });
    });
  for (auto& caller : callers) caller.join();
  CHECK(total == 4 * 200 * 120);
}

TEST_CASE("pool: wrong use is named") {
  CHECK(message_of([] { set_thread_count(0); })
        == "set_thread_count: the number of threads is 1 to 256, not 0");
  CHECK(message_of([] { set_thread_count(257); })
        == "set_thread_count: the number of threads is 1 to 256, not 257");
  unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); // flush subnormals
  std::string text = message_of([] { parallel_parts(2, [](int64_t, int) {}); });
  _mm_setcsr(mode);
  CHECK(text == "parallel_parts: the thread's floating-point mode is 0x9fc0, expected 0x1f80");
}

TEST_CASE("pool: workers compute with subnormals whatever the caller's library did") {
  Threads set(2);
  std::atomic<int> flushed{0};
  parallel_parts(64, [&](int64_t, int) {
    volatile float tiny = 1e-38f;
    if (tiny / 8 == 0.0f) flushed.fetch_add(1);
  });
  CHECK(flushed == 0);
}
