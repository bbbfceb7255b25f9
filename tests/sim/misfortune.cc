#include "tests/sim/misfortune.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace fleet {

// What a batch that is refused leaves behind is mended by the server's memory, so in such a world it never dies.
Misfortune::Misfortune(World& world, Tell tell) : world_(world), tell_(std::move(tell)), refuses_(Draw(6) == 0) {}

void Misfortune::Say(absl::string_view what, absl::string_view whom) const {
  if (tell_) tell_(absl::StrCat(what, " ", whom));
}

void Misfortune::Strike() {
  const size_t i = Draw(world_.size());
  if (broker_is_down_ && Draw(2) == 0) return StartBroker();  // without it little else can go wrong
  switch (Draw(8)) {
    case 0:
    case 1:
    case 2:
      return StrikeDevice(i);
    case 3:
      return StrikeDisk(i);
    case 4:
    case 5:
      return StrikeServer();
    default:
      return StrikeNetwork();
  }
}

void Misfortune::StrikeDevice(size_t i) {
  SimDevice& device = world_.device(i);
  const absl::string_view id = device.id().view();
  if (!device.is_on()) {
    Say("start", id);
    return world_.StartDevice(i);
  }
  if (device.is_frozen() && Draw(4) > 0) {
    Say("thaw", id);
    return world_.ThawDevice(i);
  }
  switch (Draw(5)) {
    case 0:
      Say("kill", id);
      return world_.KillDevice(i);
    case 1:
      if (device.is_frozen()) return;
      Say("stop", id);
      return world_.StopDevice(i);
    case 2:
      Say("wall clock jumps on", id);
      return world_.JumpDeviceWall(i, AnHourEitherWay());
    case 3:
      Say("cut off", id);
      return world_.PartitionDevice(i, true);
    default:
      if (device.is_frozen()) return;
      Say("freeze", id);
      return world_.FreezeDevice(i);
  }
}

void Misfortune::StrikeDisk(size_t i) {
  SimDevice& device = world_.device(i);
  if (!device.is_on() && !refuses_ && Draw(3) == 0) {
    Say("lose the disk of", device.id().view());
    return device.LoseDisk();
  }
  if (device.disk() == nullptr) return;
  const bool full = !device.disk()->is_full();
  Say(full ? "fill the disk of" : "clear the disk of", device.id().view());
  device.disk()->SetFull(full);
}

void Misfortune::StrikeServer() {
  if (!world_.server_is_on()) {
    Say("start", "server");
    return world_.StartServer();
  }
  if (world_.server_is_frozen()) {
    Say("thaw", "server");
    return world_.ThawServer();
  }
  switch (Draw(7)) {
    case 0:
      if (refuses_) return RefuseABatch();
      Say("kill", "server");
      return world_.KillServer();
    case 1:
      if (refuses_) return RefuseABatch();
      Say("stop", "server");
      return world_.StopServer();
    case 2:
      Say("freeze", "server");
      return world_.FreezeServer();
    case 3:
      Say("cut off", "server");
      return world_.PartitionServer(true);
    case 4:
      Say("wall clock jumps on", "server");
      return world_.JumpServerWall(AnHourEitherWay());
    default: {
      const bool full = !world_.store().is_full();
      Say(full ? "fill the disk of" : "clear the disk of", "server");
      return world_.store().SetFull(full);
    }
  }
}

void Misfortune::RefuseABatch() {
  Say("one batch is refused by the database of", "server");
  world_.store().RefuseNext();
}

void Misfortune::StrikeNetwork() {
  static constexpr std::array kDelays = {0, 20, 200, 700};
  const size_t i = Draw(world_.size());
  switch (Draw(6)) {
    case 0:
      if (broker_is_down_) return StartBroker();
      Say("restart", "broker");
      return world_.broker().Restart(Draw(2) == 0);
    case 1:
      if (broker_is_down_) return StartBroker();
      Say("stop", "broker");
      broker_is_down_ = true;
      return world_.broker().Stop();
    case 2:
      Say("connection lost of", world_.device(i).id().view());
      return world_.broker().Kill(world_.device(i).id().str());
    case 3:
      Say("connection lost of", "server");
      return world_.broker().Kill(kServerClientId);
    case 4:
      Say("heal", "network");
      world_.PartitionServer(false);
      for (size_t each = 0; each < world_.size(); ++each) world_.PartitionDevice(each, false);
      return;
    default:
      Say("other faults of the", "network");
      return world_.broker().SetFaults({.loss = static_cast<double>(Draw(3)) * 0.05,
                                        .duplicate = static_cast<double>(Draw(3)) * 0.1,
                                        .delay_max = absl::Milliseconds(kDelays[Draw(kDelays.size())])});
  }
}

void Misfortune::StartBroker() {
  Say("start", "broker");
  broker_is_down_ = false;
  world_.broker().Start(Draw(2) == 0);
}

void Misfortune::End() {
  Say("end", "of all misfortune");
  world_.broker().SetFaults({});
  if (broker_is_down_) StartBroker();
  world_.store().SetFull(false);
  world_.PartitionServer(false);
  if (!world_.server_is_on()) world_.StartServer();
  if (world_.server_is_frozen()) world_.ThawServer();
  for (size_t i = 0; i < world_.size(); ++i) {
    SimDevice& device = world_.device(i);
    world_.PartitionDevice(i, false);
    if (device.disk() != nullptr) device.disk()->SetFull(false);
    if (!device.is_on()) world_.StartDevice(i);
    if (device.is_frozen()) world_.ThawDevice(i);
  }
}

}  // namespace fleet
