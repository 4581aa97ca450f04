#include "runtime/memory.h"

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/pressure.h"

using namespace wane;

namespace {

// Runs with a ceiling of `room` bytes above what is live now, and puts the old one back.
struct Ceiling {
  size_t before = memory_use().ceiling;
  explicit Ceiling(size_t room) {
    drop_memory_cache();
    set_memory_ceiling(memory_use().live + room);
  }
  ~Ceiling() {
    set_memory_pressure({});
    set_memory_ceiling(before);
  }
};
constexpr size_t kMiB = size_t{1} << 20;

} // namespace

TEST_CASE("memory: blocks are aligned, writable and keep their size and origin") {
  Origin origin{intern_file("recipes/w4.lua"), 14};
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{4097}, kMiB + 1,
                       2 * kMiB, 2 * kMiB + 1, 9 * kMiB + 12345}) {
    auto buffer = allocate(bytes, origin);
    CHECK(reinterpret_cast<uintptr_t>(buffer->data()) % 64 == 0);
    CHECK(buffer->bytes() == bytes);
    CHECK(to_string(buffer->origin()) == "recipes/w4.lua:14");
    std::memset(buffer->data(), 0xa5, bytes);
    if (bytes) CHECK(buffer->as<unsigned char>()[bytes - 1] == 0xa5);
  }
}

TEST_CASE("memory: a freed block is handed out again and the books balance") {
  drop_memory_cache();
  auto start = memory_use();
  CHECK(start.cached == 0);
  auto first = allocate(3 * kMiB);
  auto* where = first->data();
  auto held = memory_use();
  CHECK(held.live >= start.live + 3 * kMiB);
  CHECK(held.live <= start.live + 3 * kMiB * 9 / 8);
  first.reset();
  CHECK(memory_use().live == start.live);
  CHECK(memory_use().cached == held.live - start.live);
  auto second = allocate(3 * kMiB - 1000);
  CHECK(second->data() == where);
  CHECK(memory_use().cached == 0);
  second.reset();
  drop_memory_cache();
  CHECK(memory_use().cached == 0);
}

TEST_CASE("memory: the peak is the highest level since it was reset") {
  reset_memory_peak();
  size_t base = memory_use().peak;
  CHECK(base == memory_use().live);
  { auto big = allocate(8 * kMiB); }
  auto small = allocate(kMiB);
  CHECK(memory_use().peak >= base + 8 * kMiB);
  reset_memory_peak();
  CHECK(memory_use().peak == memory_use().live);
}

TEST_CASE("memory: bytes handed out are counted, cached ones too") {
  take_allocated_bytes();
  for (int i = 0; i < 10; ++i) allocate(kMiB);
  size_t bytes = take_allocated_bytes();
  CHECK(bytes >= 10 * kMiB);
  CHECK(bytes <= 12 * kMiB);
  CHECK(take_allocated_bytes() == 0);
}

TEST_CASE("memory: over the ceiling the relief runs once and its help is used") {
  Ceiling ceiling(10 * kMiB);
  auto hoard = allocate(8 * kMiB);
  int calls = 0;
  set_memory_pressure([&] {
    ++calls;
    hoard.reset();
  });
  auto wanted = allocate(6 * kMiB);
  CHECK(calls == 1);
  CHECK(wanted->bytes() == 6 * kMiB);
}

TEST_CASE("memory: blocks cached for another size make room without relief") {
  Ceiling ceiling(10 * kMiB);
  int calls = 0;
  set_memory_pressure([&] { ++calls; });
  allocate(8 * kMiB).reset();
  auto wanted = allocate(6 * kMiB);
  CHECK(calls == 0);
  CHECK(memory_use().cached == 0);
}

TEST_CASE("memory: a relief that allocates is not called again, and other threads do not run it") {
  Ceiling ceiling(10 * kMiB);
  auto hoard = allocate(8 * kMiB);
  int calls = 0;
  set_memory_pressure([&] {
    ++calls;
    CHECK_THROWS_AS(allocate(7 * kMiB), Error);
  });
  CHECK_THROWS_AS(allocate(6 * kMiB), Error);
  CHECK(calls == 1);
  std::thread other([] { CHECK_THROWS_AS(allocate(6 * kMiB), Error); });
  other.join();
  CHECK(calls == 1);
}

