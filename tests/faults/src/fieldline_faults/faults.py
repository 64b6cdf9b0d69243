"""The faults: what each does, and to what."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from fieldline.errors import FieldlineError
from fieldline.site.address import in_url
from fieldline_lab.declaration import Declaration

from . import network, targets, torn
from .clock import arm, disarm, step
from .namespaces import inside
from .plant import OPC_SERVER, Plant
from .targets import Target
from .transactions import ongoing

MODEL = "stream-model"
HOUR_S = 3600


@dataclass(frozen=True)
class Spans:
    """How long faults last, s."""

    frozen: float = 30
    network: float = 30
    disk: float = 30
    down: float = 120
    removed: float = 10
    unnoticed: float = 10


FULL = Spans()
# What `make test` has time for. Telegraf's and the model's own patience is longer than that, so the
# full form may show more.
SHORT = Spans(frozen=10, network=15, disk=15, down=20, removed=5, unnoticed=5)

Hurt = Callable[[Plant, Target, Spans], str]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name, text: how it is called, and what is done; `{frozen}` and so on are the spans.
        targets: what it is done to.
        hurt: does it, and returns when it is over: what it noted, for the record.
        telling: the target that shows most, for the short form.
        arm, disarm: before and after the cell; not part of the fault.
        flowing: bar for values to flow again, s.
        whole: everything since the plant's start is checked, not only what was published from the
            fault on: it reaches back to what was safe before.
        spoils: the plant is not used any more.
    """

    name: str
    text: str
    targets: Callable[[Declaration], list[Target]]
    hurt: Hurt
    telling: str
    arm: Callable[[Plant], None] = lambda _: None
    disarm: Callable[[Plant], None] = lambda _: None
    flowing: float = 10.0
    whole: bool = False
    spoils: bool = False


# Everything that was published has to be there after this, s.
COMPLETE = 60.0
# A host has to boot first.
FLOWING_AFTER_BOOT = 30.0


def _systemctl(plant: Plant, target: Target, *arguments: str) -> None:
    plant.lab.hosts[target.host].exec(["systemctl", *arguments], check=True, timeout=120)


def _signal(plant: Plant, target: Target, signal: str) -> None:
    _systemctl(plant, target, "kill", f"--signal={signal}", f"{target.unit}.service")


def _kill(plant: Plant, target: Target, _spans: Spans) -> str:
    _signal(plant, target, "KILL")
    return ""


def _freeze(plant: Plant, target: Target, spans: Spans) -> str:
    _signal(plant, target, "STOP")
    time.sleep(spans.frozen)
    _signal(plant, target, "CONT")
    return ""


def _restart(plant: Plant, target: Target, _spans: Spans) -> str:
    # Whether it comes up again is what is waited for afterwards.
    _systemctl(plant, target, "restart", "--no-block", f"{target.unit}.service")
    return ""


def _crash(plant: Plant, target: Target, _spans: Spans) -> str:
    host = plant.lab.hosts[target.host]
    host.crash()
    host.launch()
    return ""


def _power_cut(plant: Plant, target: Target, _spans: Spans) -> str:
    """As a crash, but what was not flushed to the disk is gone too."""
    host, disk = plant.lab.hosts[target.host], plant.disks[target.host]
    # First the cable: nobody is told of a write that fails.
    host.block()
    disk.cut()
    host.crash()
    disk.unmount()
    disk.mount()
    host.launch()
    return ""


def _network(what: str) -> Hurt:
    def hurt(plant: Plant, target: Target, spans: Spans) -> str:
        network.hurt_for(plant, target, what, spans.network)
        return ""

    return hurt


def _fill(plant: Plant, target: Target, spans: Spans) -> str:
    disk = plant.disks[target.host]
    disk.fill()
    try:
        time.sleep(spans.disk)
    finally:
        disk.free()
    return ""


def _down(plant: Plant, target: Target, spans: Spans) -> str:
    _systemctl(plant, target, "stop", f"{target.unit}.service")
    time.sleep(spans.down)
    _systemctl(plant, target, "start", "--no-block", f"{target.unit}.service")
    return ""


def _lose_session(plant: Plant, target: Target, spans: Spans) -> str:
    """Restart the server behind a cut, so that nobody tells the client that its session is gone."""
    declaration = plant.lab.plan.declaration
    pair = next(pair for pair in targets.pairs(declaration) if pair.hosts[0] == target.host)
    with network.hurt(plant, pair, network.CUT):
        _systemctl(plant, target, "restart", f"{target.unit}.service")
        time.sleep(spans.unnoticed)
    return ""


def _remove_node(plant: Plant, target: Target, spans: Spans) -> str:
    """Start the server from a site without its last asset, and later from the declared one."""
    site = plant.lab.plan.site_text
    head, mark, last = site.rpartition("[[assets]]\n")
    entry, blank, rest = last.partition("\n\n")
    if not (mark and blank and entry.startswith("names = [")):
        raise FieldlineError("The faults' site has no last asset that can be taken away.")
    host = plant.lab.hosts[target.host]
    for text, seconds in ((head + rest, spans.removed), (site, 0.0)):
        command = "cat > /etc/fieldline/site.toml"
        host.exec(["sh", "-ec", command], input=text, check=True)
        _systemctl(plant, target, "restart", f"{target.unit}.service")
        time.sleep(seconds)
    return entry.partition("\n")[0]


