#include "server/quarantine.h"

#include <string>

#include "server/ingest.h"

namespace fleet::server {

void Quarantine::Take(absl::string_view topic, absl::string_view payload, const absl::Status& status, Now now,
                      RowBatch& rows) {
  if (now.mono >= second_ends_) {
    second_ends_ = now.mono + absl::Seconds(1);
    in_second_ = 0;
  }
  if (in_second_ >= kMaxPerSecond) {
    ++counters_.skipped;
    return;
  }
  ++in_second_;
  ++counters_.kept;
  const auto reason = static_cast<size_t>(Ingest::ReasonOf(status));
  rows.quarantine.push_back({.received_unix_ms = now.unix_ms(),
                             .topic = std::string(topic.substr(0, kMaxTopic)),
                             .reason = std::string(kRejectReasonNames[reason]),
                             .detail = std::string(status.message()),
                             .payload = std::string(payload.substr(0, kMaxPayload)),
                             .payload_bytes = payload.size()});
}

}  // namespace fleet::server
