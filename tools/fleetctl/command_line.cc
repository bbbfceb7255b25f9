#include "tools/fleetctl/command_line.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

// After the standard headers: it uses some that it does not include.
#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/config.h"
#include "common/nearest.h"
#include "common/status_macros.h"
#include "fleet/v1/config.pb.h"
#include "tools/fleetctl/client.h"
#include "tools/fleetctl/words.h"

namespace fleet {
namespace {

constexpr char kFooter[] =
    "Examples:\n"
    "  fleetctl status --watch\n"
    "  fleetctl segment pi-1 2 --from -100,20 --to 900,20 --v0 500 --v1 300 --wait\n"
    "  fleetctl segment --online 2 --type hold --from 0,0 --ttl 1m\n"
    "  fleetctl stop --all\n"
    "  fleetctl history pi-1 2 --since 10m --output json\n"
    "  fleetctl ledger\n"
    "  fleetctl telemetry van-7 engine/rpm --since 10m --output csv\n"
    "  fleetctl can dump van-7 can0 --filter 7E8:7F8\n"
    "  fleetctl modbus read van-7 meter 10056 --type F32\n"
    "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 server not reachable\n"
    "Completion: source <(fleetctl completion bash)";

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

bool HasCsv(const Verb& verb) {
  return std::holds_alternative<TelemetryVerb>(verb) || std::holds_alternative<DtcVerb>(verb);
}

absl::StatusOr<OutputFormat> ParseFormat(const std::string& text) {
  if (text == "table") return OutputFormat::kTable;
  if (text == "json") return OutputFormat::kJson;
  if (text == "csv") return OutputFormat::kCsv;
  return absl::InvalidArgumentError(absl::StrCat("--output is table or json, of telemetry and dtc also csv; got '",
                                                 text, "'", DidYouMean(text, {"table", "json", "csv"})));
}

absl::StatusOr<CommandLine> MakeCommandLine(const std::string& verb_name, const Words& words,
                                            const Environment& environment) {
  ASSIGN_OR_RETURN(v1::CtlConfig config, MakeConfig(words, environment));
  while (!config.server().empty() && config.server().back() == '/') config.mutable_server()->pop_back();
  RETURN_IF_ERROR(CheckServerUrl(config.server()));
  ASSIGN_OR_RETURN(const OutputFormat format, ParseFormat(config.output()));
  ASSIGN_OR_RETURN(Verb verb, MakeVerb(verb_name, words));
  if (format == OutputFormat::kCsv && !HasCsv(verb)) {
    return absl::InvalidArgumentError(
        absl::StrCat("csv is there for telemetry and dtc; ", verb_name, " has --output table and json"));
  }
  return CommandLine{.server = config.server(), .format = format, .verb = std::move(verb)};
}

void AddAll(CLI::App& app, Words& words) {
  app.set_version_flag("--version", "fleetctl " FLEET_VERSION);
  app.add_option("--config", words.config, "TOML file with the keys server and output")->type_name("FILE");
  app.add_option("--server", words.server, "Server to ask [http://127.0.0.1:8080, or environment FLEET_SERVER]")
      ->type_name("URL");
  app.add_option("--output", words.output,
                 "table for people, json for programs, csv of telemetry and dtc [table, or environment FLEET_OUTPUT]")
      ->type_name("FORMAT");
  app.fallthrough();  // so that these are accepted after the verb too
  app.require_subcommand(1);
  AddVerbs(app, words);
  app.footer(kFooter);
}

Finished Mistake(absl::string_view what, absl::string_view verb_name) {
  const std::string of_verb = verb_name.empty() ? "" : absl::StrCat(" ", verb_name);
  return {.exit_code = 2, .out = "", .err = absl::StrCat("fleetctl: ", what, "; see fleetctl", of_verb, " --help\n")};
}

// "can dump"
std::string VerbName(const CLI::App& app) {
  const std::vector<CLI::App*> verbs = app.get_subcommands();
  if (verbs.empty()) return "";
  const std::string below = VerbName(*verbs.front());
  return absl::StrCat(verbs.front()->get_name(), below.empty() ? "" : " ", below);
}

// What the library found wrong; of a verb that does not exist it says only that one is missing.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (deepest->get_require_subcommand_min() == 0 || unknown.empty()) return error.what();
  std::vector<std::string> names;
  for (const CLI::App* verb : deepest->get_subcommands([](const CLI::App* v) { return !v->get_group().empty(); })) {
    names.push_back(verb->get_name());
  }
  return absl::StrCat("there is no '", unknown.front(), "'", DidYouMean(unknown.front(), names));
}

// The library says how it ends by exceptions. A value: there is nothing to run.
std::optional<Finished> Parse(CLI::App& app, std::vector<std::string> args) {
  std::reverse(args.begin(), args.end());  // the library takes them from the back
  try {
    app.parse(std::move(args));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return Mistake(WhatIsWrong(app, error), VerbName(app));
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
