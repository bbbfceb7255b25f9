#include "common/http_client.h"

#include <fcntl.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fleet {
namespace {

constexpr absl::Duration kOnceMore = absl::Milliseconds(10);  // a socket may be cut off before it connects
constexpr absl::Duration kLonger = absl::Seconds(1);          // are the library's limits, so that the cutter is first

// Cuts a request off when its time is over or it is interrupted: the library's limits are for each read. It has a
// thread and keeps sockets of its own, so that it never touches one that the library has closed.
class Cutter {
 public:
  Cutter(const Interruption& interruption, MonoTime deadline)
      : interruption_(interruption), deadline_(deadline), thread_([this] { Run(); }) {}
  ~Cutter() {
    over_.Raise();
    thread_.join();
    if (socket_ >= 0) close(socket_);
  }

  bool has_cut() const { return has_cut_; }
  void Watch(int socket) {
    MutexLock lock(mu_);
    if (socket_ >= 0) close(socket_);
    socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  }

 private:
  void Run() {
    const SystemClock clock;
    if (interruption_.Wait(over_.fd(), POLLIN, deadline_ - clock.Read().mono) == Interruption::Woken::kReady) return;
    has_cut_ = true;
    do {
      MutexLock lock(mu_);
      if (socket_ >= 0) shutdown(socket_, SHUT_RDWR);
    } while (over_.Wait(-1, 0, kOnceMore) == Interruption::Woken::kTimeout);
  }

  const Interruption& interruption_;
  const MonoTime deadline_;
  Interruption over_;
  std::atomic<bool> has_cut_ = false;
  Mutex mu_;
  int socket_ ABSL_GUARDED_BY(mu_) = -1;
  std::thread thread_;
};

// A space or a line end would be more than a target.
bool IsTarget(absl::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c > '~') return false;
  }
  return absl::StartsWith(text, "/");
}

// The body up to its bound.
struct Received {
  HttpAnswer answer;
  bool too_long = false;

  bool Take(const char* bytes, size_t count) {
    too_long = answer.body.size() + count > HttpClient::kMaxBodyBytes;
    if (!too_long) answer.body.append(bytes, count);
    return !too_long;
  }
};

httplib::Error Fetch(httplib::Client& library, const std::string& target, Received& received) {
  try {
    const httplib::Result result = library.Get(
        target, httplib::Headers{{"Accept-Encoding", "identity"}},
        [&](const httplib::Response& head) {
          received.answer.status = head.status;
          return true;
        },
        [&](const char* bytes, size_t count) { return received.Take(bytes, count); });
    return result.error();
  } catch (const std::exception&) {  // a number in a header that is none
    return httplib::Error::Read;
  }
}

std::string Reason(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return "it does not take the connection";
    case httplib::Error::Write:
      return "it has closed the connection before it read the request";
    default:
      return "it has closed the connection before the end of an answer, or what it says is no HTTP";
  }
}

}  // namespace

HttpClient::HttpClient(std::string host, int port)
    : host_(std::move(host)),
      port_(port),
      where_(absl::StrContains(host_, ':') ? absl::StrCat("[", host_, "]:", port) : absl::StrCat(host_, ":", port)),
      lookup_(host_, port) {}

absl::StatusOr<HttpAnswer> HttpClient::Get(const std::string& target, absl::Duration timeout) {
  if (!IsTarget(target)) return absl::InvalidArgumentError("not a path and a query");
  const SystemClock clock;
  const MonoTime deadline = clock.Read().mono + timeout;
  const auto addresses = lookup_.Find(timeout, interruption_);
  if (!addresses.ok()) {
    const bool no_name = absl::IsNotFound(addresses.status());
    return absl::Status(no_name ? absl::StatusCode::kUnavailable : addresses.status().code(),
                        absl::StrCat(where_, ": ", addresses.status().message()));
  }

  Received received;
  httplib::Error error = httplib::Error::Connection;
  Cutter cutter(interruption_, deadline);
  for (const SocketAddress& address : *addresses) {
    const absl::Duration left = deadline - clock.Read().mono;
    if (interruption_.raised() || left <= absl::ZeroDuration()) break;
    httplib::Client library(address.host(), port_);
    library.set_default_headers({{"Host", where_}});
    library.set_url_encode(false);
    library.set_tcp_nodelay(true);
    const auto longer = absl::ToChronoMicroseconds(left + kLonger);
    library.set_connection_timeout(longer);
    library.set_read_timeout(longer);
    library.set_write_timeout(longer);
    library.set_socket_options([&cutter](socket_t socket) { cutter.Watch(socket); });
    error = Fetch(library, target, received);
    if (error != httplib::Error::Connection) break;
  }
  if (interruption_.raised()) return absl::CancelledError("interrupted");
  // A body that only the end of the connection ends looks whole when it was cut off.
  if (error == httplib::Error::Success && !cutter.has_cut()) return std::move(received.answer);
  if (received.too_long) {
    return absl::OutOfRangeError(absl::StrCat(where_, ": the answer is longer than ", kMaxBodyBytes, " bytes"));
  }
  if (clock.Read().mono >= deadline) return absl::DeadlineExceededError(absl::StrCat(where_, ": no answer in time"));
  const bool no_connection = error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout;
  return absl::Status(no_connection ? absl::StatusCode::kUnavailable : absl::StatusCode::kDataLoss,
                      absl::StrCat(where_, ": ", Reason(error)));
}

void HttpClient::Interrupt() {
  interruption_.Raise();
}

}  // namespace fleet
