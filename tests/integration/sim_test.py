#!/usr/bin/python3
"""fleet-sim says what it has sent, and the server has stored exactly that."""
import json
import unittest

from fleet_fixture import FleetTest, program, run, wait_until


class Sim(FleetTest):
    def test_what_was_sent_is_what_was_stored(self):
        self.fleet.start_broker().start_server()
        done = run(program("fleet-sim"), "--devices", "20", "--entities", "3", "--duration", "5s", "--broker",
                   self.fleet.broker_url, "--seed", "7")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("\n"), 1)
        summary = json.loads(done.stdout)
        self.assertEqual((summary["devices"], summary["entities"], summary["dropped"]), (20, 3, 0))
        sent = summary["sent"]
        # On a busy machine it takes a while until all are connected, and the first of them speak meanwhile.
        self.assertGreater(sent["state"], 20 * 50 * 0.9, sent)
        self.assertGreater(sent["heartbeat"], 20 * 10 * 0.9, sent)
        self.assertAlmostEqual(sent["state"] / (sent["heartbeat"] - 20), 5, delta=0.5)  # 10 Hz, 2 Hz and one at once

        wait_until("all are gone", lambda: all(v["reason"] == "clean" for v in self.fleet.views().values()))
        self.assertEqual(len(self.fleet.views()), 20)
        self.assertTrue(all(len(view["entities"]) == 3 for view in self.fleet.views().values()))
        self.assertEqual(self.fleet.server.stop(), 0)
        for stream in ("heartbeat", "state"):
            expected, stored, duplicate = self.fleet.rows(
                "SELECT sum(expected), sum(stored), sum(duplicate) FROM loss WHERE stream = ?", stream)[0]
            self.assertEqual((expected, stored, duplicate), (sent[stream], sent[stream], 0), stream)
        self.assertEqual(self.fleet.rows("SELECT sum(reports) FROM state_history"), [(sent["state"],)])

    def test_it_answers_commands_like_any_device(self):
        self.fleet.start_broker().start_server()
        self.fleet.start("sim", program("fleet-sim"), "--devices", "3", "--duration", "60s", "--broker",
                         self.fleet.broker_url, "--id-prefix", "s-")
        wait_until("all are online", lambda: len(self.fleet.views()) == 3 and
                   all(view["state"] == "online" for view in self.fleet.views().values()))
        self.fleet.devices = self.fleet.views()
        self.fleet.wait_ready()
        device = sorted(self.fleet.devices)[0]
        self.assertTrue(device.startswith("s-"))
        self.assert_moves(device)

    def test_without_a_broker_it_says_so(self):
        self.fleet.start_broker()
        self.fleet.broker.stop()
        sim = self.fleet.start("sim", program("fleet-sim"), "--devices", "2", "--duration", "1s", "--broker",
                               self.fleet.broker_url)
        sim.wait_log("connect|refused")
        sim.stop()


if __name__ == "__main__":
    unittest.main()
