#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/quarantine.h"
#include "server/testing/api_fixture.h"
#include "server/testing/stream_messages.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class ApiStreamsTest : public ApiTest {
 protected:
  void Say(const std::string& device, const v1::EventBatch& batch) {
    OnLoop([&] { fleet_->Apply(EventBatchEvent{device, &batch}); });
  }
  void Say(const std::string& device, const v1::LedgerReport& report) {
    OnLoop([&] { fleet_->Apply(LedgerEvent{device, &report}); });
  }
};

TEST_F(ApiStreamsTest, EventsOfAllAndOfOneDevice) {
  Say("a", EventsOf(1, 1, 3));
  Say("b", EventsOf(1, 1, 1));
  EXPECT_THAT(GetOk<v1::EventList>("/api/v1/events").events(), SizeIs(4));
  EXPECT_THAT(GetOk<v1::EventList>("/api/v1/events?device=b").events(), SizeIs(1));
  const auto page = GetOk<v1::EventList>("/api/v1/devices/a/events?limit=2");
  ASSERT_THAT(page.events(), SizeIs(2));
  EXPECT_EQ(page.events(0).seq(), 3) << "newest first";
  EXPECT_EQ(page.events(0).kind(), "reported");
  const auto rest = GetOk<v1::EventList>(absl::StrCat("/api/v1/devices/a/events?limit=2&cursor=", page.next_cursor()));
  ASSERT_THAT(rest.events(), SizeIs(1));
  EXPECT_EQ(rest.events(0).seq(), 1);
  ExpectError(Get("/api/v1/devices/none/events"), 404, "NOT_FOUND", "no device none");
}

TEST_F(ApiStreamsTest, TheLedgerOfADeviceAddsUp) {
  Say("a", EventsOf(1, 1, 3));
  Say("a", EventsOf(1, 1, 1));
  Say("a", ReportOf(1, 1, {AccountOf(v1::STREAM_EVENT, 1, 9, 2, {DropOf(v1::DROP_REASON_SPOOL_FULL, 4, 7)})}));
  const auto ledger = GetOk<v1::LedgerView>("/api/v1/devices/a/ledger");
  ASSERT_THAT(ledger.streams(), SizeIs(2));
  const v1::StreamLedgerView& events = ledger.streams(0);
  EXPECT_EQ(events.stream(), "event");
  EXPECT_EQ(events.sent(), 9);
  EXPECT_EQ(events.stored(), 3);
  EXPECT_EQ(events.dropped(), 4);
  EXPECT_EQ(events.in_flight(), 2);
  EXPECT_EQ(events.duplicate(), 1);
  EXPECT_EQ(events.waiting(), 2);
  ASSERT_THAT(events.drops(), SizeIs(1));
  EXPECT_EQ(events.drops(0).reason(), "spool_full");
  EXPECT_TRUE(events.balanced());
  EXPECT_TRUE(ledger.balanced());
  EXPECT_EQ(events.reported_unix_ms(), static_cast<double>(clock_.Read().unix_ms()));
}

TEST_F(ApiStreamsTest, ALedgerThatDoesNotBalanceSaysWhy) {
  Say("a", ReportOf(1, 1, {AccountOf(v1::STREAM_EVENT, 1, 9, 2)}));
  const auto ledger = GetOk<v1::LedgerView>("/api/v1/devices/a/ledger");
  EXPECT_FALSE(ledger.balanced());
  EXPECT_THAT(ledger.streams(0).complaint(), HasSubstr("9 of 9 records are in flight"));
  EXPECT_EQ(GetOk<v1::FleetSummary>("/api/v1/status").unbalanced(), 1u);
}

TEST_F(ApiStreamsTest, LedgersComeInPagesWithDevicesThatNeverHadAny) {
  BringOnline("a");
  Say("b", EventsOf(1, 1, 3));
  const auto page = GetOk<v1::LedgerList>("/api/v1/ledger?limit=1");
  ASSERT_THAT(page.devices(), SizeIs(1));
  EXPECT_THAT(page.devices(0).streams(), SizeIs(0));
  EXPECT_TRUE(page.devices(0).balanced());
  const auto rest = GetOk<v1::LedgerList>(absl::StrCat("/api/v1/ledger?limit=1&cursor=", page.next_cursor()));
  ASSERT_THAT(rest.devices(), SizeIs(1));
  EXPECT_EQ(rest.devices(0).device_id(), "b");
  EXPECT_EQ(rest.next_cursor(), "");
  ExpectError(Get("/api/v1/devices/none/ledger"), 404, "NOT_FOUND", "no device none");
}

TEST_F(ApiStreamsTest, TheQuarantineShowsTheBytes) {
  OnLoop([&] {
    Quarantine quarantine;
    quarantine.Take("rpi/a/state", "\xff", absl::DataLossError("no StateReport"), clock_.Read(), fleet_->changes.rows);
  });
  const auto list = GetOk<v1::QuarantineList>("/api/v1/quarantine");
  ASSERT_THAT(list.messages(), SizeIs(1));
  EXPECT_EQ(list.messages(0).topic(), "rpi/a/state");
  EXPECT_EQ(list.messages(0).reason(), "parse");
  EXPECT_EQ(list.messages(0).payload(), "\xff");
}

TEST_F(ApiStreamsTest, LimitsAndCursorsThatAreNoneAreRefused) {
  for (const char* list : {"/api/v1/events", "/api/v1/ledger", "/api/v1/quarantine"}) {
    ExpectError(Get(absl::StrCat(list, "?limit=0")), 400, "INVALID_ARGUMENT", "limit");
    ExpectError(Get(absl::StrCat(list, "?cursor=x")), 400, "INVALID_ARGUMENT", "cursor");
  }
}

}  // namespace
}  // namespace fleet::server
