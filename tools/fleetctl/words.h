// The words of a command line as they were written, and what is made of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tools/fleetctl/command_line.h"

namespace CLI {
class App;
}

namespace fleet {

// Checked only after all are known, so that a mistake is named in our own words.
struct Words {
  std::string config, server, output;
  std::string device, devices, entity, command, reconcile, shell;
  std::string from, to, v0, v1, type = "line", ttl = "5s", mode = "replace";
  std::string limit, since, at_once, for_time;  // empty: not said
  std::string bus, clear_device;
  std::string unit, address, function, register_type = "U16", order = "big", size, scale;
  std::vector<std::string> signals, frames, filters, values;
  bool watch = false, wait = false, queue = false, all = false, online = false, liveness = false, raw = false;
  bool follow = false, log = false;
};

// options.cc: tells the library of every verb; parsing fills `words`.
void AddVerbs(CLI::App& app, Words& words);

// make_verb.cc: kInvalidArgument names the word that is wrong and what it should be. `name`: "can dump".
absl::StatusOr<Verb> MakeVerb(const std::string& name, const Words& words);

// make_can_verb.cc: the same for each of these verbs.
absl::StatusOr<Verb> MakeTelemetry(const Words& words);
absl::StatusOr<Verb> MakeDtc(const Words& words);
absl::StatusOr<Verb> MakeClearDtcs(const Words& words);
absl::StatusOr<Verb> MakeCanDump(const Words& words);
absl::StatusOr<Verb> MakeCanSend(const Words& words);
absl::StatusOr<Verb> MakeCanBridge(const Words& words);

// make_modbus_verb.cc: likewise.
absl::StatusOr<Verb> MakeModbusRead(const Words& words);
absl::StatusOr<Verb> MakeModbusWrite(const Words& words);

// word_checks.cc: kInvalidArgument likewise. `what` is for the message: "--v0" or "ENTITY".
absl::StatusOr<std::string> CheckDevice(const std::string& text);
absl::StatusOr<std::string> MaybeDevice(const std::string& text);  // empty stays empty: of all
absl::StatusOr<int64_t> ParseWhole(absl::string_view what, absl::string_view text, int64_t min, int64_t max);
absl::StatusOr<absl::Duration> ParsePositive(absl::string_view what, const std::string& text, absl::Duration max);
inline constexpr absl::Duration kLongAgo = absl::Hours(24 * 3660);

}  // namespace fleet
