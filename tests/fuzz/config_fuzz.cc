// Any text as a configuration file: it is refused, or every value that it sets is one that its rule allows.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/config.h"
#include "common/status_macros.h"
#include "fleet/v1/config.pb.h"

namespace fleet {
namespace {

void TryServer(absl::string_view text) {
  v1::ServerConfig config;
  ApplyDefaults(config);
  if (!ApplyToml(text, "fuzz.toml", config).ok()) return;
  const absl::Duration patrol = ToAbsl(config.patrol());
  FLEET_CHECK(patrol == absl::ZeroDuration() || patrol >= absl::Milliseconds(100)) << patrol;
  FLEET_CHECK(config.http().max_streams() >= 1 && config.http().max_streams() <= 256) << config.http().max_streams();
}

void TryDevice(absl::string_view text) {
  v1::DeviceConfig config;
  ApplyDefaults(config);
  if (!ApplyToml(text, "fuzz.toml", config).ok()) return;
  for (const uint32_t entity : config.entities()) FLEET_CHECK(entity >= 1) << entity;
  FLEET_CHECK(config.state_rate_hz() >= 0 && config.state_rate_hz() <= 1000) << config.state_rate_hz();
}

}  // namespace
}  // namespace fleet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  fleet::TryServer(text);
  fleet::TryDevice(text);
  return 0;
}
