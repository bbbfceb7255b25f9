// What every MqttLink promises, checked on PahoLink with a real mosquitto and on the links of MemoryBroker.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mqtt_link.h"
#include "common/mutex.h"
#include "common/paho_link.h"
#include "common/testing/memory_broker.h"
#include "common/testing/mosquitto_process.h"

namespace fleet {
namespace {

using testing::ElementsAre;

constexpr absl::Duration kPatience = absl::Seconds(30);

// One link and what its sink was given.
struct Client {
  std::vector<LinkEvent> events;
  std::unique_ptr<MqttLink> link;  // goes first: it adds to the events until then
  bool ticked = true;              // false: its owner leaves it alone

  template <typename EventT>
  std::vector<EventT> All() const {
    std::vector<EventT> found;
    for (const LinkEvent& event : events) {
      if (const auto* e = std::get_if<EventT>(&event)) found.push_back(*e);
    }
    return found;
  }
  template <typename EventT>
  size_t Count() const {
    return All<EventT>().size();
  }
  // Of what arrived on `topic`, or on any.
  std::vector<std::string> Payloads(const std::string& topic = "") const {
    std::vector<std::string> payloads;
    for (const Arrived& arrived : All<Arrived>()) {
      if (topic.empty() || arrived.topic == topic) payloads.push_back(arrived.payload);
    }
    return payloads;
  }
};

// A broker with clients. Waiting drives them all: it calls Tick when it is due and returns when the condition holds.
class World {
 public:
  virtual ~World() = default;

  Client& Add(LinkOptions options) {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    client.link = Connect(std::move(options), [this, &client](LinkEvent event) {
      MutexLock lock(mu_);
      client.events.push_back(std::move(event));
      changed_.NotifyAll();
    });
    return client;
  }
  Client& AddUp(LinkOptions options) {
    Client& client = Add(std::move(options));
    EXPECT_TRUE(WaitFor([&] { return client.Count<LinkUp>() == 1; })) << "no LinkUp";
    return client;
  }

  bool WaitFor(const std::function<bool()>& done) {
    const MonoTime deadline = Now() + kPatience;
    while (true) {
      MonoTime due = deadline;
      for (const auto& client : clients_) {
        if (client->link != nullptr && client->ticked) due = std::min(due, client->link->Tick(Now()));
      }
      MutexLock lock(mu_);
      if (done()) return true;
      if (Now() >= deadline) return false;
      Pause(due);
    }
  }

  // The clients go before what they are connected to.
  void Clear() { clients_.clear(); }

  virtual void StopBroker() = 0;
  virtual void StartBroker() = 0;
  // The broker stays connected to everybody and says nothing.
  virtual void SilenceBroker() = 0;

 protected:
  virtual std::unique_ptr<MqttLink> Connect(LinkOptions options, LinkSink sink) = 0;
  virtual MonoTime Now() = 0;
  // Returns at `due`, or when something may have happened.
  virtual void Pause(MonoTime due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;

  Mutex mu_;  // guards Client::events
  CondVar changed_;

 private:
  std::vector<std::unique_ptr<Client>> clients_;
};

class MosquittoWorld : public World {
 public:
  explicit MosquittoWorld(std::unique_ptr<MosquittoProcess> broker) : broker_(std::move(broker)) {
    metronome_ = Connect({.client_id = "metronome", .subscriptions = {{.filter = "$tick"}}}, [](const LinkEvent&) {});
  }
  ~MosquittoWorld() override { Clear(); }

  void StopBroker() override { broker_->Stop(); }
  void StartBroker() override { EXPECT_TRUE(broker_->Restart().ok()); }
  void SilenceBroker() override { broker_->Freeze(); }

