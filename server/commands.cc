#include "server/commands.h"

#include <algorithm>
#include <array>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/modbus/modbus_json.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kMinTtl = absl::Milliseconds(10);
constexpr absl::Duration kRetryPause = absl::Milliseconds(100);
constexpr char kMemoryLost[] = "memory_lost";

constexpr std::array<absl::string_view, v1::CommandState_ARRAYSIZE> kNames = {
    "unspecified", "queued", "sent",    "received",   "accepted",  "running", "done",
    "rejected",    "failed", "expired", "superseded", "cancelled", "unknown"};

// How far a command is; unknown goes nowhere.
int Rank(v1::CommandState state) {
  if (state == v1::COMMAND_STATE_UNKNOWN) return 0;
  return std::min<int>(state, v1::COMMAND_STATE_DONE);
}

// Does what the device says take the command forward? What it says again does not, unless the state was unknown: then
// it is the answer, as long as the device is there and can follow it up.
bool IsNews(const Command& command, const Device& device, const v1::CommandUpdate& update) {
  const v1::CommandState state = update.state();
  if (state == v1::COMMAND_STATE_UNKNOWN) return update.reason() == kMemoryLost;
  if (IsEnd(state)) return true;
  if (state < v1::COMMAND_STATE_RECEIVED || command.steps.size() >= Commands::kMaxSteps) return false;
  if (command.phase == Command::Phase::kUnknown) return device.reachable() && Rank(state) >= command.rank;
  return Rank(state) > command.rank;
}

}  // namespace

absl::string_view Name(v1::CommandState state) {
  return kNames[v1::CommandState_IsValid(state) ? static_cast<size_t>(state) : 0];
}

bool IsEnd(v1::CommandState state) {
  return state >= v1::COMMAND_STATE_DONE && state < v1::COMMAND_STATE_UNKNOWN;
}

bool HasEnded(v1::CommandState state) {
  return state >= v1::COMMAND_STATE_DONE;
}

bool Command::is_stop() const {
  const auto* cancel = std::get_if<v1::Cancel>(&row.body);
  return cancel != nullptr && cancel->stop();
}

bool Covers(const v1::Cancel& cancel, const CommandRow& command) {
  const auto* segment = std::get_if<v1::Segment>(&command.body);
  const auto* call = std::get_if<v1::ModbusCall>(&command.body);
  switch (cancel.target_case()) {
    case v1::Cancel::kCommandId:
      return Number(command.id) == cancel.command_id() && !std::holds_alternative<v1::Cancel>(command.body);
    case v1::Cancel::kEntityId:
      return segment != nullptr && segment->entity_id() == cancel.entity_id();
    case v1::Cancel::kDevice:
    case v1::Cancel::kStop:
      return segment != nullptr || (call != nullptr && AsksToWrite(call->request()));
    case v1::Cancel::TARGET_NOT_SET:
      return false;
  }
  return false;
}

