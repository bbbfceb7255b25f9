#include "tools/fleetctl/connect_error.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace fleet {
namespace {

// 0, or errno.
int TryConnect(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol);
  if (fd < 0) return errno;
  const timeval timeout{.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));  // bounds connect as well
  const int error = ::connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

}  // namespace

std::string WhyNoConnection(absl::string_view host_and_port) {
  const size_t colon = host_and_port.rfind(':');
  const absl::string_view in_brackets = absl::StripPrefix(host_and_port.substr(0, colon), "[");
  const std::string host(absl::StripSuffix(in_brackets, "]"));
  const std::string port(host_and_port.substr(colon + 1));
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* addresses = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &wanted, &addresses); error != 0) {
    return gai_strerror(error);
  }
  const int error = TryConnect(*addresses);
  freeaddrinfo(addresses);
  if (error == 0) return "it did not answer, and now would";
  if (error == EINPROGRESS || error == EAGAIN) return "no answer to connecting";
  return absl::AsciiStrToLower(std::strerror(error));
}

}  // namespace fleet
