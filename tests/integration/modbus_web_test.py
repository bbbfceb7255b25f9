#!/usr/bin/python3
"""Units behind the web container of the system that we replace: the same queries, and an answer whatever it does."""
import json
import time
import unittest

from modbus_bed import DEVICE, HOLDING, ModbusTest, settings, table
from fleet_fixture import wait_until
from web_bridge import WebBridge

INVERTER = "A2332407312"
WRITABLE = table("write", unit=INVERTER, addresses="33207..33210", max="1000", rate_hz=1000)


class WebTest(ModbusTest):
    def setUp(self):
        self.bridge = WebBridge()
        self.addCleanup(self.bridge.close)

    def start_with_bridge(self, more="", head="", **bus):
        self.start(head + table("bus", name="web", interface=self.bridge.url, **bus) +
                   table("unit", id=INVERTER, bus="web") + table("unit", id="*", bus="web") + more)


class Bridge(WebTest):
    def test_a_read_asks_as_before_and_gives_what_the_bridge_says(self):
        self.start_with_bridge()
        self.bridge.registers[INVERTER, 10056] = 42
        response = self.ask(function_code=3, device_id=INVERTER, address=10056, size=1, type="U16", endianess="big",
                            scale_factor=1)
        self.assertEqual(self.bridge.queries, [f"device_id={INVERTER}&function_code=3&address=10056&size=1&type=U16"
                                               "&endianess=big&scale_factor=1"])
        self.assertEqual(response, {"success": True, "register": 10056, "size": 1, "raw_value": "002a",
                                    "swapped_value": "002a", "value": 42})

    def test_defaults_are_those_of_the_bridge(self):
        self.start_with_bridge()
        self.ask(device_id="B1", address=0)
        self.assertEqual(self.bridge.fields(), {"device_id": "B1", "function_code": "4", "address": "0", "size": "1",
                                                "type": "U16", "endianess": "big", "scale_factor": "1"})

    def test_order_size_type_and_scale_reach_the_bridge(self):
        self.start_with_bridge()
        self.bridge.registers |= {("B1", 7): 0x1234, ("B1", 8): 0x5678}
        response = self.ask(device_id="B1", address=7, type="U32", endianess="little", scale_factor=0.5, size=2)
        self.assertEqual(self.bridge.fields(), {"device_id": "B1", "function_code": "4", "address": "7", "size": "2",
                                                "type": "U32", "endianess": "little", "scale_factor": "0.5"})
        self.assertEqual(response["value"], 1450709556 * 0.5)

    def test_a_write_of_one_and_of_several_values(self):
        self.start_with_bridge(WRITABLE)
        response = self.ask(function_code=16, device_id=INVERTER, address=33207, values=170, type="U16")
        self.assertEqual(self.bridge.queries[-1],
                         f"device_id={INVERTER}&address=33207&function_code=16&values=170&type=U16")
        self.assertEqual(response, {"success": True, "address": 33207, "values": [170]})
        response = self.ask(function_code=16, device_id=INVERTER, address=33208, values=[170, 171], type="U16")
        self.assertEqual(self.bridge.queries[-1],
                         f"device_id={INVERTER}&address=33208&function_code=16&values=170,171&type=U16")
        self.assertEqual(response["values"], [170, 171])

    def test_writes_are_guarded_here_too(self):
        self.start_with_bridge(WRITABLE)
        self.assert_error(self.ask(function_code=6, device_id=INVERTER, address=33207, values=1001), "not_allowed")
        self.assert_error(self.ask(function_code=6, device_id="B1", address=33207, values=1), "not_allowed")
        self.assertEqual(self.bridge.queries, [])

    def test_what_the_bridge_refuses_comes_in_its_words(self):
        self.start_with_bridge()
        self.assert_error(self.ask(device_id="nobody", address=1), "bridge_refused", "^device nobody not found$")

    def test_each_way_to_fail_is_an_answer(self):
        self.start_with_bridge()
        for fault, code in (("not_found", "bridge_refused"), ("broken", "bridge_failed"), ("garbage", "bridge_failed"),
                            ("list", "bridge_failed"), ("half", "bridge_failed"), ("closed", "bridge_failed"),
                            ("null", "read_failed"), ("refuses", "bridge_refused"), ("huge", "bridge_failed")):
            with self.subTest(fault):
                self.bridge.faults["B1"] = fault
                self.assert_error(self.ask(device_id="B1", address=1), code)
        self.bridge.faults.clear()
        self.assertEqual(self.ask(device_id="B1", address=1)["value"], 0)

    def test_a_write_that_the_bridge_did_not_do_has_failed(self):
        self.start_with_bridge(WRITABLE)
        self.bridge.faults[INVERTER] = "null"  # it says success: false
        self.assert_error(self.ask(device_id=INVERTER, function_code=6, address=33207, values=1), "write_failed")

    def test_a_bridge_that_is_not_there_is_an_answer(self):
        self.start_with_bridge()
        self.bridge.close()
        self.assert_error(self.ask(device_id="B1", address=1), "not_connected")
        self.bridge.open()
        self.assertEqual(self.ask(device_id="B1", address=1)["value"], 0)

    def test_a_poll_of_the_bridge_is_telemetry(self):
        self.bridge.registers[INVERTER, 10056] = 421
        self.start_with_bridge(table("poll", topic="inverter/power", unit=INVERTER, address=10056, period="200ms",
                                     scale_factor=0.1))
        self.wait_text("inverter/power", "42.1")


