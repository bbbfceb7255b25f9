#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/can/candump.h"
#include "common/can/open_can_bus.h"
#include "common/can/slcan_pty.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/can_bridge.h"
#include "tools/fleetctl/tap.h"
#include "tools/fleetctl/verbs.h"

namespace fleet {
namespace {

constexpr absl::Duration kSendPatience = absl::Seconds(4);  // more than a CanSend's time to live

// "vcan0", "/tmp/van-7", or the terminal that was made.
std::string PlaceOf(const CanBus& bus, absl::string_view to) {
  if (absl::ConsumePrefix(&to, "slcan-pty:") && !to.empty()) return std::string(to);
  if (const auto* pty = dynamic_cast<const SlcanPty*>(&bus)) return pty->path();
  if (!absl::ConsumePrefix(&to, "socketcan:")) absl::ConsumePrefix(&to, "slcan:");
  return std::string(to);
}

absl::StatusOr<v1::CommandView> SendFrames(Client& client, absl::string_view bus_path, const std::string& by,
                                           const std::vector<CanFrame>& frames) {
  v1::CanSendRequest request;
  request.set_by(by);
  for (const CanFrame& frame : frames) AppendCanFrameText(frame, *request.add_frames());
  v1::CommandView command;
  RETURN_IF_ERROR(
      client.Post(absl::StrCat(bus_path, "/send?wait=end&timeout_ms=", absl::ToInt64Milliseconds(kSendPatience)),
                  request, command));
  return command;
}

void WriteFrames(const v1::CanTapEvent& event, CanBridge& bridge, uint64_t& garbled) {
  std::vector<CanFrame> frames;
  for (const std::string& line : event.frames()) {
    const absl::StatusOr<CandumpLine> parsed = ParseCandumpLine(line);
    if (parsed.ok()) {
      frames.push_back(parsed->frame);
    } else {
      ++garbled;  // of a newer server
    }
  }
  if (!frames.empty()) bridge.Write(frames);
}

}  // namespace

absl::StatusOr<ExitCode> Run(Session& session, const CanBridgeVerb& verb) {
  ASSIGN_OR_RETURN(std::unique_ptr<CanBus> bus, OpenCanBus({.interface = verb.to}));
  const std::string place = PlaceOf(*bus, verb.to);
  const bool is_pty = dynamic_cast<SlcanPty*>(bus.get()) != nullptr;
  const std::string path = BusPath(verb.device, verb.bus);
  ASSIGN_OR_RETURN(const v1::CommandView tap, StartTap(session, path, verb.tap));
  Notes notes(session.screen.err);
  const std::string lasts = absl::FormatDuration(absl::Milliseconds(verb.tap.for_ms()));
  notes.Say(absl::StrCat(verb.bus, " of ", verb.device, " is joined with ", place, " for ", lasts, "; Ctrl-C ends it"));
  if (is_pty && !session.json()) session.screen.out << place << std::endl;

  Client sender(session.client.url());
  const auto send = [&, by = Asker()](const std::vector<CanFrame>& frames) {
    return SendFrames(sender, path, by, frames);
  };
  uint64_t garbled = 0;
  CanBridge bridge(place, std::move(bus), send, [&notes](absl::string_view text) { notes.Say(text); });
  const absl::StatusOr<ExitCode> code =
      ReadTap(session, tap, notes, [&](const v1::CanTapEvent& event) { WriteFrames(event, bridge, garbled); });
  sender.Cancel();
  const CanBridge::Counts counts = bridge.counts();
  notes.Say(absl::StrCat("to ", place, " ", counts.written, ", not written ", counts.unwritten + garbled, "; to ",
                         verb.bus, " ", counts.sent, ", not sent ", counts.unsent));
  if (code.ok() && !session.interrupt.triggered()) {
    notes.Say(absl::StrCat("the bridge is down: its time of ", lasts, " is over; --for makes it longer"));
  }
  return code;
}

}  // namespace fleet
