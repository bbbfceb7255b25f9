#!/usr/bin/python3
"""docker-compose.yml brings up a broker that takes and gives a message, and an agent that reaches it. Both are healthy, run
as nobody of importance, and write to their volumes only.

The agent's image is made of the program that was built already. Needs a Docker engine, docker-compose or docker compose,
and debian:bookworm-slim; without an engine it is skipped.
"""
import json
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import paho.mqtt.client

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = f"fleet-compose-test-{os.getpid()}"
IMAGE = f"{PROJECT}-device"
BUILD = pathlib.Path(os.environ.get("FLEET_BUILD_DIR", ROOT / "build/release"))
HEALTHY_WITHIN_S = 60
SKIPPED = 77  # SKIP_RETURN_CODE of the test in CMake


def succeeds(*command):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def output(*command, **options):
    """What the command prints; when it fails, the exception shows that too."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Containers:
    """The compose file as a project of its own. Taken down with its volumes and the agent's image, whatever happens in
    between."""

    def __init__(self):
        self.port = free_port()
        self.command = ["docker", "compose"] if succeeds("docker", "compose", "version") else ["docker-compose"]

    def compose(self, *arguments):
        environment = dict(os.environ, FLEET_BROKER_PORT=str(self.port), FLEET_BROKER_ADDRESS="127.0.0.1",
                           FLEET_DEVICE_IMAGE=IMAGE, FLEET_DEVICE_ID="compose-1")
        return output(*self.command, "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml"), "--profile", "device",
                      *arguments, env=environment)

    def __enter__(self):
        try:
            self.compose("up", "-d", "--build", "broker")
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, failed, *_):
        if failed:
            print(self.compose("logs", "--no-color"))
        self.down()

    def down(self):
        self.compose("down", "-v")
        succeeds("docker", "image", "rm", IMAGE)

    def start_device(self):
        """With the program that was built already, for it takes long to build one in a container."""
        with tempfile.TemporaryDirectory() as directory:
            context = pathlib.Path(directory)
            shutil.copy(BUILD / "bin" / "fleet-device", context)
            (context / "tools").mkdir()
            shutil.copy(ROOT / "tools" / "packages.txt", context / "tools")
            output("docker", "build", "-q", "-t", IMAGE, "-f", str(ROOT / "device" / "Dockerfile"), "--build-arg",
                   "PREBUILT=fleet-device", directory)
        self.compose("up", "-d", "--no-build", "fleet-device")

    def inspect(self, service, template):
        return output("docker", "inspect", "-f", template, self.compose("ps", "-q", service))

    def wait_until_healthy(self, service):
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        while (health := self.inspect(service, "{{.State.Health.Status}}")) != "healthy":
            assert time.monotonic() < deadline, f"{service} is {health} after {HEALTHY_WITHIN_S} s"
            time.sleep(0.2)

    def check_user(self, service):
        user = self.compose("exec", "-T", service, "id", "-u")
        assert user != "0", f"the container of {service} runs as root"
        owner = output("docker", "exec", self.compose("ps", "-q", service), "stat", "-c", "%u", "/proc/1")
        assert owner == user, f"the process of {service} runs as user {owner}, its container as {user}"

    def check_locks(self, service):
        for template, wanted in (("{{.HostConfig.RestartPolicy.Name}}", "unless-stopped"),
                                 ("{{.HostConfig.ReadonlyRootfs}}", "true"), ("{{.HostConfig.CapDrop}}", "[ALL]"),
                                 ("{{.HostConfig.SecurityOpt}}", "[no-new-privileges:true]")):
            assert self.inspect(service, template) == wanted, f"{template} of {service}"


def new_client(name):
    # Version 2 of the library wants to be told which callbacks it is given.
    versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
    return paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id=name)


class Client:
    """What arrives of a topic, once it is subscribed to."""

    def __init__(self, port, topic, first_message=None):
        self.arrived = queue.Queue()
        self.client = new_client("compose-test")
        self.client.on_connect = lambda *_: self.client.subscribe(topic, qos=1)
        if first_message is not None:
            self.client.on_subscribe = lambda *_: self.client.publish(topic, first_message, qos=1)
        self.client.on_message = lambda _client, _data, message: self.arrived.put((message.topic, message.payload))
        self.client.connect("127.0.0.1", port)

    def __enter__(self):
        self.client.loop_start()
        return self.arrived

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()


def test_broker(containers):
    containers.wait_until_healthy("broker")
    with Client(containers.port, "rpi/compose-test/event", b"\x00through\xff") as arrived:
        assert arrived.get(timeout=10) == ("rpi/compose-test/event", b"\x00through\xff")
    containers.check_user("broker")
    containers.check_locks("broker")
    address = containers.inspect("broker", '{{(index (index .NetworkSettings.Ports "1883/tcp") 0).HostIp}}')
    assert address == "127.0.0.1", f"published on {address}"


def test_device(containers):
    containers.start_device()
    with Client(containers.port, "rpi/compose-1/heartbeat") as arrived:
        assert arrived.get(timeout=HEALTHY_WITHIN_S)
    containers.wait_until_healthy("fleet-device")
    containers.check_user("fleet-device")
    containers.check_locks("fleet-device")
    health = json.loads(containers.compose("exec", "-T", "fleet-device", "curl", "-s", "http://127.0.0.1:8081/health"))
    assert (health["device_id"], health["epoch"], health["spool"]["state"]) == ("compose-1", 1, "works"), health
    # What it must not lose is in the volume, which a new container takes over.
    containers.compose("up", "-d", "--no-build", "--force-recreate", "fleet-device")
    containers.wait_until_healthy("fleet-device")
    health = json.loads(containers.compose("exec", "-T", "fleet-device", "curl", "-s", "http://127.0.0.1:8081/health"))
    assert health["epoch"] == 2, health
    containers.compose("stop", "-t", "5", "fleet-device")
    code = output("docker", "inspect", "-f", "{{.State.ExitCode}}", containers.compose("ps", "-aq", "fleet-device"))
    assert code == "0", f"it ended with {code} after SIGTERM"


def main():
    if not shutil.which("docker") or not succeeds("docker", "info"):
        print("skipped: no Docker engine")
        return SKIPPED
    with Containers() as containers:
        test_broker(containers)
        test_device(containers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
