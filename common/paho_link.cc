#include "common/paho_link.h"

#include <mqtt/async_client.h>

#include <deque>
#include <functional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "common/paho_options.h"
#include "common/status_macros.h"
#include "common/tcp_no_delay.h"

// Debian's Paho is not instrumented, so ThreadSanitizer does not see how it counts the references to a token, and takes
// for a race that one side drops a token which the other then deletes. These are the places where that happens.
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define FLEET_TSAN
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(FLEET_TSAN)
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:mqtt::async_client::remove_token\n"
         "race:fleet::PahoLink::Connection::HandOver\n"
         "race:fleet::PahoLink::Connection::Abandon\n";
}
#endif

namespace fleet {
namespace {

// The time that the destructor gives the request to publish the will.
constexpr absl::Duration kAbandonTimeout = absl::Seconds(1);

// Paho C 1.3.12 keeps the commands of all clients of the process in one list, and MQTTAsync_destroy takes commands out
// of it without the lock that MQTTAsync_send puts them in under. So this one is held around both; callbacks need it
// not, they run under the lock of MQTTAsync_destroy.
Mutex paho_mu;

// The port of tcp://HOST:PORT; 1883 when it names none, as Paho has it.
uint16_t PortOf(absl::string_view url) {
  const size_t colon = url.rfind(':');
  int port = 0;
  const bool named = colon != absl::string_view::npos && absl::SimpleAtoi(url.substr(colon + 1), &port);
  return named && port > 0 && port <= 0xffff ? static_cast<uint16_t>(port) : 1883;
}

}  // namespace

// One attempt to connect and, when it succeeds, one connection. Never used twice: what Paho still holds of a lost one
// (queued publications, its count of them, callbacks on their way) goes with it.
//
//   Idle --Start--> Connecting --CONNACK, SUBACK--> Up --loss--> Down         any failure leads to Down
//
// Publications with QoS 1 beyond what the broker accepts unacknowledged wait here: Paho would stall all of them until
// its once-a-second look at its queue, because a PUBACK does not wake it (1.3.12). Those with QoS 0 overtake them.
//
// Callbacks come on Paho's two threads with Paho's lock held, which publishing takes as well: so mu_ is never held
// while Paho is called. Destroying the client takes that lock too, after which no callback comes any more.
class PahoLink::Connection : private mqtt::iaction_listener {
 public:
  enum class State { kIdle, kConnecting, kUp, kDown };

  // Throws mqtt::exception. Both arguments outlive this.
  Connection(const LinkOptions& options, const LinkSink& sink);
  ~Connection() override;

  State state() {
    MutexLock lock(mu_);
    return state_;
  }
  void Start();
  // Down now, unless it is already.
  void Lose(std::string reason, bool taken_over = false);
  absl::Status Publish(const Publication& publication);
  // Publishes `goodbye` and waits until nothing is in flight. False: not all of it can have arrived.
  bool Flush(const std::optional<Publication>& goodbye, absl::Duration timeout);
  // Makes the broker publish the will. Without it Paho would say a clean goodbye when the client is destroyed.
  void Abandon();

 private:
  void on_success(const mqtt::token& token) override;
  void on_failure(const mqtt::token& token) override;

  void NoteRefusal(const mqtt::token& token);
  void ReadWindow(const mqtt::token& token);
  void Subscribe();
  void CheckSubscribed(const mqtt::token& token);
  void Rise();
  // One publication has arrived, or never will; sends the next one that waits.
  void Settle(int qos);
  absl::Status Send(Publication publication);
  absl::Status HandOver(Publication publication);

  const LinkOptions& options_;
  const LinkSink& sink_;
  LogLimit refusals_{absl::Seconds(10)};  // callbacks only
  LinkEvent arrived_ = Arrived();         // callbacks only; its memory is used again

  Mutex mu_;
  CondVar changed_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kIdle;
  int in_flight_ ABSL_GUARDED_BY(mu_) = 0;       // handed to Paho or waiting
  int unacknowledged_ ABSL_GUARDED_BY(mu_) = 0;  // QoS 1, handed to Paho
  int window_ ABSL_GUARDED_BY(mu_) = 0xffff;     // what unacknowledged_ may be: the broker's Receive Maximum
  std::deque<Publication> waiting_ ABSL_GUARDED_BY(mu_);

