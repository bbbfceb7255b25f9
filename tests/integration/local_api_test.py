#!/usr/bin/python3
"""The agent's own HTTP API: a controller drives entities, programs publish, operators look."""
import http.client
import json
import re
import subprocess
import unittest

from fleet_fixture import FleetTest, clean_environment, program, run, wait_until
from stopped_loop import stopped_loop


class LocalApi(FleetTest):
    def setUp(self):
        self.fleet.start_broker().start_server()
        device = self.fleet.start_device("pi-1", "--driver", "external", "--http", "127.0.0.1:0", entities="7,8")
        self.port = int(device.wait_log(r"local api listens port=(\d+)")[1])
        self.fleet.wait_states({"pi-1": "online"})
        self.fleet.wait_ready()

    def ask(self, method, path, body=None, token=None):
        """(HTTP status, body); a body that is text is sent as it is"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.addCleanup(connection.close)
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        connection.request(method, path, text, {"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def pose(self, entity, **pose):
        return self.ask("POST", f"/entities/{entity}/pose", pose)[0]

    def segments(self):
        """The open stream of segments."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", "/segments")
        answer = connection.getresponse()
        self.addCleanup(answer.close)
        self.assertEqual((answer.status, answer.headers.get_content_type()), (200, "text/event-stream"))
        return answer

    def next_event(self, stream):
        """(event, data)"""
        while not (line := stream.readline().decode()).startswith("event: "):
            self.assertTrue(line, "the stream ended")
        return line.split()[1], json.loads(stream.readline().decode().removeprefix("data: "))

    def command(self, entity, ttl="5s"):
        """An operator who waits for the end of a segment."""
        operator = subprocess.Popen(
            [program("fleetctl"), "--server", f"http://127.0.0.1:{self.fleet.http_port}", "--output", "json", "segment",
             "pi-1", str(entity), "--from", "-10,20", "--to", "30,-40", "--v0", "500", "--v1", "300", "--type",
             "arc_left", "--ttl", ttl, "--wait"], stdout=subprocess.PIPE, text=True, env=clean_environment())
        self.addCleanup(operator.communicate)
        self.addCleanup(operator.kill)
        return operator

    def end_of(self, operator):
        """(exit code, the steps)"""
        out, _ = operator.communicate(timeout=20)
        return operator.returncode, [step["state"] for step in json.loads(out)["steps"]], json.loads(out)

    def test_health(self):
        status, body = self.ask("GET", "/health")
        health = json.loads(body)
        self.assertEqual((status, health["ok"], health["device_id"], health["broker"]),
                         (200, True, "pi-1", "connected"))
        self.assertEqual((health["connection"]["state"], health["spool"]["state"], health["broker_url"]),
                         ("connected", "works", self.fleet.broker_url))
        self.fleet.broker.kill()
        wait_until("the agent says that it has no broker", lambda: self.ask("GET", "/health")[0] == 503)
        health = json.loads(self.ask("GET", "/health")[1])
        self.assertEqual((health["ok"], health["connection"]["state"], health["connection"]["losses"]),
                         (False, "lost", 1))
        self.assertTrue(health["problems"][-1]["what"].startswith("broker: "), health["problems"])

    def test_the_configuration_is_shown(self):
        config = json.loads(self.ask("GET", "/config")[1])
        self.assertEqual((config["id"], config["driver"], config["entities"]), ("pi-1", "external", [7, 8]))

    def test_metrics(self):
        wait_until("heartbeats are counted", lambda: float(re.search(
            r'^fleet_device_reports_total{topic="heartbeat"} (.*)$', self.ask("GET", "/metrics")[1], re.M)[1]) > 0)

    def samples(self, signal):
        """[(value, time)] as the server has stored them; it knows no signal before that"""
        status, body = self.fleet.get(f"/api/v1/devices/pi-1/telemetry?signal={signal}")
        found = json.loads(body)["samples"] if status == 200 else []
        return [(sample["value"], sample["at_unix_ms"]) for sample in found]

    def test_fields_are_published_live_and_stored_with_their_own_time(self):
        peer = self.fleet.peer().subscribe("rpi/pi-1/+/+")
        status, body = self.ask("POST", "/publish", {"engine": {"rpm": 3500}, "door": True, "note": "ok",
                                                     "timestamp": "2026-01-31T12:00:00.5Z"})
        self.assertEqual((status, json.loads(body)), (200, {"published": 3, "live": True}))
        wanted = {("rpi/pi-1/engine/rpm", b"3500"), ("rpi/pi-1/app/door", b"1"), ("rpi/pi-1/app/note", b"ok")}
        wait_until("the texts are published", lambda: wanted <= set(peer.messages))
        at_ms = 1769860800500
        wait_until("the sample is stored", lambda: self.samples("engine/rpm") == [(3500, at_ms)])
        self.assertEqual(self.samples("app/door"), [(1, at_ms)])
        self.assertEqual(self.samples("app/note"), [])

    def test_an_empty_body_publishes_the_current_values_and_a_summary(self):
        self.ask("POST", "/publish", {"engine/rpm": 3500, "note": "ok"})
        peer = self.fleet.peer().subscribe("rpi/pi-1/+/+")
        status, body = self.ask("POST", "/publish")
        self.assertEqual((status, json.loads(body)), (200, {"published": 2, "live": True}))
        summary = json.loads(wait_until("a summary comes",
                                        lambda: dict(peer.messages).get("rpi/pi-1/gateway/summary")))
        self.assertEqual((summary["type"], summary["omitted"]), ("summary", 0))
        self.assertEqual({name: entry["value"] for name, entry in summary["signals"].items()},
                         {"engine/rpm": 3500, "app/note": "ok"})
        self.assertIn(("rpi/pi-1/engine/rpm", b"3500"), peer.messages)

    def test_what_cannot_be_published_is_refused_with_the_reason_and_nothing_of_it_is_taken(self):
        for body, status, reason in [('{"a/b":1,', 400, "byte 10, line 1, column 10"),
                                     ('{"a/b":1,"gateway/uptime":2}', 400, "gateway/uptime"),
                                     ('{"a/b":1,"x y":2}', 400, "x y"), ('{"a/b":1,"c":[]}', 400, "'c' is a list"),
                                     ("[]", 400, "object"), ('{"a/b":' + " " * 65536 + "1}", 413, "65536")]:
            with self.subTest(body[:30]):
                answer = self.ask("POST", "/publish", body)
                self.assertEqual(answer[0], status, answer)
                self.assertIn(reason, json.loads(answer[1])["message"])
        self.assertEqual(json.loads(self.ask("POST", "/publish")[1])["published"], 0)

    def test_without_a_broker_samples_wait_and_the_answer_says_so(self):
        self.fleet.broker.kill()
        wait_until("the agent has no broker", lambda: self.ask("GET", "/health")[0] == 503)
        self.assertEqual(json.loads(self.ask("POST", "/publish", {"engine/rpm": 1})[1]),
                         {"published": 1, "live": False})
        self.fleet.start_broker()
        wait_until("the sample arrives", lambda: [value for value, _ in self.samples("engine/rpm")] == [1])

    def test_with_a_token_only_who_has_it_is_served(self):
        token = "0123456789abcdef0123456789abcdef"
        file = self.fleet.directory / "token"
        file.write_text(token + "\n")
        device = self.fleet.start_device("pi-2", "--http", "0.0.0.0:0", "--http.token_file", file)
        self.port = int(device.wait_log(r"local api listens port=(\d+)")[1])
        wait_until("it is well", lambda: self.ask("GET", "/health") == (200, '{"ok":true}\n'))
        for word in (None, "wrong" * 4):
            for method, path in (("GET", "/config"), ("GET", "/metrics"), ("POST", "/publish"), ("GET", "/x")):
                status, body = self.ask(method, path, token=word)
                self.assertEqual((status, json.loads(body)["code"]), (401, "UNAUTHENTICATED"), path)
        self.assertEqual(json.loads(self.ask("GET", "/health", token=token)[1])["device_id"], "pi-2")
        status, config = self.ask("GET", "/config", token=token)
        self.assertEqual((status, json.loads(config)["http"]["token_file"]), (200, str(file)))
        self.assertNotIn(token, config)
        self.assertIn("fleet_device_http_unauthorized_total 8\n", self.ask("GET", "/metrics", token=token)[1])
        self.assertNotIn(token, device.log())

    def test_an_address_that_others_reach_needs_a_token(self):
        for words in (["--http", "0.0.0.0:0"], ["--http", "[::]:0"],
                      ["--http", "127.0.0.1:0", "--http.token_file", "/nowhere"]):
            with self.subTest(words):
                done = run(program("fleet-device"), "--id", "pi-3", "--data", self.fleet.directory / "pi-3", *words)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertRegex(done.stderr, r"^fleet-device: .*token.*\n$")

    def test_a_loop_that_is_stopped_is_not_well(self):
        device = self.fleet.devices["pi-1"]
        self.assertEqual(self.ask("GET", "/health")[0], 200)
        with stopped_loop(device.process.pid):
            status, body = self.ask("GET", "/health")
            self.assertEqual((status, json.loads(body)["ok"]), (503, False))
        wait_until("it is well again", lambda: self.ask("GET", "/health")[0] == 200)

    def test_a_pose_shows_up_at_the_server(self):
        pose = {"x_mm": 123, "y_mm": -456, "angle_mdeg": 45000, "vx_mm_s": -7, "vy_mm_s": 8}

        def shown():
            self.assertEqual(self.pose(7, **pose), 204)  # at least once a second, or it counts as unknown
            entities = {e["entity_id"]: e for e in self.fleet.views()["pi-1"]["entities"]}
            return 7 in entities and pose.items() <= entities[7].items()
        wait_until("the server knows it", shown)

    def test_a_segment_goes_out_and_its_result_comes_back(self):
        stream = self.segments()
        operator = self.command(7)
        kind, segment = self.next_event(stream)
        expires = segment.pop("expires_in_ms")
        self.assertTrue(0 < expires <= 5000, expires)
        self.assertEqual((kind, {key: value for key, value in segment.items() if key != "command_id"}),
                         ("segment", {"entity_id": 7, "from_x_mm": -10, "from_y_mm": 20, "to_x_mm": 30, "to_y_mm": -40,
                                      "v0_mm_s": 500, "v1_mm_s": 300, "type": "arc_left"}))
        result = f"/commands/{segment['command_id']}/result"
        self.assertEqual(self.ask("POST", result, {"done": True})[0], 204)
        self.assertEqual(self.end_of(operator)[:2],
                         (0, ["queued", "sent", "received", "accepted", "running", "done"]))
        self.assertEqual(self.ask("POST", result, {"done": True})[0], 404)

    def test_a_failure_is_told_with_its_detail(self):
        stream = self.segments()
        operator = self.command(8)
        segment = self.next_event(stream)[1]
        self.ask("POST", f"/commands/{segment['command_id']}/result", {"done": False, "detail": "wheel stuck"})
        code, steps, command = self.end_of(operator)
        self.assertEqual((code, steps[-1], command["steps"][-1]["detail"]), (1, "failed", "wheel stuck"))

    def test_without_a_controller_a_segment_is_rejected(self):
        code, steps, command = self.end_of(self.command(7))
        self.assertEqual((code, steps[-1], command["reason"]), (1, "rejected", "no_controller"))

    def test_nonsense_is_refused(self):
        self.assertEqual(self.pose(9, x_mm=1), 404)
        self.assertEqual(self.pose(7, x_km=1), 400)
        self.assertEqual(self.ask("POST", "/entities/7/pose", '"far away"')[0], 400)
        self.assertEqual(self.ask("POST", "/commands/1/result", {"done": True})[0], 404)
        self.assertEqual(self.fleet.views()["pi-1"]["state"], "online")


if __name__ == "__main__":
    unittest.main()
