"""A machine of vm.py that is told step by step what to do, by a test on this host."""
import pathlib
import shlex
import socket
import sys

from fleet_fixture import wait_until

HERE = pathlib.Path(__file__).resolve().parent
LIFE_S = 250  # whatever hangs
ANSWER_S = 30  # the machine is slow, and this host may be busy


class Machine:
    """Runs shell commands one after the other; `out` is the directory that both sides see."""

    def __init__(self, fleet):
        self.out = fleet.directory / "vm"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.vm = fleet.start("machine", sys.executable, HERE / "vm.py", "--timeout", LIFE_S, "--out", self.out,
                                  "/bin/bash", HERE / "obey.sh",
                                  env={"FLEET_VM_PORT": str(server.getsockname()[1])}, cwd=HERE)
            server.settimeout(0)
            self.line = wait_until("the machine has booted", lambda: self.accept(server), LIFE_S)
        self.line.settimeout(ANSWER_S)
        self.answers = self.line.makefile("r")

    def accept(self, server):
        if not self.vm.running():
            print(self.vm.log(), end="", flush=True)
            sys.exit(self.vm.process.returncode or 1)
        try:
            return server.accept()[0]
        except BlockingIOError:
            return None

    def run(self, command, fails=False):
        """What the command, of one line, said; AssertionError when it fails, or does not and should."""
        self.line.sendall(command.encode() + b"\n")
        code = int(self.answers.readline())
        said = (self.out / "said").read_text(errors="replace")
        assert (code != 0) == fails, f"in the machine: {command}: ended with {code}\n{said}"
        return said

    def start(self, name, *command):
        """In the background, with its log beside those of this host; its process id there."""
        log = self.out.parent / f"{name}.log"
        log.symlink_to(self.out / log.name)
        (self.out / log.name).touch()
        return int(self.run(f"{shlex.join(map(str, command))} >>$FLEET_VM_OUT/{log.name} 2>&1 & echo $!"))

    def record(self, count, *buses):
        """candump of the next `count` frames, from now on; recorded() has them."""
        self.run(f"record {count} {' '.join(buses)}")

    def recorded(self):
        self.run("recorded")
        return (self.out / "recorded").read_text().splitlines()
