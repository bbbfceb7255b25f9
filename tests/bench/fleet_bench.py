#!/usr/bin/python3
"""A fleet of agents on this machine: fleet-sim, a real mosquitto and fleet-server, which stores everything.

Nothing may be missing from the first to the last message: what the agents say they sent is compared with what the
server accounts for, and with the reports in its database after a clean stop. Beside that: memory and CPU of all three,
over the time after all agents are connected, and what gives first when there are too many.

Paho in one process does not connect many more than a thousand clients at once, so a larger fleet comes in several
simulators, started one after the other. Each runs until it is stopped.
"""
import contextlib
import json
import os
import sqlite3
import sys
import time

from programs import BUILD, Broker, Process, Server, allow_files, limit, parse_arguments, report, scratch, wait_until

CONNECT_TIMEOUT_S = 20  # of one simulator; then the next starts anyway
LONGER_THAN_ANY_RUN = "1h"
EXPECTED = "fleet_messages_expected_total"
STORED = "fleet_messages_stored_total"


class Sim(Process):
    def __init__(self, directory, broker_url, number, devices, options):
        super().__init__(directory, f"fleet-sim-{number}", BUILD / "bin" / "fleet-sim", "--broker", broker_url,
                         "--devices", devices, "--id-prefix", f"sim{number}-", "--entities", options.entities,
                         "--state-rate-hz", options.rate, "--duration", LONGER_THAN_ANY_RUN, ask=True)

    def all_connected(self):
        self.check_runs()
        return "all agents connected" in self.log.read_text()

    def let_connect(self):
        with contextlib.suppress(TimeoutError):
            wait_until("all agents connect", self.all_connected, CONNECT_TIMEOUT_S)

    def said(self):
        """What it sent, once it has ended; None when it had to be killed."""
        self.stop()
        line = self.popen.stdout.read()
        return json.loads(line) if line else None


def watch(processes, seconds):
    """CPU in cores over the time, and the most memory so far, of each kind of process together."""
    def cpu_s(group):
        return sum(process.cpu_s() for process in group)

    began = time.monotonic()
    before = {name: cpu_s(group) for name, group in processes.items()}
    time.sleep(seconds)
    took = time.monotonic() - began
    return {name: {"cores": round((cpu_s(group) - before[name]) / took, 3),
                   "rss_max_mb": round(sum(process.memory_mb("VmHWM") for process in group), 1)}
            for name, group in processes.items()}


def add(summaries):
    """What several simulators said, as one."""
    total = {"devices": 0, "dropped": 0, "sent": {"heartbeat": 0, "state": 0}}
    for said in filter(None, summaries):
        total["devices"] += said["devices"]
        total["dropped"] += said["dropped"]
        for stream, count in said["sent"].items():
            total["sent"][stream] = total["sent"].get(stream, 0) + count
    return total


def settled_metrics(server):
    """The metrics once nothing arrives any more."""
    last = None
    while (now := server.metrics()) and (last is None or now["fleet_ingest_accepted_total"] != last):
        last = now["fleet_ingest_accepted_total"]
        time.sleep(0.3)
    return now


def stored_reports(database):
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT coalesce(sum(reports), 0) FROM state_history").fetchone()[0]


def measure(options):
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(scratch())
        broker = stack.enter_context(Broker(directory))
        server = stack.enter_context(Server(directory, broker.url))
        sims = []
        for first in range(0, options.devices, options.per_sim):
            devices = min(options.per_sim, options.devices - first)
            sims.append(stack.enter_context(Sim(directory, broker.url, len(sims), devices, options)))
            sims[-1].let_connect()
        use = watch({"server": [server], "broker": [broker], "sim": sims}, options.seconds)
        online = server.metrics()['fleet_devices{state="online"}']
        for sim in sims:
            sim.ask_to_stop()
        said = add([sim.said() for sim in sims])
        metrics = settled_metrics(server)
        use["server"]["rss_max_mb"] = round(server.memory_mb("VmHWM"), 1)
        if server.stop() != 0:
            raise RuntimeError("fleet-server did not store everything")
        return said, metrics, use, online, stored_reports(server.database)


def first_to_give(use, lost):
    """Of the broker's one thread and the machine's cores, what was used up."""
    if lost == 0:
        return "nothing: all arrived"
    if use["broker"]["cores"] > 0.9:
        return "the broker, which has one thread"
    used = sum(one["cores"] for one in use.values())
    greedy = max(use, key=lambda name: use[name]["cores"])
    return f"the machine: {used:.2f} of {os.cpu_count()} cores used, most of it by the {greedy}"


def main():
    options = parse_arguments(__doc__, seconds=60, devices=1000, entities=3, rate=10.0, per_sim=1000)
    allow_files(options.devices + 200)
    said, metrics, use, online, in_database = measure(options)
    numbered = said["sent"]["heartbeat"] + said["sent"]["state"]
    lost = numbered - metrics[STORED]
    limits = {"online": limit(online, at_least=options.devices),
              "missing": limit(metrics[EXPECTED] - metrics[STORED], at_most=0),
              "sent_and_not_stored": limit(lost, at_most=0),
              "state_reports_not_in_database": limit(said["sent"]["state"] - in_database, at_most=0),
              "not_sent_by_agents": limit(said["dropped"], at_most=0),
              "server_rss_max_mb": limit(use["server"]["rss_max_mb"], at_most=64),
              "server_cores": limit(use["server"]["cores"], at_most=0.3)}
    return report({"bench": "fleet", "said_by_sim": said, "expected": metrics[EXPECTED], "stored": metrics[STORED],
                   "state_reports_in_database": in_database, "use": use, "gave_first": first_to_give(use, lost),
                   "server_dropped": metrics["fleet_ingest_dropped_total"]}, limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
