#include "server/dtc_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "server/testing/sample_rows.h"
#include "server/testing/store_file.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'760'000'000'000;
constexpr v1::EventKind kSet = v1::EVENT_KIND_DTC_SET;
constexpr v1::EventKind kCleared = v1::EVENT_KIND_DTC_CLEARED;

// P0133 of an OBD-II controller at 7E8.
EventRow DtcEvent(v1::EventKind kind, uint32_t epoch, uint64_t seq, int64_t at_unix_ms) {
  EventRow row{.device_row = 1, .epoch = epoch, .seq = seq, .event = {}, .received_unix_ms = kNow};
  row.event.set_kind(kind);
  row.event.set_at_unix_ms(static_cast<uint64_t>(at_unix_ms));
  row.event.set_name("P0133");
  v1::Dtc& dtc = *row.event.mutable_dtc();
  dtc.set_bus("can0");
  dtc.set_protocol("obd");
  dtc.set_ecu(0x7E8);
  dtc.set_code("P0133");
  dtc.set_status("stored");
  dtc.set_count(3);
  return row;
}

EventRow WithCode(EventRow row, const std::string& code) {
  row.event.mutable_dtc()->set_code(code);
  return row;
}

EventRow Scanned(uint32_t epoch, uint64_t seq, int64_t at_unix_ms) {
  return WithCode(DtcEvent(v1::EVENT_KIND_DTC_SCANNED, epoch, seq, at_unix_ms), "");
}

class DtcTableTest : public testing::Test {
 protected:
  DtcTableTest() { EXPECT_TRUE(store_->Write({{.devices = {SampleDevice(1, "a"), SampleDevice(2, "b")}}}).ok()); }
  void Write(const std::vector<EventRow>& events) {
    const absl::Status status = store_->Write({{.events = events}});
    ASSERT_TRUE(status.ok()) << status;
  }
  v1::DtcList List(const StoreReader::DtcQuestion& question = {}) {
    const auto list = file_.Reader()->Dtcs(question);
    EXPECT_TRUE(list.ok()) << list.status();
    return *list;
  }
  // "CODE ECU active|cleared first-last", times after kNow.
  std::vector<std::string> Lines(const StoreReader::DtcQuestion& question = {}) {
    std::vector<std::string> lines;
    const v1::DtcList list = List(question);
    for (const v1::DtcView& dtc : list.dtcs()) {
      lines.push_back(absl::StrCat(dtc.code(), " ", dtc.ecu(), " ", dtc.active() ? "active" : "cleared", " ",
                                   static_cast<int64_t>(dtc.first_unix_ms()) - kNow, "-",
                                   static_cast<int64_t>(dtc.last_unix_ms()) - kNow));
    }
    return lines;
  }

  StoreFile file_;
  std::unique_ptr<Store> store_ = file_.Open();
};

TEST_F(DtcTableTest, ACodeIsShownWithAllThatTheDeviceSaidOfIt) {
  EventRow row = DtcEvent(kSet, 1, 1, kNow + 9);
  row.event.mutable_dtc()->set_first_unix_ms(kNow + 7);
  row.event.mutable_dtc()->set_last_unix_ms(kNow + 8);
  Write({row});
  const v1::DtcList list = List();
  ASSERT_THAT(list.dtcs(), SizeIs(1));
  const v1::DtcView& dtc = list.dtcs(0);
  EXPECT_EQ(dtc.device_id(), "a");
  EXPECT_EQ(dtc.bus(), "can0");
  EXPECT_EQ(dtc.protocol(), "obd");
  EXPECT_EQ(dtc.ecu(), "7E8");
  EXPECT_EQ(dtc.code(), "P0133");
  EXPECT_EQ(dtc.status(), "stored");
  EXPECT_TRUE(dtc.active());
  EXPECT_EQ(dtc.first_unix_ms(), kNow + 7);
  EXPECT_EQ(dtc.last_unix_ms(), kNow + 8);
  EXPECT_EQ(dtc.count(), 3);
  EXPECT_EQ(file_.Reader()->Events("a", 1000, 10)->events(0).kind(), "dtc_set");
}

TEST_F(DtcTableTest, AControllerIsWrittenAsItsStandardDoes) {
  EventRow j1939 = DtcEvent(kSet, 1, 1, kNow);
  j1939.event.mutable_dtc()->set_protocol("j1939");
  j1939.event.mutable_dtc()->set_ecu(0);
  EventRow obd_29_bit = DtcEvent(kSet, 1, 2, kNow);
  obd_29_bit.event.mutable_dtc()->set_ecu(0x18DAF110);
  Write({j1939, obd_29_bit});
  EXPECT_THAT(Lines(), ElementsAre("P0133 18DAF110 active 0-0", "P0133 00 active 0-0"));
}

