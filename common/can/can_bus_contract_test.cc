// What every CanBus promises. A kind of bus is tested by an entry of Kinds(): how to make one, with what other nodes
// say on it at first, and what can be done to it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/can/can_bus.h"
#include "common/can/candump.h"
#include "common/can/replay_bus.h"
#include "common/can/slcan_bus.h"
#include "common/can/slcan_pty.h"
#include "common/can/socketcan_bus.h"
#include "common/can/testing/memory_can_bus.h"
#include "common/can/testing/virtual_can.h"
#include "common/clock.h"
#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using testing::IsEmpty;
using testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(30);

// A bus and what is around it. Everything on one thread: waiting reads the bus and its peer in turn.
struct World {
  std::shared_ptr<void> around;   // what the buses need: gone after them
  std::unique_ptr<CanBus> bus;    // under test
  std::unique_ptr<CanBus> peer;   // another node of the same bus; null: there cannot be any
  bool writes = true;             // false: Write is refused with kFailedPrecondition
  std::function<void()> go_down;  // empty: this cannot be done to it
  std::function<void()> come_back;

  std::vector<CanFrame> heard = {};  // by the bus
  std::vector<CanFrame> peer_heard = {};

  // What one bus has on its way is read in `kPatience`, or something is broken.
  bool WaitFor(const std::function<bool()>& done) {
    const MonoTime deadline = SystemClock().Read().mono + kPatience;
    while (!done()) {
      if (SystemClock().Read().mono > deadline) return false;
      const size_t before = heard.size();
      bus->Read(absl::Milliseconds(1), heard);
      EXPECT_LE(heard.size() - before, CanBus::kMaxRead);
      if (peer != nullptr) peer->Read(absl::Milliseconds(1), peer_heard);
    }
    return true;
  }
  bool WaitUntilUp() {
    return WaitFor([this] { return bus->report().up && (peer == nullptr || peer->report().up); });
  }
  // A full buffer has room again when the other end has read.
  bool Write(CanBus& writer, const std::vector<CanFrame>& frames) {
    for (const CanFrame& frame : frames) {
      absl::Status status;
      WaitFor([&] {
        status = writer.Write(frame);
        return !absl::IsUnavailable(status);
      });
      if (!status.ok()) {
        ADD_FAILURE() << status;
        return false;
      }
    }
    return true;
  }
};

using Frames = std::vector<CanFrame>;

struct Kind {
  const char* name;
  // A bus that is up, or comes up by being read, and on which other nodes say these frames, which it can carry. An
  // error: there is none on this machine, and its tests are skipped with that.
  std::function<absl::StatusOr<std::unique_ptr<World>>(const Frames& said)> make;
  bool fd = true;  // carries FD frames
};

// ---- the kinds

std::unique_ptr<World> MemoryWorld(MemoryCanOptions options, const Frames& said) {
  auto network = std::make_shared<MemoryCanNetwork>();
  auto world = std::make_unique<World>();
  world->around = network;
  world->bus = network->Attach(options);
  world->peer = network->Attach();
  world->writes = !options.listen_only;
  world->go_down = [network] { network->TakeDown("taken down by a test"); };
  world->come_back = [network] { network->BringUp(); };
  world->Write(*world->peer, said);
  return world;
}

absl::StatusOr<std::unique_ptr<World>> ReplayWorld(const Frames& said) {
  std::string log;
  for (const CanFrame& frame : said.empty() ? Frames(1) : said) {
    AppendCandumpLine(frame, "can0", log);
    log += '\n';
  }
  auto dir = std::make_shared<TempDir>();
  auto bus = OpenReplayBus({.path = dir->Write("drive.log", log)});
  if (!bus.ok()) return bus.status();
  auto world = std::make_unique<World>();
  world->around = dir;
  world->bus = *std::move(bus);
  world->writes = false;
  if (said.empty()) {
    world->WaitFor([&world] { return !world->heard.empty(); });
    world->heard.clear();
  }
  return world;
}

// A serial adapter, which is unplugged when it goes down, and the program that has opened it.
enum class SlcanEnd { kProgram, kListeningProgram, kAdapter };

std::unique_ptr<CanBus> OpenSlcanEnd(SlcanEnd end, const std::string& tty) {
  if (end == SlcanEnd::kAdapter) return OpenSlcanPty({.link_path = tty}).value();
  return OpenSlcanBus({.path = tty, .listen_only = end == SlcanEnd::kListeningProgram}).value();
}

std::unique_ptr<World> SlcanWorld(SlcanEnd ours, const Frames& said) {
  const SlcanEnd theirs = ours == SlcanEnd::kAdapter ? SlcanEnd::kProgram : SlcanEnd::kAdapter;
  auto dir = std::make_shared<TempDir>();
  const std::string tty = dir->path() + "/tty";
  auto world = std::make_unique<World>();
  world->around = dir;
  world->bus = OpenSlcanEnd(ours, tty);
  world->peer = OpenSlcanEnd(theirs, tty);
  world->writes = ours != SlcanEnd::kListeningProgram;
  world->go_down = [w = world.get()] { w->peer.reset(); };
  world->come_back = [w = world.get(), theirs, tty] { w->peer = OpenSlcanEnd(theirs, tty); };
  world->Write(*world->peer, said);
  return world;
}

