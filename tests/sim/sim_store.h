// The server's database in a simulation: takes row batches, and gives back what a restarted server continues from.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "server/fleet_state.h"
#include "server/rows.h"

namespace fleet {

class SimStore {
 public:
  struct Options {
    // For tests of the tests: each of these breaks a promise, and the world must notice.
    bool loses_records = false;        // every fifth event and sample row
    bool steady_follows_wall = false;  // over a restart
  };
  explicit SimStore(const Options& options) : options_(options) {}

  enum class Answer {
    kDone,
    kFull,     // not now
    kRefused,  // never
  };
  Answer Commit(const server::RowBatch& batch);
  void SetFull(bool full) { full_ = full; }
  bool is_full() const { return full_; }
  int refused() const { return refused_; }  // batches
  void RefuseNext() { refuse_next_ = true; }

  // Counts the start of the server.
  server::SavedFleet Load(Now now);

  struct Kept {
    server::SavedCommand saved;
    bool given_up = false;
    bool ended() const;
  };
  const std::map<CommandId, Kept>& commands() const { return commands_; }
  // State reports in the history of the device.
  uint64_t reports_of(int64_t device_row) const;
  const std::vector<server::LivenessRow>& liveness() const { return liveness_; }

  // nullopt: no such device.
  std::optional<int64_t> RowOf(absl::string_view device_id) const;
  // How often this record is stored: 0 or 1, unless a device lost its disk and uses the number anew.
  int CountOf(int64_t device_row, v1::Stream stream, uint32_t epoch, uint64_t seq) const;
  uint64_t RecordsOf(int64_t device_row, v1::Stream stream) const;
  // What programs on the devices told, and how often each is stored.
  const std::map<uint64_t, int>& tokens() const { return tokens_; }

 private:
  using Record = std::tuple<int64_t, v1::Stream, uint32_t, uint64_t>;

  void Keep(const server::DeviceRow& row);
  void KeepCommands(const server::RowBatch& batch);
  void KeepRecords(const server::RowBatch& batch);
  void KeepAccounts(const server::RowBatch& batch);
  bool IsLost();

  const Options options_;
  bool full_ = false;
  bool refuse_next_ = false;
  int refused_ = 0;
  uint64_t rows_ = 0;  // of records

  uint32_t starts_ = 0;
  uint64_t next_command_ = 1;
  std::optional<int64_t> steady_offset_ms_;
  std::map<int64_t, server::DeviceRow> devices_;  // without blocks
  std::map<int64_t, uint64_t> reports_;
  std::map<CommandId, Kept> commands_;
  std::vector<server::LivenessRow> liveness_;
  std::map<Record, int> records_;
  std::map<std::pair<int64_t, v1::Stream>, uint64_t> record_counts_;
  std::map<uint64_t, int> tokens_;
  std::map<std::tuple<int64_t, v1::Stream, uint32_t>, server::StreamAccountRow> accounts_;
  std::map<std::pair<int64_t, v1::Stream>, server::StreamTotalsRow> totals_;
};

}  // namespace fleet
