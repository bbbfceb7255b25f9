#include "server/tap_streams.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/can/can_columns.h"
#include "common/can/candump.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "fleet/v1/api.pb.h"
#include "server/views.h"

namespace fleet::server {
namespace {

// Since the tap began.
struct Losses {
  uint64_t lost = 0;     // batches
  uint64_t dropped = 0;  // frames
  uint64_t skipped = 0;  // frames
};

std::string EndText(const Losses& losses, const v1::CommandView& view) {
  v1::CanTapEvent event;
  event.set_lost(static_cast<double>(losses.lost));
  event.set_dropped(static_cast<double>(losses.dropped));
  event.set_skipped(static_cast<double>(losses.skipped));
  *event.mutable_end() = view;
  return std::string(absl::StripSuffix(ToJson(event), "\n"));
}

// nullptr: in the store only.
bool HasRun(const Command* command) {
  return command == nullptr || std::ranges::any_of(command->steps, [](const CommandStepRow& step) {
           return step.state == v1::COMMAND_STATE_RUNNING || step.state == v1::COMMAND_STATE_DONE;
         });
}

}  // namespace

struct TapStreams::Queue {
  Mutex mu;
  CondVar cv;
  std::string bytes ABSL_GUARDED_BY(mu);  // uint32_t with a size, a CanBatch of that size, ...
  Losses losses ABSL_GUARDED_BY(mu);
  std::string end ABSL_GUARDED_BY(mu);  // data of the last event; empty: not yet
  bool reader_gone ABSL_GUARDED_BY(mu) = false;
  bool closed ABSL_GUARDED_BY(mu) = false;
};

class TapStreams::Reader : public EventSource {
 public:
  Reader(std::shared_ptr<Queue> queue, std::string bus, TapStreams& streams)
      : queue_(std::move(queue)), bus_(std::move(bus)), streams_(streams) {}
  ~Reader() override {
    {
      MutexLock lock(queue_->mu);
      queue_->reader_gone = true;
    }
    streams_.on_reader_gone_();
  }

  bool Next(absl::Duration timeout, std::vector<Item>& out) override {
    if (rest_.empty()) TakeQueue(timeout);
    if (!rest_.empty()) out.push_back({.event = "frames", .data = NextFrames()});
    if (!rest_.empty()) return true;
    if (end_.empty()) return !closed_;
    out.push_back({.event = "end", .data = end_});
    return false;
  }

 private:
  void TakeQueue(absl::Duration timeout) {
    taken_.clear();  // and swapped, so that both buffers' memory is used again
    MutexLock lock(queue_->mu);
    if (queue_->bytes.empty() && queue_->end.empty() && !queue_->closed) queue_->cv.WaitFor(queue_->mu, timeout);
    queue_->bytes.swap(taken_);
    losses_ = queue_->losses;
    end_ = queue_->end;
    closed_ = queue_->closed;
    rest_ = taken_;
  }

  // A CanTapEvent. Written by hand, 100 000 frames/s being what they are: no character in it needs an escape.
  std::string NextFrames() {
    std::string json = "{\"frames\":[";
    json.reserve(json.size() + std::min<size_t>(4 * rest_.size(), kFramesPerEvent * 64));
    int count = AppendBatch(json);
    // The first batch is alone in its event, which therefore tells its number.
    const bool first = std::exchange(first_, false);
    while (!first && !rest_.empty() && count < kFramesPerEvent) count += AppendBatch(json);
    streams_.delivered_.fetch_add(count, std::memory_order_relaxed);
    absl::StrAppend(&json, "],\"lost\":", losses_.lost, ",\"dropped\":", losses_.dropped,
                    ",\"skipped\":", losses_.skipped, ",\"next_batch\":", uint64_t{batch_.seq()} + 1, "}");
    return json;
  }

  // Returns the number of its frames.
  int AppendBatch(std::string& json) {
    uint32_t bytes = 0;
    std::memcpy(&bytes, rest_.data(), sizeof(bytes));
    batch_.ParseFromArray(rest_.data() + sizeof(bytes), static_cast<int>(bytes));
    rest_.remove_prefix(sizeof(bytes) + bytes);
    int count = 0;
    // Ingest has checked it.
    ForEachFrame(batch_.frames(), [&](const CanFrame& frame) {
      json += json.back() == '[' ? "\"" : ",\"";
      AppendCandumpLine(frame, bus_, json);
      json += '"';
      ++count;
    }).IgnoreError();
    return count;
  }

  const std::shared_ptr<Queue> queue_;
  const std::string bus_;
  TapStreams& streams_;
  std::string taken_;
  absl::string_view rest_;  // of taken_
  Losses losses_;
  std::string end_;
  bool closed_ = false;
  bool first_ = true;   // nothing was given yet
  v1::CanBatch batch_;  // its memory is used again
};

absl::Status TapStreams::CheckRoom() const {
  if (taps_.size() < kMaxTaps) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(kMaxTaps, " taps are open, no more are taken; end one with POST /api/v1/commands/<id>/cancel"));
}

void TapStreams::Follow(const Command& command, const Device& device, uint32_t next_seq) {
  const auto& tap = std::get<v1::CanTap>(command.row.body);
  taps_.emplace(command.row.id, Tap{.id = command.row.id,
                                    .device = device.id,
                                    .bus = tap.bus(),
                                    .next_seq = next_seq,
                                    .over = command.expires + absl::Milliseconds(tap.duration_ms()) + kEndGrace,
                                    .queue = std::make_shared<Queue>()});
}

