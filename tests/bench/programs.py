"""What the benchmarks start and measure: a real mosquitto with the project's configuration, our programs, and what
/proc says of them. Everything lives in one temporary directory and ends with its `with`."""
import argparse
import contextlib
import getpass
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build" / "release"))
SKIPPED = 77  # SKIP_RETURN_CODE of the tests in CMake
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, timeout_s=START_TIMEOUT_S):
    """The first true value of condition()."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise TimeoutError(f"{what}: not within {timeout_s} s")


class Process:
    """A program that runs until the end of the `with`. Its log is printed when the benchmark fails."""

    def __init__(self, directory, name, *command, cwd=None, ask=False):
        self.name = name
        self.log = pathlib.Path(directory) / f"{name}.log"
        pipe = subprocess.PIPE if ask else subprocess.DEVNULL
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen([str(c) for c in command], stdin=pipe, stderr=log, cwd=cwd,
                                          stdout=subprocess.PIPE if ask else log, text=True)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        self.stop()
        if error is not None:
            print(f"--- log of {self.name}:\n{self.log.read_text(errors='replace')[-4000:]}", file=sys.stderr)

    def check_runs(self):
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.popen.returncode}")
        return True

    def stop(self):
        """A clean stop; the exit code."""
        if self.popen.poll() is None:
            self.ask_to_stop()
            try:
                self.popen.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()

    def ask_to_stop(self):
        self.popen.send_signal(signal.SIGTERM)

    def ask(self):
        """The count of a process that answers lines of its standard input."""
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return int(self.popen.stdout.readline())

    def cpu_s(self):
        """User and system time of all its threads, so far."""
        fields = pathlib.Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mb(self, key):
        """VmRSS: now; VmHWM: the most it ever was. MB of 10^6 bytes."""
        status = pathlib.Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M)[1]) * 1024 / 1e6


class Broker(Process):
    def __init__(self, directory):
        executable = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if executable is None:
            print("skipped: mosquitto is not installed")
            sys.exit(SKIPPED)
        self.port = free_port()
        self.url = f"tcp://127.0.0.1:{self.port}"
        home = pathlib.Path(directory) / "broker"
        (home / "conf.d").mkdir(parents=True)
        (home / "data").mkdir()
        listener = (ROOT / "mosquitto" / "listener.conf").read_text()
        listener = re.sub(r"^listener .*", f"listener {self.port} 127.0.0.1", listener, flags=re.M)
        (home / "conf.d" / "listener.conf").write_text(f"{listener}\nuser {getpass.getuser()}\n")
        super().__init__(directory, "mosquitto", executable, "-c", ROOT / "mosquitto" / "mosquitto.conf", cwd=home)
        wait_until("mosquitto accepts connections", self.accepts)

    def accepts(self):
        self.check_runs()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Server(Process):
    def __init__(self, directory, broker_url, *arguments):
        self.data = pathlib.Path(directory) / "server-data"
        super().__init__(directory, "fleet-server", BUILD / "bin" / "fleet-server", "--broker", broker_url, "--http",
                         "127.0.0.1:0", "--data", self.data, *arguments)
        self.url = f"http://127.0.0.1:{wait_until('fleet-server is ready', self.http_port)}"
        wait_until("fleet-server is connected", lambda: self.metrics()["fleet_broker_connected"] == 1)

    def http_port(self):
        self.check_runs()
        found = re.search(r"http_port=(\d+)", self.log.read_text())
        return found and int(found[1])

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return answer.read().decode()

    def metrics(self):
        """Every metric by its name and labels as printed."""
        lines = (line.rpartition(" ") for line in self.get("/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    @property
    def database(self):
        return self.data / "fleet.db"


@contextlib.contextmanager
def scratch():
    """A temporary directory for all that a benchmark starts."""
    # On the disk, not in memory: the server's writes are part of what is measured.
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as directory:
        yield directory


def allow_files(count):
    """One socket for each agent, in the broker and in the simulator."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def parse_arguments(doc, **defaults):
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a limit is missed")
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"default {default}")
    return parser.parse_args()


def limit(value, at_least=None, at_most=None):
    """One figure beside its limit."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    bounds = {"at_least": at_least, "at_most": at_most}
    return {"value": value, **{k: v for k, v in bounds.items() if v is not None}, "met": met}


def report(figures, limits, check):
    """Prints the line; the exit code."""
    met = all(one["met"] for one in limits.values())
    print(json.dumps({**figures, "cores": os.cpu_count(), "limits": limits, "met": met}))
    return 1 if check and not met else 0
