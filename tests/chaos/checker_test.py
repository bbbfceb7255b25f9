#!/usr/bin/python3
"""The checker finds what is broken: a run that kept every promise, doctored in one place at a time."""
import json
import pathlib
import sqlite3
import struct
import tempfile
import unittest

import checker
import wire
from journal import Journal

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "server" / "schema.sql"
WALL_MINUS_MONO = 1_000_000.0
BEGAN, HEALED, ENDED = 100.0, 160.0, 170.0
DONE, FAILED, EXPIRED, UNKNOWN = 6, 8, 9, 12
ISSUED = 110.0
STOP_AT = 120.0


def wall_ms(t):
    return int((t + WALL_MINUS_MONO) * 1000)


def event_batch(epoch, first, *names):
    return wire.message({1: epoch, 2: first}) + b"".join(
        wire.message({3: wire.message({1: 5, 2: 9, 4: name.encode()})}) for name in names)


def telemetry_batch(epoch, first, *values, signal=b"chaos/a"):
    return wire.message({1: epoch, 2: first, 4: signal, 5: bytes(len(values)),
                         7: struct.pack(f"<{len(values)}d", *values)})


def telemetry_block(*values):
    return wire.message({1: wire.varint(1), 2: bytes(len(values)), 4: struct.pack(f"<{len(values)}d", *values)})


def receipt(stream, epoch, first, last):
    return wire.message({1: wire.message({1: stream, 2: epoch, 3: first, 4: last})})


def frame(id_, ttl_ms):
    return wire.message({1: wire.message({1: id_, 2: 5, 3: ttl_ms})})


def ranges(first, last):
    return wire.message({1: wire.varint(first) + wire.varint(last)})


