"""A serial wire that keeps a record of its bytes, and a judge of what was said on it."""
import collections
import dataclasses
import time
from typing import NamedTuple

from pymodbus.utilities import checkCRC

from fleet_fixture import BUILD, wait_until

CHARACTER_BITS = 11  # 8E1
SILENT_CHARACTERS = 3.5  # between two frames: Modbus over serial line V1.02, 2.5.1.1
DEVICE, SLAVE = "d", "s"
AT_REST_S = 0.3
ROUNDING_S = 1e-6  # moments are sums of fractions: those that are meant to be equal are not quite


class Byte(NamedTuple):
    start_s: float  # of time.monotonic()
    side: str
    value: int
    late_s: float = 0.0  # how long after its end the other side was given it


@dataclasses.dataclass
class Frame:
    start_s: float
    end_s: float
    side: str
    data: bytes

    @property
    def unit(self):
        return self.data[0]

    def is_whole(self):
        return len(self.data) >= 4 and checkCRC(self.data[:-2], int.from_bytes(self.data[-2:], "big"))


@dataclasses.dataclass
class Verdict:
    frames: list = dataclasses.field(default_factory=list)
    collisions: list = dataclasses.field(default_factory=list)  # frames that began while the other side spoke
    too_close: list = dataclasses.field(default_factory=list)   # frames that did not wait for silence
    broken: list = dataclasses.field(default_factory=list)      # frames that are none: torn, or run into the next one
    asked: collections.Counter = dataclasses.field(default_factory=collections.Counter)     # {unit: requests}
    answered: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # {unit: answers}
    late_p99_s: float = 0.0  # how late the wire itself handed bytes over
    late_max_s: float = 0.0


def frames_of(record, character_s):
    """Bytes of one side without a silence between them are one frame."""
    frames, last_of = [], {}
    for byte in sorted(record):
        last = last_of.get(byte.side)
        if last and byte.start_s - last.end_s < SILENT_CHARACTERS * character_s - ROUNDING_S:
            last.data += bytes([byte.value])
            last.end_s = byte.start_s + character_s
        else:
            last_of[byte.side] = Frame(byte.start_s, byte.start_s + character_s, byte.side, bytes([byte.value]))
            frames.append(last_of[byte.side])
    return frames


def judge(record, character_s):
    """`record`: bytes in any order."""
    late = sorted(byte.late_s for byte in record) or [0.0]
    verdict = Verdict(frames_of(record, character_s), late_p99_s=late[int(0.99 * len(late))], late_max_s=late[-1])
    spoken_until = {DEVICE: 0.0, SLAVE: 0.0}
    for frame in verdict.frames:
        other = spoken_until[SLAVE if frame.side == DEVICE else DEVICE]
        if frame.start_s < other - ROUNDING_S:
            verdict.collisions.append(frame)
        elif frame.start_s < other + SILENT_CHARACTERS * character_s - ROUNDING_S:
            verdict.too_close.append(frame)
        if not frame.is_whole():
            verdict.broken.append(frame)
        (verdict.asked if frame.side == DEVICE else verdict.answered)[frame.unit] += 1
        spoken_until[frame.side] = max(spoken_until[frame.side], frame.end_s)
    return verdict


class SerialLine:
    """The program serial_line between two terminals: `device` and `slave` are their paths. Started once more it is
    another adapter with the same name, as after unplugging."""

    def __init__(self, fleet, name="line", baud=19200):
        self.fleet, self.name = fleet, name
        self.baud = baud  # 0: no pace
        self.device = fleet.directory / f"{name}-device"
        self.slave = fleet.directory / f"{name}-slave"
        self.character_s = CHARACTER_BITS / baud if baud else 0.0
        self.plug_in()

    def plug_in(self):
        self.program = self.fleet.start(self.name, BUILD / "tests" / "serial_line", self.device, self.slave, self.baud,
                                        CHARACTER_BITS)
        self.program.wait_log("ready\n")

    def unplug(self):
        """The terminals hang up and their names are gone, as the kernel has it with a USB adapter."""
        self.program.kill()
        self.device.unlink()
        self.slave.unlink()

    def record(self):
        """The bytes since it was plugged in; written whenever nothing is on the wire."""
        lines = self.program.log().rpartition("\n")[0].partition("ready")[2].splitlines()
        return [Byte(int(start) / 1e9, side, int(value, 16), int(late) / 1e9)
                for start, side, value, late in (line.split() for line in lines if line)]

    def judge(self):
        """All that has been said, when nobody speaks any more. What no slave took is no fault of who said it."""
        wait_until("the wire is at rest", lambda: all(
            byte.start_s < time.monotonic() - AT_REST_S for byte in self.record()[-1:]))
        return self.judge_so_far()

    def judge_so_far(self):
        """The last frame may not be whole yet."""
        return judge(self.record(), self.character_s)
