// Whatever arrives from the broker, in whatever order: ingest and the fleet's state survive it and their books balance.
// The input is a list of records: what to do, how much time passes, and bytes for it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "common/testing/fake_clock.h"
#include "server/fleet_state.h"
#include "server/ingest.h"

namespace fleet::server {
namespace {

constexpr absl::string_view kTopics[] = {"rpi/a/heartbeat", "rpi/a/state",     "rpi/a/status",    "rpi/a/command/ack",
                                         "rpi/a/event",     "rpi/a/telemetry", "rpi/a/ledger",    "rpi/b/heartbeat",
                                         "rpi/b/state",     "rpi/b/status",    "rpi/b/telemetry", "rpi/a/can/can0/rx"};

class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t Byte() { return static_cast<uint8_t>(Bytes(1).empty() ? 0 : last_[0]); }
  absl::string_view Bytes(size_t count) {
    last_ = rest_.substr(0, count);
    rest_.remove_prefix(last_.size());
    return last_;
  }

 private:
  absl::string_view rest_;
  absl::string_view last_;
};

void CheckStream(const SequenceTracker& tracker) {
  const SequenceTracker::Saved& saved = tracker.saved();
  FLEET_CHECK(saved.stored <= saved.expected) << saved.stored << " stored of " << saved.expected;
  FLEET_CHECK(saved.expected == saved.stored + tracker.missing());
  FLEET_CHECK(saved.reordered <= saved.stored);
}

void CheckStreams(const DeviceStreams& streams) {
  for (v1::Stream stream : DeviceStreams::kStreams) {
    const StreamTotals totals = streams.Totals(stream);
    FLEET_CHECK(totals.stored + totals.dropped_count() <= totals.sent);
  }
}

class World {
 public:
  World() { fleet_.LinkUp(clock_, changes_); }

  void Step(Input& input) {
    const uint8_t what = input.Byte();
    clock_.Advance(absl::Milliseconds(input.Byte() * 10));
    switch (what % 16) {
      case 11:
        return SendRecords(input);
      case 12:
        return SendNumbers(input);
      case 13:
        return Submit(input.Byte());
      case 14:
        return input.Byte() % 2 == 0 ? fleet_.LinkDown(clock_, changes_) : fleet_.LinkUp(clock_, changes_);
      case 15:
        return Receive(input.Bytes(input.Byte()), input.Bytes(input.Byte()));
      default:
        return Receive(kTopics[what % std::size(kTopics)], input.Bytes(input.Byte()));
    }
  }

  void EndTurn() {
    fleet_.Tick(clock_, changes_);
    CountRows();
    changes_.rows = {.number = ++batch_ + 1};
    fleet_.Committed(batch_, changes_);
    fleet_.Tick(clock_, changes_);  // what is stored goes out
    for (CommandId id : std::exchange(changes_.commands_due, {})) fleet_.Sent(id, batch_ % 3 != 0, clock_, changes_);
    CheckBooks();
    changes_.publish.clear();
    changes_.stored.clear();
  }

  void Finish() {
    fleet_.Flush(changes_);
    CountRows();
    uint64_t stored = 0;
    for (DeviceIndex i = 0; i < fleet_.registry().size(); ++i) stored += fleet_.registry().at(i).states.saved().stored;
    FLEET_CHECK(written_ == stored) << written_ << " reports written, " << stored << " counted as stored";
    uint64_t records = 0;
    for (v1::Stream stream : DeviceStreams::kStreams) records += fleet_.streams().Totals(stream).stored;
    FLEET_CHECK(records_ == records) << records_ << " records written, " << records << " counted as stored";
  }

 private:
  void Receive(absl::string_view topic, absl::string_view payload) {
    fleet_.MessageArrived(clock_);
    const absl::StatusOr<Event> event = ingest_.Read(topic, payload);
    ++received_;
    if (event.ok()) fleet_.Apply(*event, clock_, changes_);
  }

  // A well-formed message with small numbers, so that lives and gaps are met often.
  void SendNumbers(Input& input) {
    const uint8_t kind = input.Byte();
    v1::StateReport report;  // its first three fields are those of a Heartbeat
    report.set_epoch(1 + input.Byte() % 4);
    report.set_seq(1 + input.Byte());
    report.set_sent_unix_ms(input.Byte());
    if (kind % 2 == 1) report.add_entities()->set_entity_id(input.Byte());
    Receive(kTopics[kind % 2], report.SerializeAsString());
  }

