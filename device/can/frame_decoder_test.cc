#include "device/can/frame_decoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/can/candump.h"

namespace fleet::device {
namespace {

using Values = std::map<std::string, double>;

// All signals of a file, by name.
class Bus {
 public:
  explicit Bus(const std::string& text) : file_(*ParseDbc(text, "bus.dbc")) {
    std::vector<FrameDecoder::Choice> choices;
    for (const DbcMessage& message : file_.messages) {
      for (const DbcSignal& signal : message.signals) {
        choices.push_back(*FrameDecoder::Choose(message, signal, names_.size()));
        names_.push_back(signal.name);
      }
    }
    decoder_.emplace(choices);
  }

  Values Decode(const CanFrame& frame) {
    Values values;
    decoder_->Decode(frame, [&](size_t index, double value) {
      EXPECT_TRUE(values.emplace(names_[index], value).second) << names_[index] << " came twice";
    });
    return values;
  }
  Values Decode(absl::string_view text) { return Decode(*ParseCanFrameText(text)); }

  uint64_t short_frames() const { return decoder_->short_frames(); }

 private:
  DbcFile file_;
  std::vector<std::string> names_;
  std::optional<FrameDecoder> decoder_;
};

std::string ReadFile(absl::string_view path) {
  std::ifstream file(absl::StrCat(FLEET_SOURCE_DIR, "/", path));
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

// Expected values come from a second decoder: tests/vectors/README.md. Returns how many were compared.
int CompareWithCantools(absl::string_view dbc, absl::string_view vectors) {
  Bus bus(ReadFile(dbc));
  int compared = 0;
  const std::string text = ReadFile(vectors);
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    const Values values = bus.Decode(words[0]);
    EXPECT_EQ(values.size(), words.size() - 1) << line;
    for (size_t i = 1; i < words.size(); ++i) {
      const std::pair<std::string, std::string> expected = absl::StrSplit(words[i], '=');
      double value = 0;
      EXPECT_TRUE(absl::SimpleAtod(expected.second, &value)) << words[i];
      const auto got = values.find(expected.first);
      if (got == values.end()) {
        ADD_FAILURE() << "no " << words[i] << " in " << words[0];
      } else if (!std::isnan(value) || !std::isnan(got->second)) {
        EXPECT_DOUBLE_EQ(got->second, value) << words[i] << " in " << words[0];
      }
      ++compared;
    }
  }
  EXPECT_EQ(bus.short_frames(), 0u);
  return compared;
}

TEST(FrameDecoder, AgreesWithCantoolsOnEachKindOfSignalOfACar) {
  EXPECT_GT(CompareWithCantools("examples/can/car.dbc", "tests/vectors/dbc/car.txt"), 200);
}

TEST(FrameDecoder, AgreesWithCantoolsOnJ1939) {
  EXPECT_GT(CompareWithCantools("examples/can/j1939.dbc", "tests/vectors/dbc/j1939.txt"), 100);
}

TEST(FrameDecoder, AgreesWithCantoolsOnSignalsOfAllSizesInAllKindsOfPlaces) {
  EXPECT_GT(CompareWithCantools("tests/vectors/dbc/layouts.dbc", "tests/vectors/dbc/layouts.txt"), 3000);
}

// The definition, bit by bit. Bits are numbered 8 * byte + bit. A little-endian signal begins with its lowest bit and
// goes up; a big-endian one begins with its highest and goes down, and from bit 0 of a byte to bit 7 of the next.
uint64_t SlowBits(const DbcSignal& signal, const CanFrame& frame) {
  uint64_t value = 0;
  size_t at = signal.start_bit;
  for (size_t i = 0; i < signal.size_bits; ++i) {
    const uint64_t bit = frame.data[at / 8] >> (at % 8) & 1;
    if (signal.little_endian) {
      value |= bit << i;
      ++at;
    } else {
      value = value * 2 + bit;
      at = at % 8 == 0 ? at + 15 : at - 1;
    }
  }
  return value;
}

double SlowValue(const DbcSignal& signal, const CanFrame& frame) {
  const uint64_t bits = SlowBits(signal, frame);
  const bool negative = signal.is_signed && (bits >> (signal.size_bits - 1) & 1) != 0;
  const double magnitude =
      static_cast<double>(negative ? (signal.size_bits == 64 ? 0 : uint64_t{1} << signal.size_bits) - bits : bits);
  return (negative ? -magnitude : magnitude) * signal.factor + signal.offset;
}

TEST(FrameDecoder, AgreesWithTheDefinitionBitByBit) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    DbcMessage message;
    message.id = 0x123;
    message.size = round % 2 == 0 ? 8 : 64;
    DbcSignal signal;
    signal.name = "Any";
    signal.size_bits = static_cast<uint8_t>(1 + random() % 64);
    signal.little_endian = random() % 2 == 0;
    signal.is_signed = random() % 2 == 0;
    const size_t place = random() % (message.size * 8u - signal.size_bits + 1);
    signal.start_bit = static_cast<uint16_t>(signal.little_endian ? place : place / 8 * 8 + 7 - place % 8);
    signal.factor = 0.25;
    signal.offset = -3;
    message.signals = {signal};
    FrameDecoder decoder({*FrameDecoder::Choose(message, message.signals[0], 5)});
    CanFrame frame;
    frame.id = 0x123;
    frame.size = static_cast<uint8_t>(message.size);
    for (uint8_t& byte : frame.data) byte = static_cast<uint8_t>(random());
    int visits = 0;
    decoder.Decode(frame, [&](size_t index, double value) {
      ++visits;
      EXPECT_EQ(index, 5u);
      ASSERT_DOUBLE_EQ(value, SlowValue(signal, frame)) << absl::StrCat(
          signal.start_bit, "|", signal.size_bits, "@", signal.little_endian, " signed ", signal.is_signed);
    });
    ASSERT_EQ(visits, 1);
  }
}

