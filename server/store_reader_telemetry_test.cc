// Telemetry by signal: pages, their order, and what a reader that follows gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "server/testing/sample_rows.h"
#include "server/testing/store_file.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'760'000'000'000;
using Question = StoreReader::TelemetryQuestion;

class StoreReaderTelemetryTest : public testing::Test {
 protected:
  StoreReaderTelemetryTest() {
    EXPECT_TRUE(store_->Write({{.devices = {SampleDevice(1, "a"), SampleDevice(2, "b")}}}).ok());
    reader_ = file_.Reader();
  }
  void Write(const std::vector<TelemetryRow>& rows) {
    const absl::Status status = store_->Write({{.telemetry = rows}});
    ASSERT_TRUE(status.ok()) << status;
  }
  // Asks on until the end, and leaves the cursor of the end in the question. "SIGNAL value@time after kNow".
  std::vector<std::string> All(Question& question, int* pages = nullptr) {
    std::vector<std::string> lines;
    for (int page = 1;; ++page) {
      const auto list = reader_->Telemetry(question);
      EXPECT_TRUE(list.ok()) << list.status();
      if (!list.ok()) return lines;
      EXPECT_LE(list->samples_size(), question.limit);
      for (const v1::TelemetryView& sample : list->samples()) {
        lines.push_back(absl::StrCat(sample.signal(), " ",
                                     sample.has_value() ? absl::StrCat(sample.value()) : std::string("invalid"), "@",
                                     static_cast<int64_t>(sample.at_unix_ms()) - kNow));
      }
      EXPECT_NE(list->next_cursor(), "");
      question.cursor = list->next_cursor();
      if (pages != nullptr) *pages = page;
      if (list->at_end()) return lines;
    }
  }
  std::vector<std::string> AllOf(Question question) { return All(question); }

  StoreFile file_;
  std::unique_ptr<Store> store_ = file_.Open();
  std::unique_ptr<StoreReader> reader_;
};

TEST_F(StoreReaderTelemetryTest, SamplesOfOneDeviceInTheOrderOfTheirTime) {
  Write({RowOf(1, {{"a/x", kNow + 2, 2}, {"a/y", kNow + 1, 1}, {"a/x", kNow + 3, 3}}), RowOf(2, {{"a/x", kNow, 9}})});
  EXPECT_THAT(AllOf({.device_id = "a"}), ElementsAre("a/y 1@1", "a/x 2@2", "a/x 3@3"));
  EXPECT_THAT(AllOf({.device_id = "b"}), ElementsAre("a/x 9@0"));
}

TEST_F(StoreReaderTelemetryTest, OnlyTheSignalsThatAreAskedFor) {
  Write({RowOf(1, {{"a/x", kNow, 1}, {"a/y", kNow, 2}, {"a/z", kNow, 3}})});
  EXPECT_THAT(AllOf({.device_id = "a", .signals = {"a/y"}}), ElementsAre("a/y 2@0"));
  EXPECT_THAT(AllOf({.device_id = "a", .signals = {"a/z", "a/x", "a/z"}}), ElementsAre("a/x 1@0", "a/z 3@0"));
}

TEST_F(StoreReaderTelemetryTest, ValuesThatAreNoNumberAreInvalidAndBacklogShows) {
  TelemetryRow row = RowOf(1, {{"a/x", kNow, std::numeric_limits<double>::quiet_NaN()},
                               {"a/x", kNow + 1, -std::numeric_limits<double>::infinity()},
                               {"a/x", kNow + 2, -0.5}});
  row.backlog = true;
  Write({row});
  EXPECT_THAT(AllOf({.device_id = "a"}), ElementsAre("a/x invalid@0", "a/x invalid@1", "a/x -0.5@2"));
  EXPECT_TRUE(reader_->Telemetry({.device_id = "a"})->samples(0).backlog());
}

TEST_F(StoreReaderTelemetryTest, FromATimeOnAndBeforeATime) {
  std::vector<TelemetryRow> rows;
  for (int i = 0; i < 5; ++i) {
    rows.push_back(RowOf(1, {{"a/x", kNow + 10 * i, 1.0 * i}, {"a/y", kNow + 10 * i + 5, 1.0 * i}}));
  }
  Write(rows);
  EXPECT_THAT(AllOf({.device_id = "a", .since_unix_ms = kNow + 35}), ElementsAre("a/y 3@35", "a/x 4@40", "a/y 4@45"));
  EXPECT_THAT(AllOf({.device_id = "a", .until_unix_ms = kNow + 10}), ElementsAre("a/x 0@0", "a/y 0@5"));
  EXPECT_THAT(AllOf({.device_id = "a", .since_unix_ms = kNow + 15, .until_unix_ms = kNow + 16}),
              ElementsAre("a/y 1@15"));
  EXPECT_THAT(AllOf({.device_id = "a", .since_unix_ms = std::numeric_limits<int64_t>::max()}), IsEmpty());
  EXPECT_THAT(AllOf({.device_id = "a", .until_unix_ms = std::numeric_limits<int64_t>::min()}), IsEmpty());
}

