#!/usr/bin/python3
"""200 requests a second to one Modbus TCP server through one agent for a minute: are all answered, and how soon? Then
malformed requests of all kinds as fast as they are answered: is each of them answered, is the memory flat, and are good
ones still served?"""
import json
import random
import sys
import threading

import paho.mqtt.client
from modbus_units import DEVICE, UNIT, Device, ModbusServer, request, wait_online
from programs import Broker, Server, limit, parse_arguments, report, scratch

UNDER_WAY = 64  # malformed requests without an answer, at most
PATIENCE_S = 20
GOOD = {"device_id": UNIT, "function_code": 3, "address": 10, "size": 2, "type": "U16", "endianess": "big",
        "scale_factor": 1}
WRONG = {"device_id": ["", "meter2", 7, None, {}, "x" * 65, "a b"],
         "function_code": [0, 7, 255, -3, "x", "", 3.5, True],
         "address": [-1, 65536, 1e300, "ten", None, [10]], "size": [0, 126, -1, 1e9, "x", 2.5],
         "type": ["F16", "", 16, "u32 "], "endianess": ["middle", 1], "scale_factor": [0, "x", [1]],
         "values": [[], {}, "x", [[1]], 70000, [1] * 200, -1, None, 101],
         "id": [[], {}, "x" * 129], "ttl_ms": [0, -1, "x", 1e12]}


def malformed(seed):
    """Endless payloads, none of which can be done."""
    chance = random.Random(seed)
    good = json.dumps(GOOD).encode()
    while True:
        yield bytes(chance.randbytes(chance.randint(0, 300)))
        yield good[:chance.randint(0, len(good) - 1)]
        yield json.dumps({key: value for key, value in GOOD.items() if key != chance.choice(["device_id", "address"])}
                         | {"device_id": chance.choice(WRONG["device_id"][:2])}).encode()
        key = chance.choice(list(WRONG))
        wrong = GOOD | {key: chance.choice(WRONG[key])}
        yield json.dumps(wrong | ({"function_code": 16} if key == "values" else {})).encode()
        yield json.dumps(GOOD | {"function_code": chance.choice([5, 6, 15, 16]), "address": 500, "values": 1}).encode()
        yield chance.choice([b"[" * chance.randint(1, 30_000), b'{"a":' * chance.randint(1, 5_000), b"{}", b"null",
                             b'"x"', b'{"device_id":"\xff\xfe"}', b"\0" * 100, b"1e999",
                             b" " * chance.randint(65_537, 70_000)])


class Vandal:
    """Sends them with a bound on how many are under way, and counts the answers by what they say."""

    def __init__(self, port):
        versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
        self.client = paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id="vandal")
        self.client.max_queued_messages_set(0)
        self.changed = threading.Condition()
        self.answers = {}  # {code: count}
        self.count = 0
        self.client.on_message = self.take
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(f"rpi/{DEVICE}/modbus/response", qos=1)
        assert subscribed.wait(PATIENCE_S)

    def take(self, _client, _data, message):
        response = json.loads(message.payload)["response"]
        code = "done" if response["success"] else response["error"]["code"]
        with self.changed:
            self.answers[code] = self.answers.get(code, 0) + 1
            self.count += 1
            self.changed.notify_all()

    def wait_count(self, count):
        with self.changed:
            return self.changed.wait_for(lambda: self.count >= count, PATIENCE_S)

    def send(self, payloads, count):
        """How many of them were answered."""
        before = self.count
        for number in range(count):
            self.client.publish(f"server/{DEVICE}/modbus/request", next(payloads), qos=1)
            if not self.wait_count(before + number + 1 - UNDER_WAY):
                break
        self.wait_count(before + count)
        return self.count - before

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def main():
    options = parse_arguments(__doc__, rate=200, seconds=60, malformed=10_000, seed=1)
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server, \
            ModbusServer(directory) as units, Device(directory, broker.url, units.port) as device:
        wait_online(server)
        request(broker, "rate", options.rate, 2)  # buffers have grown to what they need
        rss = [device.memory_mb("VmRSS")]
        cpu = device.cpu_s()
        load = request(broker, "rate", options.rate, options.seconds)
        cores = (device.cpu_s() - cpu) / options.seconds
        rss.append(device.memory_mb("VmRSS"))

        vandal = Vandal(broker.port)
        answered = vandal.send(malformed(options.seed), options.malformed)
        rss.append(device.memory_mb("VmRSS"))
        vandal.close()
        after = request(broker, "rate", options.rate, 1)
    limits = {"unanswered": limit(load["unanswered"] + load["wrong"], at_most=0),
              "malformed_unanswered": limit(options.malformed - answered, at_most=0),
              "done": limit(vandal.answers.get("done", 0), at_most=0),
              "rss_grown_by_load_mb": limit(round(rss[1] - rss[0], 2), at_most=2),
              "rss_grown_by_malformed_mb": limit(round(rss[2] - rss[1], 2), at_most=2),
              "good_unanswered_after": limit(after["unanswered"] + after["wrong"], at_most=0)}
    return report({"bench": "modbus_load", "requests": load["count"], "per_second": options.rate,
                   "p50_ms": round(load["mqtt_p50_ms"], 2), "p99_ms": round(load["mqtt_p99_ms"], 2),
                   "device_cores": round(cores, 3), "malformed": options.malformed,
                   "answers": dict(sorted(vandal.answers.items())),
                   "rss_mb": [round(one, 2) for one in rss]}, limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
