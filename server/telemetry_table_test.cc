#include "server/telemetry_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/telemetry_block.h"
#include "server/testing/sample_rows.h"
#include "server/testing/store_file.h"

namespace fleet::server {
namespace {

using ::testing::SizeIs;

constexpr int64_t kNow = 1'760'000'000'000;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class TelemetryTableTest : public testing::Test {
 protected:
  void WriteOrDie(Store& store, const std::vector<TelemetryRow>& rows) {
    const absl::Status status = store.Write({{.telemetry = rows}});
    ASSERT_TRUE(status.ok()) << status;
  }
  void Write(const std::vector<TelemetryRow>& rows) { WriteOrDie(*store_, rows); }
  // What is stored of a device, with the numbers looked up; "" has none.
  std::vector<TestSample> Stored(int64_t device) {
    auto database = *Database::Open(file_.path(), Database::Mode::kReadOnly);
    auto blocks = *database->Prepare("SELECT data, first_unix_ms FROM telemetry WHERE device = ? ORDER BY block");
    blocks.BindInt(1, device);
    std::vector<TestSample> samples;
    while (*blocks.Step()) {
      v1::TelemetryBlock block;
      EXPECT_TRUE(ParseBlock(blocks.Blob(0), block).ok());
      ForEachSample(block, blocks.Int(1), [&](int, int64_t signal, int64_t at_unix_ms, double value) {
        auto name =
            *database->Prepare("SELECT coalesce((SELECT name FROM signal WHERE number = ? AND device = ?), '')");
        name.BindInt(1, signal);
        name.BindInt(2, device);
        EXPECT_TRUE(*name.Step());
        samples.push_back({std::string(name.Text(0)), at_unix_ms, value});
      });
    }
    return samples;
  }
  void ExpectStored(int64_t device, const std::vector<TestSample>& wanted) {
    const std::vector<TestSample> stored = Stored(device);
    ASSERT_THAT(stored, SizeIs(wanted.size()));
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(stored[i].signal, wanted[i].signal) << i;
      EXPECT_EQ(stored[i].at_unix_ms, wanted[i].at_unix_ms) << i;
      EXPECT_TRUE(stored[i].value == wanted[i].value || (std::isnan(stored[i].value) && std::isnan(wanted[i].value)));
    }
  }
  // "value@time after kNow", or "invalid@...".
  std::string NewestOf(const std::string& name, int64_t device = 1) {
    auto database = *Database::Open(file_.path(), Database::Mode::kReadOnly);
    auto query = *database->Prepare("SELECT last_value, last_unix_ms FROM signal WHERE device = ? AND name = ?");
    query.BindInt(1, device);
    query.BindText(2, name);
    if (!*query.Step()) return "none";
    return absl::StrCat(query.IsNull(0) ? "invalid" : absl::StrCat(query.Real(0)), "@", query.Int(1) - kNow);
  }

