#!/usr/bin/python3
"""Requests in JSON to Modbus units, over TCP and over a serial line, against pymodbus; mbpoll says the same values."""
import json
import math
import re
import struct
import unittest

from modbus_bed import (COILS, DEVICE, DISCRETE_INPUTS, HOLDING, INPUTS, Answers, ModbusTest, bit_of, register_of,
                        settings, table)
from fleet_fixture import program, run, wait_until

# Of the system that we replace: registers, how they are asked for, the value.
ROWS = {
    "002A as U16": ([0x002A], {"type": "U16"}, 42),
    "1234 5678 as U32 big": ([0x1234, 0x5678], {"type": "U32", "endianess": "big"}, 305419896),
    "1234 5678 as U32 little": ([0x1234, 0x5678], {"type": "U32", "endianess": "little"}, 1450709556),
    "4049 0FDB as F32": ([0x4049, 0x0FDB], {"type": "F32"}, 3.1415927),
}
# Of each type a format of struct, values, and how mbpoll shows it where it can.
TYPES = {
    "U16": (">H", (0, 65535), None),
    "I16": (">h", (-1, -32768), None),
    "U32": (">I", (305419896, 2**32 - 1), None),
    "I32": (">i", (-2, 2**31 - 1), "4:int"),
    "U64": (">Q", (2**64 - 1, 2**53 + 1), None),
    "I64": (">q", (-2**63, -(2**53) - 1), None),
    "F32": (">f", (-1.5, 3.1415927410125732), "4:float"),
}
MBPOLL_KINDS = {COILS: 0, DISCRETE_INPUTS: 1, HOLDING: 4, INPUTS: 3}
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
WRITABLE = (table("write", unit="meter", addresses="0..65535", rate_hz=1000) +
            table("write", unit="meter", table="coil", addresses="0..65535", rate_hz=1000))
METER = table("unit", id="meter", bus="bus", address=3)


def words_of(form, value, order):
    data = struct.pack(form, value)
    words = [int.from_bytes(data[at:at + 2], "big") for at in range(0, len(data), 2)]
    return words if order == "big" else words[::-1]