// The example of cantools' README (candump vcan0 | cantools decode motohawk.dbc): big-endian, signed, across bytes.
TEST(FrameDecoder, DecodesThePublishedMotohawkFrame) {
  Bus bus(R"(BO_ 496 ExampleMessage: 8 PCM1
 SG_ Temperature : 0|12@0- (0.01,250) [229.52|270.47] "degK" PCM1
 SG_ AverageRadius : 6|6@0+ (0.1,0) [0|5] "m" PCM1
 SG_ Enable : 7|1@0+ (1,0) [0|0] "-" PCM1
)");
  const Values values = bus.Decode("1F0#804A0F0000000000");
  EXPECT_EQ(values.at("Enable"), 1);
  EXPECT_EQ(values.at("AverageRadius"), 0);
  EXPECT_NEAR(values.at("Temperature"), 255.92, 1e-9);
}

// cantools' tests/test_database.py, test_floating_point: the values and their bytes.
TEST(FrameDecoder, DecodesPublishedFloats) {
  Bus bus(R"(BO_ 1024 Message1: 8 TestNode
 SG_ Double : 0|64@1- (1,0) [0|0] "" Vector__XXX
BO_ 1025 Message2: 8 TestNode
 SG_ Second : 32|32@1- (1,0) [0|0] "" Vector__XXX
 SG_ First : 0|32@1- (1,0) [0|0] "" Vector__XXX
SIG_VALTYPE_ 1024 Double : 2;
SIG_VALTYPE_ 1025 First : 1;
SIG_VALTYPE_ 1025 Second : 1;
)");
  EXPECT_EQ(bus.Decode("400#75931804562E60C0"), (Values{{"Double", -129.448}}));
  EXPECT_EQ(bus.Decode("401#0080014324B29649"), (Values{{"First", 129.5}, {"Second", 1234500.5}}));
}

// Thomson MEC 310, option J (PM077, page 9) explains this frame: 0x15E0 * 0.125 = 700 rpm. Its 7D is a torque of 0 %.
TEST(FrameDecoder, DecodesThePublishedEngineSpeedOfAGenset) {
  Bus bus(ReadFile("examples/can/j1939.dbc"));
  const Values values = bus.Decode("0CF00400#FF7D7DE015FFF0FF");
  EXPECT_EQ(values.at("EngineSpeed"), 700);
  EXPECT_EQ(values.at("ActualEngineTorque"), 0);
}

constexpr char kBraking[] = R"(BO_ 100 Braking: 8 Brakes
 SG_ Pressure : 8|16@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Pedal : 0|8@1+ (1,0) [0|0] "" Vector__XXX
)";

TEST(FrameDecoder, AShortFrameHasTheSignalsThatFitAndIsCountedOnce) {
  Bus bus(kBraking);
  EXPECT_EQ(bus.Decode("064#0701"), (Values{{"Pedal", 7}}));
  EXPECT_EQ(bus.short_frames(), 1u);
  EXPECT_EQ(bus.Decode("064#"), Values());
  EXPECT_EQ(bus.short_frames(), 2u);
  EXPECT_EQ(bus.Decode("064#070102").size(), 2u);
  EXPECT_EQ(bus.short_frames(), 2u);
}

TEST(FrameDecoder, WhatStandsBehindTheDataDoesNotCount) {
  Bus bus(kBraking);
  CanFrame frame = *ParseCanFrameText("064#070102");
  std::fill(frame.data.begin() + 3, frame.data.end(), uint8_t{0xFF});
  EXPECT_EQ(bus.Decode(frame), (Values{{"Pedal", 7}, {"Pressure", 0x201}}));
}

