#!/usr/bin/python3
"""Modbus units for tests, by pymodbus: an implementation that is not ours.

    pymodbus_server.py --tcp 127.0.0.1:0 --units 1,2,3
    pymodbus_server.py --rtu /dev/pts/7 --baud 19200 --units 1,2,3 --slow 3:500

Prints `ready PORT` or `ready PATH` when it serves; with both, one line for each, of the same units. Ends with its
standard input, and obeys what comes there in lines, each with `ok`:

    silent 3        unit 3 does not answer any more; answers 3: it does again, as it was
    clamp 3 40 500  holding register 40 of unit 3 takes no more than 500, and says nothing of it
    end 3 1000      unit 3 has nothing from address 1000 on

At first holding and input register A of unit U hold (U * 1000 + A) & 0xFFFF, coil and discrete input A hold
(U + A) % 2, for A from 0 to 65535; what is written stays until it ends. Units that it does not have are silent. A slow
unit thinks for so many milliseconds, and nothing else is served meanwhile. Unit 0 of a serial line is all of them,
without an answer; of TCP it is one as any.
"""
import argparse
import asyncio
import logging
import sys
import threading
import time

try:
    from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
    from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
    from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer
except ImportError:
    print("skipped: python3-pymodbus, with python3-serial and python3-serial-asyncio, is not installed")
    sys.exit(77)

ADDRESSES = range(65536)


class Unit(ModbusSlaveContext):
    def __init__(self, delay_s, **blocks):
        super().__init__(zero_mode=True, **blocks)
        self.delay_s = delay_s
        self.most = {}  # {holding register: the most that it takes}
        self.end = len(ADDRESSES)

    def validate(self, fc_as_hex, address, count=1):
        time.sleep(self.delay_s)
        return address + count <= self.end and super().validate(fc_as_hex, address, count)

    def setValues(self, fc_as_hex, address, values):  # pylint: disable=invalid-name
        if fc_as_hex in (6, 16):
            values = [min(value, self.most.get(address + number, value)) for number, value in enumerate(values)]
        super().setValues(fc_as_hex, address, values)


def make_unit(number, delay_ms):
    registers = [(number * 1000 + address) & 0xFFFF for address in ADDRESSES]
    bits = [bool((number + address) % 2) for address in ADDRESSES]
    return Unit(delay_ms / 1000,
                hr=ModbusSequentialDataBlock(0, registers), ir=ModbusSequentialDataBlock(0, registers),
                co=ModbusSequentialDataBlock(0, bits), di=ModbusSequentialDataBlock(0, bits))


def obey(context, units, line):
    word, *numbers = line.split()
    number, *rest = map(int, numbers)
    if word == "silent":
        del context[number]
    elif word == "answers":
        context[number] = units[number]
    elif word == "clamp":
        address, most = rest
        units[number].most[address] = most
    elif word == "end":
        units[number].end, = rest
    else:
        sys.exit(f"what is {line!r}?")
    print("ok", flush=True)


def follow_stdin(context, units):
    """Ends with it: a test that is killed leaves nothing behind."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(obey, context, units, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    return ended


async def serve_tcp(context, options):
    host, port = options.tcp.rsplit(":", 1)
    server = ModbusTcpServer(context, framer=ModbusSocketFramer, address=(host.strip("[]"), int(port)),
                             allow_reuse_address=True, ignore_missing_slaves=True)
    serving = asyncio.create_task(server.serve_forever())
    await server.serving
    return serving, server.server.sockets[0].getsockname()[1]


async def serve_rtu(context, options):
    server = ModbusSerialServer(context, framer=ModbusRtuFramer, port=options.rtu, baudrate=options.baud,
                                parity=options.parity, stopbits=options.stop_bits, ignore_missing_slaves=True,
                                broadcast_enable=True)
    await server.start()
    if server.transport is None:
        sys.exit(f"cannot open {options.rtu}")
    return asyncio.create_task(server.serve_forever()), options.rtu


async def serve(options):
    slow = dict(pair.split(":") for pair in options.slow)
    units = {number: make_unit(number, float(slow.get(str(number), 0)))
             for number in map(int, options.units.split(","))}
    context = ModbusServerContext(slaves=dict(units), single=False)
    waiting = [asyncio.create_task(follow_stdin(context, units).wait())]
    for is_wanted, start in ((options.tcp, serve_tcp), (options.rtu, serve_rtu)):
        if is_wanted:
            serving, where = await start(context, options)
            waiting.append(serving)
            print("ready", where, flush=True)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tcp", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--rtu", metavar="PATH")
    parser.add_argument("--baud", type=int, default=19200)
    parser.add_argument("--parity", choices="NEO", default="N", help="a pseudo terminal has none")
    parser.add_argument("--stop-bits", type=int, default=1)
    parser.add_argument("--units", default="1", metavar="N,N,...")
    parser.add_argument("--slow", action="append", default=[], metavar="UNIT:MS")
    options = parser.parse_args()
    if not (options.tcp or options.rtu):
        parser.error("--tcp or --rtu")
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
