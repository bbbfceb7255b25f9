// The writes that were asked for in plain JSON a while ago, so that a doubled message does not write twice.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fleet::device {

// By the id that the request carries; one without an id cannot be known again. Bounds: kMax, of which the oldest go,
// and each for kKeep. Forgotten in a restart: the broker does not deliver a request again to a new session, and what
// must run once over everything is a command. Loop thread only.
class RecentWrites {
 public:
  static constexpr size_t kMax = 1024;
  static constexpr absl::Duration kKeep = absl::Minutes(10);

  struct Write {
    uint64_t content = 0;  // of what: the same id with another one is another write
    bool is_over = false;
    std::string response;  // when it is over
  };

  // nullptr: new.
  const Write* Find(absl::string_view id, MonoTime now);
  void Begin(const std::string& id, uint64_t content, MonoTime now);
  void End(absl::string_view id, std::string response);
  // Nothing was sent: it may be tried again.
  void Forget(absl::string_view id);

  size_t size() const { return writes_.size(); }

 private:
  struct Entry {
    Write write;
    uint64_t number;  // of the order that it has
  };
  struct Order {
    std::string id;
    uint64_t number;
    MonoTime begun;
  };
  void DropOldest();

  absl::flat_hash_map<std::string, Entry> writes_;
  std::deque<Order> order_;  // oldest first; of a write that was forgotten, too
  uint64_t numbers_ = 0;
};

}  // namespace fleet::device
