// Samples on their way into a TelemetryBatch.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "device/sample.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Keeps the columns and their size in bytes, never too small an estimate.
class TelemetryColumns {
 public:
  static constexpr size_t kMaxBytes = 1400;  // one packet: what comes behind it on a slow link waits no longer

  bool empty() const { return size() == 0; }
  int size() const { return batch_.value_size(); }
  uint64_t first_seq() const { return batch_.first_seq(); }
  bool HasRoomFor(const Sample& sample) const;

  // Numbers are consecutive; `seq` of the first counts.
  void Add(const Sample& sample, uint64_t seq);
  // What was added, without epoch; empty again.
  v1::TelemetryBatch Take();

 private:
  v1::TelemetryBatch batch_;
  std::map<std::string, uint32_t> index_;  // into batch_.signals
  int64_t last_unix_ms_ = 0;
  size_t bytes_ = 0;
};

}  // namespace fleet::device