class Registers:
    """What is the same over TCP and RTU; `units` are asked by mbpoll too, always over TCP."""

    def start_meter(self, more=""):
        self.start(self.bus() + METER + WRITABLE + more)

    def read(self, address, **fields):
        response = self.ask(device_id="meter", address=address, function_code=HOLDING, **fields)
        self.assertIs(response["success"], True, response)
        return response

    def write(self, function, address, values, **fields):
        response = self.ask(device_id="meter", address=address, function_code=function, values=values, **fields)
        self.assertIs(response["success"], True, response)
        return response

    def test_every_row_of_the_table(self):
        self.start_meter()
        for name, (registers, fields, value) in ROWS.items():
            with self.subTest(name):
                self.units.poke(3, 10056, registers)
                response = self.read(10056, size=len(registers), scale_factor=1, **fields)
                shown = value if isinstance(value, int) else struct.unpack(">f", struct.pack(">f", value))[0]
                self.assertEqual(response["value"], shown)
                self.assertEqual(response["raw_value"], name[:9].split(" as")[0].replace(" ", ""))

    def test_every_reading_function_code(self):
        self.start_meter()
        for function, kind in MBPOLL_KINDS.items():
            with self.subTest(function):
                response = self.ask(device_id="meter", function_code=function, address=5, size=9)
                made = bit_of if function in (COILS, DISCRETE_INPUTS) else register_of
                self.assertEqual(response["value"], [made(3, address) for address in range(5, 14)])
                self.assertEqual(list(map(str, response["value"])), self.units.mbpoll(kind, 3, 5, 9))

    def test_every_writing_function_code(self):
        self.start_meter()
        for function, address, values, kind in (
                (5, 20, True, 0), (6, 21, 0x1234, 4), (15, 30, [1, 0, 1, 1], 0), (15, 40, [True, False], 0),
                (16, 50, [1, 2, 65535], 4), (16, 60, 170, 4)):
            with self.subTest(function=function, values=values):
                listed = values if isinstance(values, list) else [values]
                response = self.write(function, address, values)
                self.assertEqual((response["address"], response["values"]), (address, listed))
                held = [re.sub(r"\D.*", "", text) for text in self.units.mbpoll(kind, 3, address, len(listed))]
                self.assertEqual(held, [str(int(value)) for value in listed])

    def test_every_type_in_both_orders(self):
        self.start_meter()
        for name, (form, values, _) in TYPES.items():
            for order in ("big", "little"):
                with self.subTest(type=name, order=order):
                    words = [word for value in values for word in words_of(form, value, order)]
                    self.write(16, 200, list(values), type=name, endianess=order)
                    self.assertEqual(self.units.registers(3, 200, len(words)), words)
                    response = self.read(200, type=name, endianess=order, size=len(words))
                    self.assertEqual(response["value"], list(values))

    def test_mbpoll_shows_the_same_values_of_32_bits(self):
        self.start_meter()
        for name, (form, values, kind) in TYPES.items():
            for order, option in (("big", ["-B"]), ("little", [])):
                if kind is None:
                    continue
                with self.subTest(type=name, order=order):
                    self.units.poke(3, 300, [word for value in values for word in words_of(form, value, order)])
                    shown = [float(text) for text in self.units.mbpoll(kind, 3, 300, len(values), option)]
                    ours = self.read(300, type=name, endianess=order, size=2 * len(values))["value"]
                    self.assertTrue(all(math.isclose(*pair, rel_tol=1e-5) for pair in zip(ours, shown)), (ours, shown))

    def test_text_is_without_nuls_and_without_scale(self):
        self.start_meter()
        self.units.poke(3, 400, [0x4142, 0x4300, 0])
        self.assertEqual(self.read(400, type="STR", size=3, scale_factor=10)["value"], "ABC")
        self.write(16, 410, "Pump 7", type="STR", size=4)
        self.assertEqual(self.units.registers(3, 410, 4), [0x5075, 0x6D70, 0x2037, 0])

    def test_a_scale_is_taken_both_ways(self):
        self.start_meter()
        self.write(16, 420, 23.4, type="I16", scale_factor=0.1)
        self.assertEqual(self.units.registers(3, 420), [234])
        self.assertAlmostEqual(self.read(420, type="I16", scale_factor=0.1)["value"], 23.4)

    def test_address_0_is_an_address(self):
        self.start_meter()
        self.assertEqual(self.read(0, size=3)["value"], [3000, 3001, 3002])
        self.write(6, 0, 99)
        self.assertEqual(self.units.registers(3, 0), [99])

    def test_what_a_unit_refuses_has_its_reason(self):
        self.start_meter()
        self.units.tell("end 3 1000")
        self.assert_error(self.ask(device_id="meter", address=1000), "illegal_data_address")
        self.assertEqual(self.ask(device_id="meter", address=999)["value"], register_of(3, 999))

    def test_polled_values_are_published_and_stored(self):
        often = {"unit": "meter", "period": "200ms"}
        polls = (table("poll", topic="meter/power", address=10, type="F32", **often) +
                 table("poll", topic="meter/energy", address=12, type="U32", endianess="little", **often) +
                 table("poll", topic="meter/volts", address=14, function_code=INPUTS, scale_factor=0.1, **often) +
                 table("poll", topic="meter/on", address=3, function_code=COILS, labels="0=off,1=on", **often))
        self.units.poke(3, 10, [0x4049, 0x0FDB, 0x5678, 0x1234])
        self.start_meter(polls)
        wanted = {"meter/power": 3.1415927, "meter/energy": 305419896, "meter/volts": 301.4}
        for topic, value in wanted.items():
            text = wait_until(f"{topic} is published", lambda topic=topic: self.texts(topic)[-1:])[0]
            self.assertAlmostEqual(float(text), value, places=3)
        self.wait_text("meter/on", "off")
        signals = wait_until("they are stored", lambda: len(found := {
            one["signal"]: one["value"] for one in self.stored_signals() if "value" in one}) == 4 and found)
        for topic, value in wanted.items():
            self.assertAlmostEqual(signals[topic], value, places=4)
        listed = self.fleet.fleetctl("telemetry", DEVICE)
        self.assertRegex(listed.stdout, r"meter/energy\s+305419896\b")

    def test_a_poll_that_a_unit_refuses_does_not_take_its_neighbours_along(self):
        self.units.tell("end 3 1000")
        self.start_meter("".join(table("poll", topic=f"meter/r{address}", unit="meter", address=address, period="200ms")
                                 for address in (998, 999, 1000)))
        self.wait_fresh("meter/r998", "3998")
        self.wait_fresh("meter/r999", "3999")
        self.wait_text("meter/r1000", "invalid")

    def stored_signals(self):
        status, body = self.fleet.get(f"/api/v1/devices/{DEVICE}/signals")
        return json.loads(body)["signals"] if status == 200 else []


