#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace fleet {

using device::SpoolContents;
using device::SpoolDone;
using device::SpoolWork;

SimDisk::SimDisk(const Options& options) : options_(options) {
  Open();
}

void SimDisk::Open() {
  auto file = device::SpoolFile::Open(":memory:", options_.bounds);
  FLEET_CHECK(file.ok()) << file.status();
  file_ = *std::move(file);
}

SpoolContents SimDisk::Contents() {
  absl::StatusOr<SpoolContents> contents = file_->LoadAgain();
  FLEET_CHECK(contents.ok()) << contents.status();
  if (options_.forgets_commands) contents->commands.clear();
  return *std::move(contents);
}

void SimDisk::Push(SpoolWork work, MonoTime now) {
  if (asked_.size() + told_.size() >= device::Spool::kMaxWaiting) {
    for (device::StreamBatch& batch : work.put) batch.payload.clear();
    SpoolDone refused;
    refused.number = work.number;
    refused.status = absl::ResourceExhaustedError("too much waits");
    refused.asked = std::move(work);
    told_.push_back({.at = now + options_.delay, .done = std::move(refused)});
    return;
  }
  asked_.push_back({.do_at = now + options_.delay / 2, .tell_at = now + options_.delay, .work = std::move(work)});
}

void SimDisk::RunUntil(Now now, const std::function<void(SpoolDone)>& told) {
  for (; !asked_.empty() && asked_.front().do_at <= now.mono; asked_.pop_front()) {
    Asked& asked = asked_.front();
    told_.push_back({.at = asked.tell_at, .done = Do(std::move(asked.work), now.unix_ms())});
  }
  while (!told_.empty() && told_.front().at <= now.mono) {
    SpoolDone done = std::move(told_.front().done);
    told_.pop_front();
    told(std::move(done));
  }
}

MonoTime SimDisk::NextDue() const {
  const MonoTime next_do = asked_.empty() ? MonoTime::Max() : asked_.front().do_at;
  return told_.empty() ? next_do : std::min(next_do, told_.front().at);
}

SpoolDone SimDisk::Do(SpoolWork work, int64_t now_unix_ms) {
  // A full disk takes nothing, and what is there can still be read and removed.
  const bool needs_room = !work.put.empty() || !work.remember.empty();
  SpoolDone done;
  if (full_ && needs_room) {
    was_full_ = true;
    for (device::StreamBatch& batch : work.put) batch.payload.clear();
    done.number = work.number;
    done.status = absl::UnavailableError("database or disk is full");
    done.asked = std::move(work);
    return done;
  }
  if (options_.loses_puts) work.put.clear();
  done = file_->Do(std::move(work), now_unix_ms);
  FLEET_CHECK(done.status.ok()) << done.status;
  Note(done);
  return done;
}

void SimDisk::Note(const SpoolDone& done) {
  for (const device::StreamBatch& batch : done.asked.put) {
    for (uint32_t i = 0; i < batch.records; ++i) kept_.emplace(batch.stream, batch.epoch, batch.first_seq + i);
  }
  const auto give_up = [this](const device::StreamDrop& drop) {
    const auto first = kept_.lower_bound({drop.stream, drop.epoch, drop.range.first_seq()});
    kept_.erase(first, kept_.upper_bound({drop.stream, drop.epoch, drop.range.last_seq()}));
  };
  for (const device::StreamDrop& drop : done.dropped) give_up(drop);
  for (const device::StreamDrop& drop : done.asked.dropped) give_up(drop);
}

void SimDisk::Finish(Now now) {
  for (; !asked_.empty(); asked_.pop_front()) Do(std::move(asked_.front().work), now.unix_ms());
  told_.clear();
}

void SimDisk::Crash() {
  asked_.clear();
  told_.clear();
}

void SimDisk::Lose() {
  Crash();
  epoch_ = 0;
  kept_.clear();
  Open();
}

}  // namespace fleet
