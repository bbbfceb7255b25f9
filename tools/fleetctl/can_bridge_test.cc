#include "tools/fleetctl/can_bridge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "common/can/candump.h"
#include "common/can/testing/memory_can_bus.h"
#include "common/can/testing/read_until.h"

namespace fleet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CanFrame Frame(absl::string_view text) {
  return *ParseCanFrameText(text);
}

std::vector<std::string> Texts(const std::vector<CanFrame>& frames) {
  std::vector<std::string> texts;
  for (const CanFrame& frame : frames) AppendCanFrameText(frame, texts.emplace_back());
  return texts;
}

v1::CommandView Ended(const std::string& state, const std::string& reason = "", const std::string& detail = "") {
  v1::CommandView command;
  command.set_state(state);
  v1::CommandStepView& step = *command.add_steps();
  step.set_state(state);
  step.set_reason(reason);
  step.set_detail(detail);
  return command;
}

// A desk with a bus, on which there is one more node, and a vehicle that is asked with each batch.
class CanBridgeTest : public ::testing::Test {
 protected:
  void Join(MemoryCanOptions options = {}, absl::Duration stale = CanBridge::kStale) {
    bridge_ = std::make_unique<CanBridge>(
        "vcan0", network_.Attach(options), [this](const std::vector<CanFrame>& frames) { return Answer(frames); },
        [this](absl::string_view text) { Say(text); }, stale);
  }
  absl::StatusOr<v1::CommandView> Answer(const std::vector<CanFrame>& frames) {
    MutexLock lock(mu_);
    batches_.push_back(Texts(frames));
    changed_.NotifyAll();
    return answer_(batches_.back());
  }
  void Say(absl::string_view text) {
    MutexLock lock(mu_);
    said_.emplace_back(text);
    changed_.NotifyAll();
  }
  // Until something was sent or said and it is so. `done` must not ask the bridge, which speaks under its lock.
  void Await(const std::function<bool()>& done) {
    const SystemClock clock;
    const MonoTime deadline = clock.Read().mono + absl::Seconds(20);
    MutexLock lock(mu_);
    while (!done()) {
      ASSERT_LT(clock.Read().mono, deadline);
      changed_.WaitFor(mu_, absl::Milliseconds(5));
    }
  }
  std::vector<std::string> Sent() {
    std::vector<std::string> all;
    for (const auto& batch : batches_) all.insert(all.end(), batch.begin(), batch.end());
    return all;
  }
  void SendFromDesk(const std::vector<std::string>& frames) {
    for (const std::string& frame : frames) ASSERT_TRUE(node_->Write(Frame(frame)).ok());
  }
  static double OrdersAllowed(absl::Duration elapsed) {
    return CanBridge::kTurnsAhead + 1 + absl::FDivDuration(elapsed, CanBridge::kTurn);
  }
  // What the other node hears, once it is so much.
  std::vector<std::string> Heard(size_t count) {
    EXPECT_TRUE(ReadUntil(*node_, heard_, [&] { return heard_.size() >= count; }));
    return Texts(heard_);
  }

  MemoryCanNetwork network_;
  const std::unique_ptr<CanBus> node_ = network_.Attach();
  std::vector<CanFrame> heard_;
  Mutex mu_;
  CondVar changed_;
  std::vector<std::vector<std::string>> batches_;
  std::vector<std::string> said_;
  std::function<absl::StatusOr<v1::CommandView>(const std::vector<std::string>&)> answer_ =
      [](const std::vector<std::string>&) { return Ended("done"); };
  std::unique_ptr<CanBridge> bridge_;
};

