#!/usr/bin/python3
"""A fleet of agents on this machine: fleet-sim, a real mosquitto and fleet-server, which stores everything.

Nothing may be missing from the first to the last message: what the agents say they sent is compared with what the
server accounts for, and with the reports in its database after a clean stop. Beside that: memory and CPU of all three,
over the time in which all agents are connected, and which of them gives first when there are too many.
"""
import json
import sqlite3
import sys
import time

from programs import BUILD, Broker, Process, Server, allow_files, limit, parse_arguments, report, scratch, wait_until

CONNECT_TIMEOUT_S = 90
SATURATED_CORES = 0.9  # of one thread: the broker has only one, the others have one that does most
EXPECTED = "fleet_messages_expected_total"
STORED = "fleet_messages_stored_total"


class Sim(Process):
    def __init__(self, directory, broker_url, options):
        super().__init__(directory, "fleet-sim", BUILD / "bin" / "fleet-sim", "--broker", broker_url, "--devices",
                         options.devices, "--entities", options.entities, "--state-rate-hz", options.rate, "--duration",
                         f"{options.seconds}s", ask=True)

    def all_connected(self):
        self.check_runs()
        return "all agents connected" in self.log.read_text()


def watch(processes, seconds):
    """CPU in cores of each over the time, and the most memory that each had so far."""
    began = time.monotonic()
    before = {name: process.cpu_s() for name, process in processes.items()}
    time.sleep(seconds)
    took = time.monotonic() - began
    return {name: {"cores": round((process.cpu_s() - before[name]) / took, 3),
                   "rss_max_mb": round(process.memory_mb("VmHWM"), 1)} for name, process in processes.items()}


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
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server, \
            Sim(directory, broker.url, options) as sim:
        wait_until("all agents connect", sim.all_connected, CONNECT_TIMEOUT_S)
        # Its end is not part of it: agents say goodbye one after the other.
        use = watch({"server": server, "broker": broker, "sim": sim}, max(1, options.seconds - 1))
        said = json.loads(sim.popen.stdout.read())
        metrics = settled_metrics(server)
        use["server"]["rss_max_mb"] = round(server.memory_mb("VmHWM"), 1)
        if server.stop() != 0:
            raise RuntimeError("fleet-server did not store everything")
        return said, metrics, use, stored_reports(server.database)


def first_to_give(use, lost):
    if lost == 0:
        return "nothing: all arrived"
    busiest = max(use, key=lambda name: use[name]["cores"])
    return f"{busiest} at {use[busiest]['cores']} cores"


def main():
    options = parse_arguments(__doc__, seconds=60, devices=1000, entities=3, rate=10.0)
    allow_files(options.devices + 200)
    said, metrics, use, in_database = measure(options)
    numbered = said["sent"]["heartbeat"] + said["sent"]["state"]
    lost = numbered - metrics[STORED]
    limits = {"missing": limit(metrics[EXPECTED] - metrics[STORED], at_most=0),
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
