// A broker and its network in memory, for simulations: one thread, one simulated clock, the same run from the same
// seed.
//
//   MemoryBroker broker({.seed = 7, .faults = {.loss = 0.05, .delay_max = absl::Milliseconds(80)}});
//   auto link = broker.Connect(options, sink);
//   for (MonoTime now = start; now < end; now = next) { broker.RunUntil(now); link->Tick(now); ... }
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/backoff.h"
#include "common/mqtt_link.h"
#include "common/testing/topic_tree.h"

namespace fleet {

// What the network does to each message on each of its two ways, to the broker and from it.
struct LinkFaults {
  double loss = 0;              // probability; QoS 0 is gone, QoS 1 is late by the retry interval, perhaps repeatedly
  double duplicate = 0;         // probability that a QoS 1 message comes twice
  bool duplicate_qos0 = false;  // and QoS 0 as well: no network does, a receiver must bear it all the same
  bool reorder = false;         // messages may overtake each other within their delays
  absl::Duration delay_min = absl::ZeroDuration();
  absl::Duration delay_max = absl::ZeroDuration();

  bool any() const { return loss > 0 || duplicate > 0 || delay_max > absl::ZeroDuration(); }
};

// Passes the contract test of MqttLink, with the semantics that PahoLink has: clean sessions, so that what is under way
// is gone with its connection; within one, QoS 1 is repeated until it has arrived. No sink is called but in RunUntil
// and, for an attempt that took too long, in Tick. Sinks may publish.
//
// The time is the latest that RunUntil or Tick was given. A publication without faults is routed by a hash lookup of
// its topic and waits in a plain queue for the next RunUntil. Outlives its links.
class MemoryBroker {
 public:
  struct Options {
    uint64_t seed = 1;
    LinkFaults faults;                        // of every client without faults of its own
    absl::Duration retry = absl::Seconds(1);  // QoS 1 that was lost is sent again after this
    size_t max_messages = 1 << 20;            // under way; one more is dropped
    size_t max_retained = 1 << 20;            // topics; one more is not retained
  };
  struct Counts {
    uint64_t published = 0;  // accepted from clients
    uint64_t delivered = 0;  // handed to sinks
    uint64_t lost = 0;       // by fault, partition, or with their connection
    uint64_t duplicated = 0;
    uint64_t dropped = 0;  // over a bound
    uint64_t wills = 0;    // published
  };

  explicit MemoryBroker(const Options& options);
  MemoryBroker() : MemoryBroker(Options()) {}
  ~MemoryBroker();

  std::unique_ptr<MqttLink> Connect(LinkOptions options, LinkSink sink);

  // Lets everything happen that is due at `now` or before.
  void RunUntil(MonoTime now);
  // MonoTime::Max() when nothing is under way.
  MonoTime NextDue() const;

  void SetFaults(const LinkFaults& faults) { options_.faults = faults; }
  void SetFaults(const std::string& client_id, const LinkFaults& faults);
  // Cuts the client's connection at once, as a lost TCP connection: its will is published, it gets LinkDown.
  void Kill(const std::string& client_id);
  // Nothing passes either way, silently. After 1.5 times the keepalive the will is published and the client gets
  // LinkDown; until it is healed no attempt succeeds.
  void Partition(const std::string& client_id, bool on);
  // Everybody gets LinkDown and attempts are refused. No will is published.
  void Stop();
  void Start(bool keep_retained = true);
  void Restart(bool keep_retained = true) {
    Stop();
    Start(keep_retained);
  }

  const Counts& counts() const { return counts_; }
  size_t connected() const { return by_id_.size(); }

 private:
  class Link;
  struct Endpoint;

  enum class Kind : uint8_t {
    kConnect,  // CONNECT and SUBSCRIBE reach the broker
    kUp,       // CONNACK and SUBACK reach the client
    kPublish,  // a publication reaches the broker
    kDeliver,  // a publication reaches the client
    kGoodbye,  // DISCONNECT reaches the broker
    kReset,    // the end of the connection reaches the broker
    kDown,     // the end of the connection reaches the client
    kExpire,   // the keepalive of a partitioned connection has run out on both sides
  };
  struct Event {
    MonoTime at;
    uint64_t sequence = 0;
    uint64_t attempt = 0;  // events of an older connection reach nobody; of kExpire: the number of the partition
    uint32_t index = 0;    // of the endpoint
    Kind kind = Kind::kDeliver;
    int8_t qos = 0;
    bool retain = false;
    bool taken_over = false;
    std::string topic;
    std::string payload;  // of kDown: the reason

