#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/sqlite.h"
#include "common/status_macros.h"
#include "device/spool_schema.h"
#include "device/spool_tables.h"

namespace fleet::device {
namespace {

constexpr int64_t kCheckWholeBytes = 64 << 20;  // more would delay the start by seconds on a card

absl::StatusOr<int64_t> QueryInt(Database& database, absl::string_view sql) {
  ASSIGN_OR_RETURN(Statement query, database.Prepare(sql));
  ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? query.Int(0) : 0;
}

absl::Status CheckOwner(Database& database, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t application, QueryInt(database, "PRAGMA application_id"));
  if (application != kSpoolApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a database of another program: move it away"));
  }
  ASSIGN_OR_RETURN(const int64_t version, QueryInt(database, "PRAGMA user_version"));
  if (version > kSpoolSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is of a newer fleet-device (version ", version,
                                                      ", this one knows ", kSpoolSchemaVersion,
                                                      "): run that one, or move the file away"));
  }
  return absl::OkStatus();
}

absl::Status CheckWhole(Database& database) {
  ASSIGN_OR_RETURN(const int64_t pages, QueryInt(database, "PRAGMA page_count"));
  ASSIGN_OR_RETURN(const int64_t page_bytes, QueryInt(database, "PRAGMA page_size"));
  const bool is_small = pages * page_bytes <= kCheckWholeBytes;
  for (const char* check :
       {is_small ? "PRAGMA quick_check(1)" : "PRAGMA quick_check(command)", "PRAGMA quick_check(account)"}) {
    ASSIGN_OR_RETURN(Statement query, database.Prepare(check));
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (found && query.Text(0) != "ok") return absl::DataLossError(query.Text(0));
  }
  return absl::OkStatus();
}

absl::Status MakeTables(Database& database) {
  RETURN_IF_ERROR(database.Exec(kSpoolPageSize));
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  RETURN_IF_ERROR(database.Exec(kSpoolSchema));
  RETURN_IF_ERROR(database.Exec(
      absl::StrCat("PRAGMA application_id = ", kSpoolApplicationId, "; PRAGMA user_version = ", kSpoolSchemaVersion)));
  return transaction.Commit();
}

absl::StatusOr<std::unique_ptr<Database>> OpenDatabase(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path, Database::Mode::kReadWrite));
  ASSIGN_OR_RETURN(const int64_t tables, QueryInt(*database, "SELECT count(*) FROM sqlite_master"));
  if (tables == 0) {
    RETURN_IF_ERROR(MakeTables(*database));
  } else {
    RETURN_IF_ERROR(CheckOwner(*database, path));
    RETURN_IF_ERROR(CheckWhole(*database));
  }
  RETURN_IF_ERROR(database->Exec(kSpoolPragmas));
  return database;
}

absl::Status MoveAside(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code error;
    std::filesystem::rename(path + suffix, absl::StrCat(path, ".damaged", suffix), error);
    if (error && error != std::errc::no_such_file_or_directory) {
      return absl::UnavailableError(
          absl::StrCat("cannot move the damaged ", path, suffix, " aside: ", error.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

SpoolFile::SpoolFile(std::unique_ptr<Tables> tables, SpoolContents contents)
    : tables_(std::move(tables)), contents_(std::move(contents)) {}
SpoolFile::~SpoolFile() = default;

const SpoolContents& SpoolFile::contents() const {
  return contents_;
}

absl::StatusOr<SpoolContents> SpoolFile::LoadAgain() {
  SpoolContents contents;
  tables_->known.totals = {};
  RETURN_IF_ERROR(tables_->Load(contents));
  return contents;
}

absl::StatusOr<std::unique_ptr<SpoolFile>> SpoolFile::OpenWhole(const std::string& path, const SpoolBounds& bounds,
                                                                SpoolContents contents) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenDatabase(path));
  auto tables = std::make_unique<Tables>(std::move(database), bounds);
  RETURN_IF_ERROR(tables->BoundAccounts());
  RETURN_IF_ERROR(tables->Load(contents));
  return std::unique_ptr<SpoolFile>(new SpoolFile(std::move(tables), std::move(contents)));
}

absl::StatusOr<std::unique_ptr<SpoolFile>> SpoolFile::Open(const std::string& path, const SpoolBounds& bounds) {
  absl::StatusOr<std::unique_ptr<SpoolFile>> whole = OpenWhole(path, bounds, {});
  if (!absl::IsDataLoss(whole.status())) return whole;
  RETURN_IF_ERROR(MoveAside(path));
  SpoolContents contents;
  contents.damaged = std::string(whole.status().message());
  return OpenWhole(path, bounds, std::move(contents));
}

SpoolDone SpoolFile::Do(SpoolWork work, int64_t now_unix_ms) {
  std::vector<SpoolWork> works;
  works.push_back(std::move(work));
  return std::move(DoAll(std::move(works), now_unix_ms).front());
}

std::vector<SpoolDone> SpoolFile::DoAll(std::vector<SpoolWork> works, int64_t now_unix_ms) {
  std::vector<SpoolDone> dones(works.size());
  absl::Status status = Attempt(works, now_unix_ms, dones);
  if (absl::IsUnavailable(status)) {
    // The log begins anew in the space that it has: on a full disk rows can still be removed.
    tables_->database->Exec("PRAGMA wal_checkpoint(RESTART)").IgnoreError();  // the second attempt says what is wrong
    status = Attempt(works, now_unix_ms, dones);
  }
  for (size_t i = 0; i < works.size(); ++i) {
    SpoolDone& done = dones[i];
    done.status = status;
    if (!status.ok() && works.size() > 1) {
      done.status = Attempt({&works[i], 1}, now_unix_ms, {&done, 1});
    }
    done.number = works[i].number;
    done.totals = tables_->known.totals;
    done.asked = std::move(works[i]);
    for (StreamBatch& batch : done.asked.put) batch.payload = std::string();
  }
  return dones;
}

absl::Status SpoolFile::Attempt(std::span<const SpoolWork> works, int64_t now_unix_ms, std::span<SpoolDone> dones) {
  for (SpoolDone& done : dones) done = {};
  const Tables::Known before = tables_->known;
  const absl::Status status = InTransaction(works, now_unix_ms, dones);
  if (status.ok()) return status;
  tables_->known = before;
  for (SpoolDone& done : dones) done = {};
  return status;
}

absl::Status SpoolFile::InTransaction(std::span<const SpoolWork> works, int64_t now_unix_ms,
                                      std::span<SpoolDone> dones) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*tables_->database));
  for (size_t i = 0; i < works.size(); ++i) {
    RETURN_IF_ERROR(tables_->Write(works[i]));
    RETURN_IF_ERROR(tables_->Enforce(now_unix_ms, dones[i].dropped));
    if (works[i].read) RETURN_IF_ERROR(tables_->Read(*works[i].read, dones[i]));
  }
  return transaction.Commit();
}

}  // namespace fleet::device
