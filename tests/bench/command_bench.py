#!/usr/bin/python3
"""How long a command takes from the operator's HTTP request to the device's `accepted` in the answer, with everything
stored on both sides, beside a bare MQTT round trip in the same run; and a thousand commands a second over a hundred
devices. Real broker, server and agents."""
import contextlib
import json
import subprocess
import sys
import time

from programs import BUILD, Broker, Process, Server, limit, parse_arguments, report, scratch, wait_until


def start_devices(stack, directory, broker, server, count):
    names = [f"pi-{number}" for number in range(1, count + 1)]
    for name in names:
        stack.enter_context(Process(directory, name, BUILD / "bin" / "fleet-device", "--id", name, "--broker",
                                    broker.url, "--data", f"{directory}/data-{name}"))
    wait_until("the devices are online", lambda: server.metrics()['fleet_devices{state="online"}'] == count, 60)
    time.sleep(1.5)  # each has heard the server
    return names


def request(server, broker, *words):
    done = subprocess.run([BUILD / "bench" / "command_requester", server.url, broker.url, *map(str, words)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main():
    options = parse_arguments(__doc__, count=2000, devices=100, rate=1000, seconds=20)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(scratch())
        broker = stack.enter_context(Broker(directory))
        server = stack.enter_context(Server(directory, broker.url))
        with contextlib.ExitStack() as one:
            names = start_devices(one, directory, broker, server, 1)
            single = request(server, broker, "latency", options.count, names[0])
        names = start_devices(stack, directory, broker, server, options.devices)
        cpu = server.cpu_s()
        many = request(server, broker, "rate", options.rate, options.seconds, *names)
        cores = (server.cpu_s() - cpu) / options.seconds
        ratio = single["command_p50_ms"] / single["raw_p50_ms"]
        limits = {"p50_ms": limit(round(single["command_p50_ms"], 3), at_most=3),
                  "p99_ms": limit(round(single["command_p99_ms"], 3), at_most=20),
                  "of_raw_p50": limit(round(ratio, 2), at_most=8),
                  "refused": limit(single["refused"] + many["refused"], at_most=0),
                  "per_second": limit(round(many["per_second"], 1), at_least=0.98 * options.rate)}
        return report({"bench": "command", "raw_p50_ms": round(single["raw_p50_ms"], 3),
                       "raw_p99_ms": round(single["raw_p99_ms"], 3),
                       "at_rate_p50_ms": round(many["command_p50_ms"], 2),
                       "at_rate_p99_ms": round(many["command_p99_ms"], 2), "server_cores": round(cores, 3)},
                      limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
