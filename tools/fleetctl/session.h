// What every verb works with.
#pragma once

#include <functional>
#include <ostream>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/command_line.h"
#include "tools/fleetctl/human.h"
#include "tools/fleetctl/interrupt.h"
#include "tools/fleetctl/table.h"

namespace fleet {

// Where the output goes.
struct Screen {
  struct Size {
    int columns = 0;  // 0: as many as you like
    int rows = 0;
  };
  std::ostream& out;
  std::ostream& err;
  bool is_terminal = false;
  bool colour = false;
  std::function<Size()> size = [] { return Size(); };  // now: windows change

  TextStyle style() const { return {.width = size().columns, .colour = colour}; }
};

struct Session {
  Client& client;
  Interrupt& interrupt;
  const Clock& clock;
  absl::TimeZone zone;
  OutputFormat format = OutputFormat::kTable;
  Screen screen;
  absl::Duration redraw_period = absl::Seconds(1);         // of --watch
  absl::Duration poll_period = absl::Milliseconds(20);     // between rounds of asking what became of many commands
  absl::Duration follow_period = absl::Milliseconds(500);  // of telemetry --follow

  bool json() const { return format == OutputFormat::kJson; }
  Here here() const { return {.now = clock.Read().wall, .zone = zone}; }
};

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2, kNoServer = 3 };

// Runs the verb and says how the program should end. Errors go to screen.err, one line each, in JSON when the output
// is.
ExitCode RunVerb(Session& session, const Verb& verb);

// "fleetctl: MESSAGE", or {"code","message"} as JSON.
void PrintError(Session& session, const absl::Status& error);

}  // namespace fleet
