#include "tools/fleetctl/tap.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/backoff.h"
#include "common/status_macros.h"
#include "tools/fleetctl/asker.h"
#include "tools/fleetctl/follow.h"

namespace fleet {
namespace {

constexpr absl::Duration kRetryMin = absl::Milliseconds(100);
constexpr absl::Duration kRetryMax = absl::Seconds(1);
constexpr absl::Duration kServerAway = absl::Seconds(20);  // it keeps a tap for 10 s from when it is back

// With a client of its own: after Ctrl-C the session's refuses everything.
absl::Status TakeBack(const Session& session, const std::string& command) {
  Client client(session.client.url());
  v1::CancelResult result;
  return client.Post(absl::StrCat(CommandPath(command), "/cancel"), v1::CancelRequest(), result);
}

class TapReader {
 public:
  TapReader(Session& session, std::string command, Notes& notes,
            const std::function<void(const v1::CanTapEvent&)>& take)
      : session_(session),
        command_(std::move(command)),
        notes_(notes),
        take_(take),
        backoff_(kRetryMin, kRetryMax, static_cast<uint64_t>(absl::ToUnixNanos(session.clock.Read().wall))) {}

  absl::StatusOr<ExitCode> Run() {
    const absl::StatusOr<ExitCode> code = ReadToEnd();
    const std::string garbled = garbled_ == 0 ? "" : absl::StrCat("; ", Plural(garbled_, "event"), " not understood");
    notes_.Say(absl::StrCat(Plural(frames_, "frame"), "; lost ", Count(lost_ + last_.lost()), ", dropped ",
                            Count(dropped_), ", skipped ", Count(skipped_ + last_.skipped()), garbled));
    return code;
  }

 private:
  absl::StatusOr<ExitCode> ReadToEnd() {
    const std::string path = absl::StrCat("/api/v1/taps/", command_, "/stream");
    MonoTime heard = session_.clock.Read().mono;
    while (true) {
      const absl::Status status = session_.client.Stream(path, [this](const SseEvent& event) { Take(event); });
      if (!WasNotSent(status)) heard = session_.clock.Read().mono;  // a bus may be quiet for long
      if (last_.has_end()) return CodeOfEnd();
      if (session_.interrupt.triggered()) return Leave();
      EndStream();
      if (!IsUnreachable(status)) return WhyOver(status);
      if (session_.clock.Read().mono - heard > kServerAway) return status;
      if (!std::exchange(away_, true)) notes_.Say(absl::StrCat(status.message(), "; trying again"));
      if (!session_.interrupt.Pause(backoff_.Next())) return Leave();
    }
  }

  void Take(const SseEvent& sse) {
    away_ = false;
    backoff_.Reset();
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    event_.Clear();
    if (!google::protobuf::util::JsonStringToMessage(sse.data, &event_, options).ok()) {
      ++garbled_;
      return;
    }
    TakeEvent();
    // A reader of our pipe that left ends us, as Ctrl-C does.
    if (!session_.screen.out) session_.interrupt.Trigger();
  }

  void TakeEvent() {
    frames_ += event_.frames_size();
    CountLosses();
    take_(event_);
    event_.clear_frames();
    std::swap(event_, last_);
  }

  // The server counts from its start, the device from the start of the tap. What was lost while there was no server
  // only the numbers of the batches tell: the first event of a stream has one batch.
  void CountLosses() {
    dropped_ = std::max(dropped_, event_.dropped());
    if (event_.next_batch() == 0) return;
    if (!std::exchange(joined_, true) && next_batch_ > 0) {
      lost_ += std::max(0.0, event_.next_batch() - 1 - next_batch_);
    }
    next_batch_ = event_.next_batch();
  }

  void EndStream() {
    lost_ += last_.lost();
    skipped_ += last_.skipped();
    last_.Clear();
    joined_ = false;
  }

  // The server does not let us read (on). If the command has ended, that is the reason.
  absl::StatusOr<ExitCode> WhyOver(const absl::Status& status) {
    v1::CommandView command;
    const bool known = session_.client.Get(CommandPath(command_), {}, command).ok();
    if (!known || !IsEnd(command.state())) {
      return absl::AbortedError(absl::StrCat("the tap is over: ", status.message()));
    }
    event_.Clear();
    *event_.mutable_end() = std::move(command);
    TakeEvent();
    return CodeOfEnd();
  }

  absl::StatusOr<ExitCode> CodeOfEnd() const {
    if (last_.end().state() == "done") return kDone;
    return absl::AbortedError(absl::StrCat("the tap ended as ", StateAndWhy(last_.end())));
  }

  ExitCode Leave() {
    const absl::Status status = TakeBack(session_, command_);
    if (!status.ok()) {
      notes_.Say(absl::StrCat("the tap could not be taken back (", status.message(),
                              "); the server does it when nobody reads it any more"));
    }
    return kDone;
  }

  Session& session_;
  const std::string command_;
  Notes& notes_;
  const std::function<void(const v1::CanTapEvent&)>& take_;
  Backoff backoff_;
  v1::CanTapEvent event_;  // its memory is used again
  v1::CanTapEvent last_;   // of this stream, without frames
  double frames_ = 0;
  double lost_ = 0;  // in earlier streams and between them
  double dropped_ = 0;
  double skipped_ = 0;     // in earlier streams
  double next_batch_ = 0;  // 0: not known
  bool joined_ = false;    // this stream's first batch was compared with next_batch_
  double garbled_ = 0;
  bool away_ = false;
};

}  // namespace

std::string BusPath(absl::string_view device, absl::string_view bus) {
  return absl::StrCat("/api/v1/devices/", device, "/can/", bus);
}

absl::StatusOr<v1::CommandView> StartTap(Session& session, absl::string_view bus_path, v1::CanTapRequest request) {
  request.set_by(Asker());
  v1::CommandView tap;
  RETURN_IF_ERROR(session.client.Post(absl::StrCat(bus_path, "/taps"), request, tap));
  // A short one may be over already; what it brought is there to be read.
  if (tap.state() == "running" || tap.state() == "done") return tap;
  const std::string what = absl::StrCat(tap.device_id(), " does not ", tap.summary(), ": ", StateAndWhy(tap));
  if (IsEnd(tap.state()) && tap.state() != "unknown") return absl::FailedPreconditionError(what);
  TakeBack(session, tap.command_id()).IgnoreError();  // if it runs after all, nobody reads it and the server ends it
  return absl::DeadlineExceededError(what);
}

absl::StatusOr<ExitCode> ReadTap(Session& session, const v1::CommandView& tap, Notes& notes,
                                 const std::function<void(const v1::CanTapEvent&)>& take) {
  return TapReader(session, tap.command_id(), notes, take).Run();
}

}  // namespace fleet
