#include "common/testing/memory_broker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/testing/topic_tree.h"

namespace fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Clients on one clock, ticked when they want it; all that they see goes into one log.
class Simulation {
 public:
  struct Client {
    std::unique_ptr<MqttLink> link;
    int ups = 0;
    std::vector<LinkDown> downs;
    std::vector<std::string> payloads;
  };

  explicit Simulation(const MemoryBroker::Options& options) : broker(options) {}
  Simulation() : Simulation(MemoryBroker::Options()) {}

  Client& Add(LinkOptions options) {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    const std::string id = options.client_id;
    client.link = broker.Connect(std::move(options), [this, &client, id](LinkEvent event) { Note(client, id, event); });
    return client;
  }

  void RunFor(absl::Duration duration) {
    const MonoTime end = now + duration;
    while (true) {
      MonoTime next = end;
      broker.RunUntil(now);
      for (const auto& client : clients_) {
        if (client->link != nullptr) next = std::min(next, client->link->Tick(now));
      }
      next = std::min(next, broker.NextDue());
      if (now == end) break;
      now = std::max(now, next);
    }
  }

  MemoryBroker broker;
  MonoTime now = MonoTime::FromNanos(1'000'000'000);
  std::string log;

 private:
  void Note(Client& client, const std::string& id, LinkEvent& event) {
    absl::StrAppend(&log, now.nanos(), " ", id, " ");
    if (auto* arrived = std::get_if<Arrived>(&event)) {
      absl::StrAppend(&log, arrived->topic, "=", arrived->payload, "\n");
      client.payloads.push_back(arrived->payload);
    } else if (auto* down = std::get_if<LinkDown>(&event)) {
      absl::StrAppend(&log, "down ", down->reason, "\n");
      client.downs.push_back(*down);
    } else {
      absl::StrAppend(&log, "up\n");
      ++client.ups;
    }
  }

  std::vector<std::unique_ptr<Client>> clients_;
};

// A writer and a reader of everything, connected.
struct Pair {
  explicit Pair(Simulation& simulation, absl::Duration keepalive = absl::Seconds(5))
      : writer(simulation.Add({.client_id = "writer",
                               .keepalive = keepalive,
                               .will = Publication{.topic = "will", .payload = "lost", .qos = 1}})),
        reader(simulation.Add({.client_id = "reader", .subscriptions = {{.filter = "#", .qos = 1}}})) {
    simulation.RunFor(absl::Seconds(1));
    EXPECT_EQ(writer.ups, 1);
    EXPECT_EQ(reader.ups, 1);
  }
  // Publishes the numbers from `first` on.
  void Send(int first, int count, int qos) {
    for (int i = first; i < first + count; ++i) {
      EXPECT_TRUE(writer.link->Publish({.topic = "n", .payload = absl::StrCat(i), .qos = qos}).ok());
    }
  }
  Simulation::Client& writer;
  Simulation::Client& reader;
};

std::vector<std::string> Numbers(int count) {
  std::vector<std::string> numbers;
  for (int i = 0; i < count; ++i) numbers.push_back(absl::StrCat(i));
  return numbers;
}

std::vector<std::string> WithoutRepeats(std::vector<std::string> items) {
  std::vector<std::string> unique;
  for (std::string& item : items) {
    if (std::find(unique.begin(), unique.end(), item) == unique.end()) unique.push_back(std::move(item));
  }
  return unique;
}

TEST(MemoryBroker, LossTakesQos0AndOnlyDelaysQos1) {
  Simulation simulation;
  Pair pair(simulation);
  simulation.broker.SetFaults("writer", {.loss = 0.5});

  pair.Send(0, 1000, 0);
  simulation.RunFor(absl::Minutes(10));
  const size_t arrived = pair.reader.payloads.size();
  EXPECT_GT(arrived, 400u);
  EXPECT_LT(arrived, 600u);
  EXPECT_EQ(simulation.broker.counts().lost, 1000 - arrived);

  pair.reader.payloads.clear();
  pair.Send(0, 1000, 1);
  simulation.RunFor(absl::Minutes(10));
  EXPECT_EQ(pair.reader.payloads, Numbers(1000));
}

TEST(MemoryBroker, DoublingRepeatsQos1AndQos0OnlyWhenAsked) {
  Simulation simulation;
  Pair pair(simulation);
  simulation.broker.SetFaults("writer", {.duplicate = 0.3});

  pair.Send(0, 1000, 0);
  simulation.RunFor(absl::Seconds(10));
  EXPECT_EQ(pair.reader.payloads, Numbers(1000));

  pair.reader.payloads.clear();
  pair.Send(0, 1000, 1);
  simulation.RunFor(absl::Seconds(10));
  EXPECT_EQ(pair.reader.payloads.size(), 1000 + simulation.broker.counts().duplicated);
  EXPECT_GT(simulation.broker.counts().duplicated, 200u);
  EXPECT_EQ(WithoutRepeats(pair.reader.payloads), Numbers(1000));

  simulation.broker.SetFaults("writer", {.duplicate = 1, .duplicate_qos0 = true});
  pair.reader.payloads.clear();
  pair.Send(0, 10, 0);
  simulation.RunFor(absl::Seconds(10));
  EXPECT_EQ(pair.reader.payloads.size(), 20u);
}

TEST(MemoryBroker, DelayKeepsTheOrderUnlessReorderingIsAsked) {
  Simulation simulation;
  Pair pair(simulation);
  LinkFaults faults = {.delay_min = absl::Milliseconds(10), .delay_max = absl::Milliseconds(100)};
  simulation.broker.SetFaults("reader", faults);

  pair.Send(0, 100, 0);
  simulation.RunFor(absl::Milliseconds(9));
  EXPECT_THAT(pair.reader.payloads, IsEmpty());
  simulation.RunFor(absl::Milliseconds(91));
  EXPECT_EQ(pair.reader.payloads, Numbers(100));

  faults.reorder = true;
  simulation.broker.SetFaults("reader", faults);
  pair.reader.payloads.clear();
  pair.Send(0, 100, 0);
  simulation.RunFor(absl::Milliseconds(100));
  EXPECT_NE(pair.reader.payloads, Numbers(100));
  std::vector<std::string> sorted = pair.reader.payloads, expected = Numbers(100);
  std::sort(sorted.begin(), sorted.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(sorted, expected);
}

TEST(MemoryBroker, HealedPartitionLosesQos0AndDeliversQos1) {
  Simulation simulation;
  Pair pair(simulation, absl::Seconds(10));
  simulation.broker.Partition("writer", true);
  pair.Send(100, 5, 0);
  pair.Send(0, 5, 1);
  simulation.RunFor(absl::Seconds(14));
  EXPECT_THAT(pair.reader.payloads, IsEmpty());

  simulation.broker.Partition("writer", false);
  simulation.RunFor(absl::Seconds(60));

  EXPECT_EQ(pair.reader.payloads, Numbers(5));
  EXPECT_THAT(pair.writer.downs, IsEmpty());
  EXPECT_EQ(simulation.broker.counts().lost, 5u);
}

TEST(MemoryBroker, LongPartitionFiresTheWillAndTheClientComesBackWhenHealed) {
  Simulation simulation;
  Pair pair(simulation, absl::Seconds(2));
  simulation.broker.Partition("writer", true);

  simulation.RunFor(absl::Milliseconds(2999));
  EXPECT_THAT(pair.reader.payloads, IsEmpty());
  EXPECT_THAT(pair.writer.downs, IsEmpty());
  simulation.RunFor(absl::Milliseconds(1));
  EXPECT_THAT(pair.reader.payloads, ElementsAre("lost"));
  EXPECT_EQ(pair.writer.downs.size(), 1u);

  simulation.RunFor(absl::Minutes(1));
  EXPECT_EQ(pair.writer.ups, 1);
  simulation.broker.Partition("writer", false);
  simulation.RunFor(absl::Seconds(10));
  EXPECT_EQ(pair.writer.ups, 2);
  EXPECT_THAT(pair.reader.payloads, ElementsAre("lost"));
}

TEST(MemoryBroker, LinkDestroyedBehindAPartitionIsMissedAfterTheKeepalive) {
  Simulation simulation;
  Pair pair(simulation, absl::Seconds(2));
  simulation.broker.Partition("writer", true);
  pair.writer.link.reset();

  simulation.RunFor(absl::Seconds(2));
  EXPECT_THAT(pair.reader.payloads, IsEmpty());
  simulation.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.reader.payloads, ElementsAre("lost"));
  EXPECT_EQ(simulation.broker.connected(), 1u);
}

TEST(MemoryBroker, KilledConnectionFiresTheWillAndReconnects) {
  Simulation simulation;
  Pair pair(simulation);

  simulation.broker.Kill("writer");
  simulation.RunFor(absl::Seconds(10));

  EXPECT_THAT(pair.reader.payloads, ElementsAre("lost"));
  EXPECT_EQ(pair.writer.downs.size(), 1u);
  EXPECT_EQ(pair.writer.ups, 2);
  EXPECT_EQ(simulation.broker.counts().wills, 1u);
}

TEST(MemoryBroker, RestartCutsEverybodyAndKeepsRetainedMessagesWhenTold) {
  for (const bool keep : {true, false}) {
    Simulation simulation;
    Pair pair(simulation);
    ASSERT_TRUE(pair.writer.link->Publish({.topic = "r", .payload = "kept", .retain = true}).ok());
    simulation.RunFor(absl::Seconds(1));
    pair.reader.payloads.clear();

    simulation.broker.Restart(keep);
    simulation.RunFor(absl::Seconds(10));

    EXPECT_EQ(pair.writer.ups, 2);
    EXPECT_EQ(pair.reader.ups, 2);
    EXPECT_EQ(pair.reader.payloads, keep ? std::vector<std::string>{"kept"} : std::vector<std::string>{});
  }
}

TEST(MemoryBroker, SinkMayPublish) {
  MemoryBroker broker;
  std::vector<std::string> answers;
  std::unique_ptr<MqttLink> echo, asker;
  echo = broker.Connect({.client_id = "echo", .subscriptions = {{.filter = "ask"}}}, [&](LinkEvent event) {
    const auto* arrived = std::get_if<Arrived>(&event);
    for (int i = 0; arrived != nullptr && i < 100; ++i) {
      EXPECT_TRUE(echo->Publish({.topic = "answer", .payload = absl::StrCat(arrived->payload, i)}).ok());
    }
  });
  asker = broker.Connect({.client_id = "asker", .subscriptions = {{.filter = "answer"}}}, [&](LinkEvent event) {
    if (const auto* arrived = std::get_if<Arrived>(&event)) answers.push_back(arrived->payload);
  });
  const MonoTime now = MonoTime::FromNanos(1);
  echo->Tick(now);
  asker->Tick(now);
  broker.RunUntil(now);

  ASSERT_TRUE(asker->Publish({.topic = "ask", .payload = "a"}).ok());
  ASSERT_TRUE(asker->Publish({.topic = "ask", .payload = "b"}).ok());
  broker.RunUntil(now);

  ASSERT_EQ(answers.size(), 200u);
  EXPECT_EQ(answers.front(), "a0");
  EXPECT_EQ(answers.back(), "b99");
}

TEST(MemoryBroker, WhatIsUnderWayIsBoundedAndCounted) {
  Simulation simulation({.max_messages = 10});
  Pair pair(simulation);

  pair.Send(0, 15, 1);
  simulation.RunFor(absl::Seconds(1));

  EXPECT_EQ(pair.reader.payloads, Numbers(10));
  EXPECT_EQ(simulation.broker.counts().dropped, 5u);
  EXPECT_EQ(simulation.broker.counts().published, 15u);
  EXPECT_EQ(simulation.broker.counts().delivered, 10u);
}

// An hour of forty clients on a bad network, with partitions, kills and a restart.
std::string BadHour(uint64_t seed) {
  Simulation simulation(
      {.seed = seed,
       .faults = {
           .loss = 0.05, .duplicate = 0.05, .delay_min = absl::Milliseconds(1), .delay_max = absl::Milliseconds(300)}});
  std::vector<Simulation::Client*> clients;
  for (int i = 0; i < 40; ++i) {
    const std::string id = absl::StrCat("c", i);
    clients.push_back(&simulation.Add({.client_id = id,
                                       .will = Publication{.topic = absl::StrCat("will/", id), .qos = 1},
                                       .subscriptions = {{.filter = absl::StrCat("to/", id), .qos = 1}}}));
  }
  simulation.Add({.client_id = "all", .subscriptions = {{.filter = "#", .qos = 1}}});
  for (int minute = 0; minute < 60; ++minute) {
    simulation.broker.Partition("c1", minute % 3 == 1);
    if (minute % 7 == 3) simulation.broker.Kill("c2");
    if (minute == 30) simulation.broker.Restart();
    for (size_t i = 0; i < clients.size(); ++i) {
      const std::string topic = absl::StrCat("to/c", (i + 1) % clients.size());
      const int qos = static_cast<int>(i) % 2;
      // Refused while it is not connected: that too is part of the log.
      const absl::Status status =
          clients[i]->link->Publish({.topic = topic, .payload = absl::StrCat(minute), .qos = qos});
      if (!status.ok()) absl::StrAppend(&simulation.log, "refused ", i, "\n");
    }
    simulation.RunFor(absl::Minutes(1));
  }
  return simulation.log;
}

TEST(MemoryBroker, SameSeedReplaysByteForByte) {
  const std::string log = BadHour(7);
  EXPECT_GT(log.size(), 10'000u);
  EXPECT_EQ(log, BadHour(7));
  EXPECT_NE(log, BadHour(8));
}

TEST(TopicMatches, FollowsTheRulesOfMqtt) {
  EXPECT_TRUE(TopicMatches("a/b", "a/b"));
  EXPECT_TRUE(TopicMatches("a/+", "a/b"));
  EXPECT_TRUE(TopicMatches("a/#", "a"));
  EXPECT_TRUE(TopicMatches("a/#", "a/b/c"));
  EXPECT_TRUE(TopicMatches("+/+", "/b"));
  EXPECT_TRUE(TopicMatches("#", "a/b"));
  EXPECT_TRUE(TopicMatches("$SYS/#", "$SYS/x"));
  EXPECT_FALSE(TopicMatches("#", "$SYS/x"));
  EXPECT_FALSE(TopicMatches("+/x", "$SYS/x"));
  EXPECT_FALSE(TopicMatches("a/+", "a"));
  EXPECT_FALSE(TopicMatches("a/+", "a/b/c"));
  EXPECT_FALSE(TopicMatches("a/b", "a/bc"));
  EXPECT_FALSE(TopicMatches("a/b/c", "a/b"));
}

TEST(TopicTree, AgreesWithTopicMatchesAndForgetsWhatIsRemoved) {
  const std::vector<std::string> filters = {"a",   "a/b", "a/+", "a/#",  "+",    "#",     "+/b",
                                            "a//", "/+",  "+/+", "$S/#", "$S/+", "a/+/c", "a/b/#"};
  const std::vector<std::string> topics = {"a", "a/b", "a/b/c", "b", "/b", "a//", "$S", "$S/x", "", "a/x/c"};
  TopicTree tree;
  for (uint32_t i = 0; i < filters.size(); ++i) tree.Add(filters[i], {.index = i, .qos = 0});
  const auto matched = [&](const std::string& topic) {
    std::vector<uint32_t> indexes;
    for (const TopicTree::Subscriber& subscriber : tree.Match(topic)) indexes.push_back(subscriber.index);
    return indexes;
  };
  for (const std::string& topic : topics) {
    std::vector<uint32_t> expected;
    for (uint32_t i = 0; i < filters.size(); ++i) {
      if (TopicMatches(filters[i], topic)) expected.push_back(i);
    }
    EXPECT_EQ(matched(topic), expected) << topic;
  }
  for (uint32_t i = 0; i < filters.size(); ++i) tree.Remove(filters[i], i);
  for (const std::string& topic : topics) EXPECT_THAT(matched(topic), IsEmpty()) << topic;
}

TEST(TopicTree, OverlappingFiltersCountOnceWithTheHigherQos) {
  TopicTree tree;
  tree.Add("a/+", {.index = 3, .qos = 0});
  tree.Add("a/b", {.index = 3, .qos = 1});
  tree.Add("#", {.index = 1, .qos = 0});
  const std::vector<TopicTree::Subscriber> found = tree.Match("a/b");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].index, 1u);
  EXPECT_EQ(found[1].index, 3u);
  EXPECT_EQ(found[1].qos, 1);
}

}  // namespace
}  // namespace fleet
