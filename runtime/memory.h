// Host memory: a caching allocator (fresh pages cost 10 to 80 times a second pass over warm ones) with
// accounting. Blocks are 64-byte aligned, sized in classes, and go back to the cache when their last holder
// lets go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/error.h"

namespace wane {

class Buffer {
public:
  Buffer(std::byte* data, size_t bytes, size_t capacity, Origin origin);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Origin origin() const { return origin_; }
  template <class T> T* as() const { return reinterpret_cast<T*>(data_); }

private:
  friend class Allocator;
  std::byte* data_;
  size_t bytes_, capacity_;
  Origin origin_;
  Buffer* previous_ = nullptr; // list of live buffers, for the report on exhaustion
  Buffer* next_ = nullptr;
};
using BufferPtr = std::shared_ptr<Buffer>;

// Uninitialised memory. Over the soft ceiling, or when the system has no more, it asks `pressure` for help
// (the binding runs a full collection), drops the cache and tries once more before it raises an Error that
// lists the ten largest live buffers and the lines that made them.
BufferPtr allocate(size_t bytes, Origin origin = {});

struct MemoryUse {
  size_t live = 0, cached = 0, peak = 0, ceiling = 0;
};
MemoryUse memory_use();
void reset_memory_peak();
void drop_memory_cache();
void set_memory_ceiling(size_t bytes); // soft; default 60 % of the machine's memory, or WANE_MEMORY
void set_memory_pressure(std::function<void()> relief); // called on the thread that allocates
// Bytes handed out since the last call; the binding steps Lua's collector by it.
size_t take_allocated_bytes();

} // namespace wane
