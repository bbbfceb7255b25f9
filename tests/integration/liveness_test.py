#!/usr/bin/python3
"""How a device goes is seen, and why. tests/bench/liveness_bench.py measures how soon."""
import time
import unittest

from fleet_fixture import FleetTest, wait_until

TRIALS = 3


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
        self.assertIn("lost", self.fleet.fleetctl("status").stdout)
        wait_until("it is stored", lambda: self.fleet.rows("SELECT state, reason FROM liveness")[-1] ==
                   ("offline", "lost"))


if __name__ == "__main__":
    unittest.main()
