// The caching allocator. Eight size classes per power of two (at most an eighth is wasted); blocks of 2 MiB
// and more are mapped by themselves. What is kept for later, in sizes that may never be asked for again,
// takes the process little beyond the most that was in use at once: the blocks that lay idle longest go
// first.
#include "runtime/memory.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "runtime/pressure.h"

namespace wane {
namespace {

constexpr size_t kAlignment = 64, kMapped = size_t{2} << 20;
constexpr size_t kLarge = size_t{32} << 20; // fresh pages for such a block cost more than all that is kept
constexpr size_t kLargest = std::numeric_limits<size_t>::max() / 4;
constexpr size_t kSpare = size_t{64} << 20; // kept beyond what was ever in use at once, or an eighth of that

thread_local const std::string* label = nullptr; // of what is allocated now

size_t size_class(size_t bytes) {
  bytes = std::max(bytes, kAlignment);
  size_t step = std::max(std::bit_floor(bytes - 1) / 8, kAlignment);
  if (bytes >= kMapped) step = std::max(step, size_t{4096});
  return (bytes + step - 1) / step * step;
}

// Large blocks are mapped by themselves, so that giving one back really frees it. On small pages: asking for
// large ones stalls the whole machine in compaction where memory is fragmented (seen on virtual machines),
// and blocks are kept and used again anyway.
std::byte* map_block(size_t bytes) {
  if (bytes < kMapped) return static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes));
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return block == MAP_FAILED ? nullptr : static_cast<std::byte*>(block);
}

void unmap_block(std::byte* block, size_t bytes) {
  if (bytes < kMapped)
    std::free(block);
  else
    munmap(block, bytes);
}

// "2G", "1.5GiB", "512M", "64K" or a count of bytes.
std::optional<size_t> parse_size(const std::string& text) {
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !(value > 0)) return std::nullopt;
  std::string unit = end;
  for (auto& c : unit) c = char(std::toupper(static_cast<unsigned char>(c)));
  if (unit.ends_with("IB"))
    unit.resize(unit.size() - 2);
  else if (unit.ends_with("B"))
    unit.resize(unit.size() - 1);
  double scale = unit.empty()  ? 1
                 : unit == "K" ? 0x1p10
                 : unit == "M" ? 0x1p20
                 : unit == "G" ? 0x1p30
                 : unit == "T" ? 0x1p40
                               : 0;
  if (scale == 0 || value * scale < 1 || value * scale > double(kLargest)) return std::nullopt;
  return size_t(value * scale);
}

size_t machine_memory() {
  size_t bytes = size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGE_SIZE));
  std::ifstream file("/sys/fs/cgroup/memory.max"); // a container may be given less
  size_t limit = 0;
  if (file >> limit && limit > 0) bytes = std::min(bytes, limit);
  return bytes;
}

size_t default_ceiling() {
  if (const char* text = std::getenv("WANE_MEMORY"); text && *text) {
    if (auto bytes = parse_size(text)) return *bytes;
    throw error(Fault::usage, "WANE_MEMORY: '{}' is not a size such as 2G, 512M or a number of bytes", text);
  }
  return machine_memory() / 10 * 6;
}

std::string human(size_t bytes) {
  if (bytes >= size_t{1} << 30) return fmt::format("{:.2f} GiB", double(bytes) / 0x1p30);
  if (bytes >= size_t{1} << 20) return fmt::format("{:.1f} MiB", double(bytes) / 0x1p20);
  if (bytes >= size_t{1} << 10) return fmt::format("{:.1f} KiB", double(bytes) / 0x1p10);
  return fmt::format("{} bytes", bytes);
}

} // namespace

class Allocator {
public:
  BufferPtr take(size_t bytes, Origin origin) {
    if (bytes > kLargest) throw exhausted(bytes, origin);
    size_t capacity = size_class(bytes);
    std::byte* data = try_take(capacity);
    for (int help = 0; !data && help < 2; ++help) {
      if (!relieve(help, capacity) && help) break;
      drop_cache();
      data = try_take(capacity);
    }
    if (!data) throw exhausted(bytes, origin);
    handed_out_.fetch_add(capacity, std::memory_order_relaxed);
    try {
      return std::make_shared<Buffer>(data, bytes, capacity, origin);
    } catch (const std::bad_alloc&) {
      give_back(data, capacity);
      throw;
    }
  }

