#include "server/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/testing/temp_dir.h"
#include "fleet/v1/to_device.pb.h"
#include "server/testing/can_messages.h"
#include "server/testing/modbus_messages.h"
#include "server/testing/sample_rows.h"

namespace fleet::server {
namespace {

using ::testing::HasSubstr;

constexpr char kKeyHex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

Dispatcher OpenOrDie(const std::string& key_dir) {
  auto dispatcher = Dispatcher::Open(key_dir);
  EXPECT_TRUE(dispatcher.ok()) << dispatcher.status();
  return *std::move(dispatcher);
}

v1::CommandFrame FrameOf(const Publication& publication) {
  v1::CommandFrame frame;
  EXPECT_TRUE(frame.ParseFromString(publication.payload));
  return frame;
}

TEST(Dispatcher, TheFrameHoldsTheCommandAndGoesToItsDevice) {
  const CommandRow row = SampleCommand(1'000'000, 1, 1'760'000'000'123);
  const Publication publication = OpenOrDie("").Frame(*DeviceId::Parse("rpi-1"), row);
  EXPECT_EQ(publication.topic, "server/rpi-1/segment");
  EXPECT_EQ(publication.qos, 1);
  EXPECT_FALSE(publication.retain) << "a retained command would run again after every restart";
  v1::Command command;
  ASSERT_TRUE(command.ParseFromString(FrameOf(publication).command()));
  EXPECT_EQ(command.id(), 1'000'000u);
  EXPECT_EQ(command.issued_unix_ms(), 1'760'000'000'123u);
  EXPECT_EQ(command.ttl_ms(), 5000u);
  EXPECT_EQ(command.protocol(), 0u);
  EXPECT_EQ(command.segment().SerializeAsString(), std::get<v1::Segment>(row.body).SerializeAsString());
}

TEST(Dispatcher, ACancelGoesToATopicOfItsOwn) {
  CommandRow row = SampleCommand(7, 1);
  row.body = v1::Cancel();
  std::get<v1::Cancel>(row.body).set_stop(true);
  const Publication publication = OpenOrDie("").Frame(*DeviceId::Parse("rpi-1"), row);
  EXPECT_EQ(publication.topic, "server/rpi-1/cancel");
  v1::Command command;
  ASSERT_TRUE(command.ParseFromString(FrameOf(publication).command()));
  EXPECT_TRUE(command.cancel().stop());
  EXPECT_FALSE(command.has_segment());
}

TEST(Dispatcher, OrdersToABusGoToItsOwnTopic) {
  CommandRow row = SampleCommand(7, 1);
  const auto sent = [&row](const CommandBody& body) {
    row.body = body;
    const Publication publication = OpenOrDie("").Frame(*DeviceId::Parse("rpi-1"), row);
    EXPECT_EQ(publication.topic, "server/rpi-1/can/can0/tx");
    EXPECT_EQ(publication.qos, 1);
    v1::Command command;
    EXPECT_TRUE(command.ParseFromString(FrameOf(publication).command()));
    return command;
  };
  EXPECT_EQ(sent(SendOf({"123#1122"})).can_send().frames().data(), "\x11\x22");
  EXPECT_EQ(sent(TapOf({"123:7FF"})).can_tap().filters(0).mask(), 0x7FFu);
  EXPECT_EQ(sent(ClearOf()).clear_dtcs().bus(), "can0");
}

TEST(Dispatcher, ACallOfAUnitGoesToTheTopicOfSignedRequests) {
  CommandRow row = SampleCommand(7, 1);
  row.body = CallOf(kModbusWrite, "ann@desk");
  const Publication publication = OpenOrDie("").Frame(*DeviceId::Parse("rpi-1"), row);
  EXPECT_EQ(publication.topic, "server/rpi-1/modbus/command");
  EXPECT_EQ(publication.qos, 1);
  v1::Command command;
  ASSERT_TRUE(command.ParseFromString(FrameOf(publication).command()));
  EXPECT_EQ(command.modbus().request(), kModbusWrite);
  EXPECT_EQ(command.modbus().by(), "ann@desk");
}

TEST(Dispatcher, SentAgainTheBytesAreTheSame) {
  const TempDir dir;
  dir.Write("rpi-1.key", kKeyHex);
  const Dispatcher dispatcher = OpenOrDie(dir.path());
  const CommandRow row = SampleCommand(7, 1);
  const std::string once = dispatcher.Frame(*DeviceId::Parse("rpi-1"), row).payload;
  EXPECT_EQ(dispatcher.Frame(*DeviceId::Parse("rpi-1"), row).payload, once);
}

TEST(Dispatcher, SignsTheBytesAsSentWithTheKeyOfTheDevice) {
  const TempDir dir;
  dir.Write("rpi-1.key", std::string(kKeyHex) + "\n");
  dir.Write("notes.txt", "no key");
  const Dispatcher dispatcher = OpenOrDie(dir.path());
  EXPECT_EQ(dispatcher.key_count(), 1u);
  const v1::CommandFrame frame = FrameOf(dispatcher.Frame(*DeviceId::Parse("rpi-1"), SampleCommand(7, 1)));
  EXPECT_EQ(frame.tag().size(), CommandKey::kTagBytes);
  EXPECT_TRUE(CommandKey::FromHex(kKeyHex)->Verify(frame.command(), frame.tag()));
}

TEST(Dispatcher, DoesNotSignForADeviceWithoutAKey) {
  const TempDir dir;
  dir.Write("rpi-1.key", kKeyHex);
  EXPECT_EQ(FrameOf(OpenOrDie(dir.path()).Frame(*DeviceId::Parse("rpi-2"), SampleCommand(7, 1))).tag(), "");
  EXPECT_EQ(FrameOf(OpenOrDie("").Frame(*DeviceId::Parse("rpi-1"), SampleCommand(7, 1))).tag(), "");
}

TEST(Dispatcher, ASignedSegmentIsAtMost64Bytes) {
  const TempDir dir;
  dir.Write("rpi-1.key", kKeyHex);
  CommandRow row = SampleCommand((1 << 28) - 1, 1, 1'760'000'000'000);
  auto& segment = std::get<v1::Segment>(row.body);
  segment.set_start_x_mm(-8000);
  segment.set_start_y_mm(8000);
  segment.set_end_x_mm(8000);
  segment.set_end_y_mm(-8000);
  segment.set_start_speed_mm_s(500);
  segment.set_end_speed_mm_s(300);
  EXPECT_LE(OpenOrDie(dir.path()).Frame(*DeviceId::Parse("rpi-1"), row).payload.size(), 64u);
}

TEST(Dispatcher, AFileThatHoldsNoKeyIsRefusedByName) {
  const TempDir dir;
  dir.Write("rpi-1.key", "not hex");
  const absl::Status status = Dispatcher::Open(dir.path()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("rpi-1.key"));
}

TEST(Dispatcher, ADirectoryThatIsNotThereIsNamedWithItsKey) {
  const TempDir dir;
  const absl::Status status = Dispatcher::Open(dir.File("none")).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("commands.key_dir"));
}

}  // namespace
}  // namespace fleet::server
