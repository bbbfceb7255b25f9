#!/usr/bin/python3
"""A controller on the same Pi drives entities through the agent's local HTTP API."""
import http.client
import json
import subprocess
import unittest

from fleet_fixture import FleetTest, clean_environment, program, wait_until


class LocalApi(FleetTest):
    def setUp(self):
        self.fleet.start_broker().start_server()
        device = self.fleet.start_device("pi-1", "--driver", "external", "--http", "127.0.0.1:0", entities="7,8")
        self.port = int(device.wait_log(r"local api listens port=(\d+)")[1])
        self.fleet.wait_states({"pi-1": "online"})
        self.fleet.wait_ready()

    def ask(self, method, path, body=None):
        """(HTTP status, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request(method, path, json.dumps(body) if body is not None else None)
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
        self.assertEqual((status, json.loads(body)["device_id"]), (200, "pi-1"))
        self.fleet.broker.kill()
        wait_until("the agent says that it has no broker", lambda: self.ask("GET", "/health")[0] == 503)

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
        self.assertEqual(self.ask("POST", "/entities/7/pose", "far away")[0], 400)
        self.assertEqual(self.ask("POST", "/commands/1/result", {"done": True})[0], 404)
        self.assertEqual(self.fleet.views()["pi-1"]["state"], "online")


if __name__ == "__main__":
    unittest.main()
