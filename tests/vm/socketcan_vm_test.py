#!/usr/bin/python3
"""fleet-device on SocketCAN: in a machine of vm.py with candump, cangen and cansend as the rest of the vehicle, while
broker, server and operator are on this host.

vcan0 carries FD; can0 is one of two emulated controllers on a wire, and can1, the other one, is everybody else there.
The emulation knows neither bit rates nor acknowledgement, so that nothing is ever an error on that wire: bus-off is
told by hand, as the kernel tells it. Its receive buffer is real, and overflows.
"""
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

try:
    import can
except ImportError as error:
    print(f"skipped: {error}; apt-get install python3-can")
    sys.exit(77)

from fleet_fixture import PATIENCE_S, ROOT, Fleet, clean_environment, program, wait_until
from machine import Machine

DEVICE = "van-7"
ALLOWED = "100:700,18DB33F1"
BUSES = ("vcan0", "can0")
# topic, bus, signal of examples/can/car.dbc
SIGNALS = (("engine/rpm", "vcan0", "EngineData.EngineSpeed"), ("position/latitude", "vcan0", "GnssPosition.Latitude"),
           ("vehicle/speed", "can0", "GearboxState.VehicleSpeed"),
           ("vehicle/gear_status", "can0", "GearboxState.GearLever"))
MAKE_VCAN = "ip link add vcan0 type vcan && ip link set vcan0 mtu 72 up"
START_CONTROLLERS = "for bus in can0 can1; do ip link set $bus up type can bitrate 500000 restart-ms 100; done"
FIRST, LAST = "7F0#", "7F1#"  # around what is counted


def config():
    bus = ('[[can.bus]]\nname = "{0}"\ninterface = "socketcan:{0}"\ndbc = "car.dbc"\n'
           'send_allow = "{1}"\nsend_rate_hz = 10000\n')
    one = '[[can.signal]]\ntopic = "{}"\nbus = "{}"\nsource = "dbc:{}"\nperiod = "10ms"\nsilent_after = "1h"\n'
    return "".join(bus.format(name, ALLOWED) for name in BUSES) + "".join(one.format(*signal) for signal in SIGNALS)


def as_candump(line):
    """The line without what we never write: that an FD frame is one, which Linux 6.1 adds to its flags, and columns."""
    return re.sub("##(.)", lambda flags: f"##{int(flags[1], 16) & 3:X}", " ".join(line.split()))


def texts(lines):
    """Of each frame what cansend would be given."""
    return [as_candump(line).split()[2] for line in lines]


class Dump:
    """fleetctl can dump --log, once it sees the bus."""

    def __init__(self, test, bus, *words):
        before = len(test.events("can_tap_on", bus))
        self.process = test.start_fleetctl("can", "dump", DEVICE, bus, "--log", *words)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_until("it sees the bus", lambda: self.process.poll() is not None or
                   len(test.events("can_tap_on", bus)) > before)

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def take(self, count):
        """What it printed to its end, which is when there is so much."""
        try:
            wait_until(f"{count} lines", lambda: len(self.lines) >= count)
        except AssertionError as error:
            raise AssertionError(f"{error}: {len(self.lines)}; {self.lines[-2:]}") from None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)
        self.reader.join()
        return self.lines


