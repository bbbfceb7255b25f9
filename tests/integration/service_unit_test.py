#!/usr/bin/python3
"""The agent as a service: its unit file is sound and closes what it does not need, and its loop feeds the watchdog."""
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from fleet_fixture import ROOT, FleetTest, program
from stopped_loop import stopped_loop

UNIT = ROOT / "device" / "fleet-device.service"
MOST_EXPOSED = 2.0
SKIPPED = 77  # SKIP_RETURN_CODE of the test in CMake
WATCHDOG_S = 0.4
HANG_S = 5 * WATCHDOG_S


def analyze(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)


class UnitFile(unittest.TestCase):
    def test_systemd_understands_it(self):
        with tempfile.TemporaryDirectory() as directory:
            unit = pathlib.Path(directory) / UNIT.name
            unit.write_text(UNIT.read_text().replace("/usr/local/bin/fleet-device", program("fleet-device")))
            done = analyze("verify", "--man=no", unit)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_it_is_closed(self):
        done = analyze("security", "--offline=true", "--no-pager", UNIT)
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)[1])
        self.assertLessEqual(exposure, MOST_EXPOSED, done.stdout)

    def test_it_is_started_again_for_ever_but_not_after_a_mistake_in_the_configuration(self):
        lines = UNIT.read_text().splitlines()
        for line in ("Type=notify", "WatchdogSec=10", "Restart=always", "RestartSec=1", "RestartPreventExitStatus=2",
                     "StartLimitIntervalSec=0"):
            self.assertIn(line, lines)


class Notifications(FleetTest):
    def setUp(self):
        path = str(self.fleet.directory / "notify")
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.systemd.close)
        self.systemd.bind(path)
        self.fleet.start_broker()
        self.agent = self.fleet.start("agent", program("fleet-device"), "--id", "pi-1", "--broker",
                                      self.fleet.broker_url, "--data", self.fleet.directory / "data",
                                      env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))})

    def next(self, timeout=15):
        """What the agent tells next; None when it tells nothing for so long."""
        self.systemd.settimeout(timeout)
        try:
            return self.systemd.recv(1000).decode()
        except TimeoutError:
            return None

    def wait_for(self, wanted):
        while (told := self.next()) != wanted:
            self.assertIsNotNone(told, f"{wanted} was not told")

    def fed_for(self, seconds):
        """How often it feeds the watchdog."""
        count, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            count += self.next(left) == "WATCHDOG=1"
        return count

    def test_it_is_ready_says_how_it_is_feeds_the_watchdog_and_says_that_it_stops(self):
        self.assertEqual(self.next(), "READY=1")
        self.wait_for("STATUS=broker connected")
        self.assertGreaterEqual(self.fed_for(HANG_S), 5)
        self.fleet.broker.kill()
        self.wait_for("STATUS=broker not connected: connection lost")
        self.agent.send(15)
        self.wait_for("STOPPING=1")
        self.assertEqual(self.agent.wait(), 0)

    def test_a_loop_that_hangs_does_not_feed_it_though_the_other_threads_go_on(self):
        self.wait_for("WATCHDOG=1")
        with stopped_loop(self.agent.process.pid):
            self.fed_for(WATCHDOG_S)  # what was told before it stopped
            self.assertEqual(self.fed_for(HANG_S), 0)
        self.wait_for("WATCHDOG=1")

    def test_an_agent_that_is_stopped_does_not_feed_it(self):
        self.wait_for("WATCHDOG=1")
        self.agent.freeze()
        self.fed_for(WATCHDOG_S)
        self.assertEqual(self.fed_for(HANG_S), 0)
        self.agent.thaw()
        self.wait_for("WATCHDOG=1")


if __name__ == "__main__":
    if not shutil.which("systemd-analyze"):
        print("skipped: no systemd-analyze")
        sys.exit(SKIPPED)
    unittest.main()
