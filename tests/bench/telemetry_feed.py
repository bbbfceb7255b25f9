"""The telemetry that the benchmarks feed a device: 20 signals at 1 Hz and one at 10 Hz, and what the server stored of it."""
import collections
import contextlib
import http.client
import json
import sqlite3
import struct
import sys

from programs import BUILD, ROOT, Process, free_port

sys.path.insert(0, str(ROOT / "tests" / "integration"))
import wire  # noqa: E402

SLOW_SIGNALS = 20
SAMPLES_PER_S = SLOW_SIGNALS + 10
ARGUMENTS = ("--entities", "1", "--state-rate-hz", "10")


def samples_of_second(start_unix_ms, second):
    """What one second makes, as [(signal, unix ms, value)], each different from every other."""
    at = start_unix_ms + 1000 * second
    slow = [(f"engine/slow{number}", at, float(second)) for number in range(SLOW_SIGNALS)]
    return slow + [("engine/fast", at + 100 * tenth, second + tenth / 10) for tenth in range(10)]


class Device(Process):
    """A fleet-device with a local API."""

    def __init__(self, directory, broker_url, *more):
        self.port = free_port()
        self.data = f"{directory}/device-data"
        super().__init__(directory, "fleet-device", BUILD / "bin" / "fleet-device", "--id", "feed", "--broker",
                         broker_url, "--data", self.data, "--http", f"127.0.0.1:{self.port}", *ARGUMENTS, *more)

    def post(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, (answer.status, text)

    def answers(self):
        self.check_runs()
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
            connection.request("GET", "/health")
            return connection.getresponse().status > 0
        return False

    def feed(self, samples):
        self.post("/telemetry", {"samples": [{"signal": signal, "at_unix_ms": at, "value": value}
                                             for signal, at, value in samples]})

    def spooled(self):
        """Telemetry records on its disk."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/spool.db?mode=ro", uri=True, timeout=5)) as database:
            return database.execute("SELECT coalesce(sum(records), 0) FROM batch WHERE stream = 2").fetchone()[0]

    def written_bytes(self):
        """Bytes that it has caused to be written to the disk."""
        with open(f"/proc/{self.popen.pid}/io") as io:
            return int(dict(line.split(": ") for line in io)["write_bytes"])


def varints(data):
    at, values = 0, []
    while at < len(data):
        value, at = wire.read_varint(data, at)
        values.append(value)
    return values


def decode_block(data, at, names):
    """A TelemetryBlock as [(signal, unix ms, value)]; `names` of the numbers of signals."""
    columns = collections.defaultdict(bytes)
    for number, field in wire.parse(data):
        columns[number] += field
    signals, index = varints(columns[1]), varints(columns[2])
    after = [value >> 1 ^ -(value & 1) for value in varints(columns[3])]
    values = struct.unpack(f"<{len(columns[4]) // 8}d", columns[4])
    samples = []
    for signal, delta, value in zip(index, after, values, strict=True):
        at += delta
        samples.append((names[signals[signal]], at, value))
    return samples


def stored_samples(database_file):
    """Every sample in the server's database, as often as it is there."""
    with contextlib.closing(sqlite3.connect(f"file:{database_file}?mode=ro", uri=True, timeout=10)) as database:
        names = dict(database.execute("SELECT number, name FROM signal"))
        blocks = database.execute("SELECT data, first_unix_ms FROM telemetry ORDER BY block")
        return [sample for data, at in blocks for sample in decode_block(data, at, names)]


def stored_count(database_file):
    with contextlib.closing(sqlite3.connect(f"file:{database_file}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute("SELECT coalesce(sum(samples), 0) FROM telemetry").fetchone()[0]
