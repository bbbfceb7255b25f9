// The client's side of MemoryBroker: when a link connects, what it publishes, how it ends.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/testing/memory_broker.h"
#include "common/testing/memory_endpoint.h"

namespace fleet {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(5);  // as PahoLink

}  // namespace

class MemoryBroker::Link : public MqttLink {
 public:
  Link(MemoryBroker& broker, uint32_t index) : broker_(broker), index_(index) {}
  ~Link() override {
    if (!closed_) broker_.Abandon(index_);
  }
  MonoTime Tick(MonoTime now) override { return closed_ ? MonoTime::Max() : broker_.Tick(index_, now); }
  absl::Status Publish(const Publication& publication) override {
    return closed_ ? absl::UnavailableError("closed") : broker_.Publish(index_, publication);
  }
  absl::Status Close(const std::optional<Publication>& goodbye, absl::Duration) override {
    if (std::exchange(closed_, true)) return absl::OkStatus();
    return broker_.Close(index_, goodbye);
  }

 private:
  MemoryBroker& broker_;
  const uint32_t index_;
  bool closed_ = false;
};

std::unique_ptr<MqttLink> MemoryBroker::Connect(LinkOptions options, LinkSink sink) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(endpoints_.size()));
    endpoints_.push_back(nullptr);
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  const bool cut = partitioned_.contains(options.client_id);
  endpoints_[index] = std::make_unique<Endpoint>(std::move(options), std::move(sink), index, cut);
  return std::make_unique<Link>(*this, index);
}

MonoTime MemoryBroker::Tick(uint32_t index, MonoTime now) {
  Endpoint& endpoint = *endpoints_[index];
  now_ = std::max(now_, now);
  if (endpoint.state == Endpoint::State::kUp) return MonoTime::Max();
  if (endpoint.state == Endpoint::State::kConnecting) {
    if (now < endpoint.due) return endpoint.due;
    Lose(endpoint, absl::StrCat("no answer within ", absl::FormatDuration(kConnectTimeout)), false);
  }
  if (endpoint.pause_due) {
    endpoint.pause_due = false;
    if (now - endpoint.started > endpoint.options.reconnect_max + kConnectTimeout) endpoint.backoff.Reset();
    endpoint.due = now + endpoint.backoff.Next();
  }
  if (now >= endpoint.due) Attempt(endpoint, now);
  return endpoint.due;
}

void MemoryBroker::Attempt(Endpoint& endpoint, MonoTime now) {
  endpoint.state = Endpoint::State::kConnecting;
  endpoint.attempt = ++last_attempt_;
  endpoint.last_up = endpoint.last_down = now_;
  endpoint.started = now;
  endpoint.due = now + kConnectTimeout;
  Transmit(endpoint, endpoint.last_up, Sign(endpoint, endpoint.attempt, Kind::kConnect));
}

void MemoryBroker::Lose(Endpoint& endpoint, std::string reason, bool taken_over) {
  if (endpoint.state == Endpoint::State::kDown) return;
  endpoint.state = Endpoint::State::kDown;
  endpoint.pause_due = true;
  endpoint.in_flight = 0;
  counts_.lost += endpoint.held.size();
  endpoint.held.clear();
  if (endpoint.open) endpoint.sink(LinkDown{.reason = std::move(reason), .taken_over = taken_over});
}

absl::Status MemoryBroker::Publish(uint32_t index, const Publication& publication) {
  Endpoint& endpoint = *endpoints_[index];
  if (endpoint.state != Endpoint::State::kUp) return absl::UnavailableError("not connected");
  const LinkOptions& options = endpoint.options;
  const int most = publication.drop_above > 0 ? publication.drop_above : options.max_in_flight;
  if (endpoint.in_flight > 0 && endpoint.in_flight >= most) {
    return absl::ResourceExhaustedError(absl::StrCat(endpoint.in_flight, " publications in flight"));
  }
  SendPublication(endpoint, publication, publication.qos);
  return absl::OkStatus();
}

void MemoryBroker::SendPublication(Endpoint& endpoint, const Publication& publication, int qos) {
  ++counts_.published;
  if (endpoint.in_flight == 0 && IsFaultless(endpoint, endpoint.last_up)) {
    if (publication.retain) Store(publication.topic, publication.payload, qos);
    return SendAlong(RouteFrom(endpoint, publication.topic), publication.topic, publication.payload, qos);
  }
  Event event = Sign(endpoint, endpoint.attempt, Kind::kPublish, qos);
  event.retain = publication.retain;
  event.topic = publication.topic;
  event.payload = publication.payload;
  ++endpoint.in_flight;
  Transmit(endpoint, endpoint.last_up, std::move(event));
}

absl::Status MemoryBroker::Close(uint32_t index, const std::optional<Publication>& goodbye) {
  Endpoint& endpoint = *endpoints_[index];
  if (endpoint.state != Endpoint::State::kUp || endpoint.partitioned) {
    const bool lossless = !goodbye && endpoint.state != Endpoint::State::kUp;
    Abandon(index);
    return lossless ? absl::OkStatus() : absl::DeadlineExceededError("not connected");
  }
  if (goodbye) SendPublication(endpoint, *goodbye, 1);
  endpoint.open = false;
  Transmit(endpoint, endpoint.last_up, Sign(endpoint, endpoint.attempt, Kind::kGoodbye));
  return absl::OkStatus();
}

void MemoryBroker::Abandon(uint32_t index) {
  Endpoint& endpoint = *endpoints_[index];
  endpoint.open = false;
  const bool unknown_to_broker = endpoint.state == Endpoint::State::kDown || endpoint.partitioned;
  if (!endpoint.session && unknown_to_broker) return Release(index);
  if (!endpoint.partitioned) Transmit(endpoint, endpoint.last_up, Sign(endpoint, endpoint.attempt, Kind::kReset));
}

}  // namespace fleet
