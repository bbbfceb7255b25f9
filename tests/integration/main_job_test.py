#!/usr/bin/python3
"""The main job: devices report, the server knows, an operator asks and commands."""
import json
import secrets
import signal
import subprocess
import unittest

from fleet_fixture import FleetTest, clean_environment, free_port, program, run, wait_until

LINE = ("--from", "-100,20", "--to", "100,-20", "--v0", "1000", "--v1", "1000")
LIVED = ["queued", "sent", "received", "accepted", "running", "done"]

# The contract of `fleetctl devices --output json`; clocks and counts are whole numbers.
DEVICE = {"id": str, "state": str, "reason": str, "epoch": int, "last_heartbeat_ms_ago": int, "clock_skew_ms": int,
          "entities": list, "loss": dict}
MORE_OF_DEVICE = {"last_seen_unix_ms": int, "state_since_unix_ms": int, "version": str, "fail_safe": bool,
                  "clone_alarm": bool}
ENTITY = dict.fromkeys(["entity_id", "x_mm", "y_mm", "angle_mdeg", "vx_mm_s", "vy_mm_s", "age_ms"], int) | \
    {"state": str}
LOSS = dict.fromkeys(["expected", "stored", "missing", "duplicate", "reordered"], int)


def types(thing):
    return {key: type(value) for key, value in thing.items()}


