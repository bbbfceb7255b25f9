#!/usr/bin/python3
"""Breaks everything at random, heals it, and has the books checked. tools/chaos.sh builds first and calls this.

Broker, server, five agents (two with simulated drivers, three with controllers) run for real; faults come as
schedule.py draws them from the seed. Exit code 0 when every promise was kept, 1 when not, 77 when it cannot run here.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import report
import schedule
from journal import Journal
from load import Load
from stage import BUILD, ENTITIES, HERE, WALL_OFFSET, Stage, own_mounts, program
from witness import Witness

DEVICES = ("pi-1", "pi-2", "pi-3", "pi-4", "pi-5")
EXTERNAL = ("pi-3", "pi-4", "pi-5")
SETTLE_AT_LEAST_S = 8.0   # longer than any time to live
SETTLE_AT_MOST_S = 90.0
TELL_EVERY_S = 10.0


def arguments():
    parser = argparse.ArgumentParser(prog="tools/chaos.sh",
                                     description="The real programs under seeded faults, and what was checked.")
    parser.add_argument("--minutes", type=float, default=2, help="of faults in each run (2)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the same seed gives the same faults (1)")
    parser.add_argument("--seeds", type=int, default=1, help="runs, with this seed and those that follow (1)")
    parser.add_argument("--report", metavar="FILE", help="put the results between the markers of this document")
    parser.add_argument("--keep", metavar="DIR", help="keep all logs there; after a failure they are kept anyway")
    parser.add_argument("--list", action="store_true", help="only print the faults that would come")
    return parser.parse_args()


def cannot_run():
    """Why not, or None."""
    missing = [name for name in ("fleet-server", "fleet-device") if not os.access(program(name), os.X_OK)]
    if missing or not WALL_OFFSET.exists():
        return f"{', '.join(missing) or WALL_OFFSET.name} is not built in {BUILD}"
    if not shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin"):
        return "mosquitto is not installed"
    return None


class Run:
    """One seed."""

    def __init__(self, directory, seed, minutes, with_disks):
        self.directory, self.seed, self.minutes = pathlib.Path(directory), seed, minutes
        self.stage = Stage(directory, seed, DEVICES, EXTERNAL, with_disks)
        self.faults = schedule.plan(seed, minutes, self.stage.roles, () if with_disks else ("full_disk",))
        self.facts = {"seed": seed, "minutes": minutes, "devices": DEVICES, "external": EXTERNAL,
                      "wall_minus_mono": time.time() - time.monotonic()}

    def journal(self, name):
        return Journal(self.directory / f"{name}.jsonl")

    def go(self):
        """The checker's exit code."""
        stage = self.stage
        stage.launch_all()
        witness = Witness(stage.broker_port, self.journal("witness"))
        load = Load(self.seed, stage.http_port, stage.api_ports, ENTITIES, self.journal("load"), self.journal("feed"))
        load.start()
        self.facts["began"] = time.monotonic()
        self.break_things()
        self.facts["healed"] = time.monotonic()
        load.stop()
        self.settle()
        self.facts["ended"] = time.monotonic()
        stage.stop_all()
        witness.close()
        (self.directory / "run.json").write_text(json.dumps(self.facts))
        return self.check()

    def break_things(self):
        actions = sorted([(fault.at_s, 0, fault) for fault in self.faults] +
                         [(min(fault.at_s + fault.seconds, self.minutes * 60), 1, fault) for fault in self.faults],
                         key=lambda action: action[:2])
        tell_at = TELL_EVERY_S
        for at_s, ends, fault in actions:
            while (ahead := self.facts["began"] + at_s - time.monotonic()) > 0:
                time.sleep(min(ahead, 0.5))
            (self.stage.end_fault if ends else self.stage.begin)(fault)
            if at_s >= tell_at:
                say(f"  {at_s:5.0f} s of {self.minutes * 60:.0f} s, {sum(f.at_s <= at_s for f in self.faults)} faults")
                tell_at = at_s + TELL_EVERY_S
        time.sleep(max(0.0, self.facts["began"] + self.minutes * 60 - time.monotonic()))

    def settle(self):
        """Until all is quiet, or patience ends: then the checks say what is not."""
        began = time.monotonic()
        while time.monotonic() < began + SETTLE_AT_MOST_S:
            if time.monotonic() > began + SETTLE_AT_LEAST_S and self.is_quiet():
                break
            time.sleep(0.5)
        self.facts["settle_s"] = round(time.monotonic() - began, 1)
        for name in ("ledger", "devices"):
            status, body = self.stage.get(f"/api/v1/{name}?limit=1000")
            (self.directory / f"{name}.json").write_text(body if status == 200 else '{"devices": []}')

    def is_quiet(self):
        with contextlib.suppress(OSError, ValueError, AssertionError, sqlite3.Error):
            views = self.stage.get_json("/api/v1/devices?limit=1000")["devices"]
            ledgers = self.stage.get_json("/api/v1/ledger?limit=1000")["devices"]
            in_flight = sum(stream["in_flight"] for ledger in ledgers for stream in ledger["streams"])
            return all(view["state"] == "online" for view in views) and not in_flight and \
                all(ledger["balanced"] for ledger in ledgers) and \
                not self.stage.rows("SELECT 1 FROM command WHERE ended = 0 LIMIT 1")
        return False

    def check(self):
        done = subprocess.run([sys.executable, HERE / "checker.py", self.directory], capture_output=True, text=True,
                              check=False, timeout=300)
        print(done.stdout + done.stderr, flush=True)
        return done.returncode


def say(text):
    print(text, flush=True)


def one(seed, options, with_disks):
    """(kept every promise, row of the report)"""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="fleet-chaos-"))
    began = time.monotonic()
    run = Run(directory, seed, options.minutes, with_disks)
    say(f"seed {seed}: {options.minutes:g} minutes, {len(run.faults)} faults, logs in {directory}")
    code, result = 1, None
    try:
        code = run.go()
        result = report.summary(directory)
    except Exception as error:  # a run that breaks off is a failure with its logs, and the next seed comes
        say(f"seed {seed} broke off: {error}")
    finally:
        run.stage.end()
        put_away(directory, seed, options.keep, keep=bool(options.keep) or code != 0)
    say(f"seed {seed}: {'passed' if code == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return code == 0, result


def put_away(directory, seed, keep_in, keep):
    """What is on small disks goes with this process, so what is kept is copied."""
    if keep:
        kept = pathlib.Path(keep_in or tempfile.gettempdir()) / f"fleet-chaos-seed-{seed}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(directory, kept, ignore=shutil.ignore_patterns("ballast"))
        say(f"kept in {kept}")
    for mount in [line.split()[1] for line in open("/proc/mounts") if line.split()[1].startswith(str(directory))]:
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(directory, ignore_errors=True)


def main():
    options = arguments()
    if options.list:
        roles = dict.fromkeys(DEVICES, "device") | {f"controller-{name}": "controller" for name in EXTERNAL}
        say("\n".join(map(str, schedule.plan(options.seed, options.minutes,
                                             {"broker": "broker", "server": "server"} | roles))))
        return 0
    if why := cannot_run():
        say(f"skipped: {why}")
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through every `finally`
    with_disks = own_mounts()
    if not with_disks:
        say("no full disks in this run: small tmpfs mounts need root")
    outcomes = [one(options.seed + number, options, with_disks) for number in range(options.seeds)]
    results = [result for _, result in outcomes if result]
    say(report.table(results))
    if options.report:
        report.put(pathlib.Path(options.report), results)
    return 0 if all(kept for kept, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
