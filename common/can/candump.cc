#include "common/can/candump.h"

#include <cstdint>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/can/hex.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

constexpr uint32_t kErrorBit = 0x20000000;  // CAN_ERR_FLAG of linux/can.h
constexpr uint8_t kFdBrs = 1, kFdEsi = 2, kFdFdf = 4;

constexpr size_t kMaxSecondsDigits = 12;  // in microseconds they fit 64 bits
constexpr size_t kMaxFractionDigits = 9;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsBlank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

constexpr size_t kMaxQuoted = 48;

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxQuoted)),
                                                 text.size() > kMaxQuoted ? "...\": " : "\": ", why));
}

// Takes "123#" off the text.
absl::Status TakeId(absl::string_view& text, CanFrame& frame) {
  const size_t digits = text.substr(0, 9).find('#');
  if (digits != 3 && digits != 8) return absl::InvalidArgumentError("a frame begins with 3 or 8 digits and a #");
  const std::optional<uint32_t> id = ReadHex(text.substr(0, digits));
  if (!id) return absl::InvalidArgumentError("its id is not hexadecimal");
  const bool error = digits == 8 && *id >> 29 == kErrorBit >> 29;
  frame.id = error ? *id - kErrorBit : *id;
  if (digits == 8) frame.flags = error ? kCanError : kCanExtended;
  text.remove_prefix(digits + 1);
  return absl::OkStatus();
}

// Takes "#3" off the text: what makes an FD frame.
absl::Status TakeFdFlags(absl::string_view& text, CanFrame& frame) {
  const uint8_t flags = text.size() < 2 ? kNoNibble : Nibble(text[1]);
  if (flags > (kFdBrs | kFdEsi | kFdFdf)) {
    return absl::InvalidArgumentError("## is followed by the sum of 1 (BRS), 2 (ESI) and 4 (FD)");
  }
  frame.flags |= kCanFd;
  if ((flags & kFdBrs) != 0) frame.flags |= kCanBrs;
  if ((flags & kFdEsi) != 0) frame.flags |= kCanEsi;
  text.remove_prefix(2);
  return absl::OkStatus();
}

// Takes "8" off the text, behind an R. Without it: 0.
void TakeRemoteSize(absl::string_view& text, CanFrame& frame) {
  frame.flags |= kCanRemote;
  if (text.empty() || Nibble(text[0]) > kMaxClassicCanBytes) return;
  frame.size = Nibble(text[0]);
  text.remove_prefix(1);
}

// Takes "11.22" off the text, as far as there are bytes and the frame has room.
void TakeData(absl::string_view& text, CanFrame& frame) {
  const size_t room = frame.is(kCanFd) ? kMaxCanBytes : kMaxClassicCanBytes;
  for (; frame.size < room; ++frame.size) {
    const size_t dot = !text.empty() && text[0] == '.' ? 1 : 0;
    if (text.size() < dot + 2) break;
    const uint8_t high = Nibble(text[dot]);
    const uint8_t low = Nibble(text[dot + 1]);
    if ((high | low) >= kNoNibble) break;
    frame.data[frame.size] = static_cast<uint8_t>(high << 4 | low);
    text.remove_prefix(dot + 2);
  }
  if (text == ".") text.remove_prefix(1);  // cansend does not mind
}

// "_9" to "_F", which some controllers can send for 8 bytes.
bool IsRawDlc(absl::string_view text) {
  return text.size() == 2 && text[0] == '_' && Nibble(text[1]) > kMaxClassicCanBytes && Nibble(text[1]) != kNoNibble;
}

absl::Status ReadFrame(absl::string_view text, CanFrame& frame) {
  RETURN_IF_ERROR(TakeId(text, frame));
  if (!text.empty() && (text[0] == 'R' || text[0] == 'r')) {
    text.remove_prefix(1);
    TakeRemoteSize(text, frame);
  } else {
    if (!text.empty() && text[0] == '#') RETURN_IF_ERROR(TakeFdFlags(text, frame));
    TakeData(text, frame);
  }
  if (!frame.is(kCanFd) && frame.size == kMaxClassicCanBytes && IsRawDlc(text)) text = {};
  if (text.empty()) return CheckCanFrame(frame);
  return absl::InvalidArgumentError("behind it is no byte of two hexadecimal digits, or one more than it can have");
}

// Takes a number of at most `max_digits` off the line. False: there is none.
bool TakeNumber(absl::string_view& line, size_t max_digits, int64_t& number, size_t& digits) {
  number = 0;
  for (digits = 0; digits < line.size() && IsDigit(line[digits]); ++digits) {
    if (digits == max_digits) return false;
    number = number * 10 + (line[digits] - '0');
  }
  line.remove_prefix(digits);
  return digits > 0;
}

bool TakeChar(absl::string_view& line, char c) {
  if (line.empty() || line[0] != c) return false;
  line.remove_prefix(1);
  return true;
}

// Takes "(1436509052.249713)" off the line; nanoseconds are cut off.
std::optional<int64_t> TakeTime(absl::string_view& line) {
  int64_t seconds = 0, fraction = 0;
  size_t digits = 0;
  if (!TakeChar(line, '(') || !TakeNumber(line, kMaxSecondsDigits, seconds, digits)) return std::nullopt;
  if (!TakeChar(line, '.') || !TakeNumber(line, kMaxFractionDigits, fraction, digits)) return std::nullopt;
  for (; digits < 6; ++digits) fraction *= 10;
  for (; digits > 6; --digits) fraction /= 10;
  if (!TakeChar(line, ')')) return std::nullopt;
  return seconds * 1'000'000 + fraction;
}

absl::string_view TakeWord(absl::string_view& line) {
  size_t begin = 0;
  while (begin < line.size() && IsBlank(line[begin])) ++begin;
  size_t end = begin;
  while (end < line.size() && !IsBlank(line[end])) ++end;
  const absl::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

}  // namespace

absl::StatusOr<CanFrame> ParseCanFrameText(absl::string_view text) {
  CanFrame frame;
  if (const absl::Status read = ReadFrame(text, frame); !read.ok()) return Bad(text, read.message());
  return frame;
}

absl::StatusOr<CandumpLine> ParseCandumpLine(absl::string_view line) {
  absl::string_view rest = line;
  const std::optional<int64_t> at_unix_us = TakeTime(rest);
  if (!at_unix_us) return Bad(line, "a line begins with (seconds.microseconds)");
  CandumpLine parsed;
  parsed.frame.at_unix_us = *at_unix_us;
  parsed.bus = TakeWord(rest);
  const absl::string_view text = TakeWord(rest);
  if (text.empty()) return Bad(line, "a line is (time) bus frame");
  if (const absl::Status read = ReadFrame(text, parsed.frame); !read.ok()) return Bad(text, read.message());
  const absl::string_view direction = TakeWord(rest);
  if (direction == "T") parsed.frame.flags |= kCanSent;
  if ((!direction.empty() && direction != "T" && direction != "R") || !TakeWord(rest).empty()) {
    return Bad(line, "behind the frame only R or T may stand");
  }
  return parsed;
}

}  // namespace fleet