 protected:
  std::unique_ptr<MqttLink> Connect(LinkOptions options, LinkSink sink) override {
    options.url = broker_->url();
    absl::StatusOr<std::unique_ptr<PahoLink>> link = PahoLink::Open(std::move(options), std::move(sink));
    EXPECT_TRUE(link.ok()) << link.status();
    return *std::move(link);
  }
  MonoTime Now() override { return SystemClock().Read().mono; }
  void Pause(MonoTime due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override {
    mu_.unlock();  // the sinks take it
    metronome_->Tick(Now());
    metronome_->Publish({.topic = "$tick"}).IgnoreError();  // not connected: no tick
    mu_.lock();
    changed_.WaitFor(mu_, std::min(due - Now(), absl::Milliseconds(20)));
  }

 private:
  const std::unique_ptr<MosquittoProcess> broker_;
  // Paho looks for new connections once a second, or when one that it knows has something to say.
  std::unique_ptr<MqttLink> metronome_;
};

class MemoryWorld : public World {
 public:
  ~MemoryWorld() override { Clear(); }

  void StopBroker() override { broker_.Stop(); }
  void StartBroker() override { broker_.Start(); }
  void SilenceBroker() override {
    for (const std::string& id : ids_) broker_.Partition(id, true);
  }

 protected:
  std::unique_ptr<MqttLink> Connect(LinkOptions options, LinkSink sink) override {
    ids_.push_back(options.client_id);
    return broker_.Connect(std::move(options), std::move(sink));
  }
  MonoTime Now() override { return now_; }
  void Pause(MonoTime due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override {
    now_ = std::max(now_, std::min(due, broker_.NextDue()));
    mu_.unlock();  // the sinks take it
    broker_.RunUntil(now_);
    mu_.lock();
  }

 private:
  MemoryBroker broker_;
  std::vector<std::string> ids_;
  MonoTime now_ = MonoTime::FromNanos(1);
};

using MakeWorld = absl::StatusOr<std::unique_ptr<World>> (*)();

absl::StatusOr<std::unique_ptr<World>> MakeMosquittoWorld() {
  absl::StatusOr<std::unique_ptr<MosquittoProcess>> broker = MosquittoProcess::Start();
  if (!broker.ok()) return broker.status();
  return std::make_unique<MosquittoWorld>(*std::move(broker));
}

absl::StatusOr<std::unique_ptr<World>> MakeMemoryWorld() {
  return std::make_unique<MemoryWorld>();
}

struct Param {
  const char* name;
  MakeWorld make;
};

class MqttLinkContract : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<World>> world = GetParam().make();
    if (absl::IsNotFound(world.status())) GTEST_SKIP() << "skipped: " << world.status().message();
    ASSERT_TRUE(world.ok()) << world.status();
    world_ = *std::move(world);
  }

  static LinkOptions Options(const std::string& id, std::vector<Subscription> subscriptions = {}) {
    return {.client_id = id,
            .reconnect_min = absl::Milliseconds(20),
            .reconnect_max = absl::Milliseconds(200),
            .subscriptions = std::move(subscriptions)};
  }
  bool WaitForPayloads(Client& client, size_t count) {
    return world_->WaitFor([&] { return client.Count<Arrived>() >= count; });
  }
  // Returns when `reader`, subscribed to #, has got everything that the broker had accepted before.
  void Fence(Client& writer, Client& reader) {
    for (int i = 0; i < 2; ++i) {
      const std::string topic = absl::StrCat("fence/", ++fences_);
      ASSERT_TRUE(writer.link->Publish({.topic = topic, .payload = "fence", .qos = 1}).ok());
      ASSERT_TRUE(world_->WaitFor([&] { return reader.Payloads(topic).size() == 1; }));
    }
  }

  std::unique_ptr<World> world_;
  int fences_ = 0;
};

TEST_P(MqttLinkContract, PublicationReachesItsSubscriberUnchanged) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "a/b"}}));
  Client& writer = world_->AddUp(Options("writer"));

  ASSERT_TRUE(writer.link->Publish({.topic = "a/b", .payload = std::string("x\0y\xff", 4)}).ok());

  ASSERT_TRUE(WaitForPayloads(reader, 1));
  const Arrived arrived = reader.All<Arrived>()[0];
  EXPECT_EQ(arrived.topic, "a/b");
  EXPECT_EQ(arrived.payload, std::string("x\0y\xff", 4));
  EXPECT_FALSE(arrived.retained);
}