class SocketCan(unittest.TestCase):
    fleet = machine = plain = None  # main()
    maxDiff = 2000

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            print(f"==== {self.id()} failed\n{self.fleet.logs()}", file=sys.stderr, flush=True)

    def setUp(self):
        wait_until("all is well", lambda: self.text("engine/rpm") or self.cansend("vcan0", "100#0000"))

    # ---- what can be seen

    def text(self, topic):
        """The newest plain text; None: none yet."""
        told = [payload for at, payload in list(self.plain.messages) if at == f"rpi/{DEVICE}/{topic}"]
        return told[-1].decode() if told else None

    def wait_text(self, topic, wanted):
        wait_until(f"{topic} is {wanted}", lambda: self.text(topic) == wanted)

    def events(self, kind, bus):
        """Oldest first."""
        events = self.fleet.get_json(f"/api/v1/events?device={DEVICE}&limit=1000")["events"]
        return [event for event in reversed(events) if event["kind"] == kind and event["name"] == bus]

    def after(self, action, kind, bus):
        """The event that comes of it."""
        before = len(self.events(kind, bus))
        action()
        return wait_until(f"{kind} of {bus}", lambda: self.events(kind, bus)[before:])[0]

    # ---- what can be done

    def start_fleetctl(self, *words):
        server = f"http://127.0.0.1:{self.fleet.http_port}"
        process = subprocess.Popen([program("fleetctl"), "--server", server, *words], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=clean_environment())
        for end in (process.stdout.close, process.stderr.close, process.wait, process.kill):
            self.addCleanup(end)
        return process

    def cansend(self, bus, *frames):
        self.machine.run(" && ".join(f"cansend {bus} {frame}" for frame in frames))

    def send(self, bus, *frames):
        return self.fleet.fleetctl("can", "send", DEVICE, bus, *frames)

    def assert_flows(self, bus):
        """Both ways, in the end: a device looks for a bus that is not there twice a second."""
        self.machine.record(1, f"{bus},105:7FF")
        wait_until("a frame goes out", lambda: self.send(bus, "105#AA").returncode == 0)
        self.assertEqual(texts(self.machine.recorded()), ["105#AA"])
        topic, peer, frame, factor = {"vcan0": ("engine/rpm", "vcan0", "100#", 4),
                                      "can0": ("vehicle/speed", "can1", "120#03", 100)}[bus]
        value = int(float(self.text(topic) or 0)) % 100 + 1  # another one
        self.cansend(peer, frame + struct.pack("<H", value * factor).hex())
        self.wait_text(topic, str(value))


class Signals(SocketCan):
    def test_frames_become_signals(self):
        latitude = struct.pack("<ddf", 48.25, 11.5, 520).hex() + "00000000"
        for command, topic, text in (
                ("cansend vcan0 100#70177B0000000000", "engine/rpm", "1500"),
                (f"cansend vcan0 1A000020##1{latitude}", "position/latitude", "48.25"),
                ("cangen can1 -I 120 -L 3 -D 038813 -g 1 -n 20", "vehicle/speed", "50"),
                ("true", "vehicle/gear_status", "D"),
                ("cansend can0 120#021027", "vehicle/speed", "100"),  # of another program beside the device
                ("cangen vcan0 -I 100 -L 8 -D B036000000000000 -g 1 -n 20", "engine/rpm", "3500")):
            with self.subTest(command):
                self.machine.run(command)
                self.wait_text(topic, text)
        wanted = {"engine/rpm": 3500, "position/latitude": 48.25, "vehicle/speed": 100, "vehicle/gear_status": 2}

        def stored():
            signals = self.fleet.get_json(f"/api/v1/devices/{DEVICE}/signals")["signals"]
            return {one["signal"]: one.get("value") for one in signals}
        wait_until("the server has them", lambda: wanted.items() <= stored().items())
        table = self.fleet.fleetctl("telemetry", DEVICE)
        self.assertRegex(table.stdout, r"engine/rpm\s+3500\b", table.stderr)


