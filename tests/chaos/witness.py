"""What the broker hears and says, written down as it comes: topic and payload in hexadecimal."""
import contextlib

import paho.mqtt.client

TOPICS = ("server/+/receipt", "server/+/segment", "server/+/cancel", "rpi/+/event", "rpi/+/telemetry", "rpi/+/ledger",
          "rpi/+/command/ack")


class Witness:
    """A client beside the programs, on the broker itself. What goes by while the broker is down it misses."""

    def __init__(self, port, journal):
        versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)
        self.client = paho.mqtt.client.Client(*([versions.VERSION1] if versions else []), client_id="witness")
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in TOPICS])
        self.client.on_message = lambda _client, _data, message: journal.write(
            topic=message.topic, payload=message.payload.hex(), qos=message.qos)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def close(self):
        with contextlib.suppress(OSError):
            self.client.disconnect()
        self.client.loop_stop()
