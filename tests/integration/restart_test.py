#!/usr/bin/python3
"""A restart of the broker or of the server, at any moment: nobody is falsely declared dead and every message is
accounted for."""
import time
import unittest

import wire
from fleet_fixture import FleetTest, wait_until

BACK_WITHIN_S = 5
STOP_WITHIN_S = 2


class Restarts(FleetTest):
    def wait_reports(self, count):
        """Until each device has had `count` more messages stored."""
        before = {id_: view["loss"]["stored"] for id_, view in self.fleet.views().items()}
        wait_until(f"{count} more messages",
                   lambda: all(view["loss"]["stored"] >= before[id_] + count
                               for id_, view in self.fleet.views().items()))

    def assert_nobody_was_offline(self):
        """To be called when the server has stopped and so has stored all."""
        rows = self.fleet.rows("SELECT id, liveness.state, liveness.reason FROM liveness JOIN device USING (device)")
        self.assertTrue(rows)
        self.assertNotIn("offline", [state for _, state, _ in rows], rows)

    def stored_states(self):
        """{device id: [(epoch, seq) of each stored state report]}"""
        stored = {}
        for device, samples in self.fleet.rows("SELECT id, samples FROM state_history JOIN device USING (device) "
                                               "ORDER BY block"):
            stored.setdefault(device, []).extend(wire.block_sequences(samples))
        return stored

    def assert_accounts_are_exact(self):
        """What the server says of the state stream is what is in the database. All in the first life of each device."""
        stored = self.stored_states()
        losses = self.fleet.rows("SELECT id, highest, expected, stored, duplicate FROM loss JOIN device USING (device) "
                                 "WHERE stream = 'state'")
        counted = dict(self.fleet.rows("SELECT id, sum(reports) FROM state_history JOIN device USING (device) "
                                       "GROUP BY id"))
        self.assertEqual(len(losses), len(self.fleet.devices))
        for device, highest, expected, count, duplicate in losses:
            self.assertEqual(len(stored[device]), len(set(stored[device])), "one is stored twice")
            self.assertEqual(set(stored[device]) - {(1, seq) for seq in range(1, highest + 1)}, set())
            self.assertEqual((count, counted[device], duplicate), (len(stored[device]), len(stored[device]), 0))
            self.assertEqual(expected, highest)  # the server was there before the devices
        return stored


class BrokerRestarts(Restarts):
    def restart_broker(self, end, down=lambda: None):
        self.start_all(3)
        self.fleet.wait_settled()
        end()
        down()
        self.fleet.start_broker()
        began = time.monotonic()
        self.fleet.wait_online(timeout=BACK_WITHIN_S)
        back_after = time.monotonic() - began
        self.wait_reports(30)
        for device in self.fleet.devices:  # they hear again, too
            self.assert_moves(device)
        self.assertLess(back_after, BACK_WITHIN_S)
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assert_nobody_was_offline()
        self.assert_accounts_are_exact()

    def test_killed(self):
        self.restart_broker(lambda: self.fleet.broker.kill())

    def test_stopped(self):
        self.restart_broker(lambda: self.fleet.broker.stop())

    def test_away_for_longer_than_silence_is_allowed(self):
        def await_unknown():
            self.fleet.wait_states(dict.fromkeys(self.fleet.devices, "unknown"))
            began = time.monotonic()
            wait_until("four seconds are over", lambda: time.monotonic() > began + 4)
            self.assertEqual(self.fleet.get("/healthz")[0], 503)
        self.restart_broker(lambda: self.fleet.broker.kill(), await_unknown)


class ServerRestarts(Restarts):
    def restart_server(self):
        self.fleet.start_server()
        self.fleet.wait_online()
        self.fleet.wait_settled()
        self.fleet.wait_online()

    def test_stopped_within_time_with_all_that_had_come(self):
        self.fleet.start_broker()
        peer = self.fleet.peer("witness").subscribe("rpi/+/state")
        self.fleet.start_server()
        for device in ("pi-1", "pi-2", "pi-3"):
            self.fleet.start_device(device)
        self.fleet.wait_online()
        self.wait_reports(30)
        began = time.monotonic()
        seen = list(peer.messages)
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assertLess(time.monotonic() - began, STOP_WITHIN_S)

        stored = self.assert_accounts_are_exact()
        for device in self.fleet.devices:
            of_device = [wire.sequence(payload) for topic, payload in seen if topic == f"rpi/{device}/state"]
            self.assertGreater(len(of_device), 20)
            self.assertEqual(set(of_device) - set(stored[device]), set(), f"of {device} seen elsewhere and not stored")
        self.restart_server()
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assert_nobody_was_offline()
        self.assert_accounts_are_exact()

    def test_stops_in_time_while_somebody_watches(self):
        self.start_all()
        self.fleet.stream()
        began = time.monotonic()
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assertLess(time.monotonic() - began, STOP_WITHIN_S)

    def test_killed(self):
        self.start_all(3)
        for _ in range(3):
            self.wait_reports(15)
            self.fleet.server.kill()
            self.assert_accounts_are_exact()  # what is committed belongs together
            self.restart_server()
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assert_nobody_was_offline()
        stored = self.assert_accounts_are_exact()
        self.assertTrue(all(max(seqs)[1] > len(seqs) for seqs in stored.values()), "nothing is missing: was it away?")

    def test_asleep_for_longer_than_silence_is_allowed(self):
        self.start_all(3)
        self.fleet.wait_settled()
        self.wait_reports(10)
        began = time.monotonic()
        self.fleet.server.freeze()
        wait_until("five seconds are over", lambda: time.monotonic() > began + 5)
        self.fleet.server.thaw()
        self.wait_reports(40)
        self.fleet.wait_online()
        for view in self.fleet.views().values():
            self.assertEqual(view["loss"]["missing"], 0, "the broker had kept them")
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assert_nobody_was_offline()
        self.assert_accounts_are_exact()


if __name__ == "__main__":
    unittest.main()
