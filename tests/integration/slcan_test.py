#!/usr/bin/python3
"""Our slcan against python-can's, over a pseudo terminal, in both roles.

Ours is slcan_peer, which says in lines what happens on its bus. python-can's slcan is the program that opens our
terminal; as it has no adapter's side, its reading and writing of frames is put to the other end of the line for that.
"""
import fcntl
import os
import pathlib
import select
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty
import unittest

try:
    import can
    from can.interfaces.slcan import slcanBus
except ImportError as error:
    print(f"skipped: {error}; apt-get install python3-can")
    sys.exit(77)

from fleet_fixture import BUILD, wait_until

# As candump writes them, and python-can's slcan has them on the wire.
FRAMES = {
    "123#": can.Message(arbitration_id=0x123, is_extended_id=False),
    "7FF#0011223344556677": can.Message(arbitration_id=0x7FF, is_extended_id=False, data=bytes.fromhex("0011223344556677")),
    "00000123#FF": can.Message(arbitration_id=0x123, is_extended_id=True, data=b"\xff"),
    "1FFFFFFF#AABBCC": can.Message(arbitration_id=0x1FFFFFFF, is_extended_id=True, data=b"\xaa\xbb\xcc"),
    "123#R": can.Message(arbitration_id=0x123, is_extended_id=False, is_remote_frame=True),
    "18DAF110#R8": can.Message(arbitration_id=0x18DAF110, is_extended_id=True, is_remote_frame=True, dlc=8),
} | {f"456#{'5A' * size}": can.Message(arbitration_id=0x456, is_extended_id=False, data=b"\x5a" * size)
     for size in range(9)}

# Lawicel's, which python-can shares except for S7.
BITRATES = {10000: "S0", 20000: "S1", 50000: "S2", 100000: "S3", 125000: "S4", 250000: "S5", 500000: "S6",
            1000000: "S8"}


def parts(message):
    return (message.arbitration_id, message.is_extended_id, message.is_remote_frame, message.dlc, bytes(message.data))


