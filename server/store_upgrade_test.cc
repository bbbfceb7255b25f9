// A database of version 2 becomes one of version 3: telemetry row by row, over any interruption.
#include "server/store_upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/testing/schema_v2.h"
#include "server/testing/store_file.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'760'000'000'000;

std::string InsertV2(const std::string& table, int64_t block, const TelemetryRow& row) {
  return absl::StrCat("INSERT INTO ", table, " VALUES (", block, ", ", row.device_row, ", ", row.epoch, ", ",
                      row.first_seq, ", ", row.samples, ", ", row.first_unix_ms, ", ", row.last_unix_ms, ", ",
                      row.received_unix_ms, ", ", row.backlog ? 1 : 0, ", x'", absl::BytesToHexString(row.batch),
                      "');");
}

TelemetryRow RowAt(int64_t device, int second) {
  TelemetryRow row =
      RowOf(device, {{"a/x", kNow + 1000 * second, 1.0 * second}, {"a/y", kNow + 1000 * second + 1, 0.5}},
            1 + 2 * static_cast<uint64_t>(second));
  row.received_unix_ms = kNow + 1000 * second + 20;
  row.backlog = second % 2 == 1;
  return row;
}

class StoreUpgradeTest : public testing::Test {
 protected:
  // As a fleet-server of version 2 leaves it: rows of two devices in turn, from block 5 on.
  void MakeV2(int rows) {
    std::string sql = absl::StrCat(kSchemaV2,
                                   "BEGIN; INSERT INTO meta VALUES ('server_epoch', 4), ('first_command', 100);"
                                   "INSERT INTO device VALUES (1, 'a', 3, 9, '1.0', 'online', '', 5, 6),"
                                   " (2, 'b', 3, 9, '1.0', 'online', '', 5, 6);"
                                   "INSERT INTO command VALUES (100, 1, 5, x'2001', 1000, 5000, 1);"
                                   "INSERT INTO event VALUES (7, 1, 3, 1, 9, 0, 'kept', '', 1, 2, 0);");
    for (int i = 0; i < rows; ++i) absl::StrAppend(&sql, InsertV2("telemetry", 5 + i, RowAt(1 + i % 2, i)));
    file_.Exec(sql + "COMMIT; PRAGMA application_id = 1181508965; PRAGMA user_version = 2");
  }
  std::vector<double> ValuesOf(const std::string& device, const std::string& signal) {
    std::vector<double> values;
    const auto reader = file_.Reader();
    for (std::string cursor;;) {
      const auto page = reader->Telemetry({.device_id = device, .signals = {signal}, .cursor = cursor, .limit = 1000});
      EXPECT_TRUE(page.ok()) << page.status();
      for (const v1::TelemetryView& sample : page->samples()) values.push_back(sample.value());
      if (page->at_end()) return values;
      cursor = page->next_cursor();
    }
  }
  void ExpectVersion3() {
    EXPECT_EQ(file_.Query("PRAGMA user_version"), 3);
    StoreFile fresh;
    fresh.Open();
    const std::string layout =
        "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE '%_of_2'";
    EXPECT_EQ(file_.Query(layout), fresh.Query(layout));
    EXPECT_EQ(file_.Query("SELECT count(*) FROM sqlite_master WHERE name = 'telemetry_of_2'"), 0);
  }

  StoreFile file_;
};

TEST_F(StoreUpgradeTest, EveryRowIsTakenOverAndNamesAreStoredOnce) {
  MakeV2(4);
  ASSERT_NE(file_.Open(), nullptr);
  ExpectVersion3();
  EXPECT_EQ(file_.Query("SELECT count(*) FROM signal"), 4);
  EXPECT_THAT(ValuesOf("a", "a/x"), ElementsAre(0, 2));
  EXPECT_THAT(ValuesOf("b", "a/x"), ElementsAre(1, 3));
  const auto page = file_.Reader()->Telemetry({.device_id = "b"});
  ASSERT_THAT(page->samples(), SizeIs(4));
  EXPECT_EQ(page->samples(1).signal(), "a/y");
  EXPECT_EQ(page->samples(1).at_unix_ms(), kNow + 1001);
  EXPECT_TRUE(page->samples(1).backlog());
  const auto signals = file_.Reader()->Signals("b");
  ASSERT_THAT(signals->signals(), SizeIs(2));
  EXPECT_EQ(signals->signals(0).value(), 3);
  // Each column, of the last row.
  EXPECT_EQ(file_.Query(absl::StrCat("SELECT count(*) FROM telemetry WHERE block = 8 AND device = 2 AND epoch = 1 AND "
                                     "first_seq = 7 AND samples = 2 AND backlog = 1 AND first_unix_ms = ",
                                     kNow + 3000, " AND last_unix_ms = ", kNow + 3001,
                                     " AND received_unix_ms = ", kNow + 3020)),
            1);
}

