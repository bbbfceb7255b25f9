#!/usr/bin/python3
"""A command runs once, in time, or not at all, and says which: over restarts of device, server and broker."""
import json
import signal
import time
import unittest

import wire
from fleet_fixture import FleetTest, wait_until

SHORT = {"entity_id": 1, "to_x_mm": 100, "v0_mm_s": 1000, "v1_mm_s": 1000, "type": "line", "ttl_ms": 20_000}
LONG = SHORT | {"to_x_mm": 30_000}  # half a minute
ENDS = {"done", "rejected", "failed", "expired", "superseded", "cancelled"}


class CommandTest(FleetTest):
    def submit(self, device, segment=None, query="", status=201):
        code, body = self.fleet.post(f"/api/v1/devices/{device}/segments{query}", segment or SHORT)
        self.assertEqual(code, status, body)
        return json.loads(body)

    def command(self, command_id):
        return self.fleet.get_json(f"/api/v1/commands/{command_id}")

    def states(self, command_id):
        return [step["state"] for step in self.command(command_id)["steps"]]

    def wait_state(self, command_id, *states):
        def reached():
            return (command := self.command(command_id))["state"] in states and command
        return wait_until(f"command {command_id} is {states}", reached)

    def cancel(self, path):
        code, body = self.fleet.post(f"/api/v1{path}/cancel", {})
        self.assertEqual(code, 200, body)
        return json.loads(body)["commands"]


class Restarts(CommandTest):
    def test_a_device_killed_while_it_runs_says_so_and_does_not_run_it_again(self):
        self.start_all()
        id_ = self.submit("pi-1", LONG, "?wait=running&timeout_ms=5000")["command_id"]
        self.assertEqual(self.command(id_)["state"], "running")
        self.fleet.devices["pi-1"].kill()
        self.assertEqual(self.wait_state(id_, "unknown")["reason"], "device_offline_lost")
        self.fleet.start_device("pi-1")
        self.assertEqual(self.wait_state(id_, "failed")["reason"], "device_restarted")
        self.assertEqual(self.states(id_).count("running"), 1)

    def test_a_command_to_a_frozen_device_expires_there(self):
        self.start_all()
        device = self.fleet.devices["pi-1"]
        device.freeze()
        id_ = self.submit("pi-1", SHORT | {"ttl_ms": 500})["command_id"]
        self.wait_state(id_, "unknown")
        device.thaw()
        self.assertEqual(self.wait_state(id_, "expired")["reason"], "expired")
        self.assertNotIn("running", self.states(id_))

    def test_a_command_survives_a_restart_of_the_server(self):
        self.start_all()
        self.fleet.devices["pi-1"].freeze()
        id_ = self.submit("pi-1")["command_id"]
        self.fleet.server.kill()
        self.fleet.devices["pi-1"].thaw()
        self.fleet.start_server()
        self.wait_state(id_, "done")
        self.assertLessEqual(self.states(id_).count("running"), 1)  # it may have run while the server was away

    def test_one_that_ran_on_while_the_server_was_away_is_known_to_the_end(self):
        self.start_all()
        id_ = self.submit("pi-1", SHORT | {"to_x_mm": 1000}, "?wait=running&timeout_ms=5000")["command_id"]
        self.fleet.server.kill()
        began = time.monotonic()
        wait_until("it has ended meanwhile", lambda: time.monotonic() > began + 1.5)
        self.fleet.start_server()
        self.wait_state(id_, "done")

    def test_a_command_is_sent_again_after_the_broker_has_lost_it(self):
        self.start_all()
        self.fleet.devices["pi-1"].freeze()
        id_ = self.submit("pi-1")["command_id"]
        wait_until("it is sent", lambda: "sent" in self.states(id_))
        self.fleet.broker.kill()
        self.fleet.devices["pi-1"].thaw()
        self.fleet.start_broker()
        self.wait_state(id_, "done")
        self.assertEqual(self.states(id_).count("running"), 1)

    def test_the_same_frame_twice_runs_once(self):
        self.start_all()
        peer = self.fleet.peer().subscribe("server/pi-1/segment")
        id_ = self.submit("pi-1", query="?wait=end&timeout_ms=5000")["command_id"]
        self.assertEqual(self.command(id_)["state"], "done")
        wait_until("the frame was seen", lambda: peer.messages)
        acks = self.fleet.peer("acks").subscribe("rpi/pi-1/command/ack")
        peer.publish("server/pi-1/segment", peer.messages[0][1], qos=1)
        wait_until("the device answers the copy", lambda: acks.messages)
        _, report = acks.messages[0]
        update = dict(wire.parse(dict(wire.parse(report))[2]))
        self.assertEqual((update[1], update[2]), (int(id_), 6), "done, and nothing else")
        self.assertEqual(self.states(id_).count("running"), 1)


