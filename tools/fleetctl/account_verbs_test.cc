// ledger, events, quarantine and history --liveness.
#include "fleet/v1/to_server.pb.h"
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

class AccountVerbsTest : public FleetctlTest {
 protected:
  v1::LedgerView Ledger(const std::string& device) const {
    v1::LedgerView ledger;
    ledger.set_device_id(device);
    ledger.set_balanced(true);
    v1::StreamLedgerView& stream = *ledger.add_streams();
    stream.set_stream("telemetry");
    stream.set_sent(1000);
    stream.set_stored(980);
    stream.set_dropped(15);
    stream.set_in_flight(5);
    stream.set_balanced(true);
    stream.set_reported_unix_ms(NowMs() - 2000);
    for (const auto& [reason, count] : {std::pair("spool_full", 12), std::pair("crash", 3)}) {
      v1::DropView& drop = *stream.add_drops();
      drop.set_reason(reason);
      drop.set_count(count);
    }
    return ledger;
  }

  v1::LivenessView Change(const std::string& state, const std::string& reason, double ms_ago) const {
    v1::LivenessView change;
    change.set_device_id("pi-1");
    change.set_state(state);
    change.set_reason(reason);
    change.set_at_unix_ms(NowMs() - ms_ago);
    return change;
  }
};

TEST_F(AccountVerbsTest, LedgerShowsTheSumOverAllPages) {
  server_.On("/api/v1/ledger", [&](const HttpRequest& request) {
    v1::LedgerList page;
    *page.add_devices() = Ledger(request.query.contains("cursor") ? "pi-2" : "pi-1");
    if (!request.query.contains("cursor")) page.set_next_cursor("more");
    return JsonResponse(page);
  });
  ASSERT_EQ(Run("ledger"), kDone) << err();
  EXPECT_EQ(out(),
            "DEVICE  STREAM     SENT =  STORED +  DROPPED +  IN FLIGHT  BALANCED  REPORTED  DROPS\n"
            "pi-1    telemetry    1000       980         15          5  yes       2.0s ago  spool_full 12, crash 3\n"
            "pi-2    telemetry    1000       980         15          5  yes       2.0s ago  spool_full 12, crash 3\n");
}

TEST_F(AccountVerbsTest, ALedgerThatDoesNotBalanceIsShoutedAndExitCode1) {
  v1::LedgerView ledger = Ledger("pi-1");
  ledger.set_balanced(false);
  ledger.mutable_streams(0)->set_balanced(false);
  ledger.mutable_streams(0)->set_complaint("5 in flight, the device has 2");
  server_.On("/api/v1/devices/pi-1/ledger", ledger);
  EXPECT_EQ(Run("ledger pi-1"), kFailed);
  EXPECT_THAT(out(), HasSubstr("5  NO        2.0s ago"));
  EXPECT_THAT(out(), HasSubstr("\nDOES NOT BALANCE: pi-1 telemetry: 5 in flight, the device has 2\n"));
}

TEST_F(AccountVerbsTest, ASumThatIsWrongIsSeenAlsoWhenTheServerDoesNot) {
  v1::LedgerView ledger = Ledger("pi-1");
  ledger.mutable_streams(0)->set_stored(979);
  server_.On("/api/v1/devices/pi-1/ledger", ledger);
  EXPECT_EQ(Run("ledger pi-1"), kFailed);
  EXPECT_THAT(out(), HasSubstr("DOES NOT BALANCE: pi-1 telemetry: sent 1000 is not the sum 999\n"));
}

TEST_F(AccountVerbsTest, LedgerAsJsonIsOneListOrOneDevice) {
  v1::LedgerList list;
  *list.add_devices() = Ledger("pi-1");
  server_.On("/api/v1/ledger", list);
  server_.On("/api/v1/devices/pi-1/ledger", Ledger("pi-1"));
  ASSERT_EQ(Run("ledger --output json"), kDone);
  ASSERT_EQ(Run("ledger pi-1 --output json"), kDone);
  EXPECT_EQ(out(), ToJson(list) + ToJson(Ledger("pi-1")));
}

