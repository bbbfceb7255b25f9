// The addresses of a host, in bounded time.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/interruption.h"

namespace fleet {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  std::string host() const;  // 10.0.0.7, fe80::1%eth0
};

// Looks one name up again and again. getaddrinfo(3) may take half a minute when no name server answers and cannot be
// ended, so it has a thread that is left alone with it, one at a time; an address needs none. One thread.
class NameLookup {
 public:
  // The addresses of a name. Blocks; any thread.
  using Resolver =
      std::function<absl::StatusOr<std::vector<SocketAddress>>(const std::string& host, const std::string& port)>;

  // `host`: a name or an address; one of IPv6 without brackets.
  NameLookup(std::string host, int port);
  // With another resolver than the system's.
  NameLookup(std::string host, int port, Resolver resolver);

  // In the order in which they are to be tried, at least one. kNotFound: there is no such name, or nobody knows;
  // kDeadlineExceeded: no answer in time, the next call goes on waiting for it; kCancelled: interrupted.
  absl::StatusOr<std::vector<SocketAddress>> Find(absl::Duration timeout, const Interruption& interruption);

 private:
  struct Question;

  const std::string host_;
  const std::string port_;
  const Resolver resolver_;
  std::shared_ptr<Question> open_;  // null: nothing is being asked
};

}  // namespace fleet
