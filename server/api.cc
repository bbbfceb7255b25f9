#include "server/api.h"

#include <algorithm>
#include <future>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/views.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kLoopPatience = absl::Seconds(2);
constexpr absl::Duration kMaxLongPoll = absl::Seconds(25);
constexpr int kDefaultLimit = 100;
constexpr int kMaxLimit = 1000;

void SetLoopView(const FleetState& state, v1::FleetSummary& summary) {
  const Liveness& liveness = state.liveness();
  summary.set_devices(static_cast<uint32_t>(state.registry().size()));
  summary.set_online(static_cast<uint32_t>(liveness.count(LivenessState::kOnline)));
  summary.set_stale(static_cast<uint32_t>(liveness.count(LivenessState::kStale)));
  summary.set_offline(static_cast<uint32_t>(liveness.count(LivenessState::kOffline)));
  summary.set_unknown(static_cast<uint32_t>(liveness.count(LivenessState::kUnknown)));
  summary.set_entities(static_cast<uint32_t>(state.registry().entity_count()));
}

template <typename NumberT>
absl::Status ReadNumber(const HttpRequest& request, const std::string& key, NumberT& out) {
  const auto found = request.query.find(key);
  if (found == request.query.end() || absl::SimpleAtoi(found->second, &out)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("?", key, "=", found->second, " is not a whole number"));
}

absl::StatusOr<int> LimitOf(const HttpRequest& request) {
  int limit = kDefaultLimit;
  RETURN_IF_ERROR(ReadNumber(request, "limit", limit));
  if (limit < 1 || limit > kMaxLimit) {
    return absl::InvalidArgumentError(absl::StrCat("?limit=", limit, " is not within 1 and ", kMaxLimit));
  }
  return limit;
}

std::string TextOf(const HttpRequest& request, const std::string& key) {
  const auto found = request.query.find(key);
  return found == request.query.end() ? "" : found->second;
}

absl::StatusOr<CommandId> CommandIdOf(absl::string_view text) {
  uint64_t id = 0;
  if (!absl::SimpleAtoi(text, &id)) return absl::InvalidArgumentError(absl::StrCat(text, " is no command id"));
  return CommandId{id};
}

absl::StatusOr<EntityId> EntityIdOf(absl::string_view text) {
  uint32_t id = 0;
  if (!absl::SimpleAtoi(text, &id)) return absl::InvalidArgumentError(absl::StrCat(text, " is no entity id"));
  return EntityId{id};
}

template <typename MessageT>
HttpResponse Respond(const absl::StatusOr<MessageT>& answer) {
  return answer.ok() ? JsonResponse(*answer) : ErrorResponse(answer.status());
}

class Api {
 public:
  explicit Api(const ApiParts& parts) : p_(parts) {}

  // Runs `work` on the loop thread and waits for its answer.
  template <typename T>
  absl::StatusOr<T> OnLoop(std::function<absl::StatusOr<T>(Now)> work) {
    auto answer = std::make_shared<std::promise<absl::StatusOr<T>>>();
    std::future<absl::StatusOr<T>> ready = answer->get_future();
    const bool posted =
        p_.loop.Post([this, answer, work = std::move(work)] { answer->set_value(work(p_.clock.Read())); });
    if (!posted || ready.wait_for(absl::ToChronoMilliseconds(kLoopPatience)) != std::future_status::ready) {
      return absl::UnavailableError("the server is overloaded, try again");
    }
    return ready.get();
  }

  absl::StatusOr<v1::FleetSummary> Summary() {
    return OnLoop<v1::FleetSummary>([this](Now now) {
      v1::FleetSummary summary;
      SetLoopView(p_.state, summary);
      const v1::Health health = p_.health();
      summary.set_broker_connected(health.broker() == "connected");
      summary.set_store_works(health.store() == "works");
      summary.set_server_version(FLEET_VERSION);
      summary.set_uptime_ms(static_cast<double>(absl::ToInt64Milliseconds(now.mono - started_)));
      return summary;
    });
  }

