"""The command `ledger`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from fieldline.errors import FieldlineError
from fieldline.service import EXIT_CONFIGURATION, run
from fieldline.service.arguments import (
    check_bootstrap_servers,
    parse_address,
    parse_duration,
    parse_files,
)
from fieldline.site.forms import DAY, HOUR

EXAMPLES = """Examples:

  ledger --site site.toml --bootstrap-servers 192.168.0.10:9092 --token-file token

  ledger --site site.toml --bootstrap-servers 192.168.0.10:9092 --token-file token --window 7d

Exit codes: 0 stopped, 69 cannot go on (systemd starts it again), 78 a setting or the site is wrong.
"""

# Those that the store guard can have restarted (ledger.guard, which takes its time to load).
_UNITS = ("influxdb2", "telegraf")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def ledger(
    site: Annotated[Path, typer.Option(help="The declaration of the plant, site.toml.")],
    bootstrap_servers: Annotated[
        str, typer.Option(help="Kafka, as ADDRESS:PORT; several with commas between.")
    ],
    token_file: Annotated[Path, typer.Option(help="A file with a token that may read the bucket.")],
    url: Annotated[str, typer.Option(help="InfluxDB.")] = "http://127.0.0.1:8086",
    input_topic: Annotated[
        str, typer.Option("--input", help="Topic with the values, as Telegraf writes them.")
    ] = "opc",
    output_topic: Annotated[
        str, typer.Option("--output", help="Topic of the counts: read and written.")
    ] = "opc.ledger",
    refill: Annotated[str, typer.Option(help="Topic for what is to be read again.")] = "opc.refill",
    writer_group: Annotated[
        str, typer.Option(help="Consumer group that writes the values to InfluxDB.")
    ] = "telegraf-opc",
    metrics: Annotated[
        str, typer.Option(help="Where to serve Prometheus metrics, as ADDRESS:PORT.")
    ] = "127.0.0.1:9105",
    window: Annotated[str, typer.Option(help="How far back hours are watched: 1h to 30d.")] = "24h",
    interval: Annotated[
        str, typer.Option(help="From one count to the next, at least: 1s to 1h.")
    ] = "10s",
    influxdb_directory: Annotated[
        Path,
        typer.Option(
            # Only what it is on is looked at.
            readable=False,
            help="InfluxDB's folder: a restart helps only with room on its disk.",
        ),
    ] = Path("/var/lib/influxdb2"),
    restart_file: Annotated[
        list[str] | None,
        typer.Option(
            help="Written to where a unit is to be restarted, as influxdb2=FILE or telegraf=FILE; "
            "without any, nothing is."
        ),
    ] = None,
) -> None:
    """Count what InfluxDB holds of each hour, tell it, and ask again for what is lacking."""
    try:
        address, port = parse_address("--metrics", metrics)
        servers = check_bootstrap_servers("--bootstrap-servers", bootstrap_servers)
        window_ms = parse_duration("--window", window, HOUR, 30 * DAY)
        interval_ms = parse_duration("--interval", interval, most=HOUR)
        restart_files = parse_files("--restart-file", restart_file or [], _UNITS)
    except FieldlineError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_CONFIGURATION) from error
    # Kafka's client and NumPy take their time to load; --help should not.
    from ledger.kafka import Topics
    from ledger.service import serve
    from ledger.settings import Settings

    settings = Settings(
        site=site,
        bootstrap_servers=servers,
        topics=Topics(input_topic, output_topic, refill, writer_group),
        url=url,
        token_file=token_file,
        metrics_address=address,
        metrics_port=port,
        window_ms=window_ms,
        interval_ms=interval_ms,
        influxdb_directory=influxdb_directory,
        restart_files=restart_files,
    )
    run(lambda stop: serve(settings, stop))


def main() -> None:
    """Entry point of the script `ledger`."""
    app()
