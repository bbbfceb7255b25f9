#include "common/codec.h"

#include <gtest/gtest.h>

#include <string>

#include "fleet/v1/to_server.pb.h"

namespace fleet {
namespace {

TEST(Decode, ReadsWhatWasWritten) {
  v1::Heartbeat sent, received;
  sent.set_epoch(3);
  sent.set_seq(7);
  received.set_epoch(99);
  ASSERT_TRUE(Decode(sent.SerializeAsString(), received).ok());
  EXPECT_EQ(received.epoch(), 3u);
  EXPECT_EQ(received.seq(), 7u);
}

TEST(Decode, RefusesTooManyBytesBeforeItLooksAtThem) {
  v1::Heartbeat message;
  EXPECT_EQ(Decode(std::string(kMaxPayloadBytes + 1, '\0'), message).code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(CheckSize(std::string(kMaxPayloadBytes, '\0')).ok());
}

TEST(Decode, RefusesBytesThatAreNoSuchMessage) {
  v1::Heartbeat message;
  message.set_epoch(3);
  message.set_seq(1'000'000);
  const std::string bytes = message.SerializeAsString();
  EXPECT_EQ(Decode(bytes.substr(0, bytes.size() - 1), message).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Decode("\xff\xff\xff\xff", message).code(), absl::StatusCode::kDataLoss);
}

TEST(Decode, RefusesALaterProtocolAndTakesOurOwn) {
  v1::Heartbeat message;
  message.set_protocol(kProtocolVersion + 1);
  const absl::Status later = Decode(message.SerializeAsString(), message);
  EXPECT_EQ(later.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(later.message().find("2"), absl::string_view::npos);
  message.set_protocol(kProtocolVersion);
  EXPECT_TRUE(Decode(message.SerializeAsString(), message).ok());
  EXPECT_TRUE(Decode("", message).ok());  // absent means the first
}

}  // namespace
}  // namespace fleet
