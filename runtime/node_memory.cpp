#include "runtime/node_memory.h"

#include <new>

namespace wane {
namespace {

constexpr int kKept = 4096;

struct Block {
  Block* next;
};

// Blocks of one size, the first that was asked for: a node with its counts.
struct Kept {
  Block* first;
  size_t bytes;
  int count;
  bool over; // the thread ends: nodes that outlive this are freed at once
};
thread_local constinit Kept kept{};

struct Last {
  bool made = false;
  ~Last() {
    kept.over = true;
    while (kept.first) ::operator delete(std::exchange(kept.first, kept.first->next));
  }
};
thread_local Last last;

} // namespace

void* take_node_memory(size_t bytes) {
  if (!kept.first || kept.bytes != bytes) return ::operator new(bytes);
  --kept.count;
  return std::exchange(kept.first, kept.first->next);
}

void give_node_memory(void* memory, size_t bytes) {
  if (!kept.bytes) {
    kept.bytes = bytes;
    last.made = true; // so that its destructor runs
  }
  if (kept.over || kept.bytes != bytes || kept.count == kKept) return ::operator delete(memory);
  ++kept.count;
  kept.first = new (memory) Block{kept.first};
}

} // namespace wane