struct SocketCanKind {
  int mtu = VirtualCan::kFdMtu;
  bool listen_only = false;
  bool remade = false;  // going down, it is removed
};

absl::StatusOr<std::unique_ptr<World>> SocketCanWorld(SocketCanKind kind, const Frames& said) {
  absl::StatusOr<std::unique_ptr<VirtualCan>> made = VirtualCan::Make(kind.mtu);
  if (!made.ok()) return made.status();
  const std::shared_ptr<VirtualCan> can = *std::move(made);
  auto world = std::make_unique<World>();
  world->around = can;
  world->bus = OpenSocketCanBus({.interface = can->name(), .listen_only = kind.listen_only}).value();
  world->peer = OpenSocketCanBus({.interface = can->name()}).value();
  world->writes = !kind.listen_only;
  world->go_down = [can, kind] { kind.remade ? can->Remove() : can->Down(); };
  world->come_back = [can, kind] { kind.remade ? can->Remake() : can->Up(); };
  world->WaitUntilUp();
  world->Write(*world->peer, said);
  return world;
}

Kind Slcan(const char* name, SlcanEnd ours) {
  return {.name = name, .make = [ours](const Frames& said) { return SlcanWorld(ours, said); }, .fd = false};
}

Kind SocketCan(const char* name, SocketCanKind kind) {
  return {.name = name,
          .make = [kind](const Frames& said) { return SocketCanWorld(kind, said); },
          .fd = kind.mtu == VirtualCan::kFdMtu};
}

std::vector<Kind> Kinds() {
  return {
      {.name = "Memory", .make = [](const Frames& said) { return MemoryWorld({}, said); }},
      {.name = "MemoryClassic",
       .make = [](const Frames& said) { return MemoryWorld({.fd = false}, said); },
       .fd = false},
      {.name = "MemoryListening", .make = [](const Frames& said) { return MemoryWorld({.listen_only = true}, said); }},
      {.name = "Replay", .make = ReplayWorld},
      Slcan("Slcan", SlcanEnd::kProgram),
      Slcan("SlcanListening", SlcanEnd::kListeningProgram),
      Slcan("SlcanPty", SlcanEnd::kAdapter),
      SocketCan("SocketCan", {}),
      SocketCan("SocketCanClassic", {.mtu = VirtualCan::kClassicMtu}),
      SocketCan("SocketCanListening", {.listen_only = true}),
      SocketCan("SocketCanRemade", {.remade = true}),
  };
}

// ---- the promises

Frames OfTexts(const std::vector<const char*>& texts) {
  Frames frames;
  for (const char* text : texts) frames.push_back(ParseCanFrameText(text).value());
  return frames;
}
Frames Classic() {
  return OfTexts({"123#1122", "18FEF100#FFFFFF0000FFFFFF", "000#", "1FFFFFFF#00", "7FF#R8", "00000123#R", "123#1122"});
}
Frames Fd() {
  return OfTexts({"123##0", "123##1112233445566778899AABBCC", "18FEF100##3AA"});
}

class CanBusContract : public testing::TestWithParam<Kind> {
 protected:
  // False: the test is skipped.
  bool Make(const Frames& said = {}) {
    auto made = GetParam().make(said);
    why_not_ = made.status().ToString();
    if (made.ok()) world_ = *std::move(made);
    return world_ != nullptr;
  }
  Frames All() const {
    Frames frames = Classic();
    if (GetParam().fd) {
      for (const CanFrame& frame : Fd()) frames.push_back(frame);
    }
    return frames;
  }

  std::unique_ptr<World> world_;
  std::string why_not_;
};

TEST_P(CanBusContract, GivesWhatOthersSayWholeAndInOrder) {
  if (!Make(All())) GTEST_SKIP() << why_not_;
  EXPECT_TRUE(world_->WaitFor([this] { return world_->heard.size() >= All().size(); }));
  EXPECT_EQ(world_->heard, All());
}

TEST_P(CanBusContract, StampsFramesWithTheTimeOfNow) {
  if (!Make(Classic())) GTEST_SKIP() << why_not_;
  ASSERT_TRUE(world_->WaitFor([this] { return !world_->heard.empty(); }));
  EXPECT_LT(absl::AbsDuration(absl::FromUnixMicros(world_->heard[0].at_unix_us) - SystemClock().Read().wall),
            absl::Minutes(1));
}

// That no Read gives more than kMaxRead is seen by WaitFor.
TEST_P(CanBusContract, LosesNothingOfABurst) {
  Frames burst(2 * CanBus::kMaxRead + 1);
  for (size_t i = 0; i < burst.size(); ++i) {
    burst[i].id = static_cast<uint32_t>(i % 0x7FF);
    burst[i].size = 8;
    burst[i].data[0] = static_cast<uint8_t>(i);
  }
  if (!Make(burst)) GTEST_SKIP() << why_not_;
  EXPECT_TRUE(world_->WaitFor([&] { return world_->heard.size() >= burst.size(); })) << world_->heard.size();
  EXPECT_EQ(world_->heard, burst);
  EXPECT_EQ(world_->bus->report().lost, 0u);
}

