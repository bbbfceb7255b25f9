#include "device/can/obd_pids.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace fleet::device {
namespace {

constexpr double kPercent = 100.0 / 255;
constexpr double kTrim = 100.0 / 128;

// SAE J1979, Appendix B; the public list is "OBD-II PIDs" of Wikipedia.
constexpr std::array kPids = {
    ObdPid{0x01, 4, 1, 1, 0, "", "stored trouble codes"},  // without the MIL, see DecodeObdPid
    ObdPid{0x04, 1, 1, kPercent, 0, "%", "engine load"},
    ObdPid{0x05, 1, 1, 1, -40, "degC", "coolant temperature"},
    ObdPid{0x06, 1, 1, kTrim, -100, "%", "short term fuel trim 1"},
    ObdPid{0x07, 1, 1, kTrim, -100, "%", "long term fuel trim 1"},
    ObdPid{0x08, 1, 1, kTrim, -100, "%", "short term fuel trim 2"},
    ObdPid{0x09, 1, 1, kTrim, -100, "%", "long term fuel trim 2"},
    ObdPid{0x0A, 1, 1, 3, 0, "kPa", "fuel pressure"},
    ObdPid{0x0B, 1, 1, 1, 0, "kPa", "intake manifold pressure"},
    ObdPid{0x0C, 2, 2, 0.25, 0, "rpm", "engine speed"},
    ObdPid{0x0D, 1, 1, 1, 0, "km/h", "vehicle speed"},
    ObdPid{0x0E, 1, 1, 0.5, -64, "deg", "timing advance"},
    ObdPid{0x0F, 1, 1, 1, -40, "degC", "intake air temperature"},
    ObdPid{0x10, 2, 2, 0.01, 0, "g/s", "air flow"},
    ObdPid{0x11, 1, 1, kPercent, 0, "%", "throttle position"},
    ObdPid{0x1F, 2, 2, 1, 0, "s", "run time"},
    ObdPid{0x21, 2, 2, 1, 0, "km", "distance with MIL on"},
    ObdPid{0x23, 2, 2, 10, 0, "kPa", "fuel rail pressure"},
    ObdPid{0x2C, 1, 1, kPercent, 0, "%", "commanded EGR"},
    ObdPid{0x2D, 1, 1, kTrim, -100, "%", "EGR error"},
    ObdPid{0x2E, 1, 1, kPercent, 0, "%", "commanded evaporative purge"},
    ObdPid{0x2F, 1, 1, kPercent, 0, "%", "fuel level"},
    ObdPid{0x30, 1, 1, 1, 0, "", "warm-ups since codes cleared"},
    ObdPid{0x31, 2, 2, 1, 0, "km", "distance since codes cleared"},
    ObdPid{0x33, 1, 1, 1, 0, "kPa", "barometric pressure"},
    ObdPid{0x3C, 2, 2, 0.1, -40, "degC", "catalyst temperature 1.1"},
    ObdPid{0x3D, 2, 2, 0.1, -40, "degC", "catalyst temperature 2.1"},
    ObdPid{0x3E, 2, 2, 0.1, -40, "degC", "catalyst temperature 1.2"},
    ObdPid{0x3F, 2, 2, 0.1, -40, "degC", "catalyst temperature 2.2"},
    ObdPid{0x42, 2, 2, 0.001, 0, "V", "control module voltage"},
    ObdPid{0x43, 2, 2, kPercent, 0, "%", "absolute load"},
    ObdPid{0x44, 2, 2, 2.0 / 65536, 0, "", "commanded equivalence ratio"},
    ObdPid{0x45, 1, 1, kPercent, 0, "%", "relative throttle position"},
    ObdPid{0x46, 1, 1, 1, -40, "degC", "ambient air temperature"},
    ObdPid{0x47, 1, 1, kPercent, 0, "%", "throttle position B"},
    ObdPid{0x48, 1, 1, kPercent, 0, "%", "throttle position C"},
    ObdPid{0x49, 1, 1, kPercent, 0, "%", "accelerator pedal position D"},
    ObdPid{0x4A, 1, 1, kPercent, 0, "%", "accelerator pedal position E"},
    ObdPid{0x4B, 1, 1, kPercent, 0, "%", "accelerator pedal position F"},
    ObdPid{0x4C, 1, 1, kPercent, 0, "%", "commanded throttle"},
    ObdPid{0x4D, 2, 2, 1, 0, "min", "time with MIL on"},
    ObdPid{0x4E, 2, 2, 1, 0, "min", "time since codes cleared"},
    ObdPid{0x51, 1, 1, 1, 0, "", "fuel type"},
    ObdPid{0x52, 1, 1, kPercent, 0, "%", "ethanol"},
    ObdPid{0x59, 2, 2, 10, 0, "kPa", "absolute fuel rail pressure"},
    ObdPid{0x5A, 1, 1, kPercent, 0, "%", "relative accelerator pedal position"},
    ObdPid{0x5B, 1, 1, kPercent, 0, "%", "hybrid battery charge"},
    ObdPid{0x5C, 1, 1, 1, -40, "degC", "oil temperature"},
    ObdPid{0x5D, 2, 2, 1.0 / 128, -210, "deg", "fuel injection timing"},
    ObdPid{0x5E, 2, 2, 0.05, 0, "l/h", "fuel rate"},
    ObdPid{0x61, 1, 1, 1, -125, "%", "demanded torque"},
    ObdPid{0x62, 1, 1, 1, -125, "%", "actual torque"},
    ObdPid{0x63, 2, 2, 1, 0, "Nm", "reference torque"},
    ObdPid{0x8E, 1, 1, 1, -125, "%", "friction torque"},
    ObdPid{0xA6, 4, 4, 0.1, 0, "km", "odometer"},
};

constexpr size_t kBitmapBytes = 4;

// 0: its size is not known.
size_t SizeOf(uint8_t pid) {
  if (IsObdBitmap(pid)) return kBitmapBytes;
  const ObdPid* known = FindObdPid(pid);
  return known == nullptr ? 0 : known->size;
}

}  // namespace

