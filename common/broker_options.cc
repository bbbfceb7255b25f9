#include "common/broker_options.h"

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/config.h"

namespace fleet {

absl::StatusOr<LinkOptions> ToLinkOptions(const v1::BrokerConfig& broker) {
  LinkOptions options{.url = broker.url(),
                      .username = broker.username(),
                      .keepalive = ToAbsl(broker.keepalive()),
                      .reconnect_min = ToAbsl(broker.reconnect_min()),
                      .reconnect_max = ToAbsl(broker.reconnect_max())};
  if (!broker.password_file().empty()) {
    std::ifstream file(broker.password_file());
    std::getline(file, options.password);
    options.password = std::string(absl::StripSuffix(options.password, "\r"));
    if (options.password.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("broker.password_file: no password on the first line of ", broker.password_file()));
    }
  }
  return options;
}

}  // namespace fleet
