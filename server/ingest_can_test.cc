// What of the taps ingest understands and what it refuses.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "server/ingest.h"
#include "server/testing/can_messages.h"

namespace fleet::server {
namespace {

constexpr char kTopic[] = "rpi/a/can/can0/rx";

class IngestCanTest : public testing::Test {
 protected:
  absl::StatusOr<Event> Read(absl::string_view topic, const v1::CanBatch& batch) {
    payload_ = batch.SerializeAsString();
    return ingest_.Read(topic, payload_);
  }
  void ExpectRefused(const std::function<void(v1::CanBatch&)>& spoil) {
    v1::CanBatch batch = BatchOf(7, 1, FramesOf({"123#1122", "18FEF100#"}));
    ASSERT_TRUE(Read(kTopic, batch).ok()) << "the batch must be good before it is spoilt";
    spoil(batch);
    const auto event = Read(kTopic, batch);
    EXPECT_EQ(event.status().code(), absl::StatusCode::kInvalidArgument) << batch.ShortDebugString().substr(0, 200);
    EXPECT_EQ(Ingest::ReasonOf(event.status()), RejectReason::kMeaning);
  }

  std::string payload_;
  Ingest ingest_;
};

TEST_F(IngestCanTest, UnderstandsABatchOfABus) {
  const auto event = Read("rpi/truck-7/can/body.1/rx", BatchOf(7, 3, ManyFrames(64), 5));
  ASSERT_TRUE(event.ok()) << event.status();
  const auto& batch = std::get<CanBatchEvent>(*event);
  EXPECT_EQ(batch.device, "truck-7");
  EXPECT_EQ(batch.bus, "body.1");
  EXPECT_EQ(batch.batch->tap(), 7u);
  EXPECT_EQ(batch.batch->seq(), 3u);
  EXPECT_EQ(batch.batch->dropped(), 5u);
  EXPECT_EQ(batch.batch->frames().id_size(), 64);
  EXPECT_EQ(batch.bytes, payload_);
}

TEST_F(IngestCanTest, OtherTopicsOfABusAreNotOurs) {
  const v1::CanBatch batch = BatchOf(7, 1, ManyFrames(1));
  for (const char* topic : {"rpi/a/can/can0", "rpi/a/can/can0/tx", "rpi/a/can//rx", "rpi/a/can/c+/rx",
                            "rpi//can/can0/rx", "server/a/can/can0/rx", "rpi/a/can/can0/rx/"}) {
    EXPECT_TRUE(absl::IsNotFound(Read(topic, batch).status())) << topic;
  }
}

TEST_F(IngestCanTest, BytesThatAreNoBatchDoNotParse) {
  EXPECT_TRUE(absl::IsDataLoss(ingest_.Read(kTopic, "\xff").status()));
}

TEST_F(IngestCanTest, ABatchHasOneTo64Frames) {
  ExpectRefused([](v1::CanBatch& b) { b.clear_frames(); });
  ExpectRefused([](v1::CanBatch& b) { *b.mutable_frames() = ManyFrames(65); });
}

TEST_F(IngestCanTest, ColumnsFitEachOther) {
  ExpectRefused([](v1::CanBatch& b) { b.mutable_frames()->add_after_us(1); });
  ExpectRefused([](v1::CanBatch& b) { b.mutable_frames()->mutable_flags()->pop_back(); });
  ExpectRefused([](v1::CanBatch& b) { b.mutable_frames()->mutable_data()->push_back('x'); });
}

TEST_F(IngestCanTest, FramesCanBe) {
  ExpectRefused([](v1::CanBatch& b) { b.mutable_frames()->set_id(0, 0x800); });
  ExpectRefused([](v1::CanBatch& b) { b.mutable_frames()->set_id(1, 0x20000000); });
  ExpectRefused([](v1::CanBatch& b) { (*b.mutable_frames()->mutable_size())[0] = 9; });
  ExpectRefused([](v1::CanBatch& b) { (*b.mutable_frames()->mutable_flags())[0] = static_cast<char>(0x80); });
  ExpectRefused([](v1::CanBatch& b) { b.mutable_frames()->set_after_us(1, std::numeric_limits<int64_t>::min()); });
}

TEST_F(IngestCanTest, ABatchIsNumberedAndOfATap) {
  ExpectRefused([](v1::CanBatch& b) { b.set_tap(0); });
  ExpectRefused([](v1::CanBatch& b) { b.set_seq(0); });
  ExpectRefused([](v1::CanBatch& b) { b.set_seq(std::numeric_limits<uint32_t>::max()); });
  ExpectRefused([](v1::CanBatch& b) { b.set_epoch(0); });
}

}  // namespace
}  // namespace fleet::server
