#include "tools/fleetctl/group_run.h"

#include <utility>

#include "tools/fleetctl/follow.h"

namespace fleet {
namespace {

// The device has it and is there.
bool IsAtWork(absl::string_view state) {
  return state == "received" || state == "accepted" || state == "running";
}

bool IsFinal(const v1::CommandView& command) {
  return IsEnd(command.state()) && (command.state() != "unknown" || command.reason() == "memory_lost");
}

}  // namespace

std::optional<std::string> GroupRun::TakeNext() {
  if (waiting_.empty() || open_.size() >= at_once_) return std::nullopt;
  std::string device = std::move(waiting_.front());
  waiting_.pop_front();
  return device;
}

void GroupRun::PutBack(const std::string& device, MonoTime now) {
  waiting_.push_front(device);
  if (!away_since_) away_since_ = now;
}

void GroupRun::Refused(const std::string& device, const std::string& why) {
  v1::CommandView& result = ended_.emplace_back();
  result.set_device_id(device);
  result.set_state("refused");
  result.set_reason(why);
}

void GroupRun::Started(v1::CommandView command, MonoTime now) {
  const std::string id = command.command_id();
  open_.insert_or_assign(id, Open{command, now + patience_});
  Heard(std::move(command), now);
}

void GroupRun::Heard(v1::CommandView command, MonoTime now) {
  away_since_.reset();
  const auto found = open_.find(command.command_id());
  if (found == open_.end()) return;
  if (IsFinal(command)) {
    open_.erase(found);
    ended_.push_back(std::move(command));
    return;
  }
  if (IsAtWork(command.state())) found->second.give_up_at = now + patience_;
  found->second.command = std::move(command);
}

void GroupRun::GiveUp(MonoTime now) {
  for (auto it = open_.begin(); it != open_.end();) {
    if (now < it->second.give_up_at) {
      ++it;
      continue;
    }
    ended_.push_back(std::move(it->second.command));
    it = open_.erase(it);
  }
  if (!away_since_ || now - *away_since_ < patience_) return;
  for (const std::string& device : std::exchange(waiting_, {})) Refused(device, "the server could not be reached");
}

std::vector<std::string> GroupRun::open() const {
  std::vector<std::string> ids;
  for (const auto& [id, open] : open_) ids.push_back(id);
  return ids;
}

}  // namespace fleet
