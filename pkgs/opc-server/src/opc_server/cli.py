"""The command `opc-server`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer
from fieldline.service import configure_logging, run

from opc_server.service import Service, Settings

EXAMPLES = """
Examples:

  opc-server --site site.toml --server opc --state /var/lib/opc-server \\
    --listen 0.0.0.0:4840 --metrics 0.0.0.0:9101

  opc-server --site site.toml --server opc --state /tmp/opc --listen [::1]:4840 \\
    --metrics [::1]:9101

Exit codes: 0 stopped, 69 an address is taken, 78 the declaration is wrong.
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def parse_address(text: str) -> tuple[str, int]:
    """`ADDRESS:PORT`, an IPv6 address in brackets, as (address, port).

    Raises:
        typer.BadParameter: it is neither.
    """
    address, colon, port = text.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    try:
        parsed = ipaddress.ip_address(address[1:-1] if bracketed else address)
        if not colon or bracketed != (parsed.version == 6) or not port.isascii():
            raise ValueError
        if not (port.isdecimal() and int(port) <= 65535):
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not ADDRESS:PORT, such as 0.0.0.0:4840 or [::]:4840"
        ) from None
    return str(parsed), int(port)


@app.command(epilog=EXAMPLES)
def serve(
    site: Annotated[Path, typer.Option(help="The site's declaration.", metavar="PATH")],
    server: Annotated[str, typer.Option(help="Which of its servers this is.", metavar="NAME")],
    state: Annotated[Path, typer.Option(help="Where the record is kept.", metavar="DIR")],
    listen: Annotated[str, typer.Option(help="OPC UA endpoint.", metavar="ADDRESS:PORT")],
    metrics: Annotated[
        str, typer.Option(help="Prometheus metrics and the record.", metavar="ADDRESS:PORT")
    ],
    require_time_sync: Annotated[
        bool,
        typer.Option(
            "--require-time-sync",
            help="Mark values Uncertain until systemd-timesyncd has set the clock.",
        ),
    ] = False,
    witness: Annotated[
        Path | None,
        typer.Option(
            envvar="OPC_SERVER_WITNESS",
            help="Keep a second record here, which the disk holds before values are published; for "
            "fault tests, since each tick waits for the disk.",
            metavar="DIR",
        ),
    ] = None,
) -> None:
    """Serve the assets of one server of a site over OPC UA, and keep a record of all values."""
    settings = Settings(
        site=site,
        server=server,
        state=state,
        listen=parse_address(listen),
        metrics=parse_address(metrics),
        require_time_sync=require_time_sync,
        witness=witness,
    )
    configure_logging("opc-server")
    run(Service(settings).run)


def main() -> None:
    """Entry point of the script."""
    app()


if __name__ == "__main__":
    main()
