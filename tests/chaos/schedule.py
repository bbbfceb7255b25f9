"""What goes wrong, when: the same seed gives the same faults.

A target has lanes, its process, its link to the broker, its clock, its disk; in each at most one fault is on at a time,
so that one that ends does not end another. Faults in different lanes and at different targets overlap as it comes.
"""
import dataclasses
import random

MEAN_GAP_S = 2.0
CALM_S = 4.0  # at the begin: the programs find each other
HOUR_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Kind:
    lane: str
    weight: float
    shortest_s: float
    longest_s: float
    roles: tuple
    smallest: float = 0.0  # of `amount`
    largest: float = 0.0


ALL = ("broker", "server", "device", "controller")
LINKED = ("server", "device")
KINDS = {
    "kill": Kind("process", 4, 0.0, 4.0, ALL),            # SIGKILL, started again after `seconds`
    "restart": Kind("process", 2, 1.0, 4.0, ("broker", "server", "device")),  # SIGTERM, likewise
    "freeze": Kind("process", 4, 0.2, 6.0, ALL),          # SIGSTOP
    "partition": Kind("link", 4, 0.5, 8.0, LINKED),       # silent in both directions
    "reset": Kind("link", 3, 0.0, 0.0, LINKED),           # RST to both ends
    "delay": Kind("link", 3, 2.0, 10.0, LINKED, 0.05, 0.5),          # amount: s
    "slow": Kind("link", 2, 2.0, 8.0, LINKED, 2_000.0, 20_000.0),    # amount: bytes/s
    "double": Kind("link", 5, 4.0, 15.0, LINKED, 0.2, 1.0),          # amount: share of messages that come twice
    "clock": Kind("clock", 3, 3.0, 20.0, LINKED, -HOUR_S, HOUR_S),   # amount: s; back again after `seconds`
    "full_disk": Kind("disk", 3, 3.0, 10.0, ("broker", "server", "device")),
}
TARGET_WEIGHTS = {"broker": 2.0, "server": 3.0, "device": 1.5, "controller": 0.5}
SLOWEST_SERVER_LINK = 12_000.0  # bytes/s: all devices speak over it
REST_S = 2.0  # between two faults of one lane


@dataclasses.dataclass(frozen=True)
class Fault:
    at_s: float
    seconds: float
    kind: str
    target: str
    amount: float = 0.0

    def __str__(self):
        amount = f" {self.amount:g}" if self.amount else ""
        return f"{self.at_s:7.2f} s  {self.kind} {self.target}{amount}, {self.seconds:g} s"


def draw(random_, at_s, role, target):
    names = [name for name, kind in KINDS.items() if role in kind.roles]
    name = random_.choices(names, [KINDS[name].weight for name in names])[0]
    kind = KINDS[name]
    amount = round(random_.uniform(kind.smallest, kind.largest), 3)
    if name == "clock":
        amount = random_.choice((-HOUR_S, HOUR_S))
    elif name == "slow" and role == "server":
        amount = max(amount, SLOWEST_SERVER_LINK)
    return Fault(round(at_s, 2), round(random_.uniform(kind.shortest_s, kind.longest_s), 2), name, target, amount)


def plan(seed, minutes, targets, without=()):
    """Faults in order. `targets`: {name: role}; `without`: kinds that cannot be had here, left out, the rest stays."""
    random_ = random.Random(seed)
    names = list(targets)
    weights = [TARGET_WEIGHTS[targets[name]] for name in names]
    busy, faults, at_s = {}, [], CALM_S
    while (at_s := at_s + random_.expovariate(1 / MEAN_GAP_S)) < minutes * 60:
        target = random_.choices(names, weights)[0]
        fault = draw(random_, at_s, targets[target], target)
        lane = target, KINDS[fault.kind].lane
        if busy.get(lane, 0.0) <= fault.at_s:
            busy[lane] = fault.at_s + fault.seconds + REST_S
            faults.append(fault)
    return [fault for fault in faults if fault.kind not in without]
