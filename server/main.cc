#include <cstdlib>
#include <iostream>

#include <google/protobuf/stubs/logging.h>

#include "common/config.h"
#include "common/event_loop.h"
#include "common/logging.h"
#include "server/app.h"

constexpr int kUsageError = 2;

int main(int argc, char** argv) {
  fleet::v1::ServerConfig config;
  const auto exit_code = fleet::LoadConfig(
      {.name = "fleet-server", .summary = "Knows which devices are alive and where, stores it, and sends commands."},
      argc, argv, config);
  if (exit_code) return *exit_code;
  google::protobuf::SetLogHandler(nullptr);  // it logs bad bytes without limit; we count them
  const fleet::SystemClock clock;
  fleet::EventLoop loop(clock);
  loop.StopOnSignals();
  absl::Status status = fleet::StartLogging("fleet-server", config.log().level());
  if (status.ok()) {
    auto app = fleet::server::App::Open(config, clock, loop);
    status = app.ok() ? (*app)->Run() : app.status();
  }
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "fleet-server: " << status.message() << std::endl;
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? kUsageError : EXIT_FAILURE;
}
