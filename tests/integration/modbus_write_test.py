#!/usr/bin/python3
"""What may be written to Modbus units, by whom, and how often; and the operator's way to them."""
import json
import re
import struct
import time
import unittest

import wire
from modbus_bed import DEVICE, HOLDING, ModbusTest, register_of, table
from fleet_fixture import wait_until

RULES = (table("write", unit="meter", addresses="100..109", min="10", max="1000", rate_hz=1000) +
         table("write", unit="meter", addresses="200..201", type="F32", min="-1.5", max="1.5", rate_hz=1000) +
         table("write", unit="meter", addresses="300", rate_hz=0.5) +
         table("write", unit="meter", addresses="400..401", read_back=True, rate_hz=1000) +
         table("write", unit="meter", table="coil", addresses="5..6", rate_hz=1000))
SWAPPED_8, = struct.unpack(">f", bytes.fromhex("00004100"))  # its registers in the other order are 4100 0000, 8.0
KEY = "00112233445566778899aabbccddeeff" * 2


class WriteTest(ModbusTest):
    def setUp(self):
        self.units = self.start_units(units="1,3")

    def start_meter(self, *more, timeout="500ms", **options):
        self.start(table("bus", name="bus", interface=f"tcp:127.0.0.1:{self.units.port}", timeout=timeout) +
                   table("unit", id="meter", bus="bus", address=3) + table("unit", id="dead", bus="bus", address=9) +
                   RULES, *more, **options)

    def write(self, address, values, function=16, **fields):
        return self.ask(device_id="meter", function_code=function, address=address, values=values, **fields)

    def post(self, status=201, **request):
        """The body of POST .../modbus."""
        code, body = self.fleet.post(f"/api/v1/devices/{DEVICE}/modbus", request)
        self.assertEqual(code, status, body)
        return json.loads(body)


class Guard(WriteTest):
    def test_what_is_listed_is_written_and_on_record(self):
        self.start_meter()
        self.assertIs(self.write(100, [10, 1000], id="w1")["success"], True)
        self.assertEqual(self.units.registers(3, 100, 2), [10, 1000])
        self.assertIs(self.write(5, [True, True], function=15)["success"], True)
        self.assertIs(self.write(200, -1.5, type="F32")["success"], True)
        event = self.wait_event("modbus_written", 3)[0]
        self.assertEqual(event["name"], "meter")
        self.assertRegex(event["detail"], r'done: holding 100 = hex 000A 03E8: .*w1')

    def test_what_is_not_listed_is_refused_counted_and_on_record(self):
        self.start_meter()
        refused = [("beside the list", self.write(110, 100)), ("partly beside it", self.write(109, [100, 100])),
                   ("too little", self.write(100, 9)), ("too much", self.write(101, [10, 1001])),
                   ("a scale that hides it", self.write(100, 100, scale_factor=0.01)),
                   ("another type that hides it", self.write(100, 2_000_000, type="U32")),
                   ("half a float", self.write(200, 1)), ("a float beyond", self.write(200, 1.6, type="F32")),
                   ("8.0 that is said to be little", self.write(200, SWAPPED_8, type="F32", endianess="little")),
                   ("another coil", self.write(7, True, function=5)),
                   ("a coil where registers are listed", self.write(100, True, function=5))]
        for what, response in refused:
            with self.subTest(what):
                self.assert_error(response, "not_allowed")
        self.wait_text("security/policy_violations", str(len(refused)))
        self.assertEqual(self.wait_event("modbus_refused")[0]["name"], "meter")
        self.assertEqual(self.units.registers(3, 100, 10), [register_of(3, 100 + n) for n in range(10)])
        self.assertEqual(self.units.registers(3, 200, 2), [register_of(3, 200), register_of(3, 201)])

    def test_too_soon_is_refused(self):
        self.start_meter()
        began = time.monotonic()
        self.assertIs(self.write(300, 1)["success"], True)
        self.assert_error(self.write(300, 2), "too_soon")
        self.assertEqual(self.units.registers(3, 300), [1])
        wait_until("it may be written again", lambda: self.write(300, 3)["success"])
        self.assertGreater(time.monotonic() - began, 2)

    def test_what_reads_back_otherwise_has_failed(self):
        self.start_meter()
        self.units.tell("clamp 3 400 500")
        self.assertEqual(self.write(400, 500), {"success": True, "device_id": "meter", "address": 400, "values": [500],
                                                "read_back": True})
        self.assert_error(self.write(400, 501), "read_back_differs", "01F5.*01F4")
        self.assertRegex(self.wait_event("modbus_written", 2)[1]["detail"], "read_back_differs")

    def test_with_a_command_key_only_what_is_signed_writes(self):
        keys = self.fleet.directory / "keys"
        keys.mkdir()
        (keys / f"{DEVICE}.key").write_text(KEY)
        self.start_meter("--command-key-file", keys / f"{DEVICE}.key", server=("--commands.key_dir", keys))
        self.assert_error(self.write(100, 10), "not_signed")
        self.wait_text("security/policy_violations", "1")
        read = self.ask(device_id="meter", function_code=HOLDING, address=100)
        self.assertEqual(read["value"], 3100, "reading is free")
        self.assertIs(self.post(device_id="meter", function_code=6, address=100, values=10)["success"], True)
        self.assertEqual(self.units.registers(3, 100), [10])
        # The same order without a signature: command 1 of field 1, a ModbusCall in field 9.
        acks = self.fleet.peer("acks").subscribe(f"rpi/{DEVICE}/command/ack")
        request = json.dumps({"device_id": "meter", "function_code": 6, "address": 100, "values": 11}).encode()
        command = wire.message({1: 1 << 40, 9: wire.message({1: request})})
        acks.publish(f"server/{DEVICE}/modbus/command", wire.message({1: command, 15: 1}), qos=1)
        self.assertIs(self.post(device_id="meter", function_code=6, address=101, values=12)["success"], True)
        self.assertEqual(self.units.registers(3, 100, 2), [10, 12])


