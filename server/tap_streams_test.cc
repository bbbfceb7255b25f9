#include "server/tap_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <utility>
#include <vector>

#include "common/testing/fake_clock.h"
#include "fleet/v1/api.pb.h"
#include "server/testing/can_messages.h"
#include "server/testing/fleet_state_fixture.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kLog[] = "(1436509052.249713) can0 123#1122";

// A device `a` that says what a test wants, and a loop that turns when a test says so.
class TapStreamsTest : public FleetStateTest {
 protected:
  TapStreamsTest() {
    LinkUp();
    Beat("a", 1, 1);
  }
  CommandId Open(uint32_t duration_ms = 600'000) {
    EXPECT_TRUE(taps_.CheckRoom().ok());
    const auto id = fleet_->Submit("a", TapOf({}, duration_ms), {.ttl = absl::Seconds(2)}, clock_, changes_);
    EXPECT_TRUE(id.ok()) << id.status();
    taps_.Follow(*fleet_->commands().Find(*id), device("a"));
    Turn();
    return *id;
  }
  CommandId OpenAndRun(uint32_t duration_ms = 600'000) {
    const CommandId id = Open(duration_ms);
    Say(id, v1::COMMAND_STATE_RUNNING);
    return id;
  }
  std::unique_ptr<EventSource> Read(CommandId id) {
    auto reader = taps_.Read(id);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }
  // What is given is stored and sent within the turn.
  void Turn() {
    taps_.Tick(*fleet_, changes_, clock_);
    fleet_->Committed(changes_.rows.number, changes_);
    for (CommandId due : Tick()) fleet_->Sent(due, true, clock_, changes_);
  }
  void Say(CommandId id, v1::CommandState state) {
    Ack("a", 1, id, state);
    Turn();
  }
  // A turn every 100 ms; the device is heard.
  void Pass(absl::Duration d) {
    for (absl::Duration done; done < d; done += absl::Milliseconds(100)) {
      Run(absl::Milliseconds(100), /*beats=*/true);
      Turn();
    }
  }
  void Take(CommandId id, uint32_t seq, const v1::CanFrames& frames = FramesOf({kLog}), uint64_t dropped = 0,
            absl::string_view from = "a", absl::string_view bus = "can0") {
    const v1::CanBatch batch = BatchOf(Number(id), seq, frames, dropped);
    const std::string bytes = batch.SerializeAsString();
    taps_.Take({from, bus, &batch, bytes});
  }
  // Of the cancel that was given, the command that it takes back; none: nothing was cancelled.
  std::vector<uint64_t> Cancelled() const {
    std::vector<uint64_t> ids;
    for (const CommandRow& row : changes_.rows.commands) {
      if (const auto* cancel = std::get_if<v1::Cancel>(&row.body)) ids.push_back(cancel->command_id());
    }
    return ids;
  }

  struct Taken {
    std::vector<v1::CanTapEvent> events;
    std::vector<std::string> frames;
    std::optional<v1::CommandView> end;
  };
  // Everything that is there.
  static Taken TakeAll(EventSource& source) {
    Taken taken;
    for (bool more = true, any = true; more && any;) {
      std::vector<EventSource::Item> items;
      more = source.Next(absl::ZeroDuration(), items);
      any = !items.empty();
      for (const EventSource::Item& item : items) {
        EXPECT_EQ(item.data.find('\n'), std::string::npos) << "one line";
        v1::CanTapEvent event;
        EXPECT_TRUE(FromJson(item.data, event).ok()) << item.data.substr(0, 200);
        EXPECT_EQ(item.event, event.has_end() ? "end" : "frames");
        taken.frames.insert(taken.frames.end(), event.frames().begin(), event.frames().end());
        if (event.has_end()) taken.end = event.end();
        taken.events.push_back(std::move(event));
      }
    }
    return taken;
  }

  int woken_ = 0;
  TapStreams taps_{[this] { ++woken_; }};
};

TEST_F(TapStreamsTest, FramesComeAsCandumpWritesThemFromTheSubmissionOn) {
  const CommandId id = OpenAndRun();
  Take(id, 1, FramesOf({kLog, "(1436509052.249800) can0 18FEF100#R"}));
  const auto reader = Read(id);
  Take(id, 2, FramesOf({"(1436509052.250000) can0 123##11122"}));
  const Taken taken = TakeAll(*reader);
  EXPECT_THAT(taken.frames,
              ElementsAre(kLog, "(1436509052.249800) can0 18FEF100#R", "(1436509052.250000) can0 123##11122"));
  EXPECT_EQ(taken.events[0].lost() + taken.events[0].dropped() + taken.events[0].skipped(), 0);
  EXPECT_EQ(taps_.counters().delivered, 3u);
  EXPECT_THAT(TakeAll(*reader).events, IsEmpty());
}