  absl::StatusOr<v1::DeviceList> Devices(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    DeviceIndex first = 0;
    RETURN_IF_ERROR(ReadNumber(request, "cursor", first));
    return OnLoop<v1::DeviceList>([this, first, limit](Now now) {
      v1::DeviceList list;
      const auto size = static_cast<DeviceIndex>(p_.state.registry().size());
      const DeviceIndex end = std::min<DeviceIndex>(size, std::min(first, size) + static_cast<DeviceIndex>(limit));
      for (DeviceIndex i = first; i < end; ++i) {
        *list.add_devices() = ViewOf(p_.state.registry().at(i), p_.state.liveness().status(i), now);
      }
      if (end < size) list.set_next_cursor(absl::StrCat(end));
      return list;
    });
  }

  absl::StatusOr<v1::DeviceView> OneDevice(const std::string& id) {
    return OnLoop<v1::DeviceView>([this, id](Now now) -> absl::StatusOr<v1::DeviceView> {
      const Device* device = p_.state.registry().Find(id);
      if (device == nullptr) return absl::NotFoundError(absl::StrCat("no device ", id));
      return ViewOf(*device, p_.state.liveness().status(device->index), now);
    });
  }

  absl::StatusOr<v1::CommandView> Submit(const HttpRequest& request) {
    v1::SegmentRequest body;
    RETURN_IF_ERROR(FromJson(request.body, body));
    ASSIGN_OR_RETURN(const v1::Segment segment, SegmentOf(body));
    const std::string device_id = request.captures[0];
    return OnLoop<v1::CommandView>([=, this](Now now) -> absl::StatusOr<v1::CommandView> {
      const v1::Health health = p_.health();
      if (health.store() != "works") {
        return absl::UnavailableError(
            absl::StrCat("nothing was sent, because it could not be stored: ", health.store()));
      }
      ASSIGN_OR_RETURN(const CommandId id,
                       p_.state.Submit(device_id, segment, absl::Milliseconds(body.ttl_ms()), now, p_.changes));
      return LoopView(*p_.state.commands().Find(id));
    });
  }

  absl::StatusOr<v1::CommandView> OneCommand(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const CommandId id, CommandIdOf(request.captures[0]));
    if (request.query.count("after_steps") != 0) return Await(id, request);
    return FindCommand(id);
  }

  absl::StatusOr<v1::CommandList> ListCommands(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    int64_t before = std::numeric_limits<int64_t>::max();
    RETURN_IF_ERROR(ReadNumber(request, "cursor", before));
    ASSIGN_OR_RETURN(const auto commands, p_.reader.ListCommands(TextOf(request, "device"),
                                                                 CommandId{static_cast<uint64_t>(before)}, limit));
    v1::CommandList list;
    for (const auto& command : commands) *list.add_commands() = ViewOf(command.row, command.steps, command.device_id);
    if (static_cast<int>(commands.size()) == limit) list.set_next_cursor(list.commands(limit - 1).command_id());
    return list;
  }

  absl::StatusOr<v1::History> History(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    ASSIGN_OR_RETURN(const EntityId entity, EntityIdOf(request.captures[1]));
    int64_t since_unix_ms = 0;
    RETURN_IF_ERROR(ReadNumber(request, "since_ms", since_unix_ms));
    return p_.reader.History(request.captures[0], entity, since_unix_ms, TextOf(request, "cursor"), limit);
  }

  absl::StatusOr<v1::LivenessHistory> LivenessOf(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const int limit, LimitOf(request));
    int64_t before = std::numeric_limits<int64_t>::max();
    RETURN_IF_ERROR(ReadNumber(request, "cursor", before));
    return p_.reader.Liveness(request.captures[0], before, limit);
  }

  HttpResponse Healthz() {
    const auto health = OnLoop<v1::Health>([this](Now) { return p_.health(); });
    HttpResponse response = Respond(health);
    if (health.ok() && !health->ok()) response.status = 503;
    return response;
  }

  HttpResponse Metrics() {
    const auto text = OnLoop<std::string>([this](Now) { return p_.metrics(); });
    if (!text.ok()) return ErrorResponse(text.status());
    return {.status = 200, .body = *text, .content_type = "text/plain; version=0.0.4"};
  }

  std::unique_ptr<EventSource> Watch() { return p_.watchers.Watch(); }

 private:
  v1::CommandView LoopView(const Command& command) {
    return ViewOf(command.row, command.steps, p_.state.registry().at(command.device).id.view());
  }

  // From memory when it is there, else from the store.
  absl::StatusOr<v1::CommandView> FindCommand(CommandId id) {
    absl::StatusOr<v1::CommandView> view = OnLoop<v1::CommandView>([this, id](Now) -> absl::StatusOr<v1::CommandView> {
      const Command* command = p_.state.commands().Find(id);
      if (command == nullptr) return absl::NotFoundError(absl::StrCat("no command ", Number(id)));
      return LoopView(*command);
    });
    if (!absl::IsNotFound(view.status())) return view;
    ASSIGN_OR_RETURN(const auto stored, p_.reader.FindCommand(id));
    if (!stored) return view.status();
    return ViewOf(stored->row, stored->steps, stored->device_id);
  }

  // Answers when the command has more than ?after_steps= steps, or after ?timeout_ms=.
  absl::StatusOr<v1::CommandView> Await(CommandId id, const HttpRequest& request) {
    int after_steps = 0;
    int64_t timeout_ms = 1000;
    RETURN_IF_ERROR(ReadNumber(request, "after_steps", after_steps));
    RETURN_IF_ERROR(ReadNumber(request, "timeout_ms", timeout_ms));
    const struct Place {
      std::atomic<int>& taken;
      const int number = ++taken;
      ~Place() { --taken; }
    } place{long_polls_};
    if (place.number > p_.max_long_polls) return absl::UnavailableError("too many wait already, try again");
    const MonoTime end = p_.clock.Read().mono + std::min(absl::Milliseconds(timeout_ms), kMaxLongPoll);
    while (true) {
      const uint64_t rings = p_.step_bell.rings();
      ASSIGN_OR_RETURN(v1::CommandView view, FindCommand(id));
      const absl::Duration left = end - p_.clock.Read().mono;
      if (view.steps_size() > after_steps || left <= absl::ZeroDuration()) return view;
      p_.step_bell.Wait(rings, left);
    }
  }

  const ApiParts p_;
  const MonoTime started_ = p_.clock.Read().mono;
  std::atomic<int> long_polls_ = 0;
};

}  // namespace

