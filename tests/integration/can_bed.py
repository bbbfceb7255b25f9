"""A device whose bus is a pty, and python-can on the other end of it as the rest of the vehicle."""
import json
import pathlib
import re
import sys
import threading
import time

try:
    import can
except ImportError:
    print("skipped: python3-can is not installed")
    sys.exit(77)

from fleet_fixture import ROOT, FleetTest, wait_until

EXAMPLES = ROOT / "examples" / "can"


class Vehicle:
    """What else is on the bus: python-can through its own slcan. Frames that the device sends are kept, and those
    that `answers` knows are answered."""

    def __init__(self, port):
        self.bus = can.Bus(interface="slcan", channel=str(port), bitrate=500000, sleep_after_open=0)
        self.heard = []
        self.answers = None  # takes a message, gives those that a controller sends then
        self.running = True
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while self.running:
            if message := self.bus.recv(0.05):
                self.heard.append(message)
                for answer in self.answers(message) if self.answers else ():
                    self.bus.send(answer)

    def send(self, number, data, extended=False):
        self.bus.send(can.Message(arbitration_id=number, data=data, is_extended_id=extended))

    def close(self):
        self.running = False
        self.thread.join()
        self.bus.shutdown()

    def heard_ids(self):
        return [message.arbitration_id for message in self.heard]


class Repeated:
    """Sends the same frames over and over, as controllers do."""

    def __init__(self, vehicle, frames, period_s=0.05):
        self.vehicle, self.frames, self.period_s = vehicle, frames, period_s
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.done.wait(self.period_s):
            for frame in self.frames:
                self.vehicle.send(*frame)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.done.set()
        self.thread.join()


class CanTest(FleetTest):
    DEVICE = "van-7"

    def start(self, config, base="", **replaced):
        """Broker, server and a device with this configuration, whose first bus is the pty; the vehicle on it."""
        self.fleet.start_broker().start_server()
        self.port = self.fleet.directory / "bus"
        config = re.sub(r'(?m)^interface = .*$', f'interface = "slcan-pty:{self.port}"', config)
        self.config_file = self.fleet.directory / "device.toml"
        for file in EXAMPLES.glob("*.dbc"):  # beside the configuration, as it asks for them
            (self.fleet.directory / file.name).write_bytes(file.read_bytes())
        self.config_file.write_text(config + base)
        self.fleet.start_device(self.DEVICE, "--config", self.config_file)
        self.fleet.wait_states({self.DEVICE: "online"})
        wait_until("the bus is there", self.port.exists)
        self.vehicle = Vehicle(self.port)
        self.addCleanup(self.vehicle.close)
        self.plain = self.fleet.peer("plain").subscribe(f"rpi/{self.DEVICE}/+/+")

    def text(self, topic):
        """The newest plain text of a signal; None: none yet."""
        texts = [payload for at, payload in list(self.plain.messages) if at == f"rpi/{self.DEVICE}/{topic}"]
        return texts[-1].decode() if texts else None

    def wait_text(self, topic, wanted):
        try:
            return wait_until(f"{topic} is {wanted}", lambda: self.text(topic) == wanted)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.text(topic)}") from None

    def events(self, *kinds):
        status, body = self.fleet.get(f"/api/v1/events?device={self.DEVICE}")
        if status == 404:
            return []  # nothing of the device is stored yet
        return [event for event in reversed(json.loads(body)["events"]) if event["kind"] in kinds]

    def wait_event(self, kind, count=1):
        return wait_until(f"{count} events {kind}", lambda: len(e := self.events(kind)) >= count and e)

    def fleetctl_json(self, *words):
        result = self.fleet.fleetctl(*words, "--output", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)
