// Counts and hashes everything that happens in a simulated world: two runs are the same when their hashes are.
#pragma once

#include <cstdint>

#include "common/mqtt_link.h"
#include "server/rows.h"
#include "tests/sim/stable_hash.h"

namespace fleet {

class Recorder {
 public:
  void ArrivedAtServer(const Arrived& message, MonoTime now);
  void ArrivedAtDevice() { ++messages_; }
  void BeatArrived() { ++beats_arrived_; }
  void Published(const Publication& publication, MonoTime now);
  void Rows(const server::RowBatch& rows);

  uint64_t beats_published() const { return beats_published_; }
  uint64_t beats_arrived() const { return beats_arrived_; }
  uint64_t probes_published() const { return probes_published_; }
  uint64_t probes_arrived() const { return probes_arrived_; }
  uint64_t messages() const { return messages_; }  // that reached the server or a device
  uint64_t hash() const { return hash_.value(); }

 private:
  void HashMessage(absl::string_view topic, absl::string_view payload, MonoTime now);

  uint64_t beats_published_ = 0;
  uint64_t beats_arrived_ = 0;
  uint64_t probes_published_ = 0;
  uint64_t probes_arrived_ = 0;
  uint64_t messages_ = 0;
  StableHash hash_;
};

}  // namespace fleet
