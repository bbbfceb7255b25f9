#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/testing/api_fixture.h"
#include "server/testing/stream_messages.h"

namespace fleet::server {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class ApiTelemetryTest : public ApiTest {
 protected:
  void Say(const std::string& device, const v1::TelemetryBatch& batch) {
    OnLoop([&] { fleet_->Apply(TelemetryEvent{device, &batch}); });
  }
  void SayDtc(const std::string& device, uint64_t seq, v1::EventKind kind, const std::string& code) {
    v1::EventBatch batch = EventsOf(1, seq, seq);
    v1::Event& event = *batch.mutable_events(0);
    event.set_kind(kind);
    event.mutable_dtc()->set_bus("can0");
    event.mutable_dtc()->set_protocol("j1939");
    event.mutable_dtc()->set_code(code);
    OnLoop([&] { fleet_->Apply(EventBatchEvent{device, &batch}); });
  }
};

TEST_F(ApiTelemetryTest, TelemetryOfADeviceByPagesAndThenWhatFollows) {
  Say("a", SamplesOf(1, 1, 5));
  const std::string path = "/api/v1/devices/a/telemetry?limit=3&cursor=";
  auto page = GetOk<v1::TelemetryList>(path);
  EXPECT_EQ(page.device_id(), "a");
  ASSERT_THAT(page.samples(), SizeIs(3));
  EXPECT_EQ(page.samples(0).signal(), "motor/amps");
  EXPECT_EQ(page.samples(0).value(), 1);
  EXPECT_EQ(page.samples(0).at_unix_ms(), 1'760'000'000'011);
  EXPECT_FALSE(page.at_end());
  page = GetOk<v1::TelemetryList>(path + page.next_cursor());
  EXPECT_THAT(page.samples(), SizeIs(2));
  EXPECT_TRUE(page.at_end());
  page = GetOk<v1::TelemetryList>(path + page.next_cursor());
  EXPECT_THAT(page.samples(), IsEmpty());
  Say("a", SamplesOf(1, 6, 6));
  page = GetOk<v1::TelemetryList>(path + page.next_cursor());
  ASSERT_THAT(page.samples(), SizeIs(1));
  EXPECT_EQ(page.samples(0).value(), 6);
}

TEST_F(ApiTelemetryTest, SignalsAndTimesChoose) {
  Say("a", SamplesOf(1, 1, 4));  // at 11, 23, 36 and 50 ms
  const std::string path = "/api/v1/devices/a/telemetry";
  EXPECT_THAT(GetOk<v1::TelemetryList>(path + "?signal=motor/rpm").samples(), SizeIs(2));
  EXPECT_THAT(GetOk<v1::TelemetryList>(path + "?signal=motor/rpm,motor/amps").samples(), SizeIs(4));
  const std::string times = "?since_unix_ms=1760000000023&until_unix_ms=1760000000050";
  EXPECT_THAT(GetOk<v1::TelemetryList>(path + times).samples(), SizeIs(2));
  EXPECT_THAT(GetOk<v1::TelemetryList>(path + times + "&signal=motor%2Frpm").samples(), SizeIs(1));
  EXPECT_THAT(GetOk<v1::TelemetryList>(path + "?since_unix_ms=9223372036854775807").samples(), IsEmpty());
}

TEST_F(ApiTelemetryTest, WhatDoesNotExistOrMakesNoSenseSaysSo) {
  Say("a", SamplesOf(1, 1, 4));
  const std::string path = "/api/v1/devices/a/telemetry";
  ExpectError(Get("/api/v1/devices/none/telemetry"), 404, "NOT_FOUND", "no device none");
  ExpectError(Get("/api/v1/devices/none/signals"), 404, "NOT_FOUND", "no device none");
  ExpectError(Get(path + "?signal=motor/rpmm"), 404, "NOT_FOUND", "did you mean motor/rpm?");
  ExpectError(Get(path + "?limit=0"), 400, "INVALID_ARGUMENT", "limit");
  ExpectError(Get(path + "?limit=1001"), 400, "INVALID_ARGUMENT", "limit");
  ExpectError(Get(path + "?cursor=x"), 400, "INVALID_ARGUMENT", "cursor");
  ExpectError(Get(path + "?since_unix_ms=yesterday"), 400, "INVALID_ARGUMENT", "since_unix_ms");
  ExpectError(Get(path + "?until_unix_ms=1e9"), 400, "INVALID_ARGUMENT", "until_unix_ms");
}

TEST_F(ApiTelemetryTest, SignalsShowTheirNewestValue) {
  Say("a", SamplesOf(1, 1, 4));
  const auto list = GetOk<v1::SignalList>("/api/v1/devices/a/signals");
  ASSERT_THAT(list.signals(), SizeIs(2));
  EXPECT_EQ(list.signals(0).signal(), "motor/amps");
  EXPECT_EQ(list.signals(0).value(), 3);
  EXPECT_EQ(list.signals(1).value(), 4);
  EXPECT_EQ(list.signals(1).at_unix_ms(), 1'760'000'000'050);
}

TEST_F(ApiTelemetryTest, TroubleCodesOfTheFleetOfADeviceAndActiveOnes) {
  SayDtc("a", 1, v1::EVENT_KIND_DTC_SET, "SPN 110 FMI 0");
  SayDtc("a", 2, v1::EVENT_KIND_DTC_SET, "SPN 190 FMI 2");
  SayDtc("a", 3, v1::EVENT_KIND_DTC_CLEARED, "SPN 110 FMI 0");
  SayDtc("b", 1, v1::EVENT_KIND_DTC_SET, "SPN 84 FMI 9");
  const auto page = GetOk<v1::DtcList>("/api/v1/dtcs?limit=2");
  ASSERT_THAT(page.dtcs(), SizeIs(2));
  EXPECT_EQ(page.dtcs(0).device_id(), "b");
  EXPECT_EQ(page.dtcs(1).code(), "SPN 110 FMI 0");
  EXPECT_FALSE(page.dtcs(1).active());
  EXPECT_EQ(page.dtcs(1).ecu(), "00");
  EXPECT_THAT(GetOk<v1::DtcList>(absl::StrCat("/api/v1/dtcs?limit=2&cursor=", page.next_cursor())).dtcs(), SizeIs(1));
  EXPECT_THAT(GetOk<v1::DtcList>("/api/v1/dtcs?device=a").dtcs(), SizeIs(2));
  EXPECT_THAT(GetOk<v1::DtcList>("/api/v1/dtcs?device=a&active=true").dtcs(), SizeIs(1));
  EXPECT_THAT(GetOk<v1::DtcList>("/api/v1/dtcs?active=false").dtcs(), SizeIs(3));
  ExpectError(Get("/api/v1/dtcs?device=none"), 404, "NOT_FOUND", "no device none");
  ExpectError(Get("/api/v1/dtcs?active=maybe"), 400, "INVALID_ARGUMENT", "active=maybe");
  ExpectError(Get("/api/v1/dtcs?cursor=x"), 400, "INVALID_ARGUMENT", "cursor");
}

}  // namespace
}  // namespace fleet::server
