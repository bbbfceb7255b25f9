// Something bad that happens to a simulated world, drawn by lot, and now and then the end of something bad.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "tests/sim/world.h"

namespace fleet {

class Misfortune {
 public:
  using Tell = std::function<void(const std::string&)>;
  // `tell` hears what happens, for people.
  Misfortune(World& world, Tell tell);

  void Strike();
  // Of everything: all is well, and runs.
  void End();

 private:
  void StrikeDevice(size_t i);
  void StrikeDisk(size_t i);
  void StrikeServer();
  void RefuseABatch();
  void StrikeNetwork();
  void StartBroker();
  void Say(absl::string_view what, absl::string_view whom) const;
  uint64_t Draw(uint64_t below) { return world_.random()() % below; }
  absl::Duration AnHourEitherWay() { return Draw(2) == 0 ? absl::Hours(1) : -absl::Hours(1); }

  World& world_;
  const Tell tell_;
  const bool refuses_;  // the database
  bool broker_is_down_ = false;
};

}  // namespace fleet
