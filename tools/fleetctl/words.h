// The words of a command line as they were written, and what is made of them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
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
  std::string limit, since, at_once;  // empty: not said
  bool watch = false, wait = false, queue = false, all = false, online = false, liveness = false, raw = false;
};

// options.cc: tells the library of every verb; parsing fills `words`.
void AddVerbs(CLI::App& app, Words& words);

// make_verb.cc: kInvalidArgument names the word that is wrong and what it should be.
absl::StatusOr<Verb> MakeVerb(const std::string& name, const Words& words);

}  // namespace fleet
