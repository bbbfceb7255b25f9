#include "tools/fleetctl/command_line.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <utility>

// After the standard headers: it uses some that it does not include.
#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "fleet/v1/config.pb.h"
#include "tools/fleetctl/client.h"

namespace fleet {
namespace {

constexpr uint32_t kMaxListed = 1'000'000;
constexpr char kVerbFooter[] =
    "Every verb takes --server URL, --output table|json and --config FILE too: fleetctl --help";
constexpr char kFooter[] =
    "Examples:\n"
    "  fleetctl status --watch\n"
    "  fleetctl segment pi-1 2 --from -100,20 --to 900,20 --v0 500 --v1 300 --wait\n"
    "  fleetctl history pi-1 2 --since 10m --output json\n"
    "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 server not reachable\n"
    "Completion: source <(fleetctl completion bash)";

// The words as they were written; they are checked after all are known.
struct Words {
  std::string config, server, output;
  std::string device, entity, command, shell;
  std::string from, to, v0, v1, type = "line", ttl = "5s";
  std::string limit = "20", since = "10m";
  bool watch = false, wait = false;
};

absl::StatusOr<std::string> CheckDevice(const std::string& text) {
  ASSIGN_OR_RETURN(const DeviceId id, DeviceId::Parse(text));
  return id.str();
}

// `what` is for the message: "--v0" or "ENTITY".
absl::StatusOr<int64_t> ParseWhole(absl::string_view what, absl::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  if (absl::SimpleAtoi(text, &value) && value >= min && value <= max) return value;
  return absl::InvalidArgumentError(
      absl::StrCat(what, " wants a whole number from ", min, " to ", max, "; got '", text, "'"));
}

struct Point {
  int32_t x_mm = 0;
  int32_t y_mm = 0;
};

absl::StatusOr<Point> ParsePoint(absl::string_view what, absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  Point point;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &point.x_mm) && absl::SimpleAtoi(parts[1], &point.y_mm)) {
    return point;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " wants X,Y in whole millimetres, such as -100,20; got '", text, "'"));
}

absl::StatusOr<absl::Duration> ParsePositive(absl::string_view what, const std::string& text, absl::Duration max) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration >= absl::Milliseconds(1) && duration <= max) return duration;
  return absl::InvalidArgumentError(absl::StrCat(what, " wants a duration from 1ms to ", absl::FormatDuration(max),
                                                 ", such as 500ms, 5s or 10m; got '", text, "'"));
}

absl::StatusOr<uint32_t> ParseEntity(const std::string& text) {
  ASSIGN_OR_RETURN(const int64_t id, ParseWhole("ENTITY", text, 1, std::numeric_limits<uint32_t>::max()));
  return static_cast<uint32_t>(id);
}

absl::StatusOr<int32_t> ParseSpeed(absl::string_view what, const std::string& text) {
  ASSIGN_OR_RETURN(const int64_t speed, ParseWhole(what, text, 0, std::numeric_limits<int32_t>::max()));
  return static_cast<int32_t>(speed);
}

// An entity that holds stays at --from, so --to and the speeds may be left out.
absl::StatusOr<v1::SegmentRequest> MakeSegment(Words words) {
  static const std::vector<std::string> kTypes = {"line", "arc_left", "arc_right", "hold"};
  if (std::find(kTypes.begin(), kTypes.end(), words.type) == kTypes.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--type is one of ", absl::StrJoin(kTypes, ", "), "; got '", words.type, "'"));
  }
  if (words.type == "hold") {
    if (words.to.empty()) words.to = words.from;
    if (words.v0.empty()) words.v0 = "0";
    if (words.v1.empty()) words.v1 = "0";
  }
  v1::SegmentRequest request;
  ASSIGN_OR_RETURN(const uint32_t entity, ParseEntity(words.entity));
  ASSIGN_OR_RETURN(const Point from, ParsePoint("--from", words.from));
  ASSIGN_OR_RETURN(const Point to, ParsePoint("--to", words.to));
  ASSIGN_OR_RETURN(const int32_t v0, ParseSpeed("--v0", words.v0));
  ASSIGN_OR_RETURN(const int32_t v1, ParseSpeed("--v1", words.v1));
  ASSIGN_OR_RETURN(const absl::Duration ttl, ParsePositive("--ttl", words.ttl, absl::Hours(24)));
  request.set_entity_id(entity);
  request.set_from_x_mm(from.x_mm);
  request.set_from_y_mm(from.y_mm);
  request.set_to_x_mm(to.x_mm);
  request.set_to_y_mm(to.y_mm);
  request.set_v0_mm_s(v0);
  request.set_v1_mm_s(v1);
  request.set_type(words.type);
  request.set_ttl_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(ttl)));
  return request;
}

