#include "device/can/j1939.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "common/can/candump.h"
#include "device/can/j1939_dm1.h"

namespace fleet::device {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

DeviceId Device() {
  return *DeviceId::Parse("pi-1");
}

// The value of an SPN in a frame; -1: the frame is too short.
double Decoded(uint32_t number, absl::string_view frame) {
  const Spn* const spn = FindSpn(number);
  if (spn == nullptr) return -2;
  const CanFrame parsed = *ParseCanFrameText(frame);
  EXPECT_EQ(ParseJ1939Id(parsed.id).pgn, spn->pgn) << frame;
  return DecodeSpn(*spn, parsed.bytes()).value_or(-1);
}

TEST(Spn, TableIsInOrderAndEveryValueFitsItsFrame) {
  uint32_t last = 0;
  for (const Spn& spn : KnownSpns()) {
    EXPECT_GT(spn.number, last);
    last = spn.number;
    EXPECT_LE(spn.start_bit + spn.size_bits, 64) << spn.number;
    EXPECT_EQ(FindSpn(spn.number), &spn);
  }
  EXPECT_EQ(FindSpn(0), nullptr);
  EXPECT_EQ(FindSpn(191), nullptr);
}

TEST(Spn, NoTwoValuesOfAGroupShareABit) {
  for (const Spn& a : KnownSpns()) {
    for (const Spn& b : KnownSpns()) {
      if (a.number == b.number || a.pgn != b.pgn) continue;
      EXPECT_TRUE(a.start_bit + a.size_bits <= b.start_bit || b.start_bit + b.size_bits <= a.start_bit)
          << a.number << " and " << b.number;
    }
  }
}

// Recorded in a truck, decoded by pretty_j1939: tests/vectors/README.md.
TEST(Spn, FramesOfATruckReadAsASecondDecoderReadsThem) {
  EXPECT_EQ(Decoded(190, "0CF00400#207D87481400F087"), 649.0);
  EXPECT_EQ(Decoded(512, "0CF00400#207D87481400F087"), 0);
  EXPECT_EQ(Decoded(513, "0CF00400#207D87481400F087"), 10);
  EXPECT_EQ(Decoded(245, "18FEE000#FFFFFFFFB05C6800"), 854934.0);
  EXPECT_TRUE(std::isnan(Decoded(244, "18FEE000#FFFFFFFFB05C6800")));
}

// Each worked out by hand from places and scales of J1939-71.
TEST(Spn, ValuesAreScaled) {
  EXPECT_EQ(Decoded(190, "0CF00400#FFFFFF6813FFFFFF"), 621);
  EXPECT_EQ(Decoded(84, "18FEF100#FF0050FFFFFFFFFF"), 80);
  EXPECT_EQ(Decoded(110, "18FEEE00#82FFFFFFFFFFFFFF"), 90);
  EXPECT_EQ(Decoded(92, "0CF00300#FFFF4BFFFFFFFFFF"), 75);
  EXPECT_EQ(Decoded(917, "18FEC1EE#40420F00FFFFFFFF"), 5000);
  EXPECT_EQ(Decoded(247, "18FEE500#A0860100FFFFFFFF"), 5000);
  EXPECT_EQ(Decoded(168, "18FEF721#FFFFFFFF1802FFFF"), 26.8);
  EXPECT_EQ(Decoded(171, "18FEF521#FFFFFF2024FFFFFF"), 16);
  EXPECT_EQ(Decoded(70, "18FEF100#F7FFFFFFFFFFFFFF"), 1);
  EXPECT_EQ(Decoded(597, "18FEF100#FFFFFFCFFFFFFFFF"), 0);
}

TEST(Spn, GearsAreNegativeInReverseAnd126InPark) {
  EXPECT_EQ(Decoded(523, "18F00503#FFFFFF7CFFFFFFFF"), -1);
  EXPECT_EQ(Decoded(523, "18F00503#FFFFFF7DFFFFFFFF"), 0);
  EXPECT_EQ(Decoded(523, "18F00503#FFFFFF82FFFFFFFF"), 5);
  EXPECT_EQ(Decoded(523, "18F00503#FFFFFFFBFFFFFFFF"), 126);
  EXPECT_TRUE(std::isnan(Decoded(523, "18F00503#FFFFFFFCFFFFFFFF")));
}

TEST(Spn, ErrorAndNotAvailableAreNoValues) {
  EXPECT_EQ(Decoded(110, "18FEEE00#FAFFFFFFFFFFFFFF"), 210);
  EXPECT_EQ(Decoded(190, "0CF00400#FFFFFFFFFAFFFFFF"), 8031.875);
  for (const absl::string_view raw : {"FB", "FE", "FF"}) {
    EXPECT_TRUE(std::isnan(Decoded(110, absl::StrCat("18FEEE00#", raw, "00000000000000")))) << raw;
    EXPECT_TRUE(std::isnan(Decoded(190, absl::StrCat("0CF00400#00000000", raw, "000000")))) << raw;
    EXPECT_TRUE(std::isnan(Decoded(917, absl::StrCat("18FEC1EE#000000", raw, "00000000")))) << raw;
  }
  EXPECT_TRUE(std::isnan(Decoded(70, "18FEF100#FBFFFFFFFFFFFFFF")));
}

TEST(Spn, AFrameThatEndsBeforeTheValueHasNone) {
  EXPECT_EQ(Decoded(190, "0CF00400#FFFFFF68"), -1);
  EXPECT_EQ(Decoded(190, "0CF00400#FFFFFF6813"), 621);
  EXPECT_EQ(Decoded(110, "18FEEE00#"), -1);
}

Dm1 Parsed(std::vector<uint8_t> data) {
  const auto dm1 = ParseDm1(data);
  EXPECT_TRUE(dm1.ok()) << dm1.status();
  return dm1.value_or(Dm1{});
}

// From the tests of pretty_j1939 and j1939-84: tests/vectors/README.md.
TEST(Dm1, CodesAreThoseOfOtherDecoders) {
  const Dm1 one = Parsed({0x40, 0xFF, 0x5B, 0x00, 0x03, 0x01, 0xFF, 0xFF});
  EXPECT_TRUE(one.mil);
  EXPECT_FALSE(one.red_stop || one.amber || one.protect);
  EXPECT_THAT(one.codes, ElementsAre(J1939Dtc{91, 3, 1}));
  const Dm1 three = Parsed({0x11, 0xCD, 0x61, 0x02, 0x13, 0x00, 0x21, 0x06, 0x1F, 0x00, 0xEE, 0x10, 0x04, 0x00});
  EXPECT_TRUE(three.red_stop && three.protect);
  EXPECT_FALSE(three.mil || three.amber);
  EXPECT_THAT(three.codes, ElementsAre(J1939Dtc{609, 19, 0}, J1939Dtc{1569, 31, 0}, J1939Dtc{4334, 4, 0}));
}

TEST(Dm1, NoFaultIsAnEmptyList) {
  EXPECT_THAT(Parsed({0x00, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF}).codes, IsEmpty());
  EXPECT_THAT(Parsed({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}).codes, IsEmpty());
  EXPECT_FALSE(Parsed({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}).mil);
}

TEST(Dm1, ThePlaceHas19BitsAndTheCount7) {
  EXPECT_THAT(Parsed({0, 0xFF, 0xFE, 0xFF, 0xE5, 0xFE}).codes, ElementsAre(J1939Dtc{0x7FFFE, 5, 126}));
  EXPECT_THAT(Parsed({0, 0xFF, 0x01, 0x00, 0x02, 0x7F}).codes, ElementsAre(J1939Dtc{1, 2, 0}));
}

TEST(Dm1, LengthsThatNoListHasAreRefused) {
  for (size_t size = 0; size <= 40; ++size) {
    const bool is_list = size == 8 || (size >= 6 && (size - 2) % 4 == 0);
    EXPECT_EQ(ParseDm1(std::vector<uint8_t>(size)).ok(), is_list) << size;
  }
}

class J1939ReaderTest : public ::testing::Test {
 protected:
  J1939ReaderTest() : J1939ReaderTest({{.spn = 190, .index = 0, .source = {}}}) {}
  explicit J1939ReaderTest(std::vector<J1939Choice> choices)
      : signals_(Device(), {{.topic = "engine/rpm"}}),
        dtcs_(Device()),
        reader_({.bus = 3, .bus_name = "can0", .choices = std::move(choices), .dtcs = true}, signals_, dtcs_) {}

