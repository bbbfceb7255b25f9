#include "common/http_server.h"

#include <google/protobuf/util/json_util.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <exception>
#include <future>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "common/signing.h"
#include "fleet/v1/api.pb.h"

namespace fleet {
namespace {

constexpr int kBacklog = 128;
// A connection serves one request: one that idles would hold a thread. It has this long to begin, and to go on after
// each pause; so Stop takes no longer either.
constexpr int kFirstByteSeconds = 1;
constexpr int kPauseSeconds = 2;
constexpr size_t kMaxWaitingConnections = 64;
constexpr size_t kMaxPathBytes = 512;                            // the library's patterns recurse on each character
constexpr absl::Duration kStreamTick = absl::Milliseconds(250);  // how soon a stream sees Stop

// Threads for connections, made when there is work and no idle one, at most `max_threads`. When kMaxWaitingConnections
// wait, accepting pauses and the kernel's backlog fills.
class ConnectionThreads : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(size_t max_threads) : max_threads_(max_threads) {}

  void enqueue(std::function<void()> connection) override {
    MutexLock lock(mu_);
    while (waiting_.size() >= kMaxWaitingConnections) has_room_.Wait(mu_);
    waiting_.push_back(std::move(connection));
    if (idle_ < waiting_.size() && threads_.size() < max_threads_) threads_.emplace_back([this] { Work(); });
    has_work_.NotifyOne();
  }

  void shutdown() override {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      has_work_.NotifyAll();
    }
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void Work() {
    while (std::function<void()> connection = Take()) connection();
  }

  // Empty: stopping, and nothing waits any more.
  std::function<void()> Take() {
    MutexLock lock(mu_);
    ++idle_;
    while (waiting_.empty() && !stopping_) has_work_.Wait(mu_);
    --idle_;
    if (waiting_.empty()) return nullptr;
    std::function<void()> connection = std::move(waiting_.front());
    waiting_.pop_front();
    has_room_.NotifyOne();
    return connection;
  }

  const size_t max_threads_;
  std::vector<std::thread> threads_;  // accepting thread only
  Mutex mu_;
  CondVar has_work_;
  CondVar has_room_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mu_);
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

// The library's server, with its socket in reach.
class Library : public httplib::Server {
 public:
  ~Library() override { CloseSocket(); }

  // 0, or errno.
  int Bind(const std::string& address, int port) {
    set_address_family(AF_UNSPEC);
    errno = 0;
    if (!bind_to_port(address, port)) return errno == 0 ? EADDRNOTAVAIL : errno;
    ::listen(svr_sock_, kBacklog);  // again: the library's backlog of 5 loses bursts
    return 0;
  }

  int port() const {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    getsockname(svr_sock_, reinterpret_cast<sockaddr*>(&address), &size);
    // The port is at the same place in both families.
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  }

  // For a server that was bound and never run: stop() closes only a running one.
  void CloseSocket() {
    const int fd = svr_sock_.exchange(INVALID_SOCKET);
    if (fd != INVALID_SOCKET) ::close(fd);
  }
};

// One of the `max` streams that may be open; given back by the destructor.
class StreamSlot {
 public:
  static std::unique_ptr<StreamSlot> Take(std::atomic<int>& open, int max) {
    auto slot = std::unique_ptr<StreamSlot>(new StreamSlot(open));
    return slot->number_ > max ? nullptr : std::move(slot);
  }
  ~StreamSlot() { --open_; }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;

 private:
  explicit StreamSlot(std::atomic<int>& open) : open_(open), number_(++open) {}
  std::atomic<int>& open_;
  const int number_;
};

// An open stream: what the library asks again and again for more to send. One thread.
class OpenStream {
 public:
  OpenStream(std::unique_ptr<EventSource> source, std::unique_ptr<StreamSlot> slot, absl::Duration keep_alive)
      : source_(std::move(source)), slot_(std::move(slot)), keep_alive_(keep_alive), last_write_(clock_.Read().mono) {}

