// The server's HTTP API as messages and Status. The only header that knows of the HTTP library is client.cc.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "tools/fleetctl/sse.h"

namespace httplib {
class Client;
struct Request;
}  // namespace httplib

namespace fleet {

// No answer at all came from the server, apart from every error that a server may answer with.
absl::Status UnreachableError(absl::string_view message);
bool IsUnreachable(const absl::Status& status);
// Moreover there was no connection, so the server surely knows nothing of the request.
bool WasNotSent(const absl::Status& status);

// kInvalidArgument: not http://HOST:PORT.
absl::Status CheckServerUrl(absl::string_view url);

using Query = std::map<std::string, std::string>;  // empty values are left out

// kDataLoss: not JSON of such a message. Fields that it has not are no mistake.
absl::Status ParseAnswer(absl::string_view json, google::protobuf::Message& answer);

// One request at a time, by one thread; Cancel by any. Messages take fields that they do not know for granted, so that
// an older client reads a newer server. Errors: IsUnreachable; kCancelled after Cancel; otherwise what the server said.
class Client {
 public:
  static constexpr size_t kMaxAnswerBytes = 64 * 1024 * 1024;
  static constexpr absl::Duration kAnswerTimeout = absl::Seconds(10);
  static constexpr absl::Duration kStreamSilence = absl::Seconds(25);  // the server says something every 10 s

  explicit Client(const std::string& url);  // one that passed CheckServerUrl
  ~Client();

  const std::string& url() const { return url_; }

  // `extra`: how much longer than usual the answer may take, for a long poll; below zero less.
  absl::Status Get(absl::string_view path, const Query& query, google::protobuf::Message& answer,
                   absl::Duration extra = absl::ZeroDuration());
  absl::Status Post(absl::string_view path, const google::protobuf::Message& body, google::protobuf::Message& answer);
  // The answer as it came; ParseAnswer reads it.
  absl::Status Post(absl::string_view path, const google::protobuf::Message& body, std::string& answer,
                    absl::Duration extra);
  // Until the stream ends, which is an error as well: IsUnreachable.
  absl::Status Stream(absl::string_view path, const std::function<void(const SseEvent&)>& on_event);

  // Ends what is under way and refuses what comes after.
  void Cancel();

 private:
  // Takes the bytes of a good answer as they come.
  using Sink = std::function<absl::Status(absl::string_view bytes)>;
  absl::Status Send(httplib::Request request, absl::Duration timeout, const Sink& sink);
  absl::Status SendForText(httplib::Request request, absl::Duration timeout, std::string& answer);
  absl::Status SendForMessage(httplib::Request request, absl::Duration timeout, google::protobuf::Message& answer);

  const std::string url_;
  const std::unique_ptr<httplib::Client> http_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace fleet
