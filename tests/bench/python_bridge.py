#!/usr/bin/python3
"""A bridge of the usual shape, which the native tunnel is compared with: python-can on both ends, paho-mqtt between
them, one frame per message in the format of SavvyCAN.

  python_bridge.py send PORT LOG      what python-can reads from a candump log, in its times
  python_bridge.py receive PORT       onto a bus of python-can; says "ready", then its count for each line of input"""
import struct
import sys
import time

import can
import paho.mqtt.client

HEAD = struct.Struct("<QB")


def connect(port, name):
    versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
    client = paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id=name)
    client.max_queued_messages_set(0)  # without a bound: what is lost is lost by the broker
    client.connect("127.0.0.1", port)
    return client


def send(port, log):
    client = connect(port, "python-bridge-sender")
    client.loop_start()
    began, first = time.monotonic(), None
    for message in can.CanutilsLogReader(log):
        first = message.timestamp if first is None else first
        wait_s = message.timestamp - first - (time.monotonic() - began)
        if wait_s > 0.001:
            time.sleep(wait_s)
        payload = HEAD.pack(int(message.timestamp * 1e6), int(message.is_extended_id)) + bytes(message.data)
        client.publish(f"can/{message.arbitration_id}", payload)
    while client._out_packet:  # paho has no public word for it
        time.sleep(0.01)
    client.loop_stop()


def receive(port):
    client = connect(port, "python-bridge-receiver")
    bus = can.Bus(interface="virtual", channel="bridge")
    count = 0

    def take(_client, _data, message):
        nonlocal count
        at_us, flags = HEAD.unpack_from(message.payload)
        bus.send(can.Message(timestamp=at_us / 1e6, arbitration_id=int(message.topic.rpartition("/")[2]),
                             is_extended_id=bool(flags & 1), data=message.payload[HEAD.size:]))
        count += 1

    client.on_message = take
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.subscribe("can/+")
    client.loop_start()
    for _ in sys.stdin:
        print(count, flush=True)


if __name__ == "__main__":
    send(int(sys.argv[2]), sys.argv[3]) if sys.argv[1] == "send" else receive(int(sys.argv[2]))
