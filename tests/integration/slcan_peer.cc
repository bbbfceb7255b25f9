// A bus for slcan_test.py: says in lines what happens on it, and does what it is told in lines.
//
//   slcan_peer INTERFACE [BITRATE [listen]]
//   out: up | down WHY | (time) bus 123#1122 | sent 123#1122 | refused CODE WHY | report MALFORMED ERRORS
//   in:  123#1122 | report
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/can/candump.h"
#include "common/can/open_can_bus.h"

namespace fleet {
namespace {

void Say(absl::string_view line) {
  std::cout << line << std::endl;
}

void Obey(CanBus& bus, const std::string& line) {
  const CanBusReport report = bus.report();
  if (line == "report") {
    std::cout << "report " << report.malformed << " " << report.error_frames << std::endl;
    return;
  }
  const absl::StatusOr<CanFrame> frame = ParseCanFrameText(line);
  const absl::Status status = frame.ok() ? bus.Write(*frame) : frame.status();
  if (status.ok()) {
    std::cout << "sent " << line << std::endl;
  } else {
    std::cout << "refused " << absl::StatusCodeToString(status.code()) << " " << status.message() << std::endl;
  }
}

bool HasInput() {
  pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return poll(&input, 1, 0) > 0;
}

// Until nobody tells it anything any more.
void Run(CanBus& bus) {
  bool up = false;
  std::vector<CanFrame> frames;
  std::string line;
  while (true) {
    frames.clear();
    bus.Read(absl::Milliseconds(10), frames);
    for (const CanFrame& frame : frames) {
      line.clear();
      AppendCandumpLine(frame, "bus", line);
      Say(line);
    }
    const CanBusReport report = bus.report();
    if (report.up != up) std::cout << (report.up ? "up" : "down " + report.problem) << std::endl;
    up = report.up;
    if (!HasInput()) continue;
    if (!std::getline(std::cin, line)) return;
    Obey(bus, line);
  }
}

}  // namespace
}  // namespace fleet

int main(int argc, char** argv) {
  std::cin.tie(nullptr);
  fleet::CanBusSpec spec;
  if (argc > 1) spec.interface = argv[1];
  if (argc > 2) spec.bitrate = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10));
  spec.listen_only = argc > 3;
  absl::StatusOr<std::unique_ptr<fleet::CanBus>> bus = fleet::OpenCanBus(spec);
  if (!bus.ok()) {
    std::cerr << "slcan_peer: " << bus.status().message() << "\n";
    return 2;
  }
  fleet::Run(**bus);
  return 0;
}
