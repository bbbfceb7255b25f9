// Command frames and beats as a server would send them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/signing.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

inline constexpr uint64_t kServerAheadMs = 123'456;  // the wall clocks of server and device are never alike

inline uint64_t ServerMs(const Now& now) {
  return static_cast<uint64_t>(now.mono.millis()) + kServerAheadMs;
}

inline v1::ServerBeat BeatAt(const Now& now) {
  v1::ServerBeat beat;
  beat.set_server_epoch(1);
  beat.set_steady_unix_ms(ServerMs(now));
  return beat;
}

// A line of 1 m at 500 mm/s, 2 s long, issued now, to live 5 s.
inline v1::Command LineFor(uint32_t entity, uint64_t id, const Now& now) {
  v1::Command command;
  command.set_id(id);
  command.set_issued_unix_ms(ServerMs(now));
  command.set_ttl_ms(5000);
  v1::Segment& segment = *command.mutable_segment();
  segment.set_entity_id(entity);
  segment.set_end_x_mm(1000);
  segment.set_start_speed_mm_s(500);
  segment.set_end_speed_mm_s(500);
  segment.set_type(v1::SEGMENT_TYPE_LINE);
  return command;
}

inline v1::Command AppendFor(uint32_t entity, uint64_t id, const Now& now) {
  v1::Command command = LineFor(entity, id, now);
  command.mutable_segment()->set_mode(v1::SEGMENT_MODE_APPEND);
  return command;
}

// Of everything; issued now, to live 5 s.
inline v1::Command StopWith(uint64_t id, const Now& now) {
  v1::Command command;
  command.set_id(id);
  command.set_issued_unix_ms(ServerMs(now));
  command.set_ttl_ms(5000);
  command.mutable_cancel()->set_stop(true);
  return command;
}
inline v1::Command CancelOfEntity(uint32_t entity, uint64_t id, const Now& now) {
  v1::Command command = StopWith(id, now);
  command.mutable_cancel()->set_entity_id(entity);
  return command;
}
inline v1::Command CancelOfCommand(uint64_t target, uint64_t id, const Now& now) {
  v1::Command command = StopWith(id, now);
  command.mutable_cancel()->set_command_id(target);
  return command;
}

// "7:RUNNING 8:REJECTED(no_controller)"
template <typename Updates>
std::string StepsOf(const Updates& updates) {
  std::string text;
  for (const v1::CommandUpdate& u : updates) {
    absl::StrAppend(&text, text.empty() ? "" : " ", u.command_id(), ":", v1::CommandState_Name(u.state()).substr(14));
    if (!u.reason().empty()) absl::StrAppend(&text, "(", u.reason(), ")");
  }
  return text;
}

inline std::string Unsigned(const v1::Command& command) {
  v1::CommandFrame frame;
  frame.set_command(command.SerializeAsString());
  return frame.SerializeAsString();
}

inline std::string Signed(const v1::Command& command, const CommandKey& key) {
  v1::CommandFrame frame;
  frame.set_command(command.SerializeAsString());
  frame.set_tag(key.Sign(frame.command()));
  return frame.SerializeAsString();
}

}  // namespace fleet::device
