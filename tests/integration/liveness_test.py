#!/usr/bin/python3
"""How a device goes is seen, and why. tests/bench/liveness_bench.py measures how soon."""
import time
import unittest

import wire
from fleet_fixture import FleetTest, program, wait_until
from spoken_device import SpokenDevice

TRIALS = 3
CLONE_ALARM_S = 30  # after the last takeover
TAKEOVER_S = 3      # in which an agent that was pushed out connects again


class Liveness(FleetTest):
    def setUp(self):
        self.start_all()
        self.fleet.wait_settled()
        self.stream = self.fleet.stream()

    def assert_goes(self, act, reason, within_s):
        since = time.monotonic()
        act()
        at, event = self.stream.wait_state("pi-1", "offline", since)
        self.assertEqual(event["reason"], reason)
        self.assertLess(at - since, within_s)

    def assert_returns(self, act):
        since = time.monotonic()
        act()
        self.stream.wait_state("pi-1", "online", since)

    def test_killed_is_lost_and_comes_back(self):
        for _ in range(TRIALS):
            self.assert_goes(self.fleet.devices["pi-1"].kill, "lost", 1.5)
            self.assert_returns(lambda: self.fleet.start_device("pi-1"))
        self.assertEqual(self.fleet.views()["pi-1"]["epoch"], 1 + TRIALS)

    def test_frozen_is_silent_and_comes_back(self):
        device = self.fleet.devices["pi-1"]
        for _ in range(TRIALS):
            self.assert_goes(device.freeze, "silent", 4)
            self.assert_returns(device.thaw)
        self.assertEqual(self.fleet.views()["pi-1"]["epoch"], 1)

    def test_stopped_is_clean_and_comes_back(self):
        for _ in range(TRIALS):
            self.assert_goes(lambda: self.assertEqual(self.fleet.devices["pi-1"].stop(), 0), "clean", 2)
            self.assert_returns(lambda: self.fleet.start_device("pi-1"))

    def test_the_reason_is_stored_and_shown(self):
        self.assert_goes(self.fleet.devices["pi-1"].kill, "lost", 1.5)
        self.assertEqual(self.fleet.views()["pi-1"]["reason"], "lost")
        wait_until("it is stored", lambda: self.fleet.rows("SELECT state, reason FROM liveness")[-1] ==
                   ("offline", "lost"))

    def test_a_late_will_of_an_older_life_does_not_kill_the_newer_one(self):
        self.assert_goes(self.fleet.devices["pi-1"].kill, "lost", 1.5)
        started = self.fleet.rows("SELECT started_unix_ms FROM device")[0][0]
        self.assert_returns(lambda: self.fleet.start_device("pi-1"))
        changes = len(self.stream.events)
        late = self.fleet.peer()
        for presence in (wire.LOST, wire.OFFLINE):
            for epoch in (1, 2):
                late.publish("rpi/pi-1/status", wire.status(presence, epoch, started), qos=1)
        wait_until("they have arrived", lambda: self.fleet.metrics()["fleet_stale_epoch_total"] == 4)
        time.sleep(0.5)  # a will that counts would have taken effect
        self.assertEqual(self.fleet.views()["pi-1"]["state"], "online")
        self.assertEqual(len(self.stream.events), changes)

    def test_entities_are_what_their_device_is(self):
        def states():
            return [entity["state"] for entity in self.fleet.views()["pi-1"]["entities"]]
        self.assertEqual(states(), ["online"] * 3)
        self.assert_goes(self.fleet.devices["pi-1"].freeze, "silent", 4)
        self.assertEqual(states(), ["offline"] * 3)
        self.assert_returns(self.fleet.devices["pi-1"].thaw)
        wait_until("they are online", lambda: states() == ["online"] * 3)

    def test_an_entity_that_is_in_no_report_goes_alone(self):
        device = SpokenDevice(self.fleet, "by-hand", entities=[1, 2])
        def states():
            view = self.fleet.views().get("by-hand", {})
            return view.get("state"), [entity["state"] for entity in view.get("entities", [])]
        wait_until("both are online", lambda: states() == ("online", ["online", "online"]))
        device.entities = [1]
        for state in ("stale", "offline"):
            wait_until(f"the other is {state}", lambda state=state: states() == ("online", ["online", state]))
        device.entities = [1, 2]
        wait_until("both are online", lambda: states() == ("online", ["online", "online"]))

    def test_a_device_that_was_only_heard_of_is_unknown(self):
        peer = self.fleet.peer()
        peer.publish("rpi/ghost/status", wire.status(wire.ONLINE, 1, 1), qos=1)
        peer.publish("rpi/ghost/state", wire.state_report(1, 1, [1]))
        wait_until("it is known", lambda: self.fleet.views().get("ghost", {}).get("entities"))
        time.sleep(2.5)  # a silence that would make others offline
        view = self.fleet.views()["ghost"]
        self.assertEqual((view["state"], view["entities"][0]["state"]), ("unknown", "unknown"))

    def test_fail_safe_is_shown_while_it_lasts(self):
        states = self.fleet.stream("state")
        device = SpokenDevice(self.fleet, "by-hand")
        for fail_safe in (True, False):
            since = time.monotonic()
            device.say_online(fail_safe)
            states.wait_for(f"fail_safe is {fail_safe}",
                            lambda view, now=fail_safe: view["id"] == "by-hand" and view["fail_safe"] == now, since)
            self.assertEqual(self.fleet.get_json("/api/v1/status")["fail_safe"], int(fail_safe))


class TwoDevicesWithOneId(FleetTest):
    def start_twin(self):
        return self.fleet.start("twin", program("fleet-device"), "--id", "pi-1", "--broker", self.fleet.broker_url,
                                "--entities", "1", "--data", self.fleet.directory / "data-twin")

    def alarm(self):
        return self.fleet.views()["pi-1"]["clone_alarm"]

    def history(self):
        changes = self.fleet.get_json("/api/v1/devices/pi-1/liveness")["changes"]
        return [(change["state"], change["reason"]) for change in reversed(changes)]

    def test_are_an_alarm_that_ends_and_no_flapping(self):
        self.start_all()
        twin = self.start_twin()
        wait_until("the alarm begins", self.alarm)
        self.assertEqual(self.fleet.get_json("/api/v1/status")["clone_alarms"], 1)
        for _ in range(5):
            status, body = self.fleet.post("/api/v1/devices/pi-1/segments",
                                           {"entity_id": 1, "to_x_mm": 50, "v0_mm_s": 500, "type": "line", "ttl_ms": 5000})
            self.assertEqual(status, 409, body)
            self.assertIn("two devices use the id", body)
            view = self.fleet.views()["pi-1"]
            self.assertEqual((view["state"], view["reason"]), ("online", "replaced"))
            time.sleep(1)  # they take the connection from each other meanwhile
        since = time.monotonic()
        twin.stop()
        wait_until("the alarm ends", lambda: not self.alarm(), CLONE_ALARM_S + TAKEOVER_S + 10)
        self.assertGreater(time.monotonic() - since, CLONE_ALARM_S - TAKEOVER_S)
        wait_until("it is stored", lambda: self.history() == [("online", ""), ("online", "replaced"), ("online", "")])
        self.assert_moves("pi-1")


if __name__ == "__main__":
    unittest.main()
