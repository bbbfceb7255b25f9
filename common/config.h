// Configuration of a program: a message of config.proto, filled from, weakest first: the defaults in its rules, the
// TOML file, environment variables, flags.
//
//   key liveness.stale_after   TOML [liveness] stale_after = "1s"   FLEET_LIVENESS_STALE_AFTER=1s
//   --liveness.stale_after 1s
//
// A rule with `flag` adds that short flag (--broker for broker.url); keys of the top level have their own name as
// flag, with - for _. Durations are strings such as "500ms"; lists are TOML arrays, and 1,2,3 in flags and environment.
// A repeated message is an array of tables, [[can.bus]], which only the file can have.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"

namespace fleet {

struct ProgramInfo {
  std::string name;     // fleet-server
  std::string summary;  // one line for --help
};

// Fills `config`. A value: the program ends now with that exit code (0 after --help, --version or --example-config, 2
// after a mistake, which has been printed to standard error as one line). `file`, when not null, gets the path of the
// file that was read, empty when there is none.
std::optional<int> LoadConfig(const ProgramInfo& program, int argc, const char* const* argv,
                              google::protobuf::Message& config, std::string* file = nullptr);

// The parts of LoadConfig, for tests and for other front ends.
void ApplyDefaults(google::protobuf::Message& config);
// kInvalidArgument: "FILE:LINE: KEY: what is wrong", with the nearest known key when it is unknown; `config` may be
// half filled then.
absl::Status ApplyToml(absl::string_view text, absl::string_view file_name, google::protobuf::Message& config);
// `key` as above, `value` as on a command line. kInvalidArgument: unknown key, wrong type, or out of range.
absl::Status ApplyValue(absl::string_view key, absl::string_view value, google::protobuf::Message& config);
// kInvalidArgument: a required key is missing.
absl::Status CheckRequired(const google::protobuf::Message& config);

// A file with every key, its default and what it means; it loads as it is. docs/config/ holds one for each program.
std::string ExampleToml(const google::protobuf::Descriptor& config);

absl::Duration ToAbsl(const google::protobuf::Duration& duration);

}  // namespace fleet
