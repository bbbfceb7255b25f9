#!/usr/bin/python3
"""Raw frames between a bus in a vehicle and an operator's machine: the native tunnel through server and fleetctl, and the
compatible one with peers that we did not write."""
import re
import signal
import struct
import subprocess
import time
import unittest

import paho.mqtt.client
from can_bed import CanTest, can
from fleet_fixture import clean_environment, program, wait_until

BUS = '[[can.bus]]\nname = "can0"\ninterface = ""\nsend_allow = "7DF,100:7F0,18DB33F1"\nsend_rate_hz = 1000\n'


class TunnelTest(CanTest):
    def start_fleetctl(self, *words):
        process = subprocess.Popen([program("fleetctl"), "--server", f"http://127.0.0.1:{self.fleet.http_port}", *words],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start(self, config=BUS, base=""):
        super().start(config, base)
        self.fleet.wait_ready()


class Native(TunnelTest):
    def dump(self, *words):
        process = self.start_fleetctl("can", "dump", self.DEVICE, "can0", *words)
        self.wait_event("can_tap_on")
        return process

    def test_dump_prints_what_candump_would(self):
        self.start()
        process = self.dump("--log", "--filter", "100:700", "--filter", "18FEF100")
        for frame in ((0x123, b"\x11\x22"), (0x223, b"\x33"), (0x1FF, b""), (0x18FEF100, bytes(8), True)):
            self.vehicle.send(*frame)
        self.vehicle.bus.send(can.Message(arbitration_id=0x101, is_remote_frame=True, dlc=3, is_extended_id=False))
        lines = [process.stdout.readline().rstrip("\n") for _ in range(4)]
        self.assertTrue(all(re.match(r"\(\d{10}\.\d{6}\) can0 ", line) for line in lines), lines)
        self.assertEqual([line.split(" ")[2] for line in lines], ["123#1122", "1FF#", "18FEF100#0000000000000000", "101#R3"])
        self.assertLess(abs(float(lines[0][1:18]) - time.time()), 60)

    def test_a_tap_ends_with_its_reader_and_is_on_record(self):
        self.start()
        process = self.dump("--filter", "123:7FF", "--for", "5m")
        on = self.wait_event("can_tap_on")[0]
        self.assertRegex(on["detail"], r"command \d+ by \S+@\S+ for 5m filter 123:7FF")
        self.vehicle.send(0x123, b"\x01")
        self.assertIn("123", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.wait(10)
        off = self.wait_event("can_tap_off")[0]
        self.assertIn("frames 1", off["detail"])
        command = re.search(r"command (\d+)", on["detail"])[1]
        wait_until("the command has ended", lambda: self.fleet.get_json(f"/api/v1/commands/{command}")["state"] == "cancelled")

    def test_a_reader_that_dies_does_not_leave_a_tap_behind(self):
        self.start()
        self.dump("--for", "5m").kill()
        self.wait_event("can_tap_off")

    def test_a_tap_ends_when_its_time_is_over(self):
        self.start()
        process = self.dump("--for", "1s")
        self.assertEqual(process.wait(15), 0, process.stderr.read())
        self.wait_event("can_tap_off")

    def test_nothing_is_sent_while_nobody_listens(self):
        self.start()
        raw = self.fleet.peer("raw").subscribe(f"rpi/{self.DEVICE}/can/+/rx")
        for _ in range(50):
            self.vehicle.send(0x123, b"\x01")
        time.sleep(0.5)
        self.assertEqual(raw.messages, [])

    def test_allowed_frames_reach_the_bus(self):
        self.start()
        result = self.fleet.fleetctl("can", "send", self.DEVICE, "can0", "7DF#02010C", "105#", "18DB33F1#0201")
        self.assertEqual(result.returncode, 0, result.stderr)
        wait_until("they are on the bus", lambda: self.vehicle.heard_ids() == [0x7DF, 0x105, 0x18DB33F1])
        self.assertEqual(bytes(self.vehicle.heard[0].data), b"\x02\x01\x0C")
        self.assertRegex(self.wait_event("can_sent")[0]["detail"], r"by \S+@\S+ frames 3 of 3")

    def test_what_is_not_allowed_is_refused_with_the_reason(self):
        self.start()
        result = self.fleet.fleetctl("can", "send", self.DEVICE, "can0", "7DF#02010C", "7E0#0201")
        self.assertEqual(result.returncode, 1)
        self.assertIn("7E0#0201", result.stdout + result.stderr)
        self.assertIn("not_allowed", result.stdout + result.stderr)
        self.wait_text("security/policy_violations", "1")
        wrong = self.fleet.fleetctl("can", "send", self.DEVICE, "can1", "7DF#02010C")
        self.assertIn("did you mean can0?", wrong.stdout + wrong.stderr)
        self.assertEqual(self.vehicle.heard, [], "nothing of either")

    def test_two_buses_are_joined_without_an_echo(self):
        self.start()
        port = self.fleet.directory / "desk"
        self.start_fleetctl("can", "bridge", self.DEVICE, "can0", "--to", f"slcan-pty:{port}")
        self.wait_event("can_tap_on")
        wait_until("the port is there", port.exists)
        desk = can.Bus(interface="slcan", channel=str(port), bitrate=500000, sleep_after_open=0)
        self.addCleanup(desk.shutdown)
        time.sleep(0.2)  # for the other side to see that it is open
        for number in range(20):
            self.vehicle.send(0x700 + number, bytes([number]))
            desk.send(can.Message(arbitration_id=0x100 + number % 16, data=[number], is_extended_id=False))
        got = []
        wait_until("the desk has all", lambda: (m := desk.recv(0.1)) and got.append(m.arbitration_id) or len(got) >= 20)
        wait_until("the vehicle has all", lambda: len(self.vehicle.heard) >= 20)
        time.sleep(0.5)  # an echo would come now
        while message := desk.recv(0):
            got.append(message.arbitration_id)
        self.assertEqual(got, [0x700 + number for number in range(20)])
        self.assertEqual(self.vehicle.heard_ids(), [0x100 + number % 16 for number in range(20)])


class Compatible(TunnelTest):
    BASE = '[can.compat]\nbases = "can0=can"\n'

    def test_python_can_and_paho_exchange_frames_with_the_bus(self):
        self.start(base=self.BASE)
        client = self.fleet.peer("listener").subscribe("can/+")
        self.vehicle.send(0x7E8, bytes.fromhex("03410d3200000000"))
        self.vehicle.send(0x18FEF100, bytes.fromhex("ffffff0000ffffff"), extended=True)
        wait_until("both come", lambda: len(client.messages) >= 2)
        (topic, payload), (extended, more) = client.messages
        self.assertEqual((topic, payload[8:].hex()), ("can/2024", "0003410d3200000000"))
        self.assertEqual((extended, more[8:].hex()), ("can/419361024", "01ffffff0000ffffff"))
        at_us, = struct.unpack_from("<Q", payload)
        self.assertLess(abs(at_us / 1e6 - time.time()), 60)

        client.publish("can/s/2015", bytes.fromhex("f8c219d831ad050000") + b"\x02\x01\x0C")
        wait_until("it is on the bus", lambda: self.vehicle.heard)
        frame = self.vehicle.heard[0]
        self.assertEqual((frame.arbitration_id, bytes(frame.data), frame.is_extended_id), (0x7DF, b"\x02\x01\x0C", False))
        time.sleep(0.3)
        self.assertEqual(len(client.messages), 2, "its own frame came back")

    def test_a_client_of_mqtt_3_1_is_served(self):
        self.start(base=self.BASE)
        versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
        savvy = paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id="aB3dE5gH7jK9",
                                        clean_session=False, protocol=paho.mqtt.client.MQTTv31)
        heard = []
        savvy.on_message = lambda _client, _data, message: heard.append(message.topic)
        savvy.on_connect = lambda client, *_: client.subscribe("can/+")
        ready = []
        savvy.on_subscribe = lambda *_: ready.append(True)
        savvy.connect("127.0.0.1", self.fleet.broker_port, keepalive=300)
        savvy.loop_start()
        self.addCleanup(savvy.loop_stop)
        wait_until("it is subscribed", lambda: ready)
        self.vehicle.send(0x123, b"\x01")
        wait_until("it hears the bus", lambda: heard == ["can/291"])
        savvy.publish("can/s/2015", bytes(9) + b"\x55")
        wait_until("it reaches the bus", lambda: self.vehicle.heard_ids() == [0x7DF])

    def test_bad_input_is_counted_and_stops_nothing(self):
        self.start(base=self.BASE)
        client = self.fleet.peer("fuzzer")
        head = bytes(8)
        bad = [("can/s/abc", head + b"\0"), ("can/s/", head + b"\0"), ("can/s/291", b""), ("can/s/291", head),
               ("can/s/2048", head + b"\0"), ("can/s/536870912", head + b"\1"), ("can/s/291", head + b"\0" + bytes(9)),
               ("can/s/291", head + b"\4" + bytes(11)), ("can/s/291", head + b"\4" + bytes(65)),
               ("can/s/128", head + b"\x08" + bytes(8))]
        for topic, payload in bad:
            client.publish(topic, payload)
        client.client.publish("can/s/2015", head + b"\0\x66", retain=False)
        wait_until("the good one behind them is on the bus", lambda: self.vehicle.heard_ids() == [0x7DF])
        client.publish("can/s/2016", head + b"\0")  # good, and not allowed
        client.publish("can/s/2015", head + b"\0\x67")
        wait_until("so is the next", lambda: self.vehicle.heard_ids() == [0x7DF, 0x7DF])
        self.wait_text("security/policy_violations", "1")
        counts = lambda: re.findall(r"can_messages=(\d+)", self.fleet.devices[self.DEVICE].log())
        wait_until("each is counted", lambda: counts()[-1:] == [str(len(bad) + 1)], timeout=30)

    def test_what_the_broker_kept_does_not_reach_the_bus(self):
        self.fleet.start_broker()
        self.fleet.peer("old").client.publish("can/s/2015", bytes(9), qos=1, retain=True).wait_for_publish()
        self.fleet.start_broker = lambda: self.fleet  # it runs
        self.start(base=self.BASE)
        client = self.fleet.peer("new")
        client.publish("can/s/261", bytes(9))
        wait_until("a new one is on the bus", lambda: self.vehicle.heard)
        self.assertEqual(self.vehicle.heard_ids(), [261])


if __name__ == "__main__":
    unittest.main(verbosity=2)