void StepBell::Ring() {
  MutexLock lock(mu_);
  ++rings_;
  cv_.NotifyAll();
}

uint64_t StepBell::rings() const {
  MutexLock lock(mu_);
  return rings_;
}

void StepBell::Wait(uint64_t rings, absl::Duration timeout) {
  MutexLock lock(mu_);
  if (rings_ == rings) cv_.WaitFor(mu_, timeout);
}

void AddRoutes(HttpServer& http, const ApiParts& parts) {
  const auto api = std::make_shared<Api>(parts);
  const std::string device = "/api/v1/devices/([^/]+)";
  http.Get("/healthz", [api](const HttpRequest&) { return api->Healthz(); });
  http.Get("/metrics", [api](const HttpRequest&) { return api->Metrics(); });
  http.Get("/api/v1/status", [api](const HttpRequest&) { return Respond(api->Summary()); });
  http.Get("/api/v1/devices", [api](const HttpRequest& r) { return Respond(api->Devices(r)); });
  http.Get(device, [api](const HttpRequest& r) { return Respond(api->OneDevice(r.captures[0])); });
  http.Get(device + "/liveness", [api](const HttpRequest& r) { return Respond(api->LivenessOf(r)); });
  http.Get(device + "/entities/([^/]+)/history", [api](const HttpRequest& r) { return Respond(api->History(r)); });
  http.Post(device + "/segments", [api](const HttpRequest& r) {
    HttpResponse response = Respond(api->Submit(r));
    if (response.status == 200) response.status = 201;
    return response;
  });
  http.Get("/api/v1/commands", [api](const HttpRequest& r) { return Respond(api->ListCommands(r)); });
  http.Get("/api/v1/commands/([^/]+)", [api](const HttpRequest& r) { return Respond(api->OneCommand(r)); });
  http.Stream("/api/v1/stream", [api](const HttpRequest&) { return api->Watch(); });
}

}  // namespace fleet::server
