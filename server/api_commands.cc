// The part of the HTTP API that is about commands: give, take back, wait for, ask.
#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <utility>

#include "server/api_support.h"
#include "server/views.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kMaxWait = absl::Seconds(25);
constexpr absl::Duration kDefaultCancelTtl = absl::Seconds(5);

using Reached = std::function<bool(const Command&)>;

absl::StatusOr<CommandId> CommandIdOf(absl::string_view text) {
  uint64_t id = 0;
  if (!absl::SimpleAtoi(text, &id)) return absl::InvalidArgumentError(absl::StrCat(text, " is no command id"));
  return CommandId{id};
}

absl::StatusOr<absl::Duration> TimeoutOf(const HttpRequest& request, absl::Duration otherwise) {
  int64_t timeout_ms = absl::ToInt64Milliseconds(otherwise);
  RETURN_IF_ERROR(ReadNumber(request, "timeout_ms", timeout_ms));
  return std::clamp(absl::Milliseconds(timeout_ms), absl::ZeroDuration(), kMaxWait);
}

bool IsStored(const Command& command) {
  return command.cleared || command.phase == Command::Phase::kEnded;
}

// How far a request with this ?wait= waits for a command; empty: until it is stored.
absl::StatusOr<Reached> ReachedOf(const std::string& wait) {
  if (wait.empty()) return Reached(IsStored);
  int rank = 0;
  if (wait == "accepted") {
    rank = v1::COMMAND_STATE_ACCEPTED;
  } else if (wait == "running") {
    rank = v1::COMMAND_STATE_RUNNING;
  } else if (wait == "end") {
    rank = v1::COMMAND_STATE_DONE;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("?wait=", wait, " is not accepted, running or end"));
  }
  return Reached([rank](const Command& command) {
    return IsStored(command) && (command.rank >= rank || HasEnded(command.state()));
  });
}

absl::StatusOr<absl::Duration> CancelTtlOf(const HttpRequest& request) {
  if (request.body.empty()) return kDefaultCancelTtl;
  v1::CancelRequest body;
  RETURN_IF_ERROR(FromJson(request.body, body));
  return body.ttl_ms() == 0 ? kDefaultCancelTtl : absl::Milliseconds(body.ttl_ms());
}

class CommandApi {
 public:
  explicit CommandApi(const ApiParts& parts) : p_(parts) {}

  // Answers when the command is stored or, with ?wait=, when it got there.
  absl::StatusOr<v1::CommandView> Submit(const HttpRequest& request) {
    v1::SegmentRequest body;
    RETURN_IF_ERROR(FromJson(request.body, body));
    ASSIGN_OR_RETURN(const v1::Segment segment, SegmentOf(body));
    const std::string wait = TextOf(request, "wait");
    ASSIGN_OR_RETURN(const Reached reached, ReachedOf(wait));
    ASSIGN_OR_RETURN(absl::Duration timeout, TimeoutOf(request, absl::Seconds(10)));
    if (wait.empty()) timeout = kLoopPatience;
    const SubmitOptions options{.ttl = absl::Milliseconds(body.ttl_ms()), .queue = body.queue()};
    const auto submit = [=, this, device = request.captures[0]](Now now) -> absl::StatusOr<CommandId> {
      RETURN_IF_ERROR(CheckStore());
      return p_.state.Submit(device, segment, options, now, p_.changes);
    };
    return Await(submit, reached, timeout);
  }

  // At once, or with ?after_steps= when it has more than so many or has ended.
  absl::StatusOr<v1::CommandView> OneCommand(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const CommandId id, CommandIdOf(request.captures[0]));
    if (request.query.count("after_steps") == 0) return FindCommand(id);
    int after_steps = 0;
    RETURN_IF_ERROR(ReadNumber(request, "after_steps", after_steps));
    ASSIGN_OR_RETURN(const absl::Duration timeout, TimeoutOf(request, absl::Seconds(1)));
    const auto find = [this, id](Now) -> absl::StatusOr<CommandId> {
      if (p_.state.commands().Find(id) == nullptr) return NoCommand(id);
      return id;
    };
    const auto has_more = [after_steps](const Command& command) {
      return static_cast<int>(command.steps.size()) > after_steps || command.phase == Command::Phase::kEnded;
    };
    return OrFromStore(id, Await(find, has_more, timeout));
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

