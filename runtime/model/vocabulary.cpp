#include "runtime/model/vocabulary.h"

#include <functional>

namespace wane {

size_t Vocabulary::slot_of(std::string_view text) const {
  size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>{}(text)&mask;
  while (slots_[slot] >= 0 && this->text(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::grow() {
  size_t wanted = slots_.empty() ? 1024 : slots_.size() * 2;
  slots_.assign(wanted, -1);
  for (int32_t id = 0; id < size(); ++id) slots_[slot_of(text(id))] = id;
}

int32_t Vocabulary::add(std::string_view text) {
  if (size_t(size()) * 3 >= slots_.size() * 2) grow();
  size_t slot = slot_of(text);
  if (slots_[slot] >= 0) return slots_[slot];
  slots_[slot] = size();
  bytes_ += text;
  starts_.push_back(bytes_.size());
  return -1;
}

int32_t Vocabulary::find(std::string_view text) const { return slots_.empty() ? -1 : slots_[slot_of(text)]; }

} // namespace wane
