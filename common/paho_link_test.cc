// What only PahoLink has to do, with a scripted broker where a real one does not say what we want to hear.
#include "common/paho_link.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/testing/mosquitto_process.h"

namespace fleet {
namespace {

using testing::HasSubstr;

// MQTT 5, sections 3.2, 3.9, 3.14.
const std::string kConnack("\x20\x03\x00\x00\x00", 5);
const std::string kConnackReceiveMaximum2("\x20\x06\x00\x00\x03\x21\x00\x02", 8);
const std::string kConnackNotAuthorized("\x20\x03\x00\x87\x00", 5);
const std::string kSubackTwoOneRefused("\x90\x05\x00\x01\x00\x01\x87", 7);
const std::string kTakenOver("\xe0\x02\x8e\x00", 4);

// Accepts one connection and answers each packet with the next of its replies. Then it only reads.
class ScriptedBroker {
 public:
  explicit ScriptedBroker(std::vector<std::string> replies) : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    url_ = absl::StrCat("tcp://127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this, script = std::move(replies)] { Serve(script); });
  }
  ~ScriptedBroker() {
    shutdown(listener_, SHUT_RDWR);
    {
      MutexLock lock(mu_);
      if (peer_ >= 0) shutdown(peer_, SHUT_RDWR);
    }
    thread_.join();
    close(listener_);
  }
  const std::string& url() const { return url_; }
  std::vector<std::string> packets() {
    MutexLock lock(mu_);
    return packets_;
  }

 private:
  void Serve(const std::vector<std::string>& replies) {
    const int peer = accept(listener_, nullptr, nullptr);
    if (peer < 0) return;
    {
      MutexLock lock(mu_);
      peer_ = peer;
    }
    for (size_t i = 0;; ++i) {
      // All our packets are shorter than 128 bytes, so that the length is one byte.
      std::string packet(2, '\0');
      if (recv(peer, packet.data(), 2, MSG_WAITALL) != 2) break;
      packet.resize(2 + static_cast<size_t>(packet[1]));
      if (recv(peer, packet.data() + 2, packet.size() - 2, MSG_WAITALL) < 0) break;
      {
        MutexLock lock(mu_);
        packets_.push_back(packet);
      }
      if (i < replies.size()) send(peer, replies[i].data(), replies[i].size(), MSG_NOSIGNAL);
    }
    MutexLock lock(mu_);
    peer_ = -1;
    close(peer);
  }

  const int listener_;
  std::string url_;
  Mutex mu_;
  int peer_ ABSL_GUARDED_BY(mu_) = -1;
  std::vector<std::string> packets_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

// Counts what many links say.
class Events {
 public:
  LinkSink Sink() {
    return [this](LinkEvent event) {
      MutexLock lock(mu_);
      if (std::holds_alternative<LinkUp>(event)) ++ups_;
      if (std::holds_alternative<Arrived>(event)) ++arrived_;
      if (auto* down = std::get_if<LinkDown>(&event)) downs_.push_back(std::move(*down));
      changed_.NotifyAll();
    };
  }
  bool WaitFor(const std::function<bool(Events&)>& done) {
    const SystemClock clock;
    const MonoTime deadline = clock.Read().mono + absl::Seconds(60);
    MutexLock lock(mu_);
    while (!done(*this)) {
      if (clock.Read().mono >= deadline) return false;
      changed_.WaitFor(mu_, deadline - clock.Read().mono);
    }
    return true;
  }
  int ups_ = 0;
  int arrived_ = 0;
  std::vector<LinkDown> downs_;

