#include "tools/fleetctl/payload_text.h"

#include <gtest/gtest.h>

#include "fleet/v1/to_server.pb.h"

namespace fleet {
namespace {

TEST(PayloadText, DecodesByTheTopic) {
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(4);
  heartbeat.set_seq(12);
  EXPECT_EQ(DecodePayload("rpi/pi-1/heartbeat", heartbeat.SerializeAsString()), "Heartbeat {epoch: 4 seq: 12}");
  v1::EventBatch batch;
  batch.add_events()->set_kind(v1::EVENT_KIND_STARTED);
  EXPECT_EQ(DecodePayload("rpi/pi-1/event", batch.SerializeAsString()),
            "EventBatch {events { kind: EVENT_KIND_STARTED }}");
  v1::CanBatch frames;
  frames.set_tap(17);
  EXPECT_EQ(DecodePayload("rpi/pi-1/can/can0/rx", frames.SerializeAsString()), "CanBatch {tap: 17}");
}

TEST(PayloadText, WhatIsNoMessageOrHasNoTopicIsNotDecoded) {
  EXPECT_EQ(DecodePayload("rpi/pi-1/heartbeat", "hello"), std::nullopt);
  EXPECT_EQ(DecodePayload("rpi/pi-1/heartbeat", ""), std::nullopt);
  EXPECT_EQ(DecodePayload("rpi/pi-1/nonsense", "\x08\x04"), std::nullopt);
  EXPECT_EQ(DecodePayload("", "\x08\x04"), std::nullopt);
}

TEST(PayloadText, DumpsBytesAndWhatOfThemIsText) {
  EXPECT_EQ(HexDump("hello\n", 64), "    0000  68 65 6c 6c 6f 0a                                |hello.|\n");
  EXPECT_EQ(HexDump(std::string("\x00\xff", 2) + std::string(16, 'a'), 64),
            "    0000  00 ff 61 61 61 61 61 61 61 61 61 61 61 61 61 61  |..aaaaaaaaaaaaaa|\n"
            "    0010  61 61                                            |aa|\n");
  EXPECT_EQ(HexDump("", 64), "");
}

TEST(PayloadText, SaysHowManyBytesItLeftOut) {
  EXPECT_EQ(HexDump("abcdef", 2),
            "    0000  61 62                                            |ab|\n"
            "    ... 4 more; see --raw\n");
}

}  // namespace
}  // namespace fleet
