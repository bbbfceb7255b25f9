#include "common/can/open_can_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/testing/temp_dir.h"

namespace fleet {
namespace {

using testing::HasSubstr;

absl::Status Refusal(const std::string& interface, uint32_t bitrate = 500'000) {
  return OpenCanBus({.interface = interface, .bitrate = bitrate}).status();
}

TEST(OpenCanBus, KnowsEveryKindOfInterface) {
  const TempDir dir;
  const std::string log = dir.Write("drive.log", "(1436509052.249713) can0 123#1122\n");
  for (const std::string& interface : {std::string("socketcan:can0"), std::string("slcan:/dev/ttyACM0"),
                                       "replay:" + log, std::string("slcan-pty"), "slcan-pty:" + dir.path() + "/tty"}) {
    const absl::StatusOr<std::unique_ptr<CanBus>> bus = OpenCanBus({.interface = interface});
    EXPECT_TRUE(bus.ok()) << interface << ": " << bus.status();
  }
}

TEST(OpenCanBus, HardwareThatIsNotThereIsAStateAndNoError) {
  for (const char* interface : {"socketcan:nothere0", "slcan:/dev/nothere0"}) {
    const absl::StatusOr<std::unique_ptr<CanBus>> bus = OpenCanBus({.interface = interface});
    ASSERT_TRUE(bus.ok()) << bus.status();
    std::vector<CanFrame> frames;
    (*bus)->Read(absl::ZeroDuration(), frames);
    EXPECT_FALSE((*bus)->report().up);
    EXPECT_THAT((*bus)->report().problem, HasSubstr("nothere0"));
  }
}

TEST(OpenCanBus, RefusesWhatItDoesNotKnowAndSaysWhatWasMeant) {
  EXPECT_EQ(Refusal("sockectan:can0").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Refusal("sockectan:can0").message()), HasSubstr("did you mean socketcan?"));
  EXPECT_THAT(std::string(Refusal("can0").message()), HasSubstr("socketcan:NAME"));
  EXPECT_EQ(Refusal("").code(), absl::StatusCode::kInvalidArgument);
  for (const char* interface : {"socketcan:", "socketcan", "slcan:", "slcan", "replay:", "replay", ":can0"}) {
    EXPECT_EQ(Refusal(interface).code(), absl::StatusCode::kInvalidArgument) << interface;
  }
}

TEST(OpenCanBus, PassesOnWhatTheKindRefuses) {
  EXPECT_EQ(Refusal("slcan:/dev/ttyACM0", 83'333).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal("socketcan:a-name-that-is-too-long").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal("replay:/nowhere/drive.log").code(), absl::StatusCode::kNotFound);
}

TEST(OpenCanBus, ListenOnlyRefusesToSendOnEveryBus) {
  for (const char* interface : {"socketcan:nothere0", "slcan:/dev/nothere0", "slcan-pty"}) {
    const absl::StatusOr<std::unique_ptr<CanBus>> bus = OpenCanBus({.interface = interface, .listen_only = true});
    ASSERT_TRUE(bus.ok()) << bus.status();
    EXPECT_EQ((*bus)->Write({.id = 0x123}).code(), absl::StatusCode::kFailedPrecondition) << interface;
  }
}

}  // namespace
}  // namespace fleet
