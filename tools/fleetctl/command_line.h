// What the operator asked for, as a value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "fleet/v1/api.pb.h"

namespace fleet {

struct StatusVerb {
  bool watch = false;
};
struct DevicesVerb {};
struct DeviceVerb {
  std::string device;
};
struct SegmentVerb {
  std::string device;
  v1::SegmentRequest request;
  bool wait = false;
};
// A segment for many devices, with a bound on how many run at once.
struct GroupVerb {
  enum class Of { kAll, kOnline, kNamed };
  Of of = Of::kAll;
  std::vector<std::string> devices;  // of kNamed, each once
  v1::SegmentRequest request;
  int at_once = 10;
};
struct CommandsVerb {
  std::string device;  // empty: of all
  uint32_t limit = 0;
};
struct CommandVerb {
  std::string id;
  bool wait = false;
};
struct ReconcileVerb {
  std::string id;
};
// One command, or what a device has, or one entity of it.
struct CancelVerb {
  std::string command;  // empty: what `device` has
  std::string device;
  uint32_t entity = 0;  // 0: all
  bool wait = false;
};
struct StopVerb {
  std::string device;  // empty: all
};
struct WatchVerb {
  std::string device;  // empty: all
};
struct HistoryVerb {
  std::string device;
  uint32_t entity = 0;
  absl::Duration since;
};
struct LivenessVerb {
  std::string device;
  absl::Duration since;
  uint32_t limit = 0;
};
struct LedgerVerb {
  std::string device;  // empty: of all
};
struct EventsVerb {
  std::string device;  // empty: of all
  uint32_t limit = 0;
};
struct QuarantineVerb {
  uint32_t limit = 0;
  bool raw = false;  // the bytes, also of what can be decoded
};
struct TelemetryVerb {
  std::string device;
  std::vector<std::string> signals;  // empty: all
  absl::Duration since;              // zero: not from the past
  bool follow = false;               // neither: the newest of each
};
struct DtcVerb {
  std::string device;  // empty: of all
  bool all = false;    // those too that are not set any more
};
struct ClearDtcsVerb {
  std::string device;
  std::string bus;
};
struct CanDumpVerb {
  std::string device;
  std::string bus;
  v1::CanTapRequest tap;
  bool log = false;  // lines of candump -L
};
struct CanSendVerb {
  std::string device;
  std::string bus;
  v1::CanSendRequest request;
};
struct CanBridgeVerb {
  std::string device;
  std::string bus;
  std::string to;  // as OpenCanBus takes it
  v1::CanTapRequest tap;
};
// Reads or writes registers or bits of a unit behind a device.
struct ModbusVerb {
  std::string device;
  v1::ModbusCallRequest request;
  uint32_t registers_per_value = 1;
};
struct CompletionVerb {};
struct DeviceIdsVerb {};  // for the completion script
using Verb = std::variant<StatusVerb, DevicesVerb, DeviceVerb, SegmentVerb, GroupVerb, CommandsVerb, CommandVerb,
                          ReconcileVerb, CancelVerb, StopVerb, WatchVerb, HistoryVerb, LivenessVerb, LedgerVerb,
                          EventsVerb, QuarantineVerb, TelemetryVerb, DtcVerb, ClearDtcsVerb, CanDumpVerb, CanSendVerb,
                          CanBridgeVerb, ModbusVerb, CompletionVerb, DeviceIdsVerb>;

enum class OutputFormat { kTable, kJson, kCsv };  // csv: of telemetry and dtc only

struct CommandLine {
  std::string server;
  OutputFormat format = OutputFormat::kTable;
  Verb verb;
};

// Nothing to run: --help, --version, or a mistake.
struct Finished {
  int exit_code = 0;
  std::string out;  // for standard output
  std::string err;  // for standard error, one line
};

using Environment = std::map<std::string, std::string>;

// `args` without the program's name. Server and output format come from, weakest first: their defaults, --config FILE,
// the environment, flags. Device ids and numbers are checked.
std::variant<CommandLine, Finished> ParseCommandLine(std::vector<std::string> args, const Environment& environment);

}  // namespace fleet
