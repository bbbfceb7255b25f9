"""What the witnesses write down: one JSON object per line, with `t`, the monotonic time of this machine in seconds."""
import json
import os
import time


class Journal:
    """Each line is one write, so that a writer that is killed leaves whole lines."""

    def __init__(self, file):
        self.file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, **fields):
        fields.setdefault("t", time.monotonic())
        os.write(self.file, json.dumps(fields).encode() + b"\n")


def read(file):
    """Its lines; none when it is not there. A last line that was cut off is left out."""
    if not os.path.exists(file):
        return []
    with open(file, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]
