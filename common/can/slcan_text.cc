#include "common/can/slcan_text.h"

#include <array>

#include "common/can/hex.h"

namespace fleet {
namespace {

// S7 is 800 kbit/s by Lawicel's manual and in Linux; a few adapters, and python-can, take it for 750.
constexpr std::array<uint32_t, 9> kBitrates = {10'000,  20'000,  50'000,  100'000,  125'000,
                                               250'000, 500'000, 800'000, 1'000'000};
constexpr int kStampDigits = 4;

void AppendHex(uint32_t value, int digits, std::string& out) {
  char text[8];
  PutHex(text, value, digits);
  for (int i = 0; i < digits; ++i) out.push_back(text[i]);
}

}  // namespace

std::optional<char> SlcanSpeed(uint32_t bitrate) {
  for (size_t i = 0; i < kBitrates.size(); ++i) {
    if (kBitrates[i] == bitrate) return static_cast<char>('0' + i);
  }
  return std::nullopt;
}

void AppendSlcanFrame(const CanFrame& frame, std::string& out) {
  const bool extended = frame.is(kCanExtended);
  if (extended) out.push_back(frame.is(kCanRemote) ? 'R' : 'T');
  if (!extended) out.push_back(frame.is(kCanRemote) ? 'r' : 't');
  AppendHex(frame.id, extended ? 8 : 3, out);
  AppendHex(frame.size, 1, out);
  for (const uint8_t byte : frame.bytes()) AppendHex(byte, 2, out);
}

std::optional<CanFrame> ParseSlcanFrame(absl::string_view line) {
  if (line.empty()) return std::nullopt;
  CanFrame frame;
  switch (line[0]) {
    case 't':
      break;
    case 'T':
      frame.flags = kCanExtended;
      break;
    case 'r':
      frame.flags = kCanRemote;
      break;
    case 'R':
      frame.flags = kCanExtended | kCanRemote;
      break;
    default:
      return std::nullopt;
  }
  const size_t id_digits = frame.is(kCanExtended) ? 8 : 3;
  const size_t data_at = 1 + id_digits + 1;
  if (line.size() < data_at) return std::nullopt;
  const std::optional<uint32_t> id = ReadHex(line.substr(1, id_digits));
  const char size = line[data_at - 1];
  if (!id.has_value() || size < '0' || size > '8') return std::nullopt;
  if (*id > (frame.is(kCanExtended) ? kMaxExtendedCanId : kMaxStandardCanId)) return std::nullopt;
  frame.id = *id;
  frame.size = static_cast<uint8_t>(size - '0');
  const size_t end = data_at + 2 * frame.data_size();
  if (line.size() != end && line.size() != end + size_t{kStampDigits}) return std::nullopt;
  for (size_t i = 0; i < frame.data_size(); ++i) {
    const std::optional<uint32_t> byte = ReadHex(line.substr(data_at + 2 * i, 2));
    if (!byte.has_value()) return std::nullopt;
    frame.data[i] = static_cast<uint8_t>(*byte);
  }
  if (line.size() > end && !ReadHex(line.substr(end)).has_value()) return std::nullopt;
  return frame;
}

void AppendSlcanStamp(int64_t at_unix_us, std::string& out) {
  constexpr int64_t kMinuteMs = 60'000;
  AppendHex(static_cast<uint32_t>((at_unix_us / 1000 % kMinuteMs + kMinuteMs) % kMinuteMs), kStampDigits, out);
}

void SlcanSplitter::Feed(absl::string_view bytes, Visitor visit) {
  for (const char c : bytes) {
    if (c == kSlcanOk || c == kSlcanError) {
      if (!skipping_) visit(line_, c == kSlcanError);
      Reset();
    } else if (skipping_ || c == '\n') {
      continue;
    } else if (line_.size() == kMaxSlcanLine) {
      skipping_ = true;
      ++too_long_;
    } else {
      line_.push_back(c);
    }
  }
}

void SlcanSplitter::Reset() {
  line_.clear();
  skipping_ = false;
}

}  // namespace fleet
