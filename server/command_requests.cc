#include "server/command_requests.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/views.h"

namespace fleet::server {
namespace {

constexpr absl::Duration kMaxWait = absl::Seconds(25);

bool IsStored(const Command& command) {
  return command.cleared || command.phase == Command::Phase::kEnded;
}

absl::StatusOr<int> RankOf(const std::string& wait) {
  if (wait == "accepted") return v1::COMMAND_STATE_ACCEPTED;
  if (wait == "running") return v1::COMMAND_STATE_RUNNING;
  if (wait == "end") return v1::COMMAND_STATE_DONE;
  return absl::InvalidArgumentError(absl::StrCat("?wait=", wait, " is not accepted, running or end"));
}

absl::Status TooManyWait() {
  return absl::UnavailableError("too many wait already, try again");
}

}  // namespace

absl::StatusOr<CommandId> CommandIdOf(absl::string_view text) {
  uint64_t id = 0;
  if (!absl::SimpleAtoi(text, &id)) return absl::InvalidArgumentError(absl::StrCat(text, " is no command id"));
  return CommandId{id};
}

absl::Status NoCommand(CommandId id) {
  return absl::NotFoundError(absl::StrCat("no command ", Number(id)));
}

absl::StatusOr<absl::Duration> CommandRequests::TimeoutOf(const HttpRequest& request, absl::Duration otherwise) {
  int64_t timeout_ms = absl::ToInt64Milliseconds(otherwise);
  RETURN_IF_ERROR(ReadNumber(request, "timeout_ms", timeout_ms));
  return std::clamp(absl::Milliseconds(timeout_ms), absl::ZeroDuration(), kMaxWait);
}

absl::StatusOr<CommandRequests::Wait> CommandRequests::WaitOf(const HttpRequest& request, const std::string& otherwise,
                                                              absl::Duration timeout) {
  const std::string asked = TextOf(request, "wait");
  const std::string& wait = asked.empty() ? otherwise : asked;
  if (wait.empty()) return Wait{.until = IsStored, .timeout = kLoopPatience};
  ASSIGN_OR_RETURN(const int rank, RankOf(wait));
  ASSIGN_OR_RETURN(timeout, TimeoutOf(request, timeout));
  const auto until = [rank](const Command& command) {
    return IsStored(command) && (command.rank >= rank || HasEnded(command.state()));
  };
  return Wait{.until = until, .timeout = timeout};
}

absl::Status CommandRequests::CheckStore() const {
  const v1::Health health = p_.health();
  if (health.store() == "works") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("nothing was sent, because it could not be stored: ", health.store()));
}

v1::CommandView CommandRequests::View(const Command& command) const {
  return ViewOf(command.row, command.steps, p_.state.registry().at(command.device).id.view());
}

absl::StatusOr<v1::CommandView> CommandRequests::Submit(const Start& start, const Wait& wait) {
  const auto submit = [this, start](Now now) -> absl::StatusOr<CommandId> {
    RETURN_IF_ERROR(CheckStore());
    return start(now);
  };
  return Await(submit, wait);
}

absl::StatusOr<v1::CommandView> CommandRequests::Await(const Start& start, const Wait& wait) {
  const struct Place {
    std::atomic<int>& taken;
    const int number = ++taken;
    ~Place() { --taken; }
  } place{waiting_};
  if (place.number > p_.max_waiting) return TooManyWait();
  using Answer = std::shared_ptr<Owed<v1::CommandView>>;
  // By value: it may run after this thread has lost its patience.
  return AwaitFromLoop<v1::CommandView>(p_, wait.timeout + kLoopPatience, [=, this](Now now, const Answer& answer) {
    if (p_.waiters.count() >= CommandWaiters::kMaxWaiting) return answer->Give(TooManyWait());
    absl::StatusOr<CommandId> id = start(now);
    // Moved: the packaged Abseil counts references to an error where TSan does not see it.
    if (!id.ok()) return answer->Give(std::move(id).status());
    p_.waiters.Wait({.id = *id,
                     .reached = wait.until,
                     .until = now.mono + wait.timeout,
                     .answer = [this, id = *id, answer](const Command* c) { answer->Give(AwaitedView(id, c)); }},
                    p_.state.commands());
  });
}

absl::StatusOr<v1::CommandView> CommandRequests::AwaitedView(CommandId id, const Command* command) const {
  if (command == nullptr) return NoCommand(id);
  if (IsStored(*command)) return View(*command);
  return absl::UnavailableError(absl::StrCat("command ", Number(id),
                                             " is not stored yet; it will be sent if it is before its time to live "
                                             "is over"));
}

}  // namespace fleet::server
