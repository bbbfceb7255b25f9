#include "server/commands.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kMinTtl = absl::Milliseconds(10);
constexpr absl::Duration kAnswerGrace = absl::Seconds(1);  // for the device's word on a command that expired with it
constexpr absl::Duration kRetryPause = absl::Milliseconds(100);
constexpr size_t kMaxSteps = 32;  // a device that repeats itself does not grow us

constexpr std::array<absl::string_view, v1::CommandState_ARRAYSIZE> kNames = {
    "unspecified", "queued", "sent",    "received",   "accepted",  "running", "done",
    "rejected",    "failed", "expired", "superseded", "cancelled", "unknown"};

// How far a command is. The device's word must go further than all before it; unknown goes nowhere.
int Rank(v1::CommandState state) {
  if (state == v1::COMMAND_STATE_UNKNOWN) return 0;
  return std::min<int>(state, v1::COMMAND_STATE_DONE);
}

}  // namespace

absl::string_view Name(v1::CommandState state) {
  return kNames[v1::CommandState_IsValid(state) ? static_cast<size_t>(state) : 0];
}

bool HasEnded(v1::CommandState state) {
  return state >= v1::COMMAND_STATE_DONE;
}

absl::StatusOr<CommandId> Commands::Submit(Device& device, const v1::Segment& segment, absl::Duration ttl,
                                           int64_t issued_unix_ms, Now now, RowBatch& rows) {
  if (ttl < kMinTtl || ttl > options_.max_ttl) {
    return absl::InvalidArgumentError(absl::StrCat("ttl ", absl::FormatDuration(ttl), " is not within ",
                                                   absl::FormatDuration(kMinTtl), " and ",
                                                   absl::FormatDuration(options_.max_ttl)));
  }
  if (open_count_ >= options_.max_open) {
    return absl::ResourceExhaustedError(absl::StrCat(open_count_, " commands are open, no more are taken"));
  }
  const CommandId id = next_id_;
  next_id_ = CommandId{Number(id) + 1};
  auto command = std::make_unique<Command>();
  command->row = {.id = id,
                  .device_row = device.row,
                  .segment = segment,
                  .issued_unix_ms = issued_unix_ms,
                  .ttl_ms = absl::ToInt64Milliseconds(ttl)};
  command->device = device.index;
  command->issued = now.mono;
  command->expires = now.mono + ttl;
  rows.commands.push_back(command->row);
  device.open_commands.push_back(id);
  ++open_count_;
  ++counters_.submitted;
  awaiting_commit_.emplace_back(rows.number, id);
  deadlines_.emplace(command->expires, id);
  AddStep(*command, device, v1::COMMAND_STATE_QUEUED, "", "", now, rows);
  commands_.emplace(id, std::move(command));
  return id;
}

void Commands::Restore(Device& device, const SavedCommand& saved, Now now, RowBatch& rows) {
  if (saved.steps.empty()) return;
  auto command = std::make_unique<Command>();
  command->row = saved.row;
  command->device = device.index;
  command->steps = saved.steps;
  for (const CommandStepRow& step : saved.steps) command->rank = std::max(command->rank, Rank(step.state));
  command->issued = command->expires = now.mono - absl::Milliseconds(saved.steps.back().since_issue_ms);
  device.open_commands.push_back(saved.row.id);
  ++open_count_;
  AddStep(*command, device, v1::COMMAND_STATE_UNKNOWN, "server_restarted", "", now, rows);
  commands_.emplace(saved.row.id, std::move(command));
}

void Commands::Committed(uint64_t batch, std::vector<CommandId>& due) {
  while (!awaiting_commit_.empty() && awaiting_commit_.front().first <= batch) {
    const Command* command = Find(awaiting_commit_.front().second);
    awaiting_commit_.pop_front();
    if (command != nullptr && command->state() == v1::COMMAND_STATE_QUEUED) due.push_back(command->row.id);
  }
}

void Commands::Sent(CommandId id, bool ok, Registry& registry, Now now, RowBatch& rows) {
  Command* command = FindMutable(id);
  if (command == nullptr || command->state() != v1::COMMAND_STATE_QUEUED) return;
  if (ok) {
    AddStep(*command, registry.at(command->device), v1::COMMAND_STATE_SENT, "", "", now, rows);
    return;
  }
  unsent_.push_back(id);
  retry_at_ = now.mono + kRetryPause;
}

