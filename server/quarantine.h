// Messages that could not be understood become rows, for people to look at; the store keeps the newest. Pure; loop
// thread only. Bounds: kMaxPerSecond rows, what is beyond is counted; kMaxPayload of a payload, kMaxTopic of a topic.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "server/rows.h"

namespace fleet::server {

class Quarantine {
 public:
  static constexpr int kMaxPerSecond = 10;
  static constexpr size_t kMaxPayload = 4096;
  static constexpr size_t kMaxTopic = 256;

  struct Counters {
    uint64_t kept = 0;
    uint64_t skipped = 0;
  };

  // `status`: what Ingest said of it.
  void Take(absl::string_view topic, absl::string_view payload, const absl::Status& status, Now now, RowBatch& rows);

  const Counters& counters() const { return counters_; }

 private:
  MonoTime second_ends_;
  int in_second_ = 0;
  Counters counters_;
};

}  // namespace fleet::server
