#include "common/modbus/modbus_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();
constexpr uint64_t kMaxU64 = std::numeric_limits<uint64_t>::max();

using Words = std::vector<uint16_t>;

ModbusNumber Read(const Words& words, ModbusType type, bool little_endian = false) {
  return NumberOf(words.data(), type, little_endian);
}

// The registers of `value`; empty: it does not fit.
Words Written(const ModbusNumber& value, ModbusType type, bool little_endian = false, double scale = 1) {
  Words words;
  const absl::Status status = AppendRegisters(value, type, little_endian, scale, words);
  EXPECT_EQ(status.ok(), !words.empty()) << status;
  EXPECT_TRUE(status.ok() || absl::IsOutOfRange(status)) << status;
  return words;
}

TEST(ModbusValues, RegistersMeanWhatTheTableOfTheReferenceSays) {
  EXPECT_EQ(Read({0x002A}, ModbusType::kU16), ModbusNumber(int64_t{42}));
  EXPECT_EQ(Read({0x1234, 0x5678}, ModbusType::kU32), ModbusNumber(int64_t{305419896}));
  EXPECT_EQ(Read({0x1234, 0x5678}, ModbusType::kU32, /*little_endian=*/true), ModbusNumber(int64_t{1450709556}));
  EXPECT_EQ(Read({0x4049, 0x0FDB}, ModbusType::kF32), ModbusNumber(3.1415927410125732));
}

