// [e]: captures in the ELM327 data sheet; [v]: messages of real vehicles; tests/vectors/README.md.
#include "device/can/obd_pids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::Optional;

using Bytes = std::vector<uint8_t>;

double Decode(uint8_t pid, const Bytes& data) {
  const ObdPid* known = FindObdPid(pid);
  EXPECT_NE(known, nullptr);
  EXPECT_EQ(known->size, data.size());
  return DecodeObdPid(*known, data);
}

TEST(ObdPids, ValuesAreAsTheStandardHasThem) {
  EXPECT_DOUBLE_EQ(Decode(0x0C, {0x17, 0x70}), 1500);  // SAE J1979: a quarter of a revolution
  EXPECT_DOUBLE_EQ(Decode(0x0C, {0x17, 0xB8}), 1518);  // [e] page 45, and the next three
  EXPECT_NEAR(Decode(0x04, {0x3F}), 24.7, 0.01);
  EXPECT_DOUBLE_EQ(Decode(0x05, {0x44}), 28);
  EXPECT_DOUBLE_EQ(Decode(0x0B, {0x21}), 33);
  EXPECT_DOUBLE_EQ(Decode(0x05, {0x00}), -40);
  EXPECT_DOUBLE_EQ(Decode(0x0D, {0xFF}), 255);
  EXPECT_DOUBLE_EQ(Decode(0x11, {0xFF}), 100);
  EXPECT_DOUBLE_EQ(Decode(0x2F, {0x80}), 128 * 100 / 255.0);
  EXPECT_DOUBLE_EQ(Decode(0x1F, {0xFF, 0xFF}), 65535);
  EXPECT_DOUBLE_EQ(Decode(0x31, {0x01, 0x02}), 258);
  EXPECT_DOUBLE_EQ(Decode(0xA6, {0x00, 0x12, 0xD6, 0x87}), 123456.7);
  EXPECT_DOUBLE_EQ(Decode(0x06, {0x80}), 0);
  EXPECT_DOUBLE_EQ(Decode(0x0E, {0x00}), -64);
  EXPECT_DOUBLE_EQ(Decode(0x3C, {0x11, 0x94}), 410);
  EXPECT_NEAR(Decode(0x42, {0x36, 0xB0}), 14, 1e-9);
  EXPECT_NEAR(Decode(0x44, {0x80, 0x00}), 1, 1e-9);
  EXPECT_DOUBLE_EQ(Decode(0x5D, {0x69, 0x00}), 0);
  EXPECT_DOUBLE_EQ(Decode(0x62, {0x7D}), 0);
}

TEST(ObdPids, TheCountOfCodesIsWithoutTheLamp) {
  EXPECT_DOUBLE_EQ(Decode(kObdMonitorPid, {0x83, 0x07, 0x65, 0x04}), 3);
  EXPECT_DOUBLE_EQ(Decode(kObdMonitorPid, {0x00, 0x07, 0x65, 0x04}), 0);
}

TEST(ObdPids, TheTableIsSortedAndHasRoomForWhatItUses) {
  int before = 0;
  for (const ObdPid& pid : ObdPids()) {
    EXPECT_GT(pid.pid, before);
    EXPECT_LE(pid.used, pid.size);
    EXPECT_GE(pid.used, 1);
    EXPECT_FALSE(IsObdBitmap(pid.pid));
    EXPECT_EQ(FindObdPid(pid.pid), &pid);
    before = pid.pid;
  }
  EXPECT_EQ(FindObdPid(0x02), nullptr);
  EXPECT_EQ(FindObdPid(0xFF), nullptr);
}

