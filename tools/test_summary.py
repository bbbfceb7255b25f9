#!/usr/bin/python3
"""Says which tests of a JUnit report by ctest failed or were skipped and why, and ends with a line of counts."""
import sys
import xml.etree.ElementTree


def outcome(case):
    """ctest says "notrun" of a test that it could not start, too; one that was skipped says SKIP_RETURN_CODE or so."""
    if case.get("status") == "run":
        return "passed"
    skipped = case.find("skipped")
    if skipped is not None and "SKIP" in skipped.get("message", ""):
        return "skipped"
    return "failed"


def reason(case):
    lines = [line for line in (case.findtext("system-out") or "").splitlines() if line.startswith("skipped:")]
    return lines[-1] if lines else "skipped: it does not say why"


def main():
    names = {"passed": [], "failed": [], "skipped": []}
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        result = outcome(case)
        names[result].append(case.get("name"))
        if result == "skipped":
            print(f"{case.get('name')}: {reason(case)}")
    if names["failed"]:
        print("failed: " + " ".join(names["failed"]))
    print(", ".join(f"{len(names[result])} {result}" for result in ("passed", "failed", "skipped")))
    return 1 if names["failed"] or not names["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