TEST(FrameDecoder, OtherIdsRemoteRequestsAndErrorFramesCarryNothing) {
  Bus bus(kBraking);
  EXPECT_EQ(bus.Decode("065#0701020304050607"), Values());
  EXPECT_EQ(bus.Decode("00000064#0701020304050607"), Values()) << "extended";
  EXPECT_EQ(bus.Decode("064#R8"), Values());
  CanFrame error = *ParseCanFrameText("064#0701020304050607");
  error.flags = kCanError;
  EXPECT_EQ(bus.Decode(error), Values());
  EXPECT_EQ(bus.short_frames(), 0u);
}

TEST(FrameDecoder, ASignalMayBeChosenTwice) {
  const DbcFile file = *ParseDbc(kBraking, "a.dbc");
  const DbcMessage& message = file.messages[0];
  FrameDecoder decoder({*FrameDecoder::Choose(message, *message.Find("Pedal"), 3),
                        *FrameDecoder::Choose(message, *message.Find("Pedal"), 4)});
  std::map<size_t, double> values;
  decoder.Decode(*ParseCanFrameText("064#09"), [&](size_t index, double value) { values[index] = value; });
  EXPECT_EQ(values, (std::map<size_t, double>{{3, 9}, {4, 9}}));
}

TEST(FrameDecoder, OnlySignalsOfTheMultiplexersValueAreThere) {
  Bus bus(R"(BO_ 100 Cells: 8 Battery
 SG_ Group M : 0|4@1- (2,1) [0|0] "" Vector__XXX
 SG_ Temp : 4|4@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Cell1 m0 : 8|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Cell2 m9 : 8|8@1+ (1,0) [0|0] "" Vector__XXX
)");
  EXPECT_EQ(bus.Decode("064#A005"), (Values{{"Group", 1}, {"Temp", 10}, {"Cell1", 5}}));
  EXPECT_EQ(bus.Decode("064#A905"), (Values{{"Group", -13}, {"Temp", 10}, {"Cell2", 5}})) << "by the bits, unscaled";
  EXPECT_EQ(bus.Decode("064#A205"), (Values{{"Group", 5}, {"Temp", 10}}));
  EXPECT_EQ(bus.Decode("064#A0"), (Values{{"Group", 1}, {"Temp", 10}}));
  EXPECT_EQ(bus.short_frames(), 1u);
}

constexpr char kTwoSteps[] = R"(BO_ 100 Service: 8 Body
 SG_ Kind M : 0|4@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Part m1M : 4|4@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Front m0 : 8|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Rear m0 : 8|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Often m0 : 16|8@1+ (1,0) [0|0] "" Vector__XXX
SG_MUL_VAL_ 100 Part Kind 1-1;
SG_MUL_VAL_ 100 Front Part 0-3;
SG_MUL_VAL_ 100 Rear Part 4-7, 9-9;
SG_MUL_VAL_ 100 Often Kind 0-1, 1-2, 9-12;
)";

TEST(FrameDecoder, MultiplexersMayBeMultiplexedAndHaveRanges) {
  Bus bus(kTwoSteps);
  EXPECT_EQ(bus.Decode("064#310506"), (Values{{"Kind", 1}, {"Part", 3}, {"Front", 5}, {"Often", 6}}));
  EXPECT_EQ(bus.Decode("064#410506"), (Values{{"Kind", 1}, {"Part", 4}, {"Rear", 5}, {"Often", 6}}));
  EXPECT_EQ(bus.Decode("064#910506"), (Values{{"Kind", 1}, {"Part", 9}, {"Rear", 5}, {"Often", 6}}));
  EXPECT_EQ(bus.Decode("064#810506"), (Values{{"Kind", 1}, {"Part", 8}, {"Often", 6}}));
  EXPECT_EQ(bus.Decode("064#320506"), (Values{{"Kind", 2}, {"Often", 6}}));
  EXPECT_EQ(bus.Decode("064#3C0506"), (Values{{"Kind", 12}, {"Often", 6}}));
  EXPECT_EQ(bus.Decode("064#3D0506"), (Values{{"Kind", 13}}));
}

TEST(FrameDecoder, AMultiplexedSignalNeedsNotThatItsMultiplexersAreChosen) {
  const DbcFile file = *ParseDbc(kTwoSteps, "a.dbc");
  FrameDecoder decoder({*FrameDecoder::Choose(file.messages[0], *file.messages[0].Find("Rear"), 8)});
  std::map<size_t, double> values;
  const auto visit = [&](size_t index, double value) { values[index] = value; };
  decoder.Decode(*ParseCanFrameText("064#310506"), visit);
  decoder.Decode(*ParseCanFrameText("064#420506"), visit);
  EXPECT_TRUE(values.empty());
  decoder.Decode(*ParseCanFrameText("064#410506"), visit);
  EXPECT_EQ(values, (std::map<size_t, double>{{8, 5}}));
}