class Peer:
    """A slcan_peer, and what it has said."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(BUILD / "tests/slcan_peer"), *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def says(self, beginning, count=1):
        """The lines that begin so, at least `count`."""
        def found():
            assert self.process.poll() is None, f"slcan_peer ended after {self.lines}"
            lines = [line for line in self.lines if line.startswith(beginning)]
            return lines if len(lines) >= count else None
        return wait_until(f"{beginning!r} {count} times in {self.lines[-10:]}", found)

    def tell(self, line):
        self.process.stdin.write(line + "\n")

    def answer(self, line, beginning):
        """What it says to `line`."""
        before = sum(said.startswith(beginning) for said in self.lines)
        self.tell(line)
        return self.says(beginning, before + 1)[-1]

    def malformed(self):
        return int(self.answer("report", "report ").split()[1])

    def frames(self, count):
        """The texts of the frames that it has read, at least `count`."""
        return [line.split()[2] for line in self.says("(", count)]

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(15)
        self.reader.join()
        self.process.stdout.close()
        return code


class SlcanTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.link = pathlib.Path(directory.name) / "tty"

    def peer(self, *arguments):
        peer = Peer(*arguments)
        self.addCleanup(peer.end)
        return peer


class PythonIsTheProgram(SlcanTest):
    def setUp(self):
        super().setUp()
        self.ours = self.peer(f"slcan-pty:{self.link}")
        wait_until("the link is there", self.link.is_symlink)

    def open(self, bitrate=500000):
        theirs = can.Bus(interface="slcan", channel=str(self.link), bitrate=bitrate, sleep_after_open=0)
        self.addCleanup(theirs.serialPortOrig.close)
        return theirs

    def receive(self, theirs):
        """The next frame, past the answers to commands, which python-can hands out as nothing."""
        return wait_until("a frame arrives", lambda: theirs.recv(0.1))

    def test_the_bus_is_up_while_python_has_it_open(self):
        theirs = self.open()
        self.ours.says("up")
        theirs.shutdown()
        self.assertIn("no program has opened", self.ours.says("down ")[0])

    def test_frames_of_all_kinds_arrive_as_they_were_sent(self):
        theirs = self.open()
        self.ours.says("up")
        for count, (text, message) in enumerate(FRAMES.items(), 1):
            with self.subTest(text):
                theirs.send(message)
                self.assertEqual(self.ours.frames(count)[-1], text)
                self.assertEqual(self.ours.answer(text, "sent"), f"sent {text}")
                self.assertEqual(parts(self.receive(theirs)), parts(message))
        self.assertEqual(self.ours.malformed(), 0)

    def test_a_thousand_frames_keep_their_order(self):
        theirs = self.open()
        for number in range(1000):
            theirs.send(can.Message(arbitration_id=number, is_extended_id=False))
        self.assertEqual(self.ours.frames(1000), [f"{number:03X}#" for number in range(1000)])

    def test_every_bit_rate_is_accepted_and_no_other(self):
        for bitrate in BITRATES:
            self.open(bitrate).shutdown()
        self.assertEqual(self.ours.malformed(), 0)
        self.open(83300).shutdown()  # S9, which Lawicel has not
        wait_until("it is refused", lambda: self.ours.malformed() == 1)

    def test_it_says_who_it_is(self):
        theirs = self.open()
        self.assertEqual(theirs.get_version(15), (10, 13))
        self.assertEqual(theirs.get_serial_number(15), "FLT1")

    def test_a_program_that_listens_only_cannot_send(self):
        theirs = self.open()
        theirs.close()
        theirs._write("L")  # python-can has no name for it
        theirs.send(FRAMES["123#"])
        theirs.get_version(15)  # answered after the frame was refused
        self.assertEqual([line for line in self.ours.lines if line.startswith("(")], [])
        self.ours.answer("7FF#01", "sent")
        self.assertEqual(self.receive(theirs).arbitration_id, 0x7FF)

    def test_stamps_are_no_data(self):
        theirs = self.open()
        theirs.close()
        theirs._write("Z1")
        theirs.open()
        theirs.get_version(15)
        self.ours.answer("123#AABB", "sent")
        self.assertEqual(bytes(self.receive(theirs).data), b"\xaa\xbb")

    def test_garbage_is_counted_and_what_follows_is_heard(self):
        theirs = self.open()
        theirs.serialPortOrig.write(b"\x00\xff\r" + b"x" * 5000 + b"\rt12\rT123456789\r")
        theirs.send(FRAMES["123#"])
        self.assertEqual(self.ours.frames(1), ["123#"])
        self.assertEqual(self.ours.malformed(), 4)

    def test_a_program_that_dies_makes_room_for_the_next(self):
        theirs = self.open()
        self.ours.says("up")
        theirs.serialPortOrig.write(b"t12")
        theirs.serialPortOrig.close()
        self.ours.says("down ")
        self.assertIn("UNAVAILABLE", self.ours.answer("123#", "refused"))
        theirs = self.open()
        self.ours.says("up", 2)
        theirs.send(FRAMES["123#"])
        self.assertEqual(self.ours.frames(1), ["123#"])
        self.assertEqual(self.ours.malformed(), 0)

    def test_fd_frames_are_refused(self):
        self.open()
        self.ours.says("up")
        self.assertIn("INVALID_ARGUMENT", self.ours.answer("123##100112233445566778899AABB", "refused"))


class Line:
    """What slcanBus uses of a serial.Serial, at the adapter's end of a pseudo terminal."""

    timeout = write_timeout = None

    def __init__(self, link):
        self.fd, program = os.openpty()
        tty.setraw(program)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(program))
        self.program = program  # so that the line is not gone before it is opened

    @property
    def in_waiting(self):
        return struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, b"\0" * 4))[0]

    def read(self):
        return os.read(self.fd, 1) if select.select([self.fd], [], [], self.timeout)[0] else b""

    def write(self, data):
        os.write(self.fd, data)

    def flush(self):
        pass

    def close(self):
        os.close(self.program)
        os.close(self.fd)


class Adapter(slcanBus):
    """The adapter's side of slcan around python-can's way to read and write frames."""

    def __init__(self, link, no_to=()):
        self.serialPortOrig = Line(link)
        self._buffer = bytearray()
        self.no_to = no_to
        self.commands = []
        self.frames = []
        self.stopping = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.stopping:
            message, _ = self._recv_internal(0.05)
            if message:
                self.frames.append(message)

    def _read(self, timeout):
        line = super()._read(timeout)
        if line is None:
            return None
        if line[0] in "tTrR":
            self.serialPortOrig.write(b"z\r" if line[0] in "tr" else b"Z\r")
        elif line != "\r":
            command = line[:-1]
            self.commands.append(command)
            self.serialPortOrig.write(b"\a" if command in self.no_to else b"\r")
        return line

    def unplug(self):
        self.stopping = True
        self.thread.join()
        self.serialPortOrig.close()


