// Where nodes lie. A script makes and drops them by the thousand and all have one size: each thread keeps
// some of those that were dropped.
#pragma once

#include <memory>
#include <utility>

#include "runtime/tensor.h"

namespace wane {

void* take_node_memory(size_t bytes);
void give_node_memory(void* memory, size_t bytes);

template <class T> struct NodeMemory { // an allocator for std::allocate_shared
  using value_type = T;
  NodeMemory() = default;
  template <class U> NodeMemory(const NodeMemory<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(take_node_memory(n * sizeof(T))); }
  void deallocate(T* memory, size_t n) { give_node_memory(memory, n * sizeof(T)); }
  template <class U> bool operator==(const NodeMemory<U>&) const { return true; }
};

template <class... A> NodePtr make_node(A&&... args) {
  return std::allocate_shared<Node>(NodeMemory<Node>{}, std::forward<A>(args)...);
}

} // namespace wane
