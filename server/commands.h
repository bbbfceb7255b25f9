// Every command from its submission to its end (docs/protocol.md section 6).
//
//   queued --stored, sent--> sent --device--> received > accepted > running > done | failed | superseded | cancelled
//     |                        |                |
//     |-- time to live over    |-- no answer    '-- rejected | expired, said by the device
//     '-> expired              '-> unknown <-- device restarted, offline, or the server restarted or lost its link; a
//                                              later word of the device resolves it
//
// A command is stored before it is sent, and sent at most once. Pure; loop thread only. Bounds: max_open commands
// without an end state; of the ended ones the last kKeepEnded stay in memory, the store has all.
#pragma once

#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/to_server.pb.h"
#include "server/registry.h"
#include "server/rows.h"

namespace fleet::server {

// "queued", "sent", ... as people and JSON see them.
absl::string_view Name(v1::CommandState state);
bool HasEnded(v1::CommandState state);  // unknown included

struct Command {
  CommandRow row;
  DeviceIndex device = 0;
  MonoTime issued;
  MonoTime expires;
  std::vector<CommandStepRow> steps;  // at least one, oldest first
  int rank = 0;                       // of the furthest step
  v1::CommandState state() const { return steps.back().state; }
};

// A command that had no end state when the server stopped.
struct SavedCommand {
  CommandRow row;
  std::vector<CommandStepRow> steps;
};

class Commands {
 public:
  static constexpr size_t kKeepEnded = 2000;

  struct Options {
    size_t max_open = 100'000;
    absl::Duration max_ttl = absl::Hours(1);
    CommandId first_id{1};
  };
  struct Counters {
    uint64_t submitted = 0;
    uint64_t ignored_updates = 0;              // of a command not known here, of another device's, or repeating a step
    absl::flat_hash_map<int, uint64_t> ended;  // by v1::CommandState
  };

  explicit Commands(const Options& options) : options_(options), next_id_(options.first_id) {}

  // `issued_unix_ms` on the server's steady clock. kInvalidArgument: ttl out of range; kResourceExhausted: too many
  // open. The rows go out with batch number `rows.number`; the command is due when that is committed.
  absl::StatusOr<CommandId> Submit(Device& device, const v1::Segment& segment, absl::Duration ttl,
                                   int64_t issued_unix_ms, Now now, RowBatch& rows);
  // Nobody knows what became of it while the server was away, so it continues as unknown; a queued one too, because it
  // may have been sent in the last moment without that being stored.
  void Restore(Device& device, const SavedCommand& saved, Now now, RowBatch& rows);

  // Batches up to `batch` are stored; appends what may be sent now.
  void Committed(uint64_t batch, std::vector<CommandId>& due);
  // The answer to each command of `due`. Not ok: it stays queued and is due again from a Tick.
  void Sent(CommandId id, bool ok, Registry& registry, Now now, RowBatch& rows);

  void Update(Device& device, const v1::CommandUpdate& update, Now now, RowBatch& rows);
  // The device cannot tell any more what became of the commands it holds: they are unknown.
  void DeviceGone(Device& device, absl::string_view reason, Now now, RowBatch& rows);

  void Tick(bool link_up, Registry& registry, Now now, RowBatch& rows, std::vector<CommandId>& due);
  MonoTime NextDue(bool link_up) const;

  const Command* Find(CommandId id) const;
  size_t open_count() const { return open_count_; }
  const Counters& counters() const { return counters_; }

 private:
  using Deadline = std::pair<MonoTime, CommandId>;

  void AddStep(Command& command, Device& device, v1::CommandState state, absl::string_view reason,
               absl::string_view detail, Now now, RowBatch& rows);
  void End(Command& command, Device& device);
  void PassDeadline(Command& command, Device& device, Now now, RowBatch& rows);
  Command* FindMutable(CommandId id);

  const Options options_;
  CommandId next_id_;
  absl::flat_hash_map<CommandId, std::unique_ptr<Command>> commands_;
  std::priority_queue<Deadline, std::vector<Deadline>, std::greater<>> deadlines_;
  std::deque<std::pair<uint64_t, CommandId>> awaiting_commit_;  // by batch number
  std::vector<CommandId> unsent_;                               // stored, the link refused them
  MonoTime retry_at_ = MonoTime::Max();
  std::deque<CommandId> ended_;  // oldest first
  size_t open_count_ = 0;
  Counters counters_;
};

}  // namespace fleet::server
