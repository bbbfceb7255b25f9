#!/usr/bin/python3
"""Says whether a run kept the promises: checker.py DIRECTORY. Prints what is broken and writes result.json there; exit
code 1 when anything is. Knows the programs by what witnesses saw, HTTP answers, and the server's database only."""
import json
import pathlib
import sys

import checks_commands
import checks_liveness
import checks_streams
from evidence import Evidence

MOST_LINES = 20  # of one check
CHECKS = (
    checks_commands.accepted_commands_are_stored,
    checks_commands.commands_end,
    checks_commands.steps_make_sense,
    checks_commands.ends_are_true,
    checks_commands.no_start_twice,
    checks_commands.no_late_start,
    checks_commands.no_start_after_stop,
    checks_streams.receipted_is_stored_once,
    checks_streams.numbers_are_unique,
    checks_streams.told_is_stored_or_counted,
    checks_streams.ledger_balances,
    checks_liveness.no_false_offline,
    checks_liveness.all_are_back,
    checks_liveness.nothing_ends_by_itself,
)


def enough_was_seen(e, results):
    """A run in which nothing happened proves nothing."""
    seen = {"faults": len(e.troubles), "commands": len(e.commands),
            "starts": results["no_start_twice"]["facts"].get("starts", 0),
            "receipted events": results["receipted_is_stored_once"]["facts"]["receipted event"],
            "receipted samples": results["receipted_is_stored_once"]["facts"]["receipted telemetry"]}
    return [f"no {what} at all" for what, count in seen.items() if not count], seen


def check(directory):
    """{check: {"promise", "bad", "facts"}}"""
    evidence = Evidence(directory)
    results = {}
    for one in CHECKS:
        bad, facts = one(evidence)
        results[one.__name__] = {"promise": " ".join(one.__doc__.split()), "bad": bad, "facts": dict(facts)}
    bad, facts = enough_was_seen(evidence, results)
    results["enough_was_seen"] = {"promise": enough_was_seen.__doc__, "bad": bad, "facts": facts}
    return results


def main(directory):
    results = check(directory)
    (pathlib.Path(directory) / "result.json").write_text(json.dumps(results, indent=1))
    for name, result in results.items():
        facts = ", ".join(f"{count} {what}" for what, count in result["facts"].items())
        print(f"{'FAILED' if result['bad'] else 'ok    '} {name}: {facts}")
        for line in result["bad"][:MOST_LINES]:
            print(f"         {line}")
        if len(result["bad"]) > MOST_LINES:
            print(f"         and {len(result['bad']) - MOST_LINES} more")
    return 1 if any(result["bad"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