absl::StatusOr<Verb> MakeVerb(const std::string& name, const Words& words) {
  std::string device;
  if (!words.device.empty()) {
    ASSIGN_OR_RETURN(device, CheckDevice(words.device));
  }
  if (name == "status") return StatusVerb{words.watch};
  if (name == "devices") return DevicesVerb{};
  if (name == "device") return DeviceVerb{device};
  if (name == "watch") return WatchVerb{device};
  if (name == "segment") {
    ASSIGN_OR_RETURN(const v1::SegmentRequest request, MakeSegment(words));
    return SegmentVerb{device, request, words.wait};
  }
  if (name == "commands") {
    ASSIGN_OR_RETURN(const int64_t limit, ParseWhole("--limit", words.limit, 1, kMaxListed));
    return CommandsVerb{device, static_cast<uint32_t>(limit)};
  }
  if (name == "command") {
    ASSIGN_OR_RETURN(const int64_t id, ParseWhole("ID", words.command, 1, std::numeric_limits<int64_t>::max()));
    return CommandVerb{absl::StrCat(id), words.wait};
  }
  if (name == "history") {
    ASSIGN_OR_RETURN(const uint32_t entity, ParseEntity(words.entity));
    ASSIGN_OR_RETURN(const absl::Duration since, ParsePositive("--since", words.since, absl::Hours(24 * 3660)));
    return HistoryVerb{device, entity, since};
  }
  if (name == "__devices") return DeviceIdsVerb{};
  if (words.shell == "bash") return CompletionVerb{};
  return absl::InvalidArgumentError(absl::StrCat("completion is there for bash only; got '", words.shell, "'"));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text, '\0');
  if (file.is_open() && !file.bad()) return text;
  return absl::NotFoundError(absl::StrCat("--config ", path, " cannot be read"));
}

absl::StatusOr<v1::CtlConfig> MakeConfig(const Words& words, const Environment& environment) {
  v1::CtlConfig config;
  ApplyDefaults(config);
  if (!words.config.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(words.config));
    RETURN_IF_ERROR(ApplyToml(text, words.config, config));
  }
  const auto from_environment = [&](const char* name, absl::string_view key) -> absl::Status {
    const auto found = environment.find(name);
    if (found == environment.end() || found->second.empty()) return absl::OkStatus();
    return ApplyValue(key, found->second, config);
  };
  RETURN_IF_ERROR(from_environment("FLEET_SERVER", "server"));
  RETURN_IF_ERROR(from_environment("FLEET_OUTPUT", "output"));
  if (!words.server.empty()) RETURN_IF_ERROR(ApplyValue("server", words.server, config));
  if (!words.output.empty()) RETURN_IF_ERROR(ApplyValue("output", words.output, config));
  return config;
}

absl::StatusOr<CommandLine> MakeCommandLine(const std::string& verb_name, const Words& words,
                                            const Environment& environment) {
  ASSIGN_OR_RETURN(v1::CtlConfig config, MakeConfig(words, environment));
  while (!config.server().empty() && config.server().back() == '/') config.mutable_server()->pop_back();
  RETURN_IF_ERROR(CheckServerUrl(config.server()));
  if (config.output() != "table" && config.output() != "json") {
    return absl::InvalidArgumentError(absl::StrCat("--output is table or json; got '", config.output(), "'"));
  }
  ASSIGN_OR_RETURN(Verb verb, MakeVerb(verb_name, words));
  return CommandLine{.server = config.server(),
                     .format = config.output() == "json" ? OutputFormat::kJson : OutputFormat::kTable,
                     .verb = std::move(verb)};
}

void AddSegment(CLI::App& app, Words& words) {
  CLI::App* verb = app.add_subcommand("segment", "Send an entity a piece of motion");
  verb->add_option("DEVICE", words.device, "Device id")->type_name("")->required();
  verb->add_option("ENTITY", words.entity, "Entity id within the device")->type_name("")->required();
  verb->add_option("--from", words.from, "Start, X,Y in mm")->type_name("X,Y")->required();
  verb->add_option("--to", words.to, "End, X,Y in mm; not needed to hold")->type_name("X,Y");
  verb->add_option("--v0", words.v0, "Speed at the start in mm/s; not needed to hold")->type_name("N");
  verb->add_option("--v1", words.v1, "Speed at the end in mm/s; not needed to hold")->type_name("N");
  verb->add_option("--type", words.type, "line, arc_left, arc_right or hold")->type_name("TYPE")->capture_default_str();
  verb->add_option("--ttl", words.ttl, "Time to live: not begun by then, it never runs")
      ->type_name("DURATION")
      ->capture_default_str();
  verb->add_flag("--wait", words.wait, "Show each step and wait for the end; exit code 0 only when done");
}

