#include "common/data_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using ::testing::HasSubstr;

TEST(DataDir, IsMadeWhenMissing) {
  const TempDir dir;
  const auto data = DataDir::Open(dir.File("var/server"));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_TRUE(std::filesystem::is_directory(dir.File("var/server")));
  EXPECT_EQ(data->path(), dir.File("var/server"));
  EXPECT_EQ(data->File("fleet.db"), dir.File("var/server/fleet.db"));
}

TEST(DataDir, IsUsedByOneAtATime) {
  const TempDir dir;
  auto first = std::make_optional(*DataDir::Open(dir.path()));
  const absl::Status second = DataDir::Open(dir.path()).status();
  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_THAT(std::string(second.message()), HasSubstr(dir.path()));
  first.reset();
  EXPECT_TRUE(DataDir::Open(dir.path()).ok());
}

TEST(DataDir, TheLockMovesWithIt) {
  const TempDir dir;
  auto first = DataDir::Open(dir.path());
  std::optional<DataDir> moved(*std::move(first));
  first = absl::CancelledError();  // what was moved from is gone
  EXPECT_TRUE(absl::IsAlreadyExists(DataDir::Open(dir.path()).status()));
  moved.reset();
  EXPECT_TRUE(DataDir::Open(dir.path()).ok());
}

TEST(DataDir, APathThroughAFileIsUnavailable) {
  const TempDir dir;
  dir.Write("file", "");
  for (const char* path : {"file", "file/below"}) {
    const absl::Status status = DataDir::Open(dir.File(path)).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(dir.File(path)));
  }
}

// Also where the directory itself can be read, as on a disk that has become read-only.
TEST(DataDir, ADirectoryThatCannotBeWrittenIsUnavailable) {
  const TempDir dir;
  std::filesystem::create_directory(dir.File("lock"));
  const absl::Status status = DataDir::Open(dir.path()).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace fleet
