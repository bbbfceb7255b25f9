#include "device/local_access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace fleet::device {
namespace {

constexpr absl::string_view kLoopback = "127.0.0.1:";

bool IsPort(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
}

// By number, and by the one name that RFC 6761 promises; any other name may lead anywhere.
bool IsLoopback(absl::string_view listen) {
  std::string address(listen.substr(0, listen.rfind(':')));
  if (absl::EqualsIgnoreCase(address, "localhost")) return true;
  in_addr four{};
  if (inet_pton(AF_INET, address.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  if (address.size() < 2 || address.front() != '[' || address.back() != ']') return false;
  address = address.substr(1, address.size() - 2);
  in6_addr six{};
  return inet_pton(AF_INET6, address.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!file || !std::getline(file, token)) {
    return absl::InvalidArgumentError(absl::StrCat("http.token_file: ", path, " cannot be read or is empty"));
  }
  token = std::string(absl::StripSuffix(token, "\r"));
  const bool is_printable =
      std::all_of(token.begin(), token.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (!is_printable || token.size() < LocalAccess::kMinTokenBytes || token.size() > LocalAccess::kMaxTokenBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("http.token_file: the first line of ", path, " is no token: ", LocalAccess::kMinTokenBytes, " to ",
                     LocalAccess::kMaxTokenBytes, " printable characters without spaces"));
  }
  return token;
}

}  // namespace

absl::StatusOr<LocalAccess> ReadLocalAccess(const v1::LocalApiConfig& config) {
  LocalAccess access{.listen = config.listen(), .token = {}};
  if (access.listen.empty()) return access;
  if (IsPort(access.listen)) access.listen.insert(0, kLoopback.data(), kLoopback.size());
  if (!IsPort(access.listen.substr(access.listen.rfind(':') + 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("http.listen: '", access.listen, "' is not off, PORT or ADDRESS:PORT"));
  }
  if (!config.token_file().empty()) {
    ASSIGN_OR_RETURN(access.token, ReadToken(config.token_file()));
  }
  if (access.token.empty() && !IsLoopback(access.listen)) {
    return absl::InvalidArgumentError(
        absl::StrCat("http.listen: ", access.listen, " can be reached from outside: name a file with a token in ",
                     "http.token_file, made by `openssl rand -hex 32`, or listen on 127.0.0.1"));
  }
  return access;
}

}  // namespace fleet::device
