#include "common/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <stdexcept>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/testing/http_probe.h"
#include "fleet/v1/api.pb.h"

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::Pair;

constexpr char kAnyPort[] = "127.0.0.1:0";

std::unique_ptr<HttpServer> BindOrDie(const HttpOptions& options) {
  auto server = HttpServer::Bind(options);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

v1::ErrorBody ErrorOf(const HttpProbeResult& result) {
  v1::ErrorBody body;
  EXPECT_TRUE(FromJson(result.body, body).ok()) << result.body;
  EXPECT_EQ(result.headers.at("content-type"), "application/json");
  return body;
}

// Gives `events`, then ends or stays silent. Fulfils `gone` when the server has let go of it.
class ScriptedSource : public EventSource {
 public:
  ScriptedSource(std::vector<Item> events, bool ends) : events_(std::move(events)), ends_(ends) {}
  ~ScriptedSource() override { gone_.set_value(); }

  bool Next(absl::Duration timeout, std::vector<Item>& out) override {
    if (events_.empty() && !ends_) never_.get_future().wait_for(absl::ToChronoMilliseconds(timeout));
    never_ = {};
    for (Item& item : events_) out.push_back(std::move(item));
    events_.clear();
    return !ends_;
  }
  std::future<void> gone() { return gone_.get_future(); }

 private:
  std::vector<Item> events_;
  const bool ends_;
  std::promise<void> never_;
  std::promise<void> gone_;
};

HttpServer::StreamHandler Streams(std::vector<EventSource::Item> events, bool ends) {
  return [events, ends](const HttpRequest&) { return std::make_unique<ScriptedSource>(events, ends); };
}

TEST(HttpServer, HandlerSeesCapturesQueryAndBody) {
  auto server = BindOrDie({.listen = kAnyPort});
  HttpRequest seen;
  server->Post("/devices/([^/]+)/entities/([0-9]+)", [&](const HttpRequest& request) {
    seen = request;
    return HttpResponse{.status = 202, .body = "taken", .content_type = "text/plain"};
  });
  server->Start();
  const HttpProbeResult result =
      Fetch(server->port(), "POST", "/devices/pi%201/entities/7?limit=5&q=a%26b&q=c+d", "{\"a\":1}");
  EXPECT_EQ(result.status, 202);
  EXPECT_EQ(result.body, "taken");
  EXPECT_EQ(result.headers.at("content-type"), "text/plain");
  EXPECT_THAT(seen.captures, ElementsAre("pi 1", "7"));
  EXPECT_THAT(seen.query, ElementsAre(Pair("limit", "5"), Pair("q", "c d")));
  EXPECT_EQ(seen.body, "{\"a\":1}");
}

TEST(HttpServer, BodyThatCallsItselfAFormIsNoQuery) {
  auto server = BindOrDie({.listen = kAnyPort});
  HttpRequest seen;
  server->Post("/x", [&](const HttpRequest& request) {
    seen = request;
    return HttpResponse{};
  });
  server->Start();
  HttpConnection connection(server->port());
  connection.Send(
      "POST /x HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
  EXPECT_EQ(connection.ReadAnswer().status, 200);
  EXPECT_EQ(seen.body, "{\"a\":1}");
  EXPECT_TRUE(seen.query.empty());
}

TEST(HttpServer, ARequestThatNamesNoLengthHasNoBody) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Post("/x", [](const HttpRequest& request) { return HttpResponse{.body = "[" + request.body + "]"}; });
  server->Start();
  HttpConnection connection(server->port());
  connection.Send("POST /x HTTP/1.1\r\n\r\n");
  EXPECT_EQ(connection.ReadAnswer().body, "[]");
}

// A status, and what came of it.
std::string AnswerTo(int port, const std::string& bytes) {
  HttpConnection connection(port);
  connection.Send(bytes);
  const HttpProbeResult result = connection.ReadAnswer();
  return absl::StrCat(result.status, " ", result.body);
}

TEST(HttpServer, OnlyABodyOfANamedLengthIsTakenAndAsItIs) {
  auto server = BindOrDie({.listen = kAnyPort, .max_body_bytes = 20'000});
  server->Post("/x",
               [](const HttpRequest& request) { return HttpResponse{.body = absl::StrCat(request.body.size())}; });
  server->Start();
  EXPECT_THAT(AnswerTo(server->port(), "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
              HasSubstr("411 "));
  EXPECT_EQ(AnswerTo(server->port(), "POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
            "200 3");
  const std::string form = absl::StrCat("POST /x HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n",
                                        "Content-Length: 20000\r\n\r\n", std::string(20'000, 'a'));
  EXPECT_EQ(AnswerTo(server->port(), form), "200 20000") << "what curl -d calls itself";
  EXPECT_EQ(AnswerTo(server->port(),
                     "POST /x HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                     "Content-Length: 3\r\n\r\nabc"),
            "200 3");
}

TEST(HttpServer, RangesAreNotAskedFor) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Get("/x", [](const HttpRequest&) { return HttpResponse{.body = "abc"}; });
  server->Start();
  EXPECT_EQ(AnswerTo(server->port(), "GET /x HTTP/1.1\r\nRange: bytes=0-,0-,0-\r\n\r\n"), "200 abc");
}

TEST(HttpServer, LongPathReachesNoPattern) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Get("/x/([^/]+)", [](const HttpRequest&) { return HttpResponse{.body = "abc"}; });
  server->Start();
  EXPECT_EQ(Fetch(server->port(), "GET", absl::StrCat("/x/", std::string(500, 'a'))).status, 200);
  EXPECT_EQ(Fetch(server->port(), "GET", absl::StrCat("/x/", std::string(600, 'a'))).status, 414);
}

TEST(HttpServer, PagesOfAnotherOriginAreRefused) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Post("/x", [](const HttpRequest&) { return HttpResponse{.body = "done"}; });
  server->Start();
  const auto from = [&](const std::string& origin) {
    return AnswerTo(server->port(), absl::StrCat("POST /x HTTP/1.1\r\nHost: fleet:8080\r\n", origin, "\r\n"));
  };
  EXPECT_EQ(from(""), "200 done");
  EXPECT_EQ(from("Origin: http://fleet:8080\r\n"), "200 done");
  EXPECT_EQ(from("Origin: https://fleet:8080\r\n"), "200 done") << "behind a proxy";
  EXPECT_THAT(from("Origin: http://elsewhere\r\n"), HasSubstr("403 "));
  EXPECT_THAT(from("Origin: null\r\n"), HasSubstr("403 "));
}

TEST(HttpServer, UnknownPathIs404InJson) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Get("/known", [](const HttpRequest&) { return HttpResponse{}; });
  server->Start();
  const HttpProbeResult result = Fetch(server->port(), "GET", "/known/not");
  EXPECT_EQ(result.status, 404);
  EXPECT_EQ(ErrorOf(result).code(), "NOT_FOUND");
  EXPECT_THAT(ErrorOf(result).message(), HasSubstr("/known/not"));
}

TEST(HttpServer, TooLargeBodyIs413AndNeverReachesTheHandler) {
  auto server = BindOrDie({.listen = kAnyPort, .max_body_bytes = 100});
  server->Post("/x",
               [](const HttpRequest& request) { return HttpResponse{.body = absl::StrCat(request.body.size())}; });
  server->Start();
  EXPECT_EQ(Fetch(server->port(), "POST", "/x", std::string(100, 'a')).body, "100");
  const HttpProbeResult result = Fetch(server->port(), "POST", "/x", std::string(101, 'a'));
  EXPECT_EQ(result.status, 413);
  EXPECT_EQ(ErrorOf(result).code(), "OUT_OF_RANGE");
}

TEST(HttpServer, ExceptionOfAHandlerIs500AndTheServerGoesOn) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Get("/x", [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("broken \"here\""); });
  server->Start();
  for (int i = 0; i < 3; ++i) {
    const HttpProbeResult result = Fetch(server->port(), "GET", "/x");
    EXPECT_EQ(result.status, 500);
    EXPECT_EQ(ErrorOf(result).message(), "broken \"here\"");
  }
}

TEST(HttpServer, NonsenseIsRefusedInJson) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Start();
  HttpConnection connection(server->port());
  connection.Send("nonsense\r\n\r\n");
  const HttpProbeResult result = connection.ReadAnswer();
  EXPECT_EQ(result.status, 400);
  EXPECT_EQ(ErrorOf(result).code(), "INVALID_ARGUMENT");
}

TEST(HttpServer, AnswerOfErrorResponseKeepsItsText) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Get("/x", [](const HttpRequest&) { return ErrorResponse(absl::NotFoundError("no device a17")); });
  server->Start();
  const HttpProbeResult result = Fetch(server->port(), "GET", "/x");
  EXPECT_EQ(result.status, 404);
  EXPECT_EQ(ErrorOf(result).message(), "no device a17");
}

TEST(HttpServer, BindSaysWhatIsWrong) {
  auto first = BindOrDie({.listen = kAnyPort});
  EXPECT_EQ(HttpServer::Bind({.listen = absl::StrCat("127.0.0.1:", first->port())}).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(HttpServer::Bind({.listen = "192.0.2.1:0"}).status().code(), absl::StatusCode::kUnavailable);
  for (const char* listen : {"", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"}) {
    EXPECT_EQ(HttpServer::Bind({.listen = listen}).status().code(), absl::StatusCode::kInvalidArgument) << listen;
  }
}

TEST(HttpServer, PortIsFreeAgainAfterTheServerIsGone) {
  auto first = BindOrDie({.listen = kAnyPort});
  first->Start();
  const std::string listen = absl::StrCat("127.0.0.1:", first->port());
  EXPECT_EQ(Fetch(first->port(), "GET", "/").status, 404);
  first.reset();
  EXPECT_TRUE(HttpServer::Bind({.listen = listen}).ok());
}

TEST(HttpServer, HandlersRunAtTheSameTime) {
  auto server = BindOrDie({.listen = kAnyPort, .threads = 2});
  std::promise<void> second_runs;
  server->Get("/first", [&](const HttpRequest&) {
    second_runs.get_future().wait();
    return HttpResponse{.body = "first"};
  });
  server->Get("/second", [&](const HttpRequest&) {
    second_runs.set_value();
    return HttpResponse{.body = "second"};
  });
  server->Start();
  HttpConnection first(server->port());
  first.Send(HttpRequestText("GET", "/first"));
  EXPECT_EQ(Fetch(server->port(), "GET", "/second").body, "second");
  EXPECT_EQ(first.ReadAnswer().body, "first");
}

TEST(HttpServer, MoreConnectionsThanMayWaitAreAllAnswered) {
  auto server = BindOrDie({.listen = kAnyPort, .threads = 1, .max_streams = 0});
  std::promise<void> go;
  server->Get("/x", [going = go.get_future().share()](const HttpRequest&) {
    going.wait();
    return HttpResponse{.body = "x"};
  });
  server->Start();
  std::vector<std::unique_ptr<HttpConnection>> connections;
  for (int i = 0; i < 120; ++i) {
    connections.push_back(std::make_unique<HttpConnection>(server->port()));
    connections.back()->Send(HttpRequestText("GET", "/x"));
  }
  go.set_value();
  for (auto& connection : connections) EXPECT_EQ(connection->ReadAnswer().body, "x");
}

TEST(HttpServer, ConnectionThatSaysNothingDoesNotKeepItsThread) {
  auto server = BindOrDie({.listen = kAnyPort, .threads = 1, .max_streams = 0});
  server->Get("/x", [](const HttpRequest&) { return HttpResponse{.body = "x"}; });
  server->Start();
  HttpConnection silent(server->port());
  EXPECT_EQ(Fetch(server->port(), "GET", "/x").body, "x");
}

TEST(HttpStream, EventsComeInOrderAndThenTheEnd) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Stream("/stream/([a-z]+)", [](const HttpRequest& request) {
    return std::make_unique<ScriptedSource>(
        std::vector<EventSource::Item>{{"device", request.captures[0]}, {"entity", "{\"x\":2}"}}, true);
  });
  server->Start();
  HttpConnection reader(server->port());
  reader.Send(HttpRequestText("GET", "/stream/abc"));
  const HttpProbeResult head = reader.ReadHead();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-type"), "text/event-stream");
  EXPECT_THAT(reader.ReadEvent(), Optional(std::string("event: device\ndata: abc")));
  EXPECT_THAT(reader.ReadEvent(), Optional(std::string("event: entity\ndata: {\"x\":2}")));
  EXPECT_EQ(reader.ReadEvent(), std::nullopt);
}

TEST(HttpStream, SilenceIsFilledWithComments) {
  auto server = BindOrDie({.listen = kAnyPort, .stream_keep_alive = absl::Milliseconds(1)});
  server->Stream("/stream", Streams({{"a", "1"}}, false));
  server->Start();
  HttpConnection reader(server->port());
  reader.Send(HttpRequestText("GET", "/stream"));
  reader.ReadHead();
  EXPECT_THAT(reader.ReadEvent(), Optional(std::string("event: a\ndata: 1")));
  EXPECT_THAT(reader.ReadEvent(), Optional(std::string(": keep-alive")));
}

TEST(HttpStream, RefusalOfTheHandlerIsAPlainAnswer) {
  auto server = BindOrDie({.listen = kAnyPort, .max_streams = 1});
  server->Stream("/stream", [](const HttpRequest&) { return absl::InvalidArgumentError("no such filter"); });
  server->Start();
  for (int i = 0; i < 3; ++i) {  // and takes no slot
    const HttpProbeResult result = Fetch(server->port(), "GET", "/stream");
    EXPECT_EQ(result.status, 400);
    EXPECT_EQ(ErrorOf(result).message(), "no such filter");
  }
}

TEST(HttpStream, OneMoreThanAllowedIsRefusedAndPlainRequestsAreStillServed) {
  auto server = BindOrDie({.listen = kAnyPort, .threads = 1, .max_streams = 2});
  server->Stream("/stream", Streams({{"a", "1"}}, false));
  server->Get("/x", [](const HttpRequest&) { return HttpResponse{.body = "x"}; });
  server->Start();
  HttpConnection readers[] = {HttpConnection(server->port()), HttpConnection(server->port())};
  for (HttpConnection& reader : readers) {
    reader.Send(HttpRequestText("GET", "/stream"));
    EXPECT_EQ(reader.ReadHead().status, 200);
    EXPECT_TRUE(reader.ReadEvent().has_value());
  }
  const HttpProbeResult refused = Fetch(server->port(), "GET", "/stream");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(ErrorOf(refused).code(), "UNAVAILABLE");
  EXPECT_EQ(Fetch(server->port(), "GET", "/x").body, "x");
}

TEST(HttpStream, ReaderThatLeavesFreesItsPlace) {
  auto server = BindOrDie({.listen = kAnyPort, .max_streams = 1, .stream_keep_alive = absl::Milliseconds(1)});
  std::vector<std::future<void>> gone;
  server->Stream("/stream", [&](const HttpRequest&) {
    auto source = std::make_unique<ScriptedSource>(std::vector<EventSource::Item>{{"a", "1"}}, false);
    gone.push_back(source->gone());
    return source;
  });
  server->Start();
  for (int i = 0; i < 2; ++i) {
    {
      HttpConnection reader(server->port());
      reader.Send(HttpRequestText("GET", "/stream"));
      EXPECT_EQ(reader.ReadHead().status, 200);
      EXPECT_TRUE(reader.ReadEvent().has_value());
    }
    gone.back().wait();
  }
}

TEST(HttpStream, StopEndsOpenStreams) {
  auto server = BindOrDie({.listen = kAnyPort});
  server->Stream("/stream", Streams({{"a", "1"}}, false));
  server->Start();
  HttpConnection reader(server->port());
  reader.Send(HttpRequestText("GET", "/stream"));
  reader.ReadHead();
  EXPECT_TRUE(reader.ReadEvent().has_value());
  server->Stop();
  EXPECT_EQ(reader.ReadEvent(), std::nullopt);
  EXPECT_EQ(Fetch(server->port(), "GET", "/x").status, 0);
}

constexpr char kToken[] = "0123456789abcdef";

// With a header of one's own; none when it is empty.
HttpProbeResult FetchWith(const HttpServer& server, const std::string& header, const std::string& path,
                          const std::string& body = "") {
  HttpConnection connection(server.port());
  connection.Send(absl::StrCat(body.empty() ? "GET " : "POST ", path, " HTTP/1.1\r\n", header,
                               header.empty() ? "" : "\r\n", "Content-Length: ", body.size(), "\r\n\r\n", body));
  return connection.ReadAnswer();
}

class HttpTokenTest : public testing::Test {
 protected:
  HttpTokenTest() : server_(BindOrDie({.listen = kAnyPort, .token = kToken, .open_paths = {"/health"}})) {
    server_->Get("/x", [](const HttpRequest& request) { return HttpResponse{.body = Seen(request)}; });
    server_->Post("/y", [](const HttpRequest& request) { return HttpResponse{.body = Seen(request)}; });
    server_->Get("/health", [](const HttpRequest& request) { return HttpResponse{.body = Seen(request)}; });
    server_->Stream("/stream", Streams({{"a", "1"}}, true));
    server_->Start();
  }
  static std::string Seen(const HttpRequest& request) { return request.bears_token ? "with" : "without"; }

  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTokenTest, WhoBearsItIsServed) {
  const std::string header = absl::StrCat("Authorization: Bearer ", kToken);
  EXPECT_EQ(FetchWith(*server_, header, "/x").body, "with");
  EXPECT_EQ(FetchWith(*server_, header, "/y", "{}").body, "with");
  EXPECT_EQ(FetchWith(*server_, header, "/health").body, "with");
  EXPECT_EQ(FetchWith(*server_, header, "/stream").status, 200);
  EXPECT_EQ(FetchWith(*server_, absl::StrCat("authorization: bearer  ", kToken, " "), "/x").body, "with");
  EXPECT_EQ(server_->unauthorized(), 0u);
}

TEST_F(HttpTokenTest, WhoDoesNotIsRefusedWhateverIsAskedForAndCounted) {
  const std::string wrong[] = {"",
                               "Authorization: Bearer 0123456789abcdeF",
                               "Authorization: Bearer 0123456789abcde",
                               "Authorization: Bearer 0123456789abcdef0",
                               "Authorization: Bearer ",
                               "Authorization: Basic 0123456789abcdef",
                               "Authorization: 0123456789abcdef",
                               "X-Authorization: Bearer 0123456789abcdef"};
  for (const std::string& header : wrong) {
    for (const char* path : {"/x", "/stream", "/not/there"}) {
      const HttpProbeResult result = FetchWith(*server_, header, path);
      EXPECT_EQ(result.status, 401) << header << path;
      EXPECT_EQ(ErrorOf(result).code(), "UNAUTHENTICATED");
      EXPECT_EQ(result.headers.at("www-authenticate"), "Bearer realm=\"fleet\"");
    }
    EXPECT_EQ(FetchWith(*server_, header, "/y", "{}").status, 401) << header;
  }
  EXPECT_EQ(server_->unauthorized(), 4 * std::size(wrong));
}

TEST_F(HttpTokenTest, OpenPathsAreAnsweredWithoutIt) {
  EXPECT_EQ(FetchWith(*server_, "", "/health").body, "without");
  EXPECT_EQ(FetchWith(*server_, "", "/health/more").status, 401);
}

TEST(HttpJson, PrintsProtoNamesAndZeroes) {
  v1::EntityView entity;
  entity.set_entity_id(7);
  EXPECT_EQ(ToJson(entity),
            "{\"entity_id\":7,\"x_mm\":0,\"y_mm\":0,\"angle_mdeg\":0,\"vx_mm_s\":0,\"vy_mm_s\":0,\"age_ms\":0,"
            "\"state\":\"\"}\n");
}

TEST(HttpJson, RefusesWhatIsNotTheMessage) {
  v1::EntityView entity;
  EXPECT_TRUE(FromJson("{\"entity_id\": 7}", entity).ok());
  EXPECT_EQ(entity.entity_id(), 7u);
  for (const char* json : {"", "{", "[]", "{\"entity\": 7}", "{\"entity_id\": \"x\"}", "{\"entity_id\": -1}"}) {
    EXPECT_EQ(FromJson(json, entity).code(), absl::StatusCode::kInvalidArgument) << json;
  }
}

TEST(HttpJson, StatusFitsTheCode) {
  const std::pair<absl::StatusCode, int> expected[] = {
      {absl::StatusCode::kInvalidArgument, 400},  {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kAlreadyExists, 409},    {absl::StatusCode::kFailedPrecondition, 409},
      {absl::StatusCode::kOutOfRange, 413},       {absl::StatusCode::kResourceExhausted, 429},
      {absl::StatusCode::kInternal, 500},         {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kDeadlineExceeded, 504}, {absl::StatusCode::kUnauthenticated, 401},
  };
  for (const auto& [code, http_status] : expected) {
    EXPECT_EQ(ErrorResponse(absl::Status(code, "x")).status, http_status) << code;
  }
}

}  // namespace
}  // namespace fleet
