#!/usr/bin/python3
"""Events and telemetry arrive once, over restarts of everything, and the books balance."""
import contextlib
import http.client
import json
import pathlib
import sqlite3
import sys
import time
import unittest

from fleet_fixture import ROOT, FleetTest, wait_until

sys.path.insert(0, str(ROOT / "tests" / "bench"))
from telemetry_feed import stored_samples  # noqa: E402


class StreamTest(FleetTest):
    def start(self):
        self.fleet.start_broker().start_server()
        self.start_feeder()
        self.fleet.wait_states({"pi-1": "online"})

    def start_feeder(self, *more):
        device = self.fleet.start_device("pi-1", "--http", "127.0.0.1:0", *more)
        self.port = int(device.wait_log(r"local api listens port=(\d+)")[1])

    def post(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def tell(self, name):
        status, body = self.post("/events", {"name": name})
        self.assertLess(status, 300, body)

    def feed(self, *values):
        status, body = self.post("/telemetry", {"samples": [{"signal": "engine/rpm", "value": value}
                                                            for value in values]})
        self.assertLess(status, 300, body)

    def told(self):
        """Names of stored events, as often as they are stored."""
        return sorted(name for (name,) in self.fleet.rows("SELECT name FROM event WHERE name <> ''"))

    def samples(self):
        return sorted(value for _, _, value in stored_samples(self.fleet.directory / "server" / "fleet.db"))

    def spooled(self, device="pi-1"):
        file = pathlib.Path(self.fleet.directory) / f"data-{device}" / "spool.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            return database.execute("SELECT coalesce(sum(records), 0) FROM batch").fetchone()[0]

    def wait_balanced(self):
        """Everything sent is stored or accounted for, and nothing is on its way."""
        def balanced():
            ledger = self.fleet.get_json("/api/v1/devices/pi-1/ledger")
            return ledger["balanced"] and ledger["streams"] and \
                all(s["in_flight"] == 0 for s in ledger["streams"]) and ledger
        ledger = wait_until("the ledger balances with nothing in flight", balanced, 30)
        for stream in ledger["streams"]:
            self.assertEqual(stream["sent"], stream["stored"] + stream["dropped"] + stream["in_flight"], stream)
        return {stream["stream"]: stream for stream in ledger["streams"]}


class Arrives(StreamTest):
    def test_what_is_told_is_stored_once_and_forgotten_by_the_device(self):
        self.start()
        for number in range(5):
            self.tell(f"door-{number}")
        self.feed(1, 2, 3)
        wait_until("all is stored", lambda: len(self.told()) == 5 and len(self.samples()) == 3)
        self.assertEqual(self.samples(), [1, 2, 3])
        wait_until("the device keeps nothing of it", lambda: self.spooled() == 0)
        self.assertEqual(self.wait_balanced()["telemetry"]["stored"], 3)

    def test_an_outage_with_a_kill_in_the_middle_loses_nothing_that_was_on_the_disk(self):
        self.start()
        self.fleet.broker.kill()
        for number in range(20):
            self.tell(f"before-{number:02}")
        self.feed(*range(100))
        wait_until("it is on the disk", lambda: self.spooled() >= 120)
        self.fleet.devices["pi-1"].kill()
        self.start_feeder()
        self.tell("after")
        self.fleet.start_broker()
        wait_until("all is stored", lambda: len(self.told()) >= 21 and len(self.samples()) >= 100, 30)
        self.assertEqual(self.told(), ["after"] + [f"before-{number:02}" for number in range(20)])
        self.assertEqual(self.samples(), list(range(100)))
        self.wait_balanced()
        backlog = {name: late for name, late in self.fleet.rows("SELECT name, backlog FROM event")}
        self.assertEqual(backlog["before-00"], 1, "it is marked as one that waited")

    def test_a_restart_of_the_server_loses_and_doubles_nothing(self):
        self.start()
        for number in range(30):
            self.tell(f"event-{number:02}")
            self.feed(number)
            if number % 10 == 5:
                self.fleet.server.kill()
                self.fleet.start_server()
        wait_until("all is stored", lambda: len(self.told()) >= 30 and len(self.samples()) >= 30, 30)
        self.assertEqual(self.told(), [f"event-{number:02}" for number in range(30)])
        self.assertEqual(self.samples(), list(range(30)))
        self.wait_balanced()

    def test_a_clean_stop_keeps_what_was_only_in_memory(self):
        self.start()
        self.fleet.broker.kill()
        self.feed(*range(10))
        self.assertEqual(self.fleet.devices["pi-1"].stop(), 0)
        self.assertGreaterEqual(self.spooled(), 10)
        self.start_feeder()
        self.fleet.start_broker()
        wait_until("all is stored", lambda: len(self.samples()) >= 10, 30)
        self.assertEqual(self.samples(), list(range(10)))
        self.wait_balanced()


class Gives(StreamTest):
    def test_a_full_spool_drops_the_oldest_telemetry_and_counts_it(self):
        self.fleet.start_broker().start_server()
        self.start_feeder("--spool.keep_mib", "1")
        self.fleet.wait_states({"pi-1": "online"})
        self.fleet.broker.kill()
        self.tell("kept")
        total = 0
        for _ in range(250):  # some 10 bytes each: well over a MiB
            self.feed(*range(total, total + 500))
            total += 500
        began = time.monotonic()
        wait_until("it is on the disk", lambda: time.monotonic() > began + 2)
        self.fleet.start_broker()
        wait_until("the newest is stored", lambda: total - 1 in self.samples()[-1:], 30)
        books = self.wait_balanced()
        self.assertEqual(books["telemetry"]["sent"], total)
        self.assertGreater(books["telemetry"]["dropped"], 0)
        self.assertEqual([drop["reason"] for drop in books["telemetry"]["drops"]], ["spool_full"])
        self.assertEqual(self.told(), ["kept"])
        samples = self.samples()
        self.assertEqual(samples, list(range(total - len(samples), total)), "the newest are kept, without a hole")

    def test_fleetctl_shows_the_books(self):
        self.start()
        self.feed(1, 2)
        wait_until("both are stored", lambda: len(self.samples()) == 2)
        self.wait_balanced()
        shown = self.fleet.fleetctl("ledger", "pi-1")
        self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
        self.assertRegex(shown.stdout, r"telemetry +2 +2 +0 +0")


class Refuses(StreamTest):
    def test_bad_requests_are_answered_with_what_is_wrong(self):
        self.start()
        for body, word in (({"samples": [{"signal": "no slash", "value": 1}]}, "no slash"),
                           ({"sample": []}, "sample"), ({"samples": [{"signal": "a/b", "value": "x"}]}, "")):
            status, text = self.post("/telemetry", body)
            self.assertEqual(status, 400, text)
            self.assertIn(word, text)
        self.assertEqual(self.post("/events", {"name": ""})[0], 400)

    def test_what_cannot_be_understood_is_kept_and_shown(self):
        self.start()
        peer = self.fleet.peer("stranger")
        peer.publish("rpi/pi-1/event", b"\xff\xff\xff", qos=1)
        peer.publish("rpi/stranger/heartbeat", b"\x08\x00", qos=1)
        wait_until("both are in quarantine",
                   lambda: len(self.fleet.get_json("/api/v1/quarantine")["messages"]) == 2)
        shown = self.fleet.fleetctl("quarantine")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("rpi/pi-1/event", shown.stdout)
        self.assertIn("parse", shown.stdout)
        self.assertIn("meaning", shown.stdout)


if __name__ == "__main__":
    unittest.main()
