#!/usr/bin/python3
"""How fast the server takes messages in, beside the least that a client can do, in the same run.

A publisher that saturates a real mosquitto; in each round a bare Paho C++ client that only counts and the real
fleet-server, which decodes, judges, accounts and stores everything, subscribe one after the other, in changing order.
What a consumer is too slow for, the broker drops, so the rate that counts is what was taken in. No process is pinned:
on two cores the broker fills one and the receiving thread of either consumer the other, so whatever else the server
does costs it or the broker. Then, without a broker, ingest and fleet state on one core.
"""
import json
import statistics
import subprocess
import sys
import time

from programs import BUILD, Broker, Process, Server, limit, parse_arguments, report, scratch, wait_until

WARM_UP_S = 1.5  # connections, the server's memory of all devices


class BareConsumer(Process):
    """As Paho comes."""
    ARGUMENTS = ()

    def __init__(self, directory, broker_url):
        super().__init__(directory, "consumer", BUILD / "bench" / "ingest_consumer", broker_url, *self.ARGUMENTS, ask=True)
        if self.popen.stdout.readline() != "ready\n":
            raise RuntimeError("the bare consumer could not subscribe")

    taken = Process.ask


class QuietConsumer(BareConsumer):
    """With Paho's own trace off, as the server has it."""
    ARGUMENTS = ("no-trace",)


class StoringServer(Server):
    def taken(self):
        return self.metrics()["fleet_ingest_accepted_total"]


def publisher(directory, broker, options):
    command = [BUILD / "bench" / "ingest_publisher", broker.port, options.devices, options.entities]
    return Process(directory, "publisher", *command, ask=True)


def measure(consumer_class, options):
    """One round: a fresh broker, consumer and publisher."""
    with scratch() as directory, Broker(directory) as broker, consumer_class(directory, broker.url) as consumer, \
            publisher(directory, broker, options) as source:
        processes = {"consumer": consumer, "broker": broker, "publisher": source}
        wait_until("messages arrive", lambda: consumer.taken() > 0)
        time.sleep(WARM_UP_S)
        cpu_before = {name: process.cpu_s() for name, process in processes.items()}
        taken, sent, began = consumer.taken(), source.ask(), time.monotonic()
        time.sleep(options.seconds)
        taken, seconds = consumer.taken() - taken, time.monotonic() - began
        sent = source.ask() - sent
        cpu = {name: process.cpu_s() - cpu_before[name] for name, process in processes.items()}
        figures = {"taken_per_s": taken / seconds, "sent_per_s": sent / seconds,
                   "cpu_us_per_message": cpu["consumer"] / max(1, taken) * 1e6}
        figures |= {f"{name}_cores": used / seconds for name, used in cpu.items()}
        if isinstance(consumer, StoringServer):
            figures["server_dropped"] = consumer.metrics()["fleet_ingest_dropped_total"]
            if consumer.stop() != 0:
                raise RuntimeError("fleet-server did not store everything")
        return figures


def medians(rounds):
    return {name: round(statistics.median(r[name] for r in rounds), 2) for name in rounds[0]}


def in_process(options):
    messages = int(1_000_000 * min(1, options.seconds / 4))
    command = [BUILD / "bench" / "ingest_in_process_bench", str(messages)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main():
    options = parse_arguments(__doc__, seconds=4.0, rounds=8, devices=1000, entities=3)
    rounds = {BareConsumer: [], QuietConsumer: [], StoringServer: []}
    for number in range(options.rounds):
        for kind in list(rounds)[:: 1 if number % 2 == 0 else -1]:
            rounds[kind].append(measure(kind, options))
    alone = in_process(options)

    def ratio(figure, other):
        pairs = zip(rounds[StoringServer], rounds[other])
        return round(statistics.median(server[figure] / bare[figure] for server, bare in pairs), 3)

    limits = {"rate_of_bare": limit(ratio("taken_per_s", BareConsumer), at_least=0.95),
              # Of the whole process each: of the server also its writer and its HTTP threads.
              "cpu_of_bare": limit(ratio("cpu_us_per_message", BareConsumer), at_most=1.3)}
    for entities in ("entities_1", "entities_3"):
        limits[f"in_process_{entities}_per_s"] = limit(alone[entities]["median_per_s"], at_least=1_000_000)
    return report({"bench": "ingest", "rounds": options.rounds, "seconds": options.seconds, "devices": options.devices,
                   "entities": options.entities, "placement": "nothing pinned", "bare": medians(rounds[BareConsumer]),
                   "quiet": medians(rounds[QuietConsumer]), "server": medians(rounds[StoringServer]),
                   "rate_of_quiet": ratio("taken_per_s", QuietConsumer),
                   "cpu_of_quiet": ratio("cpu_us_per_message", QuietConsumer), "in_process": alone}, limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