class Reports(FleetTest):
    def test_devices_as_json_keep_the_contract(self):
        self.start_all(3)
        answer = self.fleet.fleetctl("devices", "--output", "json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        listed = json.loads(answer.stdout)
        self.assertEqual(types(listed), {"devices": list})
        self.assertEqual({device["id"] for device in listed["devices"]}, {"pi-1", "pi-2", "pi-3"})
        for device in listed["devices"]:
            self.assertEqual(types(device), DEVICE | MORE_OF_DEVICE)
            self.assertEqual(types(device["loss"]), LOSS)
            self.assertEqual([types(entity) for entity in device["entities"]], [ENTITY] * 3)
            self.assertEqual([entity["entity_id"] for entity in device["entities"]], [1, 2, 3])
            self.assertEqual((device["state"], device["reason"], device["epoch"]), ("online", "", 1))
            self.assertLess(abs(device["clock_skew_ms"]), 1000)
            self.assertEqual(device["loss"]["expected"], device["loss"]["stored"] + device["loss"]["missing"])

    def test_everything_sent_is_stored_and_nothing_is_missing(self):
        self.start_all(2)
        wait_until("50 messages of each", lambda: all(v["loss"]["stored"] > 50 for v in self.fleet.views().values()))
        for view in self.fleet.views().values():
            self.assertEqual((view["loss"]["missing"], view["loss"]["duplicate"]), (0, 0))

    def test_a_device_with_many_entities_works(self):
        self.fleet.start_broker().start_server()
        self.fleet.start_device("wide", entities=",".join(map(str, range(1, 65))))
        self.fleet.wait_online()
        self.assertEqual(len(self.fleet.views()["wide"]["entities"]), 64)
        for entity in (1, 33, 64):
            self.assert_moves("wide", entity)

    def test_status_speaks_of_all_devices(self):
        self.start_all(2)
        status = self.fleet.fleetctl("status").stdout
        self.assertIn("2 devices: 2 online", status)
        self.assertRegex(status, r"(?m)^pi-1 +online")

    def test_history_knows_where_an_entity_was(self):
        self.start_all()
        self.assertEqual(self.fleet.fleetctl("segment", "pi-1", "2", *LINE, "--wait").returncode, 0)

        def samples():
            answer = self.fleet.fleetctl("history", "pi-1", "2", "--since", "1m", "--output", "json")
            return [(s["x_mm"], s["y_mm"]) for s in json.loads(answer.stdout)["samples"]]
        wait_until("the end of the segment is stored", lambda: (100, -20) in samples())
        self.assertTrue(any(-100 < x < 100 for x, _ in samples()), samples())


class Commands(FleetTest):
    def segment(self, device, entity, *more):
        return self.fleet.fleetctl("segment", device, str(entity), *LINE, *more)

    def test_a_segment_runs_and_the_operator_sees_each_step(self):
        self.start_all()
        shown = self.segment("pi-1", 2, "--wait")
        self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
        self.assertEqual([line.split()[2] for line in shown.stdout.splitlines()[1:]], LIVED)

        command = json.loads(self.segment("pi-1", 2, "--wait", "--output", "json").stdout)
        self.assertEqual([step["state"] for step in command["steps"]], LIVED)
        entity = self.fleet.views()["pi-1"]["entities"][1]
        wait_until("the entity is at the end", lambda: self.fleet.views()["pi-1"]["entities"][1]["x_mm"] == 100)
        self.assertEqual(entity["entity_id"], 2)
        self.assertEqual(self.fleet.views()["pi-1"]["entities"][1]["y_mm"], -20)

    def test_commands_are_listed_with_their_end(self):
        self.start_all()
        first = json.loads(self.segment("pi-1", 1, "--wait", "--output", "json").stdout)["command_id"]
        second = json.loads(self.segment("pi-1", 9, "--wait", "--output", "json").stdout)["command_id"]

        def listed():
            answer = self.fleet.fleetctl("commands", "--output", "json")
            return [(c["command_id"], c["state"], c["reason"]) for c in json.loads(answer.stdout)["commands"]]
        wait_until("both are stored to their ends",
                   lambda: listed() == [(second, "rejected", "unknown_entity"), (first, "done", "")])
        self.assertIn("running", self.fleet.fleetctl("command", first).stdout)

    def test_an_unknown_entity_is_rejected_by_the_device(self):
        self.start_all()
        answer = self.segment("pi-1", 9, "--wait")
        self.assertEqual(answer.returncode, 1)
        self.assertRegex(answer.stdout, "rejected +unknown_entity")

    def test_what_cannot_be_sent_is_refused(self):
        self.start_all()
        self.assertEqual(self.segment("nobody", 1).returncode, 1)
        self.fleet.devices["pi-1"].stop()
        self.fleet.wait_states({"pi-1": "offline"})
        answer = self.segment("pi-1", 1)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("offline (clean)", answer.stderr)

    def test_exit_codes_tell_usage_and_no_server_apart(self):
        nobody = f"http://127.0.0.1:{free_port()}"
        self.assertEqual(run(program("fleetctl"), "--server", nobody, "status").returncode, 3)
        for words in ([], ["dance"], ["segment", "pi-1"], ["segment", "pi-1", "1", "--from", "a,b", *LINE[2:]],
                      ["status", "--output", "xml"]):
            self.assertEqual(run(program("fleetctl"), *words).returncode, 2, words)

    def test_a_malformed_command_is_counted_and_harms_nothing(self):
        self.start_all()
        peer = self.fleet.peer()
        for payload in (b"", b"\xff\xff\xff", b"\x0a\x04junk", secrets.token_bytes(200), bytes(70_000)):
            peer.publish("server/pi-1/segment", payload, qos=1)
        self.fleet.devices["pi-1"].wait_log("input refused .*commands=5", 30)  # its log is rate limited
        self.assertEqual(self.segment("pi-1", 1, "--wait").returncode, 0)
        self.assertEqual(self.fleet.views()["pi-1"]["state"], "online")

    def test_patrol_commands_every_entity(self):
        self.start_all(2, "--patrol", "200ms")
        wait_until("each entity has been told", lambda: len(self.fleet.rows("SELECT DISTINCT device, body FROM "
                                                                           "command")) == 6)


class Watching(FleetTest):
    def test_watch_shows_what_happens_until_it_is_interrupted(self):
        self.start_all()
        watch = subprocess.Popen([program("fleetctl"), "--server", f"http://127.0.0.1:{self.fleet.http_port}", "watch"],
                                 stdout=subprocess.PIPE, text=True, env=clean_environment())
        with watch:
            self.addCleanup(watch.kill)
            watch.stdout.readline()  # it is connected
            self.fleet.fleetctl("segment", "pi-1", "2", *LINE, "--wait")
            self.fleet.devices["pi-1"].stop()
            seen = []
            while "offline" not in (seen or [""])[-1]:
                seen.append(watch.stdout.readline())
            text = "".join(seen)
            self.assertRegex(text, r"pi-1/2.*queued")
            self.assertRegex(text, r"pi-1/2.*done")
            self.assertRegex(text, r"pi-1 .*offline")
            watch.send_signal(signal.SIGINT)
            watch.stdout.read()
            self.assertEqual(watch.wait(10), 0)


class Signatures(FleetTest):
    def test_only_the_right_key_commands(self):
        keys = self.fleet.directory / "keys"
        keys.mkdir()
        for device in ("pi-1", "pi-2"):
            (keys / f"{device}.key").write_text(secrets.token_hex(32) + "\n")
        wrong = self.fleet.directory / "wrong.key"
        wrong.write_text(secrets.token_hex(32))
        self.fleet.start_broker().start_server("--commands.key_dir", keys)
        self.fleet.start_device("pi-1", "--command-key-file", keys / "pi-1.key")
        self.fleet.start_device("pi-2", "--command-key-file", wrong)
        self.fleet.start_device("pi-3", "--command-key-file", wrong)  # for which the server has no key
        self.fleet.wait_online()
        right = self.fleet.fleetctl("segment", "pi-1", "1", *LINE, "--wait")
        self.assertEqual(right.returncode, 0, right.stdout + right.stderr)
        for device in ("pi-2", "pi-3"):
            answer = self.fleet.fleetctl("segment", device, "1", *LINE, "--wait")
            self.assertEqual(answer.returncode, 1)
            self.assertRegex(answer.stdout, "rejected +bad_signature")


if __name__ == "__main__":
    unittest.main()
