#!/usr/bin/python3
"""The bad network does what it says and nothing else, the clocks jump, and a seed gives one schedule."""
import contextlib
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import links
import schedule

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from stage import WALL_OFFSET, WallClock  # noqa: E402

PATIENCE_S = 10.0
ROLES = {"broker": "broker", "server": "server", "pi-1": "device", "controller-pi-1": "controller"}


def publish(topic, payload, qos=0, retain=0, properties=b""):
    body = len(topic).to_bytes(2, "big") + topic.encode() + (b"\x00\x07" if qos else b"") + \
        links.remaining_length(len(properties)) + properties + payload
    return bytes([0x30 | qos << 1 | retain]) + links.remaining_length(len(body)) + body


class Packets(unittest.TestCase):
    def test_whole_packets_are_taken_and_the_rest_stays(self):
        long = publish("a/b", bytes(300))
        buffer = bytearray(b"\xc0\x00" + long + long[:5])
        self.assertEqual(links.split(buffer), [b"\xc0\x00", long])
        self.assertEqual(bytes(buffer), long[:5])

    def test_the_copy_of_qos_1_is_qos_0_without_a_packet_id(self):
        self.assertEqual(links.copy_of(publish("rpi/a/event", b"xyz", qos=1, retain=1)),
                         publish("rpi/a/event", b"xyz", retain=1))

    def test_properties_stay(self):
        self.assertEqual(links.copy_of(publish("t", b"x", qos=1, properties=b"\x01\x01")),
                         publish("t", b"x", properties=b"\x01\x01"))

    def test_what_is_no_publish_or_has_an_alias_only_is_not_doubled(self):
        self.assertIsNone(links.copy_of(b"\xc0\x00"))
        self.assertIsNone(links.copy_of(publish("", b"x", qos=1, properties=b"\x23\x00\x01")))


class Echo:
    """In place of the broker: says back what it is told."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.echo, args=[connection], daemon=True).start()

    @staticmethod
    def echo(connection):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                connection.sendall(data)


class Bad(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.addCleanup(self.echo.listener.close)
        self.network = links.Network(1, lambda: self.echo.port)
        self.addCleanup(self.network.close)
        self.link = self.network.add("pi-1")
        self.client = socket.create_connection(("127.0.0.1", self.link.port), PATIENCE_S)
        self.addCleanup(self.client.close)

    def receive(self, size):
        data = b""
        while len(data) < size and (more := self.client.recv(65536)):
            data += more
        return data

    def test_what_is_healthy_goes_through(self):
        packet = publish("a/b", b"x", qos=1)
        self.client.sendall(packet)
        self.assertEqual(self.receive(len(packet)), packet)

    def test_silence_holds_and_does_not_lose(self):
        packet = publish("a/b", b"x")
        self.link.silent = True
        self.client.sendall(packet)
        self.client.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            self.client.recv(1)
        self.client.settimeout(PATIENCE_S)
        self.link.heal()
        self.assertEqual(self.receive(len(packet)), packet)

    def test_delay_is_at_least_what_was_asked_for_each_way(self):
        packet = publish("a/b", b"x")
        self.link.delay_s = 0.1
        began = time.monotonic()
        self.client.sendall(packet)
        self.assertEqual(self.receive(len(packet)), packet)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_a_slow_link_takes_its_time(self):
        packet = publish("a/b", bytes(500))
        self.link.bytes_per_s = 5000.0
        began = time.monotonic()
        self.client.sendall(packet + packet)
        self.assertEqual(self.receive(2 * len(packet)), packet + packet)
        self.assertGreaterEqual(time.monotonic() - began, 0.1)

    def test_a_status_is_doubled_at_once_on_each_way(self):
        packet = publish("rpi/a/status", b"x", qos=1)
        self.link.doubled = 1.0
        self.client.sendall(packet)
        copy = links.copy_of(packet)
        received = self.receive(len(packet) + 3 * len(copy))
        self.assertEqual(received.count(packet[2:]) + received.count(copy), 4)

    def test_reset_breaks_the_connection(self):
        packet = publish("a/b", b"x")
        self.client.sendall(packet)
        self.receive(len(packet))
        self.network.reset("pi-1")
        with self.assertRaises(ConnectionResetError):
            self.client.recv(1)

    def test_a_broker_that_is_away_breaks_it_too(self):
        self.network.broker_port = lambda: 1
        with contextlib.suppress(ConnectionResetError):  # while it connects, too
            with socket.create_connection(("127.0.0.1", self.link.port), PATIENCE_S) as other:
                other.sendall(b"x")
                self.assertEqual(other.recv(1), b"")


class Schedule(unittest.TestCase):
    def test_a_seed_gives_one_schedule_and_another_seed_another(self):
        self.assertEqual(schedule.plan(7, 5, ROLES), schedule.plan(7, 5, ROLES))
        self.assertNotEqual(schedule.plan(7, 5, ROLES), schedule.plan(8, 5, ROLES))

    def test_what_cannot_be_had_is_left_out_and_the_rest_stays(self):
        faults = schedule.plan(7, 5, ROLES)
        self.assertEqual(schedule.plan(7, 5, ROLES, ("full_disk",)), [f for f in faults if f.kind != "full_disk"])

    def test_ten_minutes_have_every_kind_and_no_lane_has_two_at_once(self):
        faults = schedule.plan(7, 10, ROLES)
        self.assertEqual({fault.kind for fault in faults}, set(schedule.KINDS))
        free = {}
        for fault in faults:
            lane = fault.target, schedule.KINDS[fault.kind].lane
            self.assertGreaterEqual(fault.at_s, free.get(lane, 0.0))
            free[lane] = fault.at_s + fault.seconds


class Clocks(unittest.TestCase):
    def test_the_wall_clock_jumps_and_the_monotonic_one_does_not(self):
        if not WALL_OFFSET.exists():
            self.skipTest(f"{WALL_OFFSET.name} is not built")
        code = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
        with tempfile.TemporaryDirectory() as directory:
            clock = WallClock(pathlib.Path(directory) / "offset")
            for offset in (0.0, 3600.0, -3600.0):
                clock.set(offset)
                before = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
                read = subprocess.run([sys.executable, "-c", code], env=clock.environment, capture_output=True,
                                      text=True, check=True).stdout
                wall, mono, boot = (float(word) - was for word, was in zip(read.split(), before))
                for seconds, expected in ((wall, offset), (mono, 0.0), (boot, 0.0)):
                    self.assertTrue(expected - 0.01 <= seconds < expected + PATIENCE_S, (offset, wall, mono, boot))


if __name__ == "__main__":
    unittest.main()
