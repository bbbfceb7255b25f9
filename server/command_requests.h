// What the handlers that give commands share: how far a request waits for its command, and how many may wait. One for
// the whole API; any thread.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "server/api_support.h"

namespace fleet::server {

class CommandRequests {
 public:
  // On the loop: gives a command, or finds one.
  using Start = std::function<absl::StatusOr<CommandId>(Now)>;
  struct Wait {
    std::function<bool(const Command&)> until;
    absl::Duration timeout;
  };
  static constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);

  explicit CommandRequests(const ApiParts& parts) : p_(parts) {}

  // ?timeout_ms=, at most 25 s.
  static absl::StatusOr<absl::Duration> TimeoutOf(const HttpRequest& request, absl::Duration otherwise);
  // Of a new command: until ?wait= is reached or it has ended; without that until `otherwise`, and if that is empty
  // too until it is stored. kInvalidArgument: waits for what there is not.
  static absl::StatusOr<Wait> WaitOf(const HttpRequest& request, const std::string& otherwise = "",
                                     absl::Duration timeout = kDefaultTimeout);

  // A new command, if the store works. The command as it is when waiting is over; kUnavailable: not stored yet.
  absl::StatusOr<v1::CommandView> Submit(const Start& start, const Wait& wait);
  // Runs `start` on the loop and answers when the command that it names has got so far, or as it is when the time is
  // over.
  absl::StatusOr<v1::CommandView> Await(const Start& start, const Wait& wait);

  // Loop thread.
  absl::Status CheckStore() const;
  v1::CommandView View(const Command& command) const;

 private:
  absl::StatusOr<v1::CommandView> AwaitedView(CommandId id, const Command* command) const;

  const ApiParts p_;
  std::atomic<int> waiting_ = 0;
};

absl::StatusOr<CommandId> CommandIdOf(absl::string_view text);
absl::Status NoCommand(CommandId id);  // kNotFound

}  // namespace fleet::server