  // False: the reader is gone.
  bool SendNext(httplib::DataSink& sink) {
    items_.clear();
    const bool more = source_->Next(kStreamTick, items_);
    const MonoTime now = clock_.Read().mono;
    std::string text;
    for (const EventSource::Item& item : items_) {
      absl::StrAppend(&text, "event: ", item.event, "\ndata: ", item.data, "\n\n");
    }
    if (text.empty() && now - last_write_ >= keep_alive_) text = ": keep-alive\n\n";
    if (!text.empty()) {
      last_write_ = now;
      if (!sink.write(text.data(), text.size())) return false;
    }
    if (!more) sink.done();
    return true;
  }

 private:
  const SystemClock clock_;
  const std::unique_ptr<EventSource> source_;
  const std::unique_ptr<StreamSlot> slot_;  // free before the source ends, so who sees the end can open another
  const absl::Duration keep_alive_;
  std::vector<EventSource::Item> items_;
  MonoTime last_write_;
};

// What follows "Authorization: Bearer "; RFC 6750, section 2.1. Empty: nothing does.
absl::string_view TokenOf(const std::string& authorization) {
  constexpr absl::string_view kScheme = "Bearer ";
  const absl::string_view text = authorization;
  if (!absl::EqualsIgnoreCase(text.substr(0, kScheme.size()), kScheme)) return "";
  return absl::StripAsciiWhitespace(text.substr(kScheme.size()));
}

HttpRequest FromLibrary(const httplib::Request& from) {
  HttpRequest request{.path = from.path, .captures = {}, .query = {}, .body = from.body};
  for (size_t i = 1; i < from.matches.size(); ++i) request.captures.push_back(from.matches[i].str());
  // Not from.params: a body that says it is a form would be among them.
  if (const size_t mark = from.target.find('?'); mark != std::string::npos) {
    httplib::Params params;
    httplib::detail::parse_query_text(from.target.substr(mark + 1), params);
    for (const auto& [key, value] : params) request.query[key] = value;
  }
  return request;
}

void ToLibrary(const HttpResponse& from, httplib::Response& to) {
  to.status = from.status;
  to.set_content(from.body, from.content_type);
}

int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kOutOfRange:
      return 413;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

// What the library refuses by itself, before any handler.
absl::Status LibraryError(const httplib::Request& request, int http_status, size_t max_body_bytes) {
  switch (http_status) {
    case 404:
      return absl::NotFoundError(absl::StrCat("no such path: ", request.method, " ", request.path));
    case 413:
      return absl::OutOfRangeError(absl::StrCat("the body is larger than ", max_body_bytes, " bytes"));
    case 414:
      return absl::InvalidArgumentError("the path is too long");
    default:
      return absl::InvalidArgumentError("not a request that this server understands");
  }
}

// JSON is UTF-8, and what somebody sent and a message quotes may be anything.
std::string OnlyAscii(absl::string_view text) {
  std::string ascii(text);
  for (char& c : ascii) {
    if (!absl::ascii_isascii(static_cast<unsigned char>(c))) c = '?';
  }
  return ascii;
}

std::string WhatOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "not a std::exception";
  }
}

