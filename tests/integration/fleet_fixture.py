"""The real programs and a real mosquitto, on free ports and in a directory that is removed afterwards.

FLEET_BUILD_DIR says where the programs were built; build/release when it is not set. A test that fails prints the end
of the log of each program that it started.
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import paho.mqtt.client

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("FLEET_BUILD_DIR", ROOT / "build/release"))
PATIENCE_S = 15  # for what should happen at once: the machine may be busy, and the programs instrumented
POLL_S = 0.01
LOG_TAIL_BYTES = 6000
READY_AFTER_MS = 250
SETTLED_AFTER_MS = 2500


def program(name):
    return str(BUILD / "bin" / name)


def wait_until(what, condition, timeout=PATIENCE_S):
    """The first true answer of `condition`."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(POLL_S)
    return answer


def free_port():
    """Below those that the system gives to connections: one of them must not take it while its owner restarts."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def clean_environment(extra=None):
    """Ours without what would configure the programs, and with `extra`."""
    return {key: value for key, value in os.environ.items() if not key.startswith("FLEET_")} | (extra or {})


def run(*command, env=None, timeout=60):
    """Runs a program to its end."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                          env=clean_environment(env), check=False)


class Program:
    """A program that runs. Its log is appended to a file; it dies with this process."""

    def __init__(self, name, directory, command, env=None, cwd=None):
        self.name = name
        self.log_file = pathlib.Path(directory) / f"{name}.log"
        self.log_begins = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=clean_environment(env), cwd=cwd)

    def log(self):
        """What it has said since it was started."""
        return self.log_file.read_bytes()[self.log_begins:].decode(errors="replace")

    def wait_log(self, pattern, timeout=PATIENCE_S):
        def found():
            if match := re.search(pattern, self.log()):
                return match
            assert self.running(), f"{self.name} ended with {self.process.returncode}:\n{self.log()}"
            return None
        return wait_until(f"{self.name} logs {pattern!r}", found, timeout)

    def running(self):
        return self.process.poll() is None

    def send(self, number):
        self.process.send_signal(number)

    def freeze(self):
        self.send(signal.SIGSTOP)

    def thaw(self):
        self.send(signal.SIGCONT)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait()

    def wait(self, timeout=PATIENCE_S):
        """Its exit code."""
        return self.process.wait(timeout)

    def stop(self, timeout=PATIENCE_S):
        """Its exit code after SIGTERM."""
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class LiveStream:
    """GET /api/v1/stream: its events of one kind, as (monotonic time of arrival, data), until the server ends it."""

    def __init__(self, port, kind="device"):
        self.kind = kind
        self.events = []
        self.arrived = threading.Condition()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("GET", "/api/v1/stream")
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.status
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        kind = None
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            while line := self.response.readline():
                now = time.monotonic()
                word, _, rest = line.decode().rstrip("\n").partition(": ")
                if word == "event":
                    kind = rest
                elif word == "data" and kind == self.kind:
                    with self.arrived:
                        self.events.append((now, json.loads(rest)[kind]))
                        self.arrived.notify_all()

    def wait_for(self, what, wanted, since=0.0, timeout=PATIENCE_S):
        """The first event that came after `since` and that `wanted` likes, as (time, data)."""
        def find():
            return next((event for event in self.events if event[0] >= since and wanted(event[1])), None)
        with self.arrived:
            self.arrived.wait_for(find, timeout)
            if event := find():
                return event
            raise AssertionError(f"not within {timeout} s: {what}; there was {self.events[-20:]}")

    def wait_state(self, device_id, state, since=0.0, timeout=PATIENCE_S):
        return self.wait_for(f"{device_id} is {state}",
                             lambda data: data["device_id"] == device_id and data["state"] == state, since, timeout)