// One message of a J1939 file. PGN 61184 (EF00) has a destination, 61444 (F004) has none.
std::string J1939Message(uint32_t id, int size = 8) {
  return absl::StrCat("BO_ ", id | 0x80000000, " Any: ", size,
                      R"( Vector__XXX
 SG_ Speed : 24|16@1+ (0.125,0) [0|0] "" Vector__XXX
 SG_ Gear : 0|8@1+ (1,-125) [0|0] "" Vector__XXX
 SG_ Switch : 8|2@1+ (1,0) [0|0] "" Vector__XXX
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
)");
}

TEST(FrameDecoder, OfJ1939ThePgnCounts) {
  Bus bus(J1939Message(0x0CF004FE));
  for (const char* id : {"0CF00400", "0CF004FE", "18F00403", "00F00427"}) {
    EXPECT_EQ(bus.Decode(absl::StrCat(id, "#7E0000E0150000FF")), (Values{{"Gear", 1}, {"Speed", 700}, {"Switch", 0}}))
        << id;
  }
  EXPECT_EQ(bus.Decode("0DF00400#7E0000E0150000FF"), Values()) << "data page 1";
  EXPECT_EQ(bus.Decode("0EF00400#7E0000E0150000FF"), Values()) << "extended data page";
  EXPECT_EQ(bus.Decode("0CF00500#7E0000E0150000FF"), Values());
  EXPECT_EQ(bus.Decode("004#7E0000E0150000FF"), Values());
}

TEST(FrameDecoder, OfJ1939TheSourceCountsIfTheFileNamesOne) {
  Bus bus(J1939Message(0x0CF00403));
  EXPECT_EQ(bus.Decode("18F00403#7E0000E0150000FF").size(), 3u);
  EXPECT_EQ(bus.Decode("0CF00400#7E0000E0150000FF").size(), 0u);
}

TEST(FrameDecoder, OfJ1939TheDestinationDoesNotCount) {
  Bus bus(J1939Message(0x18EFFFFE));
  EXPECT_EQ(bus.Decode("18EFFF03#7E0000E0150000FF").size(), 3u);
  EXPECT_EQ(bus.Decode("18EF2103#7E0000E0150000FF").size(), 3u);
  EXPECT_EQ(bus.Decode("18EE2103#7E0000E0150000FF").size(), 0u);
}

TEST(FrameDecoder, OfJ1939ErrorAndNotAvailableAreNoNumbers) {
  Bus bus(J1939Message(0x0CF004FE));
  Values values = bus.Decode("0CF00400#FF0300FFFF0000FF");
  EXPECT_TRUE(std::isnan(values.at("Gear")));
  EXPECT_TRUE(std::isnan(values.at("Speed")));
  EXPECT_EQ(values.at("Switch"), 3) << "has words in the file for it";
  values = bus.Decode("0CF00400#FE030000FE0000FF");
  EXPECT_TRUE(std::isnan(values.at("Gear")));
  EXPECT_TRUE(std::isnan(values.at("Speed")));
  values = bus.Decode("0CF00400#FB0300FFFD0000FF");
  EXPECT_EQ(values.at("Gear"), 126) << "the parking position";
  EXPECT_EQ(values.at("Speed"), 0xFDFF * 0.125);
}

TEST(FrameDecoder, WithoutTheMarkOfJ1939AnExtendedIdCountsWhole) {
  Bus bus("BO_ 2364540158 Any: 8 X\n SG_ Gear : 0|8@1+ (1,-125) [0|0] \"\" X\n");
  EXPECT_EQ(bus.Decode("0CF004FE#FF"), (Values{{"Gear", 130}}));
  EXPECT_EQ(bus.Decode("0CF00400#FF"), Values());
}

TEST(FrameDecoder, RefusesWhatComesInSeveralFrames) {
  const DbcFile transported = *ParseDbc(J1939Message(0x18FECAFE, 14), "a.dbc");
  EXPECT_EQ(FrameDecoder::Choose(transported.messages[0], transported.messages[0].signals[0], 0).status().message(),
            "message Any has 14 bytes, so it comes in several frames; only single ones are decoded");
  const DbcFile large = *ParseDbc("BO_ 1 Any: 65 X\n SG_ Last : 512|8@1+ (1,0) [0|0] \"\" X\n", "a.dbc");
  EXPECT_FALSE(FrameDecoder::Choose(large.messages[0], large.messages[0].signals[0], 0).ok());
}

}  // namespace
}  // namespace fleet::device
