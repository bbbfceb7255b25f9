#!/usr/bin/python3
"""Writes what cantools makes of frames, for frame_decoder_test.cc to compare with.

    decode_with_cantools.py FILE.dbc >FILE.txt      frames of its own choice, the same each time

One line per frame: the frame as candump writes it, then SIGNAL=VALUE of all its signals, labels not applied. Every
message gets frames at random, all ones, and a single one at the start; of multiplexers every value is tried. cantools is
no package of Debian 12; `pip install cantools` brings it.
"""
import random
import sys

import cantools.database

PER_MESSAGE = 6


def multiplexed(message, data):
    """`data` with low values in all multiplexers, so that they mean something."""
    for signal in message.signals:
        if signal.is_multiplexer:
            keep = (1 << signal.length) - 1 << signal.start
            bits = int.from_bytes(data, "little") & ~keep | random.randrange(12) << signal.start & keep
            data = bits.to_bytes(len(data), "little")
    return data


def frames(message):
    size = message.length
    if message.protocol != "j1939":
        yield b"\xff" * size
    yield b"\x80" + bytes(size - 1)
    for _ in range(PER_MESSAGE * (3 if message.is_multiplexed() else 1)):
        data = bytes(random.randrange(256) for _ in range(size))
        if message.protocol == "j1939":  # cantools gives numbers even for "not available"
            data = bytes(byte % 0xFA for byte in data)
        yield multiplexed(message, data)


def main():
    random.seed(4)
    database = cantools.database.load_file(sys.argv[1], strict=False)
    for message in database.messages:
        name = f"{message.frame_id:08X}" if message.is_extended_frame else f"{message.frame_id:03X}"
        for data in frames(message):
            try:
                values = message.decode(data, decode_choices=False)
            except cantools.database.DecodeError:
                continue  # it wants every value of a multiplexer to have signals
            mark = "##0" if len(data) > 8 else "#"
            print(name + mark + data.hex().upper(), *(f"{signal}={float(value)!r}" for signal, value in values.items()))


if __name__ == "__main__":
    main()
