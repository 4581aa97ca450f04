#include "runtime/error.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <unordered_map>

namespace wane {
namespace {

struct FileNames {
  std::mutex mutex;
  std::vector<std::string> names{""};
  std::unordered_map<std::string, uint32_t> ids;
};
FileNames& files() {
  static FileNames* table = new FileNames; // never destroyed: origins outlive every static
  return *table;
}

std::atomic<bool> interrupt_flag{false};

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

} // namespace

uint32_t intern_file(std::string_view name) {
  if (name.empty()) return 0;
  auto& table = files();
  std::lock_guard lock(table.mutex);
  auto [entry, is_new] = table.ids.try_emplace(std::string(name), uint32_t(table.names.size()));
  if (is_new) table.names.emplace_back(name);
  return entry->second;
}

std::string to_string(Origin origin) {
  if (!origin) return "";
  auto& table = files();
  std::lock_guard lock(table.mutex);
  return fmt::format("{}:{}", table.names[origin.file], origin.line);
}

std::string Error::text() const {
  std::string out = what_;
  size_t width = hint_.empty() ? 0 : 4;
  for (auto& [label, text] : notes_) width = std::max(width, label.size());
  for (auto& [label, text] : notes_) out += fmt::format("\n  {:<{}}   {}", label, width, text);
  if (!hint_.empty()) out += fmt::format("\n  {:<{}}   {}", "hint", width, hint_);
  return out;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (auto& candidate : known) {
    // A name that continues what was typed, or lies inside it, is nearer than its length suggests.
    bool prefix = !name.empty() && candidate.compare(0, name.size(), name) == 0;
    size_t distance = prefix ? 1 : edit_distance(name, candidate);
    if (distance < least) least = distance, best = candidate;
  }
  return best;
}

void request_interrupt() noexcept { interrupt_flag.store(true, std::memory_order_relaxed); }
void clear_interrupt() noexcept { interrupt_flag.store(false, std::memory_order_relaxed); }
bool interrupt_requested() noexcept { return interrupt_flag.load(std::memory_order_relaxed); }
void check_interrupt() {
  if (interrupt_requested()) throw Error(Fault::interrupted, "interrupted");
}

} // namespace wane
