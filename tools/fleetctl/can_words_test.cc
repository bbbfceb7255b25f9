// The words of the verbs for signals, trouble codes and CAN buses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/fleetctl/command_line.h"

namespace fleet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::variant<CommandLine, Finished> Parse(absl::string_view text) {
  return ParseCommandLine(absl::StrSplit(text, ' '), {});
}

template <typename VerbT>
VerbT Good(absl::string_view text) {
  auto parsed = Parse(text);
  if (const auto* finished = std::get_if<Finished>(&parsed)) {
    ADD_FAILURE() << text << ": " << finished->err << finished->out;
    return {};
  }
  const auto* verb = std::get_if<VerbT>(&std::get<CommandLine>(parsed).verb);
  EXPECT_NE(verb, nullptr) << text;
  return verb == nullptr ? VerbT() : *verb;
}

std::string Mistake(absl::string_view text) {
  auto parsed = Parse(text);
  const auto* finished = std::get_if<Finished>(&parsed);
  if (finished == nullptr) {
    ADD_FAILURE() << text << " was accepted";
    return "";
  }
  EXPECT_EQ(finished->exit_code, 2) << text;
  EXPECT_EQ(finished->err.find('\n'), finished->err.size() - 1) << finished->err;
  return finished->err;
}

TEST(CanWords, TelemetryIsOfNowOrOfThePastOrGoesOn) {
  const auto now = Good<TelemetryVerb>("telemetry van-7");
  EXPECT_EQ(now.device, "van-7");
  EXPECT_TRUE(now.signals.empty());
  EXPECT_EQ(now.since, absl::ZeroDuration());
  EXPECT_FALSE(now.follow);
  for (absl::string_view text : {"telemetry van-7 engine/rpm vehicle/speed --since 1m --follow",
                                 "telemetry van-7 --since 1m engine/rpm vehicle/speed --follow"}) {
    const auto verb = Good<TelemetryVerb>(text);
    EXPECT_THAT(verb.signals, ElementsAre("engine/rpm", "vehicle/speed")) << text;
    EXPECT_EQ(verb.since, absl::Minutes(1)) << text;
    EXPECT_TRUE(verb.follow) << text;
  }
  EXPECT_THAT(Mistake("telemetry"), EndsWith("see fleetctl telemetry --help\n"));
  EXPECT_THAT(Mistake("telemetry van-7 rpm"), HasSubstr("such as engine/rpm; got 'rpm'"));
  EXPECT_THAT(Mistake("telemetry van-7 --since 0s"), HasSubstr("--since wants"));
}

TEST(CanWords, CsvIsThereForTelemetryAndDtcOnly) {
  EXPECT_EQ(std::get<CommandLine>(Parse("telemetry van-7 --output csv")).format, OutputFormat::kCsv);
  EXPECT_EQ(std::get<CommandLine>(Parse("--output csv dtc")).format, OutputFormat::kCsv);
  EXPECT_THAT(Mistake("devices --output csv"), HasSubstr("csv is there for telemetry and dtc; devices has --output"));
  EXPECT_THAT(Mistake("dtc clear van-7 can0 --output csv"), HasSubstr("dtc clear has --output table and json"));
  EXPECT_THAT(Mistake("devices --output jsn"), HasSubstr("did you mean json?"));
}

TEST(CanWords, DtcListsOfOneOrOfAllAndClearsOnABus) {
  EXPECT_EQ(Good<DtcVerb>("dtc").device, "");
  EXPECT_TRUE(Good<DtcVerb>("dtc van-7 --all").all);
  const auto clear = Good<ClearDtcsVerb>("dtc clear van-7 can0");
  EXPECT_EQ(clear.device, "van-7");
  EXPECT_EQ(clear.bus, "can0");
  EXPECT_THAT(Mistake("dtc clear van-7"), EndsWith("see fleetctl dtc clear --help\n"));
  EXPECT_THAT(Mistake("dtc clear van-7 can0 can1"), HasSubstr("DEVICE BUS and no more"));
  EXPECT_THAT(Mistake("dtc clear van-7 can/0"), HasSubstr("BUS wants"));
  EXPECT_THAT(Mistake("dtc van-7 can0"), HasSubstr("see fleetctl dtc --help"));
}

