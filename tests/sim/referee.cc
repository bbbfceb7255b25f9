#include "tests/sim/referee.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/topics.h"
#include "fleet/v1/to_device.pb.h"

namespace fleet {

using server::LivenessState;
using server::OfflineReason;

// On the server.

void Referee::OnEvent(const server::Event& event, MonoTime now) {
  if (const auto* heartbeat = std::get_if<server::HeartbeatEvent>(&event)) {
    DeviceTruth& truth = truth_[std::string(heartbeat->device)];
    const bool is_new = truth.heartbeats.Arrive(heartbeat->heartbeat->epoch(), heartbeat->heartbeat->seq());
    truth.last_any_heartbeat = now;
    if (is_new) truth.last_heartbeat = now;
  } else if (const auto* state = std::get_if<server::StateEvent>(&event)) {
    truth_[std::string(state->device)].states.Arrive(state->report->epoch(), state->report->seq());
  } else if (const auto* status = std::get_if<server::StatusEvent>(&event)) {
    if (status->status->presence() != v1::PRESENCE_ONLINE) return;
    DeviceTruth& truth = truth_[std::string(status->device)];
    truth.heartbeats.StartLife(status->status->epoch());
    truth.states.StartLife(status->status->epoch());
  }
}

void Referee::OnRows(const server::RowBatch& rows, MonoTime now) {
  for (const server::LivenessRow& row : rows.liveness) CheckLiveness(row, now);
  for (const server::CommandRow& row : rows.commands) {
    commands_[row.id] = {.expires = now + absl::Milliseconds(row.ttl_ms)};
  }
}

void Referee::OnPublish(const Publication& publication, MonoTime now) {
  if (publication.topic != kServerBeatTopic) return;
  v1::ServerBeat beat;
  FLEET_CHECK(beat.ParseFromString(publication.payload));
  beats_sent_at_[{beat.server_epoch(), beat.steady_unix_ms()}] = now;
}

void Referee::CheckLiveness(const server::LivenessRow& row, MonoTime now) {
  liveness_[row.device_row].push_back(row.status.state);
  const server::Registry& registry = watched_.server->state().registry();
  for (server::DeviceIndex index = 0; index < registry.size(); ++index) {
    const server::Device& device = registry.at(index);
    if (device.row != row.device_row) continue;
    DeviceTruth& truth = truth_[device.id.str()];
    const absl::Duration silence = now - truth.last_heartbeat;
    const auto check = [&](bool is_true) {
      if (is_true) return;
      complain_(absl::StrCat(device.id.view(), " declared ", server::Name(row.status.state), " ",
                             server::Name(row.status.reason), " after a silence of ", absl::FormatDuration(silence)));
    };
    const OfflineReason reason = row.status.reason;
    if (row.status.state == LivenessState::kStale) check(silence >= absl::Seconds(1));
    if (row.status.state == LivenessState::kOnline && reason == OfflineReason::kNone) {
      check(truth.last_any_heartbeat == now || (truth.was_replaced && silence < absl::Seconds(2)));
    }
    if (reason == OfflineReason::kSilent) check(silence >= absl::Seconds(2));
    if (reason == OfflineReason::kLost) check(silence >= server::Liveness::kWillConfirm);
    if (reason == OfflineReason::kClean) check(truth.goodbyes > 0);
    truth.was_replaced = reason == OfflineReason::kReplaced;
  }
}

// On a device.

void Referee::OnStart(size_t device, MonoTime now) {
  beats_[device] = {.last = now};
}

void Referee::OnStop(size_t device) {
  ++truth_[watched_.devices[device]->id().str()].goodbyes;
}

void Referee::OnBeat(size_t device, const Arrived& message, MonoTime now) {
  v1::ServerBeat beat;
  FLEET_CHECK(beat.ParseFromString(message.payload));
  const absl::Duration delay = now - beats_sent_at_.at({beat.server_epoch(), beat.steady_unix_ms()});
  BeatTruth& truth = beats_[device];
  if (truth.server_epoch != beat.server_epoch()) {
    truth = {.server_epoch = beat.server_epoch(), .since = now, .best_delay = delay};
  }
  truth.best_delay = std::min(truth.best_delay, delay);
  truth.last = now;
}

void Referee::OnReceipt(size_t device, const Arrived& message) {
  const SimDevice& to = *watched_.devices[device];
  if (to.uses_numbers_anew()) return;
  const std::optional<int64_t> row = watched_.store.RowOf(to.id().view());
  v1::Receipt receipt;
  FLEET_CHECK(receipt.ParseFromString(message.payload));
  for (const v1::ReceiptRange& range : receipt.ranges()) {
    for (uint64_t seq = range.first_seq(); seq <= range.last_seq(); ++seq) {
      const int count = row ? watched_.store.CountOf(*row, range.stream(), range.epoch(), seq) : 0;
      const bool is_reused = to.losses() > 0;
      if (count == 1 || (count > 1 && is_reused)) continue;
      complain_(absl::StrCat(to.id().view(), " got a receipt for ", v1::Stream_Name(range.stream()), " epoch ",
                             range.epoch(), " number ", seq, " that is stored ", count, " times"));
    }
  }
}

void Referee::OnSegment(size_t device, const Arrived& message, MonoTime now) {
  v1::CommandFrame frame;
  v1::Command command;
  FLEET_CHECK(frame.ParseFromString(message.payload) && command.ParseFromString(frame.command()));
  const auto found = commands_.find(CommandId{command.id()});
  if (found == commands_.end()) return;  // said by nobody
  // Whole milliseconds on either side, and the millisecond a second by which clocks may drift apart.
  const BeatTruth& beats = beats_[device];
  const absl::Duration blur = beats.best_delay + absl::Milliseconds(2) + (now - beats.since) / 1000;
  found->second.blur = std::max(found->second.blur, blur);
}

void Referee::OnSegmentStart(size_t, const device::SegmentOrder& order, MonoTime now) {
  CommandTruth& truth = commands_.at(order.command);
  ++truth.starts;
  if (truth.starts > 1) complain_(absl::StrCat("command ", Number(order.command), " started twice"));
  if (now <= truth.expires + truth.blur) return;
  complain_(absl::StrCat("command ", Number(order.command), " started ", absl::FormatDuration(now - truth.expires),
                         " after its time, when ", absl::FormatDuration(truth.blur), " may be forgiven"));
}

void Referee::OnTurn(size_t device, MonoTime now) {
  CheckSums(device);
  CheckFailSafe(device, now);
}

void Referee::CheckSums(size_t device) {
  const SimDevice& one = *watched_.devices[device];
  const device::Outbox& outbox = one.agent().agent().outbox();
  for (const v1::Stream stream : {v1::STREAM_EVENT, v1::STREAM_TELEMETRY}) {
    const auto& counters = outbox.counters();
    const uint64_t made = counters.made[stream] + one.inherited(stream);
    const uint64_t accounted = counters.receipted[stream] + counters.dropped[stream] + outbox.waiting(stream);
    if (made == accounted) continue;
    complain_(absl::StrCat(one.id().view(), " ", v1::Stream_Name(stream), ": made ", counters.made[stream],
                           " + inherited ", one.inherited(stream), " != receipted ", counters.receipted[stream],
                           " + dropped ", counters.dropped[stream], " + waiting ", outbox.waiting(stream)));
  }
}

void Referee::CheckFailSafe(size_t device, MonoTime now) {
  const SimDevice& one = *watched_.devices[device];
  const MonoTime limit = beats_[device].last + fail_safe_.after;
  if (now < limit) {
    if (one.NextDue() <= limit) return;
    complain_(absl::StrCat(one.id().view(), " will not look at its fail-safe in time"));
    return;
  }
  // What is given after that is judged as ever.
  for (size_t i = 0; i < one.motions().size(); ++i) {
    const SimDevice::Motion& motion = one.motions()[i];
    const bool moves = motion.began < limit && motion.ends > now;
    if (!moves || !IsStopped(static_cast<uint32_t>(i + 1))) continue;
    complain_(absl::StrCat(one.id().view(), " entity ", i + 1, " moves ",
                           absl::FormatDuration(now - beats_[device].last), " after the last beat"));
  }
}

}  // namespace fleet
