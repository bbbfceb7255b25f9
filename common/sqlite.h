// SQLite, as much of it as we use. The only file that knows of the library is sqlite.cc.
//
// Codes, everywhere: kUnavailable: the disk is full, failing, read-only or the database is locked: try later.
// kDataLoss: the file is damaged or no database. kAlreadyExists: a unique key is taken. kInvalidArgument: another
// constraint. kInternal: a mistake in the SQL. The message begins with the path of the database.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace fleet {

//   ASSIGN_OR_RETURN(Statement find, database->Prepare("SELECT name FROM device WHERE id = ?"));
//   find.BindInt(1, id);
//   ASSIGN_OR_RETURN(bool found, find.Step());
//   if (found) use(find.Text(0));
//   find.Reset();
//
// Dies before its database, and is used by the same thread.
class Statement {
 public:
  Statement() = default;  // to be assigned to before it is used

  // `parameter` counts from 1; the bytes are copied. A bind that fails is reported by the next Step. Values stay bound
  // until they are bound anew.
  void BindInt(int parameter, int64_t value);
  void BindReal(int parameter, double value);
  void BindText(int parameter, absl::string_view value);
  void BindBlob(int parameter, absl::string_view value);
  void BindNull(int parameter);

  // True: there is a row. False: done, and ready to be bound and stepped again, as after an error.
  absl::StatusOr<bool> Step();
  // Steps to the end, for what returns no rows.
  absl::Status Run();
  // Needed only before the end was reached.
  void Reset();

  // `column` counts from 0. Text and Blob are valid until the next Step or Reset; NULL reads as 0 or empty.
  int64_t Int(int column) const;
  double Real(int column) const;
  absl::string_view Text(int column) const;
  absl::string_view Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  void NoteBind(int code);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  absl::Status bind_status_;
};

// One connection. One thread at a time.
class Database {
 public:
  enum class Mode {
    kReadOnly,
    kReadWrite,  // made when missing; write-ahead log, and what is committed is on the disk
  };

  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, Mode mode);

  // One or more statements without parameters or wanted rows.
  absl::Status Exec(const std::string& sql);
  absl::StatusOr<Statement> Prepare(absl::string_view sql);

  int64_t last_insert_rowid() const;
  int64_t changed_rows() const;  // by the last INSERT, UPDATE or DELETE
  bool in_transaction() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  explicit Database(sqlite3* database) : database_(database) {}

  std::unique_ptr<sqlite3, Close> database_;
};

// All or nothing. Takes the write lock at once; rolls back unless Commit succeeded.
class Transaction {
 public:
  static absl::StatusOr<Transaction> Begin(Database& database);
  ~Transaction();
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;

  absl::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // null: over
};

}  // namespace fleet