TEST(CanWords, ADumpIsOfAMinuteUnlessSaid) {
  const auto verb = Good<CanDumpVerb>("can dump van-7 can0");
  EXPECT_EQ(verb.tap.ShortDebugString(), "for_ms: 60000 sent_too: true");
  EXPECT_FALSE(verb.log);
  const auto filtered = Good<CanDumpVerb>("can dump --filter 7e8:7F8 van-7 can0 --filter 18FEF100 --for 5m --log");
  EXPECT_EQ(filtered.device, "van-7");
  EXPECT_EQ(filtered.bus, "can0");
  EXPECT_TRUE(filtered.log);
  EXPECT_EQ(filtered.tap.ShortDebugString(),
            "filters: \"7E8:7F8\" filters: \"18FEF100:1FFFFFFF\" for_ms: 300000 sent_too: true");
}

TEST(CanWords, AWrongTapIsRefusedWithTheNearestHelp) {
  EXPECT_THAT(Mistake("can"), EndsWith("see fleetctl can --help\n"));
  EXPECT_EQ(Mistake("can dmp van-7 can0"),
            "fleetctl: there is no 'dmp'; did you mean dump?; see fleetctl can --help\n");
  EXPECT_EQ(Mistake("telemetri van-7"),
            "fleetctl: there is no 'telemetri'; did you mean telemetry?; see fleetctl --help\n");
  EXPECT_THAT(Mistake("can dump van-7"), EndsWith("see fleetctl can dump --help\n"));
  EXPECT_THAT(Mistake("can dump van-7 can0 can1"), HasSubstr("can1"));
  EXPECT_THAT(Mistake("can dump van-7 can0 --filter 12G:7FF"),
              AllOf(HasSubstr("--filter \"12G:7FF\""), EndsWith("see fleetctl can dump --help\n")));
  EXPECT_THAT(Mistake("can dump van-7 can0 --for 25h"), HasSubstr("--for wants a duration from 1ms to 24h"));
  std::string filters;
  for (int i = 0; i < 17; ++i) absl::StrAppend(&filters, " --filter 123");
  EXPECT_THAT(Mistake("can dump van-7 can0" + filters), HasSubstr("16 times"));
}

TEST(CanWords, FramesAreAsCansendTakesThem) {
  const auto verb = Good<CanSendVerb>("can send van-7 can0 7df#02.01.0c 18FEF100#R 124##1AA");
  EXPECT_EQ(verb.request.ShortDebugString(), "frames: \"7DF#02010C\" frames: \"18FEF100#R\" frames: \"124##1AA\"");
  EXPECT_THAT(Mistake("can send van-7 can0"), EndsWith("see fleetctl can send --help\n"));
  EXPECT_THAT(Mistake("can send van-7 can0 123#11 123#1"), HasSubstr("FRAME 2 '123#1': "));
  EXPECT_THAT(Mistake("can send van-7 can0 20000040#0000000000000000"), HasSubstr("error frame"));
  std::string frames;
  for (int i = 0; i < 65; ++i) absl::StrAppend(&frames, " 123#");
  EXPECT_THAT(Mistake("can send van-7 can0" + frames), HasSubstr("at most 64"));
}

TEST(CanWords, ABridgeKnowsInterfacesAndTerminals) {
  EXPECT_EQ(Good<CanBridgeVerb>("can bridge van-7 can0 --to vcan0").to, "socketcan:vcan0");
  EXPECT_EQ(Good<CanBridgeVerb>("can bridge van-7 can0 --to slcan0").to, "socketcan:slcan0");
  EXPECT_EQ(Good<CanBridgeVerb>("can bridge van-7 can0 --to socketcan:vcan0").to, "socketcan:vcan0");
  EXPECT_EQ(Good<CanBridgeVerb>("can bridge van-7 can0 --to slcan-pty").to, "slcan-pty");
  const auto verb = Good<CanBridgeVerb>("can bridge van-7 can0 --to slcan-pty:/tmp/a:b --filter 123");
  EXPECT_EQ(verb.to, "slcan-pty:/tmp/a:b");
  EXPECT_EQ(verb.tap.ShortDebugString(), "filters: \"123:7FF\" for_ms: 600000");  // and not what the device sends
  const std::string bridge = "can bridge van-7 can0 ";
  EXPECT_THAT(Mistake(bridge), HasSubstr("--to"));
  EXPECT_THAT(Mistake(bridge + "--to slcan_pty"), HasSubstr("did you mean slcan-pty?"));
  EXPECT_THAT(Mistake(bridge + "--to sockettcan:vcan0"), HasSubstr("did you mean socketcan?"));
  EXPECT_THAT(Mistake(bridge + "--to replay:drive.log"), HasSubstr("--to wants"));
  EXPECT_THAT(Mistake(bridge + "--to slcan:"), HasSubstr("--to wants"));
  EXPECT_THAT(Mistake(bridge + "--to averylonginterface"), HasSubstr("--to wants"));
}

}  // namespace
}  // namespace fleet
