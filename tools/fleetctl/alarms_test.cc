// What must not be overlooked, in every verb that shows it.
#include "tools/fleetctl/fleetctl_fixture.h"

namespace fleet {
namespace {

v1::LedgerView Ledger(const std::string& device, bool balanced) {
  v1::LedgerView ledger;
  ledger.set_device_id(device);
  ledger.set_balanced(balanced);
  v1::StreamLedgerView& stream = *ledger.add_streams();
  stream.set_stream("event");
  stream.set_balanced(balanced);
  if (!balanced) stream.set_complaint("3 in flight, the device has 1");
  return ledger;
}

TEST_F(FleetctlTest, StatusHasALineForEachKindOfAlarmAndNamesFive) {
  v1::FleetSummary summary;
  summary.set_devices(8);
  summary.set_broker_connected(true);
  summary.set_store_works(true);
  summary.set_unbalanced(7);
  v1::DeviceList devices;
  v1::LedgerList ledgers;
  for (int i = 1; i <= 8; ++i) {
    v1::DeviceView& device = *devices.add_devices() = Device(absl::StrCat("pi-", i), "online");
    device.set_fail_safe(i <= 2);
    device.set_clone_alarm(i == 3);
    *ledgers.add_devices() = Ledger(device.id(), i == 8);
  }
  devices.mutable_devices(2)->set_reason("replaced");
  server_.On("/api/v1/status", summary);
  server_.On("/api/v1/devices", devices);
  server_.On("/api/v1/ledger", ledgers);
  ASSERT_EQ(Run("status"), kDone) << err();
  EXPECT_THAT(out(),
              HasSubstr("store works\n"
                        "CLONE ALARM: 1 device: pi-3; two agents use this id and commands to it are refused; give "
                        "one of them another\n"
                        "FAIL-SAFE: 2 devices: pi-1, pi-2; not hearing this server for too long; is its beat "
                        "reaching them?\n"
                        "LEDGER DOES NOT BALANCE: 7 devices: pi-1, pi-2, pi-3, pi-4, pi-5 and 2 more; see "
                        "fleetctl ledger\n"
                        "\n"
                        "DEVICE"));
  EXPECT_THAT(out(), HasSubstr("CLONE since 08:50:20 (3m ago), replaced: two agents connect with its id in turn\n"));
  EXPECT_THAT(out(), HasSubstr("FAIL-SAFE since 08:50:20"));
}

TEST_F(FleetctlTest, DevicesHasAColumnOfAlarms) {
  v1::DeviceList devices;
  v1::DeviceView& device = *devices.add_devices() = Device("pi-1", "online");
  device.set_fail_safe(true);
  device.set_clone_alarm(true);
  server_.On("/api/v1/devices", devices);
  ASSERT_EQ(Run("devices"), kDone);
  EXPECT_THAT(out(), HasSubstr("0.1.0    CLONE, FAIL-SAFE\n"));
}

TEST_F(FleetctlTest, DeviceShowsItsAlarmsAndTheStateOfEachEntity) {
  v1::DeviceView device = Device("pi-1", "online");
  device.set_fail_safe(true);
  device.mutable_entities(0)->set_state("stale");
  server_.On("/api/v1/devices/pi-1", device);
  server_.On("/api/v1/devices/pi-1/ledger", Ledger("pi-1", false));
  ASSERT_EQ(Run("device pi-1"), kDone);
  EXPECT_THAT(out(), HasSubstr("FAIL-SAFE: not hearing this server"));
  EXPECT_THAT(out(), HasSubstr("LEDGER DOES NOT BALANCE: event: 3 in flight, the device has 1\n"));
  EXPECT_THAT(out(), HasSubstr("     2  stale  -1.250 m"));
}

TEST_F(FleetctlTest, WatchTellsWhenAnAlarmBeginsAndEndsAndOnlyThen) {
  server_.On("/api/v1/status", v1::FleetSummary());
  v1::StreamEvent well, alarmed, replaced;
  well.mutable_state()->set_id("pi-1");
  *alarmed.mutable_state() = well.state();
  alarmed.mutable_state()->set_fail_safe(true);
  alarmed.mutable_state()->set_clone_alarm(true);
  replaced.mutable_device()->set_device_id("pi-1");
  replaced.mutable_device()->set_state("online");
  replaced.mutable_device()->set_reason("replaced");
  replaced.mutable_device()->set_at_unix_ms(NowMs());
  server_.OnStream({{well, alarmed, alarmed, replaced, well}}, [this] { interrupt_.Trigger(); });
  EXPECT_EQ(Run("watch"), kDone);
  EXPECT_EQ(out(),
            "08:53:20.000  pi-1           fail-safe  begins\n"
            "08:53:20.000  pi-1           clone alarm  begins\n"
            "08:53:20.000  pi-1           online  replaced: two agents connect with its id in turn\n"
            "08:53:20.000  pi-1           fail-safe  is over\n"
            "08:53:20.000  pi-1           clone alarm  is over\n");
}

}  // namespace
}  // namespace fleet