TEST_P(CanBusContract, IsUpWhileThereAreFrames) {
  if (!Make(Classic())) GTEST_SKIP() << why_not_;
  EXPECT_TRUE(world_->WaitUntilUp());
  EXPECT_THAT(world_->bus->report().problem, IsEmpty());
}

TEST_P(CanBusContract, ReadReturnsWhenNothingComes) {
  if (!Make()) GTEST_SKIP() << why_not_;
  world_->bus->Read(absl::Milliseconds(5), world_->heard);
  world_->bus->Read(absl::ZeroDuration(), world_->heard);
  EXPECT_THAT(world_->heard, IsEmpty());
}

// If it did not, the test would run into its time limit.
TEST_P(CanBusContract, WakeEndsTheReadThatRunsOrTheNextOne) {
  if (!Make()) GTEST_SKIP() << why_not_;
  world_->bus->Wake();
  world_->bus->Read(absl::Hours(1), world_->heard);
  std::thread other([this] { world_->bus->Wake(); });
  world_->bus->Read(absl::Hours(1), world_->heard);
  other.join();
}

TEST_P(CanBusContract, WhatIsWrittenIsHeardByOthersAndNotByItself) {
  if (!Make()) GTEST_SKIP() << why_not_;
  if (!world_->writes) return;  // see RefusesToWriteWhereItOnlyListens
  ASSERT_TRUE(world_->WaitUntilUp());
  ASSERT_TRUE(world_->Write(*world_->bus, All()));
  EXPECT_TRUE(world_->WaitFor([this] { return world_->peer_heard.size() >= All().size(); }));
  EXPECT_EQ(world_->peer_heard, All());
  // What the peer says next would come behind an echo.
  ASSERT_TRUE(world_->Write(*world_->peer, OfTexts({"7AA#"})));
  EXPECT_TRUE(world_->WaitFor([this] { return !world_->heard.empty(); }));
  EXPECT_EQ(world_->heard, OfTexts({"7AA#"}));
}

TEST_P(CanBusContract, RefusesToWriteWhereItOnlyListens) {
  if (!Make()) GTEST_SKIP() << why_not_;
  if (world_->writes) return;
  EXPECT_EQ(world_->bus->Write(Classic()[0]).code(), absl::StatusCode::kFailedPrecondition);
  if (world_->peer == nullptr) return;
  world_->peer->Read(absl::ZeroDuration(), world_->peer_heard);
  EXPECT_THAT(world_->peer_heard, IsEmpty());
}

TEST_P(CanBusContract, RefusesToWriteWhatItCannotCarry) {
  if (!Make()) GTEST_SKIP() << why_not_;
  if (!world_->writes) return;  // see RefusesToWriteWhereItOnlyListens
  ASSERT_TRUE(world_->WaitUntilUp());
  Frames refused = OfTexts({"20000004#0000000000000000"});
  if (!GetParam().fd) refused.push_back(Fd()[0]);
  for (const CanFrame& frame : refused) {
    EXPECT_EQ(world_->bus->Write(frame).code(), absl::StatusCode::kInvalidArgument) << int{frame.flags};
  }
}

TEST_P(CanBusContract, IsDownWithAReasonAndComesBack) {
  if (!Make()) GTEST_SKIP() << why_not_;
  if (!world_->go_down) return;
  ASSERT_TRUE(world_->WaitUntilUp());
  world_->go_down();
  ASSERT_TRUE(world_->WaitFor([this] { return !world_->bus->report().up; }));
  EXPECT_THAT(world_->bus->report().problem, Not(IsEmpty()));
  if (world_->writes) {
    EXPECT_EQ(world_->bus->Write(Classic()[0]).code(), absl::StatusCode::kUnavailable);
  }
  world_->come_back();
  ASSERT_TRUE(world_->WaitUntilUp());
  EXPECT_THAT(world_->bus->report().problem, IsEmpty());
  world_->heard.clear();
  ASSERT_TRUE(world_->Write(*world_->peer, Classic()));
  EXPECT_TRUE(world_->WaitFor([this] { return world_->heard.size() >= Classic().size(); }));
  EXPECT_EQ(world_->heard, Classic());
}

// It comes or goes while nobody else wakes it.
TEST_P(CanBusContract, ReadReturnsWhenTheBusGoesDown) {
  if (!Make()) GTEST_SKIP() << why_not_;
  if (!world_->go_down) return;
  ASSERT_TRUE(world_->WaitUntilUp());
  world_->go_down();
  while (world_->bus->report().up) world_->bus->Read(absl::Hours(1), world_->heard);
}

INSTANTIATE_TEST_SUITE_P(All, CanBusContract, testing::ValuesIn(Kinds()),
                         [](const testing::TestParamInfo<Kind>& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace fleet
