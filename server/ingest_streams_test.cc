// What of the durable streams ingest understands and what it refuses.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/ingest.h"
#include "server/testing/stream_messages.h"

namespace fleet::server {
namespace {

class IngestStreamsTest : public testing::Test {
 protected:
  absl::StatusOr<Event> Read(absl::string_view topic, const google::protobuf::Message& message) {
    payload_ = message.SerializeAsString();
    return ingest_.Read(topic, payload_);
  }
  template <typename MessageT>
  void ExpectRefused(absl::string_view topic, const std::function<MessageT()>& good,
                     const std::function<void(MessageT&)>& spoil) {
    MessageT message = good();
    ASSERT_TRUE(Read(topic, message).ok()) << "the message must be good before it is spoilt";
    spoil(message);
    const auto event = Read(topic, message);
    EXPECT_EQ(event.status().code(), absl::StatusCode::kInvalidArgument) << message.ShortDebugString().substr(0, 200);
    EXPECT_EQ(Ingest::ReasonOf(event.status()), RejectReason::kMeaning);
  }
  void ExpectEventsRefused(const std::function<void(v1::EventBatch&)>& spoil) {
    ExpectRefused<v1::EventBatch>(
        "rpi/a/event", [] { return EventsOf(1, 1, 3); }, spoil);
  }
  void ExpectSamplesRefused(const std::function<void(v1::TelemetryBatch&)>& spoil) {
    ExpectRefused<v1::TelemetryBatch>(
        "rpi/a/telemetry", [] { return SamplesOf(1, 1, 3); }, spoil);
  }
  void ExpectReportRefused(const std::function<void(v1::LedgerReport&)>& spoil) {
    const auto good = [] {
      return ReportOf(4, 1,
                      {AccountOf(v1::STREAM_EVENT, 3, 9, 2, {DropOf(v1::DROP_REASON_TOO_OLD, 2, 3)}),
                       AccountOf(v1::STREAM_TELEMETRY, 4, 0, 0)});
    };
    ExpectRefused<v1::LedgerReport>("rpi/a/ledger", good, spoil);
  }

