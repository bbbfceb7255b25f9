"""No command runs twice, none late, each has an end."""
import collections

from evidence import CANCEL, SEGMENT, command_of, is_hold, updates_of

QUEUED, SENT, RECEIVED, ACCEPTED, RUNNING, UNKNOWN = 1, 2, 3, 4, 5, 12
ENDS = {6: "done", 7: "rejected", 8: "failed", 9: "expired", 10: "superseded", 11: "cancelled"}
WORDS = ENDS | {QUEUED: "queued", SENT: "sent", RECEIVED: "received", ACCEPTED: "accepted", RUNNING: "running",
                UNKNOWN: "unknown"}
CANCEL_DEVICE, CANCEL_STOP = b"\x18", b"\x20"  # how these Cancels begin on the wire
NEED_REASON = ("rejected", "failed", "expired", "cancelled")
SLACK_S = 0.1        # between the end of a time to live and a start seen by another process
AFTER_THAW_S = 1.0   # who was frozen catches up
UNWRITTEN_S = 1.0    # a cancel is answered before it is on the disk
UNDISTURBED_S = 1.5  # in which a beat, one a second, arrives as fast as it can
HELD_UP = ("partition", "delay", "slow", "reset")
NOT_RUNNING = ("freeze", "kill", "restart")


def accepted_commands_are_stored(e):
    """Every command that was answered with 201 is in the database, for its device; so are cancels with an answer."""
    bad, facts = [], collections.Counter()
    for line in e.load:
        if line["what"] in ("reconcile", "stop_device", "stop_all"):  # a stop does not wait for the disk
            continue
        for id_ in line["ids"]:
            facts["accepted"] += 1
            stored = e.commands.get(id_)
            if stored and line["what"] != "cancel_command" and e.names[stored["device"]] != line["device"]:
                bad.append(f"command {id_} for {line['device']} is stored for {e.names[stored['device']]}")
            if not stored and line["what"] == "segment":
                bad.append(f"command {id_} was answered with {line['status']} and is not stored")
            elif not stored:
                facts["cancels lost with the server"] += 1
                around = line["t"] - UNWRITTEN_S, line["t"] + UNWRITTEN_S
                if not e.troubles_of(["server"], ("kill", "full_disk"), *around):
                    bad.append(f"cancel {id_} was answered with {line['status']} and is not stored")
    return bad, facts


def commands_end(e):
    """After everything is healed each command has an end, or is unknown for good with a reason."""
    bad, facts = [], collections.Counter()
    for id_ in e.commands:
        state, reason = e.steps[id_][-1] if e.steps[id_] else (0, "")
        facts[WORDS.get(state, f"state {state}")] += 1
        if state == UNKNOWN:
            if reason != "memory_lost":
                bad.append(f"command {id_} is still unknown, {reason or 'without a reason'}, though its device is back")
        elif state not in ENDS:
            bad.append(f"command {id_} never ended: {WORDS.get(state, 'no step')}")
    return bad, facts


def steps_make_sense(e):
    """A command begins to run at most once (it may be found running after it was unknown), nothing follows its end, and
    a refusal has a reason."""
    bad, facts = [], collections.Counter()
    for id_, steps in e.steps.items():
        states = [state for state, _ in steps]
        facts["steps"] += len(steps)
        begun = [place for place, state in enumerate(states) if state == RUNNING and states[place - 1] != UNKNOWN]
        if len(begun) > 1:
            bad.append(f"command {id_} began to run {len(begun)} times")
        ended = [place for place, state in enumerate(states) if state in ENDS]
        if ended and ended[0] != len(states) - 1:
            bad.append(f"command {id_} went on after its end: {[WORDS.get(state, state) for state in states]}")
        for state, reason in steps:
            if ENDS.get(state) in NEED_REASON and not reason:
                bad.append(f"command {id_} is {ENDS[state]} without a reason")
    return bad, facts


def ends_are_true(e):
    """What a controller was told to start did not end as if it had never run, and what is done was told to one; but a
    hold is done when its time is over, whatever the controller does."""
    bad, facts = [], collections.Counter()
    devices = {device: number for number, device in e.names.items()}
    for device in e.controllers:
        starts = e.first_starts(device)
        for id_, command in e.commands.items():
            if command["device"] != devices.get(device) or command["kind"] != SEGMENT or not e.steps[id_]:
                continue
            state, reason = e.steps[id_][-1]
            facts["judged"] += 1
            if id_ in starts and ENDS.get(state) in ("rejected", "expired"):
                bad.append(f"{device}: command {id_} was started and is {ENDS[state]} ({reason})")
            if id_ not in starts and ENDS.get(state) == "done" and not is_hold(command["body"]):
                bad.append(f"{device}: command {id_} is done and was never started")
    return bad, facts