TEST_F(TapStreamsTest, EventsSayHowFarTheyGoAndTheFirstHasOneBatch) {
  const CommandId id = OpenAndRun();
  for (uint32_t seq : {7u, 8u, 12u}) Take(id, seq);
  const auto reader = Read(id);
  std::vector<v1::CanTapEvent> events = TakeAll(*reader).events;
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_THAT(events[0].frames(), SizeIs(1));
  EXPECT_EQ(events[0].next_batch(), 8);
  EXPECT_THAT(events[1].frames(), SizeIs(2)) << "what is there together comes together";
  EXPECT_EQ(events[1].next_batch(), 13);
  for (uint32_t seq : {13u, 14u}) Take(id, seq);
  events = TakeAll(*reader).events;
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].next_batch(), 15);
}

TEST_F(TapStreamsTest, BatchesThatAreMissingAreCountedFromTheFirstOn) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  Take(id, 3);
  EXPECT_EQ(TakeAll(*reader).events.at(0).lost(), 2);
  Take(id, 4);
  Take(id, 7, FramesOf({kLog}), /*dropped=*/9);
  const Taken taken = TakeAll(*reader);
  EXPECT_EQ(taken.events.at(0).lost(), 4) << "since the tap began";
  EXPECT_EQ(taken.events.at(0).dropped(), 9);
  EXPECT_EQ(taps_.counters().lost, 4u);
}

TEST_F(TapStreamsTest, WhatComesTwiceOrLateIsLeft) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  Take(id, 2);
  Take(id, 2);
  Take(id, 1);
  EXPECT_THAT(TakeAll(*reader).frames, SizeIs(1));
  EXPECT_EQ(taps_.counters().stray, 2u);
}

TEST_F(TapStreamsTest, AnotherDeviceBusOrTapCannotSpeakForThisOne) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  Take(id, 1, ManyFrames(1), 0, "b");
  Take(id, 1, ManyFrames(1), 0, "a", "can1");
  Take(CommandId{Number(id) + 1}, 1);
  EXPECT_THAT(TakeAll(*reader).events, IsEmpty());
  EXPECT_EQ(taps_.counters().stray, 3u);
}

TEST_F(TapStreamsTest, EventsAreOfBoundedSize) {
  const CommandId id = OpenAndRun();
  for (uint32_t seq = 1; seq <= 100; ++seq) Take(id, seq, ManyFrames(64));
  const Taken taken = TakeAll(*Read(id));
  EXPECT_THAT(taken.frames, SizeIs(6400));
  for (const v1::CanTapEvent& event : taken.events) EXPECT_LE(event.frames_size(), TapStreams::kFramesPerEvent + 64);
}

TEST_F(TapStreamsTest, ASlowReaderKeepsTheOldestAndIsToldHowManyItMissed) {
  const CommandId id = OpenAndRun();
  const v1::CanFrames frames = ManyFrames(64);
  const size_t bytes = BatchOf(Number(id), 1000, frames).SerializeAsString().size() + 4;
  const auto fit = static_cast<uint32_t>(TapStreams::kMaxQueuedBytes / bytes);
  for (uint32_t seq = 1; seq <= fit + 50; ++seq) Take(id, seq, frames);
  const uint64_t skipped = taps_.counters().skipped;
  EXPECT_GT(skipped, 0u);
  const auto reader = Read(id);
  const Taken taken = TakeAll(*reader);
  EXPECT_EQ(taken.frames.size() + skipped, (fit + 50) * 64u);
  EXPECT_EQ(taken.events.back().skipped(), static_cast<double>(skipped));
  EXPECT_EQ(taken.events.back().lost(), 0) << "they did arrive";
  Take(id, fit + 51, frames);
  EXPECT_THAT(TakeAll(*reader).frames, SizeIs(64)) << "there is room again";
}

TEST_F(TapStreamsTest, EndsWithItsCommandAfterEverythingThatCame) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  Take(id, 1);
  Say(id, v1::COMMAND_STATE_DONE);
  std::vector<EventSource::Item> items;
  EXPECT_FALSE(reader->Next(absl::ZeroDuration(), items));
  ASSERT_THAT(items, SizeIs(2));
  EXPECT_EQ(items[0].event, "frames");
  EXPECT_EQ(items[1].event, "end");
  v1::CanTapEvent end;
  ASSERT_TRUE(FromJson(items[1].data, end).ok()) << items[1].data;
  EXPECT_EQ(end.end().state(), "done");
  EXPECT_EQ(end.end().kind(), "can_tap");
  EXPECT_EQ(taps_.count(), 0u);
  EXPECT_THAT(Cancelled(), IsEmpty());
}