    friend bool operator>(const Event& a, const Event& b) {
      return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
    }
  };
  struct Later {
    bool operator()(const std::unique_ptr<Event>& a, const std::unique_ptr<Event>& b) const { return *a > *b; }
  };
  struct Route {
    uint64_t version = 0;
    absl::InlinedVector<TopicTree::Subscriber, 2> subscribers;  // most topics have one or two
  };
  struct Retained {
    std::string payload;
    int qos = 0;
  };

  // The client's side of an endpoint, in memory_link.cc; these four for Link.
  MonoTime Tick(uint32_t index, MonoTime now);
  absl::Status Publish(uint32_t index, const Publication& publication);
  absl::Status Close(uint32_t index, const std::optional<Publication>& goodbye);
  void Abandon(uint32_t index);
  void Attempt(Endpoint& endpoint, MonoTime now);
  void Lose(Endpoint& endpoint, std::string reason, bool taken_over);
  void SendPublication(Endpoint& endpoint, const Publication& publication, int qos);

  // The broker's side.
  void Accept(Endpoint& endpoint);
  void EndSession(Endpoint& endpoint, bool publish_will);
  void CutOff(Endpoint& endpoint, std::string reason, bool taken_over, bool publish_will);
  void Store(const std::string& topic, const std::string& payload, int qos);
  void RouteToSubscribers(absl::string_view topic, absl::string_view payload, int qos);
  void SendRetained(Endpoint& endpoint, const Subscription& subscription);
  void DeliverTo(Endpoint& endpoint, absl::string_view topic, absl::string_view payload, int qos, bool retained);
  const Route& RouteOf(absl::string_view topic);
  const Route& RouteFrom(Endpoint& endpoint, absl::string_view topic);
  void SendAlong(const Route& route, absl::string_view topic, absl::string_view payload, int qos);
  Event& AddReady();  // what it held before is still in it
  void Release(uint32_t index);

  // The network between.
  static bool IsPublication(const Event& event) { return event.kind == Kind::kPublish || event.kind == Kind::kDeliver; }
  static Event Sign(const Endpoint& endpoint, uint64_t attempt, Kind kind, int qos = 1);
  const LinkFaults& FaultsOf(const Endpoint& endpoint) const;
  bool IsFaultless(const Endpoint& endpoint, MonoTime last) const;
  double Random();
  absl::Duration Between(absl::Duration min, absl::Duration max);
  void Transmit(Endpoint& endpoint, MonoTime& last, Event event);
  void Enqueue(Event event);
  void Hold(Endpoint& endpoint, Event event);
  void Isolate(Endpoint& endpoint);
  void Heal(Endpoint& endpoint);
  void Dispatch(Event& event);
  void ArriveAtClient(Endpoint& endpoint, Event& event);
  void ArriveAtBroker(Endpoint& endpoint, const Event& event);
  void Expire(Endpoint& endpoint, const Event& event);

  Options options_;
  Counts counts_;
  MonoTime now_;
  uint64_t random_state_;
  uint64_t last_sequence_ = 0;
  uint64_t last_attempt_ = 0;
  bool stopped_ = false;

  std::vector<std::unique_ptr<Endpoint>> endpoints_;  // null: free
  std::vector<uint32_t> free_;
  absl::flat_hash_map<std::string, uint32_t> by_id_;  // sessions
  absl::flat_hash_set<std::string> partitioned_;
  absl::node_hash_map<std::string, LinkFaults> faults_by_id_;

  TopicTree subscriptions_;
  uint64_t subscriptions_version_ = 1;
  absl::flat_hash_map<std::string, Route> routes_;  // a cache, emptied when it has kMaxRoutes
  std::map<std::string, Retained, std::less<>> retained_;

  std::vector<Event> ready_;  // due at once, in order: [ready_head_, ready_size_); the others are kept for their memory
  size_t ready_head_ = 0;
  size_t ready_size_ = 0;
  LinkEvent arrived_ = Arrived{};  // being delivered; its memory is used again
  std::priority_queue<std::unique_ptr<Event>, std::vector<std::unique_ptr<Event>>, Later> later_;
};

}  // namespace fleet
