// Every command from its submission to its end (docs/protocol.md section 6).
//
//   queued --stored, sent--> sent --device--> received > accepted > running > done | failed | superseded | cancelled
//     |                        |                |
//     |-- time to live over    |-- no answer    '-- rejected | expired, said by the device
//     |   '-> expired          |-- device gone, link down
//     '-- taken back           '-> unknown <--> what the device answers when it is asked
//         '-> cancelled
//
// A command goes out once it is stored; a stop does not wait for that. What became of it is asked by sending it again:
// each command has a time at which that is due, and waits past it while its device cannot be reached.
//
// Pure; loop thread only. Bounds: max_open commands that are neither ended nor unknown, and as many stops and cancels
// again; kMaxUnknown unknown ones per device; of the ended ones the last kKeepEnded stay in memory, the store has all.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"
#include "server/registry.h"
#include "server/rows.h"
#include "server/timetable.h"

namespace fleet::server {

// "queued", "sent", ... as people and JSON see them.
absl::string_view Name(v1::CommandState state);
bool IsEnd(v1::CommandState state);     // nothing follows it
bool HasEnded(v1::CommandState state);  // for who waits: an end, or unknown, which may last

struct Command {
  enum class Phase { kOpen, kUnknown, kEnded };

  CommandRow row;
  DeviceIndex device = 0;
  MonoTime issued;
  MonoTime expires;
  std::vector<CommandStepRow> steps;  // at least one, oldest first
  int rank = 0;                       // of the furthest step
  Phase phase = Phase::kOpen;
  bool cleared = false;     // it may go out: it is stored, or a stop
  bool maybe_sent = false;  // the device may have it
  MonoTime ask_at = MonoTime::Max();
  MonoTime deadline = MonoTime::Max();  // of the state it is in

  v1::CommandState state() const { return steps.back().state; }
  bool is_stop() const;
  bool surely_unsent() const { return state() == v1::COMMAND_STATE_QUEUED && !maybe_sent; }
};

// A command that had not ended when the server stopped.
struct SavedCommand {
  CommandRow row;
  std::vector<CommandStepRow> steps;
};

// Is `command` one of those that `cancel` takes back? Modbus writes move something, so a stop and a cancel of the
// device take them back like segments. Reads and CAN commands only go by their id: they move nothing, and who stops a
// vehicle wants to go on seeing its buses.
bool Covers(const v1::Cancel& cancel, const CommandRow& command);

class Commands {
 public:
  static constexpr size_t kKeepEnded = 2000;
  static constexpr size_t kMaxUnknown = 1000;  // per device; past it the oldest is given up
  static constexpr size_t kMaxSteps = 32;  // past it only ends are taken: a device that repeats itself must not grow us
  static constexpr absl::Duration kGiveUp = absl::Hours(24);          // after it became unknown
  static constexpr absl::Duration kAnswerGrace = absl::Seconds(1);    // for the word on a command that just expired
  static constexpr absl::Duration kAskAfterSent = absl::Seconds(1);   // without a word
  static constexpr absl::Duration kAskAfterWord = absl::Seconds(10);  // that was no end
  static constexpr absl::Duration kHurry = absl::Milliseconds(20);    // an answer is most likely within

  struct Options {
    size_t max_open = 100'000;
    absl::Duration max_ttl = absl::Hours(1);
    CommandId first_id{1};
  };
  struct Counters {
    uint64_t submitted = 0;
    uint64_t resent = 0;                       // to ask
    uint64_t given_up = 0;                     // unknown for good
    uint64_t ignored_updates = 0;              // of a command not known here, of another device's, or going back
    absl::flat_hash_map<int, uint64_t> ended;  // by v1::CommandState
  };
  struct Order {
    CommandBody body;
    absl::Duration ttl;
    int64_t issued_unix_ms = 0;  // on the server's steady clock
  };

