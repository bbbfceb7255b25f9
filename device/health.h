// GET /health of the device's own API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "device/agent.h"
#include "device/inputs.h"
#include "device/problem_list.h"
#include "fleet/v1/api.pb.h"

namespace fleet::device {

// How the device is: what the agent knows of itself, and what its shell hears of link, disk and buses. It is well while
// the broker is connected and the spool, if there should be one, works; a bus is the concern of whoever needs it.
// Loop thread only.
class Health {
 public:
  struct Facts {
    uint32_t epoch = 0;
    std::string version;
    std::string broker_url;  // user and password are left out of what is shown
    bool has_spool = false;
    std::string spool_problem;  // not empty: there should be one and is not
  };
  struct Inboxes {
    size_t waiting = 0;
    uint64_t dropped = 0;
  };

  Health(Facts facts, Now started);

  // What the agent has just handled.
  void Hear(const Input& input, const Agent& agent, Now now);

  bool spool_works() const { return facts_.has_spool && SpoolWorks(); }
  v1::DeviceHealth Page(const Agent& agent, Inboxes inboxes, Now now) const;

 private:
  enum class Link { kNeverConnected, kConnected, kLost };
  struct Bus {
    std::string name;
    std::string problem;
  };

  void SetLink(Link link, MonoTime now);
  void HearBus(absl::string_view bus, absl::string_view problem, Now now);
  bool SpoolWorks() const { return facts_.spool_problem.empty() && disk_problem_.empty(); }
  void FillConnection(const Agent& agent, Now now, v1::DeviceConnection& connection) const;
  void FillSpool(const Outbox& outbox, v1::DeviceSpool& spool) const;

  const Facts facts_;
  const MonoTime started_;
  Link link_ = Link::kNeverConnected;
  MonoTime link_changed_at_;
  std::string link_reason_;
  std::string disk_problem_;  // empty: the last work was done
  std::vector<Bus> buses_;    // each with the last problem that was noted
  ProblemList problems_;
};

}  // namespace fleet::device
