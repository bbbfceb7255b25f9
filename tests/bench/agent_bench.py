#!/usr/bin/python3
"""What one fleet-device with three entities at 10 Hz costs the Pi: memory and CPU, on a real mosquitto."""
import sys
import time

from programs import BUILD, Broker, Process, Server, limit, parse_arguments, report, scratch, wait_until

DEVICE = "agent-bench"


class Device(Process):
    def __init__(self, directory, broker_url, options):
        entities = ",".join(str(entity) for entity in range(1, options.entities + 1))
        super().__init__(directory, "fleet-device", BUILD / "bin" / "fleet-device", "--id", DEVICE, "--broker",
                         broker_url, "--entities", entities, "--state-rate-hz", options.rate, "--data",
                         f"{directory}/device-data", "--http", options.http)


def main():
    options = parse_arguments(__doc__, seconds=60, entities=3, rate=10.0, http="off")
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server, \
            Device(directory, broker.url, options) as device:
        wait_until("the device is online", lambda: server.metrics()['fleet_devices{state="online"}'] == 1)
        cpu, began = device.cpu_s(), time.monotonic()
        reports = server.metrics()["fleet_state_reports_total"]
        time.sleep(options.seconds)
        reports = server.metrics()["fleet_state_reports_total"] - reports
        seconds = time.monotonic() - began
        cores = (device.cpu_s() - cpu) / seconds
        limits = {"rss_mb": limit(round(device.memory_mb("VmRSS"), 2), at_most=10),
                  "rss_max_mb": limit(round(device.memory_mb("VmHWM"), 2), at_most=10),
                  "cores": limit(round(cores, 4), at_most=0.01)}
        return report({"bench": "agent", "seconds": round(seconds, 1), "entities": options.entities,
                       "state_reports": reports}, limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