class Peer:
    """An MQTT client that is not ours."""

    def __init__(self, port, name):
        # Version 2 of the library wants to be told which callbacks it is given.
        versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
        self.client = paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id=name)
        self.client.max_queued_messages_set(0)  # no bound
        self.messages = []  # (topic, payload)
        self.subscribed = threading.Event()
        self.client.on_message = lambda _client, _data, m: self.messages.append((m.topic, m.payload))
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_until(f"peer {name} is connected", self.client.is_connected)

    def subscribe(self, topic):
        self.client.subscribe(topic, qos=1)
        assert self.subscribed.wait(PATIENCE_S), f"no SUBACK for {topic}"
        return self

    def publish(self, topic, payload, qos=0):
        return self.client.publish(topic, payload, qos=qos)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Fleet:
    """A broker, a server and devices that share a directory. What was started is ended by end()."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.programs = []
        self.peers = []
        self.devices = {}  # id: Program
        self.broker = self.server = None
        self.broker_port = self.http_port = None

    def start(self, name, *command, env=None, cwd=None):
        started = Program(name, self.directory, command, env, cwd)
        self.programs.append(started)
        return started

    def end(self):
        for peer in self.peers:
            peer.close()
        for started in self.programs:
            if started.running():
                started.kill()

    def logs(self):
        parts = []
        for file in sorted(self.directory.glob("*.log")):
            parts.append(f"---- the end of {file.name}\n" +
                         file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace"))
        return "\n".join(parts)

    # ---- the broker

    def start_broker(self):
        """On a free port, and when it was there before, on the same port with the same data."""
        home = self.directory / "broker"
        (home / "data").mkdir(parents=True, exist_ok=True)
        (home / "conf.d").mkdir(exist_ok=True)
        port = self.broker_port
        for _ in range(5):  # another process may take the free port before the broker does
            self.broker_port = port or free_port()
            listener = (ROOT / "mosquitto/listener.conf").read_text()
            ours = f"listener {self.broker_port} 127.0.0.1\nuser root"  # user: or root would become mosquitto
            (home / "conf.d/listener.conf").write_text(re.sub("(?m)^listener 1883$", ours, listener))
            mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
            self.broker = self.start("broker", mosquitto, "-c", ROOT / "mosquitto/mosquitto.conf", cwd=home)
            if wait_until("the broker listens or ends",
                          lambda: not self.broker.running() and "ended" or accepts(self.broker_port) and "up") == "up":
                return self
        raise AssertionError("the broker does not start:\n" + self.broker.log())

    @property
    def broker_url(self):
        return f"tcp://127.0.0.1:{self.broker_port}"

    def peer(self, name="peer"):
        self.peers.append(Peer(self.broker_port, name))
        return self.peers[-1]

    # ---- the server

    def server_command(self, *more, data=None):
        return (program("fleet-server"), "--broker", self.broker_url, "--http", f"127.0.0.1:{self.http_port or 0}",
                "--data", data or self.directory / "server", *more)

    def start_server(self, *more, env=None, data=None):
        """On a free port, and when it was there before, on the same port."""
        self.server = self.start("server", *self.server_command(*more, data=data), env=env)
        self.http_port = int(self.server.wait_log(r"server ready http_port=(\d+)")[1])
        self.server.wait_log("broker connected")
        return self

    def get(self, path):
        """(HTTP status, body)"""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def post(self, path, body):
        """(HTTP status, body)"""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get_json(self, path):
        status, body = self.get(path)
        assert status == 200, f"{path}: {status} {body}"
        return json.loads(body)

    def views(self):
        """{device id: its view}"""
        return {view["id"]: view for view in self.get_json("/api/v1/devices?limit=1000")["devices"]}

    def metrics(self):
        """{"name{label=\"x\"}": value}"""
        lines = self.get("/metrics")[1].splitlines()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))}

    def stream(self, kind="device"):
        return LiveStream(self.http_port, kind)

    def fleetctl(self, *words, timeout=60):
        return run(program("fleetctl"), "--server", f"http://127.0.0.1:{self.http_port}", *words, timeout=timeout)

    def move(self, device_id, entity=1):
        """Sends a segment of a tenth of a second and waits for its end."""
        return self.fleetctl("segment", device_id, str(entity), "--from", "0,0", "--to", "50,0", "--v0", "500", "--v1",
                             "500", "--wait")

    def rows(self, sql, *values, data=None):
        """Of the server's database, which is only read."""
        file = (data or self.directory / "server") / "fleet.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(sql, values).fetchall()

    # ---- devices

    def start_device(self, device_id, *more, entities="1,2,3"):
        self.devices[device_id] = self.start(
            device_id, program("fleet-device"), "--id", device_id, "--broker", self.broker_url, "--entities", entities,
            "--data", self.directory / f"data-{device_id}", *more)
        return self.devices[device_id]

    def wait_states(self, wanted, timeout=PATIENCE_S):
        """`wanted`: {device id: state}"""
        def reached():
            views = self.views()
            return all(views.get(id_, {}).get("state") == state for id_, state in wanted.items())
        wait_until(f"states {wanted}", reached, timeout)

    def wait_online(self, timeout=PATIENCE_S):
        """All devices are online, their entities known, and ready for commands."""
        self.wait_states(dict.fromkeys(self.devices, "online"), timeout)
        wait_until("entities are known", lambda: all(self.views()[id_]["entities"] for id_ in self.devices), timeout)
        self.wait_ready()

    def wait_ready(self):
        """A device refuses commands until it hears the server's beat, at most 100 ms after it has come online."""
        wait_until("the devices have heard the server", lambda: all(
            time.time() * 1000 - self.views()[id_]["state_since_unix_ms"] > READY_AFTER_MS for id_ in self.devices))

    def wait_settled(self):
        """Until then the server, which has just come, declares nobody dead."""
        wait_until("the server is settled", lambda: self.get_json("/api/v1/status")["uptime_ms"] > SETTLED_AFTER_MS)


class FleetTest(unittest.TestCase):
    """A test with a Fleet of its own, self.fleet. Nothing runs until the test starts it."""

    def run(self, result=None):
        bad = lambda: len(result.failures) + len(result.errors)
        with tempfile.TemporaryDirectory(prefix="fleet-test-", ignore_cleanup_errors=True) as directory:
            self.fleet = Fleet(directory)
            before = bad()
            try:
                super().run(result)
            finally:
                self.fleet.end()
                if bad() > before:
                    print(f"==== {self.id()} failed\n{self.fleet.logs()}", file=sys.stderr, flush=True)

    def assert_moves(self, device_id, entity=1):
        done = self.fleet.move(device_id, entity)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def start_all(self, devices=1, *server_arguments):
        """A broker, a server, and devices pi-1, pi-2, ... that are online."""
        self.fleet.start_broker().start_server(*server_arguments)
        for number in range(1, devices + 1):
            self.fleet.start_device(f"pi-{number}")
        self.fleet.wait_online()
