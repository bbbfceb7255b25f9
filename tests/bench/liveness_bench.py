#!/usr/bin/python3
"""How soon the server says what became of a device, and whether it says so of anybody who is well.

    tests/bench/liveness_bench.py [--trials 50] [--devices 10]

Real programs and a real mosquitto; FLEET_BUILD_DIR says which build. Times are those of an observer of the live stream,
from the signal on. Prints one JSON line; exit code 0 when every figure is within its limit.

    kill      kill -9: offline for the reason "lost", p99 within 0.3 s
    stop      SIGSTOP: offline for the reason "silent", p99 within 2.2 s
    term      SIGTERM: offline for the reason "clean"
    broker    SIGTERM and kill -9 in turn: from the new broker on until the last device is online, within 5 s
    server    SIGTERM and kill -9 in turn: from the new server on until the last device is online; nobody offline
"""
import argparse
import json
import math
import os
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from fleet_fixture import Fleet, wait_until  # noqa: E402

LIMITS_S = {"kill": 0.3, "stop": 2.2, "term": 1.0, "broker": 5.0, "server": 5.0}
STAGGER_S = 0.05  # between devices on average, so that their heartbeats and the observer meet in every phase


class Bench:
    def __init__(self, directory, trials, devices):
        self.chance = random.Random(1)
        self.trials = trials
        self.rounds = math.ceil(trials / devices)
        self.fleet = Fleet(directory)
        self.fleet.start_broker().start_server()
        for number in range(devices):
            self.fleet.start_device(f"pi-{number}")
        self.fleet.wait_online()
        self.fleet.wait_settled()
        self.stream = self.fleet.stream()
        self.falsely_offline = 0

    def figures(self, name, seconds, good):
        """`good`: everything but the time is as it must be."""
        seconds = sorted(seconds)
        p99 = seconds[math.ceil(len(seconds) * 0.99) - 1]
        return {"trials": len(seconds), "p50_s": round(seconds[len(seconds) // 2], 3), "p99_s": round(p99, 3),
                "max_s": round(seconds[-1], 3), "limit_s": LIMITS_S[name], "pass": good and p99 <= LIMITS_S[name]}

    def go_and_return(self, name, go, reason, come):
        """Each device in turn goes by `go` and, when all are seen offline, returns by `come`."""
        seconds, reasons = [], []
        for _ in range(self.rounds):
            gone = {}
            for device in self.fleet.devices:
                time.sleep(self.chance.uniform(0, 2 * STAGGER_S))
                gone[device] = time.monotonic()
                go(self.fleet.devices[device])
            for device, since in gone.items():
                at, event = self.stream.wait_state(device, "offline", since)
                seconds.append(at - since)
                reasons.append(event["reason"])
            back = time.monotonic()
            for device in list(self.fleet.devices):
                come(device)
            for device in self.fleet.devices:
                self.stream.wait_state(device, "online", back)
        right = reasons.count(reason)
        return self.figures(name, seconds, right == len(reasons)) | {"reason": reason, "with_reason": right}

    def count_offline(self, events):
        return sum(event["state"] == "offline" for _, event in events)

    def end_in_turn(self, trial, program):
        program.stop() if trial % 2 == 0 else program.kill()

    def restart_broker(self):
        seconds, offline = [], 0
        for trial in range(self.trials):
            ended = time.monotonic()
            self.end_in_turn(trial, self.fleet.broker)
            began = time.monotonic()
            self.fleet.start_broker()
            seconds.append(max(self.stream.wait_state(device, "online", ended)[0] for device in self.fleet.devices) -
                           began)
            self.wait_declared()
            offline += self.count_offline(event for event in self.stream.events if event[0] >= ended)
        return self.figures("broker", seconds, offline == 0) | {"falsely_offline": offline}

    def restart_server(self):
        seconds, offline = [], 0
        for trial in range(self.trials):
            self.end_in_turn(trial, self.fleet.server)
            began = time.monotonic()
            self.fleet.start_server()
            self.stream = self.fleet.stream()
            self.fleet.wait_states(dict.fromkeys(self.fleet.devices, "online"))
            seconds.append(time.monotonic() - began)
            self.wait_declared()
            offline += self.count_offline(self.stream.events)
        self.fleet.server.stop()
        rows = self.fleet.rows("SELECT count(*) FROM liveness WHERE state = 'offline'")[0][0]
        expected = 3 * self.rounds * len(self.fleet.devices)  # those of the other scenarios
        return self.figures("server", seconds, offline == 0 and rows == expected) | {
            "falsely_offline": max(offline, rows - expected)}

    def wait_declared(self):
        """Until the server, had it not heard a device since it hears again, would have declared it dead."""
        since = time.monotonic()
        wait_until("the silence is over", lambda: time.monotonic() > since + 2.2)
        self.fleet.wait_states(dict.fromkeys(self.fleet.devices, "online"))

    def run(self):
        return {"kill": self.go_and_return("kill", lambda d: d.kill(), "lost", self.fleet.start_device),
                "stop": self.go_and_return("stop", lambda d: d.freeze(), "silent",
                                           lambda id_: self.fleet.devices[id_].thaw()),
                "term": self.go_and_return("term", lambda d: d.stop(), "clean", self.fleet.start_device),
                "broker": self.restart_broker(),
                "server": self.restart_server()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--devices", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-bench-", ignore_cleanup_errors=True) as directory:
        bench = None
        began = time.monotonic()
        try:
            bench = Bench(directory, arguments.trials, arguments.devices)
            results = bench.run()
        except BaseException:
            if bench:
                print(bench.fleet.logs(), file=sys.stderr)
            raise
        finally:
            if bench:
                bench.fleet.end()
    passed = all(result["pass"] for result in results.values())
    print(json.dumps({"bench": "liveness", "devices": arguments.devices, "seconds": round(time.monotonic() - began, 1),
                      "load_average": round(os.getloadavg()[0], 2), **results, "pass": passed}))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