class ByTcp(Registers, ModbusTest):
    def setUp(self):
        self.units = self.start_units()

    def bus(self):
        return table("bus", name="bus", interface=f"tcp:127.0.0.1:{self.units.port}")


class ByRtu(Registers, ModbusTest):
    """On a wire at 19 200 bit/s, which nobody may talk into."""

    def setUp(self):
        self.line = self.plug_in_line()
        self.units = self.start_units(line=self.line)

    def bus(self):
        return table("bus", name="bus", interface=f"rtu:{self.line.device}")

    def tearDown(self):
        self.fleet.devices[DEVICE].stop()
        verdict = self.line.judge()
        self.assertEqual((verdict.collisions, verdict.too_close, verdict.broken), ([], [], []))
        self.assertEqual(verdict.answered, verdict.asked)

    def test_neighbours_are_read_in_one_transaction(self):
        self.start_meter("".join(table("poll", topic=f"meter/r{n}", unit="meter", address=100 + n, period="250ms")
                                 for n in range(10)))
        wait_until("each is published twice", lambda: all(len(self.texts(f"meter/r{n}")) >= 2 for n in range(10)))
        asked = {frame.data[1:6].hex() for frame in self.line.judge_so_far().frames if frame.side == "d"}
        self.assertEqual(asked, {"030064000a"}, "ten registers from 100 on")