void TapStreams::Restore(const FleetState& state, MonoTime now) {
  for (DeviceIndex index = 0; index < state.registry().size(); ++index) {
    const Device& device = state.registry().at(index);
    for (CommandId id : device.open_commands) {
      const Command& command = *state.commands().Find(id);
      if (!std::holds_alternative<v1::CanTap>(command.row.body)) continue;
      Follow(command, device, /*next_seq=*/0);
      if (taps_.at(id).over <= now) taps_.erase(id);
    }
  }
}

absl::StatusOr<std::unique_ptr<EventSource>> TapStreams::Read(CommandId id) {
  const auto found = taps_.find(id);
  if (found == taps_.end()) {
    return absl::NotFoundError(
        absl::StrCat("no tap ", Number(id), " is open; GET /api/v1/commands/", Number(id), " tells what became of it"));
  }
  Tap& tap = found->second;
  if (tap.has_reader) return absl::FailedPreconditionError(absl::StrCat("tap ", Number(id), " has its reader already"));
  tap.has_reader = true;
  return std::make_unique<Reader>(tap.queue, tap.bus, *this);
}

void TapStreams::Take(const CanBatchEvent& event) {
  const v1::CanBatch& batch = *event.batch;
  const auto found = taps_.find(CommandId{batch.tap()});
  if (found == taps_.end() || found->second.ended || found->second.device.view() != event.device ||
      found->second.bus != event.bus || batch.seq() < found->second.next_seq) {
    ++counters_.stray;
    return;
  }
  Tap& tap = found->second;
  const uint64_t lost = tap.next_seq == 0 ? 0 : batch.seq() - tap.next_seq;
  tap.next_seq = batch.seq() + 1;
  counters_.lost += lost;
  const auto size = static_cast<uint32_t>(event.bytes.size());
  const auto frames = static_cast<uint64_t>(batch.frames().id_size());
  Queue& queue = *tap.queue;
  MutexLock lock(queue.mu);
  if (queue.reader_gone) return;
  queue.losses.lost += lost;
  queue.losses.dropped = batch.dropped();
  if (queue.bytes.size() + sizeof(size) + size > kMaxQueuedBytes) {
    queue.losses.skipped += frames;
    counters_.skipped += frames;
    return;
  }
  const bool first = queue.bytes.empty();
  queue.bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  queue.bytes.append(event.bytes.data(), size);
  if (first) queue.cv.NotifyAll();
}

void TapStreams::Tick(FleetState& state, Changes& changes, Now now) {
  for (auto tap = taps_.begin(); tap != taps_.end();) {
    tap = IsDone(tap->second, state, changes, now) ? taps_.erase(tap) : std::next(tap);
  }
}

bool TapStreams::IsDone(Tap& tap, FleetState& state, Changes& changes, Now now) {
  const Command* command = state.commands().Find(tap.id);
  tap.due = tap.over;
  if (command == nullptr || command->phase == Command::Phase::kEnded || tap.over <= now.mono) {
    if (!tap.ended) {
      End(tap, command);
      tap.unread_until = HasRun(command) ? now.mono + kUnread : now.mono;
    }
    tap.due = tap.unread_until;
    return tap.has_reader || tap.due <= now.mono;
  }
  if (!Leaves(tap, *command, now.mono)) {
    if (!tap.has_reader) tap.due = std::min(tap.due, tap.unread_until);
    return false;
  }
  if (tap.cancel_at <= now.mono) Cancel(tap, state, changes, now);
  tap.due = std::min(tap.due, tap.cancel_at);
  return false;
}

void TapStreams::Cancel(Tap& tap, FleetState& state, Changes& changes, Now now) {
  const absl::Status cancelled = state.CancelCommand(tap.id, kCancelTtl, now, changes).status();
  if (cancelled.ok()) {
    LogInfo("tap without reader cancelled device_id={} command_id={}", tap.device.view(), Number(tap.id));
    tap.cancel_at = now.mono + kCancelAgain;
    return;
  }
  if (tap.cancel_pause == kCancelRetry) {
    LogWarn("tap without reader cannot be cancelled yet, will try again device_id={} command_id={} error={}",
            tap.device.view(), Number(tap.id), cancelled.message());
  }
  tap.cancel_at = now.mono + tap.cancel_pause;
  tap.cancel_pause = std::min(2 * tap.cancel_pause, kCancelAgain);
}

// Nobody reads it, and nobody will.
bool TapStreams::Leaves(Tap& tap, const Command& command, MonoTime now) {
  if (tap.has_reader) {
    MutexLock lock(tap.queue->mu);
    return tap.queue->reader_gone;
  }
  const bool runs = command.rank >= v1::COMMAND_STATE_RUNNING;
  if (runs && tap.unread_until == MonoTime::Max()) tap.unread_until = now + kUnread;
  return tap.unread_until <= now;
}

void TapStreams::End(Tap& tap, const Command* command) {
  tap.ended = true;
  v1::CommandView view;
  if (command != nullptr) {
    view = ViewOf(command->row, command->steps, tap.device.view());
  } else {  // in the store only
    view.set_command_id(absl::StrCat(Number(tap.id)));
    view.set_device_id(tap.device.str());
  }
  MutexLock lock(tap.queue->mu);
  tap.queue->end = EndText(tap.queue->losses, view);
  tap.queue->cv.NotifyAll();
}

MonoTime TapStreams::NextDue() const {
  MonoTime due = MonoTime::Max();
  for (const auto& [id, tap] : taps_) due = std::min(due, tap.due);
  return due;
}

void TapStreams::Close() {
  for (auto& [id, tap] : taps_) {
    MutexLock lock(tap.queue->mu);
    tap.queue->closed = true;
    tap.queue->cv.NotifyAll();
  }
}

TapStreams::Counters TapStreams::counters() const {
  Counters counters = counters_;
  counters.delivered = delivered_.load(std::memory_order_relaxed);
  return counters;
}

}  // namespace fleet::server
