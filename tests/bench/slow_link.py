"""A TCP proxy that can be cut and that lets only so many bits a second through."""
import contextlib
import socket
import threading
import time

CHUNK_BYTES = 256


class SlowLink:
    """Listens on `port`, a free one. kbit 0: as fast as it goes."""

    def __init__(self, target_port, kbit):
        self.target_port = target_port
        self.pause_per_byte_s = 8 / (kbit * 1000) if kbit else 0
        self.is_cut = False
        self.sockets = set()
        self.listener = socket.socket()
        if kbit:  # what is under way must wait with the sender, not in buffers of ours
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def cut(self):
        self.is_cut = True
        for one in list(self.sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self.is_cut = False

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.is_cut:
                client.close()
                continue
            target = socket.create_connection(("127.0.0.1", self.target_port))
            for one in (client, target):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets |= {client, target}
            for pair in ((client, target), (target, client)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink):
        free_at = time.monotonic()
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES if self.pause_per_byte_s else 65536):
                if self.pause_per_byte_s:
                    free_at = max(free_at, time.monotonic()) + len(data) * self.pause_per_byte_s
                    time.sleep(max(0, free_at - time.monotonic()))
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            self.sockets.discard(one)
