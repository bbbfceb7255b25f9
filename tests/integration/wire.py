"""Just enough of protobuf's wire format to speak and read the messages of proto/fleet/v1 without our own code."""

PROTOCOL = 15  # field number of the version in every message that travels alone


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(fields):
    """{number: int or bytes, ...} as bytes, in that order."""
    out = b""
    for number, value in fields.items():
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def parse(data):
    """[(number, int or bytes), ...] of a message of varints and length-delimited fields, which all of ours are."""
    fields, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        fields.append((key >> 3, value))
    return fields


def heartbeat(epoch, seq, sent_unix_ms=1_700_000_000_000, **more):
    fields = {1: epoch, 2: seq, 3: sent_unix_ms}
    if "protocol" in more:
        fields[PROTOCOL] = more["protocol"]
    return message(fields)


ONLINE, OFFLINE, LOST = 1, 2, 3  # Presence


def status(presence, epoch, started_unix_ms, fail_safe=False):
    return message({1: presence, 2: epoch, 3: started_unix_ms, 4: b"by hand", 6: int(fail_safe)})


def state_report(epoch, seq, entity_ids):
    """Of entities that stand at 0,0."""
    return message({1: epoch, 2: seq}) + b"".join(message({4: message({1: entity_id})}) for entity_id in entity_ids)


def sequence(payload):
    """(epoch, seq) of a heartbeat or a state report."""
    fields = dict(parse(payload))
    return fields[1], fields[2]


def block_sequences(samples):
    """(epoch, seq) of each report in a StateBlock, the column state_history.samples."""
    return [sequence(dict(parse(sample))[2]) for _, sample in parse(samples)]
