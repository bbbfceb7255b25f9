// The tunnel that others speak too: one frame per message, as SavvyCAN and the scripts around it have it.
//
//   <base>/<id>    what was on the bus      <base>/s/<id>    for the bus       <id>: decimal, without flag bits
//   payload: u64 little-endian microseconds since the Unix epoch, flags, data
//   flags:   1 extended, 2 remote, 4 FD, 8 ESI where 4 is set, else an error frame
//
// The format cannot say BRS, nor how much a remote frame asks for, so both are lost. Error frames never leave the
// device, nor do frames that it sent itself: they would come back.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/can/can_frame.h"
#include "common/mqtt_link.h"
#include "device/can/can_effects.h"

namespace fleet::device {

// Why a message for the bus was refused.
enum class CompatRefusal { kTopic, kShort, kId, kSize, kErrorFrame, kRetained };
inline constexpr std::array<absl::string_view, 6> kCompatRefusalNames = {"topic", "short",       "id",
                                                                         "size",  "error_frame", "retained"};

// Both directions for one bus. Pure; loop thread only.
class CompatTunnel {
 public:
  struct Counters {
    uint64_t published = 0;
    uint64_t taken = 0;
    std::array<uint64_t, kCompatRefusalNames.size()> refused{};
  };

  // `base`: one level of a topic.
  explicit CompatTunnel(std::string base);

  Subscription subscription() const { return {.filter = prefix_ + "+", .qos = 0}; }
  bool Owns(absl::string_view topic) const;  // it came by that subscription

  void Publish(const std::vector<CanFrame>& frames, CanEffects& effects);
  // A frame for the bus, whoever may send it. kInvalidArgument: counted, and named.
  absl::StatusOr<CanFrame> Read(const Arrived& arrived);

  const Counters& counters() const { return counters_; }

 private:
  absl::Status Refuse(CompatRefusal why);

  const std::string base_;
  const std::string prefix_;  // of what is for the bus
  Counters counters_;
};

}  // namespace fleet::device