TEST_P(MqttLinkContract, PayloadsOfAllSizesArriveWhole) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "#", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));
  const std::vector<std::string> payloads = {"", std::string(64 * 1024 + 1, 'x'), std::string(1 << 20, 'y')};

  for (const std::string& payload : payloads) {
    ASSERT_TRUE(writer.link->Publish({.topic = "a", .payload = payload, .qos = 1}).ok());
  }

  ASSERT_TRUE(WaitForPayloads(reader, payloads.size()));
  EXPECT_EQ(reader.Payloads(), payloads);
}

TEST_P(MqttLinkContract, OrderWithinATopicIsKept) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "q/+", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));
  std::vector<std::string> sent;

  for (int i = 0; i < 500; ++i) {
    sent.push_back(absl::StrCat(i));
    ASSERT_TRUE(writer.link->Publish({.topic = "q/0", .payload = sent.back(), .qos = 0}).ok());
    ASSERT_TRUE(writer.link->Publish({.topic = "q/1", .payload = sent.back(), .qos = 1}).ok());
  }

  ASSERT_TRUE(WaitForPayloads(reader, 1000));
  EXPECT_EQ(reader.Payloads("q/0"), sent);
  EXPECT_EQ(reader.Payloads("q/1"), sent);
}

TEST_P(MqttLinkContract, WildcardsSelectLevelsAndNotDollarTopics) {
  Client& plus = world_->AddUp(Options("plus", {{.filter = "rpi/+/state"}}));
  Client& both = world_->AddUp(Options("both", {{.filter = "rpi/#"}, {.filter = "server/beat"}}));
  Client& all = world_->AddUp(Options("all", {{.filter = "#", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));

  for (const char* topic : {"rpi/a/state", "rpi/a/b/state", "rpi", "server/beat", "server", "$hidden/state"}) {
    ASSERT_TRUE(writer.link->Publish({.topic = topic, .payload = topic}).ok());
  }
  Fence(writer, all);

  EXPECT_THAT(plus.Payloads(), ElementsAre("rpi/a/state"));
  EXPECT_THAT(both.Payloads(), ElementsAre("rpi/a/state", "rpi/a/b/state", "rpi", "server/beat"));
  EXPECT_THAT(all.Payloads(),
              ElementsAre("rpi/a/state", "rpi/a/b/state", "rpi", "server/beat", "server", "fence", "fence"));
}

TEST_P(MqttLinkContract, LaterSubscriberGetsTheLastRetainedMessageFlagged) {
  Client& early = world_->AddUp(Options("early", {{.filter = "#", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));
  ASSERT_TRUE(writer.link->Publish({.topic = "s/a", .payload = "old", .qos = 1, .retain = true}).ok());
  ASSERT_TRUE(writer.link->Publish({.topic = "s/a", .payload = "new", .qos = 1, .retain = true}).ok());
  ASSERT_TRUE(WaitForPayloads(early, 2));

  Client& later = world_->AddUp(Options("later", {{.filter = "s/+", .qos = 1}}));

  ASSERT_TRUE(WaitForPayloads(later, 1));
  EXPECT_THAT(later.Payloads(), ElementsAre("new"));
  EXPECT_TRUE(later.All<Arrived>()[0].retained);
  EXPECT_FALSE(early.All<Arrived>()[1].retained);
}

TEST_P(MqttLinkContract, EmptyRetainedMessageClearsTheTopic) {
  Client& early = world_->AddUp(Options("early", {{.filter = "#", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));
  ASSERT_TRUE(writer.link->Publish({.topic = "s/a", .payload = "old", .qos = 1, .retain = true}).ok());
  ASSERT_TRUE(writer.link->Publish({.topic = "s/a", .payload = "", .qos = 1, .retain = true}).ok());
  ASSERT_TRUE(WaitForPayloads(early, 2));

  Client& later = world_->AddUp(Options("later", {{.filter = "#", .qos = 1}}));
  Fence(writer, later);

  EXPECT_TRUE(later.Payloads("s/a").empty());
}

TEST_P(MqttLinkContract, DestroyedLinkLeavesItsWillRetained) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "#", .qos = 1}}));
  LinkOptions options = Options("mortal");
  options.will = Publication{.topic = "s/mortal", .payload = "lost", .qos = 1, .retain = true};
  Client& mortal = world_->AddUp(options);

  mortal.link.reset();

  ASSERT_TRUE(world_->WaitFor([&] { return reader.Payloads("s/mortal").size() == 1; }));
  EXPECT_THAT(reader.Payloads(), ElementsAre("lost"));
  Client& later = world_->AddUp(Options("later", {{.filter = "s/mortal"}}));
  ASSERT_TRUE(WaitForPayloads(later, 1));
  EXPECT_TRUE(later.All<Arrived>()[0].retained);
}

TEST_P(MqttLinkContract, CloseDeliversEverythingThenTheGoodbyeAndDropsTheWill) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "#", .qos = 1}}));
  Client& other = world_->AddUp(Options("other"));
  LinkOptions options = Options("polite");
  options.will = Publication{.topic = "s/polite", .payload = "lost", .qos = 1};
  Client& polite = world_->AddUp(options);

  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(polite.link->Publish({.topic = "x", .payload = absl::StrCat(i), .qos = i % 2}).ok());
  }
  const absl::Status status = polite.link->Close(Publication{.topic = "s/polite", .payload = "bye"}, absl::Seconds(10));
  EXPECT_TRUE(status.ok()) << status;
  polite.link.reset();
  Fence(other, reader);

  EXPECT_THAT(reader.Payloads(), ElementsAre("0", "1", "2", "bye", "fence", "fence"));
}

