// One client's connection to the broker, as everything else sees it. Implemented by PahoLink and, for simulations, by
// MemoryBroker; both pass mqtt_link_contract_test.cc.
//
//   Down --Tick, pause over--> Connecting --CONNACK and SUBACK--> Up --loss--> Down ...
//
// The owner calls Tick when it says, Publish and Close from one thread. The sink is called from whatever thread the
// link has and must not block: it copies and pushes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet {

struct Publication {
  std::string topic;
  std::string payload;
  int qos = 0;
  bool retain = false;
  int drop_above = 0;  // refused when so many are in flight, so that what comes behind does not wait for it; 0: not
};

struct Subscription {
  std::string filter;
  int qos = 0;
};

// Connected and subscribed. Retained messages may arrive before it.
struct LinkUp {};
// The connection was lost, or an attempt to connect failed; once for each. Tick says when the next attempt is due.
struct LinkDown {
  std::string reason;       // for people
  bool taken_over = false;  // another client connected with our id
};
struct Arrived {
  std::string topic;
  std::string payload;
  bool retained = false;  // the broker had it stored before we subscribed
};
using LinkEvent = std::variant<LinkUp, LinkDown, Arrived>;
// It may take what it is given, or copy from it and leave the link the memory for the next.
using LinkSink = std::function<void(LinkEvent&&)>;

struct LinkOptions {
  std::string url;  // tcp://HOST:PORT
  std::string client_id;
  std::string username;
  std::string password;
  absl::Duration keepalive = absl::Seconds(5);
  absl::Duration reconnect_min = absl::Milliseconds(250);
  // Below the 2 s of silence after which a device is declared offline, so that nobody is when the broker comes back.
  absl::Duration reconnect_max = absl::Milliseconds(1500);
  int max_in_flight = 10'000;  // publications accepted and not yet handed to the network; one more is refused
  bool no_delay = true;        // send small messages at once; off where thousands of links share a process
  std::optional<Publication> will;
  std::vector<Subscription> subscriptions;
};

class MqttLink {
 public:
  // Flushes nothing and says no goodbye: the broker will publish the will. Use Close for a clean end.
  virtual ~MqttLink() = default;

  // Connects when it is time to; returns when to call again (MonoTime::Max() while connected).
  virtual MonoTime Tick(MonoTime now) = 0;

  // Never blocks. OK means accepted for sending, not arrived. kUnavailable: not connected; kResourceExhausted: too
  // much in flight.
  virtual absl::Status Publish(const Publication& publication) = 0;

  // Sends what was accepted, then `goodbye`, then disconnects so that the broker drops the will. Blocks up to
  // `timeout`; kDeadlineExceeded when something may not have gone out. Events stop before it returns.
  virtual absl::Status Close(const std::optional<Publication>& goodbye, absl::Duration timeout) = 0;
};

}  // namespace fleet