  absl::StatusOr<v1::CancelResult> CancelOne(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const CommandId id, CommandIdOf(request.captures[0]));
    ASSIGN_OR_RETURN(const absl::Duration ttl, CancelTtlOf(request));
    auto result = OnLoop<v1::CancelResult>(p_, [=, this](Now now) -> absl::StatusOr<v1::CancelResult> {
      RETURN_IF_ERROR(CheckStore());
      return Shown(p_.state.CancelCommand(id, ttl, now, p_.changes));
    });
    if (!absl::IsNotFound(result.status())) return result;
    // The store has it, so it has ended.
    ASSIGN_OR_RETURN(const v1::CommandView ended, OrFromStore(id, result.status()));
    return absl::FailedPreconditionError(absl::StrCat("command ", Number(id), " has ended: ", ended.state()));
  }

  absl::StatusOr<v1::CancelResult> CancelEntity(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const EntityId entity, EntityIdOf(request.captures[1]));
    v1::Cancel cancel;
    cancel.set_entity_id(Number(entity));
    return CancelOn(request, cancel);
  }
  absl::StatusOr<v1::CancelResult> CancelDevice(const HttpRequest& request) {
    v1::Cancel cancel;
    cancel.set_device(true);
    return CancelOn(request, cancel);
  }
  absl::StatusOr<v1::CancelResult> StopDevice(const HttpRequest& request) {
    v1::Cancel cancel;
    cancel.set_stop(true);
    return CancelOn(request, cancel);
  }

  absl::StatusOr<v1::StopAllResult> StopAll(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const absl::Duration ttl, CancelTtlOf(request));
    return OnLoop<v1::StopAllResult>(p_, [this, ttl](Now now) {
      v1::StopAllResult result;
      for (const Stopped& stopped : p_.state.StopAll(ttl, now, p_.changes)) {
        v1::StopResult& device = *result.add_devices();
        device.set_device_id(p_.state.registry().at(stopped.device).id.str());
        if (stopped.sent.ok()) {
          device.set_command_id(absl::StrCat(Number(*stopped.sent)));
        } else {
          device.set_error(std::string(stopped.sent.status().message()));
        }
      }
      return result;
    });
  }

  absl::StatusOr<v1::CommandView> Reconcile(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const CommandId id, CommandIdOf(request.captures[0]));
    auto view = OnLoop<v1::CommandView>(p_, [this, id](Now now) -> absl::StatusOr<v1::CommandView> {
      RETURN_IF_ERROR(p_.state.Reconcile(id, now));
      return LoopView(*p_.state.commands().Find(id));
    });
    return OrFromStore(id, std::move(view));
  }

 private:
  static absl::Status NoCommand(CommandId id) { return absl::NotFoundError(absl::StrCat("no command ", Number(id))); }

  absl::Status CheckStore() const {
    const v1::Health health = p_.health();
    if (health.store() == "works") return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("nothing was sent, because it could not be stored: ", health.store()));
  }

  v1::CommandView LoopView(const Command& command) const {
    return ViewOf(command.row, command.steps, p_.state.registry().at(command.device).id.view());
  }

  absl::StatusOr<v1::CommandView> FindCommand(CommandId id) {
    auto view = OnLoop<v1::CommandView>(p_, [this, id](Now) -> absl::StatusOr<v1::CommandView> {
      const Command* command = p_.state.commands().Find(id);
      if (command == nullptr) return NoCommand(id);
      return LoopView(*command);
    });
    return OrFromStore(id, std::move(view));
  }

  // What the loop does not know any more the store does.
  absl::StatusOr<v1::CommandView> OrFromStore(CommandId id, absl::StatusOr<v1::CommandView> view) {
    if (!absl::IsNotFound(view.status())) return view;
    ASSIGN_OR_RETURN(const auto stored, p_.reader.FindCommand(id));
    if (!stored) return view.status();
    return ViewOf(stored->row, stored->steps, stored->device_id);
  }

  absl::StatusOr<v1::CancelResult> CancelOn(const HttpRequest& request, const v1::Cancel& cancel) {
    ASSIGN_OR_RETURN(const absl::Duration ttl, CancelTtlOf(request));
    const std::string device = request.captures[0];
    return OnLoop<v1::CancelResult>(p_, [=, this](Now now) -> absl::StatusOr<v1::CancelResult> {
      if (!cancel.stop()) RETURN_IF_ERROR(CheckStore());
      return Shown(p_.state.CancelOn(device, cancel, ttl, now, p_.changes));
    });
  }

  absl::StatusOr<v1::CancelResult> Shown(const absl::StatusOr<Cancelled>& cancelled) {
    RETURN_IF_ERROR(cancelled.status());
    v1::CancelResult result;
    const Commands& commands = p_.state.commands();
    for (CommandId id : cancelled->ended) {
      // Of more than stay in memory only these are shown.
      if (const Command* command = commands.Find(id)) *result.add_commands() = LoopView(*command);
    }
    if (cancelled->sent) *result.add_commands() = LoopView(*commands.Find(*cancelled->sent));
    return result;
  }

  // Runs `start` on the loop and answers when the command that it names has `reached` what is waited for, or as it is
  // when the time is over.
  absl::StatusOr<v1::CommandView> Await(const std::function<absl::StatusOr<CommandId>(Now)>& start,
                                        const Reached& reached, absl::Duration timeout) {
    const struct Place {
      std::atomic<int>& taken;
      const int number = ++taken;
      ~Place() { --taken; }
    } place{waiting_};
    if (place.number > p_.max_waiting) return TooManyWait();
    using Answer = std::shared_ptr<Owed<v1::CommandView>>;
    // By value: it may run after this thread has lost its patience.
    return AwaitFromLoop<v1::CommandView>(p_, timeout + kLoopPatience, [=, this](Now now, const Answer& answer) {
      if (p_.waiters.count() >= CommandWaiters::kMaxWaiting) return answer->Give(TooManyWait());
      const absl::StatusOr<CommandId> id = start(now);
      if (!id.ok()) return answer->Give(id.status());
      p_.waiters.Wait({.id = *id,
                       .reached = reached,
                       .until = now.mono + timeout,
                       .answer = [this, id = *id, answer](const Command* c) { answer->Give(AwaitedView(id, c)); }},
                      p_.state.commands());
    });
  }

  static absl::Status TooManyWait() { return absl::UnavailableError("too many wait already, try again"); }

  absl::StatusOr<v1::CommandView> AwaitedView(CommandId id, const Command* command) const {
    if (command == nullptr) return NoCommand(id);
    if (IsStored(*command)) return LoopView(*command);
    return absl::UnavailableError(absl::StrCat("command ", Number(id),
                                               " is not stored yet; it will be sent if it is before its time to live "
                                               "is over"));
  }

  const ApiParts p_;
  std::atomic<int> waiting_ = 0;
};

}  // namespace