 private:
  Mutex mu_;
  CondVar changed_;
};

std::unique_ptr<PahoLink> Open(LinkOptions options, Events& events) {
  absl::StatusOr<std::unique_ptr<PahoLink>> link = PahoLink::Open(std::move(options), events.Sink());
  EXPECT_TRUE(link.ok()) << link.status();
  return *std::move(link);
}

MonoTime SystemNow() {
  return SystemClock().Read().mono;
}

bool IsUp(Events& events) {
  return events.ups_ == 1;
}
bool IsDown(Events& events) {
  return events.downs_.size() == 1;
}

TEST(PahoLink, UrlOfAnUnknownKindIsRefused) {
  const auto link = PahoLink::Open({.url = "http://127.0.0.1:1", .client_id = "a"}, [](const LinkEvent&) {});
  EXPECT_EQ(link.status().code(), absl::StatusCode::kInvalidArgument) << link.status();
}

TEST(PahoLink, ConnectCarriesTheCredentialsAndTheRoundedKeepalive) {
  ScriptedBroker broker({kConnack});
  Events events;
  auto link = Open({.url = broker.url(),
                    .client_id = "me",
                    .username = "user",
                    .password = "secret",
                    .keepalive = absl::Milliseconds(1200)},
                   events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsUp));
  // Section 3.1: name, version 5, flags user + password + clean start, keepalive 2 s, no properties, the three strings.
  const std::string expected("\x00\x04MQTT\x05\xc2\x00\x02\x00\x00\x02me\x00\x04user\x00\x06secret", 29);
  EXPECT_EQ(broker.packets()[0].substr(2), expected);
}

TEST(PahoLink, DisconnectWithSessionTakenOverIsToldOnce) {
  ScriptedBroker broker({absl::StrCat(kConnack, kTakenOver)});
  Events events;
  auto link = Open({.url = broker.url(), .client_id = "me"}, events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsDown));
  EXPECT_TRUE(events.downs_[0].taken_over);
  EXPECT_THAT(events.downs_[0].reason, HasSubstr("taken over"));
  link.reset();
  EXPECT_EQ(events.downs_.size(), 1u);
}

TEST(PahoLink, RefusedCredentialsSayWhy) {
  ScriptedBroker broker({kConnackNotAuthorized});
  Events events;
  auto link = Open({.url = broker.url(), .client_id = "me"}, events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsDown));
  EXPECT_THAT(events.downs_[0].reason, HasSubstr("Not authorized"));
  EXPECT_EQ(events.ups_, 0);
}

TEST(PahoLink, RefusedSubscriptionIsDownAndNamesTheFilter) {
  ScriptedBroker broker({kConnack, kSubackTwoOneRefused});
  Events events;
  auto link = Open({.url = broker.url(), .client_id = "me", .subscriptions = {{.filter = "mine"}, {.filter = "yours"}}},
                   events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsDown));
  EXPECT_THAT(events.downs_[0].reason, HasSubstr("yours"));
  EXPECT_THAT(events.downs_[0].reason, HasSubstr("Not authorized"));
  EXPECT_EQ(events.ups_, 0);
  EXPECT_EQ(link->Publish({.topic = "a"}).code(), absl::StatusCode::kUnavailable);
}

TEST(PahoLink, ReceiveMaximumOfTheBrokerIsKept) {
  ScriptedBroker broker({kConnackReceiveMaximum2});
  Events events;
  auto link = Open({.url = broker.url(), .client_id = "me"}, events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsUp));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(link->Publish({.topic = "a", .qos = 1}).ok());
  // Nothing is acknowledged, so nothing beyond the second is sent, and closing gives up.
  EXPECT_EQ(link->Close(std::nullopt, absl::Milliseconds(200)).code(), absl::StatusCode::kDeadlineExceeded);
  const std::vector<std::string> packets = broker.packets();
  EXPECT_EQ(std::count_if(packets.begin(), packets.end(), [](const std::string& p) { return (p[0] & 0xf0) == 0x30; }),
            2);
}

// Paho alone would send its queue on once a second only, as many at a time as mosquitto's Receive Maximum of 20 allows.
TEST(PahoLink, BurstBeyondTheReceiveMaximumIsNotStalled) {
  auto broker = MosquittoProcess::Start();
  if (absl::IsNotFound(broker.status())) GTEST_SKIP() << "skipped: " << broker.status().message();
  ASSERT_TRUE(broker.ok()) << broker.status();
  Events events;
  auto link = Open({.url = (*broker)->url(), .client_id = "me"}, events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsUp));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(link->Publish({.topic = "a", .qos = 1}).ok());
  const absl::Status closed = link->Close(Publication{.topic = "a", .payload = "bye"}, absl::Seconds(20));
  EXPECT_TRUE(closed.ok()) << closed;
}

