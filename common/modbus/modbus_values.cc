#include "common/modbus/modbus_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

constexpr double kTwoTo53 = 9007199254740992;  // up to here a double has every whole number
constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr double kTwoTo64 = 2 * kTwoTo63;

// The bits of a value that is in `count` registers.
uint64_t Join(const uint16_t* words, int count, bool little_endian) {
  uint64_t bits = 0;
  for (int i = 0; i < count; ++i) bits = bits << 16 | words[little_endian ? count - 1 - i : i];
  return bits;
}

void Split(uint64_t bits, int count, bool little_endian, std::vector<uint16_t>& words) {
  for (int i = 0; i < count; ++i) {
    const int shift = 16 * (little_endian ? i : count - 1 - i);
    words.push_back(static_cast<uint16_t>(bits >> shift));
  }
}

std::optional<absl::int128> WholeOf(const ModbusNumber& number) {
  if (const auto* value = std::get_if<int64_t>(&number)) return absl::int128(*value);
  if (const auto* value = std::get_if<uint64_t>(&number)) return absl::int128(*value);
  return std::nullopt;
}

std::optional<ModbusNumber> FitsIn64Bits(absl::int128 number) {
  if (number >= std::numeric_limits<int64_t>::min() && number <= std::numeric_limits<int64_t>::max())
    return static_cast<int64_t>(number);
  if (number > 0 && number <= std::numeric_limits<uint64_t>::max()) return static_cast<uint64_t>(number);
  return std::nullopt;
}

std::partial_ordering CompareWhole(absl::int128 left, double right) {
  if (std::isnan(right)) return std::partial_ordering::unordered;
  if (right >= kTwoTo64) return std::partial_ordering::less;
  if (right < -kTwoTo63) return std::partial_ordering::greater;
  const double floor = std::floor(right);
  const absl::int128 whole(floor);
  if (left != whole) return left < whole ? std::partial_ordering::less : std::partial_ordering::greater;
  return right > floor ? std::partial_ordering::less : std::partial_ordering::equivalent;
}

// A double at the very edge of 64 bits may stand for a number beyond it, so it does not fit.
std::optional<absl::int128> Rounded(double value) {
  const double rounded = std::round(value);
  if (!(rounded > -kTwoTo63 && rounded < kTwoTo64)) return std::nullopt;
  return absl::int128(rounded);
}

template <typename T>
std::optional<uint64_t> BitsIfIn(absl::int128 number) {
  if (number < absl::int128(std::numeric_limits<T>::min()) || number > absl::int128(std::numeric_limits<T>::max()))
    return std::nullopt;
  return static_cast<uint64_t>(static_cast<T>(number));
}

std::optional<uint64_t> BitsOfWhole(absl::int128 number, ModbusType type) {
  switch (type) {
    case ModbusType::kU16:
      return BitsIfIn<uint16_t>(number);
    case ModbusType::kI16:
      return BitsIfIn<int16_t>(number);
    case ModbusType::kU32:
      return BitsIfIn<uint32_t>(number);
    case ModbusType::kI32:
      return BitsIfIn<int32_t>(number);
    case ModbusType::kU64:
      return BitsIfIn<uint64_t>(number);
    case ModbusType::kI64:
      return BitsIfIn<int64_t>(number);
    case ModbusType::kF32:
    case ModbusType::kString:
      break;
  }
  return std::nullopt;
}

std::optional<uint64_t> BitsOfFloat(double value) {
  const auto narrowed = static_cast<float>(value);  // infinite when it is beyond the greatest (IEC 60559)
  if (!std::isfinite(narrowed)) return std::nullopt;
  return std::bit_cast<uint32_t>(narrowed);
}

std::optional<uint64_t> BitsOf(const ModbusNumber& value, ModbusType type, double scale) {
  if (type == ModbusType::kF32) return BitsOfFloat(ToDouble(value) / scale);
  const std::optional<absl::int128> whole =
      scale == 1 && !std::holds_alternative<double>(value) ? WholeOf(value) : Rounded(ToDouble(value) / scale);
  return whole ? BitsOfWhole(*whole, type) : std::nullopt;
}

}  // namespace

