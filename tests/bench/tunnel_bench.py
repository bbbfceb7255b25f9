#!/usr/bin/python3
"""How many frames a second come through the native tunnel, the compatible one, and a python-can + paho-mqtt bridge of the
same shape, without one lost; and how many messages each needs. The bus is a recording that plays at each rate of a ladder;
the first rate that loses something ends it. Native frames are counted twice: out of the broker, and as fleetctl prints
them."""
import contextlib
import importlib.util
import os
import subprocess
import sys
import time

from programs import BUILD, SKIPPED, Broker, Process, Server, limit, parse_arguments, report, scratch, wait_until

DEVICE = "tunnel-bench"
BUS = "can0"
LEAD_S = 3  # after the start of a recording, before its frames: time to connect and to tap
PATIENCE_S = 5
READY_S = 0.5  # a device takes no commands before it has heard the server
PYTHON_START_S = 1
BRIDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_bridge.py")


def write_log(path, rate, seconds):
    """Frames of eight bytes, numbered in the first four. The first one has an id that no filter of ours passes."""
    with open(path, "w") as log:
        log.write(f"(1700000000.000000) {BUS} 7FF#\n")
        for n in range(int(rate * seconds)):
            at = 1700000000 + LEAD_S + n / rate
            log.write(f"({at:.6f}) {BUS} 123#{n.to_bytes(4, 'little').hex().upper()}A5A5A5A5\n")
    return int(rate * seconds)


class Device(Process):
    def __init__(self, directory, broker_url, log, base=""):
        config = f"{directory}/device.toml"
        with open(config, "w") as file:
            file.write(f'[[can.bus]]\nname = "{BUS}"\ninterface = "replay:{log}"\n[can.compat]\nbases = "{base}"\n')
        super().__init__(directory, "fleet-device", BUILD / "bin" / "fleet-device", "--config", config, "--id", DEVICE,
                         "--broker", broker_url, "--state-rate-hz", "0", "--data", f"{directory}/device-data")


class Consumer(Process):
    def __init__(self, directory, *command):
        super().__init__(directory, "consumer", *command, ask=True)
        assert self.popen.stdout.readline() == "ready\n"

    def counts(self):
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return [int(word) for word in self.popen.stdout.readline().split()]


def settled(count, expected):
    """The count when it has all, or has not grown for a while."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < PATIENCE_S:
        now = count()
        if now == expected:
            return now
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.05)
    return last


def lines_of(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def native(rate, seconds):
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server:
        frames = write_log(f"{directory}/native.log", rate, seconds)
        with Consumer(directory, BUILD / "bench" / "tunnel_consumer", broker.url, "native", "rpi/+/can/+/rx") as consumer, \
                Device(directory, broker.url, f"{directory}/native.log"), \
                open(f"{directory}/dump", "wb") as dump:
            wait_until("the device is online", lambda: server.metrics()['fleet_devices{state="online"}'] == 1)
            time.sleep(READY_S)
            reader = subprocess.Popen([BUILD / "bin" / "fleetctl", "--server", server.url, "can", "dump", DEVICE, BUS,
                                       "--log", "--filter", "123", "--for", "5m"], stdout=dump)
            try:
                time.sleep(LEAD_S + seconds)
                out_of_broker = settled(lambda: consumer.counts()[0], frames)
                printed = settled(lambda: lines_of(dump.name), frames)
            finally:
                reader.terminate()
                reader.wait()
            return frames, out_of_broker, printed, consumer.counts()[1]


def compatible(rate, seconds):
    with scratch() as directory, Broker(directory) as broker:
        frames = write_log(f"{directory}/compat.log", rate, seconds)
        with Consumer(directory, BUILD / "bench" / "tunnel_consumer", broker.url, "compat", "can/291") as consumer, \
                Device(directory, broker.url, f"{directory}/compat.log", base=f"{BUS}=can"):
            time.sleep(LEAD_S + seconds)
            return frames, settled(lambda: consumer.counts()[0], frames), consumer.counts()[1]


def python_bridge(rate, seconds):
    with scratch() as directory, Broker(directory) as broker:
        frames = write_log(f"{directory}/python.log", rate, seconds)
        with Consumer(directory, "/usr/bin/python3", BRIDGE, "receive", broker.port) as consumer, \
                Process(directory, "sender", "/usr/bin/python3", BRIDGE, "send", broker.port, f"{directory}/python.log"):
            time.sleep(LEAD_S + seconds + PYTHON_START_S)
            # It shows all frames, the first one too. What comes later than this is not lost, but the rate is not held.
            return frames, consumer.counts()[0] - 1


def climb(rates, attempt):
    """The highest rate at which nothing is lost, and what the attempt at it gave."""
    best = (0, None)
    for rate in rates:
        result = attempt(rate)
        print(f"  {attempt.__name__} {rate} frames/s: {result}", file=sys.stderr)
        if any(count != result[0] for count in result[1:attempt.counts + 1]):
            break
        best = (rate, result)
    return best


def main():
    if importlib.util.find_spec("can") is None:
        print("skipped: python3-can is not installed")
        return SKIPPED
    options = parse_arguments(__doc__, seconds=5, first=10_000, steps=6)
    rates = [int(options.first * 1.5**step) for step in range(options.steps)]

    def ladder(function, counts, factor=1):
        def attempt(rate):
            return function(rate, options.seconds)
        attempt.__name__, attempt.counts = function.__name__, counts
        return climb([rate * factor for rate in rates], attempt)

    python_rate, _ = ladder(python_bridge, 1)
    compat_rate, _ = ladder(compatible, 1, factor=2)
    native_rate, best = ladder(native, 2, factor=20)
    messages_per_frame = best[3] / best[0] if best else 1
    limits = {"native_to_python": limit(round(native_rate / max(python_rate, 1), 1), at_least=10),
              "messages_per_frame": limit(round(messages_per_frame, 4), at_most=1 / 20)}
    return report({"bench": "tunnel", "seconds": options.seconds, "python_frames_per_s": python_rate,
                   "compat_frames_per_s": compat_rate, "native_frames_per_s": native_rate}, limits, options.check)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
