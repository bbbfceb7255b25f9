#include "common/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/http_server.h"
#include "common/testing/tcp_peer.h"

namespace fleet {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kShort = absl::Milliseconds(100);
constexpr absl::Duration kSoon = absl::Seconds(10);  // much less than what is waited for, even on a busy machine

std::string ReadHead(TcpPeerConnection& connection) {
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const std::string byte = connection.Read(1);
    if (byte.empty()) break;
    head += byte;
  }
  return head;
}

std::future<absl::StatusOr<HttpAnswer>> Ask(HttpClient& client, absl::Duration timeout = kPatience) {
  return std::async(std::launch::async, [&client, timeout] { return client.Get("/x?a=1,2&b=%20", timeout); });
}

// What a client makes of an answer, after which the connection is closed.
absl::StatusOr<HttpAnswer> AnswerOf(const std::string& bytes) {
  TcpPeer peer;
  HttpClient client("127.0.0.1", peer.port());
  auto answer = Ask(client);
  TcpPeerConnection connection = peer.Accept();
  ReadHead(connection);
  connection.Send(bytes);
  connection.Close();
  return answer.get();
}

TEST(HttpClient, GetsStatusAndBody) {
  auto server = HttpServer::Bind({.listen = "127.0.0.1:0"}).value();
  server->Get("/x", [](const HttpRequest& request) {
    return HttpResponse{.status = 404, .body = request.query.at("a"), .content_type = "text/plain"};
  });
  server->Start();
  HttpClient client("127.0.0.1", server->port());
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.Get("/x?a=1,2%26+3", kPatience);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->status, 404);
    EXPECT_EQ(answer->body, "1,2& 3");
  }
}

TEST(HttpClient, FindsAServerByName) {
  auto server = HttpServer::Bind({.listen = "127.0.0.1:0"}).value();
  server->Get("/x", [](const HttpRequest&) { return HttpResponse{.body = "x"}; });
  server->Start();
  HttpClient client("localhost", server->port());
  EXPECT_EQ(client.Get("/x", kPatience).value().body, "x");
}

TEST(HttpClient, SendsTheTargetAsItIsAndClosesTheConnection) {
  TcpPeer peer;
  HttpClient client("127.0.0.1", peer.port());
  auto answer = Ask(client);
  TcpPeerConnection connection = peer.Accept();
  const std::string head = ReadHead(connection);
  EXPECT_THAT(head, StartsWith("GET /x?a=1,2&b=%20 HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr(absl::StrCat("Host: 127.0.0.1:", peer.port(), "\r\n")));
  connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(answer.get().value().body, "ok");
  EXPECT_TRUE(connection.IsAtEnd());
}

TEST(HttpClient, UnderstandsEveryWayToEndABody) {
  EXPECT_EQ(AnswerOf("HTTP/1.0 200 OK\r\n\r\nuntil the end").value().body, "until the end");
  EXPECT_EQ(
      AnswerOf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").value().body,
      "abcde");
  EXPECT_EQ(AnswerOf("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").value().status, 500);
}

TEST(HttpClient, WhatIsNoWholeAnswerIsDataLoss) {
  for (const char* bytes :
       {"", "garbage", "garbage\r\n\r\n", "HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"}) {
    const absl::Status status = AnswerOf(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << bytes << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:"));
  }
}

TEST(HttpClient, RefusesABodyOverItsBound) {
  const std::string most(HttpClient::kMaxBodyBytes, 'a');
  EXPECT_EQ(AnswerOf(absl::StrCat("HTTP/1.0 200 OK\r\n\r\n", most)).value().body, most);
  EXPECT_EQ(AnswerOf(absl::StrCat("HTTP/1.0 200 OK\r\n\r\n", most, "a")).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(HttpClient, NobodyThereIsUnavailable) {
  int port;
  {
    TcpPeer peer;
    port = peer.port();
  }
  HttpClient client("127.0.0.1", port);
  EXPECT_EQ(client.Get("/x", kPatience).status().code(), absl::StatusCode::kUnavailable);
  HttpClient nowhere("no-such-host.invalid", 80);
  EXPECT_EQ(nowhere.Get("/x", kPatience).status().code(), absl::StatusCode::kUnavailable);
}

TEST(HttpClient, RefusesATargetThatWouldBeMore) {
  HttpClient client("127.0.0.1", 1);
  for (const char* target : {"", "x", "/a b", "/a\r\nX: y", "/\x7f", "/\xc3\xa4"}) {
    EXPECT_EQ(client.Get(target, kPatience).status().code(), absl::StatusCode::kInvalidArgument) << target;
  }
}

TEST(HttpClient, SilenceEndsWithTheTimeLimit) {
  TcpPeer peer;
  HttpClient client("127.0.0.1", peer.port());
  const MonoTime began = SystemClock().Read().mono;
  EXPECT_EQ(client.Get("/x", kShort).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(SystemClock().Read().mono - began, kShort);
}

TEST(HttpClient, ConnectionThatIsNotTakenEndsWithTheTimeLimit) {
  TcpPeer peer;
  peer.Fill();
  HttpClient client("127.0.0.1", peer.port());
  EXPECT_EQ(client.Get("/x", kShort).status().code(), absl::StatusCode::kDeadlineExceeded);
}

// It drips for as long as the client listens; without a limit for all of it, the test would not end.
TEST(HttpClient, DrippingEndsWithTheTimeLimitToo) {
  for (const char* beginning : {"", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n",
                                "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"}) {
    TcpPeer peer;
    HttpClient client("127.0.0.1", peer.port());
    auto answer = Ask(client, kShort);
    TcpPeerConnection connection = peer.Accept();
    ReadHead(connection);
    connection.Send(beginning);
    std::promise<void> over;
    std::thread drip([&, ended = over.get_future()] {
      while (ended.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) connection.Send("x");
    });
    EXPECT_EQ(answer.get().status().code(), absl::StatusCode::kDeadlineExceeded) << beginning;
    over.set_value();
    drip.join();
  }
}

TEST(HttpClient, InterruptEndsWhatRunsAndAllThatFollows) {
  TcpPeer peer;
  HttpClient client("127.0.0.1", peer.port());
  const MonoTime began = SystemClock().Read().mono;
  auto answer = Ask(client);
  TcpPeerConnection connection = peer.Accept();
  ReadHead(connection);
  client.Interrupt();
  EXPECT_EQ(answer.get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client.Get("/x", kPatience).status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(SystemClock().Read().mono - began, kSoon);
}

TEST(HttpClient, InterruptEndsConnecting) {
  TcpPeer peer;
  peer.Fill();
  HttpClient client("127.0.0.1", peer.port());
  const MonoTime began = SystemClock().Read().mono;
  auto answer = Ask(client);
  client.Interrupt();
  EXPECT_EQ(answer.get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(SystemClock().Read().mono - began, kSoon);
}

}  // namespace
}  // namespace fleet
