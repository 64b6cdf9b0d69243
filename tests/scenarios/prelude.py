"""What the scenarios share; put before each of them, in the lab and in the NixOS VM tests alike.

Only the standard library and the test driver's globals: one per host, `start_all` and `subtest`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# The units of the demonstration plant, host by host, upstream first.
PLANT = [
    (opc, ["opc-server"]),
    (collector, ["telegraf", "stream-model"]),
    (
        db,
        [
            "apache-kafka",
            "kafka-provision",
            "influxdb2",
            "influxdb-provision",
            "ledger",
            "telegraf",
        ],
    ),
]


def wait_for_plant() -> None:
    """Wait until every unit of every host is active."""
    for machine, units in PLANT:
        for unit in units:
            machine.wait_for_unit(f"{unit}.service")


@contextmanager
def expected_to_fail(what: str) -> Iterator[None]:
    """What must not be possible: an error that it is, if the block ends without one."""
    try:
        yield
    except Exception:
        return
    raise AssertionError(f"{what} is possible")
