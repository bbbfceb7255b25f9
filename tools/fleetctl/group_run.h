// Which device of a group is next, and what became of each.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "fleet/v1/api.pb.h"

namespace fleet {

// At most `at_once` commands are under way; the next starts when one has ended. One that is `unknown` may still run, so
// it keeps its place, and may resolve, for as long as patience lasts: the time to live and some more since it was
// sent, or since its device was last known to be at work on it. No word of the server is waited out as long.
//   waiting --TakeNext--> (being submitted) --Started--> open --Heard, GiveUp--> ended
//      ^---------PutBack---------'   '------Refused------------------------------^
class GroupRun {
 public:
  GroupRun(std::deque<std::string> targets, size_t at_once, absl::Duration patience)
      : waiting_(std::move(targets)), at_once_(at_once), patience_(patience) {}

  // nullopt: none is left, or as many as may be are under way.
  std::optional<std::string> TakeNext();
  void PutBack(const std::string& device, MonoTime now);  // surely not submitted: the server could not be reached
  void Refused(const std::string& device, const std::string& why);
  void Started(v1::CommandView command, MonoTime now);
  void Heard(v1::CommandView command, MonoTime now);  // of an open command
  // Ends what nobody will say more about by now.
  void GiveUp(MonoTime now);

  // The ids of the commands under way.
  std::vector<std::string> open() const;
  size_t waiting() const { return waiting_.size(); }
  bool over() const { return waiting_.empty() && open_.empty(); }
  // What ended since the last call. State `refused`, without an id and with the message as the reason: not submitted.
  std::vector<v1::CommandView> TakeEnded() { return std::exchange(ended_, {}); }

 private:
  struct Open {
    v1::CommandView command;
    MonoTime give_up_at;
  };

  std::deque<std::string> waiting_;
  std::map<std::string, Open> open_;  // by command id; at most at_once_
  std::vector<v1::CommandView> ended_;
  std::optional<MonoTime> away_since_;  // the server
  const size_t at_once_;
  const absl::Duration patience_;
};

}  // namespace fleet
