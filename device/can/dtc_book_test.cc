#include "device/can/dtc_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/fake_clock.h"

namespace fleet::device {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const DtcSource kEngine{.bus = "can0", .protocol = "obd", .ecu = 0x7E8};
const DtcSource kGearbox{.bus = "can0", .protocol = "obd", .ecu = 0x7E9};
const DtcSource kTruck{.bus = "can1", .protocol = "j1939", .ecu = 0};

DtcSeen Stored(absl::string_view code) {
  return {.code = std::string(code), .status = "stored"};
}
DtcSeen Pending(absl::string_view code) {
  return {.code = std::string(code), .status = "pending"};
}

class DtcBookTest : public testing::Test {
 protected:
  void Report(const DtcSource& source, const std::vector<DtcSeen>& present) {
    book_.Report(source, present, clock_, effects_);
  }
  void Lamp(const DtcSource& source, DtcLamp lamp) { book_.ReportLamp(source, lamp, effects_); }

  // "set P0133 stored of 2024", without those that say that a controller was scanned, and what was published:
  // "dtc=P0133". Empties both.
  std::vector<std::string> Events() {
    std::vector<std::string> texts;
    for (const v1::Event& event : effects_.events) {
      EXPECT_EQ(event.name(), event.dtc().code());
      if (event.kind() == v1::EVENT_KIND_DTC_SCANNED) continue;
      texts.push_back(absl::StrCat(event.kind() == v1::EVENT_KIND_DTC_SET ? "set " : "cleared ", event.dtc().code(),
                                   " ", event.dtc().status(), " of ", event.dtc().ecu()));
    }
    effects_.events.clear();
    return texts;
  }
  std::vector<std::string> Published() {
    const absl::string_view group = "rpi/pi-1/diagnostics/";
    std::vector<std::string> texts;
    for (const Publication& publication : effects_.publish) {
      EXPECT_EQ(publication.topic.substr(0, group.size()), group);
      EXPECT_EQ(publication.qos, 1);
      EXPECT_FALSE(publication.retain);
      texts.push_back(absl::StrCat(publication.topic.substr(group.size()), "=", publication.payload));
    }
    effects_.publish.clear();
    return texts;
  }

