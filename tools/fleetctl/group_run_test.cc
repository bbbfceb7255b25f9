#include "tools/fleetctl/group_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(15);
const MonoTime kStart = MonoTime::FromNanos(1'000'000'000);

v1::CommandView Command(const std::string& id, const std::string& state, const std::string& reason = "") {
  v1::CommandView command;
  command.set_command_id(id);
  command.set_state(state);
  command.set_reason(reason);
  return command;
}

std::vector<std::string> States(GroupRun& run) {
  std::vector<std::string> states;
  for (const v1::CommandView& command : run.TakeEnded()) states.push_back(command.state());
  return states;
}

TEST(GroupRun, StartsNoMoreThanMayRunAndTheNextWhenOneHasEnded) {
  GroupRun run({"a", "b", "c"}, 2, kPatience);
  EXPECT_EQ(run.TakeNext(), "a");
  run.Started(Command("1", "queued"), kStart);
  EXPECT_EQ(run.TakeNext(), "b");
  run.Started(Command("2", "queued"), kStart);
  EXPECT_EQ(run.TakeNext(), std::nullopt);
  run.Heard(Command("1", "running"), kStart);
  EXPECT_EQ(run.TakeNext(), std::nullopt);
  run.Heard(Command("1", "done"), kStart);
  EXPECT_THAT(States(run), ElementsAre("done"));
  EXPECT_EQ(run.TakeNext(), "c");
  EXPECT_THAT(run.open(), ElementsAre("2"));
}

TEST(GroupRun, ARefusalTakesNoPlace) {
  GroupRun run({"a", "b"}, 1, kPatience);
  run.Refused(*run.TakeNext(), "it is offline");
  EXPECT_EQ(run.TakeNext(), "b");
  const std::vector<v1::CommandView> ended = run.TakeEnded();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].device_id(), "a");
  EXPECT_EQ(ended[0].reason(), "it is offline");
}

TEST(GroupRun, ACommandThatEndsAtOnceTakesNoPlace) {
  GroupRun run({"a"}, 1, kPatience);
  run.TakeNext();
  run.Started(Command("1", "rejected"), kStart);
  EXPECT_THAT(States(run), ElementsAre("rejected"));
  EXPECT_TRUE(run.over());
}

TEST(GroupRun, AnUnknownOneKeepsItsPlaceAndMayResolve) {
  GroupRun run({"a", "b"}, 1, kPatience);
  run.TakeNext();
  run.Started(Command("1", "sent"), kStart);
  run.Heard(Command("1", "unknown"), kStart);
  EXPECT_EQ(run.TakeNext(), std::nullopt);
  run.Heard(Command("1", "done"), kStart + absl::Seconds(3));
  EXPECT_THAT(States(run), ElementsAre("done"));
  EXPECT_EQ(run.TakeNext(), "b");
}

TEST(GroupRun, AnUnknownOneIsGivenUpWhenPatienceIsOver) {
  GroupRun run({"a"}, 1, kPatience);
  run.TakeNext();
  run.Started(Command("1", "sent"), kStart);
  run.Heard(Command("1", "unknown"), kStart + absl::Seconds(5));
  run.GiveUp(kStart + kPatience - absl::Milliseconds(1));
  EXPECT_FALSE(run.over());
  run.GiveUp(kStart + kPatience);
  EXPECT_THAT(States(run), ElementsAre("unknown"));
  EXPECT_TRUE(run.over());
}

TEST(GroupRun, MemoryLostIsUnknownForGood) {
  GroupRun run({"a"}, 1, kPatience);
  run.TakeNext();
  run.Started(Command("1", "sent"), kStart);
  run.Heard(Command("1", "unknown", "memory_lost"), kStart);
  EXPECT_TRUE(run.over());
}

TEST(GroupRun, ALongMotionIsNotGivenUpWhileItsDeviceIsAtWork) {
  GroupRun run({"a"}, 1, kPatience);
  run.TakeNext();
  run.Started(Command("1", "sent"), kStart);
  for (int second = 1; second < 100; ++second) {
    run.Heard(Command("1", "running"), kStart + absl::Seconds(second));
    run.GiveUp(kStart + absl::Seconds(second));
  }
  EXPECT_THAT(run.open(), ElementsAre("1"));
}

TEST(GroupRun, AServerThatIsAwayIsWaitedForAsLongAsPatienceLasts) {
  GroupRun run({"a", "b"}, 2, kPatience);
  for (int second = 0; second < 15; ++second) {
    run.PutBack(*run.TakeNext(), kStart + absl::Seconds(second));
    run.GiveUp(kStart + absl::Seconds(second));
  }
  EXPECT_EQ(run.waiting(), 2u);
  EXPECT_THAT(States(run), IsEmpty());
  run.GiveUp(kStart + kPatience);
  EXPECT_THAT(States(run), ElementsAre("refused", "refused"));
  EXPECT_TRUE(run.over());
}

TEST(GroupRun, AServerThatCameBackIsGivenPatienceAnew) {
  GroupRun run({"a", "b"}, 1, kPatience);
  run.PutBack(*run.TakeNext(), kStart);
  EXPECT_EQ(run.TakeNext(), "a");
  run.Started(Command("1", "done"), kStart + absl::Seconds(14));
  run.PutBack(*run.TakeNext(), kStart + absl::Seconds(14));
  run.GiveUp(kStart + absl::Seconds(20));
  EXPECT_EQ(run.waiting(), 1u);
}

}  // namespace
}  // namespace fleet