absl::Status Commands::CheckRoom(const Order& order) const {
  if (order.ttl < kMinTtl || order.ttl > options_.max_ttl) {
    return absl::InvalidArgumentError(absl::StrCat("ttl ", absl::FormatDuration(order.ttl), " is not within ",
                                                   absl::FormatDuration(kMinTtl), " and ",
                                                   absl::FormatDuration(options_.max_ttl)));
  }
  // What takes commands back must not be kept out by them.
  const bool cancels = std::holds_alternative<v1::Cancel>(order.body);
  if (open_count_ >= (cancels ? 2 : 1) * options_.max_open) {
    return absl::ResourceExhaustedError(absl::StrCat(open_count_, " commands are open, no more are taken"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CommandId> Commands::Submit(Device& device, Order order, Now now, RowBatch& rows) {
  if (absl::Status status = CheckRoom(order); !status.ok()) return status;
  const CommandId id = next_id_;
  next_id_ = CommandId{Number(id) + 1};
  auto command = std::make_unique<Command>();
  command->row = {.id = id,
                  .device_row = device.row,
                  .body = std::move(order.body),
                  .issued_unix_ms = order.issued_unix_ms,
                  .ttl_ms = absl::ToInt64Milliseconds(order.ttl)};
  command->issued = now.mono;
  command->expires = now.mono + order.ttl;
  command->cleared = command->is_stop();
  rows.commands.push_back(command->row);
  ++counters_.submitted;
  awaiting_commit_.emplace_back(rows.number, id);
  Command& kept = Keep(std::move(command), device);
  SetDeadline(kept, kept.expires);
  AddStep(kept, device, {v1::COMMAND_STATE_QUEUED, ""}, now, rows);
  return id;
}

void Commands::Restore(Device& device, const SavedCommand& saved, int64_t steady_unix_ms, Now now, RowBatch& rows) {
  if (saved.steps.empty()) return;
  auto made = std::make_unique<Command>();
  made->row = saved.row;
  made->steps = saved.steps;
  for (const CommandStepRow& step : saved.steps) made->rank = std::max(made->rank, Rank(step.state));
  made->issued = now.mono - absl::Milliseconds(steady_unix_ms - saved.row.issued_unix_ms);
  made->expires = made->issued + absl::Milliseconds(saved.row.ttl_ms);
  made->cleared = made->maybe_sent = true;
  Command& command = Keep(std::move(made), device);
  AskAt(command, now.mono);
  if (command.state() == v1::COMMAND_STATE_UNKNOWN) {
    Enter(command, device, Command::Phase::kUnknown);
    SetDeadline(command, command.issued + absl::Milliseconds(command.steps.back().since_issue_ms) + kGiveUp);
    LimitUnknown(device, rows);
  } else if (command.rank <= v1::COMMAND_STATE_SENT) {
    SetDeadline(command, command.expires + kAnswerGrace);
  }
}

Command& Commands::Keep(std::unique_ptr<Command> command, Device& device) {
  command->device = device.index;
  device.open_commands.push_back(command->row.id);
  ++open_count_;
  return *commands_.emplace(command->row.id, std::move(command)).first->second;
}

void Commands::Committed(uint64_t batch, std::vector<CommandId>& stored) {
  while (!awaiting_commit_.empty() && awaiting_commit_.front().first <= batch) {
    const CommandId id = awaiting_commit_.front().second;
    awaiting_commit_.pop_front();
    Command* command = FindMutable(id);
    if (command == nullptr) continue;
    stored.push_back(id);
    command->cleared = true;
    if (command->surely_unsent()) AskAt(*command, command->issued);
  }
}

void Commands::Lost(uint64_t batch, Registry& registry, Now now, RowBatch& rows) {
  for (const auto& [number, id] : std::exchange(awaiting_commit_, {})) {
    if (number != batch) {
      awaiting_commit_.emplace_back(number, id);
      continue;
    }
    Command* command = FindMutable(id);
    if (command == nullptr || !command->surely_unsent()) continue;
    AddStep(*command, registry.at(command->device), {v1::COMMAND_STATE_FAILED, "not_stored"}, now, rows);
  }
}

void Commands::Sent(CommandId id, bool ok, Registry& registry, Now now, RowBatch& rows) {
  Command* command = FindMutable(id);
  if (command == nullptr || command->phase == Command::Phase::kEnded) return;
  if (!ok) {
    retry_at_ = now.mono + kRetryPause;
    return AskAt(*command, retry_at_);
  }
  if (command->maybe_sent) ++counters_.resent;
  command->maybe_sent = true;
  if (command->state() == v1::COMMAND_STATE_QUEUED) {
    AddStep(*command, registry.at(command->device), {v1::COMMAND_STATE_SENT, ""}, now, rows);
    hurry_until_ = now.mono + kHurry;
  }
  AskAt(*command, now.mono + (command->state() == v1::COMMAND_STATE_SENT ? kAskAfterSent : kAskAfterWord));
}

void Commands::Update(Device& device, const v1::CommandUpdate& update, Now now, RowBatch& rows) {
  Command* command = FindMutable(CommandId{update.command_id()});
  if (command == nullptr || command->device != device.index || command->phase == Command::Phase::kEnded) {
    ++counters_.ignored_updates;
    return;
  }
  if (IsNews(*command, device, update)) {
    AddStep(*command, device, {update.state(), update.reason(), update.detail()}, now, rows);
  } else if (update.state() != command->state()) {
    ++counters_.ignored_updates;
    return;
  }
  if (command->phase == Command::Phase::kOpen) AskAt(*command, now.mono + kAskAfterWord);
}

void Commands::DeviceGone(Device& device, absl::string_view reason, Now now, RowBatch& rows) {
  const std::vector<CommandId> open = device.open_commands;
  for (CommandId id : open) {
    Command* command = FindMutable(id);
    // What was not sent is left to its time to live.
    if (command->phase != Command::Phase::kOpen || command->state() == v1::COMMAND_STATE_QUEUED) continue;
    AddStep(*command, device, {v1::COMMAND_STATE_UNKNOWN, reason}, now, rows);
  }
}

void Commands::Ask(CommandId id, MonoTime now) {
  Command* command = FindMutable(id);
  if (command == nullptr || command->phase == Command::Phase::kEnded || !command->cleared) return;
  if (command->ask_at > now) AskAt(*command, now);
}

void Commands::AskAll(const Device& device, MonoTime now) {
  for (CommandId id : device.open_commands) Ask(id, now);
}

std::vector<CommandId> Commands::CancelUnsent(Device& device, const v1::Cancel& cancel, Now now, RowBatch& rows) {
  std::vector<CommandId> ended;
  for (CommandId id : device.open_commands) {
    const Command& command = *FindMutable(id);
    if (command.surely_unsent() && Covers(cancel, command.row)) ended.push_back(id);
  }
  for (CommandId id : ended) {
    AddStep(*FindMutable(id), device, {v1::COMMAND_STATE_CANCELLED, "operator"}, now, rows);
  }
  return ended;
}

bool Commands::MayHold(const Device& device, const v1::Cancel& cancel) const {
  return std::ranges::any_of(device.open_commands, [&](CommandId id) {
    const Command& command = *Find(id);
    return !command.surely_unsent() && Covers(cancel, command.row);
  });
}

void Commands::Tick(bool link_up, Registry& registry, Now now, RowBatch& rows, std::vector<CommandId>& due) {
  while (const auto id = deadlines_.Due(now.mono)) {
    Command& command = *FindMutable(*id);
    SetDeadline(command, MonoTime::Max());
    PassDeadline(command, registry.at(command.device), now, rows);
  }
  if (!link_up || now.mono < retry_at_) return;
  const auto first = static_cast<ptrdiff_t>(due.size());
  while (const auto id = asks_.Due(now.mono)) {
    Command& command = *FindMutable(*id);
    AskAt(command, MonoTime::Max());
    // One that cannot be asked now waits for AskAll. While there are two devices of its id it could run on both.
    const Device& device = registry.at(command.device);
    const bool harmless = std::holds_alternative<v1::Cancel>(command.row.body);
    if (device.reachable() && (harmless || !device.clone_alarm)) due.push_back(*id);
  }
  std::sort(due.begin() + first, due.end());
}

void Commands::PassDeadline(Command& command, Device& device, Now now, RowBatch& rows) {
  if (command.phase == Command::Phase::kUnknown) return GiveUp(command, device, rows);
  if (command.surely_unsent()) return AddStep(command, device, {v1::COMMAND_STATE_EXPIRED, "not_sent"}, now, rows);
  if (command.rank > v1::COMMAND_STATE_SENT) return;  // the device has it and will tell
  if (now.mono < command.expires + kAnswerGrace) return SetDeadline(command, command.expires + kAnswerGrace);
  const bool sent = command.state() == v1::COMMAND_STATE_SENT;
  AddStep(command, device, {v1::COMMAND_STATE_UNKNOWN, sent ? "no_answer" : "server_restarted"}, now, rows);
}

MonoTime Commands::NextDue(bool link_up) const {
  const MonoTime ask = link_up ? std::max(retry_at_, asks_.Next()) : MonoTime::Max();
  return std::min(ask, deadlines_.Next());
}

void Commands::AddStep(Command& command, Device& device, const Word& word, Now now, RowBatch& rows) {
  using Phase = Command::Phase;
  const bool is_unknown = word.state == v1::COMMAND_STATE_UNKNOWN;
  const bool for_good = is_unknown && word.reason == kMemoryLost;
  const bool ends = IsEnd(word.state) || for_good;
  command.steps.push_back({.id = command.row.id,
                           .number = static_cast<uint32_t>(command.steps.size()),
                           .state = word.state,
                           .reason = std::string(word.reason),
                           .detail = std::string(word.detail),
                           .at_unix_ms = now.unix_ms(),
                           .since_issue_ms = absl::ToInt64Milliseconds(now.mono - command.issued)});
  rows.steps.push_back(command.steps.back());
  if (for_good) rows.given_up.push_back(command.row.id);
  command.rank = std::max(command.rank, Rank(word.state));
  if (ends || is_unknown) ++counters_.ended[word.state];
  Enter(command, device, ends ? Phase::kEnded : is_unknown ? Phase::kUnknown : Phase::kOpen);
  if (command.phase != Phase::kUnknown) return;
  SetDeadline(command, now.mono + kGiveUp);
  LimitUnknown(device, rows);
}

void Commands::Enter(Command& command, Device& device, Command::Phase phase) {
  using Phase = Command::Phase;
  if (phase == command.phase) return;
  if (command.phase == Phase::kOpen) --open_count_;
  if (command.phase == Phase::kUnknown) {
    --unknown_count_;
    --device.unknown_commands;
    SetDeadline(command, MonoTime::Max());
  }
  command.phase = phase;
  if (phase == Phase::kOpen) ++open_count_;
  if (phase == Phase::kUnknown) {
    ++unknown_count_;
    ++device.unknown_commands;
  }
  if (phase != Phase::kEnded) return;
  AskAt(command, MonoTime::Max());
  SetDeadline(command, MonoTime::Max());
  const auto place = std::ranges::lower_bound(device.open_commands, command.row.id);
  device.open_commands.erase(place);
  ended_.push_back(command.row.id);
  ForgetOldest();
}

void Commands::ForgetOldest() {
  if (ended_.size() <= kKeepEnded) return;
  commands_.erase(ended_.front());
  ended_.pop_front();
}

void Commands::LimitUnknown(Device& device, RowBatch& rows) {
  if (device.unknown_commands <= kMaxUnknown) return;
  const auto oldest = std::ranges::find_if(
      device.open_commands, [this](CommandId id) { return Find(id)->phase == Command::Phase::kUnknown; });
  GiveUp(*FindMutable(*oldest), device, rows);
}

void Commands::GiveUp(Command& command, Device& device, RowBatch& rows) {
  ++counters_.given_up;
  rows.given_up.push_back(command.row.id);
  Enter(command, device, Command::Phase::kEnded);
}

const Command* Commands::Find(CommandId id) const {
  const auto found = commands_.find(id);
  return found == commands_.end() ? nullptr : found->second.get();
}

Command* Commands::FindMutable(CommandId id) {
  return const_cast<Command*>(Find(id));
}

}  // namespace fleet::server