  std::string payload_;
  Ingest ingest_;
};

TEST_F(IngestStreamsTest, UnderstandsBatchesAndReports) {
  const auto events = Read("rpi/a/event", EventsOf(3, 5, 7));
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(std::get<EventBatchEvent>(*events).device, "a");
  EXPECT_EQ(std::get<EventBatchEvent>(*events).batch->events_size(), 3);
  const auto samples = Read("rpi/b/telemetry", SamplesOf(3, 5, 7));
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ(std::get<TelemetryEvent>(*samples).batch->first_seq(), 5u);
  const auto report = Read("rpi/c/ledger", ReportOf(4, 1, {}));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(std::get<LedgerEvent>(*report).report->number(), 1u);
}

TEST_F(IngestStreamsTest, EventsThatMakeNoSenseAreRefused) {
  ExpectEventsRefused([](auto& b) { b.set_epoch(0); });
  ExpectEventsRefused([](auto& b) { b.set_first_seq(0); });
  ExpectEventsRefused([](auto& b) { b.set_first_seq(kMaxRecordNumber + 1); });
  ExpectEventsRefused([](auto& b) { b.clear_events(); });
  ExpectEventsRefused([](auto& b) { b = EventsOf(1, 1, 257); });
  ExpectEventsRefused([](auto& b) { b.mutable_events(1)->set_kind(v1::EVENT_KIND_UNSPECIFIED); });
  ExpectEventsRefused([](auto& b) { b.mutable_events(1)->set_kind(static_cast<v1::EventKind>(99)); });
  ExpectEventsRefused([](auto& b) { b.mutable_events(1)->set_name(std::string(65, 'n')); });
  ExpectEventsRefused([](auto& b) { b.mutable_events(1)->set_detail(std::string(201, 'd')); });
}

TEST_F(IngestStreamsTest, TroubleCodesThatMakeNoSenseAreRefused) {
  const auto good = [] {
    v1::EventBatch batch = EventsOf(1, 1, 2);
    batch.mutable_events(0)->set_kind(v1::EVENT_KIND_DTC_SET);
    batch.mutable_events(1)->set_kind(v1::EVENT_KIND_DTC_CLEARED);
    for (v1::Event& event : *batch.mutable_events()) {
      event.mutable_dtc()->set_bus("can0");
      event.mutable_dtc()->set_protocol("j1939");
      event.mutable_dtc()->set_code(std::string(64, 'c'));
      event.mutable_dtc()->set_status(std::string(16, 's'));
    }
    return batch;
  };
  const std::function<void(v1::Event&)> spoils[] = {
      [](auto& e) { e.clear_dtc(); },
      [](auto& e) { e.mutable_dtc()->clear_bus(); },
      [](auto& e) { e.mutable_dtc()->set_bus("can/0"); },
      [](auto& e) { e.mutable_dtc()->set_bus(std::string(33, 'b')); },
      [](auto& e) { e.mutable_dtc()->clear_protocol(); },
      [](auto& e) { e.mutable_dtc()->set_protocol(std::string(17, 'p')); },
      [](auto& e) { e.mutable_dtc()->clear_code(); },
      [](auto& e) { e.mutable_dtc()->set_code(std::string(65, 'c')); },
      [](auto& e) { e.mutable_dtc()->set_status(std::string(17, 's')); },
      [](auto& e) { e.mutable_dtc()->set_protocol("obd\n"); },
      [](auto& e) { e.mutable_dtc()->set_code("\x1b[2J"); },
      [](auto& e) { e.mutable_dtc()->set_code("P0133\x7f"); },
      [](auto& e) { e.mutable_dtc()->set_status("gel\xc3\xb6scht"); },
      // Kept in memory as well when no kind calls for it.
      [](auto& e) {
        e.set_kind(v1::EVENT_KIND_CAN_UP);
        e.mutable_dtc()->set_code(std::string(65, 'c'));
      },
  };
  for (const auto& spoil : spoils) {
    for (const int i : {0, 1}) {
      ExpectRefused<v1::EventBatch>("rpi/a/event", good, [&](v1::EventBatch& b) { spoil(*b.mutable_events(i)); });
    }
  }
}

TEST_F(IngestStreamsTest, AScannedControllerHasNoCode) {
  v1::EventBatch batch = EventsOf(1, 1, 1);
  v1::Event& event = *batch.mutable_events(0);
  event.set_kind(v1::EVENT_KIND_DTC_SCANNED);
  EXPECT_FALSE(Read("rpi/a/event", batch).ok());
  event.mutable_dtc()->set_bus("can0");
  event.mutable_dtc()->set_protocol("obd");
  EXPECT_TRUE(Read("rpi/a/event", batch).ok());
  event.mutable_dtc()->set_code("P0001");
  EXPECT_FALSE(Read("rpi/a/event", batch).ok());
}

TEST_F(IngestStreamsTest, EveryKindOfEventIsUnderstood) {
  v1::EventBatch batch = EventsOf(1, 1, 1);
  for (int kind = v1::EVENT_KIND_STARTED; kind < v1::EventKind_ARRAYSIZE; ++kind) {
    if (kind == v1::EVENT_KIND_DTC_SET || kind == v1::EVENT_KIND_DTC_CLEARED) continue;
    if (kind == v1::EVENT_KIND_DTC_SCANNED) continue;
    batch.mutable_events(0)->set_kind(static_cast<v1::EventKind>(kind));
    EXPECT_TRUE(Read("rpi/a/event", batch).ok()) << kind;
  }
}

TEST_F(IngestStreamsTest, TelemetryThatMakesNoSenseIsRefused) {
  ExpectSamplesRefused([](auto& b) { b.set_epoch(0); });
  ExpectSamplesRefused([](auto& b) { b.set_first_seq(0); });
  ExpectSamplesRefused([](auto& b) { b.add_value(1); });
  ExpectSamplesRefused([](auto& b) { b.add_signal(1); });
  ExpectSamplesRefused([](auto& b) { b.add_after_ms(1); });
  ExpectSamplesRefused([](auto& b) { b.set_signal(0, 2); });
  ExpectSamplesRefused([](auto& b) { b.set_signals(0, ""); });
  const std::vector<std::string> names = {
      "rpm", "motor//rpm", "/rpm", "motor/", "motor/\x1b[2J", "a/+", "a/" + std::string(63, 's')};
  for (const std::string& name : names) {
    ExpectSamplesRefused([&](auto& b) { b.set_signals(0, name); });
  }
  ExpectSamplesRefused([](auto& b) {
    b.clear_value();
    b.clear_signal();
    b.clear_after_ms();
  });
}

TEST_F(IngestStreamsTest, ReportsThatMakeNoSenseAreRefused) {
  ExpectReportRefused([](auto& r) { r.set_epoch(0); });
  ExpectReportRefused([](auto& r) { r.set_number(0); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_stream(v1::STREAM_UNSPECIFIED); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_stream(static_cast<v1::Stream>(9)); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_epoch(0); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_epoch(5); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_waiting(10); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_made(kMaxRecordNumber + 1); });
  ExpectReportRefused([](auto& r) { r.mutable_accounts(0)->set_made(2); });  // the drop goes to 3
  const auto drop = [](auto& r) { return r.mutable_accounts(0)->mutable_dropped(0); };
  ExpectReportRefused([&](auto& r) { drop(r)->set_reason(v1::DROP_REASON_UNSPECIFIED); });
  ExpectReportRefused([&](auto& r) { drop(r)->set_reason(static_cast<v1::DropReason>(9)); });
  ExpectReportRefused([&](auto& r) { drop(r)->set_first_seq(0); });
  ExpectReportRefused([&](auto& r) { drop(r)->set_last_seq(1); });
  ExpectReportRefused([](auto& r) { *r.mutable_accounts(0)->add_dropped() = DropOf(v1::DROP_REASON_TOO_OLD, 3, 4); });
  ExpectReportRefused([](auto& r) {
    for (int i = 0; i < 65; ++i) *r.add_accounts() = AccountOf(v1::STREAM_EVENT, 1, 1, 1);
  });
  ExpectReportRefused([](auto& r) {
    r.mutable_accounts(0)->set_made(1000);
    for (uint64_t i = 0; i < 65; ++i) {
      *r.mutable_accounts(0)->add_dropped() = DropOf(v1::DROP_REASON_TOO_OLD, 5 + 2 * i, 5 + 2 * i);
    }
  });
}

TEST_F(IngestStreamsTest, BytesThatAreNoBatchAreDamaged) {
  EXPECT_EQ(ingest_.Read("rpi/a/telemetry", "\xff\xff").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ingest_.Read("rpi/a/event", std::string(70'000, 'x')).status().code(), absl::StatusCode::kOutOfRange);
  v1::LedgerReport report = ReportOf(1, 1, {});
  report.set_protocol(9);
  EXPECT_EQ(Read("rpi/a/ledger", report).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fleet::server