class Queue(CommandTest):
    def test_a_queued_command_waits_for_its_device(self):
        self.start_all()
        self.assertEqual(self.fleet.devices["pi-1"].stop(), 0)
        self.fleet.wait_states({"pi-1": "offline"})
        self.submit("pi-1", status=409)
        id_ = self.submit("pi-1", SHORT | {"queue": True})["command_id"]
        self.assertEqual(self.states(id_), ["queued"])
        late = self.submit("pi-1", SHORT | {"queue": True, "ttl_ms": 100})["command_id"]
        self.assertEqual(self.wait_state(late, "expired")["reason"], "not_sent")
        self.fleet.start_device("pi-1")
        self.wait_state(id_, "done")

    def test_appended_segments_run_one_after_the_other(self):
        self.start_all()
        ids = [self.submit("pi-1", SHORT | {"mode": "append"})["command_id"] for _ in range(3)]
        for id_ in ids:
            self.wait_state(id_, "done")
        began = [next(step["at_unix_ms"] for step in self.command(id_)["steps"] if step["state"] == "running")
                 for id_ in ids]
        self.assertGreaterEqual(min(b - a for a, b in zip(began, began[1:])), 90, "each takes 100 ms")

    def test_a_replacing_segment_supersedes_what_runs_and_what_waits(self):
        self.start_all()
        running = self.submit("pi-1", LONG, "?wait=running&timeout_ms=5000")["command_id"]
        waiting = self.submit("pi-1", LONG | {"mode": "append"}, "?wait=accepted&timeout_ms=5000")["command_id"]
        newest = self.submit("pi-1")["command_id"]
        self.wait_state(running, "superseded")
        self.wait_state(waiting, "superseded")
        self.assertNotIn("running", self.states(waiting))
        self.wait_state(newest, "done")


class Cancels(CommandTest):
    def test_one_command(self):
        self.start_all()
        id_ = self.submit("pi-1", LONG, "?wait=running&timeout_ms=5000")["command_id"]
        cancel = self.cancel(f"/commands/{id_}")[-1]
        self.wait_state(cancel["command_id"], "done")
        self.wait_state(id_, "cancelled")

    def test_what_was_not_sent_ends_without_the_device(self):
        self.start_all()
        self.assertEqual(self.fleet.devices["pi-1"].stop(), 0)
        self.fleet.wait_states({"pi-1": "offline"})
        id_ = self.submit("pi-1", SHORT | {"queue": True})["command_id"]
        cancelled = self.cancel(f"/commands/{id_}")
        self.assertEqual([(c["command_id"], c["state"], c["reason"]) for c in cancelled],
                         [(id_, "cancelled", "operator")])
        self.fleet.start_device("pi-1")
        self.fleet.wait_online()
        self.assertEqual(self.states(id_), ["queued", "cancelled"])

    def test_stop_all_stops_everything_and_what_comes_late(self):
        self.start_all(2)
        running = [self.submit(device, LONG, "?wait=running&timeout_ms=5000")["command_id"]
                   for device in ("pi-1", "pi-2")]
        waiting = self.submit("pi-1", LONG | {"mode": "append"}, "?wait=accepted&timeout_ms=5000")["command_id"]
        stopped = self.fleet.fleetctl("stop", "--all")
        self.assertEqual(stopped.returncode, 0, stopped.stdout + stopped.stderr)
        for id_ in (*running, waiting):
            self.wait_state(id_, "cancelled")
        self.assert_moves("pi-1")  # a new command runs

    def test_stop_says_when_a_device_did_not_confirm(self):
        self.start_all()
        self.fleet.devices["pi-1"].freeze()
        stopped = self.fleet.fleetctl("stop", "pi-1")
        self.assertEqual(stopped.returncode, 1, stopped.stdout + stopped.stderr)

    def test_stop_overtakes_what_the_broker_has_queued(self):
        self.start_all()
        self.fleet.devices["pi-1"].freeze()
        ids = [self.submit("pi-1", LONG | {"mode": "append"})["command_id"] for _ in range(30)]
        code, _ = self.fleet.post("/api/v1/devices/pi-1/stop", {})
        self.assertEqual(code, 200)
        self.fleet.devices["pi-1"].thaw()
        for id_ in ids:
            self.wait_state(id_, *ENDS)
        states = [self.command(id_)["state"] for id_ in ids]
        self.assertEqual(set(states), {"cancelled"}, states)


class FailSafe(CommandTest):
    def fail_safe(self):
        return self.fleet.views()["pi-1"]["fail_safe"]

    def test_a_device_without_its_server_stops_and_comes_back_by_itself(self):
        self.start_all()
        id_ = self.submit("pi-1", LONG, "?wait=running&timeout_ms=5000")["command_id"]
        self.fleet.server.send(signal.SIGSTOP)
        began = time.monotonic()
        wait_until("fail-safe must have begun", lambda: time.monotonic() > began + 4.5)
        self.fleet.server.send(signal.SIGCONT)
        self.assertEqual(self.wait_state(id_, "failed")["reason"], "fail_safe")
        wait_until("it has left fail-safe", lambda: not self.fail_safe())

        def kinds():
            return [event["kind"] for event in self.fleet.get_json("/api/v1/devices/pi-1/events")["events"]]
        wait_until("both events are stored", lambda: {"fail_safe_on", "fail_safe_off"} <= set(kinds()))
        self.assert_moves("pi-1")

    def test_the_policy_can_be_to_finish_or_to_go_on(self):
        self.fleet.start_broker().start_server()
        self.fleet.start_device("pi-1", "--fail_safe.policy", "stop", "--fail_safe.entities",
                                "2=continue,3=finish_segment")
        self.fleet.wait_online()
        segments = {entity: self.submit("pi-1", SHORT | {"entity_id": entity, "to_x_mm": 6000},
                                        "?wait=running&timeout_ms=5000")["command_id"] for entity in (1, 2, 3)}
        self.fleet.server.kill()
        began = time.monotonic()
        wait_until("fail-safe must have begun", lambda: time.monotonic() > began + 4.5)
        self.fleet.start_server()
        self.assertEqual(self.wait_state(segments[1], "failed")["reason"], "fail_safe")
        self.wait_state(segments[2], "done")
        self.wait_state(segments[3], "done")


if __name__ == "__main__":
    unittest.main()
