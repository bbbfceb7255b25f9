"""Bad networks: a TCP proxy between a program and the broker that is silent, breaks, is late, is slow, or doubles."""
import asyncio
import contextlib
import random
import socket
import struct
import threading
import time

LONGEST_LAG_S = 3.0  # of a copy behind its original
QUEUE_PACKETS = 2000  # then the sender feels it
POLL_S = 0.02
PUBLISH = 3
RESET = struct.pack("ii", 1, 0)  # linger for 0 s: closing sends RST


def read_length(data, at=1):
    """(MQTT's remaining length, where the body begins), or None while bytes are missing."""
    length = shift = 0
    while at < len(data) and shift < 28:
        length |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return length, at + 1
        at, shift = at + 1, shift + 7
    return None


def split(buffer):
    """Takes the whole MQTT packets from the begin of the bytearray."""
    packets = []
    while (found := read_length(buffer)) and len(buffer) >= sum(found):
        packets.append(bytes(buffer[:sum(found)]))
        del buffer[:sum(found)]
    return packets


def topic_of(packet):
    """Of a PUBLISH, else None; empty when an alias stands for it."""
    if packet[0] >> 4 != PUBLISH:
        return None
    _, at = read_length(packet)
    length = int.from_bytes(packet[at:at + 2], "big")
    return packet[at + 2:at + 2 + length].decode(errors="replace")


def remaining_length(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def copy_of(packet):
    """The same PUBLISH once more. At QoS 0, whatever the original has: both ends may then take it as another message,
    with no packet id to agree on. Properties stay as they are. None: not to be doubled."""
    topic = topic_of(packet)
    if not topic:
        return None
    _, at = read_length(packet)
    rest = at + 2 + len(topic.encode())
    payload = rest + (2 if packet[0] >> 1 & 3 else 0)  # behind the packet id
    body = packet[at:rest] + packet[payload:]
    return bytes([PUBLISH << 4 | packet[0] & 1]) + remaining_length(len(body)) + body


class Link:
    """The path of one program. The runner sets what is wrong with it; the proxy's thread reads that."""

    def __init__(self, name, seed):
        self.name = name
        self.random = random.Random(f"{seed} {name}")
        self.port = None
        self.silent = False
        self.delay_s = 0.0
        self.bytes_per_s = 0.0  # 0: no limit
        self.doubled = 0.0      # share
        self.connections = set()

    def heal(self):
        self.silent, self.delay_s, self.bytes_per_s, self.doubled = False, 0.0, 0.0, 0.0


class Way:
    """One direction of a connection. Order is kept; copies come behind their originals."""

    def __init__(self, link, reader, writer):
        self.link = link
        self.reader, self.writer = reader, writer
        self.queue = asyncio.Queue(QUEUE_PACKETS)  # (due, packet); packet None: the end
        self.copies = set()

    async def receive(self):
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := await self.reader.read(65536):
                buffer += data
                for packet in split(buffer):
                    await self.queue.put((time.monotonic() + self.link.delay_s, packet))
                    self.double(packet)
        await self.queue.put((0.0, None))

    def double(self, packet):
        if self.link.random.random() < self.link.doubled and (copy := copy_of(packet)):
            # A status is not put behind a newer one: only a network that replays old lives would do that.
            lag = 0.0 if topic_of(packet).endswith("/status") else self.link.random.uniform(0.0, LONGEST_LAG_S)
            task = asyncio.ensure_future(self.later(lag, copy))
            self.copies.add(task)
            task.add_done_callback(self.copies.discard)

    async def later(self, lag, copy):
        await asyncio.sleep(lag)
        await self.queue.put((0.0, copy))

    async def send(self):
        while True:
            due, packet = await self.queue.get()
            while self.link.silent or time.monotonic() < due:
                await asyncio.sleep(POLL_S if self.link.silent else max(0.0, due - time.monotonic()))
            if packet is None:
                return
            self.writer.write(packet)
            await self.writer.drain()
            if self.link.bytes_per_s:
                await asyncio.sleep(len(packet) / self.link.bytes_per_s)

    def cancel_copies(self):
        for task in self.copies:
            task.cancel()


class Connection:
    def __init__(self, link):
        self.link = link
        self.writers = []

    async def serve(self, reader, writer, broker_port):
        self.writers.append(writer)
        try:
            while self.link.silent:  # a SYN that nobody answers would be nicer, but cannot be had here
                await asyncio.sleep(POLL_S)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", broker_port)
            self.writers.append(far_writer)
            await self.carry([Way(self.link, reader, far_writer), Way(self.link, far_reader, writer)])
        except OSError:
            self.reset()
        finally:
            for end in self.writers:
                end.close()

    @staticmethod
    async def carry(ways):
        """Until one direction has come to its end."""
        receives = [asyncio.ensure_future(way.receive()) for way in ways]
        sends = [asyncio.ensure_future(way.send()) for way in ways]
        try:
            await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel_copies()
            for task in receives + sends:
                task.cancel()
            await asyncio.gather(*receives, *sends, return_exceptions=True)

    def reset(self):
        for writer in self.writers:
            if sock := writer.get_extra_info("socket"):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Network:
    """All links, on a thread of its own."""

    def __init__(self, seed, broker_port):
        """`broker_port`: a function, because the broker may get its port later."""
        self.seed, self.broker_port = seed, broker_port
        self.links = {}
        self.servers = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def add(self, name):
        link = self.links[name] = Link(name, self.seed)

        async def accept(reader, writer):
            connection = Connection(link)
            link.connections.add(connection)
            try:
                await connection.serve(reader, writer, self.broker_port())
            finally:
                link.connections.discard(connection)

        async def listen():
            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            self.servers.append(server)
            return server.sockets[0].getsockname()[1]
        link.port = asyncio.run_coroutine_threadsafe(listen(), self.loop).result(10)
        return link

    def close(self):
        """Breaks everything off; nobody listens any more."""
        async def cancel():
            for server in self.servers:
                server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # transports close in the next turn
        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def reset(self, name):
        def abort():
            for connection in list(self.links[name].connections):
                connection.reset()
        self.loop.call_soon_threadsafe(abort)
