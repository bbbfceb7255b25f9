#include "server/ingest.h"

#include <gtest/gtest.h>

#include <string>

#include "common/codec.h"

namespace fleet::server {
namespace {

v1::Heartbeat GoodHeartbeat() {
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(3);
  heartbeat.set_seq(9);
  heartbeat.set_sent_unix_ms(1'760'000'000'000);
  return heartbeat;
}
v1::StateReport GoodReport() {
  v1::StateReport report;
  report.set_epoch(3);
  report.set_seq(4);
  report.add_entities()->set_entity_id(1);
  return report;
}
v1::Status GoodStatus() {
  v1::Status status;
  status.set_epoch(3);
  status.set_presence(v1::PRESENCE_ONLINE);
  return status;
}
v1::CommandReport GoodCommandReport() {
  v1::CommandReport report;
  report.set_epoch(3);
  v1::CommandUpdate& update = *report.add_updates();
  update.set_command_id(1);
  update.set_state(v1::COMMAND_STATE_RECEIVED);
  return report;
}

class IngestTest : public testing::Test {
 protected:
  absl::StatusOr<Event> Read(absl::string_view topic, const google::protobuf::Message& message) {
    payload_ = message.SerializeAsString();
    return ingest_.Read(topic, payload_);
  }
  uint64_t rejected(RejectReason reason) const { return ingest_.counters().rejected[static_cast<size_t>(reason)]; }

  // The message is refused for `reason`, with this code, and counted once and nowhere else.
  void ExpectRejected(const absl::StatusOr<Event>& event, absl::StatusCode code, RejectReason reason) {
    EXPECT_EQ(event.status().code(), code) << event.status();
    uint64_t sum = 0;
    for (uint64_t count : ingest_.counters().rejected) sum += count;
    EXPECT_EQ(rejected(reason), ++expected_[static_cast<size_t>(reason)]);
    EXPECT_EQ(sum, ++expected_sum_);
  }
  void ExpectMeaningless(absl::string_view topic, const google::protobuf::Message& message) {
    SCOPED_TRACE(message.ShortDebugString().substr(0, 200));
    ExpectRejected(Read(topic, message), absl::StatusCode::kInvalidArgument, RejectReason::kMeaning);
  }

