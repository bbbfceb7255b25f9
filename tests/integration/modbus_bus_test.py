#!/usr/bin/python3
"""A serial line at 19 200 bit/s with four units, one of them dead: 20 polls and 5 commands a second for a minute.

Nobody talks into anybody's bytes, which is judged at the wire; commands are answered soon; the units that live are
polled at their full rate. Prints what it has measured.
"""
import http.client
import json
import os
import threading
import time
import unittest

from modbus_bed import DEVICE, HOLDING, ModbusTest, in_background, table
from fleet_fixture import wait_until

SECONDS = float(os.environ.get("BUS_TEST_SECONDS", "60"))
COMMANDS_PER_S = 5
POLL_PERIOD_S = 0.15  # of each of three units: 20 a second
LIVING, DEAD = (1, 2, 3), 4
COMMANDS_P99_S = 0.150
FULL_RATE = 0.99
CONFIG = ("".join(table("unit", id=f"u{unit}", bus="rs485", address=unit) +
                  table("poll", topic=f"unit{unit}/value", unit=f"u{unit}", address=10, type="U32", period="150ms")
                  for unit in LIVING) +
          table("unit", id=f"u{DEAD}", bus="rs485", address=DEAD) +
          table("poll", topic=f"unit{DEAD}/value", unit=f"u{DEAD}", address=10, type="U32", period="150ms") +
          "".join(table("write", unit=f"u{unit}", addresses="100", rate_hz=1000) for unit in LIVING))


def percentile_ms(times, share):
    return round(sorted(times)[min(len(times) - 1, int(share * len(times)))] * 1000, 1)


def order(number):
    """Writes and reads, of each living unit in turn."""
    unit = f"u{LIVING[number % len(LIVING)]}"
    if number % 2:
        return {"device_id": unit, "function_code": HOLDING, "address": 50, "size": 2}
    return {"device_id": unit, "function_code": 6, "address": 100, "values": number}


class ByMqtt:
    """Requests in plain JSON."""

    def __init__(self, test):
        self.arrived = {}  # {id: when its answer came}
        self.failed = []
        self.changed = threading.Condition()
        self.peer = test.fleet.peer("commander")
        self.peer.client.on_message = self.take
        self.peer.subscribe(f"rpi/{DEVICE}/modbus/response")

    def take(self, _client, _data, message):
        answer = json.loads(message.payload)
        with self.changed:
            self.arrived[answer["id"]] = time.monotonic()
            if not answer["response"]["success"]:
                self.failed.append(answer)
            self.changed.notify_all()

    def ask(self, number):
        began = time.monotonic()
        self.peer.publish(f"server/{DEVICE}/modbus/request", json.dumps(order(number) | {"id": number}), qos=1)
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.arrived, 15), f"no answer to {number}"
            return self.arrived[number] - began


class ByHttp:
    """Commands of an operator, which the server stores, sends and waits for."""

    def __init__(self, test):
        self.connection = http.client.HTTPConnection("127.0.0.1", test.fleet.http_port, timeout=30)
        self.failed = []

    def ask(self, number):
        began = time.monotonic()
        self.connection.request("POST", f"/api/v1/devices/{DEVICE}/modbus", json.dumps(order(number)))
        answer = json.loads(self.connection.getresponse().read())
        if not answer.get("success"):
            self.failed.append(answer)
        return time.monotonic() - began


def ask_regularly(way, first, count, period_s, began):
    """One order each period, beginning at its moment: the times that the answers took."""
    times = []
    for number in range(first, first + count):
        pause = began + (number - first) * period_s - time.monotonic()
        if pause > 0:
            threading.Event().wait(pause)
        times.append(way.ask(number))
    return times


class BusDiscipline(ModbusTest):
    def setUp(self):
        self.line = self.plug_in_line()
        self.units = self.start_units(units="1,2,3", line=self.line)
        bus = table("bus", name="rs485", interface=f"rtu:{self.line.device}", baud=19200, timeout="100ms")
        self.start(bus + CONFIG)
        for unit in LIVING:
            wait_until("polls run", lambda unit=unit: self.texts(f"unit{unit}/value"))
        self.wait_event("modbus_silent")

    def count_polls(self):
        """{unit: how many values were published so far}"""
        return {unit: len(self.texts(f"unit{unit}/value")) for unit in LIVING}

    def test_commands_and_polls_share_a_wire_with_a_dead_unit(self):
        ways = {"mqtt": ByMqtt(self), "http": ByHttp(self)}
        period_s = len(ways) / COMMANDS_PER_S
        count = int(SECONDS / period_s)
        before, began = self.count_polls(), time.monotonic()
        running = {name: in_background(ask_regularly, way, 1000 * index, count, period_s, began + index * period_s / 2)
                   for index, (name, way) in enumerate(ways.items())}
        for thread, _ in running.values():
            thread.join()
        wait_until("the period is over", lambda: time.monotonic() >= began + SECONDS, SECONDS)
        after, lasted_s = self.count_polls(), time.monotonic() - began
        self.fleet.devices[DEVICE].stop()
        verdict = self.line.judge()

        times = {name: result[0] for name, (_, result) in running.items()}
        # One value may be under way at either end.
        rates = {unit: round((after[unit] - before[unit] + 1) * POLL_PERIOD_S / lasted_s, 4) for unit in LIVING}
        everything = times["mqtt"] + times["http"]
        print(json.dumps({
            "seconds": round(lasted_s, 1), "frames": len(verdict.frames), "collisions": len(verdict.collisions),
            "too_close": len(verdict.too_close), "broken": len(verdict.broken), "asked": verdict.asked,
            "answered": verdict.answered, "commands": len(everything), "p99_ms": percentile_ms(everything, 0.99)} |
            {f"{name}_p50_p99_max_ms": [percentile_ms(one, share) for share in (0.5, 0.99, 1)]
             for name, one in times.items()} |
            {"share_of_polls": rates,
             "wire_late_p99_max_ms": [round(late * 1000, 2) for late in (verdict.late_p99_s, verdict.late_max_s)]}),
              flush=True)

        self.assertEqual((verdict.collisions, verdict.too_close, verdict.broken), ([], [], []))
        self.assertEqual(ways["mqtt"].failed + ways["http"].failed, [])
        self.assertEqual([verdict.answered[unit] for unit in LIVING], [verdict.asked[unit] for unit in LIVING])
        self.assertEqual(verdict.answered[DEAD], 0)
        self.assertGreater(verdict.asked[DEAD], 1, "the dead unit was asked")
        self.assertLessEqual(percentile_ms(everything, 0.99), COMMANDS_P99_S * 1000)
        for unit, rate in rates.items():
            self.assertGreaterEqual(rate, FULL_RATE, f"unit {unit} was polled less often")


if __name__ == "__main__":
    unittest.main()