def no_start_twice(e):
    """A controller is told a command once. A reader that comes again hears of it again, but only in the same life of
    the agent and only until it has ended."""
    bad, facts = [], collections.Counter()
    for device in e.controllers:
        begun, over = {}, {}
        for line in e.controllers[device]:
            id_ = line.get("command")
            if line["what"] == "stop" or line["what"] == "result" and line["status"] == 204:
                over.setdefault(id_, line)
            elif line["what"] == "start":
                facts["starts" if id_ not in begun else "told again to a new reader"] += 1
                before = begun.setdefault(id_, line)
                if before is line:
                    continue
                if line["connection"] == before["connection"]:
                    bad.append(f"{device}: command {id_} started twice on one connection")
                elif line["epoch"] != before["epoch"]:
                    bad.append(f"{device}: command {id_} started in epoch {before['epoch']}, again in {line['epoch']}")
                elif id_ in over:
                    bad.append(f"{device}: command {id_} started again after its end ({over[id_]['what']})")
                begun[id_] = line
    return bad, facts


def issue_times(e):
    """{command: when it had been issued at the latest}"""
    times = {}
    for line in e.load:
        if line["what"] == "segment":
            times.update({id_: line["t"] for id_ in line["ids"]})
    for at, _, frame in e.messages("segment"):
        id_ = command_of(frame).get(1, 0)
        times[id_] = min(at, times.get(id_, at))
    return times


def excuse(e, device, expiry, seen):
    """Why a start was seen after the expiry although it was in time, or None."""
    held = e.troubles_of([device, f"controller-{device}"], NOT_RUNNING, expiry - SLACK_S, expiry + SLACK_S) + \
        e.troubles_of([device, f"controller-{device}"], NOT_RUNNING, expiry, seen)
    if any(seen <= trouble.end + AFTER_THAW_S for trouble in held):
        return "frozen or down"
    return None if has_measured_clock(e, device, seen) else "clock not measured yet"


def has_measured_clock(e, device, at):
    """Whether a beat can have come through undisturbed since the device or the server started: a device knows the
    server's time as well as the fastest beat of this server came through."""
    starts = [trouble.end for trouble in e.troubles if trouble.kind in ("kill", "restart") and trouble.end <= at and
              trouble.target in (device, "server")] + [line["t"] for line in e.exits if line["t"] <= at and
                                                       line["target"] in (device, "server")]
    since = max(starts, default=e.began)
    disturbed = sorted((trouble.begin, trouble.end) for trouble in e.troubles if
                       trouble.overlaps(since, at) and trouble.end > since and
                       (trouble.target in (device, "server") and trouble.kind in HELD_UP + NOT_RUNNING or
                        trouble.target == "broker" and trouble.kind in NOT_RUNNING))
    calm_since = since
    for begin, end in disturbed:
        if begin - calm_since >= UNDISTURBED_S:
            return True
        calm_since = max(calm_since, end)
    return at - calm_since >= UNDISTURBED_S


def no_late_start(e):
    """No controller is told to start a command after its time to live, counted from when the command was answered, or
    from when its frame was first seen on the broker, whichever is earlier."""
    bad, facts = [], collections.Counter()
    issued = issue_times(e)
    for device in e.controllers:
        for id_, line in e.first_starts(device).items():
            if id_ not in issued or id_ not in e.commands:
                facts["not judged"] += 1
                continue
            facts["judged"] += 1
            expiry = issued[id_] + e.commands[id_]["ttl_ms"] / 1000
            late = line["t"] - expiry
            if late <= SLACK_S:
                continue
            why = excuse(e, device, expiry, line["t"])
            facts[f"late, excused: {why}" if why else "late"] += 1
            if not why:
                bad.append(f"{device}: command {id_} started {late * 1000:.0f} ms after its expiry")
    return bad, facts


def no_start_after_stop(e):
    """Once a device has said that a stop is done, nothing that was commanded before it starts there."""
    bad, facts = [], collections.Counter()
    stops = {id_ for id_, command in e.commands.items()
             if command["kind"] == CANCEL and command["body"][:1] in (CANCEL_DEVICE, CANCEL_STOP)}
    for device in e.controllers:
        starts = e.first_starts(device)
        for at, sender, report in e.messages("command/ack"):
            for id_, state in updates_of(report) if sender == device else ():
                if id_ not in stops or state != 6:
                    continue
                facts["stops and cancels of a device"] += 1
                for started, line in starts.items():
                    if started < id_ and line["t"] > at + SLACK_S and \
                            not e.troubles_of([f"controller-{device}"], NOT_RUNNING, at - AFTER_THAW_S, line["t"]):
                        bad.append(f"{device}: command {started} started {line['t'] - at:.3f} s after stop {id_}")
    return bad, facts
