"""The faults: what each is called, and to what it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fieldline_lab.declaration import Declaration

from . import clock, deeds, network, targets, torn
from .deeds import Deed
from .plant import OPC_SERVER, Plant
from .targets import Target

MODEL = "stream-model"
HOUR_S = 3600
# Everything that was published has to be there after this, s.
COMPLETE = 60.0
# Values flow again after this, s; where a host has to boot first, after the second.
FLOWING, FLOWING_AFTER_BOOT = 10.0, 30.0


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name, text: how it is called, and what is done; `{frozen}` and so on are the spans.
        targets: what it is done to.
        deed: does it, and returns when it is over: what it noted, for the record.
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
    deed: Deed
    telling: str
    arm: Callable[[Plant], None] = lambda _: None
    disarm: Callable[[Plant], None] = lambda _: None
    flowing: float = FLOWING
    whole: bool = False
    spoils: bool = False


def _servers(declaration: Declaration) -> list[Target]:
    return targets.named(declaration, ["apache-kafka", "influxdb2"])


def _server(declaration: Declaration) -> list[Target]:
    return targets.named(declaration, [OPC_SERVER])


def _model(declaration: Declaration) -> list[Target]:
    return targets.named(declaration, [MODEL])


def _ends(declaration: Declaration) -> list[Target]:
    """Each log whose end may be torn, cut off and with zeros."""
    logs = [("kafka", torn.TOPICS), ("influxdb", [torn.WAL]), (OPC_SERVER, [torn.RECORD])]
    return [
        target
        for role, names in logs
        for how in ("", torn.ZEROED)
        for target in targets.on(declaration, role, [name + how for name in names])
    ]


KINDS = [
    Kind("kill", "`kill -9` of the unit's processes", targets.units, deeds.kill, "stream-model"),
    Kind(
        "freeze",
        "SIGSTOP for {frozen:g} s, then SIGCONT",
        targets.units,
        deeds.freeze,
        "telegraf@collector",
    ),
    Kind("restart", "`systemctl restart`", targets.units, deeds.restart, "apache-kafka"),
    Kind(
        "cut",
        "nothing passes between the two hosts for {network:g} s",
        targets.pairs,
        deeds.through(network.CUT),
        "opc-collector",
    ),
    Kind(
        "lossy",
        "5 % of the packets between the two hosts are lost, each way, for {network:g} s",
        targets.pairs,
        deeds.through(network.LOSSY),
        "collector-db",
    ),
    Kind(
        "slow",
        "1 Mbit/s between the two hosts, each way, for {network:g} s; what is above is lost",
        targets.pairs,
        deeds.through(network.SLOW),
        "collector-db",
    ),
    Kind(
        "disk-full",
        "no room on the host's disk for {disk:g} s",
        lambda declaration: targets.on(declaration, "kafka"),
        deeds.fill,
        "db",
        whole=True,
    ),
    Kind("down", "the server is stopped for {down:g} s", _servers, deeds.stop, "influxdb2"),
    Kind(
        "lost-session",
        "the server restarts behind a cut, so that its client is told nothing; {unnoticed:g} s",
        _server,
        deeds.lose_session,
        "opc-server",
    ),
    Kind(
        "node-removed",
        "the server starts without one asset's nodes, and {removed:g} s later with them again",
        _server,
        deeds.remove_node,
        "opc-server",
    ),
    Kind(
        "flap",
        "`kill -9` five times within 10 s",
        _model,
        deeds.flap,
        "stream-model",
    ),
    Kind(
        "kill-in-transaction",
        "`kill -9` while Kafka holds a transaction of it open",
        _model,
        deeds.kill_in_transaction,
        "stream-model",
    ),
    Kind(
        "crash",
        "every process of the host is killed, its network is gone; it boots at once",
        targets.hosts,
        deeds.crash,
        "db",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "power-cut",
        "as crash, and what was not flushed to its disk is lost too",
        targets.hosts,
        deeds.power_cut,
        "db",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "torn-end",
        "as crash, and the last record batches (or bytes) of the log are cut off amid one, or are "
        "zeros, with 4 KiB more of them",
        _ends,
        deeds.tear,
        "opc",
        flowing=FLOWING_AFTER_BOOT,
        whole=True,
    ),
    Kind(
        "clock-back",
        "the clock of the server's process is set back by an hour",
        _server,
        clock.step(-HOUR_S),
        "opc-server",
        arm=clock.arm,
        disarm=clock.disarm,
    ),
    Kind(
        "clock-ahead",
        "the clock of the server's process is set ahead by an hour",
        _server,
        clock.step(HOUR_S),
        "opc-server",
        arm=clock.arm,
        disarm=clock.disarm,
        spoils=True,
    ),
]
