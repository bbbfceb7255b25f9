#!/usr/bin/python3
"""Checks the few rules of the design that a compiler does not: who may include whom, who asks the clock, and so on.

    tools/lint.py [FILE...]   without files: everything that git knows or would add

Prints FILE:LINE: RULE: what is wrong; exit code 1 when something is. A rule is a function that takes a Source and
yields (line number, message). There is no way to switch a rule off in a file: change the rule, or its table, here.
"""
import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LONGEST_FILE = 500
CHECKED = (".h", ".cc", ".proto", ".py", ".sh")

# Third-party headers, and the files that wrap them for everybody else.
WRAPPED = [
    (r"mqtt/|MQTTAsync|MQTTClient", ["common/paho_*.*", "tests/bench/*"]),
    (r"sqlite3\.h", ["common/sqlite.*"]),
    (r"httplib\.h", ["common/http_server.cc", "common/http_client.cc", "tools/fleetctl/*"]),
    (r"toml\+\+|toml\.h|CLI/", ["common/config.cc", "tools/fleetctl/*"]),
    (r"spdlog/|fmt/", ["common/logging.*"]),
    (r"prometheus/", ["common/metrics.*"]),
    (r"openssl/", ["common/signing.*"]),
    (r"linux/can", ["common/can/socketcan_*.*"]),
    (r"modbus\.h$|modbus-", ["device/modbus/libmodbus_bus.cc", "tests/bench/*"]),
    (r"nlohmann/|common/json_text", ["common/json_text.*", "common/modbus/modbus_json*.cc", "device/publish_request.cc",
                                           "device/summary_reporter.cc"]),
]

# What the files of a directory may not include; the first that fits counts.
LAYERS = [
    ("common/*", r"(server|device|tools|tests|examples)/"),
    ("server/*", r"(device|tools|tests|examples)/"),
    ("device/signals/*", r"(server|tools|tests|examples)/|device/(?!signals/|sample\.h$)"),
    ("device/can/*", r"(server|tools|tests|examples)/|device/(?!can/|signals/|sample\.h$)"),
    ("device/modbus/*", r"(server|tools|tests|examples)/|device/(?!modbus/|signals/|sample\.h$)"),
    ("device/nodes/*", r"(server|tools|tests|examples)/|device/(?!nodes/|sample\.h$)"),
    ("device/*", r"(server|tools|tests|examples)/"),
    ("tools/fleetctl/*", r"(server|device|tests|examples)/|common/sqlite"),
    ("tools/fleet_sim/*", r"(server|tests|examples)/|tools/fleetctl/"),
    ("examples/*", r"(server|tools|tests)/"),
]

CLOCKS = (r"\b(clock_gettime|gettimeofday|absl::Now|absl::GetCurrentTimeNanos)\b"
          r"|\b(system|steady|high_resolution)_clock::now\b")
MUTEXES = r"\b(std::(recursive_|timed_|shared_)*mutex|std::condition_variable\w*|absl::Mutex\w*|pthread_mutex_\w+)\b"
SLEEPS = r"\b(sleep|usleep|nanosleep|clock_nanosleep|sleep_for|sleep_until|SleepFor)\s*\("
CLASSES = r"\b(?:class|struct)\s+(?:[A-Z_]+(?:\([^)]*\))?\s+)?(\w+(?:Manager|Helper|Utils?|Impl|Base))\b"
CONDITION = r"TODO:? (when|once|if|after|until|as soon as)\b"


class Source:
    """A file as the rules see it: `raw` as it is, `code` with comments and the insides of strings blanked out."""

    def __init__(self, path, text):
        self.path = path
        self.raw = text.splitlines()
        self.cpp = path.endswith((".h", ".cc"))
        self.code = (blank(text) if self.cpp else text).splitlines()
        self.includes = [(number, match[1]) for number, line in enumerate(self.raw, 1)
                         if self.cpp and (match := re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line))]

    def fits(self, patterns):
        return any(fnmatch.fnmatch(self.path, pattern) for pattern in patterns)

    def matches(self, pattern):
        """The line number and the match of everything in the code of a C++ file that fits the pattern."""
        if self.cpp:
            for number, line in enumerate(self.code, 1):
                for match in re.finditer(pattern, line):
                    yield number, match


# Comments, raw strings, strings and characters; not the marks in 1'000'000.
TOKENS = re.compile(r"""//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|"""
                    r"""(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'""", re.S)


def blank(text):
    return TOKENS.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def clock(source):
    if source.path == "common/clock.cc":
        return
    for number, match in source.matches(CLOCKS):
        if not (source.path == "common/mutex.h" and match[0] == "steady_clock::now"):
            yield number, f"{match[0]}: only common/clock.cc asks the system; take the time as an argument"


def wrapped(source):
    for number, header in source.includes:
        for pattern, owners in WRAPPED:
            if re.match(pattern, header) and not source.fits(owners):
                yield number, f"{header} belongs to {owners[0]}"


def layer(source):
    for where, forbidden in LAYERS:
        if source.fits([where]):
            for number, header in source.includes:
                if re.match(forbidden, header):
                    yield number, f"{where[:-2]} may not include {header}"
            return


def mutex(source):
    if source.path != "common/mutex.h":
        for number, match in source.matches(MUTEXES):
            yield number, f"{match[0]}: use fleet::Mutex of common/mutex.h"


def sleep(source):
    if source.path.endswith("_test.cc"):
        for number, match in source.matches(SLEEPS):
            yield number, f"{match[1]} in a test: move the clock, or wait for the event itself"


def disabled(source):
    for number, _ in source.matches(r"\bDISABLED_\w+|\bGTEST_SKIP\(\)\s*;"):
        yield number, "a test that does not run: mend it, delete it, or say in GTEST_SKIP() why it cannot run here"


def pragma_once(source):
    if source.path.endswith(".h") and "#pragma once" not in source.raw:
        yield 1, "a header begins with #pragma once"


def class_name(source):
    for number, match in source.matches(CLASSES):
        yield number, f"{match[1]}: name it by the thing that it is"


def length(source):
    if len(source.raw) > LONGEST_FILE:
        yield LONGEST_FILE + 1, f"{len(source.raw)} lines; split it, {LONGEST_FILE} are enough for one thing"


def todo(source):
    if source.path.endswith((".h", ".cc", ".proto")):
        for number, line in enumerate(source.raw, 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line) and not re.search(CONDITION, line):
                yield number, "name the condition: TODO: when ..."


RULES = [clock, wrapped, layer, mutex, sleep, disabled, pragma_once, class_name, length, todo]


def findings(path, text):
    source = Source(path, text)
    return [f"{path}:{number}: {rule.__name__}: {message}" for rule in RULES for number, message in rule(source)]


def known_files():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                            check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return sorted(path for path in set(listed) if path.endswith(CHECKED) and (ROOT / path).is_file())


def main():
    paths = [str(pathlib.Path(name).resolve().relative_to(ROOT)) for name in sys.argv[1:]] or known_files()
    found = [line for path in paths for line in findings(path, (ROOT / path).read_text(encoding="utf-8"))]
    print("\n".join(found + [f"{len(paths)} files, {len(found)} findings"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
