#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/testing/api_fixture.h"
#include "server/testing/can_messages.h"

namespace fleet::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kBus[] = "/api/v1/devices/a/can/can0";

class ApiCanTest : public ApiTest {
 protected:
  ApiCanTest() { BringOnline("a"); }

  std::future<HttpProbeResult> PostAsync(const std::string& path, const std::string& body) {
    return std::async(std::launch::async, [=, this] { return Post(path, body); });
  }
  // The command that a request under way has given, sent to its device.
  CommandId GivenBy(std::future<HttpProbeResult>&) {
    while (OpenCommands() == 0) {
    }
    return NewestCommand();
  }
  // Its id, as it is in a path.
  std::string OpenTap() {
    auto answer = PostAsync(absl::StrCat(kBus, "/taps"), "");
    Ack(GivenBy(answer), v1::COMMAND_STATE_RUNNING);
    return Read<v1::CommandView>(answer.get(), 201).command_id();
  }
  void Arrive(const std::string& tap, uint32_t seq, const v1::CanFrames& frames) {
    uint64_t id = 0;
    ASSERT_TRUE(absl::SimpleAtoi(tap, &id));
    OnLoop([&] {
      const std::string payload = BatchOf(id, seq, frames).SerializeAsString();
      const auto event = ingest_.Read("rpi/a/can/can0/rx", payload);
      ASSERT_TRUE(event.ok()) << event.status();
      taps_.Take(std::get<CanBatchEvent>(*event));
    });
  }
  static std::string StreamOf(const std::string& tap) { return absl::StrCat("/api/v1/taps/", tap, "/stream"); }
  // Of a block of a stream.
  static std::pair<std::string, v1::CanTapEvent> Parse(const std::optional<std::string>& block) {
    v1::CanTapEvent event;
    EXPECT_TRUE(block.has_value());
    const std::pair<std::string, std::string> parts = absl::StrSplit(*block, absl::MaxSplits("\ndata: ", 1));
    EXPECT_TRUE(FromJson(parts.second, event).ok()) << *block;
    return {parts.first, event};
  }
};