  // Callbacks go through client_ also while owned_client_ is being destroyed, and reset() would have made that null.
  std::unique_ptr<mqtt::async_client> owned_client_;
  mqtt::async_client* client_ = nullptr;
};

PahoLink::Connection::Connection(const LinkOptions& options, const LinkSink& sink) : options_(options), sink_(sink) {
  MutexLock lock(paho_mu);
  owned_client_ = std::make_unique<mqtt::async_client>(options.url, options.client_id, CreateOptions(options), nullptr);
  client_ = owned_client_.get();
  client_->set_message_callback([this](const mqtt::const_message_ptr& m) {
    auto& arrived = std::get<Arrived>(arrived_);
    arrived.topic.assign(m->get_topic());
    arrived.payload.assign(m->get_payload_str());
    arrived.retained = m->is_retained();
    sink_(std::move(arrived_));
  });
  client_->set_connection_lost_handler([this](const std::string&) { Lose("connection lost"); });
  client_->set_disconnected_handler([this](const mqtt::properties&, mqtt::ReasonCode code) {
    Lose(ReasonText(static_cast<int>(code), "disconnected by the broker"),
         code == mqtt::ReasonCode::SESSION_TAKEN_OVER);
  });
}

PahoLink::Connection::~Connection() {
  {
    MutexLock lock(mu_);
    state_ = State::kDown;  // the callbacks that destroying the client brings are nobody's business
  }
  MutexLock lock(paho_mu);
  owned_client_.reset();
}

void PahoLink::Connection::Start() {
  {
    MutexLock lock(mu_);
    state_ = State::kConnecting;
  }
  absl::Status status;
  try {
    MutexLock lock(paho_mu);
    client_->connect(ConnectOptions(options_), nullptr, *this);
  } catch (const std::exception& e) {
    status = absl::InternalError(e.what());
  }
  if (!status.ok()) Lose(absl::StrCat("cannot connect: ", status.message()));
}

void PahoLink::Connection::Lose(std::string reason, bool taken_over) {
  {
    MutexLock lock(mu_);
    if (state_ == State::kDown) return;
    state_ = State::kDown;
    changed_.NotifyAll();
  }
  sink_(LinkDown{.reason = std::move(reason), .taken_over = taken_over});
}

void PahoLink::Connection::Rise() {
  {
    MutexLock lock(mu_);
    if (state_ != State::kConnecting) return;
    state_ = State::kUp;
  }
  sink_(LinkUp{});
}

void PahoLink::Connection::Settle(int qos) {
  std::optional<Publication> next;
  {
    MutexLock lock(mu_);
    if (--in_flight_ == 0) changed_.NotifyAll();
    if (qos > 0) --unacknowledged_;
    if (state_ == State::kUp && !waiting_.empty() && unacknowledged_ < window_) {
      ++unacknowledged_;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
  }
  if (!next) return;
  // The callbacks come one at a time, and until the last that waits is handed over Publish adds behind it: in order.
  const absl::Status status = HandOver(*std::move(next));
  if (status.ok()) return;
  // It was accepted, so it may not vanish alone.
  Lose(absl::IsUnavailable(status) ? "connection lost" : absl::StrCat("cannot publish: ", status.message()));
}

void PahoLink::Connection::on_success(const mqtt::token& token) {
  switch (token.get_type()) {
    case mqtt::token::CONNECT:
      if (options_.no_delay) SetNoDelayTowards(PortOf(options_.url));
      ReadWindow(token);
      options_.subscriptions.empty() ? Rise() : Subscribe();
      break;
    case mqtt::token::SUBSCRIBE:
      CheckSubscribed(token);
      break;
    case mqtt::token::PUBLISH:
      Settle(static_cast<const mqtt::delivery_token&>(token).get_message()->get_qos());
      break;
    case mqtt::token::UNSUBSCRIBE:
    case mqtt::token::DISCONNECT:
      break;
  }
}

void PahoLink::Connection::on_failure(const mqtt::token& token) {
  switch (token.get_type()) {
    case mqtt::token::CONNECT:
      Lose(ReasonText(token.get_return_code(), absl::StrCat("cannot connect to ", options_.url)));
      break;
    case mqtt::token::SUBSCRIBE:
      CheckSubscribed(token);
      break;
    case mqtt::token::PUBLISH:
      NoteRefusal(token);
      Settle(static_cast<const mqtt::delivery_token&>(token).get_message()->get_qos());
      break;
    case mqtt::token::UNSUBSCRIBE:
    case mqtt::token::DISCONNECT:
      break;
  }
}

void PahoLink::Connection::NoteRefusal(const mqtt::token& token) {
  if (!IsRefusal(token.get_reason_code())) return;
  if (const auto skipped = refusals_.Allow(SystemClock().Read().mono)) {
    LogWarn("publication refused client_id={} reason={} skipped={}", options_.client_id,
            ReasonText(token.get_reason_code(), ""), *skipped);
  }
}

void PahoLink::Connection::ReadWindow(const mqtt::token& token) {
  try {
    const mqtt::connect_response response = token.get_connect_response();
    const mqtt::properties& properties = response.get_properties();
    if (!properties.contains(mqtt::property::RECEIVE_MAXIMUM)) return;
    MutexLock lock(mu_);
    window_ = mqtt::get<uint16_t>(properties, mqtt::property::RECEIVE_MAXIMUM);
  } catch (const std::exception& e) {
    Lose(absl::StrCat("cannot connect: ", e.what()));
  }
}

void PahoLink::Connection::Subscribe() {
  auto filters = std::make_shared<mqtt::string_collection>();
  mqtt::iasync_client::qos_collection qos;
  for (const Subscription& subscription : options_.subscriptions) {
    filters->push_back(subscription.filter);
    qos.push_back(subscription.qos);
  }
  try {
    client_->subscribe(filters, qos, nullptr, *this);
  } catch (const std::exception& e) {
    Lose(absl::StrCat("cannot subscribe: ", e.what()));
  }
}

void PahoLink::Connection::CheckSubscribed(const mqtt::token& token) {
  // Paho reports a refusal as failure when there is one filter and as success with a list when there are more.
  std::vector<mqtt::ReasonCode> codes = {token.get_reason_code()};
  try {
    if (token.get_return_code() == MQTTASYNC_SUCCESS && !IsRefusal(codes[0])) {
      codes = token.get_subscribe_response().get_reason_codes();
    }
  } catch (const std::exception& e) {
    return Lose(absl::StrCat("cannot subscribe: ", e.what()));
  }
  if (token.get_return_code() != MQTTASYNC_SUCCESS)
    return Lose(ReasonText(token.get_return_code(), "cannot subscribe"));
  for (size_t i = 0; i < codes.size() && i < options_.subscriptions.size(); ++i) {
    if (!IsRefusal(codes[i])) continue;
    return Lose(ReasonText(codes[i], absl::StrCat("subscription to ", options_.subscriptions[i].filter, " refused")));
  }
  Rise();
}

absl::Status PahoLink::Connection::Publish(const Publication& publication) {
  {
    MutexLock lock(mu_);
    if (state_ != State::kUp) return absl::UnavailableError("not connected");
    const int most = publication.drop_above > 0 ? publication.drop_above : options_.max_in_flight;
    if (in_flight_ >= most) {
      return absl::ResourceExhaustedError(absl::StrCat(in_flight_, " publications in flight"));
    }
    ++in_flight_;
  }
  return Send(publication);
}

absl::Status PahoLink::Connection::Send(Publication publication) {
  const int qos = publication.qos;
  if (qos > 0) {
    MutexLock lock(mu_);
    if (unacknowledged_ >= window_) {
      waiting_.push_back(std::move(publication));
      return absl::OkStatus();
    }
    ++unacknowledged_;
  }
  absl::Status status;
  {
    MutexLock lock(paho_mu);
    status = HandOver(std::move(publication));
  }
  if (!status.ok()) Settle(qos);
  return status;
}

absl::Status PahoLink::Connection::HandOver(Publication publication) {
  try {
    client_->publish(mqtt::message::create(std::move(publication.topic), std::move(publication.payload),
                                           publication.qos, publication.retain),
                     nullptr, *this);
    return absl::OkStatus();
  } catch (const mqtt::exception& e) {
    return ToStatus(e);
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

bool PahoLink::Connection::Flush(const std::optional<Publication>& goodbye, absl::Duration timeout) {
  {
    MutexLock lock(mu_);
    if (state_ != State::kUp) return !goodbye;
    if (goodbye) ++in_flight_;
  }
  if (goodbye) {
    Publication last = *goodbye;
    last.qos = 1;  // so that its PUBACK tells that it has arrived
    if (!Send(std::move(last)).ok()) return false;
  }
  const SystemClock clock;
  const MonoTime deadline = clock.Read().mono + timeout;
  MutexLock lock(mu_);
  while (in_flight_ > 0 && state_ == State::kUp) {
    const MonoTime now = clock.Read().mono;
    if (now >= deadline) return false;
    changed_.WaitFor(mu_, deadline - now);
  }
  return state_ == State::kUp;
}

void PahoLink::Connection::Abandon() {
  if (state() != State::kUp) return;
  try {
    mqtt::token_ptr token;
    {
      MutexLock lock(paho_mu);
      token = client_->disconnect(DisconnectWithWill());
    }
    token->wait_for(absl::ToChronoMilliseconds(kAbandonTimeout));
  } catch (const std::exception&) {
    return;  // not connected any more, so the will is on its way
  }
}

PahoLink::PahoLink(LinkOptions options, LinkSink sink)
    : options_(std::move(options)),
      sink_(std::move(sink)),
      backoff_(options_.reconnect_min, options_.reconnect_max, std::hash<std::string>()(options_.client_id)) {}

absl::StatusOr<std::unique_ptr<PahoLink>> PahoLink::Open(LinkOptions options, LinkSink sink) {
  // Else Paho formats a trace of everything it does into a ring that nobody reads, a quarter of the cost of a message
  // (docs/decisions/0006-no-trace.md).
  MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
  auto link = std::unique_ptr<PahoLink>(new PahoLink(std::move(options), std::move(sink)));
  RETURN_IF_ERROR(link->Renew());
  return link;
}

PahoLink::~PahoLink() {
  if (connection_ != nullptr) connection_->Abandon();
}

absl::Status PahoLink::Renew() {
  try {
    // The old one goes after the new one is there: with its last client Paho ends its threads, which takes a while.
    connection_ = std::make_unique<Connection>(options_, sink_);
    return absl::OkStatus();
  } catch (const mqtt::exception& e) {
    return absl::Status(ToStatus(e).code(), absl::StrCat("broker ", options_.url, ": ", ToStatus(e).message()));
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

MonoTime PahoLink::Tick(MonoTime now) {
  if (connection_ == nullptr) return MonoTime::Max();
  if (connection_->state() == Connection::State::kConnecting && now >= due_) {
    connection_->Lose(absl::StrCat("no answer within ", absl::FormatDuration(kConnectTimeout)));
  }
  if (connection_->state() == Connection::State::kDown) {
    // A connection that did not last is followed by a longer pause: two clients with one id would throw each other out
    // without end.
    if (now - started_ > options_.reconnect_max + kConnectTimeout) backoff_.Reset();
    due_ = now + backoff_.Next();
    if (absl::Status status = Renew(); !status.ok()) return due_;  // still Down: the next Tick comes here again
  }
  switch (connection_->state()) {
    case Connection::State::kIdle:
      if (now < due_) return due_;
      started_ = now;
      due_ = now + kConnectTimeout;
      connection_->Start();
      return connection_->state() == Connection::State::kDown ? now : due_;
    case Connection::State::kConnecting:
      return due_;
    case Connection::State::kUp:
    case Connection::State::kDown:  // since a moment ago; its LinkDown wakes the owner
      return MonoTime::Max();
  }
  return MonoTime::Max();
}

absl::Status PahoLink::Publish(const Publication& publication) {
  if (connection_ == nullptr) return absl::UnavailableError("closed");
  return connection_->Publish(publication);
}

absl::Status PahoLink::Close(const std::optional<Publication>& goodbye, absl::Duration timeout) {
  if (connection_ == nullptr) return absl::OkStatus();
  const bool arrived = connection_->Flush(goodbye, timeout);
  if (!arrived) connection_->Abandon();  // the will says what the goodbye could not
  connection_.reset();                   // disconnects, with the reason "normal"
  if (arrived) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("not everything was delivered within ", absl::FormatDuration(timeout)));
}

}  // namespace fleet
