// Messages on their way from the link's thread to the loop, one after the other in one buffer: to pass a message on
// costs a copy of its bytes, and what a flood can take of memory is bounded in bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/codec.h"
#include "common/mqtt_link.h"
#include "common/mutex.h"

namespace fleet::server {

// Push from any thread, Drain from one. `on_first` runs on the pushing thread when the queue stops being empty.
class Inbound {
 public:
  static constexpr size_t kMaxBytes = 8 << 20;  // half a second of ordinary messages as fast as a broker gives them
  // What taps send is taken only while less than this waits, so that it crowds out nothing that devices say of
  // themselves: a second of 100 000 frames/s.
  static constexpr size_t kMaxBytesForTaps = kMaxBytes / 4;

  explicit Inbound(std::function<void()> on_first) : on_first_(std::move(on_first)) {}

  // False: full, the message was dropped and counted. Payloads that are too large anyway are cut just above the limit:
  // enough to be recognised and refused.
  bool Push(const Arrived& message) {
    const absl::string_view payload = absl::string_view(message.payload).substr(0, kMaxPayloadBytes + 1);
    const Head head{.topic_bytes = static_cast<uint32_t>(message.topic.size()),
                    .payload_bytes = static_cast<uint32_t>(payload.size()),
                    .retained = message.retained};
    const bool of_tap = absl::EndsWith(message.topic, "/rx");  // only rpi/+/can/+/rx does
    const size_t most = of_tap ? kMaxBytesForTaps : kMaxBytes;
    {
      MutexLock lock(mu_);
      const bool first = bytes_.empty();
      if (bytes_.size() + sizeof(head) + head.topic_bytes + head.payload_bytes > most) {
        ++(of_tap ? dropped_of_taps_ : dropped_);
        return false;
      }
      bytes_.append(reinterpret_cast<const char*>(&head), sizeof(head));
      bytes_.append(message.topic);
      bytes_.append(payload.data(), payload.size());
      if (!first) return true;
    }
    on_first_();
    return true;
  }

  // Calls take(topic, payload, retained) with each, oldest first; both are good until it returns.
  template <typename Take>
  void Drain(Take take) {
    taken_.clear();  // and swapped, so that both buffers' memory is used again
    {
      MutexLock lock(mu_);
      bytes_.swap(taken_);
    }
    absl::string_view rest = taken_;
    while (!rest.empty()) {
      Head head;
      std::memcpy(&head, rest.data(), sizeof(head));
      rest.remove_prefix(sizeof(head));
      take(rest.substr(0, head.topic_bytes), rest.substr(head.topic_bytes, head.payload_bytes), head.retained);
      rest.remove_prefix(head.topic_bytes + head.payload_bytes);
    }
  }

  uint64_t dropped() const {
    MutexLock lock(mu_);
    return dropped_;
  }
  // Batches of frames, not among these.
  uint64_t dropped_of_taps() const {
    MutexLock lock(mu_);
    return dropped_of_taps_;
  }

 private:
  struct Head {
    uint32_t topic_bytes;
    uint32_t payload_bytes;
    bool retained;
  };

  const std::function<void()> on_first_;
  mutable Mutex mu_;
  std::string bytes_ ABSL_GUARDED_BY(mu_);  // Head, topic, payload, Head, ...
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t dropped_of_taps_ ABSL_GUARDED_BY(mu_) = 0;
  std::string taken_;  // the draining thread
};

}  // namespace fleet::server
