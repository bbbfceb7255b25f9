#include "common/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include "absl/strings/str_cat.h"

namespace fleet {

absl::Status StartLogging(absl::string_view program, absl::string_view level) {
  const std::string name(level);
  if (name != "debug" && name != "info" && name != "warn" && name != "error") {
    return absl::InvalidArgumentError(absl::StrCat("log.level \"", level, "\" is not debug, info, warn or error"));
  }
  auto logger = spdlog::stderr_color_mt(std::string(program));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %n: %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(name));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
  return absl::OkStatus();
}

}  // namespace fleet
