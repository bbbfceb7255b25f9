"""Nobody is declared dead who was not in trouble, and no program ends by itself."""
import collections

AFTER_S = 4.5  # an end of trouble: up to 2 s of silence, a pause of 1.5 s before connecting again, the way there
BEFORE_S = 0.5  # the begin of trouble: rows are dated by another clock
OWN = ("kill", "restart", "freeze", "partition", "reset", "delay", "slow")
FULL_DISK_S = 3.0


def no_false_offline(e):
    """Each time that a device was declared offline it was in trouble itself, or its link was, or the broker. Trouble of
    the server is no excuse."""
    bad, facts = [], collections.Counter()
    for device, at_unix_ms, state, reason in e.rows("SELECT device, at_unix_ms, state, reason FROM liveness"):
        name, at = e.names[device], e.of_server_wall(at_unix_ms)
        if reason == "replaced":
            bad.append(f"{name}: clone alarm at {at - e.began:.1f} s, and there was no clone")
        if state != "offline" or not e.began <= at <= e.ended:
            continue
        facts[f"offline {reason}"] += 1
        near = e.troubles_of([name], OWN, at - AFTER_S, at + BEFORE_S) + \
            e.troubles_of(["broker"], ("kill", "restart", "freeze"), at - AFTER_S, at + BEFORE_S)
        ended = [line for line in e.exits
                 if line["target"] in (name, "broker") and -BEFORE_S <= at - line["t"] <= AFTER_S]
        if not near and not ended:
            bad.append(f"{name} was declared offline ({reason}) at {at - e.began:.1f} s, and nothing was wrong")
    return bad, facts


def all_are_back(e):
    """When everything is healed every device is online."""
    bad = [f"{device['id']} is {device['state']} {device['reason']} at the end" for device in e.devices
           if device["state"] != "online"]
    bad += [f"{device['id']} is still in fail-safe" for device in e.devices if device["fail_safe"]]
    missing = set(e.run["devices"]) - {device["id"] for device in e.devices}
    return bad + [f"{name} is not known" for name in sorted(missing)], {"devices": len(e.devices)}


def nothing_ends_by_itself(e):
    """A program that nobody ended runs on, unless its disk is full when it starts; one that is asked to stop stops."""
    bad, facts = [], collections.Counter()
    for line in e.exits:
        facts["ended by itself"] += 1
        if not e.troubles_of([line["target"]], ("full_disk",), line["t"] - FULL_DISK_S, line["t"]) or line["code"] < 0:
            bad.append(f"{line['target']} ended with {line['code']} at {line['t'] - e.began:.1f} s")
    for line in e.stopped:
        facts["asked to stop"] += 1
        if line["code"] != 0:
            bad.append(f"{line['target']}, asked to stop at {line['t'] - e.began:.1f} s: {line['code']}")
    return bad, facts