TEST_F(AccountVerbsTest, EventsShowWhatHappenedAndHowLateItCame) {
  server_.On("/api/v1/events", [&](const HttpRequest& request) {
    EXPECT_EQ(request.query.at("device"), "pi-1");
    EXPECT_EQ(request.query.at("limit"), "2");
    v1::EventList list;
    v1::EventView& live = *list.add_events();
    live.set_device_id("pi-1");
    live.set_kind("fail_safe_on");
    live.set_detail("3000");
    live.set_at_unix_ms(NowMs());
    v1::EventView& late = *list.add_events();
    late.set_device_id("pi-1");
    late.set_kind("reported");
    late.set_name("bump");
    late.set_detail("left");
    late.set_entity_id(2);
    late.set_at_unix_ms(NowMs() - 60'000);
    late.set_received_unix_ms(NowMs());
    late.set_backlog(true);
    list.set_next_cursor("more");
    return JsonResponse(list);
  });
  ASSERT_EQ(Run("events pi-1 --limit 2"), kDone) << err();
  EXPECT_EQ(out(),
            "HAPPENED      DEVICE  EVENT         ENTITY  LATE  DETAIL\n"
            "08:53:20.000  pi-1    fail_safe_on                3000\n"
            "08:52:20.000  pi-1    reported           2    1m  bump: left\n");
}

TEST_F(AccountVerbsTest, EventsAsJsonAreTheList) {
  v1::EventList list;
  list.add_events()->set_kind("started");
  server_.On("/api/v1/events", list);
  ASSERT_EQ(Run("events --output json"), kDone);
  EXPECT_EQ(out(), ToJson(list));
}

v1::QuarantineList TwoPoisonedMessages(double now_ms) {
  v1::QuarantineList list;
  v1::QuarantineView& version = *list.add_messages();
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(4);
  heartbeat.set_protocol(9);
  version.set_received_unix_ms(now_ms);
  version.set_topic("rpi/pi-1/heartbeat");
  version.set_reason("version");
  version.set_detail("protocol version 9, we speak 1");
  version.set_payload(heartbeat.SerializeAsString());
  version.set_payload_bytes(4);
  v1::QuarantineView& parse = *list.add_messages();
  parse.set_received_unix_ms(now_ms);
  parse.set_topic("rpi/pi-1/state");
  parse.set_reason("parse");
  parse.set_payload(std::string(80, '\xff'));
  parse.set_payload_bytes(9000);
  return list;
}

TEST_F(AccountVerbsTest, QuarantineDecodesWhatItCanAndDumpsTheRest) {
  server_.On("/api/v1/quarantine", TwoPoisonedMessages(NowMs()));
  ASSERT_EQ(Run("quarantine"), kDone) << err();
  EXPECT_THAT(out(), StartsWith("08:53:20.000  rpi/pi-1/heartbeat  version: protocol version 9, we speak 1, 4 bytes\n"
                                "    Heartbeat {epoch: 4 protocol: 9}\n"
                                "08:53:20.000  rpi/pi-1/state  parse, 9000 bytes, 80 of them kept\n"
                                "    0000  ff ff ff"));
  EXPECT_THAT(out(), HasSubstr("    ... 16 more; see --raw\n"));
}

TEST_F(AccountVerbsTest, QuarantineRawShowsAllBytesOfAll) {
  server_.On("/api/v1/quarantine", TwoPoisonedMessages(NowMs()));
  ASSERT_EQ(Run("quarantine --raw"), kDone);
  EXPECT_THAT(out(), HasSubstr("    Heartbeat {epoch: 4 protocol: 9}\n    0000  08 04 78 09 "));
  EXPECT_THAT(out(), HasSubstr("    0040  ff ff"));
  EXPECT_THAT(out(), Not(HasSubstr("more")));
}

TEST_F(AccountVerbsTest, QuarantineAsJsonIsTheListAndEmptyOneSaysSo) {
  server_.On("/api/v1/quarantine", TwoPoisonedMessages(NowMs()));
  ASSERT_EQ(Run("quarantine --output json"), kDone);
  EXPECT_EQ(out(), ToJson(TwoPoisonedMessages(NowMs())));
  server_.On("/api/v1/quarantine", v1::QuarantineList());
  ASSERT_EQ(Run("quarantine"), kDone);
  EXPECT_THAT(out(), HasSubstr("Nothing is in quarantine"));
}

TEST_F(AccountVerbsTest, LivenessShowsHowLongEachStateLasted) {
  v1::LivenessHistory history;
  *history.add_changes() = Change("online", "", 60'000);
  *history.add_changes() = Change("offline", "lost", 180'000);
  *history.add_changes() = Change("online", "", 3'780'000);
  server_.On("/api/v1/devices/pi-1/liveness", history);
  ASSERT_EQ(Run("history pi-1 --liveness"), kDone) << err();
  EXPECT_EQ(out(),
            "TIME          STATE       LASTED  REASON\n"
            "08:52:20.000  online   so far 1m\n"
            "08:50:20.000  offline         2m  lost: the broker's will\n"
            "07:50:20.000  online       1h00m\n");
}

TEST_F(AccountVerbsTest, LivenessSinceKeepsWhatItWasThen) {
  v1::LivenessHistory history;
  *history.add_changes() = Change("online", "", 60'000);
  *history.add_changes() = Change("offline", "lost", 180'000);
  *history.add_changes() = Change("stale", "", 190'000);
  history.set_next_cursor("more");
  server_.On("/api/v1/devices/pi-1/liveness", [&](const HttpRequest& request) {
    EXPECT_EQ(request.query.at("limit"), "3");
    return JsonResponse(history);
  });
  ASSERT_EQ(Run("history pi-1 --liveness --since 2m --limit 3"), kDone);
  EXPECT_THAT(out(), HasSubstr("offline"));
  EXPECT_THAT(out(), Not(HasSubstr("stale")));
}

TEST_F(AccountVerbsTest, LivenessOfNothingSaysSo) {
  server_.On("/api/v1/devices/pi-1/liveness", v1::LivenessHistory());
  ASSERT_EQ(Run("history pi-1 --liveness"), kDone);
  EXPECT_THAT(out(), HasSubstr("Nothing is known"));
}

}  // namespace
}  // namespace fleet
