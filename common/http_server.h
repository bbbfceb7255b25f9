// HTTP for the API of the server and the local API of the device. The only file that knows of the HTTP library is
// http_server.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace google::protobuf {
class Message;
}

namespace fleet {

struct HttpRequest {
  std::string path;
  std::vector<std::string> captures;         // what the parentheses of the route's pattern matched, URL-decoded
  std::map<std::string, std::string> query;  // URL-decoded; of a repeated key the last
  std::string body;                          // at most HttpOptions::max_body_bytes
  bool bears_token = true;                   // false only at HttpOptions::open_paths
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

// protobuf's JSON mapping with the proto's field names and all plain fields printed, then a newline.
std::string ToJson(const google::protobuf::Message& message);
// kInvalidArgument: not JSON of this message, an unknown field included; the message says where.
absl::Status FromJson(absl::string_view json, google::protobuf::Message& message);

HttpResponse JsonResponse(const google::protobuf::Message& message);
// {"code","message"} with the HTTP status that fits the code: kInvalidArgument 400, kNotFound 404, kUnavailable 503,
// kResourceExhausted 429, kOutOfRange 413, kDeadlineExceeded 504, kAlreadyExists and kFailedPrecondition 409,
// kUnauthenticated 401, kPermissionDenied 403, others 500.
HttpResponse ErrorResponse(const absl::Status& status);

// Where a live stream takes its events from. Next blocks up to `timeout`.
class EventSource {
 public:
  struct Item {
    std::string event;  // the name
    std::string data;   // one line
  };
  virtual ~EventSource() = default;
  // Appends what is there to `out`, nothing on timeout. False: the stream ends.
  virtual bool Next(absl::Duration timeout, std::vector<Item>& out) = 0;
};

struct HttpOptions {
  std::string listen;   // ADDRESS:PORT; port 0 takes a free one
  int threads = 4;      // for plain requests; streams have threads of their own beyond these
  int max_streams = 8;  // open at once; one more gets 503
  size_t max_body_bytes = 64 * 1024;
  absl::Duration stream_keep_alive = absl::Seconds(10);  // a comment after so much silence shows readers that are gone
  // Not empty: who does not bear it (Authorization: Bearer TOKEN) gets 401, whatever is asked for, and is counted.
  std::string token;
  std::vector<std::string> open_paths;  // answered without it, too; their handlers see whether it is there
};

// Handlers run on the server's threads, several at once. Routes are added before Start. A connection serves one
// request; threads are made when there is work for them. A body has to name its length, and is taken as it is, whatever
// its type; a browser's page of another origin gets 403.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;
  // Opens a stream of server-sent events, or says why not.
  using StreamHandler = std::function<absl::StatusOr<std::unique_ptr<EventSource>>(const HttpRequest&)>;

  // Binds. kInvalidArgument: not ADDRESS:PORT; kAlreadyExists: the port is in use; kUnavailable: another reason.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Bind(const HttpOptions& options);
  virtual ~HttpServer() = default;  // stops

  // `pattern`: a regular expression that must match the whole path.
  virtual void Get(const std::string& pattern, Handler handler) = 0;
  virtual void Post(const std::string& pattern, Handler handler) = 0;
  virtual void Stream(const std::string& pattern, StreamHandler handler) = 0;

  virtual void Start() = 0;
  virtual void Stop() = 0;  // ends open streams; returns when no handler runs any more
  virtual int port() const = 0;
  virtual uint64_t unauthorized() const = 0;  // requests refused for want of the token; any thread
};

}  // namespace fleet
