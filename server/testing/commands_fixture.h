// What the tests of Commands share: two devices, a store and a link on simulated time.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/testing/fake_clock.h"
#include "server/commands.h"

namespace fleet::server {

inline constexpr v1::CommandState kQueued = v1::COMMAND_STATE_QUEUED;
inline constexpr v1::CommandState kSent = v1::COMMAND_STATE_SENT;
inline constexpr v1::CommandState kReceived = v1::COMMAND_STATE_RECEIVED;
inline constexpr v1::CommandState kAccepted = v1::COMMAND_STATE_ACCEPTED;
inline constexpr v1::CommandState kRunning = v1::COMMAND_STATE_RUNNING;
inline constexpr v1::CommandState kDone = v1::COMMAND_STATE_DONE;
inline constexpr v1::CommandState kRejected = v1::COMMAND_STATE_REJECTED;
inline constexpr v1::CommandState kFailed = v1::COMMAND_STATE_FAILED;
inline constexpr v1::CommandState kExpired = v1::COMMAND_STATE_EXPIRED;
inline constexpr v1::CommandState kCancelled = v1::COMMAND_STATE_CANCELLED;
inline constexpr v1::CommandState kUnknown = v1::COMMAND_STATE_UNKNOWN;

using Ids = std::vector<CommandId>;
using Path = std::vector<v1::CommandState>;

inline v1::Cancel StopAll() {
  v1::Cancel stop;
  stop.set_stop(true);
  return stop;
}

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() : CommandsTest({.max_open = 100'000, .max_ttl = absl::Hours(1), .first_id = CommandId{1}}) {}
  explicit CommandsTest(const Commands::Options& options) : commands_(options) {
    device_ = registry_.Add(*DeviceId::Parse("a17"));
    other_ = registry_.Add(*DeviceId::Parse("b18"));
  }

  absl::StatusOr<CommandId> Submit(absl::Duration ttl = absl::Seconds(5), uint32_t entity = 1) {
    v1::Segment segment;
    segment.set_entity_id(entity);
    return commands_.Submit(*device_, {.body = segment, .ttl = ttl, .issued_unix_ms = 0}, clock_, rows_);
  }
  absl::StatusOr<CommandId> SubmitCancel(const v1::Cancel& cancel) {
    return commands_.Submit(*device_, {.body = cancel, .ttl = absl::Seconds(5), .issued_unix_ms = 0}, clock_, rows_);
  }
  // What the store and the link would do.
  CommandId SubmitAndSend(absl::Duration ttl = absl::Seconds(5)) {
    const CommandId id = *Submit(ttl);
    CommitUpTo(rows_.number++);
    Send(Due(), true);
    return id;
  }
  // The commands that are stored now.
  Ids CommitUpTo(uint64_t batch) {
    Ids stored;
    commands_.Committed(batch, stored);
    return stored;
  }
  // What goes out now.
  Ids Due(bool link_up = true) {
    Ids due;
    commands_.Tick(link_up, registry_, clock_, rows_, due);
    return due;
  }
  Ids Pass(absl::Duration d, bool link_up = true) {
    clock_.Advance(d);
    return Due(link_up);
  }
  void Send(const Ids& ids, bool ok) {
    for (CommandId id : ids) commands_.Sent(id, ok, registry_, clock_, rows_);
  }
  void DeviceSays(CommandId id, v1::CommandState state, const std::string& reason = "") {
    commands_.Update(*device_, MakeUpdate(id, state, reason), clock_, rows_);
  }
  static v1::CommandUpdate MakeUpdate(CommandId id, v1::CommandState state, const std::string& reason) {
    v1::CommandUpdate update;
    update.set_command_id(Number(id));
    update.set_state(state);
    update.set_reason(reason);
    return update;
  }
  MonoTime In(absl::Duration d) const { return clock_.Read().mono + d; }

  v1::CommandState StateOf(CommandId id) const { return commands_.Find(id)->state(); }
  std::string ReasonOf(CommandId id) const { return commands_.Find(id)->steps.back().reason; }
  Path StatesOf(CommandId id) const {
    Path states;
    for (const CommandStepRow& step : commands_.Find(id)->steps) states.push_back(step.state);
    return states;
  }

  FakeClock clock_;
  Registry registry_{10};
  Commands commands_;
  Device* device_;
  Device* other_;
  RowBatch rows_{.number = 1};
};

}  // namespace fleet::server
