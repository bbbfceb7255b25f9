#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/testing/api_fixture.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(ApiTest, AGoodSegmentIsTakenStoredAndSent) {
  BringOnline("a");
  const auto view = Read<v1::CommandView>(Post("/api/v1/devices/a/segments", kLine), 201);
  EXPECT_EQ(view.device_id(), "a");
  EXPECT_EQ(view.state(), "sent") << "answered after the commit, and with it the command goes out";
  EXPECT_EQ(view.summary(), "line (-100,0) to (100,0) at 50 to 50 mm/s");
  EXPECT_THAT(view.steps(), SizeIs(2));
  const auto list = GetOk<v1::CommandList>("/api/v1/commands?device=a");
  ASSERT_THAT(list.commands(), SizeIs(1));
  EXPECT_EQ(list.commands(0).command_id(), view.command_id());
}

TEST_F(ApiTest, AWrongSegmentIsRefusedAndNothingIsSent) {
  BringOnline("a");
  const std::string path = "/api/v1/devices/a/segments";
  const std::string no_type = R"({"entity_id":1,"ttl_ms":1000,"v0_mm_s":1,"type":"spiral"})";
  ExpectError(Post(path, "{"), 400, "INVALID_ARGUMENT", "not JSON");
  ExpectError(Post(path, R"({"entity":1})"), 400, "INVALID_ARGUMENT", "entity");
  ExpectError(Post(path, no_type), 400, "INVALID_ARGUMENT", "\"spiral\" is not line");
  ExpectError(Post(path, R"({"type":"hold"})"), 400, "INVALID_ARGUMENT", "ttl");
  ExpectError(Post(path, R"({"type":"line","ttl_ms":1000})"), 400, "INVALID_ARGUMENT", "speeds 0");
  ExpectError(Post("/api/v1/devices/b/segments", kLine), 404, "NOT_FOUND", "no device b");
  EXPECT_THAT(GetOk<v1::CommandList>("/api/v1/commands").commands(), SizeIs(0));
}

TEST_F(ApiTest, ADeviceThatIsOfflineGetsNoSegment) {
  BringOnline("a");
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  ExpectError(Post("/api/v1/devices/a/segments", kLine), 409, "FAILED_PRECONDITION", "offline (clean)");
}

TEST_F(ApiTest, WhatCannotBeStoredIsNotSent) {
  BringOnline("a");
  OnLoop([this] { health_.set_store("disk full"); });
  ExpectError(Post("/api/v1/devices/a/segments", kLine), 503, "UNAVAILABLE", "disk full");
}

TEST_F(ApiTest, ALongPollReturnsAtOnceWhenThereAreMoreStepsAlready) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  EXPECT_GE(GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=0&timeout_ms=20000").steps_size(), 1);
}

TEST_F(ApiTest, ALongPollReturnsWhenAStepHappens) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  auto poll = std::async(std::launch::async, [&] {
    return GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=2&timeout_ms=20000");  // the clock stands still
  });
  Ack(id, v1::COMMAND_STATE_RECEIVED);
  EXPECT_EQ(poll.get().state(), "received");
}

TEST_F(ApiTest, ALongPollReturnsWhatThereIsAtItsTimeout) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  EXPECT_EQ(GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=99&timeout_ms=0").steps_size(), 2);
  auto poll = std::async(std::launch::async,
                         [&] { return GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=99&timeout_ms=500"); });
  PassTimeUntil(poll);
  EXPECT_EQ(poll.get().steps_size(), 2);
}

TEST_F(ApiTest, ALongPollDoesNotWaitForWhatHasEnded) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  Ack(id, v1::COMMAND_STATE_DONE);
  EXPECT_EQ(GetOk<v1::CommandView>(CommandPath(id) + "?after_steps=99&timeout_ms=20000").state(), "done");
}

TEST_F(ApiTest, MoreThanMayWaitAreRefused) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  const auto poll = [&] { return Get(CommandPath(id) + "?after_steps=2&timeout_ms=20000"); };
  std::vector<std::future<HttpProbeResult>> polls;
  for (int i = 0; i < 3; ++i) polls.push_back(std::async(std::launch::async, poll));
  // Two of them have the places and wait; the third does not wait for one.
  const auto is_ready = [](auto& f) { return f.wait_for(std::chrono::milliseconds(1)) == std::future_status::ready; };
  while (std::ranges::none_of(polls, is_ready)) {
  }
  Ack(id, v1::COMMAND_STATE_RECEIVED);
  int served = 0;
  for (auto& f : polls) {
    const HttpProbeResult result = f.get();
    if (result.status == 200) {
      ++served;
      EXPECT_EQ(Read<v1::CommandView>(result).state(), "received");
    } else {
      ExpectError(result, 503, "UNAVAILABLE", "too many");
    }
  }
  EXPECT_EQ(served, 2);
}