  StoreFile file_;
  std::unique_ptr<Store> store_ = file_.Open();
};

TEST_F(TelemetryTableTest, SamplesComeBackAsTheyWere) {
  const std::vector<TestSample> samples = {
      {"engine/rpm", kNow, 3500},        {"engine/temp", kNow + 10, -40.125},
      {"engine/rpm", kNow - 5000, kNaN},  // a clock that was set back
      {"engine/rpm", kNow + 20, 1e300},  {"engine/temp", kNow + 20, 0},
  };
  Write({RowOf(1, samples)});
  ExpectStored(1, samples);
  EXPECT_EQ(file_.Query("SELECT first_unix_ms FROM telemetry"), kNow - 5000);
  EXPECT_EQ(file_.Query("SELECT last_unix_ms FROM telemetry"), kNow + 20);
}

TEST_F(TelemetryTableTest, TimesThatCannotBeAreStoredAsTheNearestThatCan) {
  v1::TelemetryBatch batch = BatchOf({{"a/b", 0, 1}, {"a/b", 0, 2}, {"a/b", 0, 3}});
  batch.set_first_unix_ms(std::numeric_limits<uint64_t>::max());
  batch.set_after_ms(1, kMaxUnixMs + 2);
  Write({RowOf(1, batch)});
  ExpectStored(1, {{"a/b", 0, 1}, {"a/b", kMaxUnixMs, 2}, {"a/b", kMaxUnixMs, 3}});
}

TEST_F(TelemetryTableTest, ANameIsStoredOnceForEachDeviceAndOverRestarts) {
  Write({RowOf(1, {{"a/b", kNow, 1}}), RowOf(2, {{"a/b", kNow, 2}}), RowOf(1, {{"a/b", kNow, 3}}, 2)});
  store_ = file_.Open();
  Write({RowOf(1, {{"a/b", kNow, 4}, {"a/c", kNow, 5}}, 3)});
  EXPECT_EQ(file_.Query("SELECT count(*) FROM signal"), 3);
  ExpectStored(1, {{"a/b", kNow, 1}, {"a/b", kNow, 3}, {"a/b", kNow, 4}, {"a/c", kNow, 5}});
  ExpectStored(2, {{"a/b", kNow, 2}});
}

TEST_F(TelemetryTableTest, NamesThatNoSampleHasAreNotStored) {
  const v1::TelemetryBatch batch = BatchOf({{"a/b", kNow, 1}, {"a/c", kNow, 2}});
  TelemetryRow row = SliceTelemetry(batch, {2, 2});  // has both names
  row.device_row = 1;
  Write({row});
  ExpectStored(1, {{"a/c", kNow, 2}});
  EXPECT_EQ(NewestOf("a/b"), "none");
}

TEST_F(TelemetryTableTest, TheNewestValueIsTheOneOfTheLatestTime) {
  Write({RowOf(1, {{"a/b", kNow + 5, 5}, {"a/b", kNow + 9, 9}, {"a/b", kNow + 7, 7}}), RowOf(2, {{"a/b", kNow, 2}})});
  EXPECT_EQ(NewestOf("a/b"), "9@9");
  EXPECT_EQ(NewestOf("a/b", 2), "2@0");
  TelemetryRow late = RowOf(1, {{"a/b", kNow + 8, 8}});
  late.backlog = true;
  Write({late});
  EXPECT_EQ(NewestOf("a/b"), "9@9");
  store_ = file_.Open();
  Write({late});
  EXPECT_EQ(NewestOf("a/b"), "9@9") << "also after a restart";
  Write({RowOf(1, {{"a/b", kNow + 9, 10}}, 4)});
  EXPECT_EQ(NewestOf("a/b"), "10@9") << "of the same time the one that came last";
}

TEST_F(TelemetryTableTest, AValueThatIsNoNumberIsInvalid) {
  Write({RowOf(1, {{"a/b", kNow, 5}})});
  for (const double value : {kNaN, std::numeric_limits<double>::infinity()}) {
    Write({RowOf(1, {{"a/b", kNow + 1, value}})});
    EXPECT_EQ(NewestOf("a/b"), "invalid@1");
  }
  Write({RowOf(1, {{"a/b", kNow + 2, 6}})});
  EXPECT_EQ(NewestOf("a/b"), "6@2");
}

// A device without a battery for its clock may begin anywhere.
TEST_F(TelemetryTableTest, WhatAClockFarAheadSaidGivesWayToWhatIsLive) {
  TelemetryRow ahead = RowOf(1, {{"a/b", kNow + 86'400'000, 1}});
  ahead.received_unix_ms = kNow;
  Write({ahead});
  TelemetryRow late = RowOf(1, {{"a/b", kNow - 1000, 2}}, 2);
  late.received_unix_ms = kNow + 1000;
  late.backlog = true;
  Write({late});
  EXPECT_EQ(NewestOf("a/b"), "1@86400000") << "what waited says nothing of now";
  TelemetryRow live = RowOf(1, {{"a/b", kNow + 2000, 3}}, 3);
  Write({live});
  EXPECT_EQ(NewestOf("a/b"), "3@2000");
}

TEST_F(TelemetryTableTest, AClockThatGoesBackHidesNothingThatIsLive) {
  constexpr int64_t kHour = 3'600'000;
  Write({RowOf(1, {{"a/b", kNow, 1}})});
  TelemetryRow late = RowOf(1, {{"a/b", kNow - kHour, 2}}, 2);
  late.received_unix_ms = kNow + 1000;
  late.backlog = true;
  Write({late});
  EXPECT_EQ(NewestOf("a/b"), "1@0") << "what waited is old";
  TelemetryRow live = RowOf(1, {{"a/b", kNow - kHour, 3}, {"a/b", kNow - kHour + 100, 4}}, 3);
  live.received_unix_ms = kNow + 2000;
  Write({live});
  EXPECT_EQ(NewestOf("a/b"), "4@-3599900");
  Write({RowOf(1, {{"a/b", kNow + 3000, 5}}, 5)});
  TelemetryRow slow = RowOf(1, {{"a/b", kNow - 50'000, 6}}, 6);
  slow.received_unix_ms = kNow + 4000;
  Write({slow});
  EXPECT_EQ(NewestOf("a/b"), "5@3000") << "within the tolerance the clock has the word";
}

// Signals `first` to `last` of a device, each with its number as the value.
TelemetryRow ManySignals(int64_t device, int first, int last, uint64_t first_seq) {
  v1::TelemetryBatch batch;
  batch.set_epoch(1);
  batch.set_first_seq(first_seq);
  batch.set_first_unix_ms(kNow);
  for (int i = first; i <= last; ++i) {
    batch.add_signals(absl::StrCat("many/", i));
    batch.add_signal(static_cast<uint32_t>(i - first));
    batch.add_after_ms(0);
    batch.add_value(i);
  }
  return RowOf(device, batch);
}

TEST_F(TelemetryTableTest, SignalsPastTheBoundLoseTheirNameAndNothingElse) {
  constexpr int kMax = TelemetryTable::kMaxSignals;
  Write({ManySignals(1, 1, 4000, 1), ManySignals(1, 3901, kMax + 2, 4001)});
  EXPECT_EQ(file_.Query("SELECT count(*) FROM signal WHERE device = 1"), kMax);
  EXPECT_EQ(store_->counters().nameless_samples, 2u);
  const std::vector<TestSample> stored = Stored(1);
  ASSERT_THAT(stored, SizeIs(4000 + kMax + 2 - 3900)) << "each sample keeps its place";
  EXPECT_EQ(stored[stored.size() - 3].signal, absl::StrCat("many/", kMax));
  EXPECT_EQ(stored.back().signal, "");
  EXPECT_EQ(stored.back().value, kMax + 2);
  EXPECT_EQ(file_.Query("SELECT sum(samples) FROM telemetry"), static_cast<int64_t>(stored.size()));

  store_ = file_.Open();
  Write({ManySignals(1, kMax, kMax + 1, 9001), ManySignals(2, 1, 1, 1)});
  EXPECT_EQ(store_->counters().nameless_samples, 1u) << "counted since the start; those that are known go on";
  EXPECT_EQ(NewestOf("many/1", 2), "1@0") << "another device has room";
}

TEST_F(TelemetryTableTest, NamesOfATransactionThatFailedAreNotTakenForStored) {
  ASSERT_TRUE(store_->Write({{.commands = {SampleCommand(5, 1)}}}).ok());
  const RowBatch names{.telemetry = {RowOf(1, {{"a/b", kNow + 9, 1}}), ManySignals(2, 1, 4097, 1)}};
  ASSERT_TRUE(absl::IsAlreadyExists(store_->Write({names, {.commands = {SampleCommand(5, 1)}}})));
  EXPECT_EQ(store_->counters().nameless_samples, 0u);
  // Another signal has the number now.
  Write({RowOf(1, {{"a/c", kNow + 1, 2}, {"a/b", kNow + 2, 3}})});
  ExpectStored(1, {{"a/c", kNow + 1, 2}, {"a/b", kNow + 2, 3}});
  EXPECT_EQ(NewestOf("a/b"), "3@2") << "the time that was rolled back does not count";
}

TEST_F(TelemetryTableTest, ARowThatHoldsAnotherBatchIsRefused) {
  const TelemetryRow good = RowOf(1, {{"a/b", kNow, 1}, {"a/c", kNow, 2}});
  TelemetryRow row = good;
  row.batch = "\xff";
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Write({{.telemetry = {row}}})));
  row = good;
  row.samples = 3;
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Write({{.telemetry = {row}}})));
  v1::TelemetryBatch batch = BatchOf({{"a/b", kNow, 1}});
  batch.set_signal(0, 1);
  row = good;
  row.samples = 1;
  row.batch = batch.SerializeAsString();
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Write({{.telemetry = {row}}})));
  Write({good});
  EXPECT_EQ(file_.Query("SELECT count(*) FROM telemetry"), 1);
}

}  // namespace
}  // namespace fleet::server
