#include "common/broker_options.h"

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/config.h"

namespace fleet {
namespace {

// tcp://HOST:PORT, with an IPv6 address in brackets.
bool IsBrokerUrl(absl::string_view url) {
  if (!absl::ConsumePrefix(&url, "tcp://")) return false;
  const size_t colon = url.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  const absl::string_view host = url.substr(0, colon);
  const bool in_brackets = host.front() == '[' && host.back() == ']';
  uint32_t port = 0;
  return absl::SimpleAtoi(url.substr(colon + 1), &port) && port >= 1 && port <= 65535 &&
         (in_brackets || host.find_first_of(":/[]@ ") == absl::string_view::npos);
}

}  // namespace

absl::StatusOr<LinkOptions> ToLinkOptions(const v1::BrokerConfig& broker) {
  if (absl::StrContains(broker.url(), '@')) {  // and is not repeated, for it may have a password
    return absl::InvalidArgumentError("broker.url: user and password belong into broker.username and password_file");
  }
  if (!IsBrokerUrl(broker.url())) {
    return absl::InvalidArgumentError(absl::StrCat("broker.url: '", broker.url(), "' is not tcp://HOST:PORT"));
  }
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