TEST_F(ApiTest, ASegmentIsAnsweredOnlyOnceItIsStored) {
  BringOnline("a");
  OnLoop([this] { commits_ = false; });
  auto submit = std::async(std::launch::async, [&] { return Post("/api/v1/devices/a/segments", kLine); });
  while (OpenCommands() == 0) {
  }
  EXPECT_NE(submit.wait_for(std::chrono::milliseconds(20)), std::future_status::ready);
  OnLoop([this] {
    EXPECT_EQ(sent_, 0);
    commits_ = true;
  });
  EXPECT_EQ(submit.get().status, 201);
}

TEST_F(ApiTest, WhatIsNotStoredInTimeIsSaidSo) {
  BringOnline("a");
  OnLoop([this] { commits_ = false; });
  auto submit = std::async(std::launch::async, [&] { return Post("/api/v1/devices/a/segments", kLine); });
  PassTimeUntil(submit);
  ExpectError(submit.get(), 503, "UNAVAILABLE", "is not stored yet");
}

TEST_F(ApiTest, WaitAnswersWhenTheCommandGotThere) {
  BringOnline("a");
  auto submit = std::async(std::launch::async,
                           [&] { return Post("/api/v1/devices/a/segments?wait=running&timeout_ms=20000", kLine); });
  while (OpenCommands() == 0) {
  }
  const CommandId id = NewestCommand();
  Ack(id, v1::COMMAND_STATE_ACCEPTED);
  EXPECT_NE(submit.wait_for(std::chrono::milliseconds(20)), std::future_status::ready);
  Ack(id, v1::COMMAND_STATE_RUNNING);
  EXPECT_EQ(Read<v1::CommandView>(submit.get(), 201).state(), "running");
}

TEST_F(ApiTest, WaitEndsWithTheCommandAndAtItsTimeout) {
  BringOnline("a");
  auto refused = std::async(std::launch::async,
                            [&] { return Post("/api/v1/devices/a/segments?wait=running&timeout_ms=20000", kLine); });
  while (OpenCommands() == 0) {
  }
  Ack(NewestCommand(), v1::COMMAND_STATE_REJECTED);
  EXPECT_EQ(Read<v1::CommandView>(refused.get(), 201).state(), "rejected");
  auto timeout =
      std::async(std::launch::async, [&] { return Post("/api/v1/devices/a/segments?wait=end&timeout_ms=200", kLine); });
  while (OpenCommands() == 0) {
  }
  PassTimeUntil(timeout);
  EXPECT_EQ(Read<v1::CommandView>(timeout.get(), 201).state(), "sent");
  ExpectError(Post("/api/v1/devices/a/segments?wait=done", kLine), 400, "INVALID_ARGUMENT", "?wait=done is not");
}

TEST_F(ApiTest, ASegmentMayWaitForADeviceThatIsOffline) {
  BringOnline("a");
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  const auto view = Read<v1::CommandView>(
      Post("/api/v1/devices/a/segments", R"({"entity_id":1,"type":"hold","ttl_ms":5000,"queue":true})"), 201);
  EXPECT_EQ(view.state(), "queued");
}

TEST_F(ApiTest, ACancelAnswersWithWhatEndedAndWhatWasSent) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  const auto sent = Read<v1::CancelResult>(Post(CommandPath(id) + "/cancel", ""));
  ASSERT_THAT(sent.commands(), SizeIs(1));
  EXPECT_EQ(sent.commands(0).kind(), "cancel");
  EXPECT_EQ(sent.commands(0).summary(), absl::StrCat("cancel command ", Number(id)));
  EXPECT_EQ(sent.commands(0).ttl_ms(), 5000);
  const auto entity = Read<v1::CancelResult>(Post("/api/v1/devices/a/entities/2/cancel", R"({"ttl_ms":700})"));
  ASSERT_THAT(entity.commands(), SizeIs(1));
  EXPECT_EQ(entity.commands(0).summary(), "cancel entity 2");
  EXPECT_EQ(entity.commands(0).ttl_ms(), 700);
  const auto device = Read<v1::CancelResult>(Post("/api/v1/devices/a/cancel", "{}"));
  EXPECT_EQ(device.commands(0).summary(), "cancel everything");
  ExpectError(Post("/api/v1/devices/a/entities/x/cancel", ""), 400, "INVALID_ARGUMENT", "x is no entity id");
  ExpectError(Post("/api/v1/devices/a/cancel", "{"), 400, "INVALID_ARGUMENT", "not JSON");
  ExpectError(Post("/api/v1/devices/b/cancel", ""), 404, "NOT_FOUND", "no device b");
}