class AtMostOnce(WriteTest):
    def test_the_same_id_twice_writes_once_and_is_answered_twice(self):
        self.start_meter()
        self.answers.send(id="w1", device_id="meter", function_code=6, address=100, values=10)
        first = self.answers.wait("w1")
        self.units.poke(3, 100, [77])
        again = self.answers.next_after(json.dumps(first["request"]))
        self.assertEqual(again["response"], first["response"])
        self.assertEqual(self.units.registers(3, 100), [77])

    def test_a_commands_frame_twice_writes_once(self):
        self.start_meter()
        broker = self.fleet.peer("copier").subscribe(f"server/{DEVICE}/modbus/command")
        answer = self.post(device_id="meter", function_code=6, address=100, values=10)
        self.units.poke(3, 100, [77])
        wait_until("the frame was seen", lambda: broker.messages)
        acks = self.fleet.peer("acks").subscribe(f"rpi/{DEVICE}/command/ack")
        broker.publish(*broker.messages[0], qos=1)
        wait_until("the device answers the copy", lambda: acks.messages)
        update = dict(wire.parse(dict(wire.parse(acks.messages[0][1]))[2]))
        self.assertEqual((update[1], update[2]), (int(answer["command_id"]), 6), "done, and nothing else")
        self.assertEqual(self.units.registers(3, 100), [77])
        self.assertEqual(len(self.wait_event("modbus_written")), 1)

    def test_what_waits_longer_than_its_time_is_not_done(self):
        self.start_meter(timeout="1s")
        self.answers.send(device_id="dead", address=0)
        waiting = self.answers.send(device_id="meter", function_code=6, address=100, values=10, ttl_ms=200)
        self.assert_error(self.answers.wait(waiting)["response"], "expired")
        self.assertIs(self.write(101, 11)["success"], True)
        self.assertEqual(self.units.registers(3, 100, 2), [3100, 11])

    def test_a_command_to_a_frozen_device_expires(self):
        self.start_meter()
        device = self.fleet.devices[DEVICE]
        device.freeze()
        code, body = self.fleet.post(f"/api/v1/devices/{DEVICE}/modbus?wait=accepted&timeout_ms=800", {
            "device_id": "meter", "function_code": 6, "address": 100, "values": 10, "ttl_ms": 300})
        self.assertEqual(code, 201, body)  # when its time is over
        device.thaw()
        command = json.loads(body)["command_id"]
        wait_until("it has expired", lambda: self.fleet.get_json(f"/api/v1/commands/{command}")["state"] == "expired")
        self.assertEqual(self.units.registers(3, 100), [3100])