TEST_F(StoreUpgradeTest, WhatIsNotTelemetryStaysAsItIs) {
  MakeV2(1);
  const auto fleet = file_.Open()->Load({});
  ASSERT_TRUE(fleet.ok()) << fleet.status();
  EXPECT_EQ(fleet->server_epoch, 5u);
  EXPECT_THAT(fleet->devices, SizeIs(2));
  EXPECT_THAT(*file_.Reader()->ListCommands("a", CommandId{1000}, 10), SizeIs(1));
  EXPECT_EQ(file_.Reader()->Events("a", 1000, 10)->events(0).name(), "kept");
}

TEST_F(StoreUpgradeTest, NewRowsFollowBehindTheOldOnes) {
  MakeV2(3);
  const auto store = file_.Open();
  ASSERT_TRUE(store->Write({{.telemetry = {RowAt(1, 50)}}}).ok());
  EXPECT_THAT(ValuesOf("a", "a/x"), ElementsAre(0, 2, 50));
  EXPECT_EQ(file_.Query("SELECT max(block) FROM telemetry"), 8);
  EXPECT_EQ(file_.Query("SELECT count(*) FROM signal WHERE device = 1"), 2);
}

TEST_F(StoreUpgradeTest, ManyRowsGoInSteps) {
  MakeV2(2345);
  ASSERT_NE(file_.Open(), nullptr);
  ExpectVersion3();
  EXPECT_EQ(file_.Query("SELECT count(*) FROM telemetry"), 2345);
  EXPECT_THAT(ValuesOf("a", "a/x"), SizeIs(1173));
}

// The process was killed between two steps.
TEST_F(StoreUpgradeTest, AnUpgradeThatWasCutShortIsContinued) {
  MakeV2(0);
  ASSERT_TRUE(file_.Open()->Write({{.telemetry = {RowAt(1, 0), RowAt(1, 1)}}}).ok());  // blocks 1 and 2 are over
  std::string sql =
      "CREATE TABLE telemetry_of_2 (block INTEGER PRIMARY KEY, device INTEGER NOT NULL, epoch INTEGER NOT "
      "NULL, first_seq INTEGER NOT NULL, samples INTEGER NOT NULL, first_unix_ms INTEGER NOT NULL, "
      "last_unix_ms INTEGER NOT NULL, received_unix_ms INTEGER NOT NULL, backlog INTEGER NOT NULL, batch "
      "BLOB NOT NULL);";
  for (int i = 2; i < 1502; ++i) absl::StrAppend(&sql, InsertV2("telemetry_of_2", 1 + i, RowAt(1, i)));
  file_.Exec("BEGIN;" + sql + "COMMIT");
  ASSERT_NE(file_.Open(), nullptr);
  ExpectVersion3();
  const std::vector<double> values = ValuesOf("a", "a/x");
  ASSERT_THAT(values, SizeIs(1502));
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], static_cast<double>(i));
}

TEST_F(StoreUpgradeTest, AStepThatFailsLeavesTheOldRowsAndIsTriedAgainAtTheNextStart) {
  MakeV2(3);
  file_.Exec("CREATE TABLE telemetry_of_2 (x)");  // in the way
  EXPECT_FALSE(Store::Open(file_.path()).ok());
  EXPECT_EQ(file_.Query("PRAGMA user_version"), 2);
  EXPECT_EQ(file_.Query("SELECT count(*) FROM telemetry"), 3);
  file_.Exec("DROP TABLE telemetry_of_2");
  ASSERT_NE(file_.Open(), nullptr);
  EXPECT_THAT(ValuesOf("a", "a/x"), ElementsAre(0, 2));
}

TEST_F(StoreUpgradeTest, ARowThatCannotBeReadIsLeftOutAndTheRestIsTaken) {
  MakeV2(5);
  file_.Exec("UPDATE telemetry SET batch = x'ff' WHERE block = 7; UPDATE telemetry SET samples = 9 WHERE block = 8");
  ASSERT_NE(file_.Open(), nullptr);
  ExpectVersion3();
  EXPECT_THAT(ValuesOf("a", "a/x"), ElementsAre(0, 4));
  EXPECT_THAT(ValuesOf("b", "a/x"), ElementsAre(1));
}

}  // namespace
}  // namespace fleet::server
