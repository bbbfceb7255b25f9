// What a device keeps on its disk: stream records that the server does not have yet, and the commands it has taken.
//
// The agent says what it wants done in a SpoolWork, the spool does it in one transaction, on a thread of its own, and
// answers with a SpoolDone: one for each work, in the order of the works, with what was asked, so that who asked needs
// to keep no list. SpoolFile is the database behind it and can be used alone, by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "fleet/v1/common.pb.h"
#include "fleet/v1/to_server.pb.h"

namespace fleet::device {

// Consecutive records of one stream, as they are sent and kept. A batch never changes after it was made.
struct StreamBatch {
  int64_t row = 0;  // its place in the spool; grows in the order of making, over all lives
  v1::Stream stream = v1::STREAM_UNSPECIFIED;
  uint32_t epoch = 0;
  uint64_t first_seq = 0;
  uint32_t records = 0;
  int64_t made_unix_ms = 0;  // by this device's wall clock, for its age
  std::string payload;       // a serialised EventBatch or TelemetryBatch without `backlog`
};

// A command that was taken, and how far it came. What the command gate answers to a copy of it.
struct RememberedCommand {
  uint64_t id = 0;
  int64_t expires_ms = 0;  // on the server's steady clock; no copy can run after it
  uint32_t entity_id = 0;  // 0: all
  // Of a replacing segment or a cancel: commands for the entity with a lower id than this do not run any more.
  bool is_barrier = false;
  bool is_cancel = false;  // else a segment; says in which words a barrier refuses
  v1::CommandState state = v1::COMMAND_STATE_UNSPECIFIED;
  std::string reason;
  std::string detail;
};

struct StreamDrop {
  v1::Stream stream = v1::STREAM_UNSPECIFIED;
  uint32_t epoch = 0;
  v1::DroppedRange range;
};
struct StreamEpoch {
  v1::Stream stream = v1::STREAM_UNSPECIFIED;
  uint32_t epoch = 0;
  uint64_t made = 0;  // the highest number that was given
};

// One transaction.
struct SpoolWork {
  uint64_t number = 0;  // 1, 2, 3, ...; comes back in SpoolDone
  std::vector<StreamBatch> put;
  std::vector<int64_t> remove;              // rows
  std::vector<RememberedCommand> remember;  // new, or in place of the one with this id
  std::vector<uint64_t> forget;             // command ids
  std::optional<uint64_t> forgotten_up_to;  // the highest id ever forgotten
  std::optional<int64_t> memory_began_ms;   // on the server's steady clock: commands issued before are not known here
  std::vector<StreamEpoch> made;
  std::vector<StreamDrop> dropped;   // given up by the agent itself
  std::vector<StreamEpoch> settled;  // epochs that are over and that the server has accounted for: forget them
  struct Read {
    int64_t after_row = 0;
    size_t max_bytes = 0;  // of payload; at least one batch is read
  };
  std::optional<Read> read;

  bool empty() const {
    return put.empty() && remove.empty() && remember.empty() && forget.empty() && !forgotten_up_to &&
           !memory_began_ms && made.empty() && dropped.empty() && settled.empty() && !read;
  }
};

struct SpoolTotals {
  uint64_t batches = 0;
  uint64_t payload_bytes = 0;
  uint64_t event_records = 0;
  uint64_t telemetry_records = 0;
};

struct SpoolDone {
  uint64_t number = 0;
  absl::Status status;              // not ok: nothing of it was done
  SpoolWork asked;                  // the work, without payloads
  std::vector<StreamBatch> read;    // in order of rows
  bool read_to_end = false;         // there is nothing after these
  std::vector<StreamDrop> dropped;  // given up by the spool to keep its bounds; already in its accounts
  SpoolTotals totals;
};

// What an earlier life left.
struct SpoolContents {
  std::vector<RememberedCommand> commands;
  uint64_t forgotten_up_to = 0;
  std::optional<int64_t> memory_began_ms;  // absent: nothing is remembered from before
  std::vector<v1::EpochAccount> accounts;  // of all epochs that are not settled, with waiting and dropped
  int64_t last_row = 0;
  SpoolTotals totals;
  std::string damaged;  // not empty: the spool was damaged, was moved aside and begun anew; what was wrong
};

struct SpoolBounds {
  size_t keep_bytes = size_t{64} << 20;  // of payload
  absl::Duration keep = absl::Hours(168);
};

// The database. Beyond its bounds the oldest telemetry goes first, events last; what goes is counted by epoch and
// reason as ranges of numbers, in the same transaction. One thread at a time.
class SpoolFile {
 public:
  static constexpr char kFileName[] = "spool.db";
  static constexpr size_t kMaxAccounts = 1000;  // beyond it the oldest of which nothing waits is forgotten

  // Made when missing. A damaged file is moved aside to <path>.damaged and a new one begun. kUnavailable: cannot be
  // written; kFailedPrecondition: of a newer agent.
  static absl::StatusOr<std::unique_ptr<SpoolFile>> Open(const std::string& path, const SpoolBounds& bounds);
  ~SpoolFile();

  const SpoolContents& contents() const;  // as found by Open
  // What a next life would find. For simulations, where a file in memory outlives the agents that use it.
  absl::StatusOr<SpoolContents> LoadAgain();
  SpoolDone Do(SpoolWork work, int64_t now_unix_ms);
  // All in one transaction; when that fails, each in its own.
  std::vector<SpoolDone> DoAll(std::vector<SpoolWork> works, int64_t now_unix_ms);

 private:
  struct Tables;
  SpoolFile(std::unique_ptr<Tables> tables, SpoolContents contents);
  static absl::StatusOr<std::unique_ptr<SpoolFile>> OpenWhole(const std::string& path, const SpoolBounds& bounds,
                                                              SpoolContents contents);
  absl::Status Attempt(std::span<const SpoolWork> works, int64_t now_unix_ms, std::span<SpoolDone> dones);
  absl::Status InTransaction(std::span<const SpoolWork> works, int64_t now_unix_ms, std::span<SpoolDone> dones);

  const std::unique_ptr<Tables> tables_;
  const SpoolContents contents_;
};

// A SpoolFile with a thread. Work that waits is done in order and in one transaction; each work has its own answer.
// Bound: kMaxWaiting works; one more is answered at once with kResourceExhausted.
class Spool {
 public:
  static constexpr size_t kMaxWaiting = 1024;

  // `done` is called on the spool's thread, or within Push for a work that is refused.
  Spool(std::unique_ptr<SpoolFile> file, const Clock& clock, std::function<void(SpoolDone)> done);
  ~Spool();  // as Stop

  void Push(SpoolWork work);  // never blocks on the disk
  void Stop();                // does what waits, then ends

 private:
  void Run();

  const std::unique_ptr<SpoolFile> file_;  // the thread's
  const Clock& clock_;
  const std::function<void(SpoolDone)> done_;
  Mutex mu_;
  CondVar pushed_;
  std::vector<SpoolWork> waiting_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace fleet::device
