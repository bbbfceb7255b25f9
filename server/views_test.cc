#include "server/views.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/http_server.h"
#include "common/testing/fake_clock.h"
#include "server/testing/sample_rows.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::DeviceView View(const TestFleet& fleet, absl::string_view id, Now now) {
  return ViewOf(fleet.device(id), fleet.status(id), now);
}

// The same keys with the same values; a number is not the same as a string of digits.
bool SameJson(const std::string& a, const std::string& b) {
  google::protobuf::Struct x;
  google::protobuf::Struct y;
  return FromJson(a, x).ok() && FromJson(b, y).ok() && google::protobuf::util::MessageDifferencer::Equals(x, y);
}

// Scripts rely on these keys and on numbers being numbers.
TEST(Views, ADeviceIsExactlyTheContract) {
  FakeClock clock;
  TestFleet fleet(clock);
  fleet.Say("rpi-1", v1::PRESENCE_ONLINE);
  fleet.Beat("rpi-1", 1);
  fleet.Beat("rpi-1", 3, -40);  // one is missing; its clock is behind
  fleet.Report("rpi-1", 1, {2});
  fleet.Report("rpi-1", 1, {2});
  clock.Advance(absl::Milliseconds(250));
  v1::DeviceList list;
  *list.add_devices() = View(fleet, "rpi-1", clock);
  EXPECT_TRUE(
      SameJson(ToJson(list),
               "{\"devices\":[{\"id\":\"rpi-1\",\"state\":\"online\",\"reason\":\"\",\"epoch\":1,"
               "\"last_heartbeat_ms_ago\":250,\"clock_skew_ms\":-40,"
               "\"entities\":[{\"entity_id\":2,\"x_mm\":1,\"y_mm\":-200,\"angle_mdeg\":90000,\"vx_mm_s\":5,"
               "\"vy_mm_s\":-6,\"age_ms\":250,\"state\":\"online\"}],"
               "\"loss\":{\"expected\":4,\"stored\":3,\"missing\":1,\"duplicate\":1,\"reordered\":0},"
               "\"last_seen_unix_ms\":1760000000000,\"state_since_unix_ms\":1760000000000,\"version\":\"1.2.3\","
               "\"fail_safe\":false,\"clone_alarm\":false}],"
               "\"next_cursor\":\"\"}"))
      << ToJson(list);
}

TEST(Views, ADeviceNeverHeardHasNoHeartbeatAge) {
  FakeClock clock;
  TestFleet fleet(clock);
  fleet.Report("a", 1, {1});
  const std::string json = ToJson(View(fleet, "a", clock));
  EXPECT_THAT(json, HasSubstr("\"state\":\"unknown\""));
  EXPECT_THAT(json, Not(HasSubstr("last_heartbeat_ms_ago")));
  EXPECT_THAT(json, Not(HasSubstr("clock_skew_ms")));
}

TEST(Views, AnOfflineDeviceSaysWhy) {
  FakeClock clock;
  TestFleet fleet(clock);
  fleet.Beat("a", 1);
  fleet.Say("a", v1::PRESENCE_OFFLINE);
  const v1::DeviceView view = View(fleet, "a", clock);
  EXPECT_EQ(view.state(), "offline");
  EXPECT_EQ(view.reason(), "clean");
}

TEST(Views, ADeviceClockAheadIsAPositiveSkewHoweverFar) {
  FakeClock clock;
  TestFleet fleet(clock);
  fleet.Beat("a", 1, 3000);
  EXPECT_EQ(View(fleet, "a", clock).clock_skew_ms(), 3000);
  EXPECT_EQ(View(fleet, "a", clock).last_heartbeat_ms_ago(), 0);
  fleet.BeatSent("b", 1, std::numeric_limits<uint64_t>::max());
  EXPECT_GT(View(fleet, "b", clock).clock_skew_ms(), 0);
  EXPECT_LT(View(fleet, "b", clock).clock_skew_ms(), double{int64_t{1} << 53});
}

