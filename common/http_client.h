// GET from a web server nearby, plain HTTP. The only file that knows of the HTTP library is http_client.cc.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/interruption.h"
#include "common/name_lookup.h"

namespace fleet {

struct HttpAnswer {
  int status = 0;  // 200, 404, ...: what an answer with it means is the caller's matter
  std::string body;
};

// Blocks; one request at a time, each on a connection of its own. Redirects are not followed.
class HttpClient {
 public:
  static constexpr size_t kMaxBodyBytes = 64 * 1024;

  // `host`: a name or an address; one of IPv6 without brackets.
  HttpClient(std::string host, int port);

  // `target`: path and query, encoded. `timeout` is for all of it, however slowly the answer drips. kDeadlineExceeded:
  // it was over; kUnavailable: no such host or no connection; kDataLoss: closed before the end, or no HTTP;
  // kOutOfRange: the body is longer than kMaxBodyBytes; kCancelled: interrupted; kInvalidArgument: `target` is none.
  // Each with words for people.
  absl::StatusOr<HttpAnswer> Get(const std::string& target, absl::Duration timeout);

  void Interrupt();  // any thread. The request that runs ends soon, and all that follow at once.

 private:
  const std::string host_;
  const int port_;
  const std::string where_;  // host:port
  NameLookup lookup_;
  Interruption interruption_;
};

}  // namespace fleet
