#!/usr/bin/python3
"""Whatever arrives between good messages is counted by reason, harms no good one, and takes no memory."""
import random
import time
import unittest

import wire
from fleet_fixture import FleetTest, wait_until

RATE_HZ = 10_000
SECONDS = 3
OVERSIZED_BYTES = 64 * 1024 + 1
REASONS = ("oversized", "topic", "parse", "version", "meaning")
GOOD = wire.heartbeat(1, 1)


def bad_messages(seed):
    """Endless (topic, payload, reason); a reason of None is one of parse, version and meaning."""
    chance = random.Random(seed)
    while True:
        # Between good ones: the topics of devices that are there.
        mine = f"rpi/pi-{chance.randint(1, 3)}"
        yield f"{mine}/heartbeat", GOOD[:-1], "parse"  # ends inside a number
        yield f"{mine}/state", b"\x22\x7f" + chance.randbytes(20), "parse"  # an entity that is longer than its message
        yield f"{mine}/state", wire.message({1: 1, 2: 5, 15: 9}), "version"
        yield f"{mine}/status", wire.message({1: 1, 2: 1, 15: 9}), "version"
        yield f"{mine}/heartbeat", wire.heartbeat(0, 7), "meaning"
        yield f"{mine}/status", wire.message({1: 77, 2: 1}), "meaning"
        yield f"{mine}/heartbeet", GOOD, "topic"
        yield "rpi/no such device/state", GOOD, "topic"
        yield f"rpi/{'x' * 65}/heartbeat", GOOD, "topic"
        yield "rpi/noise/state", chance.randbytes(chance.randint(1, 200)), None


class BadInput(FleetTest):
    def rejected(self):
        metrics = self.fleet.metrics()
        return {reason: int(metrics[f'fleet_ingest_rejected_total{{reason="{reason}"}}']) for reason in REASONS}

    def flood(self, peer, seconds, seed):
        """Publishes bad messages evenly; says how many there were of each reason."""
        sent = dict.fromkeys((*REASONS, None), 0)
        messages = bad_messages(seed)
        began = time.monotonic()
        total = 0
        while (passed := time.monotonic() - began) < seconds:
            while total < passed * RATE_HZ:
                topic, payload, reason = next(messages)
                peer.publish(topic, payload)
                sent[reason] += 1
                total += 1
            if total % 1000 == 0:
                peer.publish("rpi/pi-1/state", bytes(OVERSIZED_BYTES))
                sent["oversized"] += 1
                total += 1
            time.sleep(0.001)
        return sent

    def wait_counted(self, sent, before):
        total = sum(sent.values()) + sum(before.values())
        wait_until(f"all {total} are refused", lambda: sum(self.rejected().values()) >= total, 30)

    def test_flood(self):
        self.start_all(3)
        self.fleet.wait_settled()
        peer = self.fleet.peer("vandal")
        warm = self.flood(peer, 1, seed=1)  # lets buffers grow to what they need
        peer.publish("rpi/pi-1/state", bytes(OVERSIZED_BYTES))
        warm["oversized"] += 1
        self.wait_counted(warm, dict.fromkeys(REASONS, 0))
        before, rss = self.rejected(), self.fleet.server.rss_bytes()

        sent = self.flood(peer, SECONDS, seed=2)
        self.wait_counted(sent, before)
        grown = self.fleet.server.rss_bytes() - rss
        counted = {reason: count - before[reason] for reason, count in self.rejected().items()}
        print(f"\n{sum(sent.values()) / SECONDS:.0f} bad messages/s: {counted}; memory grew by {grown} bytes")

        for reason in ("oversized", "topic"):
            self.assertEqual(counted[reason], sent[reason], reason)
        for reason in ("parse", "version", "meaning"):
            self.assertGreaterEqual(counted[reason], sent[reason], reason)
        self.assertEqual(sum(counted.values()), sum(sent.values()))
        self.assertLess(grown, 8 << 20)
        self.assertLess(len(self.fleet.server.log()), 32 * 1024)
        self.assert_good_devices_are_unharmed()

    def assert_good_devices_are_unharmed(self):
        views = self.fleet.views()
        self.assertEqual(set(views), set(self.fleet.devices), "noise became a device")
        for view in views.values():
            self.assertEqual((view["state"], view["epoch"]), ("online", 1))
            self.assertEqual((view["loss"]["missing"], view["loss"]["duplicate"]), (0, 0))
        self.assertEqual(self.fleet.metrics()["fleet_ingest_dropped_total"], 0)
        self.assert_moves("pi-1")
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assertEqual(self.fleet.rows("SELECT DISTINCT state FROM liveness"), [("online",)])

    def test_each_kind_is_counted_once(self):
        self.start_all()
        peer = self.fleet.peer()
        for topic, payload, reason in [("rpi/pi-1/state", bytes(OVERSIZED_BYTES), "oversized"),
                                       ("rpi/pi-1/nonsense", b"", "topic"),
                                       ("rpi/pi-1/heartbeat", b"\xff", "parse"),
                                       ("rpi/pi-1/heartbeat", wire.heartbeat(1, 9, protocol=9), "version"),
                                       ("rpi/pi-1/heartbeat", b"", "meaning")]:
            wanted = self.rejected()
            wanted[reason] += 1
            peer.publish(topic, payload)
            wait_until(f"one more is counted as {reason}", lambda: self.rejected() == wanted)

    def test_a_device_clock_may_say_anything(self):
        self.fleet.start_broker().start_server()
        peer = self.fleet.peer()
        for device, clock in (("past", 0), ("future", 2**63 - 1), ("absurd", 2**64 - 1)):
            peer.publish(f"rpi/{device}/heartbeat", wire.heartbeat(1, 1, clock))
        self.fleet.wait_states({"past": "online", "future": "online", "absurd": "online"})
        self.assertTrue(all(0 <= view["last_heartbeat_ms_ago"] < 5000 for view in self.fleet.views().values()))
        self.assertEqual(self.fleet.fleetctl("status").returncode, 0)

    def test_state_before_any_heartbeat_is_taken(self):
        self.fleet.start_broker().start_server()
        entity = wire.message({1: 7, 2: 246, 3: 911})  # zigzag of 123 and -456
        self.fleet.peer().publish("rpi/early/state", wire.message({1: 1, 2: 1, 3: 1, 4: entity}))
        wait_until("it is known", lambda: "early" in self.fleet.views())
        view = self.fleet.views()["early"]
        self.assertEqual((view["state"], view["entities"][0]["x_mm"], view["entities"][0]["y_mm"]),
                         ("unknown", 123, -456))
        self.assertNotIn("last_heartbeat_ms_ago", view)


if __name__ == "__main__":
    unittest.main()