TEST_F(StoreReaderTelemetryTest, PagesLeaveNothingOutAndRepeatNothing) {
  std::vector<TelemetryRow> rows;
  std::vector<std::string> wanted;
  for (int i = 0; i < 20; ++i) {
    std::vector<TestSample> samples;
    for (int j = 0; j <= i % 4; ++j) {
      samples.push_back({"a/x", kNow + 10 * i + j, 1.0 * j});
      wanted.push_back(absl::StrCat("a/x ", j, "@", 10 * i + j));
    }
    rows.push_back(RowOf(1, samples));
    rows.push_back(RowOf(2, samples));
  }
  Write(rows);
  for (int limit = 1; limit <= 60; ++limit) {
    EXPECT_THAT(AllOf({.device_id = "a", .limit = limit}), ElementsAreArray(wanted)) << limit;
  }
}

TEST_F(StoreReaderTelemetryTest, WhoAsksOnGetsWhatCameMeanwhileInTheOrderOfStoring) {
  Question question{.device_id = "a"};
  EXPECT_THAT(All(question), IsEmpty()) << "nothing yet, and a cursor all the same";
  Write({RowOf(2, {{"b/x", kNow, 7}})});
  EXPECT_THAT(All(question), IsEmpty());
  Write({RowOf(1, {{"a/x", kNow + 5, 5}})});
  EXPECT_THAT(All(question), ElementsAre("a/x 5@5"));
  EXPECT_THAT(All(question), IsEmpty());
  Write({RowOf(1, {{"a/x", kNow + 1, 1}}, 2)});  // older, and came later
  EXPECT_THAT(All(question), ElementsAre("a/x 1@1"));
}

TEST_F(StoreReaderTelemetryTest, WhoAsksOnMissesNothingWhenAllBeforeWasPruned) {
  Question question{.device_id = "a"};
  Write({RowOf(1, {{"a/x", kNow, 1}}), RowOf(1, {{"a/x", kNow, 2}}, 2)});
  EXPECT_THAT(All(question), SizeIs(2));
  while (*store_->Prune({.keep = absl::Seconds(1)}, kNow + 3'600'000)) continue;
  ASSERT_EQ(file_.Query("SELECT count(*) FROM telemetry"), 0);
  store_ = file_.Open();
  Write({RowOf(1, {{"a/x", kNow + 3'600'000, 3}}, 3)});
  EXPECT_THAT(All(question), ElementsAre("a/x 3@3600000"));
  EXPECT_EQ(reader_->Signals("a")->signals_size(), 1);
}

TEST_F(StoreReaderTelemetryTest, APageThatHasReadMuchEndsAndGoesOn) {
  std::vector<TelemetryRow> rows;
  for (uint64_t i = 1; i <= 2500; ++i) rows.push_back(RowOf(1, {{"a/x", kNow, 1}}, i));
  rows.push_back(RowOf(1, {{"a/y", kNow, 2}}, 2501));
  Write(rows);
  Question question{.device_id = "a", .signals = {"a/y"}};
  int pages = 0;
  EXPECT_THAT(All(question, &pages), ElementsAre("a/y 2@0"));
  EXPECT_EQ(pages, 3);
}

TEST_F(StoreReaderTelemetryTest, WhatDoesNotExistIsNotFoundWithTheNearestName) {
  Write({RowOf(1, {{"engine/rpm", kNow, 1}, {"engine/temp", kNow, 1}})});
  EXPECT_TRUE(absl::IsNotFound(reader_->Telemetry({.device_id = "none"}).status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->Signals("none").status()));
  const absl::Status near = reader_->Telemetry({.device_id = "a", .signals = {"engine/temp", "engine/rmp"}}).status();
  EXPECT_TRUE(absl::IsNotFound(near));
  EXPECT_EQ(std::string(near.message()), "device a has no signal engine/rmp; did you mean engine/rpm?");
  const absl::Status none = reader_->Telemetry({.device_id = "b", .signals = {"engine/rpm"}}).status();
  EXPECT_THAT(std::string(none.message()), HasSubstr("nor any other"));
}

TEST_F(StoreReaderTelemetryTest, ACursorThatNobodyGaveIsRefused) {
  for (const char* cursor : {"x", "1", "1.", ".1", "-1.0", "1.-1", "1.1.1", "99999999999999999999.0"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(reader_->Telemetry({.device_id = "a", .cursor = cursor}).status())) << cursor;
  }
  EXPECT_TRUE(reader_->Telemetry({.device_id = "a", .cursor = "9223372036854775807.2147483647"}).ok());
}

TEST_F(StoreReaderTelemetryTest, ADamagedBlockIsSaidToBeThat) {
  Write({RowOf(1, {{"a/x", kNow, 1}})});
  for (const char* damage : {"x'ff'", "x'1000'"}) {  // no message; an index without a value
    file_.Exec(absl::StrCat("UPDATE telemetry SET data = ", damage));
    const absl::Status status = reader_->Telemetry({.device_id = "a"}).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("telemetry block 1 "));
  }
}

TEST_F(StoreReaderTelemetryTest, SignalsByNameWithTheirNewestValue) {
  Write({RowOf(
      1, {{"b/x", kNow + 1, 1}, {"a/x", kNow + 2, std::numeric_limits<double>::quiet_NaN()}, {"b/x", kNow + 3, 3}})});
  const auto list = reader_->Signals("a");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->device_id(), "a");
  ASSERT_THAT(list->signals(), SizeIs(2));
  EXPECT_EQ(list->signals(0).signal(), "a/x");
  EXPECT_FALSE(list->signals(0).has_value());
  EXPECT_EQ(list->signals(0).at_unix_ms(), kNow + 2);
  EXPECT_EQ(list->signals(1).value(), 3);
  EXPECT_THAT(reader_->Signals("b")->signals(), IsEmpty());
}

}  // namespace
}  // namespace fleet::server
