#!/usr/bin/python3
"""What a full 1 Mbit/s classic bus (9000 frames/s) costs an agent that decodes 50 signals of it: CPU beside an agent
without a bus, in the same run, and whether anything is lost."""
import json
import re
import sys
import time

from programs import BUILD, Broker, Process, Server, limit, parse_arguments, report, scratch, wait_until

RATE = 9000
SIGNALS = 50
MESSAGES = 25  # with two signals each; every third frame of the bus is one of them


def write_log(path, seconds):
    with open(path, "w") as log:
        for n in range(RATE * seconds):
            number = n // 3 % MESSAGES + 0x100 if n % 3 == 0 else 0x400 + n % 256
            value = n // (3 * MESSAGES)  # each message changes each time
            log.write(f"({1700000000 + n / RATE:.6f}) can0 {number:03X}#{value.to_bytes(4, 'little').hex().upper()}"
                      f"{value.to_bytes(4, 'little').hex().upper()}\n")


def write_config(directory):
    with open(f"{directory}/bus.dbc", "w") as dbc:
        dbc.write("BU_: ECU\n")
        for message in range(MESSAGES):
            dbc.write(f"BO_ {0x100 + message} M{message}: 8 ECU\n SG_ A : 0|32@1+ (0.125,0) [0|0] \"rpm\" ECU\n"
                      f" SG_ B : 39|32@0- (1,-40) [0|0] \"C\" ECU\n")
    with open(f"{directory}/device.toml", "w") as config:
        config.write(f'[[can.bus]]\nname = "can0"\ninterface = "replay:{directory}/bus.log"\nreplay_loop = true\n'
                     'dbc = "bus.dbc"\n')
        for signal in range(SIGNALS):
            config.write(f'[[can.signal]]\ntopic = "bench/s{signal}"\nbus = "can0"\n'
                         f'source = "dbc:M{signal // 2}.{"AB"[signal % 2]}"\nperiod = "1s"\n')


class Device(Process):
    def __init__(self, directory, name, broker_url, *arguments):
        super().__init__(directory, name, BUILD / "bin" / "fleet-device", "--id", name, "--broker", broker_url, "--data",
                         f"{directory}/{name}-data", *arguments)


def main():
    options = parse_arguments(__doc__, seconds=20)
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server:
        write_log(f"{directory}/bus.log", 10)
        write_config(directory)
        with Device(directory, "without", broker.url) as without, \
                Device(directory, "with-bus", broker.url, "--config", f"{directory}/device.toml") as with_bus:
            wait_until("both are online", lambda: server.metrics()['fleet_devices{state="online"}'] == 2)
            time.sleep(2)
            began, cpu = time.monotonic(), [device.cpu_s() for device in (without, with_bus)]
            time.sleep(options.seconds)
            seconds = time.monotonic() - began
            cores = [(device.cpu_s() - before) / seconds for device, before in zip((without, with_bus), cpu)]
            events = json.loads(server.get("/api/v1/events?device=with-bus"))["events"]
            dropped = [int(re.search(r"frames (\d+)", e["detail"])[1]) for e in events if e["kind"] == "can_dropped"]
            signals = json.loads(server.get("/api/v1/devices/with-bus/signals"))["signals"]
        limits = {"bus_cores": limit(round(cores[1] - cores[0], 4), at_most=0.05),
                  "dropped_frames": limit(sum(dropped), at_most=0),
                  "signals": limit(len(signals), at_least=SIGNALS)}
        return report({"bench": "can", "seconds": round(seconds, 1), "frames_per_s": RATE,
                       "cores_without": round(cores[0], 4), "cores_with": round(cores[1], 4)}, limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
