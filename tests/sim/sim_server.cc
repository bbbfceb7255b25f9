#include "tests/sim/sim_server.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/topics.h"

namespace fleet {

SimServer::SimServer(const Options& options, SimStore& store, ServerObserver& observer, Now now)
    : options_(options),
      store_(store),
      observer_(observer),
      dispatcher_(*server::Dispatcher::Open("")),
      changes_{.rows = {.number = 1}},
      state_(options.fleet, store.Load(now), now, changes_),
      link_due_(now.mono),
      due_(now.mono) {}

void SimServer::Connect(MemoryBroker& broker, LinkSink sink) {
  LinkOptions options{.client_id = kServerClientId, .max_in_flight = 60'000};
  options.subscriptions = {{"rpi/+/+", 1}, {"rpi/+/command/ack", 1}, {kServerProbeTopic, 0}};
  link_ = broker.Connect(std::move(options), std::move(sink));
}

void SimServer::Handle(const LinkEvent& event, Now now) {
  if (frozen_) return waiting_.push_back(event);
  HandleNow(event, now);
}

void SimServer::HandleNow(const LinkEvent& event, Now now) {
  std::visit([&](const auto& e) { On(e, now); }, event);
  due_ = now.mono;
}

// Changes of the link come first, as they do in the real one: they have a queue of their own.
void SimServer::Thaw(Now now) {
  frozen_ = false;
  due_ = now.mono;
  CommitDue(now.mono);
  HearWritten(now);
  std::stable_partition(waiting_.begin(), waiting_.end(),
                        [](const LinkEvent& event) { return !std::holds_alternative<Arrived>(event); });
  for (const LinkEvent& event : std::exchange(waiting_, {})) HandleNow(event, now);
}

void SimServer::On(const LinkDown&, Now now) {
  state_.LinkDown(now, changes_);
  link_due_ = now.mono;
}

void SimServer::On(const Arrived& message, Now now) {
  state_.MessageArrived(now);
  observer_.OnMessage(message, now.mono);
  if (message.topic == kServerProbeTopic) return;
  const absl::StatusOr<server::Event> event = ingest_.Read(message.topic, message.payload, message.retained);
  if (!event.ok()) return;  // counted
  observer_.OnEvent(*event, now.mono);
  state_.Apply(*event, now, changes_);
}

void SimServer::Turn(Now now) {
  CommitDue(now.mono);
  HearWritten(now);
  state_.SetStoreWorks(store_works_);
  SendStops(now);
  state_.Tick(now, changes_);
  if (link_due_ <= now.mono) link_due_ = link_->Tick(now.mono);
  SendDue(now);
  changes_.stored.clear();
  GatherRows(now.mono);
  HandRows(now.mono);
  due_ = std::min(state_.NextDue(), link_due_);
  if (!pending_.empty()) due_ = std::min(due_, pending_since_ + kStorePeriod);
  if (!writing_.empty()) due_ = std::min(due_, writing_.front().commit_at);
  if (!written_.empty()) due_ = std::min(due_, written_.front().at);
}

void SimServer::SendStops(Now now) {
  PublishLive(changes_.first, now);
  for (CommandId id : std::exchange(changes_.stops, {})) {
    const server::Command& stop = *state_.commands().Find(id);
    Publication frame = dispatcher_.Frame(state_.registry().at(stop.device).id, stop.row);
    bool taken = false;
    for (const int qos : {0, 1}) {
      frame.qos = qos;
      if (!link_->Publish(frame).ok()) continue;
      taken = true;
      observer_.OnPublish(frame, now.mono);
    }
    state_.Sent(id, taken, now, changes_);
  }
}

void SimServer::SendDue(Now now) {
  PublishLive(changes_.publish, now);
  bool refused = false;
  for (CommandId id : std::exchange(changes_.commands_due, {})) {
    const server::Command* command = state_.commands().Find(id);
    if (command == nullptr) continue;
    const Publication frame = dispatcher_.Frame(state_.registry().at(command->device).id, command->row);
    refused = refused || !link_->Publish(frame).ok();
    if (!refused) observer_.OnPublish(frame, now.mono);
    state_.Sent(id, !refused, now, changes_);
  }
}

void SimServer::PublishLive(std::vector<Publication>& publications, Now now) {
  for (const Publication& publication : publications) {
    if (link_->Publish(publication).ok()) observer_.OnPublish(publication, now.mono);
  }
  publications.clear();
}

void SimServer::GatherRows(MonoTime now) {
  server::RowBatch& rows = changes_.rows;
  if (rows.empty()) return;
  observer_.OnRows(rows, now);
  if (pending_.empty()) pending_since_ = now;
  pending_.Append(rows);
}

void SimServer::HandRows(MonoTime now) {
  if (pending_.empty() || (!changes_.urgent && now < pending_since_ + kStorePeriod)) return;
  changes_.urgent = false;
  pending_.number = changes_.rows.number++;
  writing_.push_back({.commit_at = now + options_.store_delay / 2,
                      .tell_at = now + options_.store_delay,
                      .batch = std::exchange(pending_, {})});
}

// What fails is tried again; nothing overtakes it.
void SimServer::CommitDue(MonoTime now) {
  while (!writing_.empty() && writing_.front().commit_at <= now) {
    Writing& front = writing_.front();
    const SimStore::Answer answer = store_.Commit(front.batch);
    store_works_ = answer != SimStore::Answer::kFull;
    if (!store_works_) {
      front.commit_at = now + kStoreRetry;
      return;
    }
    const MonoTime told = std::max({now, front.tell_at, written_.empty() ? now : written_.back().at});
    written_.push_back({.at = told, .number = front.batch.number, .lost = answer == SimStore::Answer::kRefused});
    writing_.pop_front();
  }
}

void SimServer::HearWritten(Now now) {
  for (; !written_.empty() && written_.front().at <= now.mono; written_.pop_front()) {
    const Written& written = written_.front();
    written.lost ? state_.Lost(written.number, now, changes_) : state_.Committed(written.number, changes_);
  }
}

void SimServer::Stop(Now now) {
  link_->Close(std::nullopt, absl::Seconds(1)).IgnoreError();  // devices need no goodbye of ours
  state_.Flush(changes_);
  changes_.urgent = true;
  GatherRows(now.mono);
  HandRows(now.mono);
  for (const Writing& writing : writing_) {
    if (store_.Commit(writing.batch) == SimStore::Answer::kFull) return;  // and what is left is lost
  }
}

}  // namespace fleet