TEST_F(ApiCanTest, FramesAreTakenStoredAndSent) {
  const auto view = Read<v1::CommandView>(
      Post(absl::StrCat(kBus, "/send"), R"({"frames":["123#1122","18FEF100#R"],"by":"ann"})"), 201);
  EXPECT_EQ(view.kind(), "can_send");
  EXPECT_EQ(view.summary(), "send 123#1122 and 1 more to can0");
  EXPECT_EQ(view.by(), "ann");
  EXPECT_EQ(view.state(), "sent");
  EXPECT_EQ(view.ttl_ms(), 1000);
}

TEST_F(ApiCanTest, ASendMayWaitForItsEnd) {
  auto answer = PostAsync(absl::StrCat(kBus, "/send?wait=end"), R"({"frames":["123#1122"]})");
  Ack(GivenBy(answer), v1::COMMAND_STATE_DONE);
  EXPECT_EQ(Read<v1::CommandView>(answer.get(), 201).state(), "done");
}

TEST_F(ApiCanTest, ClearingTroubleCodesNeedsNoBody) {
  const auto view = Read<v1::CommandView>(Post(absl::StrCat(kBus, "/clear-dtcs"), ""), 201);
  EXPECT_EQ(view.kind(), "clear_dtcs");
  EXPECT_EQ(view.ttl_ms(), 5000);
}

TEST_F(ApiCanTest, WhatIsWrongIsSaidAndNothingIsSent) {
  const std::string send = absl::StrCat(kBus, "/send");
  const std::string taps = absl::StrCat(kBus, "/taps");
  ExpectError(Post(send, ""), 400, "INVALID_ARGUMENT", "not JSON");
  ExpectError(Post(send, "{}"), 400, "INVALID_ARGUMENT", "0 frames");
  ExpectError(Post(send, R"({"frames":["123#1122","12345#"]})"), 400, "INVALID_ARGUMENT", "frame 2: ");
  ExpectError(Post(send, R"({"frames":["20000080#"]})"), 400, "INVALID_ARGUMENT", "error frame");
  ExpectError(Post(send, R"({"frames":["123#"],"by":"a\nb"})"), 400, "INVALID_ARGUMENT", "printable");
  ExpectError(Post(send, R"({"frames":["123#"],"ttl_ms":4000000})"), 400, "INVALID_ARGUMENT", "ttl");
  ExpectError(Post(send + "?wait=never", R"({"frames":["123#"]})"), 400, "INVALID_ARGUMENT", "?wait=never");
  ExpectError(Post(taps, R"({"filters":["7FF:123:1"]})"), 400, "INVALID_ARGUMENT", "filter 1: ");
  ExpectError(Post(taps, R"({"for_ms":90000000})"), 400, "INVALID_ARGUMENT", "25h");
  ExpectError(Post("/api/v1/devices/a/can/b%20s/taps", "{}"), 400, "INVALID_ARGUMENT", "bus \"b s\"");
  ExpectError(Post("/api/v1/devices/b/can/can0/clear-dtcs", ""), 404, "NOT_FOUND", "no device b");
  OnLoop([this] { health_.set_store("disk full"); });
  ExpectError(Post(send, R"({"frames":["123#"]})"), 503, "UNAVAILABLE", "disk full");
  EXPECT_EQ(OpenCommands(), 0u);
  OnLoop([this] { EXPECT_EQ(taps_.count(), 0u); });
}

TEST_F(ApiCanTest, ADeviceThatIsOfflineIsNotTapped) {
  OnLoop([this] { fleet_->Say("a", v1::PRESENCE_OFFLINE); });
  ExpectError(Post(absl::StrCat(kBus, "/taps"), ""), 409, "FAILED_PRECONDITION", "offline (clean)");
}

TEST_F(ApiCanTest, ATapThatIsRefusedIsAnsweredWithItsReason) {
  auto answer = PostAsync(absl::StrCat(kBus, "/taps"), R"({"filters":["123"],"for_ms":600000,"by":"ann"})");
  Ack(GivenBy(answer), v1::COMMAND_STATE_REJECTED);
  const auto view = Read<v1::CommandView>(answer.get(), 201);
  EXPECT_EQ(view.state(), "rejected");
  EXPECT_EQ(view.summary(), "tap can0 123:7FF for 10m");
}

TEST_F(ApiCanTest, ATapIsAnsweredWhenItRunsAndStreamsUntilItsEnd) {
  const std::string tap = OpenTap();
  Arrive(tap, 1, FramesOf({"(1436509052.249713) can0 123#1122"}));
  HttpConnection stream(http_->port());
  stream.Send(HttpRequestText("GET", StreamOf(tap)));
  ASSERT_EQ(stream.ReadHead().status, 200);
  const auto [first, event] = Parse(stream.ReadEvent());
  EXPECT_EQ(first, "event: frames");
  EXPECT_THAT(event.frames(), ElementsAre("(1436509052.249713) can0 123#1122"));
  ExpectError(Get(StreamOf(tap)), 409, "FAILED_PRECONDITION", "has its reader already");

  Arrive(tap, 3, FramesOf({"(1436509052.250000) can0 124#"}));
  EXPECT_EQ(Parse(stream.ReadEvent()).second.lost(), 1);
  Ack(NewestCommand(), v1::COMMAND_STATE_DONE);
  const auto [last, end] = Parse(stream.ReadEvent());
  EXPECT_EQ(last, "event: end");
  EXPECT_EQ(end.end().state(), "done");
  EXPECT_EQ(end.end().command_id(), tap);
  EXPECT_EQ(stream.ReadEvent(), std::nullopt);
}

TEST_F(ApiCanTest, AReaderThatGoesTakesItsTapWithIt) {
  const std::string tap = OpenTap();
  {
    HttpConnection stream(http_->port());
    stream.Send(HttpRequestText("GET", StreamOf(tap)));
    ASSERT_EQ(stream.ReadHead().status, 200);
  }
  // The server sees it when it writes.
  for (uint32_t seq = 1; OpenCommands() < 2; ++seq) Arrive(tap, seq, ManyFrames(1));
  const auto cancel = GetOk<v1::CommandList>("/api/v1/commands?device=a&limit=1").commands(0);
  EXPECT_EQ(cancel.summary(), absl::StrCat("cancel command ", tap));
}

TEST_F(ApiCanTest, OnlyTapsHaveAStream) {
  ExpectError(Get(StreamOf("7")), 404, "NOT_FOUND", "no tap 7 is open");
  ExpectError(Get(StreamOf("x")), 400, "INVALID_ARGUMENT", "x is no command id");
  const auto send = Read<v1::CommandView>(Post(absl::StrCat(kBus, "/send"), R"({"frames":["123#"]})"), 201);
  ExpectError(Get(StreamOf(send.command_id())), 404, "NOT_FOUND", "no tap");
}

TEST_F(ApiCanTest, MoreTapsThanMayBeOpenAreRefused) {
  OnLoop([this] {
    for (size_t i = 0; i < TapStreams::kMaxTaps; ++i) {
      const auto id = fleet_->state.Submit("a", TapOf({}), {.ttl = absl::Seconds(5)}, clock_.Read(), fleet_->changes);
      taps_.Follow(*fleet_->state.commands().Find(*id), fleet_->device("a"));
    }
  });
  ExpectError(Post(absl::StrCat(kBus, "/taps"), ""), 429, "RESOURCE_EXHAUSTED", "32 taps are open");
}

}  // namespace
}  // namespace fleet::server