class Tunnel(SocketCan):
    # candump's stamps are those of the kernel: ours are the same to the microsecond.

    def test_a_dump_is_what_candump_sees(self):
        dump = Dump(self, "vcan0")
        self.machine.record(610, "vcan0")
        self.machine.run("cangen vcan0 -m -g 2 -n 600")
        self.cansend("vcan0", "123##0", "123##1AA", "123##2BB", "18FEF100##300112233445566778899AABB", "000#",
                     "1FFFFFFF#00", "00000123#R", "123#R8", "7FF#0011223344556677", "321##1" + "5A" * 64)
        recorded = self.machine.recorded()
        kinds = {(len(text.partition("#")[0]), mark) for text in texts(recorded) for mark in ("##1", "##2", "#R")
                 if mark in text}
        self.assertEqual(len(kinds), 6, "cangen mixes standard, extended, remote, FD, BRS and ESI")
        self.assertEqual(dump.take(610), [as_candump(line) for line in recorded])

    def test_two_buses_are_dumped_at_once(self):
        dumps = {bus: Dump(self, bus) for bus in BUSES}
        self.machine.record(800, *BUSES)
        # Remote frames that ask for data are too much for the emulation, see Overflow.
        self.machine.run("together 'cangen can1 -e -g 2 -n 250' 'cangen can1 -R -L 0 -g 4 -n 100' "
                         "'cangen can0 -g 4 -n 100' 'cangen vcan0 -m -g 2 -n 350'")
        recorded = [as_candump(line) for line in self.machine.recorded()]
        for bus, dump in dumps.items():
            wanted = [line for line in recorded if f" {bus} " in line]
            self.assertEqual(dump.take(len(wanted)), wanted)

    def test_a_filter_is_that_of_candump(self):
        dump = Dump(self, "vcan0", "--filter", "100:700", "--filter", "18FEF100")
        self.machine.record(3, "vcan0,100:C0000700,18FEF100:DFFFFFFF")
        self.cansend("vcan0", "0FF#01", "100#02", "18FEF101#03", "00000100#04", "18FEF100#05", "1FF##106")
        recorded = [as_candump(line) for line in self.machine.recorded()]
        self.assertEqual(texts(recorded), ["100#02", "18FEF100#05", "1FF##106"])
        self.assertEqual(dump.take(3), recorded)

    def test_allowed_frames_reach_the_bus_and_others_do_not(self):
        sent = ["100#1122334455667788", "1FF#", "105#R8", "18DB33F1#0201", "123##1001122334455667788990011"]
        self.machine.record(6, "vcan0")
        done = self.send("vcan0", *sent)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for refused in ("200#01", "00000100#01", "18DB33F2#01"):
            result = self.send("vcan0", "100#", refused)
            self.assertEqual(result.returncode, 1)
            self.assertIn("not_allowed", result.stdout + result.stderr)
        self.cansend("vcan0", LAST)
        self.assertEqual(texts(self.machine.recorded()), [*sent, LAST])

    def test_frames_cross_the_wire_of_two_controllers(self):
        self.machine.record(3, "can1")
        done = self.send("can0", "105#0102030405060708", "18DB33F1#", "106#R")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(texts(self.machine.recorded()), ["105#0102030405060708", "18DB33F1#", "106#R"])
        classic = self.send("can0", "105##1AA")
        self.assertEqual(classic.returncode, 1)
        self.assertIn("can0 carries no FD frames", classic.stdout + classic.stderr)

    def test_a_bridge_joins_two_buses_without_an_echo(self):
        port = self.fleet.directory / "desk"
        self.start_fleetctl("can", "bridge", DEVICE, "can0", "--to", f"slcan-pty:{port}")
        wait_until("the port is there", port.exists)
        desk = can.Bus(interface="slcan", channel=str(port), bitrate=500000, sleep_after_open=0)
        self.addCleanup(desk.shutdown)
        heard = []

        def hear(last):
            while not heard or heard[-1].arbitration_id != last:
                heard.append(wait_until("the desk hears", lambda: desk.recv(0.1)))
        wait_until("they are joined", lambda: self.cansend("can1", FIRST) or desk.recv(0.1))
        self.machine.record(201, "can1")
        self.machine.run("together 'cangen can1 -I i -L i -D i -g 2 -n 50' 'cangen can1 -e -g 2 -n 50'")
        for number in range(100):
            desk.send(can.Message(arbitration_id=0x100 + number, data=[number, 0xFF], is_extended_id=False))
        wait_until("all is on the bus", lambda: self.machine.run("wc -l <$FLEET_VM_OUT/recorded").strip() == "200")
        self.cansend("can1", LAST)
        hear(0x7F1)
        recorded = self.machine.recorded()
        sent = [f"{0x100 + number:03X}#{number:02X}FF" for number in range(100)]
        self.assertEqual([text for text in texts(recorded) if text in sent], sent)
        wanted = [text for text in texts(recorded) if text not in sent]
        self.assertEqual([f"{m.arbitration_id:0{8 if m.is_extended_id else 3}X}#{bytes(m.data).hex().upper()}"
                          for m in heard if m.arbitration_id != 0x7F0], wanted)


