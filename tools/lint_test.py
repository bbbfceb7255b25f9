#!/usr/bin/python3
"""Each rule of lint.py catches what it is for, and nothing beside it."""
import unittest

import lint

HEADER = "#pragma once\n"

# rule, path, text that it must find something in, line of the finding
BAD = [
    ("clock", "server/liveness.cc", "int a;\nauto now = absl::Now();\n", 2),
    ("clock", "common/clock.h", HEADER + "timespec t; clock_gettime(0, &t);\n", 2),
    ("clock", "device/agent.cc", "auto t = std::chrono::steady_clock::now();\n", 1),
    ("clock", "common/mutex.h", HEADER + "auto t = std::chrono::system_clock::now();\n", 2),
    ("wrapped", "server/app.cc", "\n#include <mqtt/async_client.h>\n", 2),
    ("wrapped", "device/app.cc", "#include <MQTTAsync.h>\n", 1),
    ("wrapped", "common/mqtt_link.h", HEADER + "#include <mqtt/message.h>\n", 2),
    ("wrapped", "server/store.cc", "#include <sqlite3.h>\n", 1),
    ("wrapped", "server/api.cc", '#include "httplib.h"\n', 1),
    ("wrapped", "server/main.cc", "#include <toml++/toml.h>\n", 1),
    ("wrapped", "device/main.cc", "#include <CLI/CLI.hpp>\n", 1),
    ("wrapped", "server/app.cc", '#include "spdlog/spdlog.h"\n', 1),
    ("wrapped", "tests/sim/sim_test.cc", "#include <mqtt/client.h>\n", 1),
    ("layer", "server/app.cc", '#include "device/agent.h"\n', 1),
    ("layer", "device/app.cc", '#include "server/events.h"\n', 1),
    ("layer", "common/topics.cc", '#include "server/events.h"\n', 1),
    ("layer", "common/testing/fake_clock.h", HEADER + '#include "device/agent.h"\n', 2),
    ("layer", "device/can/bus.cc", '#include "device/agent.h"\n', 1),
    ("layer", "tools/fleetctl/verbs.cc", '#include "common/sqlite.h"\n', 1),
    ("layer", "tools/fleetctl/verbs.cc", '#include "server/events.h"\n', 1),
    ("mutex", "server/api.cc", "std::mutex mu;\n", 1),
    ("mutex", "server/api.cc", "absl::MutexLock lock(&mu);\n", 1),
    ("mutex", "common/clock.cc", "std::recursive_mutex mu;\n", 1),
    ("sleep", "server/liveness_test.cc", "std::this_thread::sleep_for(1s);\n", 1),
    ("sleep", "common/backoff_test.cc", "  usleep(10);\n", 1),
    ("disabled", "common/backoff_test.cc", "TEST(Backoff, DISABLED_Doubles) {}\n", 1),
    ("disabled", "common/backoff_test.cc", "  GTEST_SKIP();\n", 1),
    ("pragma_once", "server/events.h", "namespace fleet {}\n", 1),
    ("class_name", "server/events.cc", "class EventManager {\n", 1),
    ("class_name", "server/events.cc", "struct ABSL_LOCKABLE StoreImpl {\n", 1),
    ("class_name", "server/events.cc", "class TimeUtil;\n", 1),
    ("length", "server/events.cc", "int a;\n" * 501, 501),
    ("length", "tests/integration/fleet_test.py", "a = 1\n" * 501, 501),
    ("todo", "server/events.cc", "// TODO: nicer\n", 1),
    ("todo", "proto/fleet/v1/api.proto", "// TODO(anna): split\n", 1),
    ("todo", "server/events.cc", "int a;  // FIXME\n", 1),
]

# path, text in which no rule may find anything
GOOD = [
    ("common/clock.cc", "timespec t; clock_gettime(0, &t);\n"),
    ("common/mutex.h", HEADER + "#include <mutex>\nstd::mutex mu_; auto t = std::chrono::steady_clock::now();\n"),
    ("server/liveness.cc", "// Never absl::Now() here, nor std::mutex.\nauto s = \"absl::Now() DISABLED_X\";\n"),
    ("server/liveness_test.cc", "/* sleep(1)\n sleep(2) */ int a;\n"),
    ("server/liveness.cc", 'auto s = R"(std::mutex\n)"; char c = \'"\'; auto n = 1\'000\'000; auto t = "//";\n'),
    ("server/liveness.cc", "MonoTime now = loop.now(); absl::Duration d = absl::Seconds(1);\n"),
    ("common/paho_link.cc", "#include <mqtt/async_client.h>\n"),
    ("common/paho_options.h", HEADER + "#include <mqtt/async_client.h>\n"),
    ("tests/bench/ingest_bench.cc", "#include <mqtt/async_client.h>\n"),
    ("common/sqlite.h", HEADER + "#include <sqlite3.h>\n"),
    ("tools/fleetctl/client.cc", '#include <httplib.h>\n#include <CLI/CLI.hpp>\n#include "common/ids.h"\n'),
    ("common/logging.h", HEADER + '#include "spdlog/spdlog.h"\n'),
    ("device/agent.cc", '#include "device/can/bus.h"\n#include "common/ids.h"\n#include "fleet/v1/common.pb.h"\n'),
    ("device/can/bus.cc", '#include "device/can/frame.h"\n#include "common/clock.h"\n'),
    ("tools/fleet_sim/main.cc", '#include "device/agent.h"\n'),
    ("tests/sim/fleet_test.cc", '#include "device/agent.h"\n#include "server/fleet_state.h"\n'),
    ("server/pump.cc", "sleep(1);\n"),
    ("common/backoff_test.cc", "TEST(Backoff, SleepsLonger) { EXPECT_EQ(sleep_ms, 1); }\n"),
    ("tests/integration/link_test.cc", 'GTEST_SKIP() << "no mosquitto";\n'),
    ("server/events.cc", "class Basement {};\nstruct Implied {};\nclass Database {};\n"),
    ("server/events.cc", "int a;\n" * 500),
    ("server/events.cc", "// TODO: when Debian 13 is the oldest, drop this.\n"),
]


class LintTest(unittest.TestCase):
    def test_each_bad_sample_is_found_by_its_rule_at_its_line(self):
        for rule, path, text, line in BAD:
            with self.subTest(rule=rule, path=path, text=text[:60]):
                found = [finding.split(": ")[:2] for finding in lint.findings(path, text)]
                self.assertEqual(found, [[f"{path}:{line}", rule]])

    def test_no_rule_finds_anything_in_a_good_sample(self):
        for path, text in GOOD:
            with self.subTest(path=path, text=text[:60]):
                self.assertEqual(lint.findings(path, text), [])

    def test_every_rule_has_a_bad_sample(self):
        self.assertEqual({rule.__name__ for rule in lint.RULES}, {sample[0] for sample in BAD})


if __name__ == "__main__":
    unittest.main()