  void link(Buffer& buffer) {
    std::lock_guard lock(mutex_);
    buffer.next_ = first_;
    if (first_) first_->previous_ = &buffer;
    first_ = &buffer;
    if (label) labels_[&buffer] = *label;
  }

  void release(Buffer& buffer) {
    {
      std::lock_guard lock(mutex_);
      (buffer.previous_ ? buffer.previous_->next_ : first_) = buffer.next_;
      if (buffer.next_) buffer.next_->previous_ = buffer.previous_;
      if (!labels_.empty()) labels_.erase(&buffer);
    }
    give_back(buffer.data_, buffer.capacity_);
  }

  void drop_cache() {
    Cache blocks;
    {
      std::lock_guard lock(mutex_);
      blocks.swap(cache_);
      use_.cached = 0;
    }
    for (auto& [capacity, list] : blocks)
      for (auto& block : list) unmap_block(block.data, capacity);
  }

  MemoryUse use() {
    std::lock_guard lock(mutex_);
    return use_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    use_.peak = use_.live;
  }
  void set_ceiling(size_t bytes) {
    std::lock_guard lock(mutex_);
    use_.ceiling = bytes;
    ceiling_.store(bytes, std::memory_order_relaxed);
  }
  size_t ceiling() const { return ceiling_.load(std::memory_order_relaxed); }
  void set_relief(std::function<void()> relief) {
    std::lock_guard lock(mutex_);
    relief_ = std::move(relief);
    relief_thread_ = std::this_thread::get_id();
  }
  size_t handed_out() { return handed_out_.exchange(0, std::memory_order_relaxed); }

private:
  struct Idle {
    std::byte* data;
    uint64_t since; // on clock_
  };
  using Cache = std::map<size_t, std::deque<Idle>>; // by capacity; the back was used last

  // A cached or a fresh block, or nullptr over the ceiling or out of memory.
  std::byte* try_take(size_t capacity) {
    bool crowded;
    std::vector<std::pair<std::byte*, size_t>> surplus;
    {
      std::lock_guard lock(mutex_);
      if (use_.live + capacity > use_.ceiling) return nullptr;
      use_.live += capacity;
      use_.peak = std::max(use_.peak, use_.live);
      most_live_ = std::max(most_live_, use_.live);
      if (auto found = cache_.find(capacity); found != cache_.end() && !found->second.empty()) {
        std::byte* block = found->second.back().data;
        found->second.pop_back();
        use_.cached -= capacity;
        return block;
      }
      crowded = use_.live + use_.cached > use_.ceiling || capacity >= kLarge;
      if (!crowded && capacity >= kMapped) surplus = take_surplus();
    }
    for (auto [data, bytes] : surplus) unmap_block(data, bytes);
    if (crowded) drop_cache(); // blocks of other sizes must make room
    std::byte* block = map_block(capacity);
    if (!block) {
      std::lock_guard lock(mutex_);
      use_.live -= capacity;
    }
    return block;
  }

  // Mapped blocks that are kept beyond what is allowed, taken out of the cache. Under the lock.
  std::vector<std::pair<std::byte*, size_t>> take_surplus() {
    std::vector<std::pair<std::byte*, size_t>> taken;
    const size_t allowed = most_live_ + std::max(kSpare, most_live_ / 8);
    while (use_.live + use_.cached > allowed) {
      auto oldest = cache_.end();
      for (auto it = cache_.lower_bound(kMapped); it != cache_.end(); ++it)
        if (!it->second.empty()
            && (oldest == cache_.end() || it->second.front().since < oldest->second.front().since))
          oldest = it;
      if (oldest == cache_.end()) break;
      taken.emplace_back(oldest->second.front().data, oldest->first);
      oldest->second.pop_front();
      use_.cached -= oldest->first;
    }
    return taken;
  }

