#include "device/modbus/recent_writes.h"

#include <utility>

namespace fleet::device {

const RecentWrites::Write* RecentWrites::Find(absl::string_view id, MonoTime now) {
  while (!order_.empty() && now - order_.front().begun > kKeep) DropOldest();
  const auto found = writes_.find(id);
  return found == writes_.end() ? nullptr : &found->second.write;
}

void RecentWrites::Begin(const std::string& id, uint64_t content, MonoTime now) {
  if (order_.size() == kMax) DropOldest();
  writes_[id] = {.write = {.content = content, .response = ""}, .number = ++numbers_};
  order_.push_back({id, numbers_, now});
}

void RecentWrites::End(absl::string_view id, std::string response) {
  const auto found = writes_.find(id);
  if (found == writes_.end()) return;
  found->second.write.is_over = true;
  found->second.write.response = std::move(response);
}

void RecentWrites::Forget(absl::string_view id) {
  writes_.erase(id);
}

void RecentWrites::DropOldest() {
  const auto found = writes_.find(order_.front().id);
  if (found != writes_.end() && found->second.number == order_.front().number) writes_.erase(found);
  order_.pop_front();
}

}  // namespace fleet::device
