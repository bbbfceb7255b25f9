#include "device/can/compat_tunnel.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace fleet::device {
namespace {

enum CompatFlag : uint8_t { kExtended = 1, kRemote = 2, kFd = 4, kEsiOrError = 8 };
constexpr size_t kTimeBytes = 8;
constexpr size_t kHeadBytes = kTimeBytes + 1;
constexpr int kMaxUnderWay = 1000;  // about 40 KiB, and a tenth of a second of a full bus

uint8_t FlagsOf(const CanFrame& frame) {
  uint8_t flags = 0;
  if (frame.is(kCanExtended)) flags |= kExtended;
  if (frame.is(kCanRemote)) flags |= kRemote;
  if (frame.is(kCanFd)) flags |= kFd;
  if (frame.is(kCanEsi)) flags |= kEsiOrError;
  return flags;
}

std::string PayloadOf(const CanFrame& frame) {
  std::string payload(kHeadBytes + frame.data_size(), '\0');
  auto time = static_cast<uint64_t>(std::max<int64_t>(frame.at_unix_us, 0));
  for (size_t i = 0; i < kTimeBytes; ++i, time >>= 8) payload[i] = static_cast<char>(time & 0xFF);
  payload[kTimeBytes] = static_cast<char>(FlagsOf(frame));
  std::ranges::copy(frame.bytes(), payload.begin() + kHeadBytes);
  return payload;
}

uint64_t TimeOf(absl::string_view payload) {
  uint64_t time = 0;
  for (size_t i = kTimeBytes; i-- > 0;) time = time << 8 | static_cast<uint8_t>(payload[i]);
  return time;
}

}  // namespace

CompatTunnel::CompatTunnel(std::string base) : base_(std::move(base)), prefix_(absl::StrCat(base_, "/s/")) {}

bool CompatTunnel::Owns(absl::string_view topic) const {
  return topic.substr(0, prefix_.size()) == prefix_;
}

void CompatTunnel::Publish(const std::vector<CanFrame>& frames, CanEffects& effects) {
  for (const CanFrame& frame : frames) {
    if (frame.is(kCanError) || frame.is(kCanSent)) continue;
    ++counters_.published;
    effects.publish.push_back(
        {.topic = absl::StrCat(base_, "/", frame.id), .payload = PayloadOf(frame), .drop_above = kMaxUnderWay});
  }
}

absl::StatusOr<CanFrame> CompatTunnel::Read(const Arrived& arrived) {
  // What the broker kept was meant for another day, and would go to the bus again after every connect.
  if (arrived.retained) return Refuse(CompatRefusal::kRetained);
  const absl::string_view payload = arrived.payload;
  const absl::string_view id = absl::string_view(arrived.topic).substr(prefix_.size());
  CanFrame frame;
  if (id.empty() || !std::ranges::all_of(id, absl::ascii_isdigit) || !absl::SimpleAtoi(id, &frame.id)) {
    return Refuse(CompatRefusal::kTopic);
  }
  if (payload.size() < kHeadBytes) return Refuse(CompatRefusal::kShort);
  const auto flags = static_cast<uint8_t>(payload[kTimeBytes]);
  if ((flags & kEsiOrError) != 0 && (flags & kFd) == 0) return Refuse(CompatRefusal::kErrorFrame);
  if ((flags & kExtended) != 0) frame.flags |= kCanExtended;
  if ((flags & kRemote) != 0) frame.flags |= kCanRemote;
  if ((flags & kFd) != 0) frame.flags |= kCanFd;
  if ((flags & kEsiOrError) != 0) frame.flags |= kCanEsi;
  if (frame.id > (frame.is(kCanExtended) ? kMaxExtendedCanId : kMaxStandardCanId)) return Refuse(CompatRefusal::kId);
  const absl::string_view data = payload.substr(kHeadBytes);
  const bool remote_with_data = frame.is(kCanRemote) && !data.empty();
  if (remote_with_data || !IsCanSize(data.size(), frame.is(kCanFd))) return Refuse(CompatRefusal::kSize);
  frame.size = static_cast<uint8_t>(data.size());
  std::ranges::copy(data, frame.data.begin());
  if (!CheckCanFrame(frame).ok()) return Refuse(CompatRefusal::kSize);  // a remote FD frame
  frame.at_unix_us = static_cast<int64_t>(std::min<uint64_t>(TimeOf(payload), INT64_MAX));
  ++counters_.taken;
  return frame;
}

absl::Status CompatTunnel::Refuse(CompatRefusal why) {
  ++counters_.refused[static_cast<size_t>(why)];
  return absl::InvalidArgumentError(absl::StrCat("refused: ", kCompatRefusalNames[static_cast<size_t>(why)]));
}

}  // namespace fleet::device
