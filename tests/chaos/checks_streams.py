"""What the server said it has it has, once; nothing is lost without being counted."""
import collections

from evidence import EVENT, TELEMETRY, block_samples, events_of, receipt_ranges, samples_of, stored_numbers

MEMORY_S = {"event": 2.0, "telemetry": 10.0}  # how long it may be only in an agent's memory while nothing is wrong


def stored_events(e):
    """{(device, epoch, seq): [(kind, name, detail), ...]}"""
    stored = collections.defaultdict(list)
    for device, epoch, seq, *event in e.rows("SELECT device, epoch, seq, kind, name, detail FROM event"):
        stored[e.names[device], epoch, seq].append(tuple(event))
    return stored


def stored_samples(e):
    """{(device, epoch, seq): [(signal, value), ...]}"""
    stored = collections.defaultdict(list)
    rows = e.rows("SELECT device, epoch, first_seq, samples, data FROM telemetry")
    for device, epoch, first, count, data in rows:
        samples = block_samples(data, e.signals)
        for index in range(max(count, len(samples))):
            sample = samples[index] if index < len(samples) else ("", None)
            stored[e.names[device], epoch, first + index].append(sample)
    return stored


def receipted_is_stored_once(e):
    """Every number that a receipt names is stored exactly once, as it was sent."""
    bad, facts = [], collections.Counter()
    for stream, stored, decode, topic in ((EVENT, stored_events(e), events_of, "event"),
                                          (TELEMETRY, stored_samples(e), samples_of, "telemetry")):
        receipted = {(device, epoch, seq) for _, device, payload in e.messages("receipt")
                     for kind, epoch, first, last in receipt_ranges(payload) if kind == stream
                     for seq in range(first, last + 1)}
        facts[f"receipted {topic}"] = len(receipted)
        bad += [f"{topic} {key} has a receipt and is stored {len(stored.get(key, ()))} times"
                for key in sorted(receipted) if len(stored.get(key, ())) != 1]
        for _, device, payload in e.messages(topic):
            for (epoch, seq), sent in decode(payload).items():
                there = stored.get((device, epoch, seq))
                if there and there[0] != sent:
                    bad.append(f"{topic} {(device, epoch, seq)} was sent as {sent} and is stored as {there[0]}")
    return bad, facts


def numbers_are_unique(e):
    """No (device, epoch, number) is stored twice, and nothing that was told once is."""
    bad, facts = [], collections.Counter()
    for topic, stored in (("event", stored_events(e)), ("telemetry", stored_samples(e))):
        facts[f"stored {topic}"] = sum(map(len, stored.values()))
        bad += [f"{topic} {key} is stored {len(rows)} times" for key, rows in sorted(stored.items()) if len(rows) > 1]
        told = collections.Counter((key[0], rows[0][1]) for key, rows in stored.items())  # names and values
        bad += [f"{topic} {what} of {device} is stored {count} times" for (device, what), count in told.items()
                if what != "" and count > 1]
    return bad, facts


def told_is_stored_or_counted(e):
    """What an agent has taken is stored, unless that agent was killed before it can have written it down."""
    bad, facts = [], collections.Counter()
    names = {(key[0], row[1]) for key, rows in stored_events(e).items() for row in rows}
    values = {(key[0], value) for key, rows in stored_samples(e).items() for _, value in rows}
    for line in e.feed:
        if not 200 <= line["status"] < 300:
            continue
        if line["what"] == "event":
            missing = [] if (line["device"], line["name"]) in names else [line["name"]]
        else:
            first, last = line["values"]
            missing = [value for value in range(first, last + 1) if (line["device"], float(value)) not in values]
        facts[f"taken {line['what']} requests"] += 1
        facts[f"lost {line['what']} records"] += len(missing)
        if missing and not may_be_lost(e, line):
            bad.append(f"{line['device']}: {line['what']} {missing} was taken and is nowhere")
    return bad, facts


def may_be_lost(e, line):
    """Whether the agent died soon after it took it, or before its full disk could take it."""
    device, taken = line["device"], line["t"]
    deaths = [trouble.begin for trouble in e.troubles if trouble.target == device and
              trouble.kind in ("kill", "restart") and trouble.begin >= line["t0"]]
    for death in sorted(deaths):
        held_up = e.troubles_of([device], ("full_disk", "freeze"), taken, death)
        killed = any(trouble.begin == death and trouble.kind == "kill" for trouble in e.troubles)
        if held_up or killed and death - taken < MEMORY_S[line["what"]]:
            return True
    return False


def ledger_balances(e):
    """Per device and stream sent = stored + dropped, nothing is on its way any more, and the server's figures are those
    that its database gives when counted anew."""
    bad, facts = [], collections.Counter()
    rows = {"event": collections.Counter(key[0] for key, found in stored_events(e).items() for _ in found),
            "telemetry": collections.Counter(key[0] for key, found in stored_samples(e).items() for _ in found)}
    seen = {device["device_id"] for device in e.ledger}
    bad += [f"{device} is not in the ledger" for device in e.run["devices"] if device not in seen]
    for device in e.ledger:
        for line in device["streams"]:
            who = f"{device['device_id']} {line['stream']}"
            facts[f"{line['stream']} sent"] += int(line["sent"])
            facts[f"{line['stream']} stored"] += int(line["stored"])
            for drop in line["drops"]:
                facts[f"{line['stream']} dropped: {drop['reason']}"] += int(drop["count"])
            if not line["balanced"] or line["complaint"]:
                bad.append(f"{who}: {line['complaint'] or 'not balanced'}")
            if line["sent"] != line["stored"] + line["dropped"] + line["in_flight"]:
                bad.append(f"{who}: sent is not stored + dropped + in flight: {line}")
            if line["in_flight"]:
                bad.append(f"{who}: {line['in_flight']} are still in flight")
            if line["dropped"] != sum(drop["count"] for drop in line["drops"]):
                bad.append(f"{who}: {line['dropped']} dropped, but the reasons give another sum")
            if line["stored"] != rows[line["stream"]][device["device_id"]]:
                there = rows[line["stream"]][device["device_id"]]
                bad.append(f"{who}: {line['stored']} stored, but there are {there}")
    return bad + books_are_true(e), facts


def books_are_true(e):
    """The numbers that an open account calls stored are those of the rows, and made = stored + dropped."""
    bad = []
    stored = {EVENT: stored_events(e), TELEMETRY: stored_samples(e)}
    by_epoch = {stream: collections.defaultdict(set) for stream in stored}
    for stream, found in stored.items():
        for device, epoch, seq in found:
            by_epoch[stream][device, epoch].add(seq)
    for device, stream, epoch, made, ranges in e.rows("SELECT device, stream, epoch, made, ranges FROM stream_account"):
        who = f"account of {e.names[device]}, stream {stream}, epoch {epoch}"
        numbers, dropped = stored_numbers(ranges)
        if numbers != by_epoch[stream][e.names[device], epoch]:
            bad.append(f"{who}: calls other numbers stored than there are")
        if len(numbers) + sum(dropped.values()) != made:
            bad.append(f"{who}: {made} made are not {len(numbers)} stored and {sum(dropped.values())} dropped")
    return bad
