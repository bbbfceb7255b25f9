#!/usr/bin/python3
"""docker-compose.yml brings up a broker that takes and gives a message, is healthy, and does not run as root.

Needs a Docker engine, docker-compose or docker compose, and debian:bookworm-slim; without an engine it is skipped.
"""
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import sys
import time

import paho.mqtt.client

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = f"fleet-compose-test-{os.getpid()}"
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


class Broker:
    """The compose file as a project of its own. Taken down with its volume, whatever happens in between."""

    def __init__(self):
        self.port = free_port()
        self.command = ["docker", "compose"] if succeeds("docker", "compose", "version") else ["docker-compose"]

    def compose(self, *arguments):
        environment = dict(os.environ, FLEET_BROKER_PORT=str(self.port), FLEET_BROKER_ADDRESS="127.0.0.1")
        return output(*self.command, "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml"), *arguments, env=environment)

    def __enter__(self):
        try:
            self.compose("up", "-d", "--build")
        except BaseException:
            self.compose("down", "-v")
            raise
        return self

    def __exit__(self, failed, *_):
        if failed:
            print(self.compose("logs", "--no-color"))
        self.compose("down", "-v")

    def inspect(self, template):
        return output("docker", "inspect", "-f", template, self.compose("ps", "-q", "broker"))


def wait_until_healthy(broker):
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while (health := broker.inspect("{{.State.Health.Status}}")) != "healthy":
        assert time.monotonic() < deadline, f"the broker is {health} after {HEALTHY_WITHIN_S} s"
        time.sleep(0.2)


def new_client(name):
    # Version 2 of the library wants to be told which callbacks it is given.
    versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
    return paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id=name)


def round_trip(port):
    """Subscribes, publishes once subscribed, and returns what arrives."""
    arrived = queue.Queue()
    client = new_client("compose-test")
    client.on_connect = lambda *_: client.subscribe("rpi/compose-test/event", qos=1)
    client.on_subscribe = lambda *_: client.publish("rpi/compose-test/event", b"\x00through\xff", qos=1)
    client.on_message = lambda _client, _data, message: arrived.put((message.topic, message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        return arrived.get(timeout=10)
    finally:
        client.disconnect()
        client.loop_stop()


def test(broker):
    wait_until_healthy(broker)
    assert round_trip(broker.port) == ("rpi/compose-test/event", b"\x00through\xff")
    user = broker.compose("exec", "-T", "broker", "id", "-u")
    assert user != "0", "the broker's container runs as root"
    owner = output("docker", "exec", broker.compose("ps", "-q", "broker"), "stat", "-c", "%u", "/proc/1")
    assert owner == user, f"the broker's process runs as user {owner}, its container as {user}"
    address = broker.inspect('{{(index (index .NetworkSettings.Ports "1883/tcp") 0).HostIp}}')
    assert address == "127.0.0.1", f"published on {address}"
    assert broker.inspect("{{.HostConfig.RestartPolicy.Name}}") == "unless-stopped"


def main():
    if not shutil.which("docker") or not succeeds("docker", "info"):
        print("skipped: no Docker engine")
        return SKIPPED
    with Broker() as broker:
        test(broker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
