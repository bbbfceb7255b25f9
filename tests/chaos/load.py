"""What people and programs ask of the fleet meanwhile, written down with the answers. `t0` is before the request, `t`
after the answer; `status` 0 says that there was none, so that nobody knows."""
import contextlib
import http.client
import json
import random
import threading
import time

TIMEOUT_S = 8.0
PATIENCE_S = 12.0  # for threads to end
OPERATORS = 4
OPERATOR_GAP_S = 0.45  # between commands of one, on average
FEED_GAP_S = 0.5
SAMPLES = 8  # in one request
SEGMENT_TYPES = ("line", "line", "arc_left", "arc_right", "hold")
ACTIONS = {"segment": 80, "cancel_command": 6, "cancel_entity": 3, "cancel_device": 3, "stop_device": 3, "reconcile": 4,
           "stop_all": 1}


def post(port, path, body):
    """(status, answer); (0, None) when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    return 0, None


class Load:
    def __init__(self, seed, http_port, api_ports, entities, load_journal, feed_journal):
        self.seed, self.http_port, self.api_ports, self.entities = seed, http_port, api_ports, entities
        self.load_journal, self.feed_journal = load_journal, feed_journal
        self.over = threading.Event()
        self.recent = []
        self.threads = [threading.Thread(target=self.operate, args=[one], daemon=True) for one in range(OPERATORS)]
        self.threads += [threading.Thread(target=self.feed, args=[device], daemon=True) for device in api_ports]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)

    # ---- commands

    def operate(self, number):
        random_ = random.Random(f"{self.seed} operator {number}")
        while not self.over.wait(random_.expovariate(1 / OPERATOR_GAP_S)):
            action = random_.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            device = random_.choice(list(self.api_ports))
            getattr(self, action)(random_, device)

    def segment(self, random_, device):
        body = {"entity_id": random_.choice(self.entities), "to_x_mm": random_.randrange(50, 1500), "v0_mm_s": 1000,
                "v1_mm_s": random_.randrange(200, 1000), "type": random_.choice(SEGMENT_TYPES),
                "ttl_ms": int(200 * 25 ** random_.random()),  # 200 ms to 5 s
                "mode": random_.choice(("replace", "append")), "queue": random_.random() < 0.3}
        query = random_.choice(("", "", "", "?wait=accepted&timeout_ms=500"))
        self.ask("segment", device, f"/api/v1/devices/{device}/segments{query}", body)

    def cancel_command(self, random_, device):
        if self.recent:
            command = random_.choice(self.recent)
            self.ask("cancel_command", device, f"/api/v1/commands/{command}/cancel", {}, of=int(command))

    def cancel_entity(self, random_, device):
        entity = random_.choice(self.entities)
        self.ask("cancel_entity", device, f"/api/v1/devices/{device}/entities/{entity}/cancel", {}, entity=entity)

    def cancel_device(self, _, device):
        self.ask("cancel_device", device, f"/api/v1/devices/{device}/cancel", {})

    def stop_device(self, _, device):
        self.ask("stop_device", device, f"/api/v1/devices/{device}/stop", {})

    def reconcile(self, random_, device):
        if self.recent:
            self.ask("reconcile", device, f"/api/v1/commands/{random_.choice(self.recent)}/reconcile", {})

    def stop_all(self, _, device):
        self.ask("stop_all", device, "/api/v1/stop", {})

    def ask(self, what, device, path, body, **more):
        t0 = time.monotonic()
        status, answer = post(self.http_port, path, body)
        ids = []
        if status in (200, 201):
            commands = answer.get("commands", [answer]) if what != "stop_all" else answer.get("devices", [])
            ids = [int(command["command_id"]) for command in commands if command.get("command_id")]
        if what == "segment" and ids:
            self.recent = (self.recent + ids)[-30:]
        self.load_journal.write(what=what, device=device, t0=t0, status=status, ids=ids, body=body, **more)

    # ---- streams

    def feed(self, device):
        """Every event has a name, every sample a value of its own."""
        random_ = random.Random(f"{self.seed} feed {device}")
        number = 0
        while not self.over.wait(random_.expovariate(1 / FEED_GAP_S)):
            first = number
            number += SAMPLES
            samples = [{"signal": random_.choice(("chaos/a", "chaos/b")), "value": value}
                       for value in range(first, number)]
            self.tell(device, "telemetry", "/telemetry", {"samples": samples}, values=[first, number - 1])
            if random_.random() < 0.5:
                name = f"{device}-{number}"
                self.tell(device, "event", "/events", {"name": name, "detail": "told"}, name=name)

    def tell(self, device, what, path, body, **more):
        t0 = time.monotonic()
        status, _ = post(self.api_ports[device], path, body)
        self.feed_journal.write(what=what, device=device, t0=t0, status=status, **more)
