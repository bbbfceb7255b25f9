// Many real device agents in one process, each with a connection and an identity of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/logging.h"
#include "common/mqtt_link.h"
#include "device/inbox.h"
#include "device/linked_agent.h"

namespace fleet {

struct SimOptions {
  LinkOptions link;
  std::string id_prefix = "sim-";
  uint32_t devices = 1;
  uint32_t entities = 1;
  double state_rate_hz = 10;
  uint64_t seed = 1;  // of the phases
  absl::Duration duration = absl::Seconds(60);
};

// Connects all agents, lets them run for the duration, and closes them. Loop thread only.
//
//   Connecting --all up--> Running --duration over, or the loop is stopped--> closed
//        '-- kConnectTimeout --> closed, with an error
class Sim {
 public:
  static constexpr absl::Duration kConnectTimeout = absl::Seconds(60);
  static constexpr absl::Duration kCloseTimeout = absl::Seconds(1);  // of each agent
  static constexpr size_t kInboxPerDevice = 64;

  // `clock` and `loop` outlive it. kInvalidArgument: the options make no device ids.
  static absl::StatusOr<std::unique_ptr<Sim>> Open(const SimOptions& options, const Clock& clock, EventLoop& loop);

  // kDeadlineExceeded: not all agents came up.
  absl::Status Run();

  // One line of JSON: what was sent per stream, what was not, and what became of commands.
  std::string Summary() const;

 private:
  struct Device {
    std::unique_ptr<device::LinkedAgent> agent;
    MonoTime scheduled = MonoTime::Max();  // its one valid entry in due_
  };
  using Due = std::pair<MonoTime, uint32_t>;

  Sim(const SimOptions& options, const Clock& clock, EventLoop& loop);
  absl::Status AddDevice(uint32_t index, absl::Duration phase);
  MonoTime Turn(Now now);
  void LogLoss(const device::Inbox::Item& item, MonoTime now);
  void TakeTurn(uint32_t index, Now now);
  void Schedule(uint32_t index, MonoTime due);
  void FollowPhase(Now now);
  size_t up_count() const;
  absl::Status Close();

  const SimOptions options_;
  const Clock& clock_;
  EventLoop& loop_;
  const Now started_;
  device::Inbox inbox_;
  std::vector<Device> devices_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  LogLimit loss_log_{absl::Seconds(1)};
  bool all_up_ = false;
  MonoTime ends_at_;        // of connecting, then of running
  MonoTime running_since_;  // valid when all_up_
  MonoTime stopped_at_;
};

}  // namespace fleet
