#include "tools/fleetctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace fleet {
namespace {

using ::testing::HasSubstr;

std::variant<CommandLine, Finished> ParseText(absl::string_view text, const Environment& environment = {}) {
  return ParseCommandLine(absl::StrSplit(text, ' ', absl::SkipEmpty()), environment);
}

CommandLine Good(absl::string_view text, const Environment& environment = {}) {
  auto parsed = ParseText(text, environment);
  if (const auto* finished = std::get_if<Finished>(&parsed)) {
    ADD_FAILURE() << text << ": " << finished->err << finished->out;
    return {};
  }
  return std::get<CommandLine>(parsed);
}

// What a mistake is answered with; it must be one line and exit code 2.
std::string Mistake(absl::string_view text, const Environment& environment = {}) {
  auto parsed = ParseText(text, environment);
  const auto* finished = std::get_if<Finished>(&parsed);
  if (finished == nullptr) {
    ADD_FAILURE() << text << " was accepted";
    return "";
  }
  EXPECT_EQ(finished->exit_code, 2) << text;
  EXPECT_EQ(finished->out, "");
  EXPECT_TRUE(absl::StartsWith(finished->err, "fleetctl: ")) << finished->err;
  EXPECT_EQ(finished->err.find('\n'), finished->err.size() - 1) << finished->err;
  return finished->err;
}

SegmentVerb Segment(absl::string_view options) {
  const CommandLine line = Good(absl::StrCat("segment pi-1 2 --v0 500 --v1 300 ", options));
  const auto* verb = std::get_if<SegmentVerb>(&line.verb);
  return verb == nullptr ? SegmentVerb() : *verb;
}

TEST(CommandLine, TakesNegativeCoordinatesInEveryPosition) {
  for (absl::string_view options :
       {"--from -100,20 --to 5,-7", "--from=-100,20 --to=5,-7", "--to 5,-7 --from -100,20 --wait"}) {
    const v1::SegmentRequest request = Segment(options).request;
    EXPECT_EQ(request.from_x_mm(), -100) << options;
    EXPECT_EQ(request.from_y_mm(), 20) << options;
    EXPECT_EQ(request.to_x_mm(), 5) << options;
    EXPECT_EQ(request.to_y_mm(), -7) << options;
  }
}

TEST(CommandLine, ReadsAWholeSegment) {
  const SegmentVerb verb = Segment("--from -2147483648,0 --to 2147483647,1 --type arc_left --ttl 1500ms --wait");
  EXPECT_EQ(verb.device, "pi-1");
  EXPECT_TRUE(verb.wait);
  EXPECT_EQ(verb.request.ShortDebugString(),
            "entity_id: 2 from_x_mm: -2147483648 to_x_mm: 2147483647 to_y_mm: 1 v0_mm_s: 500 v1_mm_s: 300 "
            "type: \"arc_left\" ttl_ms: 1500");
}

TEST(CommandLine, SegmentsAreLinesOfFiveSecondsUnlessSaid) {
  const SegmentVerb verb = Segment("--from 0,0 --to 1,1");
  EXPECT_FALSE(verb.wait);
  EXPECT_EQ(verb.request.type(), "line");
  EXPECT_EQ(verb.request.ttl_ms(), 5000u);
}

TEST(CommandLine, HoldNeedsOnlyAPlace) {
  const CommandLine line = Good("segment pi-1 2 --type hold --from -1,2");
  const v1::SegmentRequest request = std::get<SegmentVerb>(line.verb).request;
  EXPECT_EQ(request.to_x_mm(), -1);
  EXPECT_EQ(request.to_y_mm(), 2);
  EXPECT_EQ(request.v0_mm_s(), 0);
}

TEST(CommandLine, RefusesWrongValuesAndNamesThem) {
  const std::string segment = "segment pi-1 2 --from 0,0 --to 1,1 --v0 1 --v1 1 ";
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0 --to 1,1 --v0 1 --v1 1"), HasSubstr("--from wants X,Y"));
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0,0 --to 1,2,3 --v0 1 --v1 1"), HasSubstr("'1,2,3'"));
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0,0 --to 1,9999999999 --v0 1 --v1 1"), HasSubstr("--to"));
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0.5,0 --to 1,1 --v0 1 --v1 1"), HasSubstr("millimetres"));
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0,0 --to 1,1 --v0 -1 --v1 1"), HasSubstr("--v0 wants a whole number"));
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0,0 --v0 1 --v1 1"), HasSubstr("--to wants X,Y"));
  EXPECT_THAT(Mistake("segment pi-1 -2 --from 0,0 --to 1,1 --v0 1 --v1 1"), HasSubstr("ENTITY wants"));
  EXPECT_THAT(Mistake(segment + "--ttl 5"), HasSubstr("--ttl wants a duration"));
  EXPECT_THAT(Mistake(segment + "--ttl -5s"), HasSubstr("--ttl"));
  EXPECT_THAT(Mistake(segment + "--type curve"), HasSubstr("arc_left"));
  EXPECT_THAT(Mistake("history pi-1 1 --since yesterday"), HasSubstr("'yesterday'"));
  EXPECT_THAT(Mistake("commands --limit 0"), HasSubstr("--limit"));
  EXPECT_THAT(Mistake("command seven"), HasSubstr("'seven'"));
  EXPECT_THAT(Mistake("completion fish"), HasSubstr("bash only"));
}

GroupVerb Group(absl::string_view words) {
  const CommandLine line = Good(absl::StrCat("segment --from 0,0 --to 1,1 --v0 1 --v1 1 ", words));
  const auto* verb = std::get_if<GroupVerb>(&line.verb);
  EXPECT_NE(verb, nullptr) << words;
  return verb == nullptr ? GroupVerb() : *verb;
}

TEST(CommandLine, ModeAndQueueAreInTheRequest) {
  EXPECT_EQ(Segment("--from 0,0 --to 1,1").request.mode(), "");
  const v1::SegmentRequest request = Segment("--from 0,0 --to 1,1 --mode append --queue").request;
  EXPECT_EQ(request.mode(), "append");
  EXPECT_TRUE(request.queue());
  EXPECT_THAT(Mistake("segment pi-1 2 --from 0,0 --to 1,1 --v0 1 --v1 1 --mode insert"), HasSubstr("'insert'"));
}

TEST(CommandLine, AGroupNamesOnlyTheEntity) {
  const GroupVerb all = Group("--all 7");
  EXPECT_EQ(all.of, GroupVerb::Of::kAll);
  EXPECT_EQ(all.request.entity_id(), 7u);
  EXPECT_EQ(all.at_once, 10);
  EXPECT_EQ(Group("7 --online --at-once 200").of, GroupVerb::Of::kOnline);
  EXPECT_EQ(Group("7 --online --at-once 200").at_once, 200);
  const GroupVerb named = Group("--devices pi-2,pi-1,pi-2 7");
  EXPECT_EQ(named.of, GroupVerb::Of::kNamed);
  EXPECT_EQ(named.devices, (std::vector<std::string>{"pi-2", "pi-1"}));
}

TEST(CommandLine, RefusesAGroupThatIsNotClear) {
  const std::string segment = "segment --from 0,0 --to 1,1 --v0 1 --v1 1 ";
  EXPECT_THAT(Mistake(segment + "--all pi-1 2"), HasSubstr("the only word is ENTITY"));
  EXPECT_THAT(Mistake(segment + "--all"), HasSubstr("the only word is ENTITY"));
  EXPECT_THAT(Mistake(segment + "2"), HasSubstr("DEVICE ENTITY, or ENTITY with --all"));
  EXPECT_THAT(Mistake(segment + "--all --online 2"), HasSubstr("exclude each other"));
  EXPECT_THAT(Mistake(segment + "--devices , 2"), HasSubstr("--devices wants"));
  EXPECT_THAT(Mistake(segment + "--devices a/b 2"), HasSubstr("a/b"));
  EXPECT_THAT(Mistake(segment + "--all 2 --at-once 0"), HasSubstr("--at-once wants a whole number from 1 to 200"));
  EXPECT_THAT(Mistake(segment + "--all 2 --at-once 201"), HasSubstr("--at-once"));
  EXPECT_THAT(Mistake(segment + "pi-1 2 --at-once 5"), HasSubstr("--at-once is for"));
}

TEST(CommandLine, CancelIsOfACommandOrOfADevice) {
  EXPECT_EQ(std::get<CancelVerb>(Good("cancel 17").verb).command, "17");
  const CancelVerb verb = std::get<CancelVerb>(Good("cancel --device pi-1 --entity 3 --wait").verb);
  EXPECT_EQ(verb.device, "pi-1");
  EXPECT_EQ(verb.entity, 3u);
  EXPECT_TRUE(verb.wait);
  EXPECT_THAT(Mistake("cancel"), HasSubstr("either"));
  EXPECT_THAT(Mistake("cancel 17 --device pi-1"), HasSubstr("either"));
  EXPECT_THAT(Mistake("cancel 17 --entity 3"), HasSubstr("--entity goes with --device"));
  EXPECT_THAT(Mistake("cancel --device pi-1 --entity 0"), HasSubstr("--entity wants"));
}

TEST(CommandLine, StopNeverGuessesThatAllAreMeant) {
  EXPECT_EQ(std::get<StopVerb>(Good("stop pi-1").verb).device, "pi-1");
  EXPECT_EQ(std::get<StopVerb>(Good("stop --all").verb).device, "");
  EXPECT_THAT(Mistake("stop"), HasSubstr("either DEVICE or --all"));
  EXPECT_THAT(Mistake("stop pi-1 --all"), HasSubstr("either DEVICE or --all"));
}

TEST(CommandLine, ReconcileIsAWordOfCommand) {
  EXPECT_EQ(std::get<ReconcileVerb>(Good("command reconcile 17").verb).id, "17");
  EXPECT_EQ(std::get<CommandVerb>(Good("command 17").verb).id, "17");
  Mistake("command reconcile");
  Mistake("command reconcile 17 18");
  Mistake("command");
}

TEST(CommandLine, HistoryIsOfAnEntityOrOfLiveness) {
  EXPECT_EQ(std::get<HistoryVerb>(Good("history pi-1 2").verb).since, absl::Minutes(10));
  const LivenessVerb verb = std::get<LivenessVerb>(Good("history pi-1 --liveness --limit 7").verb);
  EXPECT_EQ(verb.device, "pi-1");
  EXPECT_EQ(verb.limit, 7u);
  EXPECT_EQ(verb.since, absl::InfiniteDuration());
  EXPECT_EQ(std::get<LivenessVerb>(Good("history pi-1 --liveness --since 1h").verb).since, absl::Hours(1));
  EXPECT_THAT(Mistake("history pi-1"), HasSubstr("DEVICE --liveness"));
  EXPECT_THAT(Mistake("history pi-1 2 --liveness"), HasSubstr("leave ENTITY out"));
  EXPECT_THAT(Mistake("history pi-1 2 --limit 7"), HasSubstr("--limit goes with --liveness"));
}

TEST(CommandLine, AccountsTakeADeviceOrNone) {
  EXPECT_EQ(std::get<LedgerVerb>(Good("ledger").verb).device, "");
  EXPECT_EQ(std::get<LedgerVerb>(Good("ledger pi-1").verb).device, "pi-1");
  EXPECT_EQ(std::get<EventsVerb>(Good("events pi-1 --limit 3").verb).limit, 3u);
  EXPECT_EQ(std::get<EventsVerb>(Good("events").verb).limit, 20u);
  EXPECT_TRUE(std::get<QuarantineVerb>(Good("quarantine --raw").verb).raw);
  Mistake("ledger a/b");
  Mistake("quarantine pi-1");
}

TEST(CommandLine, RefusesADeviceIdThatCannotBe) {
  Mistake("device a/b");
  Mistake("watch ../x");
  Mistake("device " + std::string(65, 'a'));
}

TEST(CommandLine, RefusesWhatItDoesNotKnow) {
  Mistake("");
  Mistake("fly");
  Mistake("status --fast");
  Mistake("device");
  Mistake("device pi-1 pi-2");
  EXPECT_THAT(Mistake("segment pi-1 2"), HasSubstr("see fleetctl segment --help"));
}

TEST(CommandLine, TakesGlobalOptionsBeforeAndAfterTheVerb) {
  for (absl::string_view text :
       {"--server http://a:1 --output json devices", "devices --server http://a:1 --output json",
        "--output=json devices --server=http://a:1/"}) {
    const CommandLine line = Good(text);
    EXPECT_EQ(line.server, "http://a:1") << text;
    EXPECT_EQ(line.format, OutputFormat::kJson) << text;
    EXPECT_TRUE(std::holds_alternative<DevicesVerb>(line.verb)) << text;
  }
  EXPECT_EQ(Good("history pi-1 3 --server http://a:1 --since 1m").server, "http://a:1");
}

TEST(CommandLine, DevicesMayBeNamedLikeVerbs) {
  const CommandLine line = Good("device status");
  EXPECT_EQ(std::get<DeviceVerb>(line.verb).device, "status");
}

TEST(CommandLine, ServerComesFromFlagElseEnvironmentElseFileElseDefault) {
  const std::string path = ::testing::TempDir() + "fleetctl_config_test.toml";
  std::ofstream(path) << "server = \"http://file:1\"\noutput = \"json\"\n";
  const Environment environment = {{"FLEET_SERVER", "http://environment:1"}};
  EXPECT_EQ(Good("status").server, "http://127.0.0.1:8080");
  EXPECT_EQ(Good("status --config " + path).server, "http://file:1");
  EXPECT_EQ(Good("status --config " + path).format, OutputFormat::kJson);
  EXPECT_EQ(Good("status --config " + path, environment).server, "http://environment:1");
  EXPECT_EQ(Good("status --config " + path + " --server http://flag:1", environment).server, "http://flag:1");
  std::remove(path.c_str());
}

TEST(CommandLine, RefusesAnUnknownKeyOfTheFileWithItsPlace) {
  const std::string path = ::testing::TempDir() + "fleetctl_bad_config_test.toml";
  std::ofstream(path) << "\nservr = \"http://file:1\"\n";
  EXPECT_THAT(Mistake("status --config " + path), HasSubstr(path + ":2: servr"));
  std::remove(path.c_str());
  EXPECT_THAT(Mistake("status --config /nonexistent.toml"), HasSubstr("/nonexistent.toml"));
}

TEST(CommandLine, TheExampleFileIsTheDefaults) {
  const CommandLine line = Good("status --config " FLEET_SOURCE_DIR "/docs/config/fleetctl.toml");
  EXPECT_EQ(line.server, Good("status").server);
  EXPECT_EQ(line.format, OutputFormat::kTable);
}

TEST(CommandLine, RefusesAServerThatIsNoUrl) {
  for (absl::string_view server : {"127.0.0.1:8080", "https://a:1", "http://a", "http://a:0", "http://a:99999",
                                   "http://:80", "http://a:1/api", "tcp://a:1"}) {
    EXPECT_THAT(Mistake(absl::StrCat("status --server ", server)), HasSubstr("http://HOST:PORT")) << server;
  }
  EXPECT_THAT(Mistake("status", {{"FLEET_OUTPUT", "xml"}}), HasSubstr("table or json"));
}

TEST(CommandLine, HelpAndVersionGoToStandardOutput) {
  for (absl::string_view text : {"--help", "segment --help", "command reconcile --help", "--version"}) {
    auto parsed = ParseText(text);
    const auto* finished = std::get_if<Finished>(&parsed);
    ASSERT_NE(finished, nullptr) << text;
    EXPECT_EQ(finished->exit_code, 0) << text;
    EXPECT_EQ(finished->err, "") << text;
    EXPECT_THAT(finished->out, HasSubstr(text == "--version" ? "fleetctl " FLEET_VERSION : "--server")) << text;
    EXPECT_THAT(finished->out, ::testing::Not(HasSubstr("__devices"))) << text;
  }
}

}  // namespace
}  // namespace fleet