TEST_F(ApiTest, WhatHasEndedCannotBeCancelledWhereverItIsRemembered) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  Ack(id, v1::COMMAND_STATE_DONE);
  ExpectError(Post(CommandPath(id) + "/cancel", ""), 409, "FAILED_PRECONDITION", "has ended: done");
  OnLoop([this] { StoreOldCommand(5, v1::COMMAND_STATE_DONE); });
  ExpectError(Post("/api/v1/commands/5/cancel", ""), 409, "FAILED_PRECONDITION", "has ended: done");
  ExpectError(Post("/api/v1/commands/6/cancel", ""), 404, "NOT_FOUND", "no command 6");
}

TEST_F(ApiTest, AStopNeedsNoStore) {
  BringOnline("a");
  BringOnline("b");
  OnLoop([this] {
    commits_ = false;
    health_.set_store("disk full");
  });
  EXPECT_EQ(Post("/api/v1/devices/a/cancel", "").status, 503);
  const auto one = Read<v1::CancelResult>(Post("/api/v1/devices/a/stop", ""));
  ASSERT_THAT(one.commands(), SizeIs(1));
  EXPECT_EQ(one.commands(0).summary(), "stop");
  const auto all = Read<v1::StopAllResult>(Post("/api/v1/stop", ""));
  ASSERT_THAT(all.devices(), SizeIs(2));
  EXPECT_EQ(all.devices(0).device_id(), "a");
  EXPECT_EQ(all.devices(1).error(), "");
  EXPECT_EQ(GetOk<v1::CommandView>("/api/v1/commands/" + all.devices(1).command_id()).state(), "sent");
}

TEST_F(ApiTest, StopOfAllNamesTheDevicesThatCannotBeTold) {
  BringOnline("a");
  SubmitLine("a");
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  const auto all = Read<v1::StopAllResult>(Post("/api/v1/stop", ""));
  ASSERT_THAT(all.devices(), SizeIs(1));
  EXPECT_EQ(all.devices(0).command_id(), "");
  EXPECT_THAT(all.devices(0).error(), HasSubstr("offline"));
  ExpectError(Post("/api/v1/devices/a/stop", ""), 409, "FAILED_PRECONDITION", "offline (clean)");
}

TEST_F(ApiTest, ReconcileAsksTheDeviceNow) {
  BringOnline("a");
  const CommandId id = SubmitLine("a");
  Ack(id, v1::COMMAND_STATE_RUNNING);
  int before = 0;
  OnLoop([&] { before = sent_; });
  EXPECT_EQ(Read<v1::CommandView>(Post(CommandPath(id) + "/reconcile", "")).state(), "running");
  OnLoop([&] { EXPECT_EQ(sent_, before + 1); });
  ExpectError(Post("/api/v1/commands/6/reconcile", ""), 404, "NOT_FOUND", "no command 6");
}

TEST_F(ApiTest, CommandsComeNewestFirstInPages) {
  BringOnline("a");
  std::vector<std::string> wanted;
  for (int i = 0; i < 5; ++i) wanted.insert(wanted.begin(), absl::StrCat(Number(SubmitLine("a"))));
  std::vector<std::string> ids;
  std::string query = "?limit=2";
  while (true) {
    const auto page = GetOk<v1::CommandList>("/api/v1/commands" + query);
    for (const v1::CommandView& command : page.commands()) ids.push_back(command.command_id());
    if (page.next_cursor().empty()) break;
    query = "?limit=2&cursor=" + page.next_cursor();
  }
  EXPECT_EQ(ids, wanted);
  ExpectError(Get("/api/v1/commands?device=nobody"), 404, "NOT_FOUND", "nobody");
}

TEST_F(ApiTest, ACommandOfAnEarlierRunIsAnsweredFromTheStore) {
  OnLoop([this] { StoreOldCommand(5, v1::COMMAND_STATE_DONE); });
  const auto command = GetOk<v1::CommandView>("/api/v1/commands/5");
  EXPECT_EQ(command.state(), "done");
  EXPECT_EQ(command.device_id(), "old");
  ExpectError(Get("/api/v1/commands/6"), 404, "NOT_FOUND", "no command 6");
}

}  // namespace
}  // namespace fleet::server
