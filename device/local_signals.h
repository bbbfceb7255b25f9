// Signals that programs on the device publish through its own API.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/publish_request.h"
#include "device/signals/signal_book.h"
#include "device/signals/signal_effects.h"

namespace fleet::device {

// Every field is published as it comes, unlike the signals of buses, and its newest value remembered for summaries.
// Loop thread only. Bounds: kMaxRemembered values, of which the one goes that was not told for longest.
class LocalSignals {
 public:
  static constexpr size_t kMaxRemembered = 256;

  explicit LocalSignals(const DeviceId& device) : device_(device) {}

  void Publish(const PublishRequest& request, MonoTime now, SignalEffects& effects);
  void AppendCurrent(std::vector<CurrentSignal>& out) const;  // the newest first

  uint64_t published() const { return published_; }  // fields
  uint64_t forgotten() const { return forgotten_; }  // values that found no room beside newer ones

 private:
  void Remember(CurrentSignal signal);

  const DeviceId device_;
  std::list<CurrentSignal> signals_;  // the newest first
  absl::flat_hash_map<std::string, std::list<CurrentSignal>::iterator> by_name_;
  uint64_t published_ = 0;
  uint64_t forgotten_ = 0;
};

}  // namespace fleet::device
