#!/usr/bin/python3
"""What a device writes to its SD card in an hour, online and offline, at 20 signals at 1 Hz, one at 10 Hz, an event and
a command every ten seconds. Counted by the kernel (write_bytes of /proc/PID/io), measured for --seconds each and scaled."""
import sys
import time
import urllib.request

from programs import Broker, Server, parse_arguments, report, scratch, wait_until
from slow_link import SlowLink
from telemetry_feed import Device, samples_of_second

SEGMENT = b'{"entity_id":1,"to_x_mm":10,"v0_mm_s":1000,"v1_mm_s":1000,"type":"line","ttl_ms":5000}'
PERIOD_S = 10  # of events and commands


def live_through(device, server, seconds, commands):
    """Bytes written meanwhile."""
    before = device.written_bytes()
    began = time.monotonic()
    for second in range(seconds):
        device.feed(samples_of_second(int(time.time() * 1000), 0))
        if second % PERIOD_S == 0:
            device.post("/events", {"name": "door", "detail": f"opened {second}"})
            if commands:
                request = urllib.request.Request(f"{server.url}/api/v1/devices/feed/segments", SEGMENT)
                urllib.request.urlopen(request, timeout=10).close()
        time.sleep(max(0, began + second + 1 - time.monotonic()))
    return device.written_bytes() - before


def main():
    options = parse_arguments(__doc__, seconds=120)
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server:
        link = SlowLink(broker.port, 0)
        with Device(directory, f"tcp://127.0.0.1:{link.port}") as device:
            wait_until("the device answers", device.answers)
            wait_until("the device is online", lambda: server.metrics()['fleet_devices{state="online"}'] == 1)
            time.sleep(2)
            idle_from = device.written_bytes()
            time.sleep(options.seconds / 4)
            idle = (device.written_bytes() - idle_from) * 4
            online = live_through(device, server, options.seconds, commands=True)
            link.cut()
            time.sleep(6)  # until it knows that receipts have stopped
            offline = live_through(device, server, options.seconds, commands=False)
        hours = 3600 / options.seconds
        return report({"bench": "flash", "seconds": options.seconds, "idle_mb_per_hour": round(idle * hours / 1e6, 2),
                       "online_mb_per_hour": round(online * hours / 1e6, 2),
                       "offline_mb_per_hour": round(offline * hours / 1e6, 2)}, {}, options.check)


if __name__ == "__main__":
    sys.exit(main())
