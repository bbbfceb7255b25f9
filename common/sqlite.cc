#include "common/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace fleet {
namespace {

// A page that is written again and again reaches the database file once per checkpoint: 16 MiB of log instead of 4.
constexpr char kWritePragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4096";

constexpr int kBusyTimeoutMs = 5000;

absl::StatusCode CodeOf(int extended_code) {
  switch (extended_code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CONSTRAINT:
      switch (extended_code) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
        case SQLITE_CONSTRAINT_ROWID:
          return absl::StatusCode::kAlreadyExists;
        default:
          return absl::StatusCode::kInvalidArgument;
      }
    default:
      return absl::StatusCode::kInternal;
  }
}

// The last failure on `database`.
absl::Status LastError(sqlite3* database) {
  const char* path = sqlite3_db_filename(database, "main");
  return absl::Status(CodeOf(sqlite3_extended_errcode(database)),
                      absl::StrCat(path == nullptr ? "" : path, ": ", sqlite3_errmsg(database)));
}

// Never null: a null pointer would bind NULL.
const char* BytesOf(absl::string_view value) {
  return value.data() == nullptr ? "" : value.data();
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void Statement::NoteBind(int code) {
  if (code != SQLITE_OK && bind_status_.ok()) bind_status_ = LastError(sqlite3_db_handle(statement_.get()));
}

void Statement::BindInt(int parameter, int64_t value) {
  NoteBind(sqlite3_bind_int64(statement_.get(), parameter, value));
}

void Statement::BindReal(int parameter, double value) {
  NoteBind(sqlite3_bind_double(statement_.get(), parameter, value));
}

void Statement::BindText(int parameter, absl::string_view value) {
  NoteBind(
      sqlite3_bind_text64(statement_.get(), parameter, BytesOf(value), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::BindBlob(int parameter, absl::string_view value) {
  NoteBind(sqlite3_bind_blob64(statement_.get(), parameter, BytesOf(value), value.size(), SQLITE_TRANSIENT));
}

void Statement::BindNull(int parameter) {
  NoteBind(sqlite3_bind_null(statement_.get(), parameter));
}

absl::StatusOr<bool> Statement::Step() {
  if (!bind_status_.ok()) return std::exchange(bind_status_, absl::OkStatus());
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  const absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : LastError(sqlite3_db_handle(statement_.get()));
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
}  // its code repeats what Step has said

int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::Real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

absl::string_view Statement::Text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

absl::string_view Statement::Blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

// Waits for statements that are still there, where sqlite3_close would refuse and leak.
void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, Mode mode) {
  const int access = mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  auto database = std::unique_ptr<Database>(new Database(raw));
  if (code != SQLITE_OK) {
    return absl::Status(CodeOf(code), absl::StrCat(path, ": ", raw == nullptr ? "no memory" : sqlite3_errmsg(raw)));
  }
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  // Either reads the first page, so a file that is no database is refused here.
  RETURN_IF_ERROR(
      database->Exec(mode == Mode::kReadOnly ? "PRAGMA query_only=1; PRAGMA schema_version" : kWritePragmas));
  return database;
}

absl::Status Database::Exec(const std::string& sql) {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : LastError(database_.get());
}

absl::StatusOr<Statement> Database::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return LastError(database_.get());
  return Statement(statement);
}

int64_t Database::last_insert_rowid() const {
  return sqlite3_last_insert_rowid(database_.get());
}

int64_t Database::changed_rows() const {
  return sqlite3_changes64(database_.get());
}

bool Database::in_transaction() const {
  return sqlite3_get_autocommit(database_.get()) == 0;
}

absl::StatusOr<Transaction> Transaction::Begin(Database& database) {
  RETURN_IF_ERROR(database.Exec("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // SQLite rolls back by itself after some failures.
  if (database_ == nullptr || !database_->in_transaction()) return;
  database_->Exec("ROLLBACK").IgnoreError();  // nothing was committed, so there is nothing to save
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(database_->Exec("COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

}  // namespace fleet
