// The taps that operators have open, each with a bounded queue from its submission until its reader is gone. What a
// device sends goes in as it came; the thread that reads makes it into text.
//
//   submitted --runs--> unread --Read--> read --ended--> `end`, forgotten
//                         |               '-- reader gone --> leaving --ended--> forgotten
//                         '-- 10 s --> leaving: cancelled, again and again as long as it may run
//
// A tap ends with its command, or when its time box has been over for a while and nobody knows. One that is unknown
// goes on: its device or our link was away and may come back. What ended unread is kept for 10 s too, unless it never
// ran: who submitted it is told so there.
//
// Loop thread only; each reader has a thread of its own and is gone before this is. Bounds: kMaxTaps, and of each
// kMaxQueuedBytes, twice that while it is read; what comes past that is skipped and counted.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/http_server.h"
#include "server/changes.h"
#include "server/events.h"
#include "server/fleet_state.h"

namespace fleet::server {

class TapStreams {
 public:
  static constexpr size_t kMaxTaps = 32;
  static constexpr size_t kMaxQueuedBytes = 4 << 20;  // two seconds of 100 000 frames/s
  static constexpr int kFramesPerEvent = 1000;        // at which an event is full; it ends with the batch
  static constexpr absl::Duration kUnread = absl::Seconds(10);
  // After the time box: the end may have been lost, and is asked for Commands::kAskAfterWord after the last word.
  static constexpr absl::Duration kEndGrace = absl::Seconds(15);
  static constexpr absl::Duration kCancelTtl = absl::Seconds(5);
  static constexpr absl::Duration kCancelAgain = absl::Seconds(10);  // it was sent, and the tap has not ended
  static constexpr absl::Duration kCancelRetry = absl::Seconds(1);   // it could not be given; twice as long each time

  struct Counters {
    uint64_t delivered = 0;  // frames, to readers
    uint64_t skipped = 0;    // frames that readers were too slow for
    uint64_t lost = 0;       // batches, between device and here
    uint64_t stray = 0;      // batches of a tap that is not open, or not on that device and bus, or late
  };

  // `on_reader_gone` is called on any thread: there is something to do.
  explicit TapStreams(std::function<void()> on_reader_gone) : on_reader_gone_(std::move(on_reader_gone)) {}

  // kResourceExhausted: no further tap may be submitted.
  absl::Status CheckRoom() const;
  // `command` is a CanTap of `device`, just submitted.
  void Follow(const Command& command, const Device& device) { Follow(command, device, 1); }
  // Goes on with those that an earlier run of the server left: their readers may come back.
  void Restore(const FleetState& state, MonoTime now);

  // The one reader of a tap: events as CanTapEvent says. kNotFound: no such tap; kFailedPrecondition: it has a reader.
  absl::StatusOr<std::unique_ptr<EventSource>> Read(CommandId tap);

  void Take(const CanBatchEvent& event);
  // Once per turn, after the turn's messages: what came before an end is read before it.
  void Tick(FleetState& state, Changes& changes, Now now);
  MonoTime NextDue() const;
  void Close();  // ends all streams

  size_t count() const { return taps_.size(); }
  Counters counters() const;

 private:
  struct Queue;
  class Reader;
  struct Tap {
    CommandId id{};
    DeviceId device;
    std::string bus;
    uint32_t next_seq = 0;  // 0: any
    MonoTime over;          // by then it cannot run any more
    MonoTime unread_until = MonoTime::Max();
    MonoTime cancel_at;
    absl::Duration cancel_pause = kCancelRetry;  // after the next one that cannot be given
    MonoTime due;                                // of the next look at it
    bool has_reader = false;
    bool ended = false;
    std::shared_ptr<Queue> queue;
  };

  void Follow(const Command& command, const Device& device, uint32_t next_seq);
  bool IsDone(Tap& tap, FleetState& state, Changes& changes, Now now);
  static void Cancel(Tap& tap, FleetState& state, Changes& changes, Now now);
  static bool Leaves(Tap& tap, const Command& command, MonoTime now);
  static void End(Tap& tap, const Command* command);

  const std::function<void()> on_reader_gone_;
  std::map<CommandId, Tap> taps_;
  Counters counters_;
  std::atomic<uint64_t> delivered_ = 0;  // by readers
};

}  // namespace fleet::server
