// Which trouble codes the controllers of all buses have now, and what is told of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/ids.h"
#include "device/can/can_effects.h"

namespace fleet::device {

struct DtcSource {
  std::string bus;       // its name
  std::string protocol;  // obd | j1939
  uint32_t ecu = 0;      // see v1::Dtc

  friend bool operator==(const DtcSource&, const DtcSource&) = default;
};

struct DtcSeen {
  std::string code;    // "P0133"; "SPN 110 FMI 0"
  std::string status;  // stored | pending | active
  uint32_t count = 0;  // 0: not said
};

// The worst lamp that a controller has lit.
enum class DtcLamp : uint8_t {
  kNone,
  kWarning,  // amber
  kError,    // MIL, red
};

// A code that is new, or has another status, is EVENT_KIND_DTC_SET; one that its source no longer has is
// EVENT_KIND_DTC_CLEARED. A source that says nothing keeps its codes: silence is no repair. The first report of each
// source ends with EVENT_KIND_DTC_SCANNED: the book begins empty, and what an earlier life had told may be gone.
//
// Published below diagnostics/ at QoS 1, each when it has changed: `dtc`, the codes sorted with commas or `none`;
// `error_count`, how many those are; `health`: `error` with a lamp of kError lit, `warning` with one of kWarning or any
// code but pending ones, else `ok`. Nothing before the first Report: nobody knows yet.
//
// Loop thread only. Bounds: kMaxCodes and kMaxLamps over all sources; more are counted and left out until others end.
class DtcBook {
 public:
  static constexpr size_t kMaxCodes = 256;
  static constexpr size_t kMaxLamps = 256;

  explicit DtcBook(const DeviceId& device);

  // All that `source` has now; empty: nothing. A code that is there twice counts once, as first given.
  void Report(const DtcSource& source, const std::vector<DtcSeen>& present, Now now, CanEffects& effects);
  void ReportLamp(const DtcSource& source, DtcLamp lamp, CanEffects& effects);

  // The link is back: all that was published is published again, as it is now.
  void Resume(CanEffects& effects) const;

  size_t active() const { return codes_.size(); }
  uint64_t left_out() const { return left_out_; }  // codes and lamps in reports, for want of room

 private:
  struct Code {
    DtcSource source;
    DtcSeen seen;
    int64_t first_unix_ms = 0;
    int64_t last_unix_ms = 0;
    bool present = false;  // in the report that is being taken
  };
  struct Lamp {
    DtcSource source;
    DtcLamp lamp = DtcLamp::kNone;
  };
  struct Text {
    std::string topic;
    std::string text;  // empty: not yet published
  };

  Code* Find(const DtcSource& source, absl::string_view code);
  void Note(const DtcSource& source, const DtcSeen& seen, Now now, CanEffects& effects);
  void Publish(CanEffects& effects);
  absl::string_view Health() const;

  std::vector<Code> codes_;
  std::vector<Lamp> lamps_;  // those that are lit
  Text dtc_;
  Text error_count_;
  Text health_;
  std::vector<DtcSource> scanned_;  // have reported in this life; at most kMaxLamps
  uint64_t left_out_ = 0;
};

}  // namespace fleet::device