TEST_F(DtcTableTest, ClearedAndSetAgainIsANewFirstTime) {
  Write({DtcEvent(kSet, 1, 1, kNow + 1), DtcEvent(kCleared, 1, 2, kNow + 2)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 cleared 1-2"));
  Write({DtcEvent(kSet, 1, 3, kNow + 3)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 active 3-3"));
}

TEST_F(DtcTableTest, ALaterLifeThatFindsItAgainKeepsTheFirstTime) {
  Write({DtcEvent(kSet, 1, 9, kNow + 1), DtcEvent(kSet, 2, 1, kNow + 5)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 active 1-5"));
}

TEST_F(DtcTableTest, WhatComesLateUndoesNothing) {
  Write({DtcEvent(kSet, 1, 8, kNow + 8)});
  Write({DtcEvent(kCleared, 1, 7, kNow + 7)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 active 8-8"));
  Write({DtcEvent(kCleared, 1, 7, kNow + 700)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 active 8-8")) << "within a life the number says the order, not the clock";
  Write({DtcEvent(kCleared, 2, 1, kNow + 9)});
  Write({DtcEvent(kSet, 1, 9, kNow + 8)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 cleared 8-9")) << "of an older life";
  EXPECT_EQ(file_.Query("SELECT count(*) FROM event"), 5) << "all of them happened";
}

TEST_F(DtcTableTest, AClearThatComesBeforeItsSetIsRemembered) {
  Write({DtcEvent(kCleared, 1, 2, kNow + 2)});
  Write({DtcEvent(kSet, 1, 1, kNow + 1)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 cleared 2-2"));
}

TEST_F(DtcTableTest, ALaterLifeIsNewerWhateverItsClockSays) {
  Write({DtcEvent(kSet, 4, 1, kNow + 9), DtcEvent(kCleared, 5, 1, kNow)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 cleared 9-0"));
}

TEST_F(DtcTableTest, AnOlderLifeIsOlderWhateverItsClockSays) {
  Write({DtcEvent(kSet, 5, 1, kNow), DtcEvent(kCleared, 4, 7, kNow + 9)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 active 0-0"));
  Write({Scanned(4, 8, kNow + 9)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 active 0-0"));
}

TEST_F(DtcTableTest, ADeviceThatLostItsDiskIsHeardAgain) {
  const EventRow disk_lost{.device_row = 1, .event = {}, .disk_lost = true};
  EventRow other = DtcEvent(kSet, 40, 1000, kNow + 1);
  other.device_row = 2;
  Write({DtcEvent(kSet, 40, 1000, kNow + 1), WithCode(DtcEvent(kSet, 40, 1001, kNow + 1), "P0002"),
         Scanned(40, 1002, kNow + 1), other, disk_lost, DtcEvent(kCleared, 1, 2, kNow - 7)});
  EXPECT_THAT(Lines({.device_id = "a"}), ElementsAre("P0133 7E8 cleared 1--7", "P0002 7E8 active 1-1"));
  Write({WithCode(DtcEvent(kSet, 1, 3, kNow + 3), "P0003")});
  EXPECT_THAT(Lines({.device_id = "a", .active_only = true}),
              ElementsAre("P0003 7E8 active 3-3", "P0002 7E8 active 1-1"))
      << "the scan was of an older life too";
  Write({Scanned(1, 4, kNow + 4)});
  EXPECT_THAT(Lines({.device_id = "a", .active_only = true}), ElementsAre("P0003 7E8 active 3-3"));
  other.epoch = 1;
  other.event.set_kind(kCleared);
  Write({other});
  EXPECT_THAT(Lines({.device_id = "b"}), ElementsAre("P0133 7E8 active 1-1")) << "its disk is whole";
  EXPECT_EQ(file_.Query("SELECT count(*) FROM event WHERE epoch = 0"), 0) << "it is no event";
}

TEST_F(DtcTableTest, WhatALaterLifeDoesNotFindAnyMoreIsGone) {
  Write({WithCode(DtcEvent(kSet, 1, 1, kNow), "P0001"), WithCode(DtcEvent(kSet, 1, 2, kNow), "P0002"),
         WithCode(DtcEvent(kSet, 1, 3, kNow), "P0003"), Scanned(1, 4, kNow)});
  EXPECT_THAT(Lines(), ElementsAre("P0003 7E8 active 0-0", "P0002 7E8 active 0-0", "P0001 7E8 active 0-0"));
  EventRow other = Scanned(2, 1, kNow + 5);
  other.event.mutable_dtc()->set_ecu(0x7E9);
  Write({other, WithCode(DtcEvent(kSet, 2, 2, kNow + 9), "P0002"), Scanned(2, 3, kNow + 9)});
  EXPECT_THAT(Lines(), ElementsAre("P0003 7E8 cleared 0-9", "P0001 7E8 cleared 0-9", "P0002 7E8 active 0-9"));
  Write({Scanned(1, 5, kNow + 1)});
  EXPECT_THAT(Lines({.active_only = true}), ElementsAre("P0002 7E8 active 0-9")) << "it came late";
}

TEST_F(DtcTableTest, WhatAnOlderLifeToldIsGoneAlsoWhenItComesAfterTheScan) {
  Write({DtcEvent(kSet, 2, 1, kNow + 1), DtcEvent(kCleared, 2, 2, kNow + 2), Scanned(4, 5, kNow + 9)});
  Write({WithCode(DtcEvent(kSet, 3, 8, kNow + 3), "P0002"), DtcEvent(kSet, 3, 9, kNow + 3)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 cleared 3-9", "P0002 7E8 cleared 3-9")) << "as it would be in time";
  EXPECT_THAT(Lines({.active_only = true}), IsEmpty());
  Write({WithCode(DtcEvent(kSet, 4, 4, kNow + 8), "P0003"), DtcEvent(kSet, 4, 3, kNow + 7)});
  EXPECT_THAT(Lines({.active_only = true}), ElementsAre("P0133 7E8 active 7-7", "P0003 7E8 active 8-8"))
      << "of the life that scanned";
  Write({WithCode(DtcEvent(kSet, 5, 1, kNow + 10), "P0002"), Scanned(3, 10, kNow + 20)});
  EXPECT_THAT(Lines({.active_only = true}),
              ElementsAre("P0002 7E8 active 10-10", "P0133 7E8 active 7-7", "P0003 7E8 active 8-8"));
}

TEST_F(DtcTableTest, AScanIsRememberedPastItsAgeAndTheBoundAndNeverListed) {
  std::vector<EventRow> rows = {Scanned(4, 1, kNow)};
  for (int i = 0; i < DtcTable::kMaxCodes; ++i) {
    rows.push_back(WithCode(DtcEvent(kCleared, 4, static_cast<uint64_t>(i) + 2, kNow), absl::StrCat("code ", i)));
  }
  Write(rows);
  EXPECT_EQ(List({.limit = 1000}).dtcs_size(), 1) << "the last one took the place of all that were cleared";
  while (*store_->Prune({.keep = absl::Seconds(1)}, kNow + 86'400'000)) continue;
  EXPECT_THAT(Lines(), IsEmpty());
  Write({DtcEvent(kSet, 3, 9, kNow)});
  EXPECT_THAT(Lines(), ElementsAre("P0133 7E8 cleared 0-0"));
}

TEST_F(DtcTableTest, NumbersOfChangesGrowByOneHoweverManyLivesThereAre) {
  constexpr uint32_t kLives = 200;
  for (uint32_t life = 1; life <= kLives; ++life) {
    Write({Scanned(life, 1, kNow), WithCode(DtcEvent(kSet, life, 2, kNow), absl::StrCat("P", 1000 + life)),
           WithCode(DtcEvent(kSet, life, 3, kNow), absl::StrCat("P", 3000 + life))});
  }
  EXPECT_THAT(Lines({.active_only = true}), ElementsAre("P3200 7E8 active 0-0", "P1200 7E8 active 0-0"));
  EXPECT_LE(file_.Query("SELECT max(change) FROM dtc"), 5 * kLives) << "a scan, and two that are set and cleared";
  EXPECT_EQ(file_.Query("SELECT count(*) FROM dtc WHERE active = 0"), 2 * (kLives - 1));
}

TEST_F(DtcTableTest, ACodeIsOneOfItsControllerOnItsBus) {
  std::vector<EventRow> rows(5, DtcEvent(kSet, 1, 1, kNow));
  rows[1].event.mutable_dtc()->set_bus("can1");
  rows[2].event.mutable_dtc()->set_ecu(0x7E9);
  rows[3].event.mutable_dtc()->set_protocol("j1939");
  rows[4].device_row = 2;
  Write(rows);
  EXPECT_THAT(Lines(), SizeIs(5));
  EXPECT_THAT(Lines({.device_id = "b"}), SizeIs(1));
  Write({DtcEvent(kCleared, 1, 2, kNow)});
  EXPECT_THAT(Lines({.active_only = true}), SizeIs(4));
}

TEST_F(DtcTableTest, TheNewestChangeComesFirstInPages) {
  Write({WithCode(DtcEvent(kSet, 1, 1, kNow), "P0001"), WithCode(DtcEvent(kSet, 1, 2, kNow), "P0002"),
         WithCode(DtcEvent(kSet, 1, 3, kNow), "P0003"), WithCode(DtcEvent(kCleared, 1, 4, kNow + 4), "P0001")});
  const v1::DtcList page = List({.limit = 2});
  ASSERT_THAT(page.dtcs(), SizeIs(2));
  EXPECT_EQ(page.dtcs(0).code(), "P0001");
  EXPECT_EQ(page.dtcs(1).code(), "P0003");
  EXPECT_THAT(Lines({.before = std::stoll(page.next_cursor()), .limit = 2}), ElementsAre("P0002 7E8 active 0-0"));
  EXPECT_THAT(Lines({.active_only = true, .limit = 1}), ElementsAre("P0003 7E8 active 0-0"));
  EXPECT_TRUE(absl::IsNotFound(file_.Reader()->Dtcs({.device_id = "none"}).status()));
}

TEST_F(DtcTableTest, TimesThatCannotBeAreTheLastThatCan) {
  EventRow row = DtcEvent(kSet, 1, 1, -1);  // 2^64 - 1 on the wire
  row.event.mutable_dtc()->set_first_unix_ms(std::numeric_limits<uint64_t>::max());
  Write({row});
  EXPECT_EQ(List().dtcs(0).first_unix_ms(), 253'402'300'799'999);
  EXPECT_EQ(List().dtcs(0).last_unix_ms(), 253'402'300'799'999);
}

TEST_F(DtcTableTest, PastTheBoundClearedCodesGoAndActiveOnesStay) {
  std::vector<EventRow> rows;
  for (int i = 0; i < DtcTable::kMaxCodes; ++i) {
    rows.push_back(WithCode(DtcEvent(kSet, 1, static_cast<uint64_t>(i) + 1, kNow), absl::StrCat("code ", i)));
  }
  rows.push_back(WithCode(DtcEvent(kCleared, 1, 2000, kNow), "code 0"));
  Write(rows);
  Write({WithCode(DtcEvent(kSet, 1, 2001, kNow), "takes its place")});
  EXPECT_EQ(file_.Query("SELECT count(*) FROM dtc"), DtcTable::kMaxCodes);
  EXPECT_EQ(file_.Query("SELECT count(*) FROM dtc WHERE code = 'code 0'"), 0);
  EXPECT_EQ(store_->counters().dtcs_refused, 0u);

  EventRow other = WithCode(DtcEvent(kSet, 1, 1, kNow), "of another device");
  other.device_row = 2;
  Write({WithCode(DtcEvent(kSet, 1, 2002, kNow), "one too many"), other});
  EXPECT_EQ(store_->counters().dtcs_refused, 1u);
  EXPECT_THAT(Lines({.device_id = "b"}), SizeIs(1));
  Write({WithCode(DtcEvent(kCleared, 1, 2003, kNow), "code 1")});
  EXPECT_EQ(file_.Query("SELECT active FROM dtc WHERE code = 'code 1'"), 0) << "those that are there still change";
}

TEST_F(DtcTableTest, ClearedCodesAreForgottenWithTheirAge) {
  EventRow set = DtcEvent(kSet, 1, 1, kNow);
  EventRow cleared = WithCode(DtcEvent(kCleared, 1, 2, kNow), "P0002");
  EventRow cleared_later = WithCode(DtcEvent(kCleared, 1, 3, kNow), "P0003");
  cleared_later.received_unix_ms = kNow + 2'000;
  Write({set, cleared, cleared_later});
  while (*store_->Prune({.keep = absl::Seconds(1)}, kNow + 2'500)) continue;
  EXPECT_THAT(Lines(), ElementsAre("P0003 7E8 cleared 0-0", "P0133 7E8 active 0-0"));
}

TEST_F(DtcTableTest, OtherEventsSayNothingOfCodes) {
  Write({DtcEvent(v1::EVENT_KIND_CAN_UP, 1, 1, kNow)});
  EXPECT_THAT(Lines(), IsEmpty());
}

}  // namespace
}  // namespace fleet::server