class LibraryHttpServer : public HttpServer {
 public:
  explicit LibraryHttpServer(const HttpOptions& options) : options_(options) {
    library_.new_task_queue = [this] {
      started_.set_value();
      return new ConnectionThreads(static_cast<size_t>(options_.threads + options_.max_streams));
    };
    // Not the library's SO_REUSEPORT, with which two programs share a port and never notice.
    library_.set_socket_options([](socket_t fd) {
      const int on = 1;
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    library_.set_tcp_nodelay(true);
    library_.set_keep_alive_max_count(1);
    library_.set_keep_alive_timeout(kFirstByteSeconds);
    library_.set_read_timeout(kPauseSeconds);
    library_.set_write_timeout(kPauseSeconds);
    library_.set_payload_max_length(options_.max_body_bytes);
    AdmitRequests();
    AnswerErrors();
  }
  ~LibraryHttpServer() override { LibraryHttpServer::Stop(); }

  // 0, or errno.
  int Bind(const std::string& address, int port) {
    const int error = library_.Bind(address, port);
    if (error == 0) port_ = library_.port();
    return error;
  }

  void Get(const std::string& pattern, Handler handler) override { library_.Get(pattern, Plain(std::move(handler))); }
  void Post(const std::string& pattern, Handler handler) override { library_.Post(pattern, Plain(std::move(handler))); }
  void Stream(const std::string& pattern, StreamHandler handler) override {
    library_.Get(pattern,
                 [this, handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
                   if (!BearsToken(request)) return Refuse(request, response);
                   if (absl::Status status = OpenInto(handler, request, response); !status.ok()) {
                     ToLibrary(ErrorResponse(status), response);
                   }
                 });
  }

  void Start() override {
    thread_ = std::thread([this] { library_.listen_after_bind(); });
    started_.get_future().wait();  // before it runs, stop() would do nothing
  }

  void Stop() override {
    if (!thread_.joinable()) return library_.CloseSocket();
    library_.stop();
    thread_.join();
  }

  int port() const override { return port_; }
  uint64_t unauthorized() const override { return unauthorized_; }

 private:
  httplib::Server::Handler Plain(Handler handler) {
    return [this, handler = std::move(handler)](const httplib::Request& from, httplib::Response& response) {
      HttpRequest request = FromLibrary(from);
      request.bears_token = BearsToken(from);
      if (!request.bears_token && !IsOpen(from)) return Refuse(from, response);
      ToLibrary(handler(request), response);
    };
  }

  bool BearsToken(const httplib::Request& request) const {
    return options_.token.empty() || IsSameSecret(TokenOf(request.get_header_value("Authorization")), options_.token);
  }
  bool IsOpen(const httplib::Request& request) const {
    return std::ranges::find(options_.open_paths, request.path) != options_.open_paths.end();
  }
  void Refuse(const httplib::Request& request, httplib::Response& response) {
    ++unauthorized_;
    LogRefusal(request);
    ToLibrary(ErrorResponse(absl::UnauthenticatedError("this needs the token: Authorization: Bearer TOKEN")), response);
    response.set_header("WWW-Authenticate", "Bearer realm=\"fleet\"");
  }
  void LogRefusal(const httplib::Request& request) {
    MutexLock lock(mu_);
    const auto skipped = refusal_log_.Allow(clock_.Read().mono);
    if (!skipped) return;
    LogWarn("http request without the token peer={} has_another={} skipped={}", request.remote_addr,
            request.has_header("Authorization"), *skipped);
  }

  absl::Status OpenInto(const StreamHandler& handler, const httplib::Request& request, httplib::Response& response) {
    std::unique_ptr<StreamSlot> slot = StreamSlot::Take(open_streams_, options_.max_streams);
    if (slot == nullptr) {
      return absl::UnavailableError(absl::StrCat("all ", options_.max_streams, " live streams are taken"));
    }
    absl::StatusOr<std::unique_ptr<EventSource>> source = handler(FromLibrary(request));
    if (!source.ok()) return source.status();
    auto stream = std::make_shared<OpenStream>(*std::move(source), std::move(slot), options_.stream_keep_alive);
    response.set_header("Cache-Control", "no-cache");
    response.set_chunked_content_provider("text/event-stream",
                                          [stream](size_t, httplib::DataSink& sink) { return stream->SendNext(sink); });
    return absl::OkStatus();
  }

  // Before a body is read: only what the library bounds gets further.
  void AdmitRequests() {
    library_.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      Plainly(const_cast<httplib::Request&>(request));
      const std::optional<Refusal> refusal = RefusalOf(request);
      if (!refusal) return httplib::Server::HandlerResponse::Unhandled;
      ToLibrary(ErrorResponse(refusal->status), response);
      response.status = refusal->http_status;
      return httplib::Server::HandlerResponse::Handled;
    });
  }

