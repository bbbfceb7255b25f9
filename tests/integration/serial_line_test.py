#!/usr/bin/python3
"""The wire and the judge that modbus_bus_test.py relies on: a wire that lets a collision pass would prove nothing."""
import os
import sys
import time
import unittest

try:
    from pymodbus.utilities import computeCRC
except ImportError:
    print("skipped: python3-pymodbus is not installed")
    sys.exit(77)

from fleet_fixture import FleetTest, wait_until
from modbus_bed import Units
from serial_line import DEVICE, SLAVE, Byte, SerialLine, judge

CHARACTER_S = 0.001
NO_FAULT = {"collisions": 0, "too_close": 0, "broken": 0}


def frame(*body):
    return bytes(body) + computeCRC(bytes(body)).to_bytes(2, "big")


QUESTION = frame(3, 3, 0, 10, 0, 1)
ANSWER = frame(3, 3, 2, 0, 42)


def said(side, start_s, data, pause_s=0.0):
    return [Byte(start_s + number * (CHARACTER_S + pause_s), side, value) for number, value in enumerate(data)]


def faults(verdict):
    return {"collisions": len(verdict.collisions), "too_close": len(verdict.too_close), "broken": len(verdict.broken)}


class Judge(unittest.TestCase):
    QUESTION_ENDS = len(QUESTION) * CHARACTER_S

    def judge(self, *parts):
        return judge([byte for part in parts for byte in part], CHARACTER_S)

    def test_one_after_the_other_is_right(self):
        verdict = self.judge(said(DEVICE, 1, QUESTION), said(SLAVE, 1 + self.QUESTION_ENDS + 0.0035, ANSWER))
        self.assertEqual(faults(verdict), NO_FAULT)
        self.assertEqual((verdict.asked[3], verdict.answered[3]), (1, 1))

    def test_talking_into_an_answer_is_a_collision(self):
        answer = said(SLAVE, 1 + self.QUESTION_ENDS + 0.0035, ANSWER)
        verdict = self.judge(said(DEVICE, 1, QUESTION), answer, said(DEVICE, answer[-1].start_s, QUESTION))
        self.assertEqual(faults(verdict), NO_FAULT | {"collisions": 1})

    def test_an_answer_into_a_question_is_a_collision(self):
        verdict = self.judge(said(DEVICE, 1, QUESTION), said(SLAVE, 1.002, ANSWER))
        self.assertEqual(faults(verdict)["collisions"], 1)

    def test_three_characters_are_too_close(self):
        answer = said(SLAVE, 1 + self.QUESTION_ENDS + 0.0035, ANSWER)
        verdict = self.judge(said(DEVICE, 1, QUESTION), answer, said(DEVICE, answer[-1].start_s + 0.004, QUESTION))
        self.assertEqual(faults(verdict), NO_FAULT | {"too_close": 1})

    def test_two_questions_without_silence_are_one_broken_frame(self):
        verdict = self.judge(said(DEVICE, 1, QUESTION), said(DEVICE, 1 + self.QUESTION_ENDS + 0.003, QUESTION))
        self.assertEqual(faults(verdict), NO_FAULT | {"broken": 1})

    def test_a_frame_with_silence_in_it_is_broken(self):
        self.assertEqual(self.judge(said(DEVICE, 1, QUESTION, pause_s=0.004)).broken[0].data, QUESTION[:1])

    def test_a_wrong_checksum_is_broken(self):
        self.assertEqual(faults(self.judge(said(DEVICE, 1, QUESTION[:-1] + b"\0"))), NO_FAULT | {"broken": 1})


class Wire(FleetTest):
    def plug_in(self, baud=19200):
        self.line = SerialLine(self.fleet, baud=baud)
        self.device = os.open(self.line.device, os.O_RDWR | os.O_NOCTTY)
        self.slave = os.open(self.line.slave, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, self.device)
        self.addCleanup(os.close, self.slave)

    def read(self, fd, count):
        """Waits for that many bytes; with the moment of the last one."""
        data = b""
        while len(data) < count:
            data += os.read(fd, count - len(data))
        return data, time.monotonic()

    def test_bytes_arrive_at_the_pace_of_the_wire(self):
        self.plug_in()
        began = time.monotonic()
        os.write(self.device, QUESTION)
        data, ended = self.read(self.slave, len(QUESTION))
        self.assertEqual(data, QUESTION)
        self.assertGreaterEqual(ended - began, len(QUESTION) * 11 / 19200)
        os.write(self.slave, ANSWER)
        self.assertEqual(self.read(self.device, len(ANSWER))[0], ANSWER)
        verdict = self.line.judge()
        self.assertEqual(faults(verdict), NO_FAULT)
        self.assertEqual([(f.side, f.data) for f in verdict.frames], [(DEVICE, QUESTION), (SLAVE, ANSWER)])
        question = verdict.frames[0]
        self.assertAlmostEqual(question.end_s - question.start_s, len(QUESTION) * 11 / 19200, places=6)

    def test_a_hasty_master_is_seen(self):
        self.plug_in()
        os.write(self.device, QUESTION)
        self.read(self.slave, len(QUESTION))
        os.write(self.slave, ANSWER)
        self.read(self.device, 1)
        os.write(self.device, QUESTION)
        self.read(self.slave, len(QUESTION))
        self.assertEqual(len(self.line.judge().collisions), 1)

    def test_the_next_question_right_behind_an_answer_is_seen(self):
        self.plug_in(baud=2400)  # 16 ms of silence
        os.write(self.device, QUESTION)
        self.read(self.slave, len(QUESTION))
        os.write(self.slave, ANSWER)
        self.read(self.device, len(ANSWER))
        os.write(self.device, QUESTION)
        self.read(self.slave, len(QUESTION))
        self.assertEqual(faults(self.line.judge()), NO_FAULT | {"too_close": 1})

    def test_peers_that_are_not_ours_are_found_without_fault(self):
        line = SerialLine(self.fleet)
        units = Units(self.fleet, line=line)
        self.addCleanup(units.stop)
        self.assertEqual(units.mbpoll(4, 3, 10, 3, ("-m", "rtu", "-P", "even", "-b", 19200), line.device),
                         ["3010", "3011", "3012"])
        verdict = line.judge()
        self.assertEqual(faults(verdict), NO_FAULT)
        self.assertEqual((verdict.asked[3], verdict.answered[3]), (1, 1))

    def test_without_a_pace_it_carries_whatever_it_is_given(self):
        self.plug_in(baud=0)
        os.write(self.device, bytes(range(256)))
        self.assertEqual(self.read(self.slave, 256)[0], bytes(range(256)))

    def test_unplugging_hangs_up(self):
        self.plug_in()
        self.line.unplug()
        def hung_up():
            try:
                return os.read(self.device, 1) == b""
            except OSError:
                return True
        wait_until("the terminal hangs up", hung_up)
        self.assertFalse(self.line.device.exists())
        self.line.plug_in()
        self.assertTrue(self.line.device.exists())


if __name__ == "__main__":
    unittest.main()
