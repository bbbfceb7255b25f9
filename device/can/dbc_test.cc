#include "device/can/dbc.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fleet::device {
namespace {

DbcFile Good(absl::string_view text) {
  absl::StatusOr<DbcFile> file = ParseDbc(text, "truck.dbc");
  EXPECT_TRUE(file.ok()) << file.status();
  return file.value_or(DbcFile());
}

std::string Error(absl::string_view text) {
  const absl::Status status = ParseDbc(text, "truck.dbc").status();
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

// A file with one message of 8 bytes and this signal.
std::string WithSignal(absl::string_view signal) {
  return absl::StrCat("BO_ 100 EEC1: 8 Engine\n SG_ ", signal, "\n");
}

DbcSignal Signal(absl::string_view signal) {
  const DbcFile file = Good(WithSignal(signal));
  return file.messages.empty() ? DbcSignal() : file.messages[0].signals[0];
}

constexpr char kSpeed[] = "EngineSpeed : 24|16@1+ (0.125,-2) [0|8031.875] \"rpm\" Dashboard,Logger";

TEST(Dbc, AMessageHasWhatTheFileSays) {
  const DbcFile file = Good(absl::StrCat("VERSION \"1\"\nBS_:\nBU_: Engine Dashboard\n", WithSignal(kSpeed),
                                         "CM_ BO_ 100 \"Engine data\";\nCM_ SG_ 100 EngineSpeed \"SPN 190\";\n",
                                         "VAL_ 100 EngineSpeed 0 \"stands\" 65535 \"unknown\" ;\n"));
  ASSERT_EQ(file.messages.size(), 1u);
  const DbcMessage& message = file.messages[0];
  EXPECT_EQ(message.name, "EEC1");
  EXPECT_EQ(message.id, 100u);
  EXPECT_FALSE(message.extended);
  EXPECT_EQ(message.size, 8);
  EXPECT_EQ(message.comment, "Engine data");
  ASSERT_EQ(message.signals.size(), 1u);
  const DbcSignal& signal = message.signals[0];
  EXPECT_EQ(signal.name, "EngineSpeed");
  EXPECT_EQ(signal.start_bit, 24);
  EXPECT_EQ(signal.size_bits, 16);
  EXPECT_TRUE(signal.little_endian);
  EXPECT_FALSE(signal.is_signed);
  EXPECT_EQ(signal.kind, DbcSignal::Kind::kInteger);
  EXPECT_EQ(signal.factor, 0.125);
  EXPECT_EQ(signal.offset, -2);
  EXPECT_EQ(signal.unit, "rpm");
  EXPECT_EQ(signal.comment, "SPN 190");
  EXPECT_FALSE(signal.mux);
  ASSERT_EQ(signal.labels.size(), 2u);
  EXPECT_EQ(signal.labels[0].value, -2) << "as decoded";
  EXPECT_EQ(signal.labels[1].value, 65535 * 0.125 - 2);
  EXPECT_EQ(signal.labels[1].word, "unknown");
}

TEST(Dbc, FindsByName) {
  const DbcFile file = Good(WithSignal(kSpeed));
  ASSERT_NE(file.Find("EEC1"), nullptr);
  EXPECT_EQ(file.Find("EEC2"), nullptr);
  EXPECT_NE(file.Find("EEC1")->Find("EngineSpeed"), nullptr);
  EXPECT_EQ(file.Find("EEC1")->Find("engineSpeed"), nullptr);
}

TEST(Dbc, MotorolaStartBitIsTheMsb) {
  EXPECT_EQ(Signal("A : 7|64@0+ (1,0) [0|0] \"\" X").start_bit, 7);
  EXPECT_EQ(Signal("A : 55|16@0+ (1,0) [0|0] \"\" X").start_bit, 55);
  EXPECT_EQ(Signal("A : 56|1@0+ (1,0) [0|0] \"\" X").start_bit, 56);
  EXPECT_EQ(Error(WithSignal("A : 56|2@0+ (1,0) [0|0] \"\" X")), "truck.dbc:2: signal A is longer than its message");
  EXPECT_EQ(Error(WithSignal("A : 54|16@0+ (1,0) [0|0] \"\" X")), "truck.dbc:2: signal A is longer than its message");
}

TEST(Dbc, IntelStartBitIsTheLsb) {
  EXPECT_EQ(Signal("A : 0|64@1- (1,0) [0|0] \"\" X").size_bits, 64);
  EXPECT_EQ(Signal("A : 63|1@1- (1,0) [0|0] \"\" X").start_bit, 63);
  EXPECT_EQ(Error(WithSignal("A : 63|2@1- (1,0) [0|0] \"\" X")), "truck.dbc:2: signal A is longer than its message");
}

TEST(Dbc, NumbersAreAsProgramsWriteThem) {
  const DbcSignal signal = Signal("A : 0|8@1- (1E-005,-.5) [-1.7976931348623157E+308|+2.] \"\" X");
  EXPECT_EQ(signal.factor, 1e-5);
  EXPECT_EQ(signal.offset, -0.5);
  EXPECT_TRUE(signal.is_signed);
}

TEST(Dbc, LayoutIsFree) {
  for (const char* text : {
           "BO_ 100 EEC1:8 Engine\nSG_ A:0|8@1+(1,0)[0|0]\"rpm\"X",
           "BO_\t100\tEEC1 : 8\tEngine\r\n\tSG_ A : 0|8@1+ (1 , 0) [0 | 0]\t\"rpm\"  X , Y\r\n",
           "\xEF\xBB\xBF"
           "BO_ 100 EEC1: 8\n SG_ A : 0|8@1+ (1,0) [0|0] \"rpm\"\n",
           "// made by hand\nBO_ 100 EEC1: 8 Engine // 10 ms\n\n SG_ A : 0|8@1+ (1,0) [0|0] \"rpm\" X Y",
       }) {
    const DbcFile file = Good(text);
    ASSERT_EQ(file.messages.size(), 1u) << text;
    EXPECT_EQ(file.messages[0].signals[0].unit, "rpm") << text;
  }
}

TEST(Dbc, TextIsUtf8WhateverTheFileHas) {
  EXPECT_EQ(Signal("A : 0|8@1+ (1,0) [0|0] \"\xB0"
                   "C\" X")
                .unit,
            "°C")
      << "Latin-1";
  EXPECT_EQ(Signal("A : 0|8@1+ (1,0) [0|0] \"\xC2\xB0"
                   "C\" X")
                .unit,
            "°C")
      << "UTF-8";
  EXPECT_EQ(Signal("A : 0|8@1+ (1,0) [0|0] \"\x80/h\" X").unit, "€/h") << "Windows-1252";
  EXPECT_EQ(Signal("A : 0|8@1+ (1,0) [0|0] \"\xED\xA0\x80\" X").unit, "í\xC2\xA0€") << "half a character is none";
}

TEST(Dbc, StringsHaveLinesAndQuotationMarks) {
  const std::string text = WithSignal(kSpeed) + "CM_ BO_ 100 \"two\nlines of \\\"text\\\"\";\nFOO_ 1;\n";
  EXPECT_EQ(Error(text), "truck.dbc:5: no statement begins with FOO_") << "lines in strings count";
  EXPECT_EQ(Good(absl::StrReplaceAll(text, {{"FOO_ 1;\n", ""}})).messages[0].comment, "two\nlines of \"text\"");
}

TEST(Dbc, TheBitThatSaysExtendedIsNoPartOfTheId) {
  const DbcMessage eec1 = Good("BO_ 2364540158 EEC1: 8 X\n").messages[0];
  EXPECT_TRUE(eec1.extended);
  EXPECT_EQ(eec1.id, 0x0CF004FEu);
  EXPECT_TRUE(Good("BO_ 2147483649 A: 8 X\n").messages[0].extended) << "id 1";
  EXPECT_EQ(Good("BO_ 2147483649 A: 8 X\nBO_ 1 B: 8 X\n").messages.size(), 2u);
}

TEST(Dbc, AnIdOfMoreThan11BitsIsExtendedWithoutTheBitToo) {
  const DbcMessage message = Good("BO_ 217056510 EEC1: 8 X\nCM_ BO_ 217056510 \"c\";\n").messages[0];
  EXPECT_TRUE(message.extended);
  EXPECT_EQ(message.id, 0x0CF004FEu);
  EXPECT_EQ(message.comment, "c");
}

TEST(Dbc, SignalsOfNoMessageAreNotThere) {
  for (const char* id : {"3221225472", "1073741824"}) {
    const DbcFile file = Good(absl::StrCat("BO_ ", id, " VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX\n",
                                           " SG_ Lost : 0|8@1+ (1,0) [0|0] \"\" Vector__XXX\n", WithSignal(kSpeed),
                                           "VAL_ ", id, " Lost 0 \"zero\";\n"));
    ASSERT_EQ(file.messages.size(), 1u) << id;
    EXPECT_EQ(file.messages[0].name, "EEC1");
  }
}

TEST(Dbc, FloatsAreMarkedAfterwards) {
  const std::string text = WithSignal("A : 0|32@1- (1,0) [0|0] \"\" X\n SG_ B : 0|64@1- (1,0) [0|0] \"\" X");
  const DbcMessage message =
      Good(text + "SIG_VALTYPE_ 100 A : 1;\nSIG_VALTYPE_ 100 B 2;\nSIG_VALTYPE_ 100 A 1;\n").messages[0];
  EXPECT_EQ(message.signals[0].kind, DbcSignal::Kind::kFloat32);
  EXPECT_EQ(message.signals[1].kind, DbcSignal::Kind::kFloat64);
  EXPECT_EQ(Error(text + "SIG_VALTYPE_ 100 A : 2;\n"), "truck.dbc:4: signal A has 32 bits, not 64 as its value type");
  EXPECT_EQ(Error(text + "SIG_VALTYPE_ 100 A : 3;\n"),
            "truck.dbc:4: signal A has value type 3, not 0 (integer), 1 (32-bit float) or 2 (64-bit float)");
}

constexpr char kMultiplexed[] =
    "BO_ 100 Cells: 8 X\n"
    " SG_ Cell1 m0 : 8|8@1+ (1,0) [0|0] \"\" X\n"
    " SG_ Group M : 0|8@1+ (1,0) [0|0] \"\" X\n"
    " SG_ Part m1M : 8|8@1+ (1,0) [0|0] \"\" X\n"
    " SG_ Cell2 m20 : 16|8@1+ (1,0) [0|0] \"\" X\n";

TEST(Dbc, TheOnlyMultiplexerIsMeant) {
  const std::string text = absl::StrReplaceAll(kMultiplexed, {{"m1M", "m1"}});
  const DbcMessage message = Good(text).messages[0];
  EXPECT_FALSE(message.signals[1].mux);
  for (const size_t i : {size_t{0}, size_t{2}, size_t{3}}) EXPECT_EQ(message.signals[i].mux->multiplexer, 1u);
  EXPECT_EQ(message.signals[3].mux->ranges, (std::vector<DbcMux::Range>{{20, 20}}));
}

TEST(Dbc, RangesAreInOrderAndApart) {
  const DbcMessage message = Good(absl::StrCat(kMultiplexed,
                                               "SG_MUL_VAL_ 100 Cell1 Group 9-12, 0-3,4-4;\n"
                                               "SG_MUL_VAL_ 100 Part Group 1-1;\n"
                                               "SG_MUL_VAL_ 100 Cell2 Part 7-7;\n"
                                               "SG_MUL_VAL_ 100 Cell2 Part 2-5, 3-4;\n"))
                                 .messages[0];
  EXPECT_EQ(message.signals[0].mux->ranges, (std::vector<DbcMux::Range>{{0, 4}, {9, 12}}));
  EXPECT_EQ(message.signals[3].mux->multiplexer, 2u);
  EXPECT_EQ(message.signals[3].mux->ranges, (std::vector<DbcMux::Range>{{2, 5}, {7, 7}}));
}

TEST(Dbc, SaysWhichMultiplexerIsInDoubt) {
  EXPECT_EQ(Error(kMultiplexed),
            "truck.dbc:2: signal Cell1 is multiplexed, but its message has several multiplexers, "
            "and no SG_MUL_VAL_ says by which");
  EXPECT_EQ(Error(absl::StrReplaceAll(kMultiplexed, {{" M ", " "}, {"m1M", "m1"}})),
            "truck.dbc:2: signal Cell1 is multiplexed, but no signal of its message is a multiplexer, M");
  const std::string resolved =
      absl::StrCat(kMultiplexed, "SG_MUL_VAL_ 100 Part Group 1-1;\nSG_MUL_VAL_ 100 Cell1 Group 0-0;\n");
  EXPECT_EQ(Error(resolved + "SG_MUL_VAL_ 100 Cell2 Cell1 1-1;\n"),
            "truck.dbc:2: signal Cell1 is used as a multiplexer, but its SG_ has no M");
  EXPECT_EQ(Error(resolved + "SG_MUL_VAL_ 100 Cell2 Part 5-4;\n"), "truck.dbc:8: a range from 5 to 4");
  EXPECT_EQ(Error(resolved + "SG_MUL_VAL_ 100 Part Part 5-5;\n"), "truck.dbc:8: signal Part has two multiplexers");
  EXPECT_EQ(Error(resolved + "SG_MUL_VAL_ 100 Cell2 Cell3 1-1;\n"),
            "truck.dbc:8: SG_MUL_VAL_ for a signal that does not exist: Cells has no Cell3");
}

TEST(Dbc, MultiplexersDoNotGoRoundInACircle) {
  EXPECT_EQ(Error(absl::StrCat(kMultiplexed,
                               "SG_MUL_VAL_ 100 Part Group 1-1;\nSG_MUL_VAL_ 100 Group Part 1-1;\n"
                               "SG_MUL_VAL_ 100 Cell1 Group 0-0;\nSG_MUL_VAL_ 100 Cell2 Group 0-0;\n")),
            "truck.dbc:2: signal Cell1 is below over 8 multiplexers, or they go round in a circle");
}

TEST(Dbc, AMultiplexerIsAnInteger) {
  EXPECT_EQ(Error("BO_ 1 A: 8 X\n SG_ M M : 0|32@1- (1,0) [0|0] \"\" X\n SG_ S m0 : 32|8@1- (1,0) [0|0] \"\" X\n"
                  "SIG_VALTYPE_ 1 M : 1;\n"),
            "truck.dbc:2: signal M is a multiplexer and a float");
}

TEST(Dbc, CycleTimesHaveADefault) {
  const DbcFile file = Good(
      "BO_ 1 A: 8 X\nBO_ 2 B: 8 X\nBO_ 3 C: 8 X\nBA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 65535;\n"
      "BA_DEF_DEF_ \"GenMsgCycleTime\" 100;\nBA_ \"GenMsgCycleTime\" BO_ 1 20;\nBA_ \"GenMsgCycleTime\" BO_ 3 0;\n");
  EXPECT_EQ(file.messages[0].cycle_time, absl::Milliseconds(20));
  EXPECT_EQ(file.messages[1].cycle_time, absl::Milliseconds(100));
  EXPECT_FALSE(file.messages[2].cycle_time);
}

// The ways in which the DBC files of cantools' tests say it.
TEST(Dbc, J1939IsSaidInManyWays) {
  const std::string message = "BO_ 2364540158 EEC1: 8 X\nBO_ 1 A: 8 X\n";
  const std::string words =
      "BA_DEF_ BO_  \"VFrameFormat\" ENUM  \"StandardCAN\",\"ExtendedCAN\",\"reserved\",\"J1939PG\";\n";
  const auto is_j1939 = [&](absl::string_view text) { return Good(message + std::string(text)).messages[0].j1939; };
  EXPECT_FALSE(is_j1939(""));
  EXPECT_TRUE(is_j1939(words + "BA_DEF_DEF_  \"VFrameFormat\" \"J1939PG\";\n"));
  EXPECT_TRUE(is_j1939(words + "BA_ \"VFrameFormat\" BO_ 2364540158 3;\n"));
  EXPECT_TRUE(is_j1939("BA_DEF_ BO_  \"VFrameFormat\" INT 0 3;\nBA_DEF_DEF_  \"VFrameFormat\" 3;\n"));
  EXPECT_FALSE(
      is_j1939("BA_DEF_ BO_ \"VFrameFormat\" ENUM \"J1939PG\",\"ExtendedCAN\";\n"
               "BA_ \"VFrameFormat\" BO_ 2364540158 1;\n"));
  EXPECT_FALSE(is_j1939(words + "BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\nBA_ \"VFrameFormat\" BO_ 2364540158 1;\n"));
  EXPECT_FALSE(Good(message + "BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\n").messages[1].j1939) << "11 bits";
}

TEST(Dbc, WhatIsNotNeededIsReadByItsGrammar) {
  const DbcFile file = Good(absl::StrCat(
      "NS_ :\n\tNS_DESC_\n\tCM_\n\tBA_\n\tFILTER\n\tSG_MUL_VAL_\n\nBS_: 500000 : 1, 2\n\nBU_: Engine\n Gearbox\n"
      "VAL_TABLE_ OnOff 1 \"On; or so\" 0 \"Off\" ;\n",
      WithSignal(kSpeed),
      "BO_TX_BU_ 100 : Engine,Gearbox;\n"
      "EV_ Env1: 0 [0|0] \"\" 0 2 DUMMY_NODE_VECTOR0 Vector__XXX;\nENVVAR_DATA_ Env1: 5;\n"
      "SIG_GROUP_ 100 Group 1 : EngineSpeed;\nSGTYPE_ T : 8@1+ (1,0) [0|0] \"\" 0, OnOff;\n"
      "CM_ \"of the file\";\nCM_ BU_ Engine \"of a node\";\nCM_ EV_ Env1 \"of a variable\";\n"
      "BA_DEF_ \"BusType\" STRING ;\nBA_DEF_ SG_ \"GenSigSendType\" ENUM \"Cyclic\",\"OnChange\";\n"
      "BA_DEF_REL_ BU_SG_REL_ \"Timeout\" INT 0 10;\nBA_DEF_DEF_ \"BusType\" \"CAN\";\n"
      "BA_DEF_DEF_REL_ \"Timeout\" 0;\nBA_ \"BusType\" \"CAN FD\";\nBA_ \"GenSigSendType\" SG_ 100 EngineSpeed 1;\n"
      "BA_REL_ \"Timeout\" BU_SG_REL_ Engine SG_ 100 EngineSpeed 5;\nVAL_ Env1 0 \"a\" 1 \"b\" ;\n"));
  ASSERT_EQ(file.messages.size(), 1u);
  EXPECT_EQ(file.messages[0].signals.size(), 1u);
}

TEST(Dbc, CommentsOnWhatIsNoLongerThereAreNoError) {
  EXPECT_EQ(Good(WithSignal(kSpeed) + "CM_ BO_ 7 \"gone\";\nCM_ SG_ 7 A \"gone\";\nCM_ SG_ 100 A \"gone\";\n")
                .messages.size(),
            1u);
}

TEST(Dbc, AnEmptyFileHasNoMessages) {
  EXPECT_TRUE(Good("").messages.empty());
  EXPECT_TRUE(Good(" \r\n// nothing").messages.empty());
}

struct Bad {
  std::string text;
  std::string error;  // behind "truck.dbc:"
};

void PrintTo(const Bad& bad, std::ostream* out) {
  *out << bad.text;
}

class BadDbc : public testing::TestWithParam<Bad> {};

TEST_P(BadDbc, IsRefusedWithItsLineAndWhatIsWrong) {
  EXPECT_EQ(Error(GetParam().text), absl::StrCat("truck.dbc:", GetParam().error));
}

INSTANTIATE_TEST_SUITE_P(
    Messages, BadDbc,
    testing::Values(Bad{"\nFOO_ 1;", "2: no statement begins with FOO_"}, Bad{"{}", "1: a keyword is expected, not {"},
                    Bad{std::string("\0", 1), "1: a keyword is expected, not \\x00"},
                    Bad{"BO_ EEC1: 8 X", "1: a message id is expected, not EEC1"},
                    Bad{"BO_ 12x EEC1: 8 X", "1: a message id is expected, not 12x"},
                    Bad{"BO_ 100 EEC1\n\n", "1: the file ends where ':' should be"},
                    Bad{"BO_ 100 EEC1 8 X", "1: ':' is expected, not 8"},
                    Bad{"BO_ 100 EEC1:\nBO_", "1: a size in bytes is missing at the end of the line"},
                    Bad{"BO_ 100 EEC1: 1786 X", "1: message EEC1 has 1786 bytes, over 1785"},
                    Bad{"BO_ 3000000000 A: 8 X", "1: message A has an id of more than 29 bits: 3000000000"},
                    Bad{"BO_ 99999999999999999999 A: 8 X", "1: 99999999999999999999 is too large for a message id"},
                    Bad{"BO_ 1 A: 8 X\nBO_ 1 B: 8 X", "2: message B has the id of A"},
                    Bad{"BO_ 2147483748 A: 8 X\nBO_ 2147483748 B: 8 X", "2: message B has the id of A"},
                    Bad{"BO_ 1 A: 8 X\nBO_ 2 A: 8 X", "2: message A is there already"}));

INSTANTIATE_TEST_SUITE_P(
    Signals, BadDbc,
    testing::Values(Bad{" SG_ A : 0|8@1+ (1,0) [0|0] \"\" X", "1: SG_ that belongs to no BO_"},
                    Bad{"BO_ 1 A: 8 X\nBS_:\n SG_ A : 0|8@1+ (1,0) [0|0] \"\" X", "3: SG_ that belongs to no BO_"},
                    Bad{WithSignal("A : 0|0@1+ (1,0) [0|0] \"\" X"), "2: signal A has 0 bits, not 1 to 64"},
                    Bad{WithSignal("A : 0|65@1+ (1,0) [0|0] \"\" X"), "2: signal A has 65 bits, not 1 to 64"},
                    Bad{WithSignal("A : 64|1@1+ (1,0) [0|0] \"\" X"), "2: signal A is longer than its message"},
                    Bad{WithSignal("A : 18446744073709551615|2@1+ (1,0) [0|0] \"\" X"),
                        "2: signal A is longer than its message"},
                    Bad{WithSignal("A : 0|8@2+ (1,0) [0|0] \"\" X"),
                        "2: signal A has byte order 2, not 0 (big-endian) or 1 (little-endian)"},
                    Bad{WithSignal("A : 0|8@1 (1,0) [0|0] \"\" X"), "2: '+' is expected, not ("},
                    Bad{WithSignal("A : 0|8@1+ (1.5.2,0) [0|0] \"\" X"), "2: a factor is expected, not 1.5.2"},
                    Bad{WithSignal("A : 0|8@1+ (1,1e999) [0|0] \"\" X"), "2: 1e999 is too large for an offset"},
                    Bad{WithSignal("A : 0|8@1+ (1,0x10) [0|0] \"\" X"), "2: an offset is expected, not 0x10"},
                    Bad{WithSignal("A : 0|8@1+ (1,nan) [0|0] \"\" X"), "2: an offset is expected, not nan"},
                    Bad{WithSignal("A : 0|8@1+ (1;0) [0|0] \"\" X"), "2: ',' is expected, not ;"},
                    Bad{WithSignal("A : 0|8@1+ (1,0) [0|0] rpm X"), "2: a unit is expected, not rpm"},
                    Bad{WithSignal("A : 0|8@1+ (1,0) [0|0] \"rpm X"), "2: the string that begins here does not end"},
                    Bad{WithSignal("A : 0|8@1+ (1,0) [0|0]"), "2: the file ends where a unit should be"},
                    Bad{WithSignal("A m : 0|8@1+ (1,0) [0|0] \"\" X"),
                        "2: signal A: M, m12 or m12M is expected, with any number, not m"},
                    Bad{WithSignal("A x1 : 0|8@1+ (1,0) [0|0] \"\" X"),
                        "2: signal A: M, m12 or m12M is expected, with any number, not x1"},
                    Bad{WithSignal("A : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ A : 8|8@1+ (1,0) [0|0] \"\" X"),
                        "3: signal A is in its message already"},
                    Bad{WithSignal("A : 0|8@1+ (1,0) [0|0] \"\" X\nFOO_ 1;"), "3: no statement begins with FOO_"}));

INSTANTIATE_TEST_SUITE_P(
    Details, BadDbc,
    testing::Values(Bad{WithSignal(kSpeed) + "VAL_ 100 Speed 0 \"a\";",
                        "3: VAL_ for a signal that does not exist: EEC1 has no Speed"},
                    Bad{WithSignal(kSpeed) + "VAL_ 101 EngineSpeed 0 \"a\";",
                        "3: VAL_ for a message that does not exist: 101"},
                    Bad{WithSignal(kSpeed) + "VAL_ 100 EngineSpeed 0 \"a\"\nCM_ \"x\";",
                        "3: a value or ';' is missing at the end of the line"},
                    Bad{WithSignal(kSpeed) + "VAL_ 100 EngineSpeed 0 1;", "3: a word for the value is expected, not 1"},
                    Bad{WithSignal(kSpeed) + "SIG_VALTYPE_ 100 Speed : 1;",
                        "3: SIG_VALTYPE_ for a signal that does not exist: EEC1 has no Speed"},
                    Bad{"CM_ \"a\nb\" 5;", "2: ';' is expected, not 5"},
                    Bad{"CM_ FOO_ \"a\";", "1: BU_, BO_, SG_ or EV_ is expected, not FOO_"},
                    Bad{"CM_ \"a\n\nb;", "1: the string that begins here does not end"},
                    Bad{"BA_ \"GenMsgCycleTime\" BO_ 1 5;", "1: BA_ for a message that does not exist: 1"},
                    Bad{"BA_DEF_DEF_ \"GenMsgCycleTime\" fast;", "1: a value is expected, not fast"},
                    Bad{"\nSIG_GROUP_ 1 Group 1 : A\nBO_ 1 A: 8 X\n", "2: no ';' at the end of this SIG_GROUP_"},
                    Bad{"BA_DEF_ BU_ \"x\" STRING", "1: no ';' at the end of this BA_DEF_"},
                    Bad{"BS_: 500:1;", "1: ',' is expected, not ;"}));

TEST(Dbc, IsBounded) {
  EXPECT_EQ(Error(std::string(kMaxDbcBytes + 1, '\n')), "truck.dbc has 8388609 bytes, over 8388608");
  std::string text;
  for (size_t i = 0; i <= kMaxDbcMessages; ++i) absl::StrAppend(&text, "BO_ ", 0x80000000 + i, " A", i, ": 8 X\n");
  EXPECT_EQ(Error(text), "truck.dbc:20001: message A20000 is one too many, after 20000");
  text.clear();
  for (size_t i = 0; i <= kMaxDbcSignals; ++i) {
    if (i % 1000 == 0) absl::StrAppend(&text, "BO_ ", i / 1000, " A", i, ": 8 X\n");
    absl::StrAppend(&text, "SG_ A", i, ":0|8@1+(1,0)[0|0]\"\"\n");
  }
  EXPECT_EQ(Error(text), "truck.dbc:100102: signal A100000 is one too many, after 100000");
}

std::string Example(absl::string_view name) {
  std::ifstream file(absl::StrCat(FLEET_SOURCE_DIR, "/examples/can/", name));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Dbc, LoadsTheExamples) {
  const DbcFile car = Good(Example("car.dbc"));
  ASSERT_EQ(car.messages.size(), 10u);
  EXPECT_EQ(car.Find("EngineData")->cycle_time, absl::Milliseconds(10));
  EXPECT_EQ(car.Find("Steering")->cycle_time, absl::Milliseconds(100));
  EXPECT_EQ(car.Find("GearboxState")->Find("ActualGear")->labels[0].word, "reverse");
  EXPECT_EQ(car.Find("GearboxState")->Find("ActualGear")->labels[0].value, -1);
  EXPECT_EQ(car.Find("GnssPosition")->Find("Heading")->kind, DbcSignal::Kind::kFloat32);
  const DbcFile truck = Good(Example("j1939.dbc"));
  ASSERT_EQ(truck.messages.size(), 7u);
  for (const DbcMessage& message : truck.messages) EXPECT_TRUE(message.j1939) << message.name;
}

// What is cut off anywhere is refused, or is a file with less in it; it never crashes.
TEST(Dbc, SurvivesTheEndAnywhere) {
  const std::string text = Example("car.dbc");
  for (size_t size = 0; size < text.size(); size += 7) {
    const auto file = ParseDbc(absl::string_view(text).substr(0, size), "cut.dbc");
    const absl::string_view error = file.status().message();
    EXPECT_TRUE(file.ok() || absl::StartsWith(error, "cut.dbc:")) << error;
  }
}

}  // namespace
}  // namespace fleet::device
