#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/can/candump.h"
#include "common/can/hex.h"

namespace fleet {
namespace {

constexpr uint32_t kErrorBit = 0x20000000;  // CAN_ERR_FLAG of linux/can.h
constexpr uint8_t kFdBrs = 1, kFdEsi = 2;

constexpr size_t kMaxFrameText = 8 + 3 + 2 * kMaxCanBytes;  // id, "##3", data

char* PutDecimal(char* to, uint64_t number, int digits) {
  for (int i = digits - 1; i >= 0; --i, number /= 10) to[i] = static_cast<char>('0' + number % 10);
  return to + digits;
}

char* PutBlanks(char* to, size_t count) {
  return std::fill_n(to, count, ' ');
}

char* PutByte(char* to, uint8_t byte) {
  to[0] = kHexDigits[byte >> 4];
  to[1] = kHexDigits[byte & 15];
  return to + 2;
}

char* PutId(char* to, const CanFrame& frame) {
  if (frame.is(kCanError)) return PutHex(to, frame.id | kErrorBit, 8);
  return PutHex(to, frame.id, frame.is(kCanExtended) ? 8 : 3);
}

char* PutFrame(char* to, const CanFrame& frame) {
  to = PutId(to, frame);
  *to++ = '#';
  if (frame.is(kCanRemote)) {
    *to++ = 'R';
    if (frame.size > 0) *to++ = kHexDigits[frame.size];
    return to;
  }
  if (frame.is(kCanFd)) {
    *to++ = '#';
    *to++ = kHexDigits[(frame.is(kCanBrs) ? kFdBrs : 0) + (frame.is(kCanEsi) ? kFdEsi : 0)];
  }
  for (const uint8_t byte : frame.bytes()) to = PutByte(to, byte);
  return to;
}

// "(1436509052.249713) ", with at least ten digits in front of the point.
char* PutTime(char* to, int64_t at_unix_us) {
  const uint64_t us = static_cast<uint64_t>(std::max<int64_t>(at_unix_us, 0));
  const uint64_t seconds = us / 1'000'000;
  int digits = 10;
  for (uint64_t beyond = seconds / 10'000'000'000; beyond > 0; beyond /= 10) ++digits;
  *to++ = '(';
  to = PutDecimal(to, seconds, digits);
  *to++ = '.';
  to = PutDecimal(to, us % 1'000'000, 6);
  *to++ = ')';
  *to++ = ' ';
  return to;
}

// "[2]", and of FD frames "[02]", so that the bytes stay in one column.
char* PutSize(char* to, const CanFrame& frame) {
  to = PutBlanks(to, frame.is(kCanFd) ? 2 : 3);
  *to++ = '[';
  to = PutDecimal(to, frame.size, frame.is(kCanFd) ? 2 : 1);
  *to++ = ']';
  *to++ = ' ';
  return to;
}

bool IsStandard(const CanFrame& frame) {
  return !frame.is(kCanExtended) && !frame.is(kCanError);
}

}  // namespace

void AppendCanFrameText(const CanFrame& frame, std::string& out) {
  char text[kMaxFrameText];
  out.append(text, PutFrame(text, frame) - text);
}

void AppendCandumpLine(const CanFrame& frame, absl::string_view bus, std::string& out) {
  char time[32];
  out.append(time, PutTime(time, frame.at_unix_us) - time);
  out.append(bus.data(), bus.size());
  char text[1 + kMaxFrameText + 2];
  char* end = text;
  *end++ = ' ';
  end = PutFrame(end, frame);
  if (frame.is(kCanSent)) {
    *end++ = ' ';
    *end++ = 'T';
  }
  out.append(text, end - text);
}

void AppendCandumpView(const CanFrame& frame, absl::string_view bus, std::string& out, bool indent_standard) {
  constexpr char kRemote[] = " remote request";
  constexpr char kError[] = "ERRORFRAME";
  absl::StrAppend(&out, "  ", bus, "  ");
  char text[5 + 8 + 7 + 3 * kMaxCanBytes + sizeof(kRemote) + sizeof(kError)];
  char* end = PutBlanks(text, indent_standard && IsStandard(frame) ? 5 : 0);
  end = PutSize(PutId(end, frame), frame);
  if (frame.is(kCanRemote)) end = std::copy_n(kRemote, sizeof(kRemote) - 1, end);
  for (const uint8_t byte : frame.bytes()) {
    *end++ = ' ';
    end = PutByte(end, byte);
  }
  if (frame.is(kCanError)) {
    end = PutBlanks(end, 3 * (kMaxClassicCanBytes - frame.size) + 3);
    end = std::copy_n(kError, sizeof(kError) - 1, end);
  }
  out.append(text, end - text);
}

}  // namespace fleet
