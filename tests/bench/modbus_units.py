"""A Modbus TCP server and an agent that asks it, for the benchmarks of Modbus."""
import json
import subprocess

from programs import BUILD, Process, wait_until

DEVICE = "modbus-bench"
UNIT = "meter"


class ModbusServer(Process):
    """modbus_server: of libmodbus, so quick that it does not hide who asks it."""

    def __init__(self, directory):
        super().__init__(directory, "modbus_server", BUILD / "bench" / "modbus_server", ask=True)
        word, port = self.popen.stdout.readline().split()
        assert word == "ready"
        self.port = int(port)


class Device(Process):
    def __init__(self, directory, broker_url, port, **bus):
        config = f"{directory}/device.toml"
        keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in bus.items())
        with open(config, "w") as file:
            file.write(f'[[modbus.bus]]\nname = "bus"\ninterface = "tcp:127.0.0.1:{port}"\n{keys}'
                       f'[[modbus.unit]]\nid = "{UNIT}"\nbus = "bus"\n'
                       f'[[modbus.write]]\nunit = "{UNIT}"\naddresses = "0..9"\nmax = "100"\n')
        super().__init__(directory, "fleet-device", BUILD / "bin" / "fleet-device", "--config", config, "--id", DEVICE,
                         "--broker", broker_url, "--data", f"{directory}/device-data")


def wait_online(server):
    wait_until("the device is online", lambda: server.metrics()['fleet_devices{state="online"}'] == 1)


def request(broker, *words):
    done = subprocess.run([BUILD / "bench" / "modbus_requester", broker.url, DEVICE, UNIT, *map(str, words)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)