// The wall clock of the server was set back while it was down.
TEST(Views, AgesOfARestoredDeviceAreNeverNegative) {
  FakeClock clock;
  SavedFleet saved;
  saved.devices.push_back(SampleDevice(1, "a"));
  saved.devices[0].last_seen_unix_ms = clock.Read().unix_ms() + 60'000;
  saved.devices[0].entities = {{.id = EntityId{1}, .received_unix_ms = clock.Read().unix_ms() + 60'000}};
  const TestFleet fleet(clock, std::move(saved));
  const v1::DeviceView view = View(fleet, "a", clock);
  EXPECT_EQ(view.last_heartbeat_ms_ago(), 0);
  ASSERT_EQ(view.entities_size(), 1);
  EXPECT_EQ(view.entities(0).age_ms(), 0);
}

TEST(Views, AnEntityIsWhatItsDeviceIsUnlessThatIsOnline) {
  FakeClock clock;
  TestFleet fleet(clock);
  fleet.Report("a", 1, {1});
  EXPECT_EQ(View(fleet, "a", clock).entities(0).state(), "unknown");
  fleet.Beat("a", 1);
  EXPECT_EQ(View(fleet, "a", clock).entities(0).state(), "online");
  fleet.Say("a", v1::PRESENCE_OFFLINE);
  EXPECT_EQ(View(fleet, "a", clock).entities(0).state(), "offline");
}

// Reports `a` with entities 1 and 2 every `period`, then only with 1 for as long as `missing`.
std::string StateOfTheMissingOne(absl::Duration period, absl::Duration missing) {
  FakeClock clock;
  TestFleet fleet(clock);
  uint32_t seq = 0;
  fleet.Report("a", ++seq, {1, 2});
  for (int i = 0; i < 100; ++i) {
    clock.Advance(period);
    fleet.Report("a", ++seq, {1, 2});
  }
  for (absl::Duration passed = period; passed <= missing; passed += period) {
    clock.Advance(period);
    fleet.Report("a", ++seq, {1});
  }
  fleet.Beat("a", 1);
  const v1::DeviceView view = View(fleet, "a", clock);
  EXPECT_EQ(view.entities(0).state(), "online");
  EXPECT_EQ(view.entities(1).age_ms(), static_cast<double>(absl::ToInt64Milliseconds(missing)));
  return view.entities(1).state();
}

TEST(Views, AnEntityMissingFromTheReportsGoesStaleAfterASecondAndOfflineAfterTwo) {
  const absl::Duration period = absl::Milliseconds(100);
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Milliseconds(900)), "online");
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Milliseconds(1000)), "stale");
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Milliseconds(1900)), "stale");
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Milliseconds(2000)), "offline");
}

TEST(Views, SeldomReportsGiveAnEntityThreeOfTheirPeriods) {
  const absl::Duration period = absl::Seconds(2);
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Seconds(4)), "online");
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Seconds(6)), "stale");
  EXPECT_EQ(StateOfTheMissingOne(period, absl::Seconds(12)), "offline");
}

TEST(Views, APauseOfTheReportsDoesNotChangeTheirPeriod) {
  FakeClock clock;
  TestFleet fleet(clock);
  for (uint32_t seq = 1; seq <= 40; ++seq) {
    clock.Advance(seq == 20 ? absl::Hours(1) : absl::Milliseconds(100));
    fleet.Report("a", seq, {1});
  }
  clock.Advance(absl::Milliseconds(1100));
  fleet.Beat("a", 1);
  EXPECT_EQ(View(fleet, "a", clock).entities(0).state(), "stale");
}

TEST(Views, AgesDoNotFollowJumpsOfTheWallClock) {
  FakeClock clock;
  TestFleet fleet(clock);
  fleet.Beat("a", 1);
  fleet.Report("a", 1, {1});
  clock.Advance(absl::Milliseconds(20));
  clock.JumpWall(-absl::Hours(1));
  EXPECT_EQ(View(fleet, "a", clock).last_heartbeat_ms_ago(), 20);
  EXPECT_EQ(View(fleet, "a", clock).entities(0).age_ms(), 20);
}

