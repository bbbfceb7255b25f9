#!/usr/bin/python3
"""Units, adapters and servers that go away: the others go on meanwhile, and what comes back is there again."""
import time
import unittest

from modbus_bed import DEVICE, HOLDING, ModbusTest, register_of, table
from fleet_fixture import wait_until

POLLS = "".join(table("poll", topic=f"unit{unit}/value", unit=f"u{unit}", address=10, period="200ms")
                for unit in (1, 2, 4))
UNITS = "".join(table("unit", id=f"u{unit}", bus="bus", address=unit) for unit in (1, 2, 4))


class RecoveryTest(ModbusTest):
    def wait_values(self, *units):
        for unit in units:
            self.wait_fresh(f"unit{unit}/value", str(register_of(unit, 10)))

    def read(self, unit):
        return self.ask(device_id=unit, function_code=HOLDING, address=10)


class Dead:
    """A unit that does not answer, on either kind of bus."""

    def test_a_dead_unit_is_set_aside_while_the_others_go_on_and_comes_back(self):
        self.units.tell("silent 4")
        self.start(self.bus() + UNITS + POLLS)
        silent = self.wait_event("modbus_silent")[0]
        self.assertEqual(silent["name"], "u4")
        self.assertIn("bus bus", silent["detail"])
        for _ in range(3):
            self.wait_values(1, 2)
        began = time.monotonic()
        code = self.read("u4")["error"]["code"]
        self.assertIn(code, ("set_aside", "no_answer"))
        self.assertLess(time.monotonic() - began, 1)
        self.units.tell("answers 4")
        self.assertEqual(self.wait_event("modbus_back")[0]["name"], "u4")
        self.wait_values(1, 2, 4)
        self.assertEqual(self.read("u4")["value"], register_of(4, 10))

    def test_its_signals_become_invalid(self):
        self.start(self.bus() + UNITS + POLLS)
        self.wait_values(4)
        self.units.tell("silent 4")
        self.wait_text("unit4/value", "invalid")
        self.wait_values(1, 2)


class DeadByTcp(Dead, RecoveryTest):
    def setUp(self):
        self.units = self.start_units(units="1,2,4")

    def bus(self):
        return table("bus", name="bus", interface=f"tcp:127.0.0.1:{self.units.port}", timeout="200ms")


class DeadByRtu(Dead, RecoveryTest):
    def setUp(self):
        self.line = self.plug_in_line()
        self.units = self.start_units(units="1,2,4", line=self.line)

    def bus(self):
        return table("bus", name="bus", interface=f"rtu:{self.line.device}", timeout="100ms")


class Away(RecoveryTest):
    def test_an_adapter_that_is_unplugged_is_missed_and_comes_back(self):
        line = self.plug_in_line()
        units = self.start_units(units="1,2,4", line=line)
        self.start(table("bus", name="bus", interface=f"rtu:{line.device}", timeout="100ms") + UNITS + POLLS)
        self.wait_values(1, 2, 4)
        units.stop()
        line.unplug()
        self.wait_event("modbus_silent", 3)
        self.assertIn(self.read("u1")["error"]["code"], ("not_connected", "set_aside"))
        line.plug_in()
        units.start()
        self.wait_event("modbus_back", 3)
        self.wait_values(1, 2, 4)

    def test_a_server_that_stops_is_missed_and_comes_back(self):
        units = self.start_units(units="1,2,4")
        self.start(table("bus", name="bus", interface=f"tcp:127.0.0.1:{units.port}", timeout="200ms") + UNITS + POLLS)
        self.wait_values(1, 2, 4)
        units.stop()
        wait_until("it is not connected", lambda: self.read("u1").get("error", {}).get("code") == "not_connected")
        self.wait_event("modbus_silent", 3)
        units.start()
        self.wait_event("modbus_back", 3)
        self.wait_values(1, 2, 4)

    def test_an_agent_starts_without_its_buses_and_finds_them_later(self):
        line = self.plug_in_line()
        units = self.start_units(units="1,2,4", line=line)
        units.stop()
        line.unplug()
        self.start(table("bus", name="bus", interface=f"rtu:{line.device}", timeout="100ms") + UNITS + POLLS)
        self.assertIn(self.read("u2")["error"]["code"], ("not_connected", "set_aside"))
        self.fleet.wait_states({DEVICE: "online"})
        line.plug_in()
        units.start()
        self.wait_values(1, 2, 4)


if __name__ == "__main__":
    unittest.main()
