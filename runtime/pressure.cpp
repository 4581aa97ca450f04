#include "runtime/pressure.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace wane {
namespace {

struct Entry {
  std::weak_ptr<void> owner;
  Drop drop;
};

struct Registry {
  std::mutex mutex;
  std::vector<Entry> entries; // oldest first
  size_t swept = 64;          // entries of the dead are looked for when there are twice as many

  void sweep() {
    std::erase_if(entries, [](const Entry& entry) { return entry.owner.expired(); });
    swept = std::max<size_t>(64, entries.size());
  }
};

Registry& registry() {
  static Registry* instance = new Registry; // never destroyed: owners may outlive every static
  return *instance;
}

} // namespace

void add_droppable(std::weak_ptr<void> owner, Drop drop) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (all.entries.size() >= 2 * all.swept) all.sweep();
  all.entries.push_back({std::move(owner), std::move(drop)});
}

void KeptBuffer::watch() {
  add_droppable(kept_, [weak = std::weak_ptr<BufferPtr>(kept_)]() -> std::optional<size_t> {
    auto kept = weak.lock();
    if (!kept || !*kept) return size_t{0};
    if (kept->use_count() > 1) return std::nullopt;
    size_t bytes = (*kept)->bytes();
    *kept = nullptr;
    return bytes;
  });
}

size_t drop_copies(size_t wanted) {
  Registry& all = registry();
  std::vector<Entry> entries; // what is dropped may register anew: not under the lock
  {
    std::lock_guard lock(all.mutex);
    entries.swap(all.entries);
  }
  size_t freed = 0;
  std::vector<Entry> kept;
  for (; !entries.empty(); entries.pop_back()) {
    Entry& entry = entries.back();
    auto owner = entry.owner.lock();
    if (!owner) continue;
    std::optional<size_t> bytes;
    if (freed < wanted) bytes = entry.drop();
    if (bytes)
      freed += *bytes;
    else
      kept.push_back(std::move(entry));
  }
  std::lock_guard lock(all.mutex);
  all.entries.insert(all.entries.begin(), std::make_move_iterator(kept.rbegin()),
                     std::make_move_iterator(kept.rend()));
  return freed;
}

size_t droppable_count() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  all.sweep();
  return all.entries.size();
}

} // namespace wane
