#!/usr/bin/python3
"""An hour of telemetry (20 signals at 1 Hz, one at 10 Hz) kept by a device without a broker, which is killed in the
middle of it; then the link is back. Does all of it arrive once, how fast, and how long do live messages take meanwhile?
With --link-kbit the link is that slow, through a small proxy."""
import sys
import time

import paho.mqtt.client
from programs import Broker, Server, limit, parse_arguments, report, scratch, wait_until
from slow_link import SlowLink
from telemetry_feed import SAMPLES_PER_S, Device, samples_of_second, stored_count, stored_samples, wire

BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class LiveDelays:
    """How long each state report of the device took to a subscriber; both read the same clock."""

    def __init__(self, port):
        versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
        self.client = paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id="live-delays")
        self.delays_ms = []
        self.client.on_message = self.take
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("rpi/+/state")
        self.client.loop_start()

    def take(self, _client, _data, message):
        sent_unix_ms = next(value for number, value in wire.parse(message.payload) if number == 3)
        self.delays_ms.append(max(0, time.time() * 1000 - sent_unix_ms))

    def histogram(self):
        counts = dict.fromkeys([f"<={bucket}ms" for bucket in BUCKETS_MS] + [f">{BUCKETS_MS[-1]}ms"], 0)
        for delay in self.delays_ms:
            counts[next((f"<={bucket}ms" for bucket in BUCKETS_MS if delay <= bucket), f">{BUCKETS_MS[-1]}ms")] += 1
        return {name: count for name, count in counts.items() if count}


def feed_outage(device, first_second, seconds, start_unix_ms):
    step = 10
    for second in range(first_second, first_second + seconds, step):
        device.feed([sample for s in range(second, second + step) for sample in samples_of_second(start_unix_ms, s)])
        time.sleep(0.02)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main():
    options = parse_arguments(__doc__, seconds=3600, link_kbit=0)
    half = options.seconds // 2 // 10 * 10
    start_unix_ms = int(time.time() * 1000) - 1000 * options.seconds
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server:
        link = SlowLink(broker.port, options.link_kbit)
        link.cut()
        url = f"tcp://127.0.0.1:{link.port}"
        with Device(directory, url) as device:
            wait_until("the device answers", device.answers)
            feed_outage(device, 0, half, start_unix_ms)
            began = time.monotonic()
            wait_until("the first half is on the disk", lambda: device.spooled() == half * SAMPLES_PER_S)
            on_disk_after_s = time.monotonic() - began
            device.popen.kill()
            device.popen.wait()
        with Device(directory, url) as device:
            wait_until("the device answers", device.answers)
            feed_outage(device, half, half, start_unix_ms)
            wanted = {(signal, at) for second in range(2 * half) for signal, at, _ in
                      samples_of_second(start_unix_ms, second)}
            delays = LiveDelays(broker.port)
            link.mend()
            wait_until("the device is back", lambda: delays.delays_ms)
            began = time.monotonic()
            wait_until("all has arrived", lambda: stored_count(server.database) >= len(wanted), 600)
            drained_s = time.monotonic() - began
            delays.client.loop_stop()
        samples = [(signal, at) for signal, at, _ in stored_samples(server.database)]
        limits = {"missing": limit(len(wanted - set(samples)), at_most=0),
                  "twice": limit(len(samples) - len(set(samples)), at_most=0),
                  "times_live_speed": limit(round(2 * half / drained_s, 1), at_least=20),
                  "live_p99_ms": limit(round(percentile(delays.delays_ms, 0.99), 1), at_most=50)}
        return report({"bench": "outage", "samples": len(wanted), "link_kbit": options.link_kbit,
                       "on_disk_after_s": round(on_disk_after_s, 2), "drained_s": round(drained_s, 2),
                       "live_max_ms": round(max(delays.delays_ms), 1), "live_delays": delays.histogram()},
                      limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
