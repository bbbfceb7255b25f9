#include "common/can/can_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/can/candump.h"
#include "common/can/testing/memory_can_bus.h"

namespace fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(30);

CanFrame Frame(absl::string_view text) {
  return ParseCanFrameText(text).value();
}

// The loop's side of a port: takes when it is told to.
class Loop {
 public:
  std::function<void()> on_news() {
    return [this] {
      MutexLock lock(mu_);
      ++told_;
      changed_.NotifyAll();
    };
  }
  int told() {
    MutexLock lock(mu_);
    return told_;
  }
  // Gathers what comes until `done`; never asks without being told.
  bool TakeUntil(CanPort& port, const std::function<bool()>& done) {
    const MonoTime deadline = clock_.Read().mono + kPatience;
    while (!done()) {
      {
        MutexLock lock(mu_);
        while (told_ == seen_) {
          const absl::Duration left = deadline - clock_.Read().mono;
          if (left <= absl::ZeroDuration()) return false;
          changed_.WaitFor(mu_, left);
        }
        seen_ = told_;
      }
      EXPECT_TRUE(port.Take(now_)) << "was told of nothing";
      frames.insert(frames.end(), now_.frames.begin(), now_.frames.end());
      outcomes.insert(outcomes.end(), now_.outcomes.begin(), now_.outcomes.end());
      report = now_.report;
      dropped = now_.dropped;
    }
    return true;
  }

  std::vector<CanFrame> frames;
  std::vector<CanOutcome> outcomes;
  CanBusReport report;
  uint64_t dropped = 0;

 private:
  const SystemClock clock_{};
  Mutex mu_;
  CondVar changed_;
  int told_ ABSL_GUARDED_BY(mu_) = 0;
  int seen_ = 0;
  CanNews now_;
};

// What a bus was asked and what it gives, as a test lays it down. Seen from outside of the port's thread.
class Script {
 public:
  void Give(std::vector<CanFrame> frames) {
    MutexLock lock(mu_);
    reads_.push_back(std::move(frames));
    changed_.NotifyAll();
  }
  // Until the port has read all that was given and come back for more: then it has kept it.
  void WaitUntilRead() {
    MutexLock lock(mu_);
    while (!reads_.empty() || !hungry_) changed_.WaitFor(mu_, kPatience);
  }
  std::string calls() {
    MutexLock lock(mu_);
    return calls_;
  }

 private:
  friend class ScriptedBus;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::vector<CanFrame>> reads_ ABSL_GUARDED_BY(mu_);
  bool hungry_ ABSL_GUARDED_BY(mu_) = false;  // a Read with time to wait has found nothing
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  std::string calls_ ABSL_GUARDED_BY(mu_);  // R and W
};

class ScriptedBus : public CanBus {
 public:
  explicit ScriptedBus(Script& script) : script_(script) {}

  void Read(absl::Duration timeout, std::vector<CanFrame>& out) override {
    MutexLock lock(script_.mu_);
    script_.calls_ += 'R';
    const bool patient = timeout > absl::ZeroDuration();
    if (script_.reads_.empty() && patient) {
      script_.hungry_ = true;
      script_.changed_.NotifyAll();
    }
    while (script_.reads_.empty() && patient && !script_.woken_) script_.changed_.WaitFor(script_.mu_, timeout);
    script_.woken_ = script_.hungry_ = false;
    if (script_.reads_.empty() || !patient) return;
    out.insert(out.end(), script_.reads_.front().begin(), script_.reads_.front().end());
    script_.reads_.pop_front();
  }
  absl::Status Write(const CanFrame&) override {
    MutexLock lock(script_.mu_);
    script_.calls_ += 'W';
    return absl::UnavailableError("full");
  }
  void Wake() override {
    MutexLock lock(script_.mu_);
    script_.woken_ = true;
    script_.changed_.NotifyAll();
  }
  CanBusReport report() const override { return {}; }