  // Takes out what makes the library do more with a request than we want.
  static void Plainly(httplib::Request& request) {
    request.ranges.clear();                     // a page repeated a thousand times
    request.headers.erase("Content-Encoding");  // a body that grows when it is unpacked
    request.headers.erase("Content-Type");      // forms have bounds of their own, and parts instead of a body
    // A request that names no length has no body (RFC 9112, section 6.3); the library would wait for the connection's
    // end.
    if (!request.has_header("Content-Length")) request.set_header("Content-Length", "0");
  }

  struct Refusal {
    int http_status;
    absl::Status status;
  };
  static std::optional<Refusal> RefusalOf(const httplib::Request& request) {
    if (request.path.size() > kMaxPathBytes) return Refusal{414, absl::InvalidArgumentError("the path is too long")};
    if (request.has_header("Transfer-Encoding")) {
      return Refusal{411, absl::InvalidArgumentError("a body needs a Content-Length here, not a Transfer-Encoding")};
    }
    // A page of somebody else in an operator's browser must not command a fleet.
    const std::string origin = request.get_header_value("Origin");
    const std::string host = request.get_header_value("Host");
    const bool is_own = origin == absl::StrCat("http://", host) || origin == absl::StrCat("https://", host);  // a proxy
    if (origin.empty() || is_own) return std::nullopt;
    return Refusal{403, absl::PermissionDeniedError("pages of another origin may not ask here")};
  }

  void AnswerErrors() {
    library_.set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;  // a handler's own answer
      // Nor does anybody learn which paths there are.
      if (response.status == 404 && !BearsToken(request)) return Refuse(request, response);
      const int http_status = response.status;
      ToLibrary(ErrorResponse(LibraryError(request, http_status, options_.max_body_bytes)), response);
      response.status = http_status;
    });
    library_.set_exception_handler(
        [](const httplib::Request& request, httplib::Response& response, std::exception_ptr exception) {
          const std::string what = WhatOf(exception);
          LogError("http handler failed path={} what={}", request.path, what);
          ToLibrary(ErrorResponse(absl::InternalError(what)), response);
        });
  }

  const HttpOptions options_;
  int port_ = 0;
  std::atomic<int> open_streams_ = 0;
  std::atomic<uint64_t> unauthorized_ = 0;
  const SystemClock clock_;
  Mutex mu_;
  LogLimit refusal_log_ ABSL_GUARDED_BY(mu_){absl::Seconds(10)};
  std::promise<void> started_;
  Library library_;
  std::thread thread_;  // accepts
};

// Splits "ADDRESS:PORT"; an IPv6 address stands in brackets.
absl::StatusOr<std::pair<std::string, int>> ParseListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  std::string address = listen.substr(0, colon == std::string::npos ? 0 : colon);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  int port = -1;
  if (address.empty() || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("not ADDRESS:PORT: '", listen, "'"));
  }
  return std::make_pair(std::move(address), port);
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) LogError("message has no json type={} error={}", message.GetTypeName(), status.ToString());
  json += '\n';
  return json;
}

absl::Status FromJson(absl::string_view json, google::protobuf::Message& message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage({json.data(), json.size()}, &message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("not JSON of ", message.GetDescriptor()->name(), ": ", std::string(status.message())));
}

HttpResponse JsonResponse(const google::protobuf::Message& message) {
  return {.body = ToJson(message)};
}

HttpResponse ErrorResponse(const absl::Status& status) {
  v1::ErrorBody body;
  body.set_code(absl::StatusCodeToString(status.code()));
  body.set_message(OnlyAscii(status.message()));
  return {.status = HttpStatus(status.code()), .body = ToJson(body)};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Bind(const HttpOptions& options) {
  const auto where = ParseListen(options.listen);
  if (!where.ok()) return where.status();
  auto server = std::make_unique<LibraryHttpServer>(options);
  switch (const int error = server->Bind(where->first, where->second)) {
    case 0:
      return server;
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat("address in use: ", options.listen, "; stop what listens there, or give another with --http"));
    default:
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen, ": ", strerror(error)));
  }
}

}  // namespace fleet