  explicit Commands(const Options& options) : options_(options), next_id_(options.first_id) {}

  // kInvalidArgument: ttl out of range; kResourceExhausted: too many open. The rows go out with batch number
  // `rows.number`; the command is due when that is committed. A stop is the caller's to send at once.
  absl::StatusOr<CommandId> Submit(Device& device, Order order, Now now, RowBatch& rows);
  // It goes on as it was stored and is asked for at once. What was queued may have been sent in the last moment without
  // that being stored. `steady_unix_ms` is now.
  void Restore(Device& device, const SavedCommand& saved, int64_t steady_unix_ms, Now now, RowBatch& rows);

  // Batches up to `batch` are stored; appends the commands among them.
  void Committed(uint64_t batch, std::vector<CommandId>& stored);
  // This batch never will be. What it brought and was not sent is not sent: `failed`, `not_stored`.
  void Lost(uint64_t batch, Registry& registry, Now now, RowBatch& rows);
  // The answer to each command that was due. Not ok: the link takes nothing now, all wait a little and go out again.
  void Sent(CommandId id, bool ok, Registry& registry, Now now, RowBatch& rows);

  void Update(Device& device, const v1::CommandUpdate& update, Now now, RowBatch& rows);
  // The device cannot tell any more what became of the commands it holds: they are unknown.
  void DeviceGone(Device& device, absl::string_view reason, Now now, RowBatch& rows);

  // From the next Tick on, as soon as the device can be reached.
  void Ask(CommandId id, MonoTime now);
  void AskAll(const Device& device, MonoTime now);

  // Ends what `cancel` covers and surely was never sent.
  std::vector<CommandId> CancelUnsent(Device& device, const v1::Cancel& cancel, Now now, RowBatch& rows);
  // Something that it covers may be on the device.
  bool MayHold(const Device& device, const v1::Cancel& cancel) const;

  // `due` gets what goes out now, old before new.
  void Tick(bool link_up, Registry& registry, Now now, RowBatch& rows, std::vector<CommandId>& due);
  MonoTime NextDue(bool link_up) const;
  bool AwaitsAnswer(MonoTime now) const { return now < hurry_until_; }

  const Command* Find(CommandId id) const;
  size_t open_count() const { return open_count_; }
  size_t unknown_count() const { return unknown_count_; }
  const Counters& counters() const { return counters_; }

 private:
  // A step is on its way to the store in `rows`.
  struct Word {
    v1::CommandState state;
    absl::string_view reason;
    absl::string_view detail = "";
  };

  absl::Status CheckRoom(const Order& order) const;
  Command& Keep(std::unique_ptr<Command> command, Device& device);
  void AddStep(Command& command, Device& device, const Word& word, Now now, RowBatch& rows);
  void Enter(Command& command, Device& device, Command::Phase phase);
  void LimitUnknown(Device& device, RowBatch& rows);
  void GiveUp(Command& command, Device& device, RowBatch& rows);
  void ForgetOldest();
  void PassDeadline(Command& command, Device& device, Now now, RowBatch& rows);
  void AskAt(Command& command, MonoTime at) { asks_.Set(command.row.id, command.ask_at, at); }
  void SetDeadline(Command& command, MonoTime at) { deadlines_.Set(command.row.id, command.deadline, at); }
  Command* FindMutable(CommandId id);

  const Options options_;
  CommandId next_id_;
  absl::flat_hash_map<CommandId, std::unique_ptr<Command>> commands_;
  Timetable<CommandId> asks_;
  Timetable<CommandId> deadlines_;
  std::deque<std::pair<uint64_t, CommandId>> awaiting_commit_;  // by batch number
  MonoTime retry_at_;                                           // the link takes nothing before
  MonoTime hurry_until_;
  std::deque<CommandId> ended_;  // oldest first
  size_t open_count_ = 0;
  size_t unknown_count_ = 0;
  Counters counters_;
};

}  // namespace fleet::server
