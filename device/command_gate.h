// What every command passes before anything moves.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/signing.h"
#include "device/segment_order.h"
#include "device/server_time.h"
#include "fleet/v1/to_device.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Why a command does not run. The words are in docs/protocol.md section 6.
enum class Refusal {
  kOversized,
  kMalformed,
  kBadSignature,
  kDuplicate,
  kWrongVersion,
  kBadTtl,
  kClockUnknown,
  kBeforeStart,
  kExpired,
  kUnknownEntity,
  kBadSegment,
  kOverloaded,
};
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kOverloaded) + 1;
absl::string_view Word(Refusal refusal);

// Lets a command through at most once, in time, signed and meaningful: size, then signature, then parse, then meaning.
//
// Every refusal is counted. It is answered with a CommandUpdate when the command's id can be read, which for an
// oversized or malformed one it cannot. A duplicate is not answered: its first copy was. The id under a bad signature
// is nobody's word, so such a command is answered only if the id is new, and the id stays free for the real one.
//
// Age is judged on the server's steady clock as ServerTime knows it. In doubt we refuse: before the first beat, when a
// command seems to come from the future, and when it was issued before we started, because an earlier life of this
// agent, whose memory is gone, may have run it.
//
// Remembers at most kMaxRemembered ids, each until no copy can be in time any more; when full it refuses. Loop only.
class CommandGate {
 public:
  static constexpr size_t kMaxRemembered = 4096;
  static constexpr int64_t kMaxTtlMs = 24 * 3'600'000;
  static constexpr int64_t kMaxFromFutureMs = 2000;  // more than the estimate of the server's time is ever wrong
  static constexpr absl::Duration kRememberedBeyondTtl = absl::Minutes(1);

  struct Options {
    std::optional<CommandKey> key;  // none: signatures are not looked at
    std::vector<EntityId> entities;
    MonoTime started;
  };
  explicit CommandGate(Options options);

  // The order to run now; or nullopt, with the answer, if there is one, appended to `updates`.
  std::optional<SegmentOrder> Judge(absl::string_view payload, const ServerTime& time, MonoTime now,
                                    std::vector<v1::CommandUpdate>& updates);

  uint64_t refused(Refusal refusal) const { return refused_[static_cast<size_t>(refusal)]; }
  uint64_t refused_total() const { return std::accumulate(refused_.begin(), refused_.end(), uint64_t{0}); }
  uint64_t passed() const { return passed_; }

 private:
  // nullopt: `command_` is parsed and was signed.
  std::optional<Refusal> Open(absl::string_view payload);
  bool Remember(MonoTime now);
  std::optional<Refusal> CheckTime(const ServerTime& time, MonoTime now, int64_t& remaining_ms) const;
  std::optional<Refusal> CheckSegment() const;

  const Options options_;
  v1::CommandFrame frame_;  // these two are used again
  v1::Command command_;
  absl::flat_hash_map<uint64_t, MonoTime> remembered_;  // command id to when it may be forgotten
  std::array<uint64_t, kRefusals> refused_{};
  uint64_t passed_ = 0;
};

}  // namespace fleet::device
