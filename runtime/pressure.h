// When memory runs short: copies that can be made again are let go, and what stays is called by its name.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/memory.h"

namespace wane {

// Registers a copy that can be made again (packed weights, a decoded table), held by `owner`. `drop` lets go
// of it and gives the bytes that it took; nullopt: it is in use, ask again another time. It is called on the
// thread that set_memory_pressure() was called on, after a collection did not help; never once the owner is
// gone.
using Drop = std::function<std::optional<size_t>()>;
void add_droppable(std::weak_ptr<void> owner, Drop drop);

// A buffer that can be made again: kept from its first use on, while memory lasts.
class KeptBuffer {
public:
  template <class Make> BufferPtr get(Make&& make) {
    if (!*kept_) {
      *kept_ = make();
      watch();
    }
    return *kept_;
  }

private:
  void watch();
  std::shared_ptr<BufferPtr> kept_ = std::make_shared<BufferPtr>();
};

// Drops copies until `wanted` bytes are free or none is left; gives the bytes. The newest go first: a model
// is read layer by layer, again and again, so what was made last is what is needed last.
size_t drop_copies(size_t wanted);
size_t droppable_count(); // registered, of living owners

size_t memory_ceiling(); // that of memory_use(), without a lock: asked for with every deferred operation

// What this thread allocates in the scope is called so in a report on exhaustion:
// "layers.3.mlp.up_proj.weight".
class MemoryLabel {
public:
  explicit MemoryLabel(std::string name);
  ~MemoryLabel();
  MemoryLabel(const MemoryLabel&) = delete;

private:
  std::string name_;
  const std::string* before_;
};

} // namespace wane