  // Batches and reports with small numbers, so that they overlap and contradict each other.
  void SendRecords(Input& input) {
    const uint8_t kind = input.Byte();
    const uint32_t epoch = 1 + input.Byte() % 4;
    const uint8_t first = 1 + input.Byte() % 64;
    const uint8_t count = 1 + input.Byte() % 8;
    if (kind % 3 == 0) return Receive("rpi/a/event", Events(epoch, first, count).SerializeAsString());
    if (kind % 3 == 1) return Receive("rpi/a/telemetry", Samples(epoch, first, count).SerializeAsString());
    v1::LedgerReport report;
    report.set_epoch(epoch);
    report.set_number(1 + input.Byte());
    v1::EpochAccount& account = *report.add_accounts();
    account.set_stream(first % 2 == 0 ? v1::STREAM_EVENT : v1::STREAM_TELEMETRY);
    account.set_epoch(1 + input.Byte() % epoch);
    account.set_made(first + count);
    account.set_waiting(input.Byte() % 4);
    v1::DroppedRange& dropped = *account.add_dropped();
    dropped.set_reason(v1::DROP_REASON_TOO_OLD);
    dropped.set_first_seq(first);
    dropped.set_last_seq(first + count - 1);
    Receive("rpi/a/ledger", report.SerializeAsString());
  }

  static v1::EventBatch Events(uint32_t epoch, uint8_t first, uint8_t count) {
    v1::EventBatch batch;
    batch.set_epoch(epoch);
    batch.set_first_seq(first);
    for (int i = 0; i < count; ++i) batch.add_events()->set_kind(v1::EVENT_KIND_REPORTED);
    return batch;
  }

  static v1::TelemetryBatch Samples(uint32_t epoch, uint8_t first, uint8_t count) {
    v1::TelemetryBatch batch;
    batch.set_epoch(epoch);
    batch.set_first_seq(first);
    batch.add_signals("a/b");
    for (int i = 0; i < count; ++i) {
      batch.add_signal(0);
      batch.add_after_ms(i);
      batch.add_value(i);
    }
    return batch;
  }

  void CountRows() {
    for (const DeviceRow& row : changes_.rows.devices) written_ += row.block.count;
    records_ += changes_.rows.events.size();
    for (const TelemetryRow& row : changes_.rows.telemetry) {
      records_ += row.samples;
      v1::TelemetryBatch batch;
      FLEET_CHECK(batch.ParseFromString(row.batch));
      FLEET_CHECK(static_cast<uint64_t>(batch.value_size()) == row.samples && batch.first_seq() == row.first_seq);
    }
  }

  void Submit(uint8_t ttl) {
    v1::Segment segment;
    segment.set_type(v1::SEGMENT_TYPE_HOLD);
    // Refused when nobody of that name is there, and that is right.
    (void)fleet_.Submit("a", segment, {.ttl = absl::Milliseconds(ttl * 20)}, clock_, changes_);
  }

  void CheckBooks() const {
    size_t by_state = 0;
    for (LivenessState state :
         {LivenessState::kUnknown, LivenessState::kOnline, LivenessState::kStale, LivenessState::kOffline}) {
      by_state += fleet_.liveness().count(state);
    }
    FLEET_CHECK(by_state == fleet_.registry().size());
    size_t open = 0;
    size_t unknown = 0;
    for (DeviceIndex i = 0; i < fleet_.registry().size(); ++i) {
      const Device& device = fleet_.registry().at(i);
      CheckStream(device.heartbeats);
      CheckStream(device.states);
      if (const DeviceStreams* streams = fleet_.streams().Find(i)) CheckStreams(*streams);
      FLEET_CHECK(device.entities.size() <= size_t{kMaxEntitiesPerDevice});
      open += device.open_commands.size() - device.unknown_commands;
      unknown += device.unknown_commands;
    }
    FLEET_CHECK(open == fleet_.commands().open_count());
    FLEET_CHECK(unknown == fleet_.commands().unknown_count());
    uint64_t counted = ingest_.counters().accepted;
    for (uint64_t count : ingest_.counters().rejected) counted += count;
    FLEET_CHECK(counted == received_);
    FLEET_CHECK(fleet_.registry().size() <= kMaxDevices);
    FLEET_CHECK(fleet_.NextDue() > clock_.Read().mono) << "the loop would spin";
  }

  static constexpr size_t kMaxDevices = 5;

  FakeClock clock_;
  Changes changes_{.rows = {.number = 1}};
  Ingest ingest_;
  FleetState fleet_{
      {.max_devices = kMaxDevices, .max_open_commands = 8, .patrol = absl::Seconds(3)}, SavedFleet(), clock_, changes_};
  uint64_t batch_ = 0;
  uint64_t received_ = 0;
  uint64_t written_ = 0;  // state reports
  uint64_t records_ = 0;  // of streams
};

}  // namespace
}  // namespace fleet::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fleet::server::Input input(data, size);
  fleet::server::World world;
  while (!input.empty()) {
    world.Step(input);
    world.EndTurn();
  }
  world.Finish();
  return 0;
}
