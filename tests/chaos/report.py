"""The runs as tables of a document."""
import collections
import json
import re

from evidence import Evidence

BEGIN, END = "<!-- chaos: begin, written by tools/chaos.sh --report -->", "<!-- chaos: end -->"


def summary(directory):
    """What is told of one run."""
    evidence = Evidence(directory)
    result = json.loads((evidence.directory / "result.json").read_text())
    return {"seed": evidence.run["seed"], "minutes": evidence.run["minutes"], "settle_s": evidence.run["settle_s"],
            "faults": collections.Counter(trouble.kind for trouble in evidence.troubles), "checks": result}


def row(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def grid(head, lines):
    return "\n".join([row(head), row("---" for _ in head), *map(row, lines)])


def total(results, check, fact):
    return sum(result["checks"][check]["facts"].get(fact, 0) for result in results)


def summed(results, check):
    facts = collections.Counter()
    for result in results:
        facts.update({what: count for what, count in result["checks"][check]["facts"].items() if count})
    return ", ".join(f"{count} {what}" for what, count in facts.most_common())


def runs(results):
    def line(result):
        one = [result]
        bad = sum(len(check["bad"]) for check in result["checks"].values())
        return (result["seed"], f"{result['minutes']:g}", sum(result["faults"].values()),
                sum(result["checks"]["commands_end"]["facts"].values()), total(one, "no_start_twice", "starts"),
                total(one, "numbers_are_unique", "stored event"), total(one, "numbers_are_unique", "stored telemetry"),
                sum(total(one, "ledger_balances", f"{stream} dropped: crash") for stream in ("event", "telemetry")),
                result["settle_s"], "passed" if not bad else f"**{bad} findings**")
    return grid(("seed", "minutes", "faults", "commands", "starts at controllers", "events stored", "samples stored",
                 "lost in crashes", "quiet after, s", "result"), map(line, results))


def table(results):
    if not results:
        return "no run came to its end"
    faults = collections.Counter()
    for result in results:
        faults.update(result["faults"])
    checks = [(name, check["promise"], summed(results, name),
               sum(len(result["checks"][name]["bad"]) for result in results))
              for name, check in results[0]["checks"].items()]
    return "\n\n".join([
        runs(results),
        "Faults: " + ", ".join(f"{count} {kind}" for kind, count in faults.most_common()) + ".",
        "Commands by end state: " + summed(results, "commands_end") + ".",
        grid(("check", "promise", "seen", "findings"), checks)])


def put(document, results):
    text = document.read_text()
    between = f"{BEGIN}\n\n{table(results)}\n\n{END}"
    changed, found = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: between, text, flags=re.S)
    if found != 1:
        raise ValueError(f"{document} has not exactly one pair of markers")
    document.write_text(changed)