TEST_P(MqttLinkContract, NothingHappensAfterClose) {
  Client& closed = world_->AddUp(Options("closed", {{.filter = "#", .qos = 1}}));
  Client& reader = world_->AddUp(Options("reader", {{.filter = "#", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));
  ASSERT_TRUE(closed.link->Close(std::nullopt, absl::Seconds(10)).ok());
  const size_t events = closed.events.size();

  Fence(writer, reader);

  EXPECT_EQ(closed.events.size(), events);
  EXPECT_EQ(closed.link->Publish({.topic = "a"}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(closed.link->Tick(MonoTime::FromNanos(1)), MonoTime::Max());
  EXPECT_TRUE(closed.link->Close(std::nullopt, absl::Seconds(10)).ok());
}

TEST_P(MqttLinkContract, CloseBeforeConnectingCannotSayGoodbye) {
  Client& client = world_->Add(Options("early"));
  EXPECT_EQ(client.link->Close(Publication{.topic = "a"}, absl::Seconds(1)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_P(MqttLinkContract, PublishBeforeConnectingIsUnavailable) {
  Client& client = world_->Add(Options("early"));
  EXPECT_EQ(client.link->Publish({.topic = "a"}).code(), absl::StatusCode::kUnavailable);
}

TEST_P(MqttLinkContract, LinkComesBackSubscribedAfterTheBrokerRestarted) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "a", .qos = 1}, {.filter = "b/#", .qos = 1}}));
  Client& writer = world_->AddUp(Options("writer"));

  world_->StopBroker();
  ASSERT_TRUE(world_->WaitFor([&] { return reader.Count<LinkDown>() > 0 && writer.Count<LinkDown>() > 0; }));
  EXPECT_EQ(writer.link->Publish({.topic = "a"}).code(), absl::StatusCode::kUnavailable);
  world_->StartBroker();
  ASSERT_TRUE(world_->WaitFor([&] { return reader.Count<LinkUp>() == 2 && writer.Count<LinkUp>() == 2; }));

  ASSERT_TRUE(writer.link->Publish({.topic = "a", .payload = "1", .qos = 1}).ok());
  ASSERT_TRUE(writer.link->Publish({.topic = "b/c", .payload = "2", .qos = 1}).ok());
  ASSERT_TRUE(WaitForPayloads(reader, 2));
  EXPECT_THAT(reader.Payloads(), ElementsAre("1", "2"));
}

TEST_P(MqttLinkContract, FailedAttemptsSayWhyAndGoOn) {
  world_->StopBroker();
  Client& client = world_->Add(Options("patient"));

  ASSERT_TRUE(world_->WaitFor([&] { return client.Count<LinkDown>() == 3; }));
  for (const LinkDown& down : client.All<LinkDown>()) EXPECT_THAT(down.reason, testing::HasSubstr("cannot connect"));
  EXPECT_EQ(client.Count<LinkUp>(), 0u);
  world_->StartBroker();
  EXPECT_TRUE(world_->WaitFor([&] { return client.Count<LinkUp>() == 1; }));
}

TEST_P(MqttLinkContract, SecondClientWithTheSameIdTakesOver) {
  Client& reader = world_->AddUp(Options("reader", {{.filter = "#", .qos = 1}}));
  LinkOptions options = Options("twin", {{.filter = "for/twin"}});
  options.will = Publication{.topic = "s/twin", .payload = "lost", .qos = 1};
  Client& first = world_->AddUp(options);
  first.ticked = false;

  Client& second = world_->AddUp(options);

  ASSERT_TRUE(world_->WaitFor([&] { return first.Count<LinkDown>() == 1; }));
  // mosquitto 2.0.11 closes without the DISCONNECT that would tell; paho_link_test.cc has a broker that sends it.
  EXPECT_TRUE(first.All<LinkDown>()[0].taken_over || std::string(GetParam().name) == "Paho");
  EXPECT_FALSE(first.All<LinkDown>()[0].reason.empty());
  ASSERT_TRUE(world_->WaitFor([&] { return reader.Payloads("s/twin").size() == 1; }));  // the will of the first
  ASSERT_TRUE(second.link->Publish({.topic = "for/twin", .payload = "me", .qos = 1}).ok());
  ASSERT_TRUE(WaitForPayloads(second, 1));
  EXPECT_EQ(first.Count<LinkDown>(), 1u);  // once for one loss
  EXPECT_EQ(first.Count<Arrived>(), 0u);
  EXPECT_EQ(second.Count<LinkDown>(), 0u);
}

TEST_P(MqttLinkContract, SilentBrokerIsNoticedByTheKeepalive) {
  LinkOptions options = Options("listener");
  options.keepalive = absl::Milliseconds(700);  // rounded up to a second where the wire has seconds
  Client& client = world_->AddUp(options);
  client.ticked = false;

  world_->SilenceBroker();

  ASSERT_TRUE(world_->WaitFor([&] { return client.Count<LinkDown>() == 1; }));
  EXPECT_FALSE(client.All<LinkDown>()[0].taken_over);
}

TEST_P(MqttLinkContract, AttemptWithoutAnswerIsGivenUp) {
  LinkOptions options = Options("caller");
  Client& client = world_->Add(options);
  world_->SilenceBroker();

  EXPECT_TRUE(world_->WaitFor([&] { return client.Count<LinkDown>() == 1; }));
  EXPECT_THAT(client.All<LinkDown>()[0].reason, testing::HasSubstr("no answer"));
}

TEST_P(MqttLinkContract, WhatMayBeDroppedIsRefusedBeforeOthersWaitForIt) {
  Client& client = world_->AddUp(Options("tap"));
  world_->SilenceBroker();

  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.link->Publish({.topic = "a", .qos = 1}).ok()) << i;
  EXPECT_EQ(client.link->Publish({.topic = "b", .drop_above = 3}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(client.link->Publish({.topic = "a", .qos = 1}).ok());
  EXPECT_EQ(client.link->Close(std::nullopt, absl::Milliseconds(100)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(MqttLinkContract, WhatIsInFlightIsBounded) {
  LinkOptions options = Options("eager");
  options.max_in_flight = 10;
  Client& client = world_->AddUp(options);
  world_->SilenceBroker();

  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.link->Publish({.topic = "a", .qos = 1}).ok()) << i;
  EXPECT_EQ(client.link->Publish({.topic = "a", .qos = 1}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(client.link->Close(std::nullopt, absl::Milliseconds(100)).code(), absl::StatusCode::kDeadlineExceeded);
}

INSTANTIATE_TEST_SUITE_P(All, MqttLinkContract,
                         testing::Values(Param{"Memory", MakeMemoryWorld}, Param{"Paho", MakeMosquittoWorld}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

}  // namespace
}  // namespace fleet
