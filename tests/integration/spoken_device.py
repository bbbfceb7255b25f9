"""A device that is not our program: it says what a test wants it to say."""
import threading
import time

import wire

HEARTBEAT_S = 0.4
REPORT_S = 0.1


class SpokenDevice:
    """Sends heartbeats and state reports in the background until its peer is closed."""

    def __init__(self, fleet, device_id, entities=(1,), fail_safe=False):
        self.peer = fleet.peer(device_id)
        self.device_id = device_id
        self.entities = list(entities)
        self.started_unix_ms = int(time.time() * 1000)
        self.say_online(fail_safe)
        threading.Thread(target=self.speak, daemon=True).start()

    def say_online(self, fail_safe=False):
        self.publish("status", wire.status(wire.ONLINE, 1, self.started_unix_ms, fail_safe), qos=1)

    def publish(self, kind, payload, qos=0):
        self.peer.publish(f"rpi/{self.device_id}/{kind}", payload, qos)

    def speak(self):
        beats, reports, beat_due = 0, 0, 0.0
        while self.peer.client.is_connected():
            if time.monotonic() >= beat_due:
                beats, beat_due = beats + 1, time.monotonic() + HEARTBEAT_S
                self.publish("heartbeat", wire.heartbeat(1, beats, int(time.time() * 1000)))
            reports += 1
            self.publish("state", wire.state_report(1, reports, self.entities))
            time.sleep(REPORT_S)
