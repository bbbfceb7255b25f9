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
struct CommandsVerb {
  std::string device;  // empty: of all
  uint32_t limit = 0;
};
struct CommandVerb {
  std::string id;
  bool wait = false;
};
struct WatchVerb {
  std::string device;  // empty: all
};
struct HistoryVerb {
  std::string device;
  uint32_t entity = 0;
  absl::Duration since;
};
struct CompletionVerb {};
struct DeviceIdsVerb {};  // for the completion script
using Verb = std::variant<StatusVerb, DevicesVerb, DeviceVerb, SegmentVerb, CommandsVerb, CommandVerb, WatchVerb,
                          HistoryVerb, CompletionVerb, DeviceIdsVerb>;

enum class OutputFormat { kTable, kJson };

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
