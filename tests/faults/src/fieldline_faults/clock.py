"""The clock of the OPC UA server's process, which can be set: libfaketime, from Debian.

A host of the lab has the machine's clock, which nobody may set. The server is started with the
library in a cell that steps its clock, and with an offset of nothing until then.
"""

from __future__ import annotations

import time

from fieldline.errors import FieldlineError
from fieldline.remote.scrape import Scraper
from fieldline.site.address import in_url

from .deeds import Deed, Spans
from .namespaces import inside
from .plant import OPC_SERVER, Plant
from .targets import Target

_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
_DROP_IN = f"/run/systemd/system/{OPC_SERVER}.service.d/clock.conf"
_NOTICED_S = 5.0
_OFFSET = "lib/private/opc-server/clock"
# Only the wall clock is stepped: no clock that a kernel promises to be steady ever is.
_SETTINGS = f"""\
[Service]
Environment=LD_PRELOAD={_LIBRARY}
Environment=FAKETIME_TIMESTAMP_FILE=/var/{_OFFSET.replace("private/", "")}
Environment=FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
Environment=NO_FAKE_STAT=1
"""


def arm(plant: Plant) -> None:
    """Restart the server with a clock that can be set.

    Raises:
        FieldlineError: the library is not on this machine.
    """
    host = plant.host(OPC_SERVER)
    _set(plant, 0)
    found = host.exec(["test", "-e", _LIBRARY])
    if found.returncode:
        raise FieldlineError(f"{_LIBRARY} is missing: apt-get install faketime.")
    install = f"mkdir -p $(dirname {_DROP_IN}); cat > {_DROP_IN}; systemctl daemon-reload"
    host.exec(["sh", "-ec", install], input=_SETTINGS, check=True)
    _restart(plant)


def disarm(plant: Plant) -> None:
    """Restart the server with the machine's clock."""
    remove = f"rm -f {_DROP_IN}; systemctl daemon-reload"
    plant.host(OPC_SERVER).exec(["sh", "-ec", remove], check=True)
    _restart(plant)


def step(seconds: int) -> Deed:
    """Step the clock of the running server, which has to notice it."""

    def hurt(plant: Plant, _target: Target, _spans: Spans) -> str:
        before = _leaps(plant)
        _set(plant, seconds)
        end = time.monotonic() + _NOTICED_S
        while _leaps(plant) == before:
            if time.monotonic() > end:
                raise FieldlineError("The server's clock was not stepped.")
            time.sleep(0.1)
        return f"stepped by {seconds:+d} s"

    return hurt


def _leaps(plant: Plant) -> float:
    """How many steps of its clock the server has counted."""
    host = plant.host(OPC_SERVER)
    url = f"http://{in_url(host.address)}:{plant.site.metrics.opc_server}"
    scrape = inside(host.namespace, Scraper(url, "opc_server_clock_leaps_total").read)
    return scrape.total("opc_server_clock_leaps_total") or 0.0


def _set(plant: Plant, seconds: int) -> None:
    path = plant.host(OPC_SERVER).data / _OFFSET
    # One write: the server reads it at any moment.
    path.write_text(f"{seconds:+d}\n")
    path.chmod(0o644)


def _restart(plant: Plant) -> None:
    plant.host(OPC_SERVER).exec(["systemctl", "restart", OPC_SERVER], check=True, timeout=60)
    plant.wait_until_steady()
