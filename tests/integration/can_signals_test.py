#!/usr/bin/python3
"""Signals and trouble codes from a bus to the operator, with the shipped configurations, real programs and python-can as
the controllers of the vehicle."""
import csv
import io
import json
import time
import unittest

from can_bed import EXAMPLES, CanTest, Repeated, can
from fleet_fixture import program, run, wait_until


def response(*data):
    """A single ISO-TP frame of the engine."""
    return can.Message(arbitration_id=0x7E8, data=bytes([len(data), *data]).ljust(8, b"\0"), is_extended_id=False)


class Engine:
    """An engine controller that answers OBD-II requests: each of its parameters by number, and its trouble codes."""

    def __init__(self, values, stored=()):
        self.values = values  # {pid: bytes}
        self.stored = list(stored)
        self.rest = []        # consecutive frames that wait for flow control

    def __call__(self, request):
        if request.arbitration_id == 0x7E0 and request.data[0] >> 4 == 3:
            rest, self.rest = self.rest, []
            return rest
        if request.arbitration_id != 0x7DF:
            return []
        service, *pids = request.data[1:1 + request.data[0]]
        if service == 1:
            return self.message(bytes([0x41]) + b"".join(self.value(pid) for pid in pids))
        if service in (3, 7):
            codes = self.stored if service == 3 else []
            return self.message(bytes([service + 0x40, len(codes)]) + b"".join(codes))
        if service == 4:
            self.stored = []
            return [response(0x44)]
        return [response(0x7F, service, 0x11)]

    def value(self, pid):
        if pid % 0x20 == 0:  # which of the next 32 there are
            known = [p for p in self.values if pid < p <= pid + 0x20]
            bits = sum(1 << (pid + 0x20 - p) for p in known)
            bits |= any(p > pid + 0x20 for p in self.values)
            return bytes([pid]) + bits.to_bytes(4, "big")
        return bytes([pid]) + self.values[pid] if pid in self.values else b""

    def message(self, data):
        if len(data) == 1:
            return []  # none of them: silence, as controllers do
        if len(data) <= 7:
            return [response(*data)]
        frames = [bytes([0x10 | len(data) >> 8, len(data) & 0xFF]) + data[:6]]
        frames += [bytes([0x20 | (i + 1) % 16]) + data[6 + 7 * i:13 + 7 * i] for i in range((len(data) - 6 + 6) // 7)]
        frames = [can.Message(arbitration_id=0x7E8, data=f.ljust(8, b"\0"), is_extended_id=False) for f in frames]
        self.rest = frames[1:]
        return frames[:1]


class Car(CanTest):
    VALUES = {0x01: bytes([0x82, 0, 0, 0]), 0x04: b"\x80", 0x05: b"\x7B", 0x0C: b"\x17\x70", 0x0D: b"\x32",
              0x11: b"\x33", 0xA6: (1234567).to_bytes(4, "big")}

    def start_car(self):
        self.start((EXAMPLES / "car-obd.toml").read_text().replace('dtc_period = "10s"', 'dtc_period = "1s"'))
        self.engine = Engine(self.VALUES, stored=[b"\x01\x33", b"\xC1\x00"])
        self.vehicle.answers = self.engine

    def test_the_tree_of_a_car_is_there_with_the_shipped_configuration(self):
        self.start_car()
        for topic, text in (("engine/rpm", "1500"), ("engine/coolant_temp", "83"), ("vehicle/speed", "50"),
                            ("vehicle/odometer", "123456.7"), ("diagnostics/dtc", "P0133,U0100"),
                            ("diagnostics/error_count", "2"), ("diagnostics/health", "error")):
            self.wait_text(topic, text)
        self.assertAlmostEqual(float(self.text("engine/load")), 128 * 100 / 255, places=1)
        self.wait_text("vehicle/fuel_level", "invalid")  # no controller of this car has it
        self.assertEqual(self.text("security/policy_violations") or "0", "0")

        # The same at the operator's.
        signals = wait_until("the server has them", lambda: len(
            s := self.fleet.get_json(f"/api/v1/devices/{self.DEVICE}/signals")["signals"]) >= 9 and s)
        values = {one["signal"]: one.get("value") for one in signals}
        self.assertEqual(values["engine/rpm"], 1500)
        self.assertIsNone(values["vehicle/fuel_level"])
        table = self.fleet.fleetctl("telemetry", self.DEVICE)
        self.assertRegex(table.stdout, r"engine/rpm\s+1500\b")

    def test_what_changes_is_told_and_stored(self):
        self.start_car()
        self.wait_text("engine/rpm", "1500")
        self.engine.values = self.VALUES | {0x0C: b"\x36\xB0"}
        self.wait_text("engine/rpm", "3500")
        def stored():
            result = self.fleet.fleetctl("telemetry", self.DEVICE, "engine/rpm", "--since", "1m", "--output", "csv")
            return {row["value"] for row in csv.DictReader(io.StringIO(result.stdout))}
        wait_until("both values are stored", lambda: {"1500", "3500"} <= stored())

    def test_a_misspelt_signal_is_named(self):
        self.start_car()
        self.wait_text("engine/rpm", "1500")
        wait_until("it is stored", lambda: self.fleet.get_json(f"/api/v1/devices/{self.DEVICE}/signals")["signals"])
        result = self.fleet.fleetctl("telemetry", self.DEVICE, "engine/rmp")
        self.assertEqual(result.returncode, 1)
        self.assertIn("engine/rpm", result.stderr)

    def test_trouble_codes_are_set_and_cleared_by_command_only(self):
        self.start_car()
        self.wait_event("dtc_set", count=2)
        codes = lambda: {(d["code"], d["active"]) for d in self.fleetctl_json("dtc", self.DEVICE, "--all")["dtcs"]}
        wait_until("the server has them", lambda: codes() == {("P0133", True), ("U0100", True)})
        self.assertNotIn(4, [m.data[1] for m in self.vehicle.heard if m.arbitration_id == 0x7DF])
        cleared = self.fleet.fleetctl("dtc", "clear", self.DEVICE, "can0")
        self.assertEqual(cleared.returncode, 0, cleared.stdout + cleared.stderr)
        self.assertIn(4, [m.data[1] for m in self.vehicle.heard if m.arbitration_id == 0x7DF])
        self.wait_text("diagnostics/dtc", "none")
        wait_until("the server has that", lambda: codes() == {("P0133", False), ("U0100", False)})
        self.assertEqual(self.fleetctl_json("dtc", self.DEVICE)["dtcs"], [])

    def test_a_car_that_is_switched_off_has_no_values(self):
        self.start_car()
        self.wait_text("engine/rpm", "1500")
        self.vehicle.answers = None
        self.wait_text("engine/rpm", "invalid")
        count = sum(1 for topic, _ in self.plain.messages if topic.endswith("engine/rpm"))
        self.wait_text("vehicle/speed", "invalid")
        self.assertEqual(count, sum(1 for topic, _ in self.plain.messages if topic.endswith("engine/rpm")), "repeated")
        self.vehicle.answers = self.engine
        self.wait_text("engine/rpm", "1500")


# EEC1 at 1500 rpm, ET1 at 83 degC, EEC2 at 50 %, CCVS1 at 50 km/h, VDHR at 1 km.
TRUCK = [(0x0CF00400, bytes.fromhex("FFFFFFE02EFFFFFF"), True), (0x18FEEE00, bytes.fromhex("7BFFFFFFFFFFFFFF"), True),
         (0x0CF00300, bytes.fromhex("FFFF32FFFFFFFFFF"), True), (0x18FEF100, bytes.fromhex("FF0032FFFFFFFFFF"), True),
         (0x18FEC1EE, bytes.fromhex("C8000000FFFFFFFF"), True)]


def gear(value):
    return (0x18F00503, bytes([0xFF, 0xFF, 0xFF, value + 125, 0xFF, 0xFF, 0xFF, 0xFF]), True)


class Truck(CanTest):
    def start_truck(self):
        self.start((EXAMPLES / "truck-j1939.toml").read_text())

    def test_the_tree_of_a_truck_is_there_with_the_shipped_configuration(self):
        self.start_truck()
        with Repeated(self.vehicle, [*TRUCK, gear(126)]):
            for topic, text in (("engine/rpm", "1500"), ("engine/coolant_temp", "83"), ("engine/load", "50"),
                                ("vehicle/speed", "50"), ("vehicle/odometer", "1"), ("vehicle/gear_status", "P")):
                self.wait_text(topic, text)
        for value, word in ((-1, "R"), (0, "N"), (3, "D")):
            with Repeated(self.vehicle, [gear(value)]):
                self.wait_text("vehicle/gear_status", word)

    def test_not_available_is_no_value(self):
        self.start_truck()
        with Repeated(self.vehicle, TRUCK):
            self.wait_text("engine/rpm", "1500")
        with Repeated(self.vehicle, [(0x0CF00400, b"\xFF" * 8, True)]):
            self.wait_text("engine/rpm", "invalid")
        self.assertNotIn("8191.875", [p.decode() for t, p in self.plain.messages if t.endswith("engine/rpm")])

    def test_trouble_codes_of_several_frames_are_put_together(self):
        self.start_truck()
        # Lamps: amber; SPN 110 FMI 0 count 1, SPN 520192 FMI 31 count 2.
        codes = bytes.fromhex("04FF") + bytes.fromhex("6E000001") + bytes([0x00, 0xF0, 0xE0 | 31, 2])
        announce = (0x18ECFF00, bytes([0x20, len(codes), 0, 2, 0xFF, 0xCA, 0xFE, 0x00]), True)
        parts = [(0x18EBFF00, bytes([n + 1]) + codes[7 * n:7 * n + 7].ljust(7, b"\xFF"), True) for n in range(2)]
        for frame in (announce, *parts):
            self.vehicle.send(*frame)
            time.sleep(0.06)  # as BAM wants it
        self.wait_text("diagnostics/dtc", "SPN 110 FMI 0,SPN 520192 FMI 31")
        self.wait_text("diagnostics/health", "warning")
        self.vehicle.send(0x18FECA00, bytes.fromhex("00FF00000000FFFF"), extended=True)
        self.wait_text("diagnostics/dtc", "none")
        self.assertEqual([e["name"] for e in self.wait_event("dtc_cleared", 2)],
                         ["SPN 110 FMI 0", "SPN 520192 FMI 31"])


class Demo(CanTest):
    def test_the_recorded_drive_is_there_without_a_vehicle(self):
        self.fleet.start_broker().start_server()
        self.fleet.start_device("demo", "--config", EXAMPLES / "demo.toml")
        names = {"engine/rpm", "engine/coolant_temp", "engine/load", "vehicle/speed", "vehicle/odometer", "vehicle/gear_status"}
        wait_until("all of its signals are stored", lambda: (found := self.fleet.get("/api/v1/devices/demo/signals"))[0] == 200
                   and {one["signal"] for one in json.loads(found[1])["signals"] if "value" in one} == names)


class Dbc(CanTest):
    def test_the_shipped_dbc_configuration_starts(self):
        self.start((EXAMPLES / "car-dbc.toml").read_text())
        self.assertTrue(self.fleet.devices[self.DEVICE].running())


class Mistakes(CanTest):
    def refused(self, config):
        file = self.fleet.directory / "device.toml"
        file.write_text(config)
        for dbc in EXAMPLES.glob("*.dbc"):
            (self.fleet.directory / dbc.name).write_bytes(dbc.read_bytes())
        result = run(program("fleet-device"), "--config", file, "--id", "x", "--data", self.fleet.directory / "data")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    BUS = '[[can.bus]]\nname = "can0"\ninterface = "socketcan:can0"\ndbc = "j1939.dbc"\n'

    def signal(self, source, bus="can0", topic="engine/rpm"):
        return f'{self.BUS}[[can.signal]]\ntopic = "{topic}"\nbus = "{bus}"\nsource = "{source}"\n'

    def test_what_does_not_exist_is_refused_with_the_nearest_name(self):
        for config, nearest in ((self.signal("dbc:EEC1.EngineSpeeed"), "EngineSpeed"), (self.signal("dbc:ECC1.EngineSpeed"), "EEC1"),
                                (self.signal("spn:190", bus="can1"), "can0"),
                                (self.BUS.replace("socketcan:", "sockettcan:"), "socketcan")):
            error = self.refused(config)
            self.assertRegex(error, rf"did you mean \S*{nearest}", config)
            self.assertIn("can.", error)

    def test_other_mistakes_are_refused_with_their_place(self):
        self.assertIn("can.signal 1", self.refused(self.signal("spn:190", topic="command/ack")))
        self.assertIn("can.signal 1", self.refused(self.signal("obd:ZZ")))
        self.assertIn("send_allow", self.refused(self.BUS + 'send_allow = "12G"\n'))
        self.assertRegex(self.refused(self.BUS.replace("j1939.dbc", "missing.dbc")), "missing.dbc")

    def test_a_bad_dbc_file_is_refused_with_its_line(self):
        (self.fleet.directory / "bad.dbc").write_text('BU_:\nBO_ 1 A: 8 X\n SG_ S : 60|8@1+ (1,0) [0|0] "" X\n')
        self.assertRegex(self.refused(self.BUS.replace("j1939.dbc", "bad.dbc")), r"bad\.dbc:3: ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