void Commands::Update(Device& device, const v1::CommandUpdate& update, Now now, RowBatch& rows) {
  Command* command = FindMutable(CommandId{update.command_id()});
  const bool sensible = command != nullptr && command->device == device.index && command->steps.size() < kMaxSteps &&
                        Rank(update.state()) > command->rank;
  if (!sensible) {
    ++counters_.ignored_updates;
    return;
  }
  if (command->state() == v1::COMMAND_STATE_UNKNOWN) {
    device.open_commands.push_back(command->row.id);
    ++open_count_;
  }
  AddStep(*command, device, update.state(), update.reason(), update.detail(), now, rows);
}

void Commands::DeviceGone(Device& device, absl::string_view reason, Now now, RowBatch& rows) {
  const std::vector<CommandId> open = device.open_commands;
  for (CommandId id : open) {
    Command* command = FindMutable(id);
    if (command->state() == v1::COMMAND_STATE_QUEUED) continue;  // not sent: its time to live decides
    AddStep(*command, device, v1::COMMAND_STATE_UNKNOWN, reason, "", now, rows);
  }
}

void Commands::Tick(bool link_up, Registry& registry, Now now, RowBatch& rows, std::vector<CommandId>& due) {
  while (!deadlines_.empty() && deadlines_.top().first <= now.mono) {
    const CommandId id = deadlines_.top().second;
    deadlines_.pop();
    if (Command* command = FindMutable(id)) PassDeadline(*command, registry.at(command->device), now, rows);
  }
  if (!link_up || now.mono < retry_at_) return;
  retry_at_ = MonoTime::Max();
  for (CommandId id : std::exchange(unsent_, {})) {
    const Command* command = Find(id);
    if (command != nullptr && command->state() == v1::COMMAND_STATE_QUEUED) due.push_back(id);
  }
}

void Commands::PassDeadline(Command& command, Device& device, Now now, RowBatch& rows) {
  if (command.state() == v1::COMMAND_STATE_QUEUED) {
    AddStep(command, device, v1::COMMAND_STATE_EXPIRED, "not_sent", "", now, rows);
  } else if (command.state() == v1::COMMAND_STATE_SENT) {
    if (now.mono < command.expires + kAnswerGrace) {
      deadlines_.emplace(command.expires + kAnswerGrace, command.row.id);
    } else {
      AddStep(command, device, v1::COMMAND_STATE_UNKNOWN, "no_answer", "", now, rows);
    }
  }
}

MonoTime Commands::NextDue(bool link_up) const {
  const MonoTime retry = link_up ? retry_at_ : MonoTime::Max();
  return deadlines_.empty() ? retry : std::min(retry, deadlines_.top().first);
}

void Commands::AddStep(Command& command, Device& device, v1::CommandState state, absl::string_view reason,
                       absl::string_view detail, Now now, RowBatch& rows) {
  command.steps.push_back({.id = command.row.id,
                           .number = static_cast<uint32_t>(command.steps.size()),
                           .state = state,
                           .reason = std::string(reason),
                           .detail = std::string(detail),
                           .at_unix_ms = now.unix_ms(),
                           .since_issue_ms = absl::ToInt64Milliseconds(now.mono - command.issued)});
  rows.steps.push_back(command.steps.back());
  command.rank = std::max(command.rank, Rank(state));
  if (HasEnded(state)) End(command, device);
}

void Commands::End(Command& command, Device& device) {
  ++counters_.ended[command.state()];
  --open_count_;
  std::erase(device.open_commands, command.row.id);
  ended_.push_back(command.row.id);
  if (ended_.size() <= kKeepEnded) return;
  const auto oldest = commands_.find(ended_.front());
  ended_.pop_front();
  // A command that was unknown and came back to life stands here twice; it goes when it has ended for good.
  if (oldest != commands_.end() && HasEnded(oldest->second->state()) && oldest->second.get() != &command) {
    commands_.erase(oldest);
  }
}

const Command* Commands::Find(CommandId id) const {
  const auto found = commands_.find(id);
  return found == commands_.end() ? nullptr : found->second.get();
}

Command* Commands::FindMutable(CommandId id) {
  return const_cast<Command*>(Find(id));
}

}  // namespace fleet::server