TEST_CASE("memory: exhaustion lists the ten largest buffers and who made them") {
  Ceiling ceiling(40 * kMiB);
  uint32_t file = intern_file("recipes/big.lua");
  std::vector<BufferPtr> live;
  for (int i = 1; i <= 12; ++i) live.push_back(allocate(size_t(i) * kMiB / 4, {file, i}));
  std::string text;
  Fault fault = Fault::internal;
  Origin where;
  try {
    allocate(200 * kMiB, {file, 99});
  } catch (const Error& e) {
    text = e.text();
    fault = e.fault();
    where = e.origin();
  }
  CHECK(fault == Fault::recipe);
  CHECK(to_string(where) == "recipes/big.lua:99");
  CHECK(text.find("memory: 200.0 MiB more do not fit: ") == 0);
  CHECK(text.find("3.0 MiB") < text.find("made at recipes/big.lua:12"));
  CHECK(text.find("recipes/big.lua:12") < text.find("recipes/big.lua:11"));
  size_t lines = 0;
  for (size_t at = text.find("made "); at != std::string::npos; at = text.find("made ", at + 1)) ++lines;
  CHECK(lines == 10);
  CHECK_THROWS_AS(allocate(~size_t{0} - 5), Error); // must not wrap around
}

TEST_CASE("memory: copies that can be made again go under pressure, the newest first, those in use stay") {
  Ceiling ceiling(20 * kMiB);
  struct Copy {
    BufferPtr buffer;
    bool in_use = false;
  };
  std::vector<std::shared_ptr<Copy>> copies;
  std::string order;
  for (int i = 0; i < 4; ++i) {
    auto copy = std::make_shared<Copy>(Copy{allocate(4 * kMiB)});
    add_droppable(copy, [weak = std::weak_ptr<Copy>(copy), i, &order]() -> std::optional<size_t> {
      auto held = weak.lock();
      if (held->in_use) return std::nullopt;
      order += std::to_string(i);
      size_t bytes = held->buffer->bytes();
      held->buffer = nullptr;
      return bytes;
    });
    copies.push_back(copy);
  }
  CHECK(droppable_count() == 4);
  copies[2]->in_use = true;
  CHECK_THROWS_AS(allocate(9 * kMiB), Error); // nobody registered a relief: no thread may drop
  CHECK(order == "");
  int collections = 0;
  set_memory_pressure([&] { ++collections; });
  auto wanted = allocate(6 * kMiB); // 4 are free: one copy is enough, but not the one in use
  CHECK(collections == 1);
  CHECK(order == "3");
  auto more = allocate(8 * kMiB);
  CHECK(order == "310");
  CHECK(droppable_count() == 1);
  copies.clear();
  CHECK(droppable_count() == 0);
}

TEST_CASE("memory: registered copies of the dead are forgotten") {
  size_t before = droppable_count();
  for (int i = 0; i < 10000; ++i) {
    auto owner = std::make_shared<int>(i);
    add_droppable(owner, [] { return std::optional<size_t>(0); });
  }
  CHECK(droppable_count() == before);
}

TEST_CASE("memory: exhaustion calls labelled buffers by their name") {
  Ceiling ceiling(16 * kMiB);
  uint32_t file = intern_file("recipes/big.lua");
  BufferPtr weight;
  {
    MemoryLabel outer("model.norm.weight");
    {
      MemoryLabel label("model.layers.3.mlp.up_proj.weight");
      weight = allocate(3 * kMiB, {file, 7});
    }
    allocate(kMiB).reset();
  }
  auto plain = allocate(2 * kMiB, {file, 8});
  std::string text;
  try {
    allocate(64 * kMiB);
  } catch (const Error& e) {
    text = e.text();
  }
  CHECK(text.find("3.0 MiB") < text.find("model.layers.3.mlp.up_proj.weight   made at recipes/big.lua:7"));
  CHECK(text.find("made at recipes/big.lua:8") != std::string::npos);
  CHECK(text.find("model.norm.weight") == std::string::npos);
}

TEST_CASE("memory: a later ceiling holds for what looks at it") {
  size_t before = memory_ceiling();
  CHECK(before == memory_use().ceiling);
  {
    Ceiling ceiling(5 * kMiB);
    CHECK(memory_ceiling() == memory_use().ceiling);
    CHECK(memory_ceiling() != before);
  }
  CHECK(memory_ceiling() == before);
}

TEST_CASE("memory: threads allocate and free at random") {
  size_t before = memory_use().live;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      std::mt19937 random(unsigned(t) + 1);
      std::vector<BufferPtr> held(16);
      for (int i = 0; i < 3000; ++i) {
        auto& slot = held[random() % held.size()];
        if (slot && slot->bytes())
          REQUIRE(slot->as<unsigned char>()[slot->bytes() - 1] == (slot->bytes() & 0xff));
        size_t bytes = random() % 20000 + 1;
        slot = allocate(bytes);
        slot->as<unsigned char>()[bytes - 1] = static_cast<unsigned char>(bytes & 0xff);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(memory_use().live == before);
}