  FakeClock clock_;
  DtcBook book_{DeviceId::Parse("pi-1").value()};
  CanEffects effects_;
};

TEST_F(DtcBookTest, NothingIsSaidBeforeAControllerHasReported) {
  Lamp(kEngine, DtcLamp::kError);
  book_.Resume(effects_);
  EXPECT_THAT(Published(), IsEmpty());
  Report(kEngine, {});
  EXPECT_THAT(Published(), ElementsAre("dtc=none", "error_count=0", "health=error"));
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(DtcBookTest, ACodeIsToldWhenItComesAndWhenItGoes) {
  Report(kEngine, {Stored("P0133")});
  const v1::Dtc set = effects_.events.at(0).dtc();
  EXPECT_EQ(set.bus(), "can0");
  EXPECT_EQ(set.protocol(), "obd");
  EXPECT_THAT(Events(), ElementsAre("set P0133 stored of 2024"));
  EXPECT_THAT(Published(), ElementsAre("dtc=P0133", "error_count=1", "health=warning"));

  clock_.Advance(absl::Seconds(10));
  Report(kEngine, {Stored("P0133")});
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_THAT(Published(), IsEmpty());

  clock_.Advance(absl::Seconds(10));
  Report(kEngine, {});
  const v1::Dtc cleared = effects_.events.at(0).dtc();
  EXPECT_EQ(cleared.first_unix_ms(), set.first_unix_ms());
  EXPECT_EQ(cleared.last_unix_ms(), set.first_unix_ms() + 10'000) << "when it was seen last";
  EXPECT_THAT(Events(), ElementsAre("cleared P0133 stored of 2024"));
  EXPECT_THAT(Published(), ElementsAre("dtc=none", "error_count=0", "health=ok"));
  EXPECT_EQ(book_.active(), 0u);
}

TEST_F(DtcBookTest, TheFirstReportOfAControllerEndsWithThatItWasScanned) {
  const auto scanned = [this] {
    std::vector<uint32_t> ecus;
    for (const v1::Event& event : effects_.events) {
      if (event.kind() == v1::EVENT_KIND_DTC_SCANNED) ecus.push_back(event.dtc().ecu());
    }
    return ecus;
  };
  Report(kEngine, {Stored("P0133")});
  ASSERT_THAT(effects_.events, testing::SizeIs(2));
  EXPECT_EQ(effects_.events[1].kind(), v1::EVENT_KIND_DTC_SCANNED) << "after its codes";
  EXPECT_EQ(effects_.events[1].dtc().bus(), kEngine.bus);
  EXPECT_EQ(effects_.events[1].dtc().protocol(), kEngine.protocol);
  EXPECT_EQ(effects_.events[1].dtc().code(), "");
  Report(kEngine, {});
  EXPECT_THAT(scanned(), ElementsAre(kEngine.ecu)) << "once";
}

TEST_F(DtcBookTest, AnotherStatusIsNewsAndAnotherCountIsNot) {
  Report(kEngine, {Pending("P0300")});
  EXPECT_THAT(Events(), ElementsAre("set P0300 pending of 2024"));
  EXPECT_THAT(Published(), ElementsAre("dtc=P0300", "error_count=1", "health=ok")) << "nothing is confirmed";
  Report(kEngine, {Stored("P0300"), Pending("P0300")});
  EXPECT_THAT(Events(), ElementsAre("set P0300 stored of 2024"));
  EXPECT_THAT(Published(), ElementsAre("health=warning"));
  Report(kEngine, {{.code = "P0300", .status = "stored", .count = 7}});
  EXPECT_THAT(Events(), IsEmpty());
  Report(kEngine, {});
  EXPECT_EQ(effects_.events.at(0).dtc().count(), 7u) << "the newest one is remembered";
}

TEST_F(DtcBookTest, ControllersSpeakForThemselvesOnly) {
  Report(kEngine, {Stored("P0133")});
  Report(kGearbox, {Stored("U0100"), Stored("P0133")});
  Report(kTruck, {{.code = "SPN 110 FMI 0", .status = "active", .count = 3}});
  EXPECT_THAT(Events(), SizeIs(4));
  effects_.publish.clear();
  book_.Resume(effects_);
  EXPECT_THAT(Published(), ElementsAre("dtc=P0133,SPN 110 FMI 0,U0100", "error_count=3", "health=warning"));
  Report(kGearbox, {});
  EXPECT_THAT(Events(), ElementsAre("cleared U0100 stored of 2025", "cleared P0133 stored of 2025"));
  EXPECT_THAT(Published(), ElementsAre("dtc=P0133,SPN 110 FMI 0", "error_count=2")) << "the engine still has P0133";
}

TEST_F(DtcBookTest, TheWorstLampDecidesAndGoesOutAgain) {
  Report(kEngine, {});
  Published();
  Lamp(kTruck, DtcLamp::kWarning);
  EXPECT_THAT(Published(), ElementsAre("health=warning"));
  Lamp(kEngine, DtcLamp::kError);
  EXPECT_THAT(Published(), ElementsAre("health=error"));
  Lamp(kEngine, DtcLamp::kError);
  EXPECT_THAT(Published(), IsEmpty());
  Lamp(kEngine, DtcLamp::kNone);
  EXPECT_THAT(Published(), ElementsAre("health=warning"));
  Lamp(kTruck, DtcLamp::kNone);
  EXPECT_THAT(Published(), ElementsAre("health=ok"));
}

TEST_F(DtcBookTest, RoomIsBoundedAndWhatFindsNoneIsCountedAndComesLater) {
  std::vector<DtcSeen> many;
  for (int i = 0; i < 300; ++i) many.push_back(Stored(absl::StrCat("P", 1000 + i)));
  Report(kEngine, many);
  EXPECT_EQ(book_.active(), DtcBook::kMaxCodes);
  EXPECT_EQ(book_.left_out(), 44u);
  EXPECT_THAT(Events(), SizeIs(DtcBook::kMaxCodes));
  Report(kGearbox, {Stored("P0700")});
  EXPECT_THAT(Events(), IsEmpty());
  Report(kEngine, {});
  Events();
  Report(kGearbox, {Stored("P0700")});
  EXPECT_THAT(Events(), ElementsAre("set P0700 stored of 2025"));

  for (uint32_t ecu = 0; ecu < 300; ++ecu) Lamp({.bus = "can1", .protocol = "j1939", .ecu = ecu}, DtcLamp::kWarning);
  EXPECT_EQ(book_.left_out(), 45u + 44u);
}

}  // namespace
}  // namespace fleet::device
