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

TEST(Topics, SignalNamesHaveTwoOrMoreParts) {
  for (const char* good : {"engine/rpm", "a/b/c", "A-1/b_2.x"}) EXPECT_TRUE(IsSignalName(good)) << good;
  for (const char* bad : {"", "rpm", "/rpm", "engine/", "engine//rpm", "engine/r m", "engine/+", "engine/#"}) {
    EXPECT_FALSE(IsSignalName(bad)) << bad;
  }
  EXPECT_FALSE(IsSignalName("a/" + std::string(63, 'b')));
  EXPECT_EQ(SignalTopic(*DeviceId::Parse("pi-7"), "engine/rpm"), "rpi/pi-7/engine/rpm");
}

TEST(Topics, SignalsThatWouldBeTakenForOurOwnMessagesAreReserved) {
  for (const char* name :
       {"command/ack", "can/can0/rx", "modbus/x", "gateway/uptime", "security/x", "diagnostics/dtc"}) {
    EXPECT_TRUE(IsReservedSignal(name)) << name;
  }
  for (const char* name : {"canopen/x", "engine/can", "commands/x"}) EXPECT_FALSE(IsReservedSignal(name)) << name;
}

TEST(Topics, FramesOfABusAreParsedBack) {
  const DeviceId device = *DeviceId::Parse("pi-7");
  EXPECT_EQ(CanTxTopic(device, "can0"), "server/pi-7/can/can0/tx");
  const std::string rx = CanRxTopic(device, "can0");
  EXPECT_EQ(rx, "rpi/pi-7/can/can0/rx");
  const std::optional<ParsedCanTopic> parsed = ParseCanRxTopic(rx);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->device, "pi-7");
  EXPECT_EQ(parsed->bus, "can0");
  for (const char* text : {"rpi/pi-7/can/can0/tx", "rpi/pi-7/can//rx", "rpi/pi-7/can/can0/rx/x", "rpi/pi-7/can/can0",
                           "rpi//can/can0/rx", "rpi/pi-7/can/c n/rx", "rpi/pi-7/cant/can0/rx"}) {
    EXPECT_FALSE(ParseCanRxTopic(text)) << text;
  }
}

TEST(Topics, TheStateOfAGatewayIsParsedBack) {
  const std::string topic = GatewayStateTopic(*DeviceId::Parse("pi-7"));
  EXPECT_EQ(topic, "rpi/pi-7/gateway_state");
  EXPECT_EQ(ParseGatewayStateTopic(topic), "pi-7");
  for (const char* text : {"rpi//gateway_state", "rpi/gateway_state", "rpi/p 7/gateway_state",
                           "rpi/pi-7/gateway_states", "rpi/pi-7/x/gateway_state", "server/pi-7/gateway_state"}) {
    EXPECT_FALSE(ParseGatewayStateTopic(text)) << text;
  }
}

TEST(Topics, ModbusHasTopicsOfItsOwn) {
  const DeviceId device = *DeviceId::Parse("pi-7");
  EXPECT_EQ(ModbusRequestTopic(device), "server/pi-7/modbus/request");
  EXPECT_EQ(ModbusCommandTopic(device), "server/pi-7/modbus/command");
  EXPECT_EQ(ModbusResponseTopic(device), "rpi/pi-7/modbus/response");
}

}  // namespace
}  // namespace fleet
