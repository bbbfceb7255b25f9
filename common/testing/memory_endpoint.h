// What MemoryBroker keeps of each client; for its own files only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "common/backoff.h"
#include "common/mqtt_link.h"
#include "common/testing/memory_broker.h"

namespace fleet {

// A link and the broker's session for it. The session may outlive the link: the broker does not see a link vanish
// behind a partition.
//
//   link:     Down --Tick--> Connecting --kUp--> Up --kDown, kExpire--> Down
//   session:  none --kConnect--> there --kGoodbye, kReset, kExpire, takeover, kill--> none
struct MemoryBroker::Endpoint {
  enum class State : uint8_t { kDown, kConnecting, kUp };
  struct Sent {
    absl::InlinedVector<char, 48> topic_bytes;  // in place, as most topics are short enough
    Route route;
    absl::string_view topic() const { return {topic_bytes.data(), topic_bytes.size()}; }
  };

  Endpoint(LinkOptions o, LinkSink s, uint32_t i, bool cut)
      : index(i),
        partitioned(cut),
        sink(std::move(s)),
        options(std::move(o)),
        backoff(options.reconnect_min, options.reconnect_max, std::hash<std::string>()(options.client_id)) {}

  // What each message touches comes first: with ten thousand endpoints every cache line counts.
  const uint32_t index;
  State state = State::kDown;
  bool open = true;  // neither destroyed nor closed
  bool session = false;
  bool partitioned;
  int in_flight = 0;             // publications on their way to the broker
  uint64_t attempt = 0;          // of this connection; no two connections have the same
  uint64_t session_attempt = 0;  // the connection that the session belongs to
  MonoTime last_up;              // when the last message to the broker arrives: nothing overtakes it
  MonoTime last_down;            // likewise from the broker
  const LinkSink sink;
  std::array<Sent, 2> sent;  // the topics that it published to last: most clients have one or two
  size_t oldest_sent = 0;

  const LinkOptions options;
  Backoff backoff;
  bool pause_due = false;
  MonoTime due;
  MonoTime started;
  uint64_t partition_number = 0;  // of its changes
  std::vector<Event> held;        // QoS 1 behind a partition
};

}  // namespace fleet
