"""The command `gap-filler`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from fieldline.errors import FieldlineError
from fieldline.service import EXIT_CONFIGURATION, run
from fieldline.service.arguments import check_bootstrap_servers, parse_address, parse_files

from gap_filler.settings import Settings

EXAMPLES = """Examples:

  gap-filler --site site.toml --collector collector --bootstrap-servers 192.168.0.10:9092 --state .

  gap-filler --site site.toml --collector hall2 --bootstrap-servers kafka1:9092,kafka2:9092 \\
    --state /var/lib/gap-filler --rate 2000

Its state is a file per server; without it, it begins as far back as the server's history and the
topic reach. Exit codes: 0 stopped, 69 cannot go on (systemd starts it again), 78 a setting or the
site is wrong.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def gap_filler(
    site: Annotated[Path, typer.Option(help="The declaration of the plant, site.toml.")],
    collector: Annotated[str, typer.Option(help="The host whose servers it looks after.")],
    bootstrap_servers: Annotated[
        str, typer.Option(help="Kafka, as ADDRESS:PORT; several with commas between.")
    ],
    state: Annotated[Path, typer.Option(help="Directory for its positions; it is made.")],
    metrics: Annotated[
        str, typer.Option(help="Where to serve metrics and its state, as ADDRESS:PORT.")
    ] = "127.0.0.1:9104",
    rate: Annotated[
        float, typer.Option(min=1, help="Values a second that are filled at most.")
    ] = 15_000,
    certificate: Annotated[
        Path | None, typer.Option(help="Client certificate for servers that ask for one.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's private key.")] = None,
    password_file: Annotated[
        list[str] | None,
        typer.Option(help="A server's password, as SERVER=FILE; may be given several times."),
    ] = None,
    restart_file: Annotated[
        Path | None,
        typer.Option(help="Written to where Telegraf is to be restarted; without it, never."),
    ] = None,
) -> None:
    """Fill what the collection has missed from the servers' own history."""
    try:
        settings = Settings(
            site=site,
            collector=collector,
            bootstrap_servers=check_bootstrap_servers("--bootstrap-servers", bootstrap_servers),
            state=state,
            metrics=parse_address("--metrics", metrics),
            rate=rate,
            certificate=certificate,
            key=key,
            passwords=parse_files("--password-file", password_file or []),
            restart=restart_file,
        )
    except FieldlineError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_CONFIGURATION) from error
    # OPC UA, Kafka and NumPy take their time to load; --help should not.
    from gap_filler.service import serve

    run(lambda stop: serve(settings, stop))


def main() -> None:
    """Entry point of the script `gap-filler`."""
    app()
