#include "common/topics.h"

#include <gtest/gtest.h>

#include <string>

namespace fleet {
namespace {

TEST(Topics, EachTopicOfADeviceIsParsedBackFromItsName) {
  const DeviceId device = *DeviceId::Parse("pi-7");
  for (const DeviceTopic topic :
       {DeviceTopic::kHeartbeat, DeviceTopic::kState, DeviceTopic::kStatus, DeviceTopic::kCommandAck}) {
    const std::string name = TopicOf(device, topic);
    const std::optional<ParsedDeviceTopic> parsed = ParseDeviceTopic(name);
    ASSERT_TRUE(parsed) << name;
    EXPECT_EQ(parsed->device, "pi-7");
    EXPECT_EQ(parsed->topic, topic);
  }
}

TEST(Topics, NamesAreThoseOfTheProtocol) {
  const DeviceId device = *DeviceId::Parse("pi-7");
  EXPECT_EQ(TopicOf(device, DeviceTopic::kHeartbeat), "rpi/pi-7/heartbeat");
  EXPECT_EQ(TopicOf(device, DeviceTopic::kState), "rpi/pi-7/state");
  EXPECT_EQ(TopicOf(device, DeviceTopic::kStatus), "rpi/pi-7/status");
  EXPECT_EQ(TopicOf(device, DeviceTopic::kCommandAck), "rpi/pi-7/command/ack");
  EXPECT_EQ(SegmentTopic(device), "server/pi-7/segment");
}

TEST(Topics, WhatIsNotOfADeviceIsNotParsed) {
  for (const char* text :
       {"", "rpi", "rpi/", "rpi//state", "rpi/pi-7", "rpi/pi-7/", "rpi/pi-7/states", "rpi/pi-7/state/x",
        "rpi/pi 7/state", "rpi/pi-7/command", "server/pi-7/segment", "xrpi/pi-7/state"}) {
    EXPECT_FALSE(ParseDeviceTopic(text)) << text;
  }
  EXPECT_FALSE(ParseDeviceTopic("rpi/" + std::string(65, 'x') + "/state"));
}

}  // namespace
}  // namespace fleet