 private:
  Script& script_;
};

TEST(CanPort, HandsFramesToTheLoopInOrder) {
  MemoryCanNetwork network;
  Loop loop;
  CanPort port("can0", network.Attach(), loop.on_news());
  std::vector<CanFrame> said;
  for (uint32_t i = 0; i < 1000; ++i) {
    CanFrame frame = Frame("000#1122");
    frame.id = i;
    frame.at_unix_us = i;
    network.Put(said.emplace_back(frame));
  }
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.frames.size() >= said.size(); }));
  EXPECT_EQ(loop.frames, said);
  EXPECT_EQ(loop.frames.back().at_unix_us, 999) << "with the time of the bus";
}

TEST(CanPort, TellsOnceUntilTheLoopTakes) {
  Script script;
  Loop loop;
  CanPort port("can0", std::make_unique<ScriptedBus>(script), loop.on_news());
  for (int i = 0; i < 3; ++i) {
    script.Give({Frame("123#")});
    script.WaitUntilRead();
  }
  EXPECT_EQ(loop.told(), 1);
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.frames.size() == 3; }));
  script.Give({Frame("124#")});
  script.WaitUntilRead();
  EXPECT_EQ(loop.told(), 2);
}

TEST(CanPort, TakeWithoutNewsIsFalse) {
  Script script;
  CanPort port("can0", std::make_unique<ScriptedBus>(script), [] {});
  CanNews news;
  news.frames.resize(3);
  EXPECT_FALSE(port.Take(news));
  EXPECT_THAT(news.frames, IsEmpty());
}

TEST(CanPort, DropsTheNewestFramesOverItsBoundAndCountsThem) {
  Script script;
  Loop loop;
  CanPort port("can0", std::make_unique<ScriptedBus>(script), loop.on_news());
  for (size_t given = 0; given < CanPort::kMaxFrames; given += CanBus::kMaxRead) {
    script.Give(std::vector<CanFrame>(CanBus::kMaxRead, Frame("123#")));
  }
  script.Give(std::vector<CanFrame>(7, Frame("124#")));
  script.WaitUntilRead();
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return !loop.frames.empty(); }));
  EXPECT_EQ(loop.frames, std::vector<CanFrame>(CanPort::kMaxFrames, Frame("123#")));
  EXPECT_EQ(loop.dropped, 7u);
  script.Give({Frame("125#")});
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.frames.back() == Frame("125#"); }));
  EXPECT_EQ(loop.dropped, 7u) << "there is room again, and what was counted stays counted";
}

TEST(CanPort, SendsWhatIsOrderedAndSaysSo) {
  MemoryCanNetwork network;
  const std::unique_ptr<CanBus> peer = network.Attach();
  Loop loop;
  CanPort port("can0", network.Attach(), loop.on_news());
  const int64_t before = absl::ToUnixMicros(SystemClock().Read().wall);
  ASSERT_TRUE(port.Send({.frames = {Frame("123#11"), Frame("124#22")}, .token = 7}));
  ASSERT_TRUE(port.Send({.frames = {Frame("125#33")}, .token = 8}));
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.outcomes.size() == 2; }));

  std::vector<CanFrame> heard;
  peer->Read(absl::ZeroDuration(), heard);
  EXPECT_THAT(heard, ElementsAre(Frame("123#11"), Frame("124#22"), Frame("125#33")));
  EXPECT_TRUE(loop.outcomes[0].status.ok());
  EXPECT_EQ(loop.outcomes[0].order.token, 7u);
  EXPECT_EQ(loop.outcomes[0].sent, 2u);
  for (const CanFrame& frame : loop.outcomes[0].order.frames) {
    EXPECT_TRUE(frame.is(kCanSent));
    EXPECT_GE(frame.at_unix_us, before);
  }
  EXPECT_EQ(loop.outcomes[1].order.token, 8u);
  EXPECT_THAT(loop.frames, IsEmpty()) << "what is sent is no frame that was read";
}