void AddCommandRoutes(HttpServer& http, const ApiParts& parts) {
  const auto api = std::make_shared<CommandApi>(parts);
  const std::string device = "/api/v1/devices/([^/]+)";
  const std::string command = "/api/v1/commands/([^/]+)";
  http.Post(device + "/segments", [api](const HttpRequest& r) {
    HttpResponse response = Respond(api->Submit(r));
    if (response.status == 200) response.status = 201;
    return response;
  });
  http.Post(device + "/entities/([^/]+)/cancel", [api](const HttpRequest& r) { return Respond(api->CancelEntity(r)); });
  http.Post(device + "/cancel", [api](const HttpRequest& r) { return Respond(api->CancelDevice(r)); });
  http.Post(device + "/stop", [api](const HttpRequest& r) { return Respond(api->StopDevice(r)); });
  http.Post("/api/v1/stop", [api](const HttpRequest& r) { return Respond(api->StopAll(r)); });
  http.Get("/api/v1/commands", [api](const HttpRequest& r) { return Respond(api->ListCommands(r)); });
  http.Get(command, [api](const HttpRequest& r) { return Respond(api->OneCommand(r)); });
  http.Post(command + "/cancel", [api](const HttpRequest& r) { return Respond(api->CancelOne(r)); });
  http.Post(command + "/reconcile", [api](const HttpRequest& r) { return Respond(api->Reconcile(r)); });
}

}  // namespace fleet::server
