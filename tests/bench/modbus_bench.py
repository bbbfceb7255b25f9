#!/usr/bin/python3
"""How long a request to a Modbus unit takes from MQTT to MQTT through an agent, beside the same request by libmodbus
alone to the same server and beside a bare MQTT round trip, one after the other in the same run."""
import sys

from modbus_units import Device, ModbusServer, request, wait_online
from programs import Broker, Server, limit, parse_arguments, report, scratch


def main():
    options = parse_arguments(__doc__, count=2000)
    with scratch() as directory, Broker(directory) as broker, Server(directory, broker.url) as server, \
            ModbusServer(directory) as units, Device(directory, broker.url, units.port):
        wait_online(server)
        request(broker, "overhead", 20, units.port)  # connections are there, caches warm
        measured = request(broker, "overhead", options.count, units.port)
    more = {share: measured[f"mqtt_{share}_ms"] - measured[f"bare_{share}_ms"] for share in ("p50", "p99")}
    limits = {"more_p50_ms": limit(round(more["p50"], 3), at_most=1.5),
              "failed": limit(measured["failed"], at_most=0)}
    figures = {key: round(value, 3) for key, value in measured.items() if key.endswith("_ms")}
    return report({"bench": "modbus", "count": measured["count"], **figures, "more_p99_ms": round(more["p99"], 3)},
                  limits, options.check)


if __name__ == "__main__":
    sys.exit(main())
