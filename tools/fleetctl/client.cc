#include "tools/fleetctl/client.h"

#include <google/protobuf/util/json_util.h>
#include <httplib.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "fleet/v1/api.pb.h"
#include "tools/fleetctl/connect_error.h"

namespace fleet {
namespace {

constexpr char kUnreachable[] = "fleetctl/unreachable";
constexpr char kNotSent[] = "fleetctl/not_sent";
constexpr absl::Duration kConnectTimeout = absl::Seconds(3);

std::string UrlEncode(absl::string_view text) {
  std::string out;
  for (char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::string_view("-._~").find(c) != std::string::npos) {
      out += c;
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

std::string Target(absl::string_view path, const Query& query) {
  std::string target(path);
  char separator = '?';
  for (const auto& [key, value] : query) {
    if (value.empty()) continue;
    absl::StrAppend(&target, std::string(1, separator), key, "=", UrlEncode(value));
    separator = '&';
  }
  return target;
}

httplib::Request PostOf(absl::string_view path, const google::protobuf::Message& body) {
  httplib::Request request;
  request.method = "POST";
  request.path = std::string(path);
  request.body = ToJson(body);
  request.set_header("Content-Type", "application/json");
  return request;
}

absl::StatusCode CodeOf(absl::string_view name) {
  for (int code = 1; code <= 16; ++code) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(code)) == name)
      return static_cast<absl::StatusCode>(code);
  }
  return absl::StatusCode::kUnknown;
}

absl::Status ServerError(const std::string& url, int http_status, absl::string_view body) {
  v1::ErrorBody error;
  if (!ParseAnswer(body, error).ok() || error.message().empty()) {
    return absl::UnknownError(absl::StrCat("what answers at ", url, " is not a fleet-server (HTTP ", http_status,
                                           "); name the right one with --server URL"));
  }
  return absl::Status(CodeOf(error.code()), error.message());
}

std::string WhyUnreachable(const std::string& url, httplib::Error error) {
  if (error == httplib::Error::Connection) return WhyNoConnection(absl::StripPrefix(url, "http://"));
  if (error == httplib::Error::ConnectionTimeout) return "no answer to connecting";
  return "it closed the connection or fell silent";
}

absl::Status NoServer(const std::string& url, httplib::Error error) {
  absl::Status status = UnreachableError(absl::StrCat("no server at ", url, " (", WhyUnreachable(url, error),
                                                      "); is fleet-server running? try tools/up.sh or --server URL"));
  if (error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout) {
    status.SetPayload(kNotSent, absl::Cord());
  }
  return status;
}

}  // namespace

absl::Status ParseAnswer(absl::string_view json, google::protobuf::Message& answer) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status = google::protobuf::util::JsonStringToMessage({json.data(), json.size()}, &answer, options);
  if (status.ok()) return absl::OkStatus();
  const auto why = status.message();
  return absl::DataLossError(absl::StrCat("the answer is not what this fleetctl understands (",
                                          absl::string_view(why.data(), why.size()), "); is it a fleet-server?"));
}

absl::Status UnreachableError(absl::string_view message) {
  absl::Status status = absl::UnavailableError(message);
  status.SetPayload(kUnreachable, absl::Cord());
  return status;
}

bool IsUnreachable(const absl::Status& status) {
  return status.GetPayload(kUnreachable).has_value();
}

bool WasNotSent(const absl::Status& status) {
  return status.GetPayload(kNotSent).has_value();
}

absl::Status CheckServerUrl(absl::string_view url) {
  absl::string_view rest = url;
  const bool http = absl::ConsumePrefix(&rest, "http://");
  const size_t colon = rest.rfind(':');
  int port = 0;
  const bool has_port = colon != absl::string_view::npos && absl::SimpleAtoi(rest.substr(colon + 1), &port) && port > 0;
  if (http && has_port && port < 65536 && colon > 0 && rest.find_first_of("/?#@ ") == absl::string_view::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--server wants http://HOST:PORT, such as http://127.0.0.1:8080; got '", url, "'"));
}

Client::Client(const std::string& url) : url_(url), http_(std::make_unique<httplib::Client>(url)) {
  // A server that closes while we write is an error to report, not a signal to die of.
  std::signal(SIGPIPE, SIG_IGN);
  http_->set_connection_timeout(absl::ToChronoMilliseconds(kConnectTimeout));
  http_->set_tcp_nodelay(true);
}

Client::~Client() = default;

absl::Status Client::Get(absl::string_view path, const Query& query, google::protobuf::Message& answer,
                         absl::Duration extra) {
  httplib::Request request;
  request.method = "GET";
  request.path = Target(path, query);
  return SendForMessage(std::move(request), kAnswerTimeout + extra, answer);
}

absl::Status Client::Post(absl::string_view path, const google::protobuf::Message& body,
                          google::protobuf::Message& answer) {
  return SendForMessage(PostOf(path, body), kAnswerTimeout, answer);
}

absl::Status Client::Post(absl::string_view path, const google::protobuf::Message& body, std::string& answer,
                          absl::Duration extra) {
  return SendForText(PostOf(path, body), kAnswerTimeout + extra, answer);
}

absl::Status Client::Stream(absl::string_view path, const std::function<void(const SseEvent&)>& on_event) {
  httplib::Request request;
  request.method = "GET";
  request.path = std::string(path);
  SseReader reader(on_event);
  RETURN_IF_ERROR(
      Send(std::move(request), kStreamSilence, [&](absl::string_view bytes) { return reader.Take(bytes); }));
  return UnreachableError(absl::StrCat("the server at ", url_, " ended the stream"));
}

void Client::Cancel() {
  cancelled_ = true;
  http_->stop();
}

absl::Status Client::SendForText(httplib::Request request, absl::Duration timeout, std::string& answer) {
  answer.clear();
  return Send(std::move(request), timeout, [&answer](absl::string_view bytes) {
    if (answer.size() + bytes.size() > kMaxAnswerBytes) {
      return absl::OutOfRangeError(absl::StrCat("the answer is larger than ", kMaxAnswerBytes, " bytes"));
    }
    absl::StrAppend(&answer, bytes);
    return absl::OkStatus();
  });
}

absl::Status Client::SendForMessage(httplib::Request request, absl::Duration timeout,
                                    google::protobuf::Message& answer) {
  std::string body;
  RETURN_IF_ERROR(SendForText(std::move(request), timeout, body));
  return ParseAnswer(body, answer);
}

absl::Status Client::Send(httplib::Request request, absl::Duration timeout, const Sink& sink) {
  constexpr size_t kMaxErrorBytes = 16 * 1024;
  int http_status = 0;
  std::string error_body;
  absl::Status sink_status;
  request.response_handler = [&](const httplib::Response& response) {
    http_status = response.status;
    return true;
  };
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    if (http_status < 300) {
      sink_status = sink({data, size});
    } else {
      error_body.append(data, std::min(size, kMaxErrorBytes - error_body.size()));
    }
    return sink_status.ok() && !cancelled_;
  };
  http_->set_read_timeout(absl::ToChronoMilliseconds(timeout));
  if (cancelled_) return absl::CancelledError("interrupted");
  const httplib::Result result = http_->send(request);
  if (cancelled_) return absl::CancelledError("interrupted");
  if (!sink_status.ok()) return sink_status;
  if (!result) return NoServer(url_, result.error());
  if (result->status >= 300) return ServerError(url_, result->status, error_body);
  return absl::OkStatus();
}

}  // namespace fleet
