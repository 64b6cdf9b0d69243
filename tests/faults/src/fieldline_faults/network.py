"""What may become of the network between two hosts: nftables rules on the second one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fieldline_lab.names import NETNS_ROOT
from fieldline_lab.process import run

from .plant import Plant
from .targets import Target

_TABLE = "inet fieldline_faults"

CUT = "drop"
# Each way, so that a question and its answer are hit twice.
LOSSY = "numgen random mod 100 < 5 drop"
# Some packets may come at once, as through the queue of a slow line; what is above it is lost.
SLOW = "limit rate over 125 kbytes/second burst 16 kbytes drop"

_RULES = """\
table {table} {{
  chain input {{ type filter hook input priority raw; {family} saddr {address} {what} }}
  chain output {{ type filter hook output priority raw; {family} daddr {address} {what} }}
}}
"""


@contextmanager
def hurt(plant: Plant, pair: Target, what: str) -> Iterator[None]:
    """The network between the hosts of a pair is cut, lossy or slow within the block."""
    far, near = (plant.lab.hosts[name] for name in pair.hosts)
    family = "ip6" if ":" in far.address else "ip"
    rules = _RULES.format(table=_TABLE, family=family, address=far.address, what=what)
    enter = ["nsenter", f"--net={NETNS_ROOT / near.namespace}", "nft"]
    run([*enter, "-f", "-"], stdin=rules)
    try:
        yield
    finally:
        run([*enter, "delete", "table", *_TABLE.split()])


def hurt_for(plant: Plant, pair: Target, what: str, seconds: float) -> None:
    """Hurt the network between two hosts for some seconds."""
    with hurt(plant, pair, what):
        time.sleep(seconds)
