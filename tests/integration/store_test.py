#!/usr/bin/python3
"""A disk that is not writable, full or damaged, or somebody else's: it is said clearly, and nothing is harmed."""
import ctypes
import json
import os
import sqlite3
import subprocess
import unittest

import wire
from fleet_fixture import FleetTest, run, wait_until

DISK_BYTES = 4 << 20
CLONE_NEWNS = 0x00020000


def mount_small_disk(path):
    """For this process and its children only, so it goes with them. Whether that is allowed here."""
    path.mkdir()
    return (os.geteuid() == 0 and ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0 and
            subprocess.run(["mount", "--make-rprivate", "/"], check=False).returncode == 0 and
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", path],
                           check=False).returncode == 0)


def fill(path):
    """Writes a file until there is no space left."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"\xff" * size):
                    pass
            except OSError:
                pass


class Refusals(FleetTest):
    def refused(self, *server_arguments, data=None):
        """The one line that a server ends with."""
        answer = run(*self.fleet.server_command(*server_arguments, data=data), timeout=10)
        self.assertEqual(answer.returncode, 1, answer.stderr)
        self.assertEqual(answer.stderr.count("\n"), 1, answer.stderr)
        return answer.stderr

    def test_a_data_directory_that_cannot_be_made(self):
        self.fleet.start_broker()
        (self.fleet.directory / "file").write_text("")
        data = self.fleet.directory / "file" / "data"
        self.assertIn(f"data directory {data} cannot be made", self.refused(data=data))

    def test_a_data_directory_that_cannot_be_written(self):
        self.fleet.start_broker()
        self.assertIn("/proc/self/lock cannot be written", self.refused(data="/proc/self"))

    def test_a_second_server_on_the_same_data(self):
        self.start_all()
        port, self.fleet.http_port = self.fleet.http_port, None
        self.assertIn("is used by another process", self.refused())
        self.fleet.http_port = port
        self.assertEqual(self.fleet.get("/healthz")[0], 200)

    def test_a_second_agent_on_the_same_data(self):
        self.start_all()
        second = self.fleet.start("second", *self.fleet.devices["pi-1"].process.args[3:])
        self.assertEqual(second.wait(), 1)
        self.assertIn("is used by another process", second.log())
        self.assertIn("--data", second.log())
        self.assertEqual(self.fleet.views()["pi-1"]["state"], "online")

    def test_a_database_that_is_none_of_ours(self):
        self.fleet.start_broker()
        data = self.fleet.directory / "server"
        data.mkdir()
        with sqlite3.connect(data / "fleet.db") as database:
            database.execute("CREATE TABLE cats (name)")
        database.close()
        self.assertIn("is a database of another program", self.refused())

    def test_a_damaged_database(self):
        self.start_all()
        wait_until("there is history", lambda: len(self.fleet.rows("SELECT block FROM state_history")) > 3)
        self.assertEqual(self.fleet.server.stop(), 0)
        self.fleet.http_port = None
        file = self.fleet.directory / "server" / "fleet.db"
        self.assertEqual({path.name for path in file.parent.iterdir()}, {"fleet.db", "lock"}, "a stop leaves one file")
        whole = file.read_bytes()
        page = int.from_bytes(whole[16:18], "big")
        for name, damage in {"header": whole[:10] + b"\0" * 90 + whole[100:],
                             "schema": whole[:100] + b"\xff" * (page - 100) + whole[page:],
                             "tables": whole[:page] + b"\xa5" * page * 12 + whole[13 * page:],
                             "half": whole[:len(whole) // 2]}.items():
            with self.subTest(name):
                self.assertNotEqual(damage, whole)
                file.write_bytes(damage)
                said = self.refused()
                self.assertIn(f"the database {file} is damaged", said)
                self.assertIn("backup", said)
                self.assertEqual(file.read_bytes(), damage, "the file has changed")
        file.write_bytes(whole)
        self.fleet.start_server()
        self.fleet.wait_online()


class FullDisk(FleetTest):
    def setUp(self):
        self.data = self.fleet.directory / "disk"
        if not mount_small_disk(self.data):
            self.skipTest("needs root, and a mount namespace of its own")
        self.addCleanup(lambda: subprocess.run(["umount", "-l", self.data], check=False))
        self.fleet.start_broker().start_server(data=self.data)
        for device in ("pi-1", "pi-2"):
            self.fleet.start_device(device)
        self.fleet.wait_online()
        self.fleet.wait_settled()

    def test_is_said_while_the_rest_goes_on_and_heals(self):
        fill(self.data / "filler")
        wait_until("it is unwell", lambda: self.fleet.get("/healthz")[0] == 503)
        health = json.loads(self.fleet.get("/healthz")[1])
        self.assertEqual((health["ok"], health["broker"]), (False, "connected"))
        self.assertIn("full", health["store"])
        self.fleet.server.wait_log("store fails, will try again error=.*full")
        self.assertEqual(self.fleet.metrics()["fleet_store_works"], 0)

        self.fleet.devices["pi-1"].kill()
        self.fleet.wait_states({"pi-1": "offline", "pi-2": "online"})
        self.assertIn("pi-2", self.fleet.fleetctl("status").stdout)
        self.assertTrue(self.fleet.get_json("/api/v1/devices/pi-2/entities/1/history")["samples"])
        refused = self.fleet.move("pi-2")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("could not be stored", refused.stderr)

        (self.data / "filler").unlink()
        wait_until("it is well again", lambda: self.fleet.get("/healthz")[0] == 200)
        self.assert_moves("pi-2")
        self.assertEqual(self.fleet.server.stop(), 0)
        self.assert_nothing_is_missing()

    def test_at_the_stop_is_told_and_damages_nothing(self):
        fill(self.data / "filler")
        wait_until("it is unwell", lambda: self.fleet.get("/healthz")[0] == 503)
        self.assertEqual(self.fleet.server.stop(), 1)
        self.assertIn("full", self.fleet.server.log().splitlines()[-1])
        self.assertEqual(self.fleet.rows("PRAGMA integrity_check", data=self.data), [("ok",)])
        (self.data / "filler").unlink()
        self.fleet.start_server(data=self.data)
        self.fleet.wait_online()

    def assert_nothing_is_missing(self):
        rows = lambda sql: self.fleet.rows(sql, data=self.data)
        self.assertEqual(rows("PRAGMA integrity_check"), [("ok",)])
        self.assertIn(("pi-1", "offline", "lost"), rows("SELECT id, liveness.state, liveness.reason FROM liveness "
                                                       "JOIN device USING (device)"))
        for device, highest, stored in rows("SELECT device, highest, stored FROM loss WHERE stream = 'state'"):
            blocks = self.fleet.rows("SELECT samples FROM state_history WHERE device = ?", device, data=self.data)
            self.assertEqual({seq for (samples,) in blocks for _, seq in wire.block_sequences(samples)},
                             set(range(1, highest + 1)))
            self.assertEqual(stored, highest)


if __name__ == "__main__":
    unittest.main()
