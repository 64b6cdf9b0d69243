"""What may become of the network between two hosts: nftables rules on the second one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fieldline.errors import FieldlineError
from fieldline_lab.names import NETNS_ROOT
from fieldline_lab.process import run

from .plant import Plant
from .targets import Target

_TABLE = "inet fieldline_faults"

# Each ends in a count, which tells whether anything was hit.
CUT = "counter drop"
# Each way, so that a question and its answer are hit twice.
LOSSY = "numgen random mod 100 < 5 counter drop"
# Some packets may come at once, as through the queue of a slow line; what is above it is lost.
# What the two have to say to each other may fit: then it is the line that they are on, and no more.
SLOW = "limit rate over 125 kbytes/second burst 16 kbytes counter drop"

_RULES = """\
table {table} {{
  chain input {{
    type filter hook input priority raw;
    {family} saddr {address} counter {what}
  }}
  chain output {{
    type filter hook output priority raw;
    {family} daddr {address} counter {what}
  }}
}}
"""


@contextmanager
def hurt(plant: Plant, pair: Target, what: str) -> Iterator[Callable[[], int]]:
    """The network between the hosts of a pair is cut, lossy or slow within the block.

    Gives a function that tells how many packets were dropped.

    Raises:
        FieldlineError: at the end, none was: the network was not hurt. (Of a slow one: no packet
            came by.)
    """
    far, near = (plant.lab.hosts[name] for name in pair.hosts)
    family = "ip6" if ":" in far.address else "ip"
    rules = _RULES.format(table=_TABLE, family=family, address=far.address, what=what)
    nft = ["nsenter", f"--net={NETNS_ROOT / near.namespace}", "nft"]
    table = ["table", *_TABLE.split()]

    def dropped() -> int:
        return counted(run([*nft, "list", *table]).stdout)[1]

    run([*nft, "-f", "-"], stdin=rules)
    try:
        yield dropped
        came, lost = counted(run([*nft, "list", *table]).stdout)
        if not (came if what == SLOW else lost):
            word = "came by" if what == SLOW else "was dropped"
            raise FieldlineError(f"Nothing between {pair.label} {word}.", rules)
    finally:
        run([*nft, "delete", *table])


def counted(listed: str) -> tuple[int, int]:
    """How many packets the rules have seen, and how many of them they dropped; of nft's list."""
    lost = sum(map(int, re.findall(r"counter packets ([0-9]+) bytes [0-9]+ drop", listed)))
    every = sum(map(int, re.findall(r"counter packets ([0-9]+)", listed)))
    return every - lost, lost