class Interfaces(SocketCan):
    def test_an_interface_goes_down_and_comes_back(self):
        for bus in BUSES:
            with self.subTest(bus):
                dump = Dump(self, bus)
                down = self.after(lambda: self.machine.run(f"ip link set {bus} down"), "can_down", bus)
                self.assertIn(f"ip link set {bus} up", down["detail"])
                refused = self.send(bus, "105#AA")
                self.assertEqual(refused.returncode, 1)
                self.assertIn("is down", refused.stdout + refused.stderr)
                self.after(lambda: self.machine.run(f"ip link set {bus} up"), "can_up", bus)
                self.assert_flows(bus)
                self.assertIn("105#AA", texts(dump.take(2)), "the tap went on")

    def test_an_interface_is_removed_and_made_anew(self):
        self.after(lambda: self.machine.run("ip link del vcan0"), "can_down", "vcan0")
        wait_until("it says why", lambda: "vcan0 does not exist" in self.send("vcan0", "105#AA").stdout)
        self.after(lambda: self.machine.run(MAKE_VCAN), "can_up", "vcan0")
        self.assert_flows("vcan0")
        self.assertNotEqual(self.send("vcan0", "105##1AA").returncode, 1, "it carries FD again")


class Errors(SocketCan):
    # Told by hand: the emulated wire has no errors.
    def test_bus_off_is_told_and_its_end(self):
        bus_off = lambda: self.cansend("vcan0", "20000040#0000000000000000")
        down = self.after(lambda: self.after(bus_off, "can_bus_off", "vcan0"), "can_down", "vcan0")
        self.assertIn("bus-off", down["detail"])
        count = lambda kind: len(self.events(kind, "vcan0"))
        wait_until("it is up again", lambda: count("can_up") == count("can_down"))
        self.assert_flows("vcan0")


class Overflow(SocketCan):
    # The emulation loses room with each remote frame that asks for data, until it has none for any frame: for good.
    def test_a_controller_that_overflows_is_told(self):
        dump = Dump(self, "can0")
        self.machine.record(40, "can0,0:0,#FFFFFFFF")
        dropped = self.after(lambda: self.cansend("can1", *["123#R8"] * 40), "can_dropped", "can0")
        self.assertRegex(dropped["detail"], r"before us [1-9]")
        recorded = self.machine.recorded()
        overflows = [line for line in recorded if re.search(r"can0 200002.4#..01", line)]  # from the driver
        counted = int(self.machine.run("cat /sys/class/net/can0/statistics/rx_over_errors"))
        self.assertEqual(len(overflows), counted)
        self.assertGreater(counted, 0)
        self.assertEqual(dump.take(40), recorded)


def load_tests(loader, _tests, _pattern):
    """In this order: after an overflow the wire is not what it was."""
    cases = (Signals, Tunnel, Interfaces, Errors, Overflow)
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)


def main():
    with tempfile.TemporaryDirectory(prefix="fleet-test-", ignore_cleanup_errors=True) as directory:
        fleet = Fleet(directory)
        try:
            machine = Machine(fleet)
            machine.run(f"{MAKE_VCAN}; {START_CONTROLLERS}")
            fleet.start_broker().start_server()
            SocketCan.fleet, SocketCan.machine = fleet, machine
            SocketCan.plain = fleet.peer("plain").subscribe(f"rpi/{DEVICE}/+/+")
            (machine.out / "device.toml").write_text(config())
            (machine.out / "car.dbc").write_bytes((ROOT / "examples/can/car.dbc").read_bytes())
            machine.start(DEVICE, program("fleet-device"), "--id", DEVICE, "--broker",
                          f"tcp://10.0.2.2:{fleet.broker_port}", "--config", machine.out / "device.toml", "--data",
                          "/var/tmp/fleet")
            fleet.wait_states({DEVICE: "online"})
            fleet.wait_ready()
            unittest.main(verbosity=2)
        except Exception:
            print(fleet.logs(), file=sys.stderr)
            raise
        finally:
            fleet.end()


if __name__ == "__main__":
    main()