ModbusNumber NumberOf(const uint16_t* words, ModbusType type, bool little_endian) {
  const uint64_t bits = Join(words, RegistersOf(type), little_endian);
  switch (type) {
    case ModbusType::kI16:
      return int64_t{static_cast<int16_t>(bits)};
    case ModbusType::kI32:
      return int64_t{static_cast<int32_t>(bits)};
    case ModbusType::kU64:
      return bits;
    case ModbusType::kI64:
      return static_cast<int64_t>(bits);
    case ModbusType::kF32:
      return double{std::bit_cast<float>(static_cast<uint32_t>(bits))};
    case ModbusType::kU16:
    case ModbusType::kU32:
    case ModbusType::kString:
      break;
  }
  return static_cast<int64_t>(bits);
}

ModbusNumber Scaled(const ModbusNumber& number, double scale) {
  if (scale == 1) return number;
  const std::optional<absl::int128> whole = WholeOf(number);
  if (whole && std::trunc(scale) == scale && std::abs(scale) <= kTwoTo53) {
    const auto exact = FitsIn64Bits(*whole * absl::int128(scale));
    if (exact) return *exact;
  }
  // 3 / 10 is 0.3, and 3 * 0.1 is 0.30000000000000004.
  const double inverse = std::round(1 / scale);
  if (std::abs(scale) < 1 && std::abs(inverse) <= kTwoTo53 && 1 / inverse == scale) return ToDouble(number) / inverse;
  return ToDouble(number) * scale;
}

std::partial_ordering Compare(const ModbusNumber& left, const ModbusNumber& right) {
  const auto left_whole = WholeOf(left);
  const auto right_whole = WholeOf(right);
  if (left_whole && right_whole) {
    if (*left_whole == *right_whole) return std::partial_ordering::equivalent;
    return *left_whole < *right_whole ? std::partial_ordering::less : std::partial_ordering::greater;
  }
  if (left_whole) return CompareWhole(*left_whole, std::get<double>(right));
  if (right_whole) return 0 <=> CompareWhole(*right_whole, std::get<double>(left));
  return std::get<double>(left) <=> std::get<double>(right);
}

std::vector<ModbusNumber> NumbersOf(const ModbusRequest& request, const std::vector<uint16_t>& words) {
  if (IsOfBits(request.function)) {
    std::vector<ModbusNumber> bits;
    for (const uint16_t word : words) bits.push_back(int64_t{word != 0});
    return bits;
  }
  const size_t step = RegistersOf(request.type);
  std::vector<ModbusNumber> numbers;
  for (size_t first = 0; first + step <= words.size(); first += step) {
    numbers.push_back(Scaled(NumberOf(&words[first], request.type, request.little_endian), request.scale_factor));
  }
  return numbers;
}

std::string TextOf(const std::vector<uint16_t>& words) {
  std::string text;
  for (const uint16_t word : words) {
    for (const char c : {static_cast<char>(word >> 8), static_cast<char>(word & 0xff)}) {
      if (c != '\0') text += c;
    }
  }
  return text;
}

absl::Status AppendRegisters(const ModbusNumber& value, ModbusType type, bool little_endian, double scale,
                             std::vector<uint16_t>& words) {
  const std::optional<uint64_t> bits = BitsOf(value, type, scale);
  if (!bits) {
    const std::string text = std::visit([](auto number) { return absl::StrCat(number); }, value);
    return absl::OutOfRangeError(
        absl::StrCat(text, scale == 1 ? "" : absl::StrCat(" divided by ", scale), " does not fit into ", Name(type)));
  }
  Split(*bits, RegistersOf(type), little_endian, words);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint16_t>> RegistersOfText(absl::string_view text, size_t size) {
  if (size == 0) size = (text.size() + 1) / 2;
  if (text.size() > 2 * size) {
    return absl::OutOfRangeError(
        absl::StrCat("a text of ", text.size(), " bytes does not fit into ", size, " registers"));
  }
  std::vector<uint16_t> words(size);
  for (size_t i = 0; i < text.size(); ++i) {
    words[i / 2] |= static_cast<uint16_t>(static_cast<uint8_t>(text[i]) << (i % 2 == 0 ? 8 : 0));
  }
  return words;
}

}  // namespace fleet