TEST(PahoLink, DestroyedWhileConnectingSaysNothingMore) {
  ScriptedBroker broker({});
  Events events;
  auto link = Open({.url = broker.url(), .client_id = "me"}, events);
  link->Tick(SystemNow());
  link.reset();
  EXPECT_EQ(events.ups_, 0);
  EXPECT_TRUE(events.downs_.empty());
}

TEST(PahoLink, InvalidFilterIsDown) {
  auto broker = MosquittoProcess::Start();
  if (absl::IsNotFound(broker.status())) GTEST_SKIP() << "skipped: " << broker.status().message();
  ASSERT_TRUE(broker.ok()) << broker.status();
  Events events;
  auto link = Open({.url = (*broker)->url(), .client_id = "me", .subscriptions = {{.filter = "a/#/b"}}}, events);
  link->Tick(SystemNow());
  ASSERT_TRUE(events.WaitFor(IsDown));
  EXPECT_FALSE(events.downs_[0].reason.empty());
  EXPECT_EQ(events.ups_, 0);
}

TEST(PahoLink, ThousandClientsInOneProcessTalkToEachOther) {
  auto broker = MosquittoProcess::Start();
  if (absl::IsNotFound(broker.status())) GTEST_SKIP() << "skipped: " << broker.status().message();
  ASSERT_TRUE(broker.ok()) << broker.status();
  constexpr int kClients = 1000;
  Events events;
  std::vector<std::unique_ptr<PahoLink>> links;
  for (int i = 0; i < kClients; ++i) {
    links.push_back(Open({.url = (*broker)->url(),
                          .client_id = absl::StrCat("c", i),
                          .subscriptions = {{.filter = absl::StrCat("to/", i), .qos = 1}}},
                         events));
    links.back()->Tick(SystemNow());
  }
  ASSERT_TRUE(events.WaitFor([](Events& e) { return e.ups_ == kClients; })) << events.ups_;

  for (int i = 0; i < kClients; ++i) {
    ASSERT_TRUE(links[i]->Publish({.topic = absl::StrCat("to/", (i + 1) % kClients), .qos = 1}).ok());
  }
  ASSERT_TRUE(events.WaitFor([](Events& e) { return e.arrived_ == kClients; })) << events.arrived_;
  for (auto& link : links) EXPECT_TRUE(link->Close(std::nullopt, absl::Seconds(10)).ok());
  EXPECT_TRUE(events.downs_.empty());
}

// One thread destroys links while another publishes on its own: Paho's shared queue must survive it.
TEST(PahoLink, LinksOfSeveralThreadsDoNotDisturbEachOther) {
  auto broker = MosquittoProcess::Start();
  if (absl::IsNotFound(broker.status())) GTEST_SKIP() << "skipped: " << broker.status().message();
  ASSERT_TRUE(broker.ok()) << broker.status();
  constexpr int kThreads = 4, kRounds = 5;
  static constexpr int kMessages = 200;
  const auto work = [&](int id) {
    for (int round = 0; round < kRounds; ++round) {
      Events events;
      auto link = Open({.url = (*broker)->url(),
                        .client_id = absl::StrCat("t", id),
                        .subscriptions = {{.filter = absl::StrCat("to/", id)}}},
                       events);
      link->Tick(SystemNow());
      ASSERT_TRUE(events.WaitFor(IsUp));
      for (int i = 0; i < kMessages; ++i) {
        ASSERT_TRUE(link->Publish({.topic = absl::StrCat("to/", id), .qos = i % 2}).ok());
      }
      ASSERT_TRUE(events.WaitFor([](Events& e) { return e.arrived_ == kMessages; }));
    }
  };
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) threads.emplace_back(work, id);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace fleet
