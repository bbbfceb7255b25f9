#include "common/testing/memory_broker.h"

#include <algorithm>
#include <utility>

#include "common/testing/memory_endpoint.h"

namespace fleet {
namespace {

constexpr size_t kMaxRoutes = 1 << 17;
constexpr int kMaxRepeats = 64;  // a loss of 1 would repeat for ever

}  // namespace

MemoryBroker::MemoryBroker(const Options& options) : options_(options), random_state_(options.seed) {}
MemoryBroker::~MemoryBroker() = default;

// The broker's side.

void MemoryBroker::Accept(Endpoint& endpoint) {
  if (stopped_) {
    Event refusal = Sign(endpoint, endpoint.attempt, Kind::kDown);
    refusal.payload = "cannot connect: connection refused";
    return Transmit(endpoint, endpoint.last_down, std::move(refusal));
  }
  const std::string& id = endpoint.options.client_id;
  if (const auto old = by_id_.find(id); old != by_id_.end()) {
    CutOff(*endpoints_[old->second], "disconnected by the broker: Session taken over", true, true);
  }
  endpoint.session = true;
  endpoint.session_attempt = endpoint.attempt;
  by_id_[id] = endpoint.index;
  ++subscriptions_version_;
  for (const Subscription& subscription : endpoint.options.subscriptions) {
    subscriptions_.Add(subscription.filter, {.index = endpoint.index, .qos = subscription.qos});
    SendRetained(endpoint, subscription);
  }
  Transmit(endpoint, endpoint.last_down, Sign(endpoint, endpoint.attempt, Kind::kUp));
}

void MemoryBroker::EndSession(Endpoint& endpoint, bool publish_will) {
  if (!endpoint.session) return;
  endpoint.session = false;
  by_id_.erase(endpoint.options.client_id);
  ++subscriptions_version_;
  for (const Subscription& subscription : endpoint.options.subscriptions) {
    subscriptions_.Remove(subscription.filter, endpoint.index);
  }
  if (!publish_will || !endpoint.options.will) return;
  const Publication& will = *endpoint.options.will;
  ++counts_.wills;
  if (will.retain) Store(will.topic, will.payload, will.qos);
  RouteToSubscribers(will.topic, will.payload, will.qos);
}

void MemoryBroker::CutOff(Endpoint& endpoint, std::string reason, bool taken_over, bool publish_will) {
  EndSession(endpoint, publish_will);
  Event down = Sign(endpoint, endpoint.session_attempt, Kind::kDown);
  down.payload = std::move(reason);
  down.taken_over = taken_over;
  Transmit(endpoint, endpoint.last_down, std::move(down));
}

void MemoryBroker::Store(const std::string& topic, const std::string& payload, int qos) {
  if (payload.empty()) {
    retained_.erase(topic);
  } else if (retained_.size() < options_.max_retained || retained_.contains(topic)) {
    retained_[topic] = {.payload = payload, .qos = qos};
  } else {
    ++counts_.dropped;
  }
}

void MemoryBroker::SendRetained(Endpoint& endpoint, const Subscription& subscription) {
  const auto send = [&](const std::string& topic, const Retained& message) {
    DeliverTo(endpoint, topic, message.payload, std::min(message.qos, subscription.qos), true);
  };
  if (subscription.filter.find_first_of("+#") == std::string::npos) {
    if (const auto it = retained_.find(subscription.filter); it != retained_.end()) send(it->first, it->second);
    return;
  }
  for (const auto& [topic, message] : retained_) {
    if (TopicMatches(subscription.filter, topic)) send(topic, message);
  }
}

const MemoryBroker::Route& MemoryBroker::RouteOf(absl::string_view topic) {
  auto it = routes_.find(topic);
  if (it == routes_.end()) {
    if (routes_.size() >= kMaxRoutes) routes_.clear();
    it = routes_.try_emplace(std::string(topic)).first;
  }
  Route& route = it->second;
  if (route.version != subscriptions_version_) {
    const std::vector<TopicTree::Subscriber> subscribers = subscriptions_.Match(topic);
    route.version = subscriptions_version_;
    route.subscribers.assign(subscribers.begin(), subscribers.end());
  }
  return route;
}

// As RouteOf, found where the publisher's data is already.
const MemoryBroker::Route& MemoryBroker::RouteFrom(Endpoint& endpoint, absl::string_view topic) {
  for (const Endpoint::Sent& sent : endpoint.sent) {
    if (sent.route.version == subscriptions_version_ && sent.topic() == topic) return sent.route;
  }
  Endpoint::Sent& sent = endpoint.sent[std::exchange(endpoint.oldest_sent, 1 - endpoint.oldest_sent)];
  sent.topic_bytes.assign(topic.begin(), topic.end());
  sent.route = RouteOf(topic);
  return sent.route;
}

void MemoryBroker::RouteToSubscribers(absl::string_view topic, absl::string_view payload, int qos) {
  SendAlong(RouteOf(topic), topic, payload, qos);
}

void MemoryBroker::SendAlong(const Route& route, absl::string_view topic, absl::string_view payload, int qos) {
  for (const TopicTree::Subscriber& subscriber : route.subscribers) {
    DeliverTo(*endpoints_[subscriber.index], topic, payload, std::min(qos, subscriber.qos), false);
  }
}

void MemoryBroker::DeliverTo(Endpoint& endpoint, absl::string_view topic, absl::string_view payload, int qos,
                             bool retained) {
  if (IsFaultless(endpoint, endpoint.last_down)) {
    if (ready_size_ - ready_head_ >= options_.max_messages) {
      ++counts_.dropped;
      return;
    }
    Event& event = AddReady();  // made in place: this is the path of a simulated day
    event.kind = Kind::kDeliver;
    event.at = now_;
    event.sequence = ++last_sequence_;
    event.attempt = endpoint.session_attempt;
    event.index = endpoint.index;
    event.qos = static_cast<int8_t>(qos);
    event.retain = retained;
    event.topic.assign(topic.data(), topic.size());
    event.payload.assign(payload.data(), payload.size());
    return;
  }
  Event event = Sign(endpoint, endpoint.session_attempt, Kind::kDeliver, qos);
  event.retain = retained;
  event.topic = std::string(topic);
  event.payload = std::string(payload);
  Transmit(endpoint, endpoint.last_down, std::move(event));
}

void MemoryBroker::Release(uint32_t index) {
  endpoints_[index].reset();
  free_.push_back(index);
}

void MemoryBroker::Kill(const std::string& client_id) {
  const auto it = by_id_.find(client_id);
  if (it != by_id_.end()) CutOff(*endpoints_[it->second], "connection lost", false, true);
}

void MemoryBroker::Stop() {
  stopped_ = true;
  for (const auto& endpoint : endpoints_) {
    if (endpoint != nullptr && endpoint->session) CutOff(*endpoint, "connection lost", false, false);
  }
}

void MemoryBroker::Start(bool keep_retained) {
  stopped_ = false;
  if (!keep_retained) retained_.clear();
}

// The network.

MemoryBroker::Event MemoryBroker::Sign(const Endpoint& endpoint, uint64_t attempt, Kind kind, int qos) {
  return {.attempt = attempt, .index = endpoint.index, .kind = kind, .qos = static_cast<int8_t>(qos)};
}

const LinkFaults& MemoryBroker::FaultsOf(const Endpoint& endpoint) const {
  if (faults_by_id_.empty()) return options_.faults;
  const auto it = faults_by_id_.find(endpoint.options.client_id);
  return it == faults_by_id_.end() ? options_.faults : it->second;
}

void MemoryBroker::SetFaults(const std::string& client_id, const LinkFaults& faults) {
  faults_by_id_[client_id] = faults;
}

bool MemoryBroker::IsFaultless(const Endpoint& endpoint, MonoTime last) const {
  return !endpoint.partitioned && last <= now_ && !FaultsOf(endpoint).any();
}

// In [0, 1). SplitMix64 (Steele, Lea, Flood 2014): the standard distributions may differ between libraries.
double MemoryBroker::Random() {
  uint64_t z = random_state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

absl::Duration MemoryBroker::Between(absl::Duration min, absl::Duration max) {
  return max > min ? min + (max - min) * Random() : min;
}

// Sends `event` on its way through the network. `last`: when what was sent before it, in this direction, arrives.
void MemoryBroker::Transmit(Endpoint& endpoint, MonoTime& last, Event event) {
  event.at = now_;
  if (IsFaultless(endpoint, last)) return Enqueue(std::move(event));
  if (endpoint.partitioned) return Hold(endpoint, std::move(event));
  const LinkFaults& faults = FaultsOf(endpoint);
  absl::Duration delay = Between(faults.delay_min, faults.delay_max);
  for (int i = 0; i < kMaxRepeats && Random() < faults.loss; ++i) {
    if (event.qos == 0) {
      ++counts_.lost;
      if (event.kind == Kind::kPublish) --endpoint.in_flight;
      return;
    }
    delay += options_.retry;
  }
  event.at = faults.reorder && IsPublication(event) ? now_ + delay : std::max(last, now_ + delay);
  last = std::max(last, event.at);
  if (IsPublication(event) && (event.qos > 0 || faults.duplicate_qos0) && Random() < faults.duplicate) {
    ++counts_.duplicated;
    Event copy = event;
    copy.at = event.at + Between(absl::ZeroDuration(), options_.retry);
    if (event.kind == Kind::kPublish) ++endpoint.in_flight;
    Enqueue(std::move(copy));
  }
  Enqueue(std::move(event));
}

void MemoryBroker::Enqueue(Event event) {
  if (IsPublication(event) && ready_size_ - ready_head_ + later_.size() >= options_.max_messages) {
    ++counts_.dropped;
    if (event.kind == Kind::kPublish) --endpoints_[event.index]->in_flight;
    return;
  }
  event.sequence = ++last_sequence_;
  if (event.at <= now_) {
    AddReady() = std::move(event);
  } else {
    later_.push(std::make_unique<Event>(std::move(event)));
  }
}

// At the edge of a partition: QoS 1 and the messages of the connection itself are repeated until they pass.
void MemoryBroker::Hold(Endpoint& endpoint, Event event) {
  if (event.kind == Kind::kConnect) return;  // its attempt times out
  const bool room = endpoint.held.size() < static_cast<size_t>(endpoint.options.max_in_flight);
  if (!IsPublication(event) || (event.qos > 0 && room)) {
    endpoint.held.push_back(std::move(event));
    return;
  }
  ++(event.qos > 0 ? counts_.dropped : counts_.lost);
  if (event.kind == Kind::kPublish) --endpoint.in_flight;
}

void MemoryBroker::Partition(const std::string& client_id, bool on) {
  if (on == partitioned_.contains(client_id)) return;
  if (on) {
    partitioned_.insert(client_id);
  } else {
    partitioned_.erase(client_id);
  }
  for (const auto& endpoint : endpoints_) {
    if (endpoint == nullptr || endpoint->options.client_id != client_id) continue;
    endpoint->partitioned = on;
    ++endpoint->partition_number;
    on ? Isolate(*endpoint) : Heal(*endpoint);
  }
}

void MemoryBroker::Isolate(Endpoint& endpoint) {
  Event expire = Sign(endpoint, endpoint.partition_number, Kind::kExpire);
  expire.at = now_ + endpoint.options.keepalive * 1.5;
  Enqueue(std::move(expire));
}

void MemoryBroker::Heal(Endpoint& endpoint) {
  bool end_is_told = endpoint.open;
  for (Event& event : std::exchange(endpoint.held, {})) {
    end_is_told |= event.kind == Kind::kGoodbye || event.kind == Kind::kReset;
    event.at = now_;
    Enqueue(std::move(event));
  }
  if (!end_is_told) Enqueue(Sign(endpoint, endpoint.session_attempt, Kind::kReset));
}

MonoTime MemoryBroker::NextDue() const {
  const MonoTime ready = ready_head_ < ready_size_ ? ready_[ready_head_].at : MonoTime::Max();
  return later_.empty() ? ready : std::min(ready, later_.top()->at);
}

void MemoryBroker::RunUntil(MonoTime now) {
  while (true) {
    const bool has_ready = ready_head_ < ready_size_;
    if (!later_.empty() && later_.top()->at <= now && (!has_ready || ready_[ready_head_] > *later_.top())) {
      Event event = std::move(*later_.top());
      later_.pop();
      now_ = std::max(now_, event.at);
      Dispatch(event);
      continue;
    }
    if (!has_ready) break;
    Event& next = ready_[ready_head_++];
    if (next.kind == Kind::kDeliver) {
      Dispatch(next);
    } else {
      Event event = std::move(next);  // handling it may grow ready_
      Dispatch(event);
    }
  }
  ready_head_ = ready_size_ = 0;
  now_ = std::max(now_, now);
}

void MemoryBroker::Dispatch(Event& event) {
  Endpoint* endpoint = endpoints_[event.index].get();
  if (endpoint == nullptr) {
    if (IsPublication(event)) ++counts_.lost;
    return;
  }
  if (endpoint->partitioned && event.kind != Kind::kExpire) return Hold(*endpoint, std::move(event));
  switch (event.kind) {
    case Kind::kDeliver:
    case Kind::kUp:
    case Kind::kDown:
      return ArriveAtClient(*endpoint, event);
    case Kind::kConnect:
      if (event.attempt == endpoint->attempt) Accept(*endpoint);
      return;
    case Kind::kPublish:
    case Kind::kGoodbye:
    case Kind::kReset:
      return ArriveAtBroker(*endpoint, event);
    case Kind::kExpire:
      return Expire(*endpoint, event);
  }
}

MemoryBroker::Event& MemoryBroker::AddReady() {
  if (ready_size_ == ready_.size()) ready_.emplace_back();
  return ready_[ready_size_++];
}

// `event` of a delivery may be part of ready_, so it is not looked at once the sink, which may publish, has been
// called.
void MemoryBroker::ArriveAtClient(Endpoint& endpoint, Event& event) {
  const bool current = endpoint.open && endpoint.attempt == event.attempt && endpoint.state != Endpoint::State::kDown;
  if (!current) {
    if (event.kind == Kind::kDeliver) ++counts_.lost;
    return;
  }
  if (event.kind == Kind::kDeliver) {
    ++counts_.delivered;
    auto& arrived = std::get<Arrived>(arrived_);
    arrived.topic.swap(event.topic);  // so that both keep their memory
    arrived.payload.swap(event.payload);
    arrived.retained = event.retain;
    endpoint.sink(std::move(arrived_));
  } else if (event.kind == Kind::kDown) {
    Lose(endpoint, std::move(event.payload), event.taken_over);
  } else {
    endpoint.state = Endpoint::State::kUp;
    endpoint.sink(LinkUp{});
  }
}

void MemoryBroker::ArriveAtBroker(Endpoint& endpoint, const Event& event) {
  if (event.kind == Kind::kPublish && event.attempt == endpoint.attempt) --endpoint.in_flight;
  const bool current = endpoint.session && endpoint.session_attempt == event.attempt;
  if (event.kind == Kind::kPublish) {
    if (!current) {
      ++counts_.lost;
      return;
    }
    if (event.retain) Store(event.topic, event.payload, event.qos);
    return RouteToSubscribers(event.topic, event.payload, event.qos);
  }
  if (current || (event.kind == Kind::kReset && !endpoint.open)) EndSession(endpoint, event.kind == Kind::kReset);
  if (!endpoint.open && !endpoint.session) Release(endpoint.index);
}

void MemoryBroker::Expire(Endpoint& endpoint, const Event& event) {
  if (!endpoint.partitioned || event.attempt != endpoint.partition_number) return;  // healed since
  // A connection of which the client has not heard yet that it is up is gone as well.
  const bool connected = endpoint.session && endpoint.session_attempt == endpoint.attempt;
  EndSession(endpoint, true);
  if (!endpoint.open) return Release(endpoint.index);
  if (endpoint.state == Endpoint::State::kUp || connected) Lose(endpoint, "no answer from the broker", false);
}

}  // namespace fleet
