// Turns bytes from the broker into events: size, then parse, then meaning; the first that fails names the reason.
// Pure; loop thread only; allocates nothing for a good message of ordinary size.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/events.h"

namespace fleet::server {

inline constexpr int kMaxEntitiesPerDevice = 256;
inline constexpr int kMaxUpdatesPerReport = 1024;
inline constexpr int kMaxEventsPerBatch = 256;
inline constexpr int kMaxFramesPerBatch = 64;
inline constexpr int kMaxAccountsPerReport = 64;
inline constexpr int kMaxDropsPerAccount = 64;
inline constexpr uint64_t kMaxRecordNumber = uint64_t{1} << 48;  // 9000 years at 1 kHz; sums of them fit in 64 bits
inline constexpr int64_t kMaxUnixMs = 253'402'300'799'999;       // of the year 9999

enum class RejectReason : uint8_t { kOversized, kTopic, kParse, kVersion, kMeaning };
inline constexpr std::array<absl::string_view, 5> kRejectReasonNames = {"oversized", "topic", "parse", "version",
                                                                        "meaning"};

class Ingest {
 public:
  struct Counters {
    uint64_t accepted = 0;
    std::array<uint64_t, kRejectReasonNames.size()> rejected{};
  };

  // kOutOfRange: oversized; kNotFound: no topic of ours; kDataLoss: does not parse; kUnimplemented: another protocol
  // version; kInvalidArgument: parses and makes no sense. Each is counted.
  // `retained`: the broker had it stored.
  absl::StatusOr<Event> Read(absl::string_view topic, absl::string_view payload, bool retained = false);
  static RejectReason ReasonOf(const absl::Status& status);

  const Counters& counters() const { return counters_; }

 private:
  absl::StatusOr<Event> Understand(absl::string_view topic, absl::string_view payload);
  absl::StatusOr<Event> UnderstandCan(absl::string_view topic, absl::string_view payload);

  v1::Heartbeat heartbeat_;
  v1::StateReport report_;
  v1::Status status_;
  v1::CommandReport command_report_;
  v1::EventBatch event_batch_;
  v1::TelemetryBatch telemetry_batch_;
  v1::LedgerReport ledger_report_;
  v1::CanBatch can_batch_;
  Counters counters_;
};

}  // namespace fleet::server