TEST(CanPort, SaysHowMuchWasSentBeforeItFailed) {
  MemoryCanNetwork network;
  Loop loop;
  CanPort port("can0", network.Attach({.fd = false}), loop.on_news());
  ASSERT_TRUE(port.Send({.frames = {Frame("123#11"), Frame("123##111"), Frame("124#")}, .token = 1}));
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.outcomes.size() == 1; }));
  EXPECT_EQ(loop.outcomes[0].sent, 1u);
  EXPECT_EQ(loop.outcomes[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(loop.outcomes[0].order.frames[0].is(kCanSent));
  EXPECT_FALSE(loop.outcomes[0].order.frames[1].is(kCanSent));
}

TEST(CanPort, WhatHasWaitedTooLongIsNotSent) {
  MemoryCanNetwork network;
  Loop loop;
  CanPort port("can0", network.Attach({}), loop.on_news());
  ASSERT_TRUE(port.Send({.frames = {Frame("123#11")}, .token = 1, .not_after = SystemClock().Read().mono}));
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.outcomes.size() == 1; }));
  EXPECT_EQ(loop.outcomes[0].sent, 0u);
  EXPECT_EQ(loop.outcomes[0].status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(CanPort, TakesNoMoreOrdersThanItsBoundUntilTheirOutcomesAreTaken) {
  Script script;
  Loop loop;
  CanPort port("can0", std::make_unique<ScriptedBus>(script), loop.on_news());
  for (size_t i = 0; i < CanPort::kMaxOrders; ++i) ASSERT_TRUE(port.Send({.frames = {Frame("123#")}, .token = i})) << i;
  EXPECT_FALSE(port.Send({.frames = {Frame("123#")}, .token = 999}));
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.outcomes.size() == CanPort::kMaxOrders; }));
  EXPECT_EQ(loop.outcomes.back().order.token, CanPort::kMaxOrders - 1);
  EXPECT_EQ(loop.outcomes.back().status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(port.Send({}));
}

TEST(CanPort, ReadsBetweenOrdersThatFail) {
  Script script;
  Loop loop;
  CanPort port("can0", std::make_unique<ScriptedBus>(script), loop.on_news());
  for (uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(port.Send({.frames = {Frame("001#"), Frame("002#")}, .token = i}));
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.outcomes.size() == 20; }));
  EXPECT_EQ(script.calls().find("WW"), std::string::npos) << script.calls();
}

TEST(CanPort, TellsThatTheBusCameAndWent) {
  MemoryCanNetwork network;
  Loop loop;
  CanPort port("can0", network.Attach(), loop.on_news());
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.report.up; }));
  network.TakeDown("no cable");
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return !loop.report.up; }));
  EXPECT_EQ(loop.report.problem, "no cable");
  network.ReportError(0x40);
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.report.bus_off == 1; }));
  network.BringUp();
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.report.up; }));
}

TEST(CanPort, FailsAnOrderWhileTheBusIsFull) {
  MemoryCanNetwork network;
  network.Fill();
  Loop loop;
  CanPort port("can0", network.Attach(), loop.on_news());
  ASSERT_TRUE(port.Send({.frames = {Frame("123#")}, .token = 1}));
  ASSERT_TRUE(loop.TakeUntil(port, [&] { return loop.outcomes.size() == 1; }));
  EXPECT_EQ(loop.outcomes[0].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(loop.outcomes[0].sent, 0u);
}

// If the bus did not wake, the test would run into its time limit.
TEST(CanPort, EndsWhileTheBusIsSilent) {
  MemoryCanNetwork network;
  for (int i = 0; i < 20; ++i) {
    const CanPort port("can0", network.Attach(), [] {});
    EXPECT_EQ(port.name(), "can0");
  }
}

}  // namespace
}  // namespace fleet