  void Hear(absl::string_view text) {
    CanFrame frame = *ParseCanFrameText(text);
    frame.at_unix_us = 1'700'000'000'123'456;
    EXPECT_TRUE(reader_.Wants(frame)) << text;
    reader_.Hear(frame, now_, effects_);
  }
  void Pass(absl::Duration time) { now_.mono = now_.mono + time; }
  // The plain texts since the last call, with NAN as "invalid".
  std::vector<std::string> Rpm() {
    std::vector<std::string> texts;
    for (const Publication& publication : effects_.publish) {
      if (publication.topic == "rpi/pi-1/engine/rpm") texts.push_back(publication.payload);
    }
    effects_.Clear();
    return texts;
  }
  std::vector<std::string> DtcEvents() {
    std::vector<std::string> events;
    for (const v1::Event& event : effects_.events) {
      if (event.kind() == v1::EVENT_KIND_DTC_SCANNED) continue;
      events.push_back(absl::StrCat(event.kind() == v1::EVENT_KIND_DTC_SET ? "+" : "-", event.dtc().bus(), " ",
                                    event.dtc().ecu(), " ", event.name(), " ", event.dtc().count()));
    }
    effects_.Clear();
    return events;
  }

  Now now_{MonoTime::FromNanos(1'000'000'000), absl::FromUnixSeconds(1'700'000'000)};
  SignalBook signals_;
  DtcBook dtcs_;
  CanEffects effects_;
  J1939Reader reader_;
};

TEST_F(J1939ReaderTest, ValuesArePublishedWithTheTimeOfTheFrame) {
  Hear("0CF00400#FFFFFF6813FFFFFF");
  ASSERT_EQ(effects_.samples.size(), 1u);
  EXPECT_EQ(effects_.samples[0].signal, "engine/rpm");
  EXPECT_EQ(effects_.samples[0].value, 621);
  EXPECT_EQ(effects_.samples[0].at_unix_ms, 1'700'000'000'123);
  EXPECT_THAT(Rpm(), ElementsAre("621"));
}

TEST_F(J1939ReaderTest, NotAvailableMakesTheSignalInvalid) {
  Hear("0CF00400#FFFFFF6813FFFFFF");
  Hear("0CF00400#FFFFFFFFFFFFFFFF");
  EXPECT_THAT(Rpm(), ElementsAre("621", "invalid"));
}

TEST_F(J1939ReaderTest, FramesThatNobodyChoseAreNotWanted) {
  for (const absl::string_view text : {"18FEF100#FF0050FFFFFFFFFF", "0CF00300#FFFF4BFFFFFFFFFF", "400#FFFFFF6813",
                                       "0CF00400#R8", "0CF00400##0FFFFFF6813FFFFFF", "18EAFFF9#CAFE00"}) {
    EXPECT_FALSE(reader_.Wants(*ParseCanFrameText(text))) << text;
    reader_.Hear(*ParseCanFrameText(text), now_, effects_);
  }
  EXPECT_TRUE(effects_.publish.empty() && effects_.events.empty());
  EXPECT_EQ(reader_.counters().values, 0u);
}

TEST_F(J1939ReaderTest, AFrameThatIsTooShortIsCounted) {
  Hear("0CF00400#FFFFFF68");
  EXPECT_THAT(Rpm(), IsEmpty());
  EXPECT_EQ(reader_.counters().short_frames, 1u);
}

TEST_F(J1939ReaderTest, TheFirstSourceWithAValueHasItUntilItIsSilent) {
  Hear("0CF00401#FFFFFFFFFFFFFFFF");
  EXPECT_THAT(Rpm(), ElementsAre("invalid"));
  Hear("0CF00400#FFFFFF6813FFFFFF");
  Hear("0CF00401#FFFFFF0010FFFFFF");
  EXPECT_THAT(Rpm(), ElementsAre("621"));
  Pass(J1939Reader::kSourceHold);
  Hear("0CF00401#FFFFFF0010FFFFFF");
  EXPECT_THAT(Rpm(), IsEmpty());
  Pass(absl::Milliseconds(1));
  Hear("0CF00401#FFFFFF0010FFFFFF");
  Hear("0CF00400#FFFFFF6813FFFFFF");
  EXPECT_THAT(Rpm(), ElementsAre("512"));
}

class FixedSourceTest : public J1939ReaderTest {
 protected:
  FixedSourceTest() : J1939ReaderTest({{.spn = 190, .index = 0, .source = uint8_t{1}}}) {}
};

TEST_F(FixedSourceTest, OnlyTheChosenSourceCounts) {
  Hear("0CF00400#FFFFFF6813FFFFFF");
  Pass(absl::Hours(1));
  Hear("0CF00400#FFFFFF6813FFFFFF");
  EXPECT_THAT(Rpm(), IsEmpty());
  Hear("0CF00401#FFFFFF0010FFFFFF");
  EXPECT_THAT(Rpm(), ElementsAre("512"));
}

TEST_F(J1939ReaderTest, TroubleCodesComeAndGoWithDm1) {
  Hear("18FECA00#40FF5B000301FFFF");
  Hear("18FECA03#04FF6E000005FFFF");
  EXPECT_THAT(DtcEvents(), ElementsAre("+can0 0 SPN 91 FMI 3 1", "+can0 3 SPN 110 FMI 0 5"));
  Hear("18FECA00#00FF00000000FFFF");
  EXPECT_THAT(DtcEvents(), ElementsAre("-can0 0 SPN 91 FMI 3 1"));
}

TEST_F(J1939ReaderTest, ManyTroubleCodesComeByTransport) {
  Hear("18ECFF00#20120003FFCAFE00");
  Hear("18EBFF00#0100FF5B0003015C");
  Hear("18EBFF00#020004025D000503");
  EXPECT_THAT(DtcEvents(), IsEmpty());
  Hear("18EBFF00#035E000604FFFFFF");
  EXPECT_THAT(DtcEvents(), ElementsAre("+can0 0 SPN 91 FMI 3 1", "+can0 0 SPN 92 FMI 4 2", "+can0 0 SPN 93 FMI 5 3",
                                       "+can0 0 SPN 94 FMI 6 4"));
}

TEST_F(J1939ReaderTest, LampsDecideHealth) {
  const auto health = [&](absl::string_view dm1) {
    Hear(dm1);
    std::string text;
    for (const Publication& publication : effects_.publish) {
      if (publication.topic == "rpi/pi-1/diagnostics/health") text = publication.payload;
    }
    effects_.Clear();
    return text;
  };
  EXPECT_EQ(health("18FECA00#00FF00000000FFFF"), "ok");
  EXPECT_EQ(health("18FECA00#04FF00000000FFFF"), "warning");
  EXPECT_EQ(health("18FECA00#10FF00000000FFFF"), "error");
  EXPECT_EQ(health("18FECA00#01FF00000000FFFF"), "warning");
  EXPECT_EQ(health("18FECA00#44FF00000000FFFF"), "error");
}

TEST_F(J1939ReaderTest, ADm1ThatIsNoListChangesNothing) {
  Hear("18FECA00#40FF5B000301FFFF");
  effects_.Clear();
  Hear("18FECA00#00FF0000");
  EXPECT_THAT(DtcEvents(), IsEmpty());
  EXPECT_EQ(reader_.counters().bad_dm1, 1u);
  EXPECT_EQ(dtcs_.active(), 1u);
}

TEST_F(J1939ReaderTest, WithoutTroubleCodesDm1IsNotWanted) {
  J1939Reader reader({.bus = 0, .bus_name = "can0", .choices = {}, .dtcs = false}, signals_, dtcs_);
  for (const absl::string_view text :
       {"18FECA00#40FF5B000301FFFF", "18ECFF00#20120003FFCAFE00", "18EBFF00#0100FF5B0003015C"}) {
    EXPECT_FALSE(reader.Wants(*ParseCanFrameText(text)));
    reader.Hear(*ParseCanFrameText(text), now_, effects_);
  }
  EXPECT_TRUE(effects_.publish.empty());
  EXPECT_EQ(reader.transport().open(), 0u);
}

// The request of J1939-21 (PGN 59904) for DM11 (65235, low byte first) to everybody.
TEST_F(J1939ReaderTest, ClearingAsksEverybodyForDm11) {
  reader_.Clear(77, effects_);
  ASSERT_EQ(effects_.writes.size(), 1u);
  EXPECT_EQ(effects_.writes[0].bus, 3u);
  EXPECT_EQ(effects_.writes[0].token, 77u);
  EXPECT_THAT(effects_.writes[0].frames, ElementsAre(*ParseCanFrameText("18EAFFF9#D3FE00")));
}

}  // namespace
}  // namespace fleet::device