def _step(seconds: int) -> Hurt:
    def hurt(plant: Plant, _target: Target, _spans: Spans) -> str:
        step(plant, seconds)
        return ""

    return hurt


def _flap(plant: Plant, target: Target, _spans: Spans) -> str:
    """Kill a unit five times within ten seconds, whatever it is at."""
    for number in range(5):
        if number:
            time.sleep(2)
        _signal(plant, target, "KILL")
    return ""


def _kill_in_transaction(plant: Plant, target: Target, _spans: Spans) -> str:
    """Stop the model until the broker has a transaction of it open just then, and kill it."""
    kafka = plant.host("kafka")
    bootstrap = f"{in_url(kafka.address)}:{plant.site.kafka.port}"
    for tries in range(1, 200):
        _signal(plant, target, "STOP")
        held = inside(kafka.namespace, lambda: ongoing(bootstrap))
        if held:
            _signal(plant, target, "KILL")
            return f"open after {tries} tries: {', '.join(sorted(held))}"
        _signal(plant, target, "CONT")
        # Another moment each time; the model is not to be slowed down for good.
        time.sleep(0.1 + 0.1 * random.random())
    raise FieldlineError("The model never had a transaction open: the fault could not be done.")


def _tear(zeros: bool) -> Hurt:
    def hurt(plant: Plant, target: Target, _spans: Spans) -> str:
        host = plant.lab.hosts[target.host]
        host.crash()
        tear = torn.Tear(zeros)
        if target.unit == torn.WAL:
            lost = f"{torn.tear_wal(host.data / 'lib/influxdb2/engine', tear)} bytes"
        elif target.unit == torn.RECORD:
            record = host.data / "lib/private/opc-server/record"
            lost = f"{torn.tear_record(record, tear)} bytes"
        else:
            logs = host.data / "lib/apache-kafka/log"
            lost = f"{torn.tear_topic(logs, target.unit, tear)} batches"
        host.launch()
        return f"torn: {lost}"

    return hurt


def _servers(declaration: Declaration) -> list[Target]:
    return targets.named(declaration, ["apache-kafka", "influxdb2"])


def _server(declaration: Declaration) -> list[Target]:
    return targets.named(declaration, [OPC_SERVER])


def _model(declaration: Declaration) -> list[Target]:
    return targets.named(declaration, [MODEL])


def _ends(declaration: Declaration) -> list[Target]:
    return [
        *targets.on(declaration, "kafka", torn.TOPICS),
        *targets.on(declaration, "influxdb", [torn.WAL]),
        *targets.on(declaration, "opc-server", [torn.RECORD]),
    ]


KINDS = [
    Kind("kill", "`kill -9` of the unit's processes", targets.units, _kill, "stream-model"),
    Kind(
        "freeze",
        "SIGSTOP for {frozen:g} s, then SIGCONT",
        targets.units,
        _freeze,
        "telegraf@collector",
    ),
    Kind("restart", "`systemctl restart`", targets.units, _restart, "apache-kafka"),
    Kind(
        "cut",
        "nothing passes between the two hosts for {network:g} s",
        targets.pairs,
        _network(network.CUT),
        "opc-collector",
    ),
    Kind(
        "lossy",
        "5 % of the packets between the two hosts are lost, each way, for {network:g} s",
        targets.pairs,
        _network(network.LOSSY),
        "collector-db",
    ),
    Kind(
        "slow",
        "1 Mbit/s between the two hosts, each way, for {network:g} s; what is above is lost",
        targets.pairs,
        _network(network.SLOW),
        "collector-db",
    ),
    Kind(
        "disk-full",
        "no room on the host's disk for {disk:g} s",
        lambda declaration: targets.on(declaration, "kafka"),
        _fill,
        "db",
        whole=True,
    ),
    Kind("down", "the server is stopped for {down:g} s", _servers, _down, "influxdb2"),
    Kind(
        "lost-session",
        "the server restarts behind a cut, so that its client is told nothing; {unnoticed:g} s",
        _server,
        _lose_session,
        "opc-server",
    ),
    Kind(
        "node-removed",
        "the server starts without one asset's nodes, and {removed:g} s later with them again",
        _server,
        _remove_node,
        "opc-server",
    ),
    Kind(
        "flap",
        "`kill -9` five times within 10 s",
        _model,
        _flap,
        "stream-model",
    ),
    Kind(
        "kill-in-transaction",
        "`kill -9` while Kafka holds a transaction of it open",
        _model,
        _kill_in_transaction,
        "stream-model",
    ),
    Kind(
        "crash",
        "every process of the host is killed, its network is gone; it boots at once",
        targets.hosts,
        _crash,
        "db",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "power-cut",
        "as crash, and what was not flushed to its disk is lost too",
        targets.hosts,
        _power_cut,
        "db",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "torn-end",
        "as crash, and the last record batches (or bytes) of the log are cut off amid one",
        _ends,
        _tear(zeros=False),
        "opc",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "zeroed-end",
        "as torn-end, with zeros where they were and 4 KiB more",
        _ends,
        _tear(zeros=True),
        "influxdb-wal",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "clock-back",
        "the clock of the server's process is set back by an hour",
        _server,
        _step(-HOUR_S),
        "opc-server",
        arm=arm,
        disarm=disarm,
    ),
    Kind(
        "clock-ahead",
        "the clock of the server's process is set ahead by an hour",
        _server,
        _step(HOUR_S),
        "opc-server",
        arm=arm,
        disarm=disarm,
        spoils=True,
    ),
]