class PythonIsTheAdapter(SlcanTest):
    def plug_in(self, **options):
        theirs = Adapter(self.link, **options)
        self.addCleanup(lambda: theirs.stopping or theirs.unplug())
        return theirs

    def test_it_is_set_up_as_it_was_asked_for(self):
        for bitrate, command in (BITRATES | {800000: "S7"}).items():
            with self.subTest(bitrate):
                theirs = self.plug_in()
                ours = Peer(f"slcan:{self.link}", bitrate)
                ours.says("up")
                self.assertEqual(theirs.commands, ["C", command, "O"])
                self.assertEqual(ours.end(), 0)
                wait_until("it is closed", lambda commands=theirs.commands: commands[-1] == "C")
                theirs.unplug()

    def test_a_bit_rate_that_slcan_has_not_is_refused_at_once(self):
        answer = subprocess.run([str(BUILD / "tests/slcan_peer"), f"slcan:{self.link}", "83300"], capture_output=True,
                                text=True, timeout=15, check=False)
        self.assertEqual(answer.returncode, 2)
        self.assertIn("83300", answer.stderr)

    def test_frames_of_all_kinds_arrive_as_they_were_sent(self):
        theirs = self.plug_in()
        ours = self.peer(f"slcan:{self.link}")
        ours.says("up")
        for count, (text, message) in enumerate(FRAMES.items(), 1):
            with self.subTest(text):
                theirs.send(message)
                self.assertEqual(ours.frames(count)[-1], text)
                self.assertEqual(ours.answer(text, "sent"), f"sent {text}")
                wait_until("it arrives", lambda count=count: len(theirs.frames) == count)
                self.assertEqual(parts(theirs.frames[-1]), parts(message))
        self.assertEqual(ours.answer("report", "report"), "report 0 0")

    def test_frames_have_the_time_of_now(self):
        theirs = self.plug_in()
        ours = self.peer(f"slcan:{self.link}")
        ours.says("up")
        before = time.time()
        theirs.send(FRAMES["123#"])
        stamp = float(ours.says("(")[0].split()[0].strip("()"))
        self.assertTrue(before - 0.001 <= stamp <= time.time(), stamp)

    def test_listen_only_never_sends(self):
        theirs = self.plug_in()
        ours = self.peer(f"slcan:{self.link}", 500000, "listen")
        ours.says("up")
        self.assertEqual(theirs.commands, ["C", "S6", "L"])
        self.assertIn("FAILED_PRECONDITION", ours.answer("123#", "refused"))
        theirs.send(FRAMES["123#"])
        self.assertEqual(ours.frames(1), ["123#"])
        self.assertEqual(theirs.frames, [])

    def test_an_adapter_that_cannot_only_listen_is_left_alone(self):
        theirs = self.plug_in(no_to=["L"])
        ours = self.peer(f"slcan:{self.link}", 500000, "listen")
        wait_until("it is tried twice", lambda: theirs.commands.count("L") == 2)
        self.assertNotIn("O", theirs.commands)
        self.assertNotIn("up", ours.lines)

    def test_garbage_is_counted_and_what_follows_is_heard(self):
        theirs = self.plug_in()
        ours = self.peer(f"slcan:{self.link}")
        ours.says("up")
        theirs.serialPortOrig.write(b"\x00\xff\r" + b"x" * 1000 + b"\rt12\rT123456789\r")
        theirs.send(FRAMES["123#"])
        self.assertEqual(ours.frames(1), ["123#"])
        self.assertEqual(ours.malformed(), 4)

    def test_an_adapter_that_is_unplugged_is_missed_and_comes_back(self):
        theirs = self.plug_in()
        ours = self.peer(f"slcan:{self.link}", 250000)
        ours.says("up")
        theirs.serialPortOrig.write(b"t12")
        theirs.unplug()
        self.assertIn("unplugged", ours.says("down ")[0])
        self.assertIn("UNAVAILABLE", ours.answer("123#", "refused"))
        theirs = self.plug_in()
        ours.says("up", 2)
        self.assertEqual(theirs.commands, ["C", "S5", "O"])
        theirs.send(FRAMES["123#"])
        self.assertEqual(ours.frames(1), ["123#"])
        self.assertEqual(ours.malformed(), 0)


if __name__ == "__main__":
    unittest.main()