class Operator(WriteTest):
    def fleetctl(self, *words, code=0):
        result = self.fleet.fleetctl("modbus", *words)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def test_reading_prints_values(self):
        self.start_meter()
        self.assertEqual(self.fleetctl("read", DEVICE, "meter", 7), "meter 7  3007\n")
        self.assertEqual(self.fleetctl("read", DEVICE, "meter", 0, "--fc", 1, "--size", 2), "meter 0  1\nmeter 1  0\n")
        self.units.poke(3, 200, [0x4049, 0x0FDB, 0x5678, 0x1234])
        self.assertRegex(self.fleetctl("read", DEVICE, "meter", 200, "--type", "F32"), r"^meter 200  3\.14159")
        self.assertEqual(self.fleetctl("read", DEVICE, "meter", 202, "--type", "U32", "--order", "little"),
                         "meter 202  305419896\n")

    def test_writing_is_a_command_that_is_stored_and_says_who(self):
        self.start_meter()
        self.assertIn("written", self.fleetctl("write", DEVICE, "meter", 100, 10, 20))
        self.assertEqual(self.units.registers(3, 100, 2), [10, 20])
        self.assertRegex(self.wait_event("modbus_written")[0]["detail"],
                         r"done: holding 100 = hex 000A 0014: command \d+ by \S+@\S+")
        listed = self.fleet.get_json(f"/api/v1/commands?device={DEVICE}")["commands"]
        self.assertEqual((listed[0]["kind"], listed[0]["state"]), ("modbus", "done"))
        self.assertRegex(listed[0]["by"], r"\S+@\S+")

    def test_64_bits_come_through_exactly(self):
        self.start_meter()
        self.units.poke(3, 500, [0xFFFF] * 4)
        self.assertEqual(self.fleetctl("read", DEVICE, "meter", 500, "--type", "U64"),
                         "meter 500  18446744073709551615\n")

    def test_a_refusal_is_exit_code_1_with_the_reason(self):
        self.start_meter()
        for words, reason in (
                (("write", DEVICE, "meter", 100, 9), "not_allowed"),
                (("write", DEVICE, "meter", 110, 10), "not_allowed"),
                (("read", DEVICE, "metre", 1), "unknown_device"), (("read", DEVICE, "dead", 1), "no_answer"),
                (("read", "nobody", "meter", 1), "nobody")):
            with self.subTest(words):
                self.assertRegex(self.fleetctl(*words, code=1), reason)
        self.assertIn("did you mean meter?", self.fleetctl("read", DEVICE, "metre", 1, code=1))
        self.fleetctl("read", DEVICE, "meter", 65536, code=2)
        self.fleetctl("write", DEVICE, "meter", 100, 70000, code=2)

    def test_json_has_the_answer_or_the_reason(self):
        self.start_meter()
        answer = self.fleetctl_json("modbus", "read", DEVICE, "meter", 7)
        self.assertEqual((answer["success"], answer["response"]["value"], answer["state"]), (True, 3007, "done"))
        refused = self.fleetctl_json("modbus", "write", DEVICE, "meter", 110, 1, code=1)
        self.assertEqual((refused["success"], refused["response"]["error"]["code"]), (False, "not_allowed"))

    def test_no_server_is_exit_code_3(self):
        self.start_meter()
        self.fleet.server.kill()
        self.assertRegex(self.fleetctl("read", DEVICE, "meter", 7, code=3), r"no server at")

    def test_the_api_refuses_what_is_no_request_with_its_word(self):
        self.start_meter()
        for request, word in (({}, "bad_request"), ({"device_id": "meter", "address": 65536}, "bad_address"),
                              ({"device_id": "meter", "address": 1, "function_code": 9}, "bad_function")):
            with self.subTest(request):
                self.assertRegex(json.dumps(self.post(400, **request)), word)
        self.assertEqual(re.findall("modbus", str(self.fleet.get_json(f"/api/v1/commands?device={DEVICE}"))), [])


if __name__ == "__main__":
    unittest.main()