TEST_F(TapStreamsTest, TheEndSaysWhatWasLostWhenNoFramesDo) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  const v1::CanFrames frames = ManyFrames(64);
  Take(id, 3, frames, 5);
  TakeAll(*reader);
  Say(id, v1::COMMAND_STATE_FAILED);
  const Taken taken = TakeAll(*reader);
  EXPECT_EQ(taken.events.at(0).lost(), 2);
  EXPECT_EQ(taken.events.at(0).dropped(), 5);
  EXPECT_EQ(taken.end->state(), "failed");
}

TEST_F(TapStreamsTest, WhoComesAfterTheEndStillSeesItForAWhile) {
  const CommandId id = OpenAndRun();
  Take(id, 1);
  Say(id, v1::COMMAND_STATE_REJECTED);
  Pass(TapStreams::kUnread - absl::Milliseconds(100));
  const Taken taken = TakeAll(*Read(id));
  EXPECT_THAT(taken.frames, ElementsAre(kLog));
  EXPECT_EQ(taken.end->state(), "rejected");
  Pass(absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsNotFound(taps_.Read(id).status()));
}

TEST_F(TapStreamsTest, ATapThatNeverRanGivesItsPlaceAtOnce) {
  for (const v1::CommandState state : {v1::COMMAND_STATE_REJECTED, v1::COMMAND_STATE_FAILED}) {
    const CommandId id = Open();
    Say(id, state);
    EXPECT_EQ(taps_.count(), 0u) << state;
    EXPECT_THAT(std::string(taps_.Read(id).status().message()), HasSubstr(absl::StrCat("commands/", Number(id))));
  }
  const CommandId read = Open();
  const auto reader = Read(read);
  Say(read, v1::COMMAND_STATE_REJECTED);
  EXPECT_EQ(TakeAll(*reader).end->state(), "rejected");
}

TEST_F(TapStreamsTest, ATapHasOneReader) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  EXPECT_TRUE(absl::IsFailedPrecondition(taps_.Read(id).status()));
  EXPECT_TRUE(absl::IsNotFound(taps_.Read(CommandId{999}).status()));
}

TEST_F(TapStreamsTest, ATapThatRunsTenSecondsUnreadIsCancelled) {
  const CommandId id = Open();
  Pass(absl::Seconds(1));
  Say(id, v1::COMMAND_STATE_RUNNING);
  Pass(TapStreams::kUnread - absl::Milliseconds(100));
  EXPECT_THAT(Cancelled(), IsEmpty());
  EXPECT_EQ(taps_.NextDue(), clock_.Read().mono + absl::Milliseconds(100));
  Pass(absl::Milliseconds(100));
  EXPECT_THAT(Cancelled(), ElementsAre(Number(id)));
}

TEST_F(TapStreamsTest, ATapWhoseReaderIsGoneIsCancelledAtOnceAndOnce) {
  const CommandId id = OpenAndRun();
  auto reader = Read(id);
  Pass(absl::Seconds(60));
  EXPECT_THAT(Cancelled(), IsEmpty());
  reader.reset();
  EXPECT_EQ(woken_, 1);
  Turn();
  EXPECT_THAT(Cancelled(), ElementsAre(Number(id)));
  Take(id, 1);  // still on its way
  Say(id, v1::COMMAND_STATE_CANCELLED);
  EXPECT_EQ(taps_.count(), 0u);
  Pass(absl::Seconds(60));
  EXPECT_THAT(Cancelled(), SizeIs(1));
}

TEST_F(TapStreamsTest, ACancelThatDidNotHelpIsGivenAgain) {
  const CommandId id = OpenAndRun();
  Read(id).reset();
  Turn();
  Pass(TapStreams::kCancelAgain);
  EXPECT_THAT(Cancelled(), ElementsAre(Number(id), Number(id)));
}

TEST_F(TapStreamsTest, ATapOnADeviceThatIsOfflineIsCancelledWhenItIsBack) {
  const CommandId id = OpenAndRun();
  FleetStateTest::Say("a", v1::PRESENCE_OFFLINE, 1);
  Read(id).reset();
  for (int i = 0; i < 30; ++i) {
    Run(absl::Milliseconds(100), /*beats=*/false);
    Turn();
  }
  EXPECT_THAT(Cancelled(), IsEmpty());
  Pass(TapStreams::kCancelAgain);
  EXPECT_THAT(Cancelled(), ElementsAre(Number(id)));
}