std::span<const ObdPid> ObdPids() {
  return kPids;
}

const ObdPid* FindObdPid(uint8_t pid) {
  const auto found = std::ranges::lower_bound(kPids, pid, {}, &ObdPid::pid);
  return found == kPids.end() || found->pid != pid ? nullptr : &*found;
}

double DecodeObdPid(const ObdPid& pid, std::span<const uint8_t> data) {
  if (pid.pid == kObdMonitorPid) return data[0] & 0x7F;
  uint32_t raw = 0;
  for (const uint8_t byte : data.first(pid.used)) raw = raw << 8 | byte;
  return raw * pid.factor + pid.offset;
}

std::optional<std::vector<ObdReading>> ParseObdReadings(std::span<const uint8_t> message,
                                                        std::span<const uint8_t> asked) {
  if (message.size() < 2 || message[0] != 0x41) return std::nullopt;
  std::vector<ObdReading> readings;
  for (std::span<const uint8_t> rest = message.subspan(1); !rest.empty();) {
    const uint8_t pid = rest[0];
    const size_t size = SizeOf(pid);
    const bool is_asked = std::ranges::find(asked, pid) != asked.end();
    const bool is_there = std::ranges::find(readings, pid, &ObdReading::pid) != readings.end();
    if (size == 0 || rest.size() < 1 + size || !is_asked || is_there) return std::nullopt;
    readings.push_back({.pid = pid, .data = rest.subspan(1, size)});
    rest = rest.subspan(1 + size);
  }
  return readings;
}

std::optional<std::vector<uint16_t>> ParseObdDtcs(std::span<const uint8_t> message) {
  if (message.size() < 2 || (message[0] != 0x43 && message[0] != 0x47)) return std::nullopt;
  if (message.size() != 2 + size_t{2} * message[1]) return std::nullopt;
  std::vector<uint16_t> codes;
  for (size_t i = 2; i < message.size(); i += 2) {
    const auto code = static_cast<uint16_t>(message[i] << 8 | message[i + 1]);
    if (code != 0) codes.push_back(code);
  }
  return codes;
}

std::string ObdDtcText(uint16_t dtc) {
  return absl::StrFormat("%c%d%03X", "PCBU"[dtc >> 14], dtc >> 12 & 3, dtc & 0xFFF);
}

std::string ObdRefusalText(uint8_t nrc) {
  switch (nrc) {
    case 0x10:
      return "general reject";
    case 0x11:
      return "service not supported";
    case 0x12:
      return "parameter not supported";
    case 0x21:
      return "busy";
    case 0x22:
      return "conditions not correct";
    case 0x31:
      return "out of range";
    case 0x33:
      return "access denied";
    default:
      return absl::StrCat("code ", absl::Hex(nrc, absl::kZeroPad2));
  }
}

}  // namespace fleet::device
