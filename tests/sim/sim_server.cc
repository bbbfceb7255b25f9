#include "tests/sim/sim_server.h"

#include <algorithm>
#include <iterator>
#include <variant>

#include "common/topics.h"

namespace fleet {
namespace {

template <typename T>
void Append(std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

SimServer::SimServer(const Options& options, SimStore& store, ServerObserver& observer, Now now)
    : options_(options),
      store_(store),
      observer_(observer),
      dispatcher_(*server::Dispatcher::Open("")),
      changes_{.rows = {.number = 1}},
      state_(options.fleet, store.Load(), now, changes_),
      link_due_(now.mono),
      due_(now.mono) {}

void SimServer::Connect(MemoryBroker& broker, LinkSink sink) {
  LinkOptions options{.client_id = kServerClientId, .max_in_flight = 60'000};
  options.subscriptions = {{"rpi/+/+", 1}, {"rpi/+/command/ack", 1}, {kServerProbeTopic, 0}};
  link_ = broker.Connect(std::move(options), std::move(sink));
}

void SimServer::Handle(const LinkEvent& event, Now now) {
  std::visit([&](const auto& e) { On(e, now); }, event);
  due_ = now.mono;
}

void SimServer::On(const LinkDown&, Now now) {
  state_.LinkDown(now, changes_);
  link_due_ = now.mono;
}

void SimServer::On(const Arrived& message, Now now) {
  state_.MessageArrived(now);
  observer_.OnMessage(message, now.mono);
  if (message.topic == kServerProbeTopic) return;
  const absl::StatusOr<server::Event> event = ingest_.Read(message.topic, message.payload);
  if (!event.ok()) return;  // counted
  observer_.OnEvent(*event, now.mono);
  state_.Apply(*event, now, changes_);
}

void SimServer::Turn(Now now) {
  CommitDue(now.mono);
  state_.Tick(now, changes_);
  if (link_due_ <= now.mono) link_due_ = link_->Tick(now.mono);
  SendDue(now);
  GatherRows(now.mono);
  HandRows(now.mono);
  due_ = std::min(state_.NextDue(), link_due_);
  if (!pending_.empty()) due_ = std::min(due_, pending_since_ + kStorePeriod);
  if (!commits_.empty()) due_ = std::min(due_, commits_.front().first);
}

void SimServer::SendDue(Now now) {
  for (CommandId id : std::exchange(changes_.commands_due, {})) {
    const server::Command& command = *state_.commands().Find(id);
    const Publication frame = dispatcher_.Frame(state_.registry().at(command.device).id, command.row);
    const bool taken = link_->Publish(frame).ok();
    if (taken) observer_.OnPublish(frame, now.mono);
    state_.Sent(id, taken, now, changes_);
  }
  for (const Publication& publication : changes_.publish) {
    if (link_->Publish(publication).ok()) observer_.OnPublish(publication, now.mono);
  }
  changes_.publish.clear();
}

void SimServer::GatherRows(MonoTime now) {
  server::RowBatch& rows = changes_.rows;
  if (rows.empty()) return;
  observer_.OnRows(rows, now);
  if (pending_.empty()) pending_since_ = now;
  Append(rows.devices, pending_.devices);
  Append(rows.liveness, pending_.liveness);
  Append(rows.commands, pending_.commands);
  Append(rows.steps, pending_.steps);
}

void SimServer::HandRows(MonoTime now) {
  if (pending_.empty() || (!changes_.urgent && now < pending_since_ + kStorePeriod)) return;
  changes_.urgent = false;
  pending_.number = changes_.rows.number++;
  commits_.emplace_back(now + options_.store_delay, std::exchange(pending_, {}));
}

void SimServer::CommitDue(MonoTime now) {
  while (!commits_.empty() && commits_.front().first <= now) {
    store_.Commit(commits_.front().second);
    state_.Committed(commits_.front().second.number, changes_);
    commits_.pop_front();
  }
}

void SimServer::Stop(Now now) {
  link_->Close(std::nullopt, absl::Seconds(1)).IgnoreError();  // devices need no goodbye of ours
  state_.Flush(changes_);
  changes_.urgent = true;
  GatherRows(now.mono);
  HandRows(now.mono);
  CommitDue(MonoTime::Max());
}

absl::StatusOr<CommandId> SimServer::Submit(absl::string_view device, const v1::Segment& segment, absl::Duration ttl,
                                            Now now) {
  due_ = now.mono;
  return state_.Submit(device, segment, ttl, now, changes_);
}

}  // namespace fleet