class Requests(ModbusTest):
    """What the system that we replace drops in silence is answered."""

    def setUp(self):
        self.units = self.start_units()
        self.start(settings(alias="iamcat") + table("bus", name="bus", interface=f"tcp:127.0.0.1:{self.units.port}") +
                   METER + WRITABLE)

    def test_the_answer_has_the_request_and_the_time(self):
        request = {"function_code": 3, "device_id": "meter", "address": 10056, "size": 1, "type": "U16",
                   "endianess": "big", "scale_factor": 1}
        answer = self.answers.next_after(json.dumps(request))
        self.assertRegex(answer.pop("timestamp"), f"^{TIMESTAMP}$")
        self.assertEqual(answer, {"type": "modbus_response", "request": request, "response": {
            "success": True, "device_id": "meter", "register": 10056, "size": 1, "raw_value": "3300",
            "swapped_value": "3300", "value": 0x3300, "data": [0x3300]}})

    def test_defaults_are_those_of_the_bridge(self):
        response = self.ask(device_id="meter", address=7)
        self.assertEqual((response["size"], response["value"]), (1, 3007))

    def test_an_id_comes_back_as_it_was(self):
        for request_id in ("a", "", 7, -1.5, True, False, None, "x" * 128):
            with self.subTest(request_id):
                answer = self.answers.next_after(json.dumps({"device_id": "meter", "address": 0, "id": request_id}))
                self.assertIn("id", answer)
                self.assertEqual((answer["id"], answer["response"]["success"]), (request_id, True))

    def test_a_function_code_as_text_is_understood(self):
        self.assertEqual(self.ask(device_id="meter", address=7, function_code="3")["value"], 3007)

    def test_whatever_is_wrong_is_said(self):
        good = {"device_id": "meter", "address": 1}
        write = good | {"function_code": 16}
        for code, fields in (
                ("bad_request", {"address": 1}), ("bad_request", {"device_id": "meter"}),
                ("bad_request", good | {"device_id": ""}),
                ("unknown_device", good | {"device_id": "metre"}), ("bad_function", good | {"function_code": 7}),
                ("bad_function", good | {"function_code": "three"}), ("bad_address", good | {"address": 65536}),
                ("bad_address", good | {"address": -1}), ("bad_request", good | {"address": "first"}),
                ("bad_address", good | {"address": 65535, "size": 2}), ("bad_size", good | {"size": 0}),
                ("bad_size", good | {"size": 126}), ("bad_size", good | {"size": 3, "type": "U32"}),
                ("bad_size", good | {"function_code": 1, "size": 2001}), ("bad_type", good | {"type": "F16"}),
                ("bad_request", good | {"endianess": "middle"}), ("bad_request", good | {"scale_factor": 0}),
                ("bad_request", write), ("bad_values", write | {"values": []}),
                ("bad_values", write | {"values": "many"}),
                ("out_of_range", write | {"values": 65536}), ("out_of_range", write | {"values": -1}),
                ("bad_size", write | {"values": [0] * 124}), ("bad_request", good | {"ttl_ms": 0})):
            with self.subTest(code=code, fields=fields):
                answer = self.answers.wait(self.answers.send(**fields))
                self.assert_error(answer["response"], code)
                self.assertEqual({key: answer["request"][key] for key in fields}, fields)

    def test_what_is_no_json_is_said(self):
        for payload in (b"", b"hello", b"{", b'{"device_id":"meter","address":}', b"[1]", b"42", b"\xff\xfe{}",
                        b"null"):
            with self.subTest(payload):
                answer = self.answers.next_after(payload)
                self.assert_error(answer["response"], "not_json")
                self.assertIsNone(answer["request"])
        self.assert_error(self.answers.next_after(b" " * 70_000)["response"], "too_large")

    def test_what_the_broker_kept_is_refused(self):
        request = json.dumps({"device_id": "meter", "address": 0, "id": "old"})
        self.fleet.devices[DEVICE].stop()
        self.answers.peer.client.publish(self.answers.request_topic, request, qos=1, retain=True).wait_for_publish()
        self.fleet.start_device(DEVICE, "--config", self.config_file)
        self.assert_error(self.answers.wait("old")["response"], "retained")

    def test_the_old_topics_are_an_alias(self):
        old = Answers(self.fleet, "old", "iamcat/modbus/request", "iamcat/modbus/response")
        answer = old.next_after(json.dumps({"device_id": "meter", "address": 0}))
        self.assertEqual(answer["response"]["value"], 3000)
        self.assertEqual(self.answers.all(), [], "nothing goes to the other topic")

    def test_it_says_every_five_seconds_how_it_is(self):
        state = self.fleet.peer("old-state").subscribe("iamcat/state")
        first, second = wait_until("two states", lambda: len(s := self.states()) >= 2 and s[:2], timeout=20)
        self.assertEqual({first["type"], first["status"]}, {"gateway_state", "online"})
        self.assertRegex(first["timestamp"], f"^{TIMESTAMP}$")
        self.assertAlmostEqual(second["uptime"] - first["uptime"], 5, delta=0.3)
        wait_until("the alias has them too", lambda: state.messages)
        self.assertEqual(json.loads(state.messages[0][1])["type"], "gateway_state")

    def test_many_at_once_are_all_answered(self):
        ids = [self.answers.send(device_id="meter", address=number) for number in range(200)]
        for number, request_id in enumerate(ids):
            self.assertEqual(self.answers.wait(request_id)["response"]["value"], register_of(3, number))


class Mistakes(ModbusTest):
    def refused(self, config):
        file = self.fleet.directory / "device.toml"
        file.write_text(config)
        result = run(program("fleet-device"), "--config", file, "--id", "x", "--data", self.fleet.directory / "data")
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        return result.stderr

    def test_they_are_refused_at_the_start_with_their_place(self):
        bus = table("bus", name="rs485", interface="rtu:/dev/ttyUSB0")
        poll = table("poll", topic="meter/power", unit="metre", address=10)
        for config, words in (
                (bus.replace("rtu:", "rs485:"), r"modbus\.bus 1 \(rs485\): interface: .*rtu:DEVICE"),
                (bus + table("unit", id="meter", bus="rs458"),
                 r"modbus\.unit 1 \(meter\): bus: .*did you mean rs485\?"),
                (bus + table("unit", id="meter", bus="rs485") + poll,
                 r"modbus\.poll 1 \(meter/power\): unit: .*did you mean meter\?"),
                (bus + table("unit", id="meter", bus="rs485") + table("write", unit="meter", addresses="9..1"),
                 r"modbus\.write 1 \(meter\): addresses: ")):
            with self.subTest(words):
                self.assertRegex(self.refused(config), words)


if __name__ == "__main__":
    unittest.main()
