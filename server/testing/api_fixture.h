// What the tests of the HTTP API share: the API with its real loop, store and HTTP server, and a clock that stands
// still.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/testing/http_probe.h"
#include "common/testing/shared_fake_clock.h"
#include "common/testing/temp_dir.h"
#include "server/api.h"
#include "server/metrics_page.h"
#include "server/store.h"
#include "server/testing/sample_rows.h"
#include "server/testing/test_fleet.h"

namespace fleet::server {

inline constexpr char kLine[] = R"({"entity_id":1,"from_x_mm":-100,"to_x_mm":100,"v0_mm_s":50,"v1_mm_s":50,)"
                                R"("type":"line","ttl_ms":5000})";

// The API with its real loop, store and HTTP server; the clock stands still unless a test moves it. What is taken is
// stored and sent within the same turn.
class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    auto store = Store::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    reader_ = *StoreReader::Open(path_);
    fleet_ = std::make_unique<TestFleet>(clock_, *store_->Load({.id = 1, .now = clock_.Read()}));
    http_ = *HttpServer::Bind({.listen = "127.0.0.1:0", .threads = 8, .max_streams = 4});
    AddRoutes(*http_, {.loop = loop_,
                       .clock = clock_,
                       .state = fleet_->state,
                       .changes = fleet_->changes,
                       .waiters = waiters_,
                       .reader = *reader_,
                       .watchers = watchers_,
                       .taps = taps_,
                       .health = [this] { return health_; },
                       .metrics =
                           [this] {
                             return MetricsText({.state = fleet_->state, .ingest = ingest_, .quarantine = quarantine_});
                           },
                       .max_waiting = 2});
    health_.set_ok(true);
    health_.set_broker("connected");
    health_.set_store("works");
    thread_ = std::thread([this] { loop_.Run([this](Now now) { return Turn(now); }); });
    http_->Start();
  }
  ~ApiTest() override {
    StopLoop();
    watchers_.Close();
    taps_.Close();
    waiters_.Close(fleet_->state.commands());
    http_->Stop();
  }

  void StopLoop() {
    loop_.Stop();
    if (thread_.joinable()) thread_.join();
  }
  MonoTime Turn(Now now) {
    Changes& changes = fleet_->changes;
    for (CommandId id : std::exchange(changes.stops, {})) Send(id, now);
    taps_.Tick(fleet_->state, changes, now);
    fleet_->Turn();
    for (CommandId id : std::exchange(changes.commands_due, {})) Send(id, now);
    waiters_.Tick(changes, fleet_->state.commands(), now.mono);
    changes.stored.clear();
    if (changes.rows.empty() || !commits_) {
      return std::min({fleet_->state.NextDue(), waiters_.NextDue(), taps_.NextDue()});
    }
    const RowBatch rows = fleet_->TakeRows();
    EXPECT_TRUE(store_->Write({rows}).ok());
    watchers_.Publish(rows, fleet_->state, now);
    fleet_->state.Committed(rows.number, changes);
    return now.mono;  // again at once: what was committed is due
  }
  void Send(CommandId id, Now now) {
    ++sent_;
    fleet_->state.Sent(id, true, now, fleet_->changes);
  }
  // Returns when it has run and its turn is over.
  void OnLoop(const std::function<void()>& work) {
    std::promise<void> done;
    ASSERT_TRUE(loop_.Post([&] {
      work();
      loop_.Post([&done] { done.set_value(); });  // runs before the next turn
    }));
    done.get_future().wait();
  }
  void BringOnline(const std::string& id) {
    OnLoop([this, id] {
      fleet_->Beat(id, 1);
      fleet_->Report(id, 1, {1, 2});
    });
  }

  HttpProbeResult Get(const std::string& path) { return Fetch(http_->port(), "GET", path); }
  HttpProbeResult Post(const std::string& path, const std::string& body) {
    return Fetch(http_->port(), "POST", path, body);
  }
  // The message of a 200 answer.
  template <typename MessageT>
  MessageT Read(const HttpProbeResult& result, int status = 200) {
    MessageT message;
    EXPECT_EQ(result.status, status) << result.body;
    EXPECT_TRUE(FromJson(result.body, message).ok()) << result.body;
    return message;
  }
  template <typename MessageT>
  MessageT GetOk(const std::string& path) {
    return Read<MessageT>(Get(path));
  }
  void ExpectError(const HttpProbeResult& result, int status, const std::string& code, const std::string& message) {
    const auto error = Read<v1::ErrorBody>(result, status);
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.message(), ::testing::HasSubstr(message));
  }
  // Returns when it has been stored and sent: two steps.
  CommandId SubmitLine(const std::string& device) {
    const auto view = Read<v1::CommandView>(Post(absl::StrCat("/api/v1/devices/", device, "/segments"), kLine), 201);
    uint64_t id = 0;
    EXPECT_TRUE(absl::SimpleAtoi(view.command_id(), &id));
    return CommandId{id};
  }
  std::string StateOf(CommandId id) { return GetOk<v1::CommandView>(CommandPath(id)).state(); }
  void Ack(CommandId id, v1::CommandState state) {
    OnLoop([=, this] { fleet_->Ack("a", id, state); });
  }
  size_t OpenCommands() {
    size_t count = 0;
    OnLoop([&] { count = fleet_->state.commands().open_count(); });
    return count;
  }
  CommandId NewestCommand() {
    CommandId id{};
    OnLoop([&] { id = fleet_->device("a").open_commands.back(); });
    return id;
  }
  // As if it were of an earlier run; on the loop.
  void StoreOldCommand(uint64_t id, v1::CommandState state) {
    EXPECT_TRUE(store_
                    ->Write({{.devices = {SampleDevice(99, "old")},
                              .commands = {SampleCommand(id, 99)},
                              .steps = {SampleStep(id, 0, state)}}})
                    .ok());
  }
  // The clock runs until there is an answer.
  template <typename T>
  void PassTimeUntil(std::future<T>& answer) {
    while (answer.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      clock_.Advance(absl::Milliseconds(100));
      loop_.Wake();
    }
  }
  std::string CommandPath(CommandId id) { return absl::StrCat("/api/v1/commands/", Number(id)); }

  const TempDir dir_;
  const std::string path_ = dir_.File(Store::kFileName);
  SharedFakeClock clock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<TestFleet> fleet_;  // loop thread
  Ingest ingest_;                     // loop thread
  Quarantine quarantine_;             // loop thread
  v1::Health health_;                 // loop thread
  Watchers watchers_;
  TapStreams taps_{[this] { loop_.Wake(); }};  // loop thread
  CommandWaiters waiters_;                     // loop thread
  bool commits_ = true;                        // loop thread
  int sent_ = 0;                               // frames; loop thread
  EventLoop loop_{clock_};
  std::unique_ptr<HttpServer> http_;
  std::thread thread_;
};

}  // namespace fleet::server
