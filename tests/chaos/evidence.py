"""Everything that is known of a run: what the witnesses wrote down, and the server's database. Read only; shares no
code with the programs. Times are the machine's monotonic seconds."""
import collections
import dataclasses
import json
import pathlib
import sqlite3
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import journal  # noqa: E402
import wire  # noqa: E402

SEGMENT, CANCEL = 4, 5  # command.kind
EVENT, TELEMETRY = 1, 2  # Stream of common.proto
HOLD = 4  # SegmentType of common.proto


@dataclasses.dataclass
class Trouble:
    """A fault as it really was."""
    kind: str
    target: str
    begin: float
    end: float
    amount: float = 0.0

    def overlaps(self, begin, end):
        return self.begin <= end and self.end >= begin


def varints(data):
    at, values = 0, []
    while at < len(data):
        value, at = wire.read_varint(data, at)
        values.append(value)
    return values


def groups(fields, number):
    return [value for key, value in fields if key == number]


def events_of(batch):
    """{(epoch, seq): (kind, name, detail)} of an EventBatch."""
    fields = wire.parse(batch)
    one = dict(fields)
    result = {}
    for index, event in enumerate(groups(fields, 3)):
        parts = dict(wire.parse(event))
        result[one[1], one[2] + index] = (parts.get(2, 0), parts.get(4, b"").decode(), parts.get(5, b"").decode())
    return result


def named_values(names, index, values):
    """[(signal, value)] of packed columns."""
    return list(zip((names[number] for number in varints(index)), struct.unpack(f"<{len(values) // 8}d", values),
                    strict=True))


def samples_of(batch):
    """{(epoch, seq): (signal, value)} of a TelemetryBatch."""
    fields = wire.parse(batch)
    one = dict(fields)
    samples = named_values([name.decode() for name in groups(fields, 4)], one[5], one[7])
    return {(one[1], one[2] + index): sample for index, sample in enumerate(samples)}


def block_samples(data, names):
    """[(signal, value)] of a TelemetryBlock; `names` of the numbers of signals."""
    one = dict(wire.parse(data))
    return named_values([names.get(number, "") for number in varints(one[1])], one[2], one[4])


def receipt_ranges(receipt):
    """[(stream, epoch, first, last)]"""
    return [tuple(dict(wire.parse(part)).get(number, 0) for number in (1, 2, 3, 4))
            for part in groups(wire.parse(receipt), 1)]


def command_of(frame):
    """{field: value} of the Command in a CommandFrame."""
    return dict(wire.parse(dict(wire.parse(frame)).get(1, b"")))


def is_hold(segment):
    return dict(wire.parse(segment)).get(8) == HOLD


def updates_of(report):
    """[(command, state)] of a CommandReport."""
    return [(parts.get(1, 0), parts.get(2, 0))
            for parts in (dict(wire.parse(part)) for part in groups(wire.parse(report), 2))]


def stored_numbers(ranges):
    """(numbers that are stored, {reason: numbers dropped}) of a StreamRanges."""
    fields = wire.parse(ranges)
    ends = varints(b"".join(groups(fields, 1)))
    stored = {number for first, last in zip(ends[::2], ends[1::2]) for number in range(first, last + 1)}
    dropped = collections.Counter()
    for part in groups(fields, 2):
        one = dict(wire.parse(part))
        dropped[one.get(1, 0)] += one[3] - one[2] + 1
    return stored, dropped


class Evidence:
    """In a directory: run.json, faults.jsonl, load.jsonl, feed.jsonl, witness.jsonl, controller-DEVICE.jsonl,
    ledger.json, devices.json, server/fleet.db."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.run = json.loads((self.directory / "run.json").read_text())
        self.began, self.healed, self.ended = self.run["began"], self.run["healed"], self.run["ended"]
        lines = self.lines("faults")
        self.troubles = self.pair([line for line in lines if line["what"] == "fault"])
        self.exits = [line for line in lines if line["what"] == "exit"]
        self.stopped = [line for line in lines if line["what"] == "stopped"]
        self.load, self.feed = self.lines("load"), self.lines("feed")
        self.heard = [line | {"payload": bytes.fromhex(line["payload"])} for line in self.lines("witness")]
        self.controllers = {device: self.lines(f"controller-{device}") for device in self.run["external"]}
        self.ledger = json.loads((self.directory / "ledger.json").read_text())["devices"]
        self.devices = json.loads((self.directory / "devices.json").read_text())["devices"]
        self.database = sqlite3.connect(f"file:{self.directory / 'server/fleet.db'}?mode=ro", uri=True)
        self.names = dict(self.rows("SELECT device, id FROM device"))
        self.signals = dict(self.rows("SELECT number, name FROM signal"))
        self.commands = {row[0]: dict(zip(("id", "device", "kind", "body", "ttl_ms", "ended"), row)) for row in
                         self.rows("SELECT id, device, kind, body, ttl_ms, ended FROM command")}
        self.steps = collections.defaultdict(list)  # command: [(state, reason)]
        for command, state, reason in self.rows("SELECT command, state, reason FROM command_step "
                                                "ORDER BY command, number"):
            self.steps[command].append((state, reason))

    def lines(self, name):
        return journal.read(self.directory / f"{name}.jsonl")

    def rows(self, sql, *values):
        return self.database.execute(sql, values).fetchall()

    def pair(self, lines):
        """Begins and ends as troubles. What has no end went on until everything was healed."""
        open_, troubles = {}, []
        for line in lines:
            key = line["kind"], line["target"], line["at_s"]
            if line["phase"] == "begin":
                open_[key] = trouble = Trouble(line["kind"], line["target"], line["t"], self.healed, line["amount"])
                troubles.append(trouble)
            elif key in open_:
                open_.pop(key).end = line["t"]
        return troubles

    def troubles_of(self, targets, kinds, begin, end):
        return [trouble for trouble in self.troubles
                if trouble.target in targets and trouble.kind in kinds and trouble.overlaps(begin, end)]

    def messages(self, last_level):
        """(time, device, payload) of what was heard on server/DEVICE/last_level or rpi/DEVICE/last_level."""
        for line in self.heard:
            _, device, rest = line["topic"].split("/", 2)
            if rest == last_level:
                yield line["t"], device, line["payload"]

    def first_starts(self, device):
        """The first time that the controller of the device was told each command."""
        starts = {}
        for line in self.controllers[device]:
            if line["what"] == "start":
                starts.setdefault(line["command"], line)
        return starts

    def of_server_wall(self, unix_ms):
        """The monotonic time of what the server dated, whose wall clock was moved by up to an hour."""
        plain = unix_ms / 1000 - self.run["wall_minus_mono"]
        for trouble in self.troubles:
            if trouble.kind == "clock" and trouble.target == "server" and \
                    trouble.begin - 1 <= plain - trouble.amount <= trouble.end + 1:
                return plain - trouble.amount
        return plain