TEST(Views, ACommandShowsItsLastStepAndASummary) {
  CommandRow row = SampleCommand(uint64_t{1} << 60, 1);
  std::get<v1::Segment>(row.body).set_start_speed_mm_s(500);
  std::get<v1::Segment>(row.body).set_end_speed_mm_s(300);
  const std::vector<CommandStepRow> steps = {SampleStep(1, 0, v1::COMMAND_STATE_QUEUED),
                                             SampleStep(1, 1, v1::COMMAND_STATE_REJECTED)};
  const v1::CommandView view = ViewOf(row, steps, "rpi-1");
  EXPECT_EQ(view.command_id(), "1152921504606846976") << "a string, because it may pass 2^53";
  EXPECT_EQ(view.device_id(), "rpi-1");
  EXPECT_EQ(view.entity_id(), 7u);
  EXPECT_EQ(view.state(), "rejected");
  EXPECT_EQ(view.reason(), "reason");
  EXPECT_EQ(view.summary(), "line (0,0) to (-1000,0) at 500 to 300 mm/s");
  ASSERT_EQ(view.steps_size(), 2);
  EXPECT_EQ(view.steps(0).state(), "queued");
  EXPECT_EQ(view.steps(1).detail(), "detail");
  EXPECT_EQ(view.steps(1).at_unix_ms(), 2001);
  EXPECT_EQ(view.steps(1).since_issue_ms(), 1);
}

TEST(Views, AHoldIsSummedUpByItsPlace) {
  CommandRow row = SampleCommand(1, 1);
  std::get<v1::Segment>(row.body).set_type(v1::SEGMENT_TYPE_HOLD);
  std::get<v1::Segment>(row.body).set_start_x_mm(-5);
  EXPECT_EQ(ViewOf(row, {}, "a").summary(), "hold at (-5,0)");
}

TEST(Views, ACancelSaysWhatItTakesBack) {
  CommandRow row = SampleCommand(9, 1);
  v1::Cancel& cancel = row.body.emplace<v1::Cancel>();
  cancel.set_command_id(7);
  EXPECT_EQ(ViewOf(row, {}, "a").kind(), "cancel");
  EXPECT_EQ(ViewOf(row, {}, "a").summary(), "cancel command 7");
  cancel.set_entity_id(3);
  EXPECT_EQ(ViewOf(row, {}, "a").summary(), "cancel entity 3");
  EXPECT_EQ(ViewOf(row, {}, "a").entity_id(), 3u);
  cancel.set_device(true);
  EXPECT_EQ(ViewOf(row, {}, "a").summary(), "cancel everything");
  cancel.set_stop(true);
  EXPECT_EQ(ViewOf(row, {}, "a").summary(), "stop");
  EXPECT_EQ(ViewOf(SampleCommand(9, 1), {}, "a").kind(), "segment");
}

TEST(Views, ARequestSaysItsMode) {
  v1::SegmentRequest request;
  request.set_type("line");
  EXPECT_EQ(SegmentOf(request)->mode(), v1::SEGMENT_MODE_UNSPECIFIED);
  request.set_mode("replace");
  EXPECT_EQ(SegmentOf(request)->mode(), v1::SEGMENT_MODE_UNSPECIFIED) << "costs no bytes";
  request.set_mode("append");
  EXPECT_EQ(SegmentOf(request)->mode(), v1::SEGMENT_MODE_APPEND);
  request.set_mode("insert");
  EXPECT_THAT(std::string(SegmentOf(request).status().message()), HasSubstr("\"insert\" is not replace or append"));
}

TEST(Views, ARequestBecomesASegment) {
  v1::SegmentRequest request;
  request.set_entity_id(3);
  request.set_from_x_mm(-1);
  request.set_from_y_mm(2);
  request.set_to_x_mm(-3);
  request.set_to_y_mm(4);
  request.set_v0_mm_s(5);
  request.set_v1_mm_s(6);
  request.set_type("arc_right");
  const auto segment = SegmentOf(request);
  ASSERT_TRUE(segment.ok()) << segment.status();
  EXPECT_EQ(segment->entity_id(), 3u);
  EXPECT_EQ(segment->start_x_mm(), -1);
  EXPECT_EQ(segment->start_y_mm(), 2);
  EXPECT_EQ(segment->end_x_mm(), -3);
  EXPECT_EQ(segment->end_y_mm(), 4);
  EXPECT_EQ(segment->start_speed_mm_s(), 5);
  EXPECT_EQ(segment->end_speed_mm_s(), 6);
  EXPECT_EQ(segment->type(), v1::SEGMENT_TYPE_ARC_RIGHT);
  request.set_type("spiral");
  const absl::Status status = SegmentOf(request).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("line, arc_left, arc_right or hold"));
}

}  // namespace
}  // namespace fleet::server
