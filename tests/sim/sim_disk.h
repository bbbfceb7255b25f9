// The disk of a simulated device: the real spool on a database in memory, which outlives the agents that use it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "common/clock.h"
#include "device/spool.h"

namespace fleet {

// What is asked takes a while: half of it until it is on the disk, the rest until the agent hears of that. A crash
// between the two leaves on the disk what the agent never knew to be there.
class SimDisk {
 public:
  struct Options {
    absl::Duration delay = absl::Milliseconds(10);
    device::SpoolBounds bounds;
    // For tests of the tests: each of these breaks a promise, and the world must notice.
    bool forgets_commands = false;
    bool loses_puts = false;
  };
  explicit SimDisk(const Options& options);

  // A life begins: the spool is as the last one left it, and the start counter goes up even when the disk is full,
  // because it needs no room that it does not have.
  uint32_t NextEpoch() { return ++epoch_; }
  device::SpoolContents Contents();

  void Push(device::SpoolWork work, MonoTime now);
  // Does what is due; calls `told` for each answer that is due.
  void RunUntil(Now now, const std::function<void(device::SpoolDone)>& told);
  MonoTime NextDue() const;

  void Finish(Now now);  // a clean stop: what was asked is done
  void Crash();          // what was asked and is not done yet never is
  void Lose();           // a new disk, with nothing on it
  void SetFull(bool full) { full_ = full; }

  bool is_full() const { return full_; }
  bool was_ever_full() const { return was_full_; }

  // Of a record that is on the disk: stream, epoch, number. `kept`: all that ever were, and were not given up since to
  // keep the bounds.
  using Record = std::tuple<v1::Stream, uint32_t, uint64_t>;
  const std::set<Record>& kept() const { return kept_; }

 private:
  struct Asked {
    MonoTime do_at;
    MonoTime tell_at;
    device::SpoolWork work;
  };
  struct Told {
    MonoTime at;
    device::SpoolDone done;
  };

  void Open();
  device::SpoolDone Do(device::SpoolWork work, int64_t now_unix_ms);
  void Note(const device::SpoolDone& done);

  const Options options_;
  uint32_t epoch_ = 0;
  bool full_ = false;
  bool was_full_ = false;
  std::unique_ptr<device::SpoolFile> file_;
  std::deque<Asked> asked_;
  std::deque<Told> told_;
  std::set<Record> kept_;
};

}  // namespace fleet