  void give_back(std::byte* block, size_t capacity) {
    {
      std::lock_guard lock(mutex_);
      use_.live -= capacity;
      if (use_.live + use_.cached + capacity <= use_.ceiling) {
        cache_[capacity].push_back({block, ++clock_});
        use_.cached += capacity;
        return;
      }
    }
    unmap_block(block, capacity);
  }

  // First a collection, then copies that can be made again. Both belong to one thread, and what they free may
  // be asked for while they run: other threads and calls from inside go on without.
  bool relieve(int help, size_t capacity) {
    thread_local bool relieving = false;
    std::function<void()> relief;
    size_t wanted;
    {
      std::lock_guard lock(mutex_);
      if (relief_thread_ == std::this_thread::get_id()) relief = relief_;
      wanted = std::max(use_.live + capacity, use_.ceiling) - use_.ceiling;
    }
    if (!relief || relieving) return false;
    struct Guard {
      Guard() { relieving = true; }
      ~Guard() { relieving = false; }
    } guard;
    if (help == 0) return relief(), true;
    return drop_copies(wanted ? wanted : capacity) > 0;
  }

  Error exhausted(size_t bytes, Origin origin) {
    std::lock_guard lock(mutex_);
    Error failure = error("memory: {} more do not fit: {} are in use, the ceiling is {}", human(bytes),
                          human(use_.live), human(use_.ceiling));
    failure.at(origin);
    std::vector<const Buffer*> live;
    for (const Buffer* b = first_; b; b = b->next_) live.push_back(b);
    size_t shown = std::min<size_t>(live.size(), 10);
    std::partial_sort(live.begin(), live.begin() + std::ptrdiff_t(shown), live.end(),
                      [](const Buffer* a, const Buffer* b) { return a->bytes_ > b->bytes_; });
    for (size_t i = 0; i < shown; ++i) {
      std::string maker = to_string(live[i]->origin_);
      auto named = labels_.find(live[i]);
      std::string name = named == labels_.end() ? "" : named->second + "   ";
      failure.note(human(live[i]->bytes_),
                   name + (maker.empty() ? "made by the engine" : "made at " + maker));
    }
    return failure.hint("free tensors that are no longer needed, use smaller batches, or raise WANE_MEMORY");
  }

  std::mutex mutex_;
  MemoryUse use_{0, 0, 0, default_ceiling()};
  std::atomic<size_t> ceiling_{use_.ceiling};
  Cache cache_;
  uint64_t clock_ = 0;
  size_t most_live_ = 0; // since the start
  Buffer* first_ = nullptr;
  std::unordered_map<const Buffer*, std::string> labels_; // of few buffers: weights
  std::function<void()> relief_;
  std::thread::id relief_thread_;
  std::atomic<size_t> handed_out_{0};
};

static Allocator& allocator() {
  static Allocator* instance = new Allocator; // never destroyed: buffers may outlive every static
  return *instance;
}

Buffer::Buffer(std::byte* data, size_t bytes, size_t capacity, Origin origin)
    : data_(data), bytes_(bytes), capacity_(capacity), origin_(origin) {
  allocator().link(*this);
}
Buffer::~Buffer() { allocator().release(*this); }

BufferPtr allocate(size_t bytes, Origin origin) { return allocator().take(bytes, origin); }
MemoryUse memory_use() { return allocator().use(); }
void reset_memory_peak() { allocator().reset_peak(); }
void drop_memory_cache() { allocator().drop_cache(); }
void set_memory_ceiling(size_t bytes) { allocator().set_ceiling(bytes); }
void set_memory_pressure(std::function<void()> relief) { allocator().set_relief(std::move(relief)); }

MemoryLabel::MemoryLabel(std::string name) : name_(std::move(name)), before_(std::exchange(label, &name_)) {}
MemoryLabel::~MemoryLabel() { label = before_; }

size_t memory_ceiling() { return allocator().ceiling(); }
size_t take_allocated_bytes() { return allocator().handed_out(); }

} // namespace wane