TEST(ModbusValues, EveryTypeHasItsSignAndItsWidth) {
  EXPECT_EQ(Read({0xFFFF}, ModbusType::kU16), ModbusNumber(int64_t{65535}));
  EXPECT_EQ(Read({0xFFFF}, ModbusType::kI16), ModbusNumber(int64_t{-1}));
  EXPECT_EQ(Read({0xFFFF, 0xFFFE}, ModbusType::kI32), ModbusNumber(int64_t{-2}));
  EXPECT_EQ(Read({0xFFFF, 0xFFFF}, ModbusType::kU32), ModbusNumber(int64_t{4294967295}));
  EXPECT_EQ(Read({0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, ModbusType::kU64), ModbusNumber(kMaxU64));
  EXPECT_EQ(Read({0x8000, 0, 0, 0}, ModbusType::kI64), ModbusNumber(kMin64));
  EXPECT_EQ(Read({1, 2, 3, 4}, ModbusType::kU64), ModbusNumber(uint64_t{0x0001'0002'0003'0004}));
}

TEST(ModbusValues, LittleSwapsRegistersAndNeverTheBytesInOne) {
  EXPECT_EQ(Read({0x1234}, ModbusType::kU16, true), ModbusNumber(int64_t{0x1234}));
  EXPECT_EQ(Read({4, 3, 2, 0x0102}, ModbusType::kU64, true), ModbusNumber(uint64_t{0x0102'0002'0003'0004}));
  EXPECT_EQ(Read({0x0FDB, 0x4049}, ModbusType::kF32, true), ModbusNumber(3.1415927410125732));
}

TEST(ModbusValues, WhatIsWrittenReadsBackInEveryTypeAndOrder) {
  for (const bool little : {false, true}) {
    for (const ModbusType type : {ModbusType::kU16, ModbusType::kI16, ModbusType::kU32, ModbusType::kI32,
                                  ModbusType::kU64, ModbusType::kI64, ModbusType::kF32}) {
      const Words words = Written(int64_t{1234}, type, little);
      ASSERT_EQ(words.size(), static_cast<size_t>(RegistersOf(type)));
      EXPECT_EQ(ToDouble(Read(words, type, little)), 1234) << Name(type) << little;
    }
  }
  EXPECT_THAT(Written(int64_t{305419896}, ModbusType::kU32, true), ElementsAre(0x5678, 0x1234));
}

TEST(ModbusValues, LimitsOfTypesAreExact) {
  EXPECT_THAT(Written(int64_t{65535}, ModbusType::kU16), ElementsAre(0xFFFF));
  EXPECT_THAT(Written(int64_t{65536}, ModbusType::kU16), IsEmpty());
  EXPECT_THAT(Written(int64_t{-1}, ModbusType::kU16), IsEmpty());
  EXPECT_THAT(Written(int64_t{-32768}, ModbusType::kI16), ElementsAre(0x8000));
  EXPECT_THAT(Written(int64_t{-32769}, ModbusType::kI16), IsEmpty());
  EXPECT_THAT(Written(int64_t{4294967296}, ModbusType::kU32), IsEmpty());
  EXPECT_THAT(Written(int64_t{2147483648}, ModbusType::kI32), IsEmpty());
  EXPECT_THAT(Written(kMaxU64, ModbusType::kU64), ElementsAre(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF));
  EXPECT_THAT(Written(kMaxU64, ModbusType::kI64), IsEmpty());
  EXPECT_THAT(Written(kMin64, ModbusType::kI64), ElementsAre(0x8000, 0, 0, 0));
  EXPECT_THAT(Written(int64_t{-1}, ModbusType::kU64), IsEmpty());
}

TEST(ModbusValues, DoublesAtTheEdgeOf64BitsDoNotWrapAround) {
  EXPECT_THAT(Written(18446744073709551616.0, ModbusType::kU64), IsEmpty());
  EXPECT_THAT(Written(9223372036854775808.0, ModbusType::kI64), IsEmpty());
  EXPECT_THAT(Written(-9223372036854775808.0, ModbusType::kI64), IsEmpty());
  EXPECT_THAT(Written(1e300, ModbusType::kU16), IsEmpty());
  EXPECT_THAT(Written(std::nan(""), ModbusType::kU16), IsEmpty());
  EXPECT_THAT(Written(std::numeric_limits<double>::infinity(), ModbusType::kF32), IsEmpty());
  EXPECT_THAT(Written(1e39, ModbusType::kF32), IsEmpty());
  EXPECT_THAT(Written(3.4028235e38, ModbusType::kF32), ElementsAre(0x7F7F, 0xFFFF));
}

TEST(ModbusValues, WritesAreDividedByTheScaleAndRoundedToTheNearest) {
  EXPECT_THAT(Written(23.05, ModbusType::kU16, false, 0.1), ElementsAre(231));
  EXPECT_THAT(Written(23.04, ModbusType::kU16, false, 0.1), ElementsAre(230));
  EXPECT_THAT(Written(-0.3, ModbusType::kI16, false, 0.1), ElementsAre(0xFFFD));
  EXPECT_THAT(Written(int64_t{500}, ModbusType::kU16, false, 100), ElementsAre(5));
  EXPECT_THAT(Written(int64_t{7000}, ModbusType::kU16, false, 0.1), IsEmpty());
  EXPECT_THAT(Written(int64_t{1}, ModbusType::kU16, false, 1e-320), IsEmpty());
  EXPECT_THAT(Written(int64_t{3}, ModbusType::kF32, false, 2), ElementsAre(0x3FC0, 0));
}

TEST(ModbusValues, WhatDoesNotFitLeavesTheRegistersAlone) {
  Words words = {1};
  EXPECT_FALSE(AppendRegisters(int64_t{70000}, ModbusType::kU16, false, 1, words).ok());
  EXPECT_THAT(words, ElementsAre(1));
}

TEST(ModbusValues, ScaleOfReadsIsExactWhereItCanBe) {
  EXPECT_EQ(Scaled(kMaxU64, 1), ModbusNumber(kMaxU64));
  EXPECT_EQ(Scaled(int64_t{7}, 10), ModbusNumber(int64_t{70}));
  EXPECT_EQ(Scaled(int64_t{7}, -10), ModbusNumber(int64_t{-70}));
  EXPECT_EQ(Scaled(kMax64, 2), ModbusNumber(uint64_t{18446744073709551614u}));
  EXPECT_EQ(Scaled(kMaxU64, 10), ModbusNumber(184467440737095516150.0));
  EXPECT_EQ(Scaled(int64_t{3}, 0.1), ModbusNumber(0.3));
  EXPECT_EQ(Scaled(int64_t{-1234}, 0.001), ModbusNumber(-1.234));
  EXPECT_EQ(Scaled(int64_t{2}, 0.75), ModbusNumber(1.5));
  EXPECT_EQ(Scaled(1.5, 2), ModbusNumber(3.0));
  EXPECT_EQ(Scaled(int64_t{2}, 1e-310), ModbusNumber(2e-310));
}

TEST(ModbusValues, OrderIsExactWhereDoublesAreNot) {
  constexpr int64_t kBeyond53 = (int64_t{1} << 53) + 1;
  EXPECT_TRUE(Compare(kBeyond53, 9007199254740992.0) > 0);
  EXPECT_TRUE(Compare(9007199254740992.0, kBeyond53) < 0);
  EXPECT_TRUE(Compare(kMaxU64, kMax64) > 0);
  EXPECT_TRUE(Compare(int64_t{-1}, kMaxU64) < 0);
  EXPECT_TRUE(Compare(kMaxU64, 18446744073709551616.0) < 0);
  EXPECT_TRUE(Compare(kMin64, -9223372036854775808.0) == 0);
  EXPECT_TRUE(Compare(kMin64, -1e19) > 0);
  EXPECT_TRUE(Compare(int64_t{-1}, -1.5) > 0);
  EXPECT_TRUE(Compare(int64_t{1}, 1.5) < 0);
  EXPECT_TRUE(Compare(1.5, 1.25) > 0);
}

TEST(ModbusValues, NanIsInNoOrder) {
  const double nan = std::nan("");
  EXPECT_TRUE(Compare(int64_t{1}, nan) == std::partial_ordering::unordered);
  EXPECT_TRUE(Compare(nan, int64_t{1}) == std::partial_ordering::unordered);
  EXPECT_TRUE(Compare(nan, nan) == std::partial_ordering::unordered);
}

TEST(ModbusValues, ListsAreCutIntoValuesAndBitsAreNotScaled) {
  ModbusRequest request{.type = ModbusType::kU32, .little_endian = true, .scale_factor = 2};
  EXPECT_THAT(NumbersOf(request, {1, 0, 2, 0}), ElementsAre(int64_t{2}, int64_t{4}));
  EXPECT_THAT(NumbersOf(request, {1, 0, 2}), ElementsAre(int64_t{2}));
  request.function = ModbusFunction::kReadCoils;
  EXPECT_THAT(NumbersOf(request, {1, 0, 1}), ElementsAre(int64_t{1}, int64_t{0}, int64_t{1}));
}

TEST(ModbusValues, TextHasTheHighByteFirstAndLosesItsNuls) {
  EXPECT_EQ(TextOf({0x4142, 0x4300, 0}), "ABC");
  EXPECT_THAT(*RegistersOfText("ABC", 0), ElementsAre(0x4142, 0x4300));
  EXPECT_THAT(*RegistersOfText("ABC", 3), ElementsAre(0x4142, 0x4300, 0));
  EXPECT_THAT(*RegistersOfText("\xC3\xA9", 1), ElementsAre(0xC3A9));
  EXPECT_EQ(RegistersOfText("ABC", 1).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(ModbusTypes, NamesAndTypesBelongTogether) {
  for (const char* name : {"U16", "I16", "U32", "I32", "U64", "I64", "F32", "STR"}) {
    ASSERT_TRUE(ParseModbusType(name).has_value()) << name;
    EXPECT_EQ(Name(*ParseModbusType(name)), name);
  }
  EXPECT_FALSE(ParseModbusType("u16").has_value());
  EXPECT_FALSE(ParseModbusType("").has_value());
}

}  // namespace
}  // namespace fleet
