#!/usr/bin/python3
"""A motion controller beside an agent, as a witness: writes down every segment that it is told to start, and ends it.

    controller.py PORT JOURNAL SEED ENTITY...

GET /segments begins with what runs, so a reader that comes again hears of a segment again. Only the same life of the
agent may do that, and only while the segment has not ended: each start is written down with its connection and the
epoch of the agent, which is asked for before and after connecting. One that is over its time to live and was begun by
an earlier process it does not start: it says that it failed.
"""
import contextlib
import heapq
import http.client
import json
import os
import random
import sys
import threading
import time

from journal import Journal

TIMEOUT_S = 3.0
POSE_PERIOD_S = 0.3
PAUSE_S = 0.1
LONGEST_WORK_S = 1.2
FAILS = 0.1  # share of segments


class Controller:
    def __init__(self, port, journal, seed, entities):
        self.port, self.journal, self.entities = port, journal, entities
        self.random = random.Random(f"{seed} {os.getpid()}")
        self.lock = threading.Lock()
        self.work = []   # heap of (end, command)
        self.known = set()
        self.refused = set()  # begun by an earlier process, which took it with it

    def ask(self, method, path, body=None):
        """(status, answer); (0, None) when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection), contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        return 0, None

    def epoch(self):
        answer = self.ask("GET", "/health")[1]
        return answer and answer.get("epoch")

    def read(self, number):
        """One connection, until it ends."""
        before = self.epoch()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request("GET", "/segments")
            stream = connection.getresponse()
            if stream.status != 200 or not before or before != self.epoch():
                return
            name = f"{os.getpid()}-{number}"
            self.journal.write(what="connected", connection=name, epoch=before)
            kind = None
            while line := stream.readline():
                at = time.monotonic()
                word, _, rest = line.decode().rstrip("\n").partition(": ")
                if word == "event":
                    kind = rest
                elif word == "data":
                    self.obey(kind, json.loads(rest), at, name, before)

    def obey(self, kind, data, at, connection, epoch):
        command = int(data["command_id"])
        if kind == "stop":
            self.journal.write(t=at, what="stop", command=command, entity=data["entity_id"])
            return
        too_late = data["expires_in_ms"] <= 0
        self.journal.write(t=at, what="heard too late" if too_late else "start", command=command,
                           entity=data["entity_id"], connection=connection, epoch=epoch)
        with self.lock:
            if command not in self.known:
                self.known.add(command)
                self.refused.update([command] if too_late else [])
                heapq.heappush(self.work, (at + self.random.uniform(0.02, LONGEST_WORK_S), command))

    def end_work(self):
        while True:
            with self.lock:
                if not self.work or self.work[0][0] > time.monotonic():
                    return
                _, command = heapq.heappop(self.work)
            done = command not in self.refused and self.random.random() >= FAILS
            result = {"done": done, "detail": "" if done else "slipped"}
            status, _ = self.ask("POST", f"/commands/{command}/result", result)
            self.journal.write(what="result", command=command, done=done, status=status)
            if not status or status == 503:
                with self.lock:
                    heapq.heappush(self.work, (time.monotonic() + PAUSE_S, command))
                return

    def move(self):
        pose_due = 0.0
        while True:
            self.end_work()
            if time.monotonic() >= pose_due:
                pose_due = time.monotonic() + POSE_PERIOD_S
                for entity in self.entities:
                    self.ask("POST", f"/entities/{entity}/pose", {"x_mm": self.random.randrange(1000)})
            time.sleep(0.01)

    def run(self):
        threading.Thread(target=self.move, daemon=True).start()
        number = 0
        while True:
            number += 1
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                self.read(number)
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    Controller(int(sys.argv[1]), Journal(sys.argv[2]), sys.argv[3], sys.argv[4:]).run()
