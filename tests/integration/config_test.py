#!/usr/bin/python3
"""All programs are configured alike, and mistakes are refused with where they are and what was meant."""
import json
import unittest

from fleet_fixture import ROOT, FleetTest, free_port, program, run

DAEMONS = {"fleet-server": "server", "fleet-device": "device", "fleet-sim": "sim"}  # and their example file
ALL = (*DAEMONS, "fleetctl")


class Config(FleetTest):
    def toml(self, text):
        file = self.fleet.directory / "config.toml"
        file.write_text(text)
        return file

    def refused(self, name, *words, env=None):
        answer = run(program(name), *words, env=env, timeout=10)
        self.assertEqual(answer.returncode, 2, f"{name} {words}: {answer.stdout}{answer.stderr}")
        self.assertEqual(answer.stderr.count("\n"), 1, answer.stderr)
        self.assertTrue(answer.stderr.startswith(f"{name}: "), answer.stderr)
        return answer.stderr

    def test_help_and_version(self):
        for name in ALL:
            with self.subTest(name):
                answer = run(program(name), "--help")
                self.assertEqual((answer.returncode, answer.stderr), (0, ""))
                self.assertIn("--config", answer.stdout)
                answer = run(program(name), "--version")
                self.assertEqual((answer.returncode, answer.stderr), (0, ""))
                self.assertRegex(answer.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_every_contractual_flag_is_in_the_help(self):
        for name, flags in {"fleet-server": "--broker --http --data --patrol",
                            "fleet-device": "--id --broker --entities --data --http --state-rate-hz",
                            "fleet-sim": "--devices --entities --broker --duration --seed --state-rate-hz",
                            "fleetctl": "--server --output"}.items():
            text = run(program(name), "--help").stdout
            for flag in flags.split():
                self.assertRegex(text, rf"(?m)^ +{flag}\b", f"{name} {flag}")

    def test_the_example_file_is_what_the_program_prints(self):
        for name, example in DAEMONS.items():
            self.assertEqual(run(program(name), "--example-config").stdout,
                             (ROOT / f"docs/config/{example}.toml").read_text())

    def test_unknown_keys_are_refused_with_place_and_nearest(self):
        for name, text, line, nearest in [("fleet-server", "[store]\nkeep_mb = 100\n", 2, "store.keep_mib"),
                                          ("fleet-device", 'id = "a"\n\nentites = [1]\n', 3, "entities"),
                                          ("fleet-sim", "device = 1\n", 1, "devices")]:
            file = self.toml(text)
            said = self.refused(name, "--config", file)
            self.assertIn(f"{file}:{line}: ", said)
            self.assertIn(f"did you mean {nearest}?", said)
        file = self.toml('\nsevrer = "http://127.0.0.1:1"\n')
        said = self.refused("fleetctl", "--config", file, "status")
        self.assertIn(f"{file}:2: ", said)
        self.assertIn("did you mean server?", said)

    def test_wrong_types_and_ranges_in_a_file_are_refused_with_their_place(self):
        for text, why in [('[http]\nmax_streams = "many"\n', "wrong type"), ("[http]\nmax_streams = 0\n", "below"),
                          ('[liveness]\nstale_after = "5 parsecs"\n', "stale_after"),
                          ("[http]\nlisten\n", "config.toml:2")]:
            said = self.refused("fleet-server", "--config", self.toml(text))
            self.assertIn("config.toml:2: ", said)
            self.assertIn(why, said)

    def test_bad_flags_are_refused(self):
        for name, *words in [("fleet-server", "--patrol", "soon"), ("fleet-server", "--http.max_streams", "0"),
                             ("fleet-server", "--brokr", "x"), ("fleet-server", "extra"),
                             ("fleet-server", "--config", "/nowhere.toml"), ("fleet-device",),
                             ("fleet-device", "--id", "a b"), ("fleet-device", "--id", "a", "--entities", "1,x"),
                             ("fleet-device", "--id", "a", "--entities", "1,1"),
                             ("fleet-device", "--id", "a", "--driver", "magic"),
                             ("fleet-device", "--id", "a", "--log-level", "loud"),
                             ("fleet-device", "--id", "a", "--broker", "somewhere"),
                             ("fleet-device", "--id", "a", "--command-key-file", "/nowhere.key"),
                             ("fleet-sim", "--devices", "0"), ("fleet-sim", "--duration", "0s")]:
            with self.subTest(f"{name} {words}"):
                self.refused(name, *words)
        self.assertIn("--id", self.refused("fleet-device"))

    def test_mistakes_of_the_server_that_only_it_can_see(self):
        self.fleet.start_broker()
        for words in (["--broker", "somewhere"], ["--log-level", "loud"], ["--http", "nonsense"],
                      ["--liveness.stale_after", "3s"], ["--commands.key_dir", "/nowhere"]):
            with self.subTest(words):
                answer = run(*self.fleet.server_command(), *words, timeout=10)
                self.assertEqual(answer.returncode, 2, answer.stderr)
                self.assertRegex(answer.stderr, r"^fleet-server: .+\n$")

    def test_a_fail_safe_policy_of_an_entity_that_is_not_there_is_refused(self):
        done = run(program("fleet-device"), "--id", "pi-1", "--entities", "1,2", "--fail_safe.entities", "9=stop",
                   "--data", self.fleet.directory / "data")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("no entity 9", done.stderr)

    def test_flag_beats_environment_beats_file(self):
        self.fleet.start_broker()
        wrong = f"127.0.0.1:{free_port()}"
        file = self.toml(f'[http]\nlisten = "{wrong}"\n[log]\nlevel = "error"\n[broker]\nurl = "tcp://127.0.0.1:1"\n')
        self.fleet.start_server("--config", file, env={"FLEET_LOG_LEVEL": "info",
                                                       "FLEET_BROKER_URL": "tcp://127.0.0.1:2"})
        self.assertNotEqual(f"127.0.0.1:{self.fleet.http_port}", wrong)  # by flag, and the level by environment
        environment = {"FLEET_SERVER": f"http://127.0.0.1:{self.fleet.http_port}", "FLEET_OUTPUT": "json"}
        status = run(program("fleetctl"), "status", env=environment)
        self.assertEqual(status.returncode, 0, status.stderr)
        self.assertIn("server_version", json.loads(status.stdout))

    def test_a_taken_http_port_is_said(self):
        self.fleet.start_broker().start_server()
        answer = run(*self.fleet.server_command(data=self.fleet.directory / "other"), timeout=10)
        self.assertEqual(answer.returncode, 1)
        self.assertEqual(answer.stderr, f"fleet-server: address in use: 127.0.0.1:{self.fleet.http_port}; "
                         "stop what listens there, or give another with --http\n")


if __name__ == "__main__":
    unittest.main()
