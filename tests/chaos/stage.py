"""The real programs, each behind a bad link, with a wall clock of its own and on a small disk."""
import contextlib
import ctypes
import mmap
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from fleet_fixture import BUILD, Fleet, accepts, free_port, program, wait_until  # noqa: E402
from journal import Journal  # noqa: E402
from links import Network  # noqa: E402

WALL_OFFSET = BUILD / "chaos" / "wall_offset.so"
DISK_MIB = {"server": 96, "device": 12, "broker": 8}
ENTITIES = (1, 2, 3)
STARTS_AGAIN_S = 0.5  # after it ended by itself, as systemd would
STOP_PATIENCE_S = 10.0
NEW_MOUNTS = 0x00020000  # CLONE_NEWNS


def own_mounts():
    """From now on mounts are seen by this process and its children only, and go with them. False: not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.unshare(NEW_MOUNTS) == 0 and \
        subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False).returncode == 0


class Disk:
    """A directory on a small tmpfs. Full while `ballast` is there."""

    def __init__(self, directory, mib):
        directory.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "tmpfs", str(directory)], check=True)
        self.ballast = directory / "ballast"

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self):
        self.ballast.unlink(missing_ok=True)


class WallClock:
    def __init__(self, file):
        file.write_bytes(bytes(8))
        with open(file, "r+b") as opened:
            self.map = mmap.mmap(opened.fileno(), 8)
        self.environment = {"WALL_OFFSET_FILE": str(file), "LD_PRELOAD": str(WALL_OFFSET)}

    def set(self, seconds):
        self.map[:] = struct.pack("=q", int(seconds * 1_000_000_000))


class Stage(Fleet):
    """Targets: broker, server, each device, each controller. What ends unasked is written down and started again."""

    def __init__(self, directory, seed, devices, external, with_disks):
        super().__init__(directory)
        self.seed = seed
        self.faults = Journal(self.directory / "faults.jsonl")
        self.api_ports = {device: free_port() for device in devices}
        self.controllers = {f"controller-{device}": device for device in devices if device in external}
        self.roles = {"broker": "broker", "server": "server"} | dict.fromkeys(devices, "device") | \
            dict.fromkeys(self.controllers, "controller")
        self.broker_port, self.http_port = free_port(), free_port()
        self.network = Network(seed, lambda: self.broker_port)
        self.clocks, self.disks = {}, {}
        for name in ("server", *devices):
            self.network.add(name)
            self.clocks[name] = WallClock(self.directory / f"wall-{name}")
        if with_disks:
            for name in ("broker", "server", *devices):
                self.disks[name] = Disk(self.data(name), DISK_MIB[self.roles[name]])
        self.running = {}  # target: Program
        self.down = set(self.roles)
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.supervisor = threading.Thread(target=self.supervise, daemon=True)

    def data(self, target):
        return self.directory / {"broker": "broker/data", "server": "server"}.get(target, f"data-{target}")

    # ---- starting

    def launch(self, target):
        """Starts it, without waiting for more than that it runs."""
        with self.lock:
            self.running[target] = getattr(self, f"launch_{self.roles[target]}")(target)
            self.down.discard(target)

    def launch_broker(self, _):
        home = self.directory / "broker"
        if not (home / "conf.d").exists():
            return self.start_broker().broker
        mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        return self.start("broker", mosquitto, "-c", HERE.parents[1] / "mosquitto/mosquitto.conf", cwd=home)

    def launch_server(self, _):
        return self.start("server", program("fleet-server"), "--broker", self.link_url("server"), "--http",
                          f"127.0.0.1:{self.http_port}", "--data", self.data("server"),
                          env=self.clocks["server"].environment)

    def launch_device(self, device):
        driver = "external" if f"controller-{device}" in self.controllers else "simulated"
        return self.start(device, program("fleet-device"), "--id", device, "--broker", self.link_url(device), "--data",
                          self.data(device), "--entities", ",".join(map(str, ENTITIES)), "--driver", driver, "--http",
                          f"127.0.0.1:{self.api_ports[device]}", env=self.clocks[device].environment)

    def launch_controller(self, name):
        return self.start(name, sys.executable, HERE / "controller.py", self.api_ports[self.controllers[name]],
                          self.directory / f"{name}.jsonl", self.seed, *ENTITIES, env={"PYTHONDONTWRITEBYTECODE": "1"})

    def link_url(self, name):
        return f"tcp://127.0.0.1:{self.network.links[name].port}"

    def launch_all(self):
        for target in self.roles:
            self.launch(target)
        self.supervisor.start()
        self.devices = {name: self.running[name] for name, role in self.roles.items() if role == "device"}
        wait_until("the server answers", lambda: accepts(self.http_port))
        self.wait_states(dict.fromkeys(self.devices, "online"))

    def supervise(self):
        """On one thread that stays: a child ends with the thread that started it."""
        again = {}  # target: when
        while not self.closing.wait(0.05):
            with self.lock:
                ended = [name for name, started in self.running.items()
                         if name not in self.down and not started.running()]
                self.down.update(ended)
                for name in ended:
                    self.faults.write(what="exit", target=name, code=self.running[name].process.returncode)
                    again[name] = time.monotonic() + STARTS_AGAIN_S
                for name in [name for name, at in again.items() if at <= time.monotonic()]:
                    del again[name]
                    if name in self.down:
                        self.launch(name)

    # ---- faults

    def begin(self, fault):
        self.note(fault, "begin")
        getattr(self, f"begin_{fault.kind}")(fault)

    def end_fault(self, fault):
        getattr(self, f"end_{fault.kind}")(fault)
        self.note(fault, "end")

    def note(self, fault, phase):
        self.faults.write(what="fault", phase=phase, kind=fault.kind, target=fault.target, amount=fault.amount,
                          at_s=fault.at_s)

    def begin_kill(self, fault):
        with self.lock:
            self.down.add(fault.target)
            self.running[fault.target].kill()

    def end_kill(self, fault):
        with self.lock:
            if fault.target in self.down:
                self.launch(fault.target)

    def begin_restart(self, fault):
        with self.lock:
            self.down.add(fault.target)
            if self.running[fault.target].running():
                self.running[fault.target].send(signal.SIGTERM)

    def end_restart(self, fault):
        self.finish(fault.target)
        self.end_kill(fault)

    def finish(self, target):
        """It was asked to stop: what does not is a finding."""
        started = self.running[target]
        try:
            code = started.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            started.kill()
            code = "does not stop"
        self.faults.write(what="stopped", target=target, code=code)

    def begin_freeze(self, fault):
        self.signal(fault.target, signal.SIGSTOP)

    def end_freeze(self, fault):
        self.signal(fault.target, signal.SIGCONT)

    def signal(self, target, number):
        with self.lock:
            if self.running[target].running():
                self.running[target].send(number)

    def begin_partition(self, fault):
        self.network.links[fault.target].silent = True

    def begin_delay(self, fault):
        self.network.links[fault.target].delay_s = fault.amount

    def begin_slow(self, fault):
        self.network.links[fault.target].bytes_per_s = fault.amount

    def begin_double(self, fault):
        self.network.links[fault.target].doubled = fault.amount

    def end_link(self, fault):
        self.network.links[fault.target].heal()

    end_partition = end_delay = end_slow = end_double = end_link

    def begin_reset(self, fault):
        self.network.reset(fault.target)

    def end_reset(self, fault):
        """It is over at once."""

    def begin_clock(self, fault):
        self.clocks[fault.target].set(fault.amount)

    def end_clock(self, fault):
        self.clocks[fault.target].set(0.0)

    def begin_full_disk(self, fault):
        self.disks[fault.target].fill()

    def end_full_disk(self, fault):
        self.disks[fault.target].free()

    # ---- the end

    def stop_all(self):
        """Devices, then the server, then the rest, each asked and waited for."""
        with self.lock:
            self.down.update(self.roles)
        order = ("controller", "device", "server", "broker")
        for target in sorted(self.roles, key=lambda name: order.index(self.roles[name])):
            if self.roles[target] in ("device", "server"):
                self.running[target].send(signal.SIGTERM)
                self.finish(target)
            else:
                self.running[target].kill()
        self.closing.set()

    def end(self):
        self.closing.set()
        with self.lock:
            super().end()
        self.network.close()