TEST_F(CanBridgeTest, FramesGoBothWaysInOrderAndNoneComesBack) {
  Join();
  std::vector<std::string> up, down;
  std::vector<CanFrame> from_vehicle;
  for (int i = 0; i < 1000; ++i) {
    up.push_back(absl::StrCat(absl::Hex(0x100 + i % 64), "#", absl::Hex(i % 256, absl::kZeroPad2)));
    down.push_back(absl::StrCat("18FEF1", absl::Hex(i % 256, absl::kZeroPad2), "#"));
  }
  for (std::string& text : down) from_vehicle.push_back(Frame(text));
  bridge_->Write(from_vehicle);
  SendFromDesk(up);
  EXPECT_EQ(Heard(1000), Texts(from_vehicle));
  Await([&] { return Sent().size() >= 1000; });
  std::vector<CanFrame> expected;
  for (const std::string& text : up) expected.push_back(Frame(text));
  EXPECT_EQ(Sent(), Texts(expected));
  for (const auto& batch : batches_) EXPECT_LE(batch.size(), CanBridge::kMaxBatch);
  bridge_.reset();
  EXPECT_EQ(Sent().size(), 1000u);
  EXPECT_TRUE(said_.empty()) << said_[0];
}

TEST_F(CanBridgeTest, WhatIsNotAllowedIsLeftOutAndTheRestGoes) {
  answer_ = [](const std::vector<std::string>& batch) {
    for (const std::string& frame : batch) {
      if (!absl::StartsWith(frame, "7E0")) continue;
      return Ended("rejected", "not_allowed", frame + " is not on the list of what may be sent");
    }
    return Ended("done");
  };
  Join();
  SendFromDesk({"7DF#01", "7E0#02", "7DF#03", "7E0#04"});
  // Timing may cut them anywhere; in the end all of 7DF went, in order, and 7E0 was asked for once.
  const auto done = [this](absl::string_view last) {
    return !batches_.empty() && batches_.back().back() == last && !absl::StartsWith(batches_.back()[0], "7E0");
  };
  Await([&] { return done("7DF#03"); });
  SendFromDesk({"7E0#05", "7DF#06"});
  Await([&] { return done("7DF#06"); });
  MutexLock lock(mu_);
  int asked = 0;
  std::vector<std::string> gone;
  for (const auto& batch : batches_) {
    const bool refused = answer_(batch).value().state() == "rejected";
    asked += refused ? 1 : 0;
    if (!refused) gone.insert(gone.end(), batch.begin(), batch.end());
  }
  EXPECT_EQ(asked, 1);
  EXPECT_THAT(gone, ElementsAre("7DF#01", "7DF#03", "7DF#06"));
  EXPECT_THAT(said_, Contains(HasSubstr("not sent from vcan0: rejected: not_allowed: 7E0#02 is not on the list")));
}

// A device has room for some 3000 commands and keeps each for more than a minute.
TEST_F(CanBridgeTest, SteadyTrafficMakesNoMoreOrdersThanADeviceRemembers) {
  const MonoTime begin = SystemClock().Read().mono;
  Join();
  for (size_t i = 1; i <= 50; ++i) {
    SendFromDesk({"7DF#01"});
    Await([&] { return batches_.size() >= i; });
  }
  EXPECT_LE(50, OrdersAllowed(SystemClock().Read().mono - begin));
  EXPECT_EQ(static_cast<double>(CanBridge::kMaxBatch) / absl::ToDoubleSeconds(CanBridge::kTurn), 1600);
}

TEST_F(CanBridgeTest, WhatIsSentAgainAfterARefusalWaitsForItsTurn) {
  answer_ = [](const std::vector<std::string>& batch) {
    if (!absl::StartsWith(batch[0], "1")) return Ended("done");
    return Ended("rejected", "not_allowed", batch[0] + " is not on the list of what may be sent");
  };
  const MonoTime begin = SystemClock().Read().mono;
  Join({}, /*stale=*/absl::Seconds(60));
  std::vector<std::string> frames;
  for (int i = 0; i < 49; ++i) frames.push_back(absl::StrCat(absl::Hex(0x100 + i), "#01"));
  frames.push_back("7DF#01");
  SendFromDesk(frames);
  Await([&] { return !batches_.empty() && batches_.back()[0] == "7DF#01"; });
  EXPECT_GE(batches_.size(), 50u);
  EXPECT_LE(static_cast<double>(batches_.size()), OrdersAllowed(SystemClock().Read().mono - begin));
}