class Case:
    """A run of pi-1, which has a controller. Journals can be added to, the database changed, before check()."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "server").mkdir()
        self.database = sqlite3.connect(self.directory / "server" / "fleet.db")
        self.database.executescript(SCHEMA.read_text())
        self.run = {"seed": 1, "minutes": 1, "devices": ["pi-1"], "external": ["pi-1"], "began": BEGAN,
                    "healed": HEALED, "ended": ENDED, "wall_minus_mono": WALL_MINUS_MONO, "settle_s": 10}
        self.ledger = {"devices": [{"device_id": "pi-1",
                                    "streams": [self.stream("event", 3), self.stream("telemetry", 2)]}]}
        self.devices = {"devices": [{"id": "pi-1", "state": "online", "reason": "", "fail_safe": False}]}
        self.sql("INSERT INTO device VALUES (1, 'pi-1', 1, 0, '', 'online', '', 0, 0)")
        self.good_commands()
        self.good_streams()
        self.fault("freeze", "pi-1", 140.0, 144.0)
        self.offline(142.2)

    @staticmethod
    def stream(name, count):
        return {"stream": name, "sent": count, "stored": count, "dropped": 0, "in_flight": 0, "drops": [],
                "balanced": True, "complaint": ""}

    def good_commands(self):
        self.command(1, ttl_ms=1000)
        self.start(1, ISSUED + 0.1)
        self.write("controller-pi-1", t=ISSUED + 0.5, what="result", command=1, status=204)
        self.command(2, ttl_ms=200, state=EXPIRED, reason="expired")
        self.command(9, ttl_ms=5000, kind=5, body=b"\x20\x01", what="stop_device")
        self.heard(STOP_AT, "rpi/pi-1/command/ack", wire.message({1: 1, 2: wire.message({1: 9, 2: DONE})}))

    def good_streams(self):
        for seq, name in enumerate(("a", "b", "c"), 1):
            self.event(seq, name)
        self.sql("INSERT INTO signal VALUES (1, 1, 'chaos/a', 1.0, 0)")
        self.sql("INSERT INTO telemetry VALUES (1, 1, 1, 1, 2, 0, 0, 0, 0, ?)", telemetry_block(0.0, 1.0))
        self.sql("INSERT INTO stream_account VALUES (1, 1, 1, 3, 0, 0, 0, ?)", ranges(1, 3))
        self.sql("INSERT INTO stream_account VALUES (1, 2, 1, 2, 0, 0, 0, ?)", ranges(1, 2))
        self.heard(112.0, "rpi/pi-1/event", event_batch(1, 1, "a", "b", "c"))
        self.heard(112.1, "server/pi-1/receipt", receipt(1, 1, 1, 3))
        self.heard(112.0, "rpi/pi-1/telemetry", telemetry_batch(1, 1, 0.0, 1.0))
        self.heard(112.1, "server/pi-1/receipt", receipt(2, 1, 1, 2))
        self.write("feed", t=111.9, t0=111.8, what="event", device="pi-1", status=204, name="a")
        self.write("feed", t=111.9, t0=111.8, what="telemetry", device="pi-1", status=204, values=[0, 1])

    def sql(self, text, *values):
        self.database.execute(text, values)

    def write(self, journal, /, **fields):
        Journal(self.directory / f"{journal}.jsonl").write(**fields)

    def heard(self, t, topic, payload):
        self.write("witness", t=t, topic=topic, payload=payload.hex(), qos=1)

    def fault(self, kind, target, begin, end, amount=0.0):
        for phase, t in (("begin", begin), ("end", end)):
            self.write("faults", t=t, what="fault", phase=phase, kind=kind, target=target, amount=amount, at_s=begin)

    def command(self, id_, ttl_ms, state=DONE, reason="", kind=4, body=b"", what="segment", answered=ISSUED):
        self.sql("INSERT INTO command VALUES (?, 1, ?, ?, 0, ?, 1)", id_, kind, body, ttl_ms)
        for number, step in enumerate((1, 2, 3, 4, 5, state) if state == DONE else (1, 2, 3, state)):
            self.step(id_, number, step, reason if step == state else "")
        self.write("load", t=answered, t0=answered - 0.01, what=what, device="pi-1", status=201, ids=[id_], body={})

    def step(self, id_, number, state, reason=""):
        self.sql("INSERT INTO command_step VALUES (?, ?, ?, ?, '', 0, 0)", id_, number, state, reason)

    def start(self, id_, t, connection="7-1", epoch=1):
        self.write("controller-pi-1", t=t, what="start", command=id_, entity=1, connection=connection, epoch=epoch)

    def event(self, seq, name, epoch=1):
        self.sql("INSERT INTO event (device, epoch, seq, kind, entity_id, name, detail, at_unix_ms, received_unix_ms, "
                 "backlog) VALUES (1, ?, ?, 9, 0, ?, '', 0, 0, 0)", epoch, seq, name)

    def offline(self, t, reason="silent", state="offline"):
        self.sql("INSERT INTO liveness (device, at_unix_ms, state, reason) VALUES (1, ?, ?, ?)", wall_ms(t), state,
                 reason)

    def check(self):
        """{check: findings}, of those that have any."""
        self.database.commit()
        for name in ("run", "ledger", "devices"):
            (self.directory / f"{name}.json").write_text(json.dumps(getattr(self, name)))
        return {name: result["bad"] for name, result in checker.check(self.directory).items() if result["bad"]}


class CheckerTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="fleet-checker-")
        self.addCleanup(directory.cleanup)
        self.case = Case(directory.name)
        self.addCleanup(self.case.database.close)

    def assert_found(self, name, pattern):
        """That check finds it, and no other finds anything."""
        found = self.case.check()
        self.assertEqual(list(found), [name], found)
        self.assertRegex(found[name][0], pattern)

    def assert_clean(self):
        self.assertEqual(self.case.check(), {})


class Clean(CheckerTest):
    def test_a_run_that_kept_every_promise_passes(self):
        self.assert_clean()

    def test_a_run_without_faults_proves_nothing(self):
        (self.case.directory / "faults.jsonl").unlink()
        self.case.sql("DELETE FROM liveness")
        self.assert_found("enough_was_seen", "no faults")


class Commands(CheckerTest):
    def test_an_accepted_command_that_is_not_stored(self):
        self.case.write("load", t=111.0, t0=110.9, what="segment", device="pi-1", status=201, ids=[77], body={})
        self.assert_found("accepted_commands_are_stored", "77 was answered with 201")

    def test_a_cancel_lost_with_the_server_is_excused_and_another_is_not(self):
        cancel = {"t0": 129.9, "what": "cancel_device", "device": "pi-1", "status": 200, "ids": [78], "body": {}}
        self.case.write("load", t=130.0, **cancel)
        self.assert_found("accepted_commands_are_stored", "cancel 78")
        self.case.fault("kill", "server", 130.05, 131.0)
        self.assert_clean()

    def test_a_command_without_an_end(self):
        self.case.sql("DELETE FROM command_step WHERE command = 1 AND state = ?", DONE)
        self.assert_found("commands_end", "1 never ended: running")

    def test_an_unknown_command_whose_device_is_back(self):
        self.case.command(3, 1000, UNKNOWN, "no_answer")
        self.assert_found("commands_end", "3 is still unknown, no_answer")

    def test_unknown_for_good_is_an_end(self):
        self.case.command(3, 1000, UNKNOWN, "memory_lost")
        self.assert_clean()

    def test_a_command_that_ran_twice_by_the_database(self):
        self.case.sql("UPDATE command_step SET state = 5 WHERE command = 1 AND number = 3")
        self.assert_found("steps_make_sense", "began to run 2 times")

    def test_a_step_after_the_end(self):
        self.case.step(2, 9, FAILED, "driver")
        self.assert_found("steps_make_sense", "2 went on after its end")

    def test_a_refusal_without_a_reason(self):
        self.case.sql("UPDATE command_step SET reason = '' WHERE command = 2")
        self.assert_found("steps_make_sense", "2 is expired without a reason")


    def test_a_command_that_was_started_and_is_said_not_to_have_been(self):
        self.case.start(2, ISSUED + 0.1)
        self.assert_found("ends_are_true", r"2 was started and is expired")

    def test_a_command_that_is_done_and_was_never_started(self):
        self.case.command(3, 1000)
        self.assert_found("ends_are_true", "3 is done and was never started")


class Starts(CheckerTest):
    def test_a_start_twice_on_one_connection(self):
        self.case.start(1, ISSUED + 0.2)
        self.assert_found("no_start_twice", "1 started twice on one connection")

    def test_a_start_in_another_life(self):
        self.case.start(1, ISSUED + 0.2, connection="7-2", epoch=2)
        self.assert_found("no_start_twice", "epoch 1, again in 2")

    def test_a_start_after_its_end(self):
        self.case.start(1, ISSUED + 0.7, connection="7-2")
        self.assert_found("no_start_twice", "again after its end")

    def test_a_new_reader_hears_of_what_runs(self):
        self.case.command(3, 1000)
        self.case.start(3, ISSUED + 0.1)
        self.case.start(3, ISSUED + 0.4, connection="7-2")
        self.assert_clean()

    def test_a_late_start(self):
        self.case.command(4, 200)
        self.case.start(4, ISSUED + 0.4)
        self.assert_found("no_late_start", "4 started 200 ms after its expiry")

    def test_the_frame_on_the_broker_dates_it_better_than_a_late_answer(self):
        self.case.command(3, 500, answered=ISSUED + 5)
        self.case.heard(ISSUED, "server/pi-1/segment", frame(3, 500))
        self.case.start(3, ISSUED + 1)
        self.assert_found("no_late_start", "3 started 500 ms")

    def test_a_late_start_of_who_was_frozen_is_excused(self):
        self.case.fault("freeze", "controller-pi-1", ISSUED + 0.1, ISSUED + 0.9)
        self.case.command(4, 200)
        self.case.start(4, ISSUED + 1.0)
        self.assert_clean()

    def test_a_freeze_that_was_over_is_no_excuse(self):
        self.case.fault("freeze", "pi-1", ISSUED - 3, ISSUED - 2)
        self.case.command(4, 200)
        self.case.start(4, ISSUED + 1.0)
        self.assert_found("no_late_start", "800 ms")

    def test_a_silent_network_is_no_excuse_once_the_clock_is_measured(self):
        self.case.fault("partition", "pi-1", ISSUED - 1, ISSUED + 1)
        self.case.command(4, 200)
        self.case.start(4, ISSUED + 1.1)
        self.assert_found("no_late_start", "900 ms")

    def test_a_device_that_started_on_a_bad_network_has_not_measured_the_clock(self):
        self.case.fault("kill", "pi-1", ISSUED - 3, ISSUED - 2)
        self.case.fault("delay", "pi-1", ISSUED - 2.5, ISSUED + 5, 0.3)
        self.case.command(4, 200)
        self.case.start(4, ISSUED + 0.5)
        self.assert_clean()

    def test_a_start_after_a_stop(self):
        self.case.command(5, 5000, answered=STOP_AT - 1)
        self.case.start(5, STOP_AT + 1)
        self.assert_found("no_start_after_stop", "5 started 1.000 s after stop 9")


class Streams(CheckerTest):
    def test_a_receipted_event_that_is_missing(self):
        self.case.heard(115.0, "server/pi-1/receipt", receipt(1, 1, 4, 4))
        self.assert_found("receipted_is_stored_once", r"event \('pi-1', 1, 4\) has a receipt and is stored 0 times")

    def test_a_receipted_sample_that_is_missing(self):
        self.case.heard(115.0, "server/pi-1/receipt", receipt(2, 1, 1, 3))
        self.assert_found("receipted_is_stored_once", r"telemetry \('pi-1', 1, 3\)")

    def test_an_event_that_is_stored_as_another(self):
        self.case.heard(115.0, "rpi/pi-1/event", event_batch(1, 2, "not b"))
        self.assert_found("receipted_is_stored_once", "was sent as .*not b.* and is stored as .*b")

    def test_a_sample_that_is_stored_as_another(self):
        self.case.heard(115.0, "rpi/pi-1/telemetry", telemetry_batch(1, 2, 7.0))
        self.assert_found("receipted_is_stored_once", r"was sent as \('chaos/a', 7.0\) and is stored as .*1.0")

    def test_a_sample_that_is_stored_under_another_name(self):
        self.case.heard(115.0, "rpi/pi-1/telemetry", telemetry_batch(1, 2, 1.0, signal=b"chaos/b"))
        self.assert_found("receipted_is_stored_once", r"was sent as \('chaos/b', 1.0\) and is stored as \('chaos/a'")

    def test_a_number_twice(self):
        self.case.event(3, "c")
        found = self.case.check()
        self.assertRegex(found["numbers_are_unique"][0], "stored 2 times")
        self.assertIn("receipted_is_stored_once", found)

    def test_one_event_under_two_numbers(self):
        self.case.event(1, "a", epoch=2)
        self.assertRegex(self.case.check()["numbers_are_unique"][0], "event a of pi-1 is stored 2 times")

    def test_an_event_that_was_taken_and_is_nowhere(self):
        self.case.write("feed", t=130.0, t0=129.9, what="event", device="pi-1", status=204, name="gone")
        self.assert_found("told_is_stored_or_counted", "gone")

    def test_it_may_be_gone_when_the_agent_was_killed_at_once(self):
        self.case.write("feed", t=130.0, t0=129.9, what="event", device="pi-1", status=204, name="gone")
        self.case.fault("kill", "pi-1", 130.5, 131.0)
        self.assert_clean()

    def test_but_not_when_it_was_killed_much_later(self):
        self.case.write("feed", t=130.0, t0=129.9, what="event", device="pi-1", status=204, name="gone")
        self.case.fault("kill", "pi-1", 136.0, 137.0)
        self.assert_found("told_is_stored_or_counted", "gone")


class Ledger(CheckerTest):
    def line(self):
        return self.case.ledger["devices"][0]["streams"][0]

    def test_a_complaint(self):
        self.line().update(balanced=False, complaint="2 more in flight than the device has")
        self.assert_found("ledger_balances", "2 more in flight")

    def test_a_sum_that_is_wrong(self):
        self.line().update(sent=4)
        self.assert_found("ledger_balances", "sent is not stored")

    def test_what_is_still_in_flight(self):
        self.line().update(sent=4, in_flight=1)
        self.assert_found("ledger_balances", "1 are still in flight")

    def test_a_figure_that_the_rows_do_not_give(self):
        self.line().update(sent=4, stored=4)
        self.assert_found("ledger_balances", "4 stored, but there are 3")

    def test_an_account_that_is_not_true(self):
        self.case.sql("UPDATE stream_account SET ranges = ? WHERE stream = 1", ranges(1, 2))
        self.assert_found("ledger_balances", "calls other numbers stored")


class Liveness(CheckerTest):
    def test_an_offline_that_nothing_explains(self):
        self.case.offline(130.0)
        self.assert_found("no_false_offline", r"pi-1 was declared offline \(silent\) at 30.0 s")

    def test_trouble_of_the_server_explains_nothing(self):
        self.case.fault("partition", "server", 127.0, 131.0)
        self.case.offline(130.0)
        self.assert_found("no_false_offline", "30.0 s")

    def test_trouble_of_the_broker_explains_it(self):
        self.case.fault("kill", "broker", 127.0, 128.0)
        self.case.offline(130.0)
        self.assert_clean()

    def test_the_servers_clock_may_be_an_hour_off(self):
        self.case.fault("clock", "server", 129.0, 135.0, 3600.0)
        self.case.offline(130.0 + 3600)
        self.assert_found("no_false_offline", "30.0 s")
        self.case.fault("freeze", "pi-1", 127.0, 129.5)
        self.assert_clean()

    def test_a_clone_alarm_without_a_clone(self):
        self.case.offline(130.0, "replaced", "online")
        self.assert_found("no_false_offline", "clone alarm")

    def test_a_device_that_does_not_come_back(self):
        self.case.devices["devices"][0].update(state="offline", reason="silent")
        self.assert_found("all_are_back", "pi-1 is offline silent at the end")

    def test_a_program_that_ends_by_itself(self):
        self.case.write("faults", t=130.0, what="exit", target="server", code=-11)
        self.assert_found("nothing_ends_by_itself", "server ended with -11")

    def test_a_program_that_does_not_stop(self):
        self.case.write("faults", t=130.0, what="stopped", target="pi-1", code="does not stop")
        self.assert_found("nothing_ends_by_itself", "does not stop")


if __name__ == "__main__":
    unittest.main()