TEST(ObdReadings, AnAnswerHasAllParametersInAnyOrder) {
  // [e] page 45: 01 04 05 0B 0C, and the same in another order.
  const Bytes first = {0x41, 0x04, 0x3F, 0x05, 0x44, 0x0B, 0x21, 0x0C, 0x17, 0xB8};
  const Bytes second = {0x41, 0x0B, 0x21, 0x04, 0x3F, 0x0C, 0x17, 0xB8, 0x05, 0x44};
  for (const Bytes& message : {first, second}) {
    const auto readings = ParseObdReadings(message, Bytes{0x04, 0x05, 0x0B, 0x0C});
    ASSERT_TRUE(readings.has_value());
    ASSERT_EQ(readings->size(), 4u);
    for (const ObdReading& reading : *readings) {
      const Bytes data(reading.data.begin(), reading.data.end());
      EXPECT_EQ(data, reading.pid == 0x0C   ? (Bytes{0x17, 0xB8})
                      : reading.pid == 0x05 ? Bytes{0x44}
                      : reading.pid == 0x04 ? Bytes{0x3F}
                                            : Bytes{0x21});
    }
  }
  const Bytes bitmap = {0x41, 0x00, 0xBE, 0x3E, 0xB8, 0x11};  // [e] page 44
  EXPECT_EQ(ParseObdReadings(bitmap, Bytes{0x00})->at(0).data.size(), 4u);
}

TEST(ObdReadings, AnAnswerThatDoesNotFitIsDiscardedWhole) {
  const Bytes asked = {0x0C, 0x0D, 0x02};
  const std::vector<Bytes> misfits = {
      {},
      {0x41},
      {0x42, 0x0C, 0x17, 0x70},
      {0x41, 0x0C, 0x17},                          // cut
      {0x41, 0x0C, 0x17, 0x70, 0x00},              // too long
      {0x41, 0x0C, 0x17, 0x70, 0x0D},              // the second one cut
      {0x41, 0x05, 0x44},                          // not asked for
      {0x41, 0x0C, 0x17, 0x70, 0x05, 0x44},        // the second one was not
      {0x41, 0x0C, 0x17, 0x70, 0x0C, 0x17, 0x70},  // twice
      {0x41, 0x02, 0x00, 0x00},                    // of a size that we do not know
  };
  for (const Bytes& message : misfits) EXPECT_FALSE(ParseObdReadings(message, asked).has_value()) << message.size();
}

TEST(ObdDtcs, CodesAreReadAsManyAsAreCounted) {
  EXPECT_THAT(ParseObdDtcs(Bytes{0x43, 0x00}), Optional(ElementsAre()));
  EXPECT_THAT(ParseObdDtcs(Bytes{0x43, 0x01, 0x01, 0x28}), Optional(ElementsAre(0x0128)));                      // [v]
  EXPECT_THAT(ParseObdDtcs(Bytes{0x43, 0x02, 0x01, 0x02, 0x01, 0x13}), Optional(ElementsAre(0x0102, 0x0113)));  // [v]
  EXPECT_THAT(ParseObdDtcs(Bytes{0x47, 0x04, 0x01, 0x07, 0x02, 0x07, 0x03, 0x07, 0x43, 0x07}),
              Optional(ElementsAre(0x0107, 0x0207, 0x0307, 0x4307)));  // [v]
  EXPECT_THAT(ParseObdDtcs(Bytes{0x43, 0x02, 0x01, 0x33, 0x00, 0x00}), Optional(ElementsAre(0x0133)));
}

TEST(ObdDtcs, AnotherLengthThanCountedIsNoList) {
  const std::vector<Bytes> misfits = {
      {}, {0x43}, {0x44, 0x00}, {0x43, 0x01, 0x01}, {0x43, 0x01, 0x01, 0x33, 0x00, 0x00}, {0x43, 0x02, 0x01, 0x33}};
  for (const Bytes& message : misfits) EXPECT_EQ(ParseObdDtcs(message), std::nullopt) << message.size();
}

TEST(ObdDtcs, TheFirstDigitSaysWhichSystem) {
  EXPECT_EQ(ObdDtcText(0x0133), "P0133");  // SAE J2012, and the next one
  EXPECT_EQ(ObdDtcText(0xC100), "U0100");
  EXPECT_EQ(ObdDtcText(0x4307), "C0307");
  EXPECT_EQ(ObdDtcText(0xA245), "B2245");
  EXPECT_EQ(ObdDtcText(0xD600), "U1600");
  EXPECT_EQ(ObdDtcText(0x3FFF), "P3FFF");
}

TEST(ObdRefusals, EvenUnknownOnesHaveAText) {
  EXPECT_EQ(ObdRefusalText(0x22), "conditions not correct");
  EXPECT_EQ(ObdRefusalText(0x05), "code 05");
}

}  // namespace
}  // namespace fleet::device
