#include "common/sqlite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace fleet {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class SqliteTest : public ::testing::Test {
 protected:
  SqliteTest() {
    std::string pattern = ::testing::TempDir() + "sqlite_test.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    path_ = directory_ + "/test.db";
  }
  ~SqliteTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Database> OpenOrDie(Database::Mode mode = Database::Mode::kReadWrite) {
    auto database = Database::Open(path_, mode);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  std::string directory_;
  std::string path_;
};

Statement PrepareOrDie(Database& database, absl::string_view sql) {
  auto statement = database.Prepare(sql);
  EXPECT_TRUE(statement.ok()) << statement.status();
  return *std::move(statement);
}

int64_t CountRows(Database& database) {
  Statement count = PrepareOrDie(database, "SELECT count(*) FROM t");
  EXPECT_TRUE(*count.Step());
  return count.Int(0);
}

// Inserts blobs of 1 KiB until that fails, at most `limit`; the failure.
absl::Status Fill(Database& database, int limit) {
  Statement insert = PrepareOrDie(database, "INSERT INTO t(b) VALUES(?)");
  insert.BindBlob(1, std::string(1024, 'x'));
  for (int i = 0; i < limit; ++i) {
    if (absl::Status status = insert.Run(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

TEST_F(SqliteTest, ValuesComeBackAsTheyWere) {
  auto database = OpenOrDie();
  ASSERT_TRUE(database->Exec("CREATE TABLE t(i, r, s, b, n, e)").ok());
  const std::string bytes("\0\xff\1", 3);
  Statement insert = PrepareOrDie(*database, "INSERT INTO t VALUES(?, ?, ?, ?, ?, ?)");
  insert.BindInt(1, int64_t{-1} << 62);
  insert.BindReal(2, 0.1);
  insert.BindText(3, "käse");
  insert.BindBlob(4, bytes);
  insert.BindNull(5);
  insert.BindText(6, absl::string_view());
  ASSERT_TRUE(insert.Run().ok());

  Statement select = PrepareOrDie(*database, "SELECT * FROM t");
  ASSERT_TRUE(*select.Step());
  EXPECT_EQ(select.Int(0), int64_t{-1} << 62);
  EXPECT_EQ(select.Real(1), 0.1);
  EXPECT_EQ(select.Text(2), "käse");
  EXPECT_EQ(select.Blob(3), bytes);
  EXPECT_TRUE(select.IsNull(4));
  EXPECT_EQ(select.Text(4), "");
  EXPECT_FALSE(select.IsNull(5)) << "empty is not NULL";
  EXPECT_FALSE(*select.Step());
}

TEST_F(SqliteTest, StatementIsUsedAgainAndAgain) {
  auto database = OpenOrDie();
  ASSERT_TRUE(database->Exec("CREATE TABLE t(i INTEGER PRIMARY KEY)").ok());
  Statement insert = PrepareOrDie(*database, "INSERT INTO t VALUES(?)");
  for (int i = 1; i <= 3; ++i) {
    insert.BindInt(1, i);
    ASSERT_TRUE(insert.Run().ok());
    EXPECT_EQ(database->last_insert_rowid(), i);
  }
  Statement select = PrepareOrDie(*database, "SELECT i FROM t WHERE i >= ? ORDER BY i");
  for (int from = 1; from <= 3; ++from) {
    select.BindInt(1, from);
    ASSERT_TRUE(*select.Step());
    EXPECT_EQ(select.Int(0), from);
    select.Reset();
  }
  ASSERT_TRUE(database->Exec("DELETE FROM t WHERE i > 1").ok());
  EXPECT_EQ(database->changed_rows(), 2);
}

TEST_F(SqliteTest, TakenKeyIsAlreadyExistsAndTheStatementGoesOn) {
  auto database = OpenOrDie();
  ASSERT_TRUE(database->Exec("CREATE TABLE t(i INTEGER PRIMARY KEY, s NOT NULL)").ok());
  Statement insert = PrepareOrDie(*database, "INSERT INTO t VALUES(?, ?)");
  insert.BindInt(1, 1);
  insert.BindText(2, "x");
  ASSERT_TRUE(insert.Run().ok());
  EXPECT_EQ(insert.Run().code(), absl::StatusCode::kAlreadyExists);
  insert.BindInt(1, 2);
  EXPECT_TRUE(insert.Run().ok());
  insert.BindInt(1, 3);
  insert.BindNull(2);
  EXPECT_EQ(insert.Run().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SqliteTest, MistakesInTheSqlAreInternal) {
  auto database = OpenOrDie();
  EXPECT_EQ(database->Exec("SELEKT 1").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(database->Prepare("SELECT x FROM nowhere").status().code(), absl::StatusCode::kInternal);
  Statement one = PrepareOrDie(*database, "SELECT ?");
  one.BindInt(2, 1);
  EXPECT_EQ(one.Step().status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(one.Step().ok()) << "a failed bind is reported once";
}

TEST_F(SqliteTest, TransactionIsAllOrNothing) {
  auto database = OpenOrDie();
  ASSERT_TRUE(database->Exec("CREATE TABLE t(i)").ok());
  {
    auto transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(database->Exec("INSERT INTO t VALUES(1)").ok());
    EXPECT_TRUE(database->in_transaction());
  }
  EXPECT_FALSE(database->in_transaction());
  EXPECT_EQ(CountRows(*database), 0);
  {
    auto transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(database->Exec("INSERT INTO t VALUES(1)").ok());
    EXPECT_TRUE(transaction->Commit().ok());
  }
  EXPECT_EQ(CountRows(*database), 1);
}

TEST_F(SqliteTest, CommittedRowsAreThereAfterOpeningAgain) {
  ASSERT_TRUE(OpenOrDie()->Exec("CREATE TABLE t(i); INSERT INTO t VALUES(1)").ok());
  EXPECT_EQ(CountRows(*OpenOrDie()), 1);
  EXPECT_EQ(CountRows(*OpenOrDie(Database::Mode::kReadOnly)), 1);
}

TEST_F(SqliteTest, WritesAreLoggedAheadAndSynced) {
  auto database = OpenOrDie();
  Statement mode = PrepareOrDie(*database, "PRAGMA journal_mode");
  ASSERT_TRUE(*mode.Step());
  EXPECT_EQ(mode.Text(0), "wal");
  Statement synchronous = PrepareOrDie(*database, "PRAGMA synchronous");
  ASSERT_TRUE(*synchronous.Step());
  EXPECT_EQ(synchronous.Int(0), 2) << "FULL";
}

TEST_F(SqliteTest, ReadOnlyRefusesWritesAndMakesNoFile) {
  EXPECT_EQ(Database::Open(path_, Database::Mode::kReadOnly).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(OpenOrDie()->Exec("CREATE TABLE t(i)").ok());
  EXPECT_EQ(OpenOrDie(Database::Mode::kReadOnly)->Exec("INSERT INTO t VALUES(1)").code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SqliteTest, DirectoryThatIsNotThereIsUnavailableAndNamed) {
  const std::string path = directory_ + "/missing/test.db";
  const absl::Status status = Database::Open(path, Database::Mode::kReadWrite).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), StartsWith(path));
}

TEST_F(SqliteTest, FileThatIsNoDatabaseIsDataLossAndStaysAsItWas) {
  const std::string text(8192, 'n');
  std::ofstream(path_) << text;
  for (auto mode : {Database::Mode::kReadWrite, Database::Mode::kReadOnly}) {
    const absl::Status status = Database::Open(path_, mode).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), StartsWith(path_));
  }
  EXPECT_EQ(std::filesystem::file_size(path_), text.size());
}

TEST_F(SqliteTest, DamagedPageIsDataLoss) {
  {
    auto database = OpenOrDie();
    ASSERT_TRUE(database->Exec("CREATE TABLE t(b)").ok());
    ASSERT_TRUE(Fill(*database, 100).ok());
  }
  constexpr size_t kPageBytes = 4096;
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(kPageBytes);  // behind the header and schema: the root of the table
  file << std::string(kPageBytes, '\x5a');
  file.close();

  auto database = OpenOrDie();
  Statement select = PrepareOrDie(*database, "SELECT b FROM t");
  EXPECT_EQ(select.Run().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteTest, FullDiskIsUnavailableAndWhatWasStoredStays) {
  auto database = OpenOrDie();
  ASSERT_TRUE(database->Exec("CREATE TABLE t(b); PRAGMA max_page_count=20").ok());
  ASSERT_TRUE(Fill(*database, 10).ok());
  {
    auto transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    const absl::Status status = Fill(*database, 1000);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("full"));
  }
  EXPECT_EQ(CountRows(*database), 10);
  ASSERT_TRUE(database->Exec("PRAGMA max_page_count=1000").ok());
  EXPECT_TRUE(Fill(*database, 10).ok()) << "room again";
  EXPECT_EQ(CountRows(*database), 20);
}

TEST_F(SqliteTest, SecondWriterIsUnavailableWhileTheFirstWrites) {
  auto first = OpenOrDie();
  auto second = OpenOrDie();
  ASSERT_TRUE(second->Exec("PRAGMA busy_timeout=0").ok());
  auto transaction = Transaction::Begin(*first);
  ASSERT_TRUE(transaction.ok());
  EXPECT_EQ(Transaction::Begin(*second).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace fleet