TEST_F(TapStreamsTest, ACancelThatCannotBeGivenIsTriedLessAndLessOftenAndLoggedOnce) {
  const CommandId id = OpenAndRun();
  FleetStateTest::Say("a", v1::PRESENCE_OFFLINE, 1);
  Read(id).reset();
  testing::internal::CaptureStdout();
  std::vector<absl::Duration> pauses;
  while (pauses.size() < 7) {
    Turn();
    pauses.push_back(taps_.NextDue() - clock_.Read().mono);
    clock_.Advance(pauses.back());
  }
  const std::string log = testing::internal::GetCapturedStdout();
  const auto s = [](int seconds) { return absl::Seconds(seconds); };
  EXPECT_THAT(pauses, ElementsAre(s(1), s(2), s(4), s(8), s(10), s(10), s(10)));
  const size_t line = log.find("cannot be cancelled yet");
  ASSERT_NE(line, std::string::npos) << log;
  EXPECT_EQ(log.find("cannot be cancelled yet", line + 1), std::string::npos) << log;
  EXPECT_EQ(log.find("tap without reader cancelled"), std::string::npos) << log;
}

TEST_F(TapStreamsTest, ATapOutlivesABrokenLink) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  Take(id, 1);
  fleet_->LinkDown(clock_, changes_);
  Turn();
  EXPECT_EQ(StateOf(id), v1::COMMAND_STATE_UNKNOWN);
  LinkUp();
  Take(id, 4);
  const Taken taken = TakeAll(*reader);
  EXPECT_THAT(taken.frames, SizeIs(2));
  EXPECT_EQ(taken.events.at(0).lost(), 2);
  EXPECT_EQ(taken.end, std::nullopt);
}

TEST_F(TapStreamsTest, ATapThatNobodyKnowsTheEndOfEndsAfterItsTime) {
  const CommandId id = OpenAndRun(/*duration_ms=*/5000);
  const auto reader = Read(id);
  FleetStateTest::Say("a", v1::PRESENCE_OFFLINE, 1);
  for (int i = 0; i < 215; ++i) {  // 2 s to live, 5 s of tap, 15 s of patience, less half a second
    Run(absl::Milliseconds(100), /*beats=*/false);
    Turn();
  }
  EXPECT_EQ(TakeAll(*reader).end, std::nullopt);
  Run(absl::Seconds(1), /*beats=*/false);
  Turn();
  EXPECT_EQ(TakeAll(*reader).end->state(), "unknown");
  EXPECT_EQ(taps_.count(), 0u);
}

TEST_F(TapStreamsTest, TapsAreBounded) {
  for (size_t i = 0; i < TapStreams::kMaxTaps; ++i) Open();
  EXPECT_TRUE(absl::IsResourceExhausted(taps_.CheckRoom()));
  Say(device("a").open_commands.at(0), v1::COMMAND_STATE_REJECTED);
  EXPECT_TRUE(taps_.CheckRoom().ok());
}

TEST_F(TapStreamsTest, AfterARestartOfTheServerItsReaderMayComeBack) {
  const CommandId id = OpenAndRun();
  Take(id, 1);
  TapStreams later([] {});
  later.Restore(*fleet_, clock_.Read().mono);
  ASSERT_TRUE(later.Read(id).ok());
  EXPECT_EQ(later.count(), 1u);
  const v1::CanBatch batch = BatchOf(Number(id), 500, FramesOf({kLog}));
  const std::string bytes = batch.SerializeAsString();
  later.Take({"a", "can0", &batch, bytes});
  EXPECT_EQ(later.counters().lost, 0u) << "nobody knows the numbers before";
  EXPECT_EQ(later.counters().stray, 0u);
}

TEST_F(TapStreamsTest, AfterARestartATapThatIsLongOverIsNotWaitedFor) {
  OpenAndRun(/*duration_ms=*/1000);
  clock_.Advance(absl::Hours(1));
  TapStreams later([] {});
  later.Restore(*fleet_, clock_.Read().mono);
  EXPECT_EQ(later.count(), 0u);
}

TEST_F(TapStreamsTest, NextWaitsForFramesAndForTheEnd) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  auto read = std::async(std::launch::async, [&reader] {
    std::vector<EventSource::Item> items;
    while (reader->Next(absl::Seconds(60), items)) {
    }
    return items.back().event;
  });
  Take(id, 1);
  Say(id, v1::COMMAND_STATE_DONE);
  EXPECT_EQ(read.get(), "end");
}

TEST_F(TapStreamsTest, CloseEndsStreamsAndCancelsNothing) {
  const CommandId id = OpenAndRun();
  const auto reader = Read(id);
  Take(id, 1);
  taps_.Close();
  std::vector<EventSource::Item> items;
  EXPECT_FALSE(reader->Next(absl::Hours(1), items));
  EXPECT_THAT(items, SizeIs(1));
  EXPECT_THAT(Cancelled(), IsEmpty()) << "the next run of the server goes on with it";
}

}  // namespace
}  // namespace fleet::server
