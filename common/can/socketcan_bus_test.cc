#include "common/can/socketcan_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/can.h>
#include <linux/can/error.h>
#include <net/if.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/can/socketcan_frame.h"
#include "common/can/socketcan_socket.h"
#include "common/can/testing/read_until.h"
#include "common/can/testing/virtual_can.h"
#include "common/clock.h"

namespace fleet {
namespace {

using testing::HasSubstr;

canfd_frame Raw(uint32_t id, uint8_t bytes) {
  canfd_frame raw{};
  raw.can_id = id;
  raw.len = bytes;
  for (uint8_t i = 0; i < bytes && i < sizeof(raw.data); ++i) raw.data[i] = static_cast<uint8_t>(i + 1);
  return raw;
}

// There and back again: what the kernel gave is what it would be given.
void ExpectSame(const canfd_frame& raw, size_t bytes, const CanFrame& frame) {
  const std::optional<CanFrame> from = FromSocketCan(raw, bytes);
  ASSERT_TRUE(from.has_value());
  EXPECT_TRUE(*from == frame) << from->id << " " << int{from->flags} << " " << int{from->size};
  EXPECT_TRUE(CheckCanFrame(*from).ok());
  canfd_frame to;
  std::memset(&to, 0x55, sizeof(to));
  EXPECT_EQ(ToSocketCan(*from, to), bytes);
  EXPECT_EQ(std::memcmp(&to, &raw, bytes), 0);
}

TEST(SocketCanFrame, ClassicFramesKeepFormatIdAndData) {
  ExpectSame(Raw(0x123, 0), CAN_MTU, {.id = 0x123});
  ExpectSame(Raw(0x7FF, 8), CAN_MTU, {.id = 0x7FF, .size = 8, .data = {1, 2, 3, 4, 5, 6, 7, 8}});
  ExpectSame(Raw(0x123 | CAN_EFF_FLAG, 1), CAN_MTU, {.id = 0x123, .flags = kCanExtended, .size = 1, .data = {1}});
  ExpectSame(Raw(0x1FFFFFFF | CAN_EFF_FLAG, 0), CAN_MTU, {.id = 0x1FFFFFFF, .flags = kCanExtended});
}

TEST(SocketCanFrame, RemoteFramesHaveASizeAndNoData) {
  canfd_frame raw = Raw(0x123 | CAN_RTR_FLAG, 0);
  raw.len = 8;
  ExpectSame(raw, CAN_MTU, {.id = 0x123, .flags = kCanRemote, .size = 8});
}

TEST(SocketCanFrame, FdFramesKeepTheirFlagsAndAllTheirBytes) {
  canfd_frame raw = Raw(0x123, 64);
  CanFrame frame{.id = 0x123, .flags = kCanFd, .size = 64};
  for (uint8_t i = 0; i < 64; ++i) frame.data[i] = static_cast<uint8_t>(i + 1);
  ExpectSame(raw, CANFD_MTU, frame);
  raw.flags = CANFD_BRS;
  frame.flags = kCanFd | kCanBrs;
  ExpectSame(raw, CANFD_MTU, frame);
  raw.flags = CANFD_ESI;
  frame.flags = kCanFd | kCanEsi;
  ExpectSame(raw, CANFD_MTU, frame);
  raw.flags = CANFD_ESI | CANFD_FDF;  // what newer kernels add says nothing new
  EXPECT_TRUE(FromSocketCan(raw, CANFD_MTU) == frame);
}

TEST(SocketCanFrame, ErrorFramesHaveTheirClassAsId) {
  const std::optional<CanFrame> frame = FromSocketCan(Raw(CAN_ERR_FLAG | CAN_ERR_BUSOFF | CAN_ERR_CNT, 8), CAN_MTU);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->flags, kCanError);
  EXPECT_EQ(frame->id, uint32_t{CAN_ERR_BUSOFF | CAN_ERR_CNT});
  EXPECT_EQ(frame->size, 8);
}

TEST(SocketCanFrame, WhatCannotBeOnABusIsNoFrame) {
  EXPECT_FALSE(FromSocketCan(Raw(0x123, 9), CAN_MTU).has_value());
  EXPECT_FALSE(FromSocketCan(Raw(0x123, 9), CANFD_MTU).has_value()) << "vcan passes it on";
  EXPECT_FALSE(FromSocketCan(Raw(0x123, 255), CANFD_MTU).has_value());
  EXPECT_FALSE(FromSocketCan(Raw(0x800, 0), CAN_MTU).has_value()) << "not extended";
  EXPECT_FALSE(FromSocketCan(Raw(0x123 | CAN_RTR_FLAG, 0), CANFD_MTU).has_value());
  for (const size_t bytes : {0, 1, 15, 17, 71, 73, 2060}) EXPECT_FALSE(FromSocketCan(Raw(0x123, 1), bytes).has_value());
}

TEST(SocketCanFrame, ErrorFramesTellWhatBecameOfTheController) {
  const auto news = [](uint32_t error, uint8_t second_byte) {
    return ReadSocketCanError({.id = error, .flags = kCanError, .size = 8, .data = {0, second_byte}});
  };
  EXPECT_TRUE(news(CAN_ERR_BUSOFF, 0).bus_off);
  EXPECT_FALSE(news(CAN_ERR_BUSOFF, 0).restarted);
  EXPECT_TRUE(news(CAN_ERR_RESTARTED, 0).restarted);
  EXPECT_TRUE(news(CAN_ERR_CRTL, CAN_ERR_CRTL_RX_OVERFLOW).lost);
  EXPECT_FALSE(news(CAN_ERR_CRTL, CAN_ERR_CRTL_RX_WARNING).lost);
  EXPECT_FALSE(news(CAN_ERR_PROT, CAN_ERR_CRTL_RX_OVERFLOW).lost) << "another class, another meaning";
}

std::unique_ptr<CanBus> Open(const std::string& interface) {
  return OpenSocketCanBus({.interface = interface}).value();
}

TEST(SocketCan, RefusesNamesThatNoInterfaceHas) {
  for (const char* name : {"", "a/b", "../can0", "can 0", "sixteen-letters-", "can0:1", ".."}) {
    EXPECT_EQ(OpenSocketCanBus({.interface = name}).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_TRUE(OpenSocketCanBus({.interface = "fifteen-letters"}).ok());
}

TEST(SocketCan, AMissingInterfaceIsAStateThatIsLookedAtAgain) {
  const std::unique_ptr<CanBus> bus = Open("nothere0");
  EXPECT_NE(bus->report().problem, "") << "before anybody has looked";
  std::vector<CanFrame> frames;
  const MonoTime before = SystemClock().Read().mono;
  bus->Read(absl::Milliseconds(600), frames);  // one look more than the first
  EXPECT_GE(SystemClock().Read().mono - before, absl::Milliseconds(600)) << "it waits";
  EXPECT_FALSE(bus->report().up);
  EXPECT_THAT(bus->report().problem, HasSubstr("nothere0 does not exist"));
  EXPECT_EQ(bus->Write({.id = 0x123}).code(), absl::StatusCode::kUnavailable);
}

TEST(SocketCan, AnInterfaceThatIsNotCanIsTold) {
  const std::unique_ptr<CanBus> bus = Open("lo");
  std::vector<CanFrame> frames;
  bus->Read(absl::ZeroDuration(), frames);
  EXPECT_FALSE(bus->report().up);
  EXPECT_THAT(bus->report().problem, testing::AnyOf(HasSubstr("lo is no CAN interface"), HasSubstr("lo: this kernel")));
}

TEST(SocketCan, WakeEndsARead) {
  const std::unique_ptr<CanBus> bus = Open("nothere0");
  bus->Wake();
  std::vector<CanFrame> frames;
  const MonoTime before = SystemClock().Read().mono;
  bus->Read(absl::InfiniteDuration(), frames);
  EXPECT_LT(SystemClock().Read().mono - before, absl::Seconds(20));
}

TEST(SocketCan, ListenOnlyRefusesToSend) {
  const std::unique_ptr<CanBus> bus = OpenSocketCanBus({.interface = "nothere0", .listen_only = true}).value();
  EXPECT_EQ(bus->Write({.id = 0x123}).code(), absl::StatusCode::kFailedPrecondition);
}

// An interface of the kernel with a bus on it that is up, and another node.
class SocketCanOnVcan : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<VirtualCan>> made = VirtualCan::Make(VirtualCan::kFdMtu);
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    can_ = *std::move(made);
    bus_ = Open(can_->name());
    node_ = OpenSocketCan(if_nametoindex(can_->name().c_str())).value();
    ASSERT_TRUE(ReadUntil(*bus_, frames_, [this] { return bus_->report().up; })) << bus_->report().problem;
  }
  void TearDown() override {
    if (node_ >= 0) close(node_);
  }
  // As the kernel takes it from the other node, also what is no valid frame.
  bool Say(const canfd_frame& raw, size_t bytes = CAN_MTU) { return write(node_, &raw, bytes) > 0; }
  bool HasFrames(size_t count) {
    return ReadUntil(*bus_, frames_, [&] { return frames_.size() >= count; });
  }

  std::unique_ptr<VirtualCan> can_;
  std::unique_ptr<CanBus> bus_;
  int node_ = -1;
  std::vector<CanFrame> frames_;
};

// Linux begins to stamp a moment after the first socket asked for it; until then frames have the time of reading.
TEST_F(SocketCanOnVcan, FramesHaveTheTimeAtWhichTheKernelGotThem) {
  const auto now_us = [] { return absl::ToUnixMicros(SystemClock().Read().wall); };
  bool stamped = false;
  for (int tries = 0; tries < 1000 && !stamped; ++tries) {
    frames_.clear();
    const int64_t before = now_us();
    ASSERT_TRUE(Say(Raw(0x123, 0)));
    const int64_t after = now_us();
    ASSERT_TRUE(HasFrames(1));
    EXPECT_GE(frames_[0].at_unix_us, before);
    stamped = frames_[0].at_unix_us <= after;
  }
  EXPECT_TRUE(stamped) << "they have the time at which they were read";
}

TEST_F(SocketCanOnVcan, WhatIsNoFrameIsCountedAndPassedBy) {
  ASSERT_TRUE(Say(Raw(0x123, 9), CANFD_MTU));
  ASSERT_TRUE(Say(Raw(0x800, 0)));
  ASSERT_TRUE(Say(Raw(0x123, 1)));
  ASSERT_TRUE(HasFrames(1));
  EXPECT_TRUE(frames_[0] == (CanFrame{.id = 0x123, .size = 1, .data = {1}}));
  EXPECT_EQ(bus_->report().malformed, 2u);
}

TEST_F(SocketCanOnVcan, FramesThatFoundNoRoomAreCounted) {
  constexpr size_t kSaid = 40'000;  // 4 MiB, doubled, are some 10 000
  for (size_t i = 0; i < kSaid; ++i) ASSERT_TRUE(Say(Raw(0x123, 8)));
  bus_->Read(absl::ZeroDuration(), frames_);
  ASSERT_TRUE(Say(Raw(0x7FF, 0)));  // the count comes with the next frame
  ASSERT_TRUE(ReadUntil(*bus_, frames_, [this] { return frames_.back().id == 0x7FF; }));
  EXPECT_GT(bus_->report().lost, 0u);
  EXPECT_EQ(frames_.size() + bus_->report().lost, kSaid + 1);
}

TEST_F(SocketCanOnVcan, BusOffIsADownBusUntilTheControllerIsRestarted) {
  ASSERT_TRUE(Say(Raw(CAN_ERR_FLAG | CAN_ERR_BUSOFF, 8)));
  ASSERT_TRUE(HasFrames(1));
  EXPECT_EQ(frames_[0].flags, kCanError);
  EXPECT_EQ(bus_->report().bus_off, 1u);
  EXPECT_EQ(bus_->report().error_frames, 1u);
  EXPECT_FALSE(bus_->report().up);
  EXPECT_THAT(bus_->report().problem, HasSubstr("restart-ms"));
  EXPECT_EQ(bus_->Write({.id = 0x123}).code(), absl::StatusCode::kUnavailable) << "the kernel would drop it";
  ASSERT_TRUE(Say(Raw(CAN_ERR_FLAG | CAN_ERR_RESTARTED, 8)));
  ASSERT_TRUE(HasFrames(2));
  EXPECT_TRUE(bus_->report().up);
  EXPECT_TRUE(bus_->Write({.id = 0x123}).ok());
}

// A virtual interface keeps its carrier, as one does that came back and said nothing.
TEST_F(SocketCanOnVcan, ACarrierEndsBusOffToo) {
  ASSERT_TRUE(Say(Raw(CAN_ERR_FLAG | CAN_ERR_BUSOFF, 8)));
  ASSERT_TRUE(HasFrames(1));
  EXPECT_FALSE(bus_->report().up);
  EXPECT_TRUE(ReadUntil(*bus_, frames_, [this] { return bus_->report().up; }));
}

TEST_F(SocketCanOnVcan, WhatWasHeardBeforeTheInterfaceIsRemovedIsNotLost) {
  constexpr size_t kSaid = 2 * CanBus::kMaxRead;
  for (size_t i = 0; i < kSaid; ++i) ASSERT_TRUE(Say(Raw(0x123, 8)));
  ASSERT_TRUE(can_->Remove());
  ASSERT_TRUE(HasFrames(kSaid)) << frames_.size();
  EXPECT_FALSE(bus_->report().up);
  EXPECT_EQ(bus_->Write({.id = 0x123}).code(), absl::StatusCode::kUnavailable);
}

TEST_F(SocketCanOnVcan, WriteNoticesThatTheInterfaceIsDown) {
  ASSERT_TRUE(can_->Down());
  EXPECT_EQ(bus_->Write({.id = 0x123}).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(bus_->report().up);
  ASSERT_TRUE(can_->Up());
  EXPECT_TRUE(ReadUntil(*bus_, frames_, [this] { return bus_->report().up; }));
}

}  // namespace
}  // namespace fleet
