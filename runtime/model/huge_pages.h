// An allocator for tables that are read at random places: memory on large pages where the system has them,
// since a table of megabytes on small ones costs a page walk for nearly every look-up.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace wane {

template <class T> struct HugePages {
  using value_type = T;
  static constexpr size_t kPage = size_t{2} << 20;

  HugePages() = default;
  template <class U> HugePages(const HugePages<U>&) {}

  T* allocate(size_t count) {
    size_t bytes = count * sizeof(T);
    size_t alignment = bytes >= kPage ? kPage : 64;
    void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (!memory) throw std::bad_alloc();
    if (bytes >= kPage)
      madvise(memory, bytes / kPage * kPage, MADV_HUGEPAGE); // a wish: the result does not matter
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
  friend bool operator==(const HugePages&, const HugePages&) { return true; }
};

} // namespace wane
