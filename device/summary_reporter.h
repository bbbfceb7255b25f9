// The current values of all signals in one text, now and then, for those who keep no connection.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "common/mqtt_link.h"
#include "device/schedule.h"
#include "device/signals/signal_book.h"

namespace fleet::device {

// gateway/summary below rpi/<id>/, QoS 1:
//
//   {"timestamp":"2026-01-31T12:00:00.000Z","type":"summary","uptime_s":300,
//    "signals":{"engine/rpm":{"value":3500,"age_s":0.4},"vehicle/gear":{"value":126,"text":"D","age_s":2},
//               "oil/temp":{"value":null,"age_s":9},"app/note":{"value":"ok","age_s":60}},"omitted":0}
//
// What does not fit into kMaxBytes is left out, and counted in it. Of two signals with one name the first counts. Loop
// thread only.
class SummaryReporter {
 public:
  static constexpr size_t kMaxBytes = 60 << 10;

  // `schedule`: a period of zero reports by itself never.
  SummaryReporter(const DeviceId& device, Schedule schedule, MonoTime start);

  // True when one is due; Make makes it.
  bool Take(MonoTime now) { return schedule_.Take(now); }
  MonoTime NextDue() const { return schedule_.next(); }
  Publication Make(const std::vector<CurrentSignal>& signals, Now now);

  uint64_t made() const { return made_; }
  uint64_t omitted() const { return omitted_; }  // signals, in all

 private:
  const std::string topic_;
  const MonoTime start_;
  Schedule schedule_;
  uint64_t made_ = 0;
  uint64_t omitted_ = 0;
};

}  // namespace fleet::device
