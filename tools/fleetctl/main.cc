// fleetctl: asks a fleet-server, sends commands, watches. Everything through its HTTP API.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "tools/fleetctl/session.h"

namespace {

fleet::Environment ReadEnvironment() {
  fleet::Environment environment;
  for (const char* name : {"FLEET_SERVER", "FLEET_OUTPUT"}) {
    if (const char* value = std::getenv(name)) environment[name] = value;
  }
  return environment;
}

fleet::Screen::Size TerminalSize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {.columns = size.ws_col, .rows = size.ws_row};
}

fleet::Screen MakeScreen() {
  fleet::Screen screen{.out = std::cout, .err = std::cerr};
  if (isatty(STDOUT_FILENO) == 0) return screen;
  const char* no_color = std::getenv("NO_COLOR");
  screen.is_terminal = true;
  screen.colour = no_color == nullptr || *no_color == '\0';
  screen.size = TerminalSize;
  return screen;
}

int Run(const fleet::CommandLine& command_line) {
  fleet::Client client(command_line.server);
  fleet::Interrupt interrupt([&client] { client.Cancel(); });
  const fleet::SignalWatch signals(interrupt);
  const fleet::SystemClock clock;
  fleet::Session session{.client = client,
                         .interrupt = interrupt,
                         .clock = clock,
                         .zone = absl::LocalTimeZone(),
                         .format = command_line.format,
                         .screen = MakeScreen()};
  const fleet::ExitCode code = fleet::RunVerb(session, command_line.verb);
  return code == fleet::kDone && !std::cout.flush() ? fleet::kFailed : code;
}

}  // namespace

int main(int argc, char** argv) {
  auto parsed = fleet::ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc), ReadEnvironment());
  if (const auto* finished = std::get_if<fleet::Finished>(&parsed)) {
    std::cout << finished->out;
    std::cerr << finished->err;
    return finished->exit_code;
  }
  return Run(std::get<fleet::CommandLine>(parsed));
}
