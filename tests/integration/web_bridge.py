"""The web container of the system that we replace, as its clients know it: GET /api/inverter/modbus and /api/state.

A unit answers with its registers unless the test gives it a fault; the state has a fault of its own.
"""
import http.server
import json
import threading
import urllib.parse

FAULTS = ("slow", "not_found", "broken", "garbage", "half", "list", "closed", "null", "drips", "refuses", "huge")
SLOW_S = 12  # longer than anybody waits
DRIP_S = 0.2
READS = {1, 2, 3, 4}
WRITES = {5, 6, 15, 16}
SIZES = {"U16": 1, "I16": 1, "U32": 2, "I32": 2, "F32": 2, "U64": 4, "I64": 4, "STR": 1}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        bridge = self.server.bridge
        if path == "/api/state":
            bridge.state_requests += 1
            self.answer(bridge.state_fault, 200, bridge.state)
        elif path == "/api/inverter/modbus":
            bridge.queries.append(query)
            # The last of a repeated key is kept.
            fields = {key: values[-1] for key, values in urllib.parse.parse_qs(query).items()}
            self.answer(bridge.faults.get(fields.get("device_id")), *bridge.modbus(fields))
        else:
            self.answer("not_found", 404, "")

    def answer(self, fault, status, body):
        if fault == "slow":
            self.server.bridge.closing.wait(SLOW_S)
        if fault == "closed":
            self.close_connection = True
        elif fault == "drips":
            self.drip()
        elif fault == "half":
            self.send(200, b'{"register":10056,"si', length=500)
        else:
            self.send(*self.spoilt(fault, status, body))

    def spoilt(self, fault, status, body):
        """What goes out as (status, bytes)."""
        if fault == "null":
            body = body | ({"value": None} if "value" in body else {"success": False})
        good = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return {"not_found": (404, b"404 page not found\n"), "broken": (500, b"internal error"),
                "garbage": (200, b"<html>\xff\x00 not JSON"), "list": (200, b"[1, 2, 3]"),
                "refuses": (400, b"device is busy"), "huge": (200, b'{"value":"' + bytes(200_000) + b'"}'),
                }.get(fault, (status, good))

    def send(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None

    def drip(self):
        """A byte now and then, and never an end: each of them is in time, the whole is not."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        while not self.server.bridge.closing.wait(DRIP_S):
            self.wfile.write(b" ")
            self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that has gone is none of ours."""


class WebBridge:
    """Listens on a free port; the same one when it is opened again."""

    def __init__(self):
        self.registers = {}  # {(device_id, address): register}; others hold 0
        self.unknown = {"nobody"}  # device ids that the bridge has not
        self.faults = {}     # {device_id: one of FAULTS}
        self.state = {"connectedDevices": 2, "uptime": 1234.5, "version": "1.4.2"}
        self.state_fault = None
        self.queries = []
        self.state_requests = 0
        self.port = 0
        self.open()

    def open(self):
        self.closing = threading.Event()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.bridge = self
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def fields(self):
        """Of the newest query."""
        return dict(urllib.parse.parse_qsl(self.queries[-1], keep_blank_values=True))

    def modbus(self, fields):
        """(status, body): JSON, or the text of a refusal."""
        device, address = fields.get("device_id"), fields.get("address")
        function = fields.get("function_code", "4")
        if not device:
            return 400, "missing device index"
        if address is None:
            return 400, "missing address"
        if device in self.unknown:
            return 400, f"device {device} not found"
        if not function.isdigit() or int(function) not in READS | WRITES:
            return 400, f"invalid function code: {function}"
        if int(function) in WRITES:
            return self.write(device, int(address), fields)
        return 200, self.read(device, int(address), fields)

    def read(self, device, address, fields):
        size = int(fields.get("size", "1"))
        registers = [self.registers.get((device, address + number), 0) for number in range(size)]
        swapped = registers[::-1]
        raw, other = ("".join(f"{register:04x}" for register in order) for order in (registers, swapped))
        used = other if fields.get("endianess") == "little" else raw
        return {"register": address, "size": size, "raw_value": raw, "swapped_value": other,
                "value": int(used, 16) * json.loads(fields.get("scale_factor", "1"))}

    def write(self, device, address, fields):
        if "values" not in fields:
            return 400, "missing values parameter for write operation"
        values = [int(value) for value in fields["values"].split(",")]
        for number, value in enumerate(values):
            self.registers[device, address + number] = value
        return 200, {"address": address, "success": True, "values": values}