class Slowness(WebTest):
    def test_a_slow_bridge_is_given_ten_seconds_and_holds_up_nobody(self):
        units = self.start_units()
        self.start_with_bridge(table("bus", name="bus", interface=f"tcp:127.0.0.1:{units.port}") +
                               table("unit", id="meter", bus="bus", address=3), in_flight=3)
        self.bridge.faults |= {"B1": "slow", "B2": "drips"}
        began = time.monotonic()
        slow, drips = (self.answers.send(device_id=unit, address=1) for unit in ("B1", "B2"))
        wait_until("both are with the bridge", lambda: len(self.bridge.queries) == 2)
        self.assertEqual(self.ask(device_id="B3", address=1)["value"], 0)
        self.assertEqual(self.ask(device_id="meter", address=7, function_code=HOLDING)["value"], 3007)
        self.assertLess(time.monotonic() - began, 5, "others waited")
        for request_id in (slow, drips):
            self.assert_error(self.answers.wait(request_id)["response"], "timeout")
        self.assertAlmostEqual(time.monotonic() - began, 10.5, delta=1.5)
        self.fleet.wait_states({DEVICE: "online"})

    def test_two_at_once_are_answered_in_the_order_of_their_own_bridges(self):
        self.start_with_bridge(in_flight=2)
        self.bridge.faults["B1"] = "slow"
        slow, quick = (self.answers.send(device_id=unit, address=1) for unit in ("B1", "B2"))
        self.assertEqual(self.answers.wait(quick, timeout=5)["response"]["value"], 0)
        self.assertNotIn(slow, [answer["id"] for answer in self.answers.all()])

    def test_its_state_is_asked_while_a_request_hangs(self):
        self.start_with_bridge(head=settings(state_period="1s"))
        self.bridge.faults["B1"] = "slow"
        self.answers.send(device_id="B1", address=1)
        wait_until("it is with the bridge", lambda: self.bridge.queries)
        before = len(self.states())
        wait_until("two more states", lambda: len(self.states()) >= before + 2, timeout=5)
        self.assertEqual(self.states()[-1]["version"], "1.4.2")


class State(WebTest):
    STAMP = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"

    def start_quick(self):
        self.start_with_bridge(head=settings(state_period="1s"))

    def wait_state(self, **wanted):
        return wait_until(f"a state with {wanted}", lambda: next(
            (state for state in self.states()[-1:] if wanted.items() <= state.items()), None))

    def test_the_state_of_the_bridge_is_passed_on_every_five_seconds(self):
        self.start_with_bridge()
        came = []
        for count in (1, 2):
            wait_until("a state", lambda count=count: len(self.states()) >= count)
            came.append(time.monotonic())
        self.assertAlmostEqual(came[1] - came[0], 5, delta=1)
        state = self.states()[0]
        self.assertRegex(state.pop("timestamp"), self.STAMP)
        self.assertEqual(state, self.bridge.state | {"type": "gateway_state"})

    def test_without_it_there_is_the_fallback(self):
        self.start_quick()
        for fault in ("broken", "garbage", "list", "closed", "not_found"):
            with self.subTest(fault):
                self.bridge.state_fault = fault
                state = self.wait_state(status="api_unavailable")
                self.assertRegex(state.pop("timestamp"), self.STAMP)
                self.assertGreater(state.pop("uptime"), 0)
                self.assertRegex(state.pop("version"), r"^\d+\.\d+")
                self.assertEqual(state, {"type": "gateway_state", "status": "api_unavailable",
                                         "error": "Failed to fetch state from web container"})
                self.bridge.state_fault = None
                self.wait_state(version="1.4.2")

    def test_a_state_that_hangs_is_given_up_before_the_next_is_due(self):
        self.start_with_bridge()
        self.bridge.state_fault = "slow"
        self.wait_state(status="api_unavailable")
        self.assertEqual(json.loads(self.texts("gateway_state")[0])["status"], "api_unavailable")


if __name__ == "__main__":
    unittest.main()