  std::string payload_;
  Ingest ingest_;
  uint64_t expected_[5] = {};
  uint64_t expected_sum_ = 0;
};

TEST_F(IngestTest, UnderstandsEachTopic) {
  const auto heartbeat = Read("rpi/a17/heartbeat", GoodHeartbeat());
  ASSERT_TRUE(heartbeat.ok());
  EXPECT_EQ(std::get<HeartbeatEvent>(*heartbeat).device, "a17");
  EXPECT_EQ(std::get<HeartbeatEvent>(*heartbeat).heartbeat->seq(), 9u);

  const auto state = Read("rpi/a17/state", GoodReport());
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(std::get<StateEvent>(*state).report->entities_size(), 1);
  EXPECT_EQ(std::get<StateEvent>(*state).bytes, absl::string_view(payload_));

  const auto status = Read("rpi/a17/status", GoodStatus());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(std::get<StatusEvent>(*status).status->presence(), v1::PRESENCE_ONLINE);

  const auto ack = Read("rpi/a17/command/ack", GoodCommandReport());
  ASSERT_TRUE(ack.ok());
  EXPECT_EQ(std::get<CommandReportEvent>(*ack).report->updates_size(), 1);

  EXPECT_EQ(ingest_.counters().accepted, 4u);
}

TEST_F(IngestTest, NothingOfAnEarlierMessageRemains) {
  v1::StateReport first = GoodReport();
  first.add_entities()->set_entity_id(2);
  ASSERT_TRUE(Read("rpi/a17/state", first).ok());
  const auto second = Read("rpi/a17/state", GoodReport());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(std::get<StateEvent>(*second).report->entities_size(), 1);
}

TEST_F(IngestTest, SixtyFourKibibytesAreTheMostThatIsLookedAt) {
  const std::string most(kMaxPayloadBytes, '\xff');
  ExpectRejected(ingest_.Read("rpi/a17/state", most), absl::StatusCode::kDataLoss, RejectReason::kParse);
  ExpectRejected(ingest_.Read("rpi/a17/state", most + "\xff"), absl::StatusCode::kOutOfRange, RejectReason::kOversized);
  ExpectRejected(ingest_.Read("no/topic/of/ours", most + "\xff"), absl::StatusCode::kOutOfRange,
                 RejectReason::kOversized);
}

TEST_F(IngestTest, ForeignTopicsAreRefused) {
  const std::string long_id(65, 'a');
  for (const std::string& topic :
       {std::string(), std::string("rpi"), std::string("rpi/"), std::string("rpi/a17"), std::string("rpi/a17/"),
        std::string("rpi//heartbeat"), std::string("rpi/a17/heartbeats"), std::string("rpi/a17/heartbeat/"),
        std::string("rpi/a17/command"), std::string("rpi/a/b/heartbeat"), std::string("xpi/a17/heartbeat"),
        std::string("server/a17/segment"), "rpi/" + long_id + "/heartbeat", std::string("rpi/a 17/heartbeat"),
        std::string("rpi/a+/heartbeat"), std::string("rpi/\xc3\xa4/heartbeat"),
        std::string("rpi/a\0b/heartbeat", 17)}) {
    SCOPED_TRACE(topic);
    ExpectRejected(Read(topic, GoodHeartbeat()), absl::StatusCode::kNotFound, RejectReason::kTopic);
  }
}

TEST_F(IngestTest, LongestAndOddestAllowedIdsPass) {
  EXPECT_TRUE(Read("rpi/" + std::string(64, 'z') + "/heartbeat", GoodHeartbeat()).ok());
  EXPECT_TRUE(Read("rpi/A-9._x/heartbeat", GoodHeartbeat()).ok());
}

TEST_F(IngestTest, TruncatedMessagesDoNotParse) {
  const std::string whole = GoodHeartbeat().SerializeAsString();
  ExpectRejected(ingest_.Read("rpi/a17/heartbeat", absl::string_view(whole).substr(0, whole.size() - 1)),
                 absl::StatusCode::kDataLoss, RejectReason::kParse);
}

TEST_F(IngestTest, OtherProtocolVersionsAreRefused) {
  v1::Heartbeat heartbeat = GoodHeartbeat();
  heartbeat.set_protocol(kProtocolVersion);
  EXPECT_TRUE(Read("rpi/a17/heartbeat", heartbeat).ok());
  heartbeat.set_protocol(kProtocolVersion + 1);
  ExpectRejected(Read("rpi/a17/heartbeat", heartbeat), absl::StatusCode::kUnimplemented, RejectReason::kVersion);
  heartbeat.set_epoch(0);  // the version is looked at before the meaning
  ExpectRejected(Read("rpi/a17/heartbeat", heartbeat), absl::StatusCode::kUnimplemented, RejectReason::kVersion);
}

TEST_F(IngestTest, EmptyPayloadParsesAndMeansNothing) {
  for (const char* topic : {"rpi/a17/heartbeat", "rpi/a17/state", "rpi/a17/status", "rpi/a17/command/ack"}) {
    ExpectRejected(ingest_.Read(topic, ""), absl::StatusCode::kInvalidArgument, RejectReason::kMeaning);
  }
}

TEST_F(IngestTest, NumbersStartAtOneAndTheLastIsKeptFree) {
  for (auto [epoch, seq] : {std::pair{0u, 1u}, {1u, 0u}, {1u, UINT32_MAX}}) {
    v1::Heartbeat heartbeat = GoodHeartbeat();
    heartbeat.set_epoch(epoch);
    heartbeat.set_seq(seq);
    ExpectMeaningless("rpi/a17/heartbeat", heartbeat);
    v1::StateReport report = GoodReport();
    report.set_epoch(epoch);
    report.set_seq(seq);
    ExpectMeaningless("rpi/a17/state", report);
  }
  v1::Heartbeat last = GoodHeartbeat();
  last.set_seq(UINT32_MAX - 1);
  EXPECT_TRUE(Read("rpi/a17/heartbeat", last).ok());
  v1::Status status = GoodStatus();
  status.set_epoch(0);
  ExpectMeaningless("rpi/a17/status", status);
  v1::CommandReport report = GoodCommandReport();
  report.set_epoch(0);
  ExpectMeaningless("rpi/a17/command/ack", report);
}

TEST_F(IngestTest, EntitiesAreBounded) {
  v1::StateReport report = GoodReport();
  while (report.entities_size() < kMaxEntitiesPerDevice) report.add_entities()->set_entity_id(1);
  EXPECT_TRUE(Read("rpi/a17/state", report).ok());
  report.add_entities();
  ExpectMeaningless("rpi/a17/state", report);
}

TEST_F(IngestTest, StatusMustSayAKnownPresenceAndLittleElse) {
  v1::Status status = GoodStatus();
  status.set_presence(v1::PRESENCE_UNSPECIFIED);
  ExpectMeaningless("rpi/a17/status", status);
  status.set_presence(static_cast<v1::Presence>(77));
  ExpectMeaningless("rpi/a17/status", status);
  status = GoodStatus();
  status.set_version(std::string(64, 'v'));
  EXPECT_TRUE(Read("rpi/a17/status", status).ok());
  status.set_version(std::string(65, 'v'));
  ExpectMeaningless("rpi/a17/status", status);
  status = GoodStatus();
  for (int i = 0; i <= kMaxEntitiesPerDevice; ++i) status.add_entity_ids(i);
  ExpectMeaningless("rpi/a17/status", status);
}

TEST_F(IngestTest, OnlyStatesThatADeviceMaySayAreTaken) {
  for (int state : {0, 1, 2, 99, -1}) {
    v1::CommandReport report = GoodCommandReport();
    report.mutable_updates(0)->set_state(static_cast<v1::CommandState>(state));
    ExpectMeaningless("rpi/a17/command/ack", report);
  }
  v1::CommandReport no_id = GoodCommandReport();
  no_id.mutable_updates(0)->set_command_id(0);
  ExpectMeaningless("rpi/a17/command/ack", no_id);
}

TEST_F(IngestTest, CommandUpdatesAndTheirTextsAreBounded) {
  v1::CommandReport report = GoodCommandReport();
  report.mutable_updates(0)->set_reason(std::string(65, 'r'));
  ExpectMeaningless("rpi/a17/command/ack", report);
  report = GoodCommandReport();
  report.mutable_updates(0)->set_detail(std::string(1025, 'd'));
  ExpectMeaningless("rpi/a17/command/ack", report);
  report = GoodCommandReport();
  while (report.updates_size() < kMaxUpdatesPerReport) *report.add_updates() = report.updates(0);
  EXPECT_TRUE(Read("rpi/a17/command/ack", report).ok());
  *report.add_updates() = report.updates(0);
  ExpectMeaningless("rpi/a17/command/ack", report);
}

TEST_F(IngestTest, TheStateOfAGatewayIsTakenAndLeftToOthers) {
  for (const std::string& payload : {std::string(R"({"type":"gateway_state"})"), std::string("\xff"), std::string(),
                                     std::string(kMaxPayloadBytes + 1, 'x')}) {
    const auto event = ingest_.Read("rpi/a17/gateway_state", payload);
    ASSERT_TRUE(event.ok()) << event.status();
    EXPECT_EQ(std::get<GatewayStateEvent>(*event).device, "a17");
  }
  EXPECT_EQ(ingest_.counters().accepted, 4u);
}

TEST_F(IngestTest, BadMessageDoesNotDisturbTheNextGoodOne) {
  ExpectRejected(ingest_.Read("rpi/a17/state", "\xff\xff"), absl::StatusCode::kDataLoss, RejectReason::kParse);
  const auto good = Read("rpi/a17/state", GoodReport());
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(std::get<StateEvent>(*good).report->entities_size(), 1);
}

}  // namespace
}  // namespace fleet::server