TEST_F(CanBridgeTest, ABatchThatIsRefusedAsAWholeIsNotSentAgain) {
  answer_ = [](const std::vector<std::string>&) -> absl::StatusOr<v1::CommandView> {
    return absl::FailedPreconditionError("van-7 is offline");
  };
  Join();
  SendFromDesk({"7DF#01"});
  Await([&] { return !said_.empty(); });
  EXPECT_EQ(bridge_->counts().unsent, 1u);
  EXPECT_THAT(said_, ElementsAre("1 frame not sent from vcan0: van-7 is offline"));
  bridge_.reset();
  EXPECT_EQ(batches_.size(), 1u);
}

TEST_F(CanBridgeTest, RefusalsAreToldAtALimitedRateAndAllCounted) {
  answer_ = [](const std::vector<std::string>&) { return Ended("failed", "bus_failed", "frames 0 of 1: it is down"); };
  const SystemClock clock;
  const MonoTime begin = clock.Read().mono;
  Join();
  for (size_t i = 1; i <= 20; ++i) {
    SendFromDesk({"7DF#01"});
    Await([&] { return batches_.size() >= i; });
  }
  while (bridge_->counts().unsent < 20) ASSERT_LT(clock.Read().mono - begin, absl::Seconds(20));
  const double seconds = absl::ToDoubleSeconds(clock.Read().mono - begin);
  MutexLock lock(mu_);
  EXPECT_LE(said_.size(), 1 + seconds / absl::ToDoubleSeconds(CanBridge::kSayAgain));
}

TEST_F(CanBridgeTest, WhatWaitedTooLongIsNotSent) {
  Join({}, /*stale=*/absl::ZeroDuration());
  SendFromDesk({"7DF#01"});
  Await([&] { return !said_.empty(); });
  EXPECT_THAT(said_, ElementsAre(HasSubstr("waited too long")));
  EXPECT_TRUE(batches_.empty());
}

TEST_F(CanBridgeTest, AFrameThatTheBusHereCannotCarryDoesNotStopTheOthers) {
  Join({.fd = false});
  bridge_->Write({Frame("123#01"), Frame("123##0AA"), Frame("123##0BB"), Frame("123#02")});
  EXPECT_THAT(Heard(2), ElementsAre("123#01", "123#02"));
  EXPECT_EQ(bridge_->counts().unwritten, 2u);
  MutexLock lock(mu_);
  EXPECT_THAT(said_, Contains(HasSubstr("1 frame not written to vcan0: ")));
}

TEST_F(CanBridgeTest, ABusThatGoesAndComesIsToldAndItsFramesAreCounted) {
  Join();
  bridge_->Write({Frame("123#01")});
  EXPECT_THAT(Heard(1), ElementsAre("123#01"));
  network_.TakeDown("no such interface");
  Await([&] { return said_.size() == 1; });
  bridge_->Write({Frame("123#02")});
  EXPECT_EQ(bridge_->counts().unwritten, 1u);
  network_.BringUp();
  Await([&] { return said_.size() == 2; });
  bridge_->Write({Frame("123#03")});
  EXPECT_THAT(Heard(2), ElementsAre("123#01", "123#03"));
  EXPECT_THAT(said_, ElementsAre("vcan0 is not up: no such interface", "vcan0 is up"));
}

TEST_F(CanBridgeTest, ErrorFramesStayWhereTheyAre) {
  Join();
  network_.ReportError(0x4);  // CAN_ERR_CRTL
  SendFromDesk({"123#01"});
  Await([&] { return !batches_.empty(); });
  EXPECT_THAT(Sent(), ElementsAre("123#01"));
  CanFrame error;
  error.flags = kCanError;
  error.id = 0x4;
  error.size = 8;
  bridge_->Write({error, Frame("124#")});
  EXPECT_TRUE(ReadUntil(*node_, heard_, [&] { return !heard_.empty() && heard_.back() == Frame("124#"); }));
  EXPECT_EQ(bridge_->counts().unwritten, 0u);
}

}  // namespace
}  // namespace fleet
