// The part of the HTTP API that is about commands: give, take back, wait for, ask.
#include <limits>
#include <memory>
#include <utility>

#include "server/api_support.h"
#include "server/command_requests.h"
#include "server/views.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kDefaultCancelTtl = absl::Seconds(5);

absl::StatusOr<absl::Duration> CancelTtlOf(const HttpRequest& request) {
  if (request.body.empty()) return kDefaultCancelTtl;
  v1::CancelRequest body;
  RETURN_IF_ERROR(FromJson(request.body, body));
  return body.ttl_ms() == 0 ? kDefaultCancelTtl : absl::Milliseconds(body.ttl_ms());
}

class CommandApi {
 public:
  CommandApi(const ApiParts& parts, std::shared_ptr<CommandRequests> requests)
      : p_(parts), requests_(std::move(requests)) {}

  // Answers when the command is stored or, with ?wait=, when it got there.
  absl::StatusOr<v1::CommandView> Submit(const HttpRequest& request) {
    v1::SegmentRequest body;
    RETURN_IF_ERROR(FromJson(request.body, body));
    ASSIGN_OR_RETURN(const v1::Segment segment, SegmentOf(body));
    ASSIGN_OR_RETURN(const auto wait, CommandRequests::WaitOf(request));
    const SubmitOptions options{.ttl = absl::Milliseconds(body.ttl_ms()), .queue = body.queue()};
    const auto submit = [=, this, device = request.captures[0]](Now now) {
      return p_.state.Submit(device, segment, options, now, p_.changes);
    };
    return requests_->Submit(submit, wait);
  }

  // At once, or with ?after_steps= when it has more than so many or has ended.
  absl::StatusOr<v1::CommandView> OneCommand(const HttpRequest& request) {
    ASSIGN_OR_RETURN(const CommandId id, CommandIdOf(request.captures[0]));
    if (request.query.count("after_steps") == 0) return FindCommand(id);
    int after_steps = 0;
    RETURN_IF_ERROR(ReadNumber(request, "after_steps", after_steps));
    ASSIGN_OR_RETURN(const absl::Duration timeout, CommandRequests::TimeoutOf(request, absl::Seconds(1)));
    const auto find = [this, id](Now) -> absl::StatusOr<CommandId> {
      if (p_.state.commands().Find(id) == nullptr) return NoCommand(id);
      return id;
    };
    const auto has_more = [after_steps](const Command& command) {
      return static_cast<int>(command.steps.size()) > after_steps || command.phase == Command::Phase::kEnded;
    };
    return OrFromStore(id, requests_->Await(find, {.until = has_more, .timeout = timeout}));
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
      RETURN_IF_ERROR(requests_->CheckStore());
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
      return requests_->View(*p_.state.commands().Find(id));
    });
    return OrFromStore(id, std::move(view));
  }

 private:
  absl::StatusOr<v1::CommandView> FindCommand(CommandId id) {
    auto view = OnLoop<v1::CommandView>(p_, [this, id](Now) -> absl::StatusOr<v1::CommandView> {
      const Command* command = p_.state.commands().Find(id);
      if (command == nullptr) return NoCommand(id);
      return requests_->View(*command);
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
      if (!cancel.stop()) RETURN_IF_ERROR(requests_->CheckStore());
      return Shown(p_.state.CancelOn(device, cancel, ttl, now, p_.changes));
    });
  }

  absl::StatusOr<v1::CancelResult> Shown(const absl::StatusOr<Cancelled>& cancelled) {
    RETURN_IF_ERROR(cancelled.status());
    v1::CancelResult result;
    const Commands& commands = p_.state.commands();
    for (CommandId id : cancelled->ended) {
      // Of more than stay in memory only these are shown.
      if (const Command* command = commands.Find(id)) *result.add_commands() = requests_->View(*command);
    }
    if (cancelled->sent) *result.add_commands() = requests_->View(*commands.Find(*cancelled->sent));
    return result;
  }

  const ApiParts p_;
  const std::shared_ptr<CommandRequests> requests_;
};

}  // namespace

void AddCommandRoutes(HttpServer& http, const ApiParts& parts, const std::shared_ptr<CommandRequests>& requests) {
  const auto api = std::make_shared<CommandApi>(parts, requests);
  const std::string device = "/api/v1/devices/([^/]+)";
  const std::string command = "/api/v1/commands/([^/]+)";
  http.Post(device + "/segments", [api](const HttpRequest& r) { return RespondCreated(api->Submit(r)); });
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
