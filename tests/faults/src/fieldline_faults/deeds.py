"""What the faults do. Each makes sure that it was done: a fault that hurt nobody shows nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fieldline.errors import FieldlineError
from fieldline.site.address import in_url

from . import network, targets, torn
from .namespaces import inside
from .plant import Plant
from .targets import Target
from .transactions import ongoing


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
SHORT = Spans(frozen=8, network=8, disk=10, down=10, removed=3, unnoticed=3)

Deed = Callable[[Plant, Target, Spans], str]


def _systemctl(plant: Plant, target: Target, *arguments: str) -> str:
    host = plant.lab.hosts[target.host]
    return host.exec(["systemctl", *arguments], check=True, timeout=120).stdout.strip()


def _main_process(plant: Plant, target: Target) -> int:
    """The unit's main process, as its host numbers it; it must have one."""
    shown = _systemctl(plant, target, "show", "--property=MainPID", "--value", target.unit)
    if not int(shown or 0):
        raise FieldlineError(f"{target.label} does not run, so it can't be hurt.")
    return int(shown)


def _signal(plant: Plant, target: Target, signal: str) -> None:
    _systemctl(plant, target, "kill", f"--signal={signal}", f"{target.unit}.service")


def kill(plant: Plant, target: Target, _spans: Spans) -> str:
    """SIGKILL to all processes of a unit."""
    _main_process(plant, target)
    _signal(plant, target, "KILL")
    return ""


def freeze(plant: Plant, target: Target, spans: Spans) -> str:
    """SIGSTOP to all processes of a unit, and later SIGCONT."""
    main = _main_process(plant, target)
    _signal(plant, target, "STOP")
    time.sleep(spans.frozen / 2)
    # Amid it: systemd's watchdog may end a process that says nothing.
    done = plant.lab.hosts[target.host].exec(["cat", f"/proc/{main}/stat"])
    state = done.stdout.rpartition(")")[2].split()[:1]
    time.sleep(spans.frozen / 2)
    _signal(plant, target, "CONT")
    if state not in (["T"], []):
        raise FieldlineError(f"{target.label} was not stopped: its state was {state[0]}.")
    return "" if state else "ended while it was stopped"


def restart(plant: Plant, target: Target, _spans: Spans) -> str:
    """`systemctl restart`; whether it comes up again is what is waited for afterwards."""
    _main_process(plant, target)
    _systemctl(plant, target, "restart", "--no-block", f"{target.unit}.service")
    return ""


def crash(plant: Plant, target: Target, _spans: Spans) -> str:
    """Kill a host and boot it."""
    host = plant.lab.hosts[target.host]
    host.crash()
    host.launch()
    return ""


def power_cut(plant: Plant, target: Target, _spans: Spans) -> str:
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


def through(what: str) -> Deed:
    """Hurt the network between two hosts."""

    def hurt(plant: Plant, target: Target, spans: Spans) -> str:
        with network.hurt(plant, target, what) as dropped:
            time.sleep(spans.network)
            return f"{dropped()} packets dropped"

    return hurt


def fill(plant: Plant, target: Target, spans: Spans) -> str:
    """Leave no room on a host's disk."""
    disk = plant.disks[target.host]
    disk.fill()
    try:
        time.sleep(spans.disk)
    finally:
        disk.free()
    return ""


def stop(plant: Plant, target: Target, spans: Spans) -> str:
    """Stop a unit, and start it later."""
    _main_process(plant, target)
    _systemctl(plant, target, "stop", f"{target.unit}.service")
    time.sleep(spans.down)
    _systemctl(plant, target, "start", "--no-block", f"{target.unit}.service")
    return ""


def lose_session(plant: Plant, target: Target, spans: Spans) -> str:
    """Restart the server behind a cut, so that nobody tells the client that its session is gone."""
    declaration = plant.lab.plan.declaration
    pair = next(pair for pair in targets.pairs(declaration) if pair.hosts[0] == target.host)
    with network.hurt(plant, pair, network.CUT) as dropped:
        _systemctl(plant, target, "restart", f"{target.unit}.service")
        time.sleep(spans.unnoticed)
        return f"{dropped()} packets dropped"


def remove_node(plant: Plant, target: Target, spans: Spans) -> str:
    """Start the server from a site without its last asset, and later from the declared one."""
    site = plant.lab.plan.site_text
    head, mark, last = site.rpartition("[[assets]]\n")
    entry, blank, rest = last.partition("\n\n")
    if not (mark and blank and entry.startswith("names = [")):
        raise FieldlineError("The faults' site has no last asset that can be taken away.")
    _serve(plant, target, head + rest)
    time.sleep(spans.removed)
    newest = plant.witness.newest()
    silent = newest < newest.max() - int(spans.removed / 2 * 1e9)
    removed = {plant.catalogue.variables[i].asset for i in np.flatnonzero(silent).tolist()}
    if len(removed) != 1:
        raise FieldlineError(f"One asset should have been removed, but: {sorted(removed)}.")
    _serve(plant, target, site)
    return f"removed: {removed.pop()}"


def _serve(plant: Plant, target: Target, site: str) -> None:
    """Have the server serve another site."""
    host = plant.lab.hosts[target.host]
    host.exec(["sh", "-ec", "cat > /etc/fieldline/site.toml"], input=site, check=True)
    _systemctl(plant, target, "restart", f"{target.unit}.service")


def flap(plant: Plant, target: Target, _spans: Spans) -> str:
    """Kill a unit five times within ten seconds, whatever it is at."""
    killed = 0
    for number in range(5):
        if number:
            time.sleep(2)
        shown = _systemctl(plant, target, "show", "--property=MainPID", "--value", target.unit)
        killed += bool(int(shown or 0))
        _systemctl(plant, target, "kill", "--signal=KILL", f"{target.unit}.service")
    if killed < 3:
        raise FieldlineError(f"{target.label} ran only {killed} of the 5 times it was killed.")
    return f"ran {killed} of 5 times"


def kill_in_transaction(plant: Plant, target: Target, _spans: Spans) -> str:
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


def tear(plant: Plant, target: Target, _spans: Spans) -> str:
    """Crash a host, and tear the end of a log of its before it boots."""
    host = plant.lab.hosts[target.host]
    host.crash()
    log = target.unit.removesuffix(torn.ZEROED)
    how = torn.Tear(zeros=log != target.unit)
    if log == torn.WAL:
        lost = f"{torn.tear_wal(host.data / 'lib/influxdb2/engine', how)} bytes"
    elif log == torn.RECORD:
        lost = f"{torn.tear_record(host.data / 'lib/private/opc-server/record', how)} bytes"
    else:
        lost = f"{torn.tear_topic(host.data / 'lib/apache-kafka/log', log, how)} batches"
    host.launch()
    return f"torn: {lost}"