void AddCommands(CLI::App& app, Words& words) {
  CLI::App* commands = app.add_subcommand("commands", "List commands, newest first");
  commands->add_option("--device", words.device, "Only those of this device")->type_name("ID");
  commands->add_option("--limit", words.limit, "How many at most")->type_name("N")->capture_default_str();
  CLI::App* command = app.add_subcommand("command", "Show one command with each of its steps");
  command->add_option("ID", words.command, "Command id")->type_name("")->required();
  command->add_flag("--wait", words.wait, "Show each step and wait for the end; exit code 0 only when done");
}

void AddFleet(CLI::App& app, Words& words) {
  CLI::App* status = app.add_subcommand("status", "Show the fleet at a glance");
  status->add_flag("--watch", words.watch, "Redraw once a second until Ctrl-C");
  app.add_subcommand("devices", "List devices with their entities and losses");
  app.add_subcommand("device", "Show one device")
      ->add_option("ID", words.device, "Device id")
      ->type_name("")
      ->required();
  CLI::App* watch = app.add_subcommand("watch", "Print what happens as it happens, until Ctrl-C");
  watch->add_option("DEVICE", words.device, "Only this device")->type_name("");
  CLI::App* history = app.add_subcommand("history", "List where an entity was");
  history->add_option("DEVICE", words.device, "Device id")->type_name("")->required();
  history->add_option("ENTITY", words.entity, "Entity id within the device")->type_name("")->required();
  history->add_option("--since", words.since, "How far back")->type_name("DURATION")->capture_default_str();
}

void AddAll(CLI::App& app, Words& words) {
  app.set_version_flag("--version", "fleetctl " FLEET_VERSION);
  app.add_option("--config", words.config, "TOML file with the keys server and output")->type_name("FILE");
  app.add_option("--server", words.server, "Server to ask [http://127.0.0.1:8080, or environment FLEET_SERVER]")
      ->type_name("URL");
  app.add_option("--output", words.output, "table for people, json for programs [table, or environment FLEET_OUTPUT]")
      ->type_name("FORMAT");
  app.fallthrough();  // so that these are accepted after the verb too
  app.require_subcommand(1);
  app.footer(kVerbFooter);  // the verbs inherit it
  AddFleet(app, words);
  AddSegment(app, words);
  AddCommands(app, words);
  CLI::App* completion = app.add_subcommand("completion", "Print a script that completes fleetctl's words");
  completion->add_option("SHELL", words.shell, "bash")->type_name("")->required();
  app.add_subcommand("__devices")->group("");
  app.footer(kFooter);
}

Finished Mistake(absl::string_view what, absl::string_view verb_name) {
  const std::string of_verb = verb_name.empty() ? "" : absl::StrCat(" ", verb_name);
  return {.exit_code = 2, .out = "", .err = absl::StrCat("fleetctl: ", what, "; see fleetctl", of_verb, " --help\n")};
}

std::string VerbName(const CLI::App& app) {
  const std::vector<CLI::App*> verbs = app.get_subcommands();
  return verbs.empty() ? "" : verbs.front()->get_name();
}

// The library says how it ends by exceptions. A value: there is nothing to run.
std::optional<Finished> Parse(CLI::App& app, std::vector<std::string> args) {
  std::reverse(args.begin(), args.end());  // the library takes them from the back
  try {
    app.parse(std::move(args));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return Mistake(error.what(), VerbName(app));
    std::ostringstream out;
    app.exit(error, out, out);
    return Finished{.exit_code = 0, .out = out.str(), .err = ""};
  }
}

}  // namespace

std::variant<CommandLine, Finished> ParseCommandLine(std::vector<std::string> args, const Environment& environment) {
  Words words;
  CLI::App app("Asks a fleet-server, sends commands, watches.", "fleetctl");
  AddAll(app, words);
  if (std::optional<Finished> finished = Parse(app, std::move(args))) return *std::move(finished);
  const std::string verb_name = VerbName(app);
  absl::StatusOr<CommandLine> command_line = MakeCommandLine(verb_name, words, environment);
  if (!command_line.ok()) return Mistake(std::string(command_line.status().message()), verb_name);
  return *std::move(command_line);
}

}  // namespace fleet
