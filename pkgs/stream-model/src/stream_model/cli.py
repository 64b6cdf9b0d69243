"""The command `stream-model`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from fieldline.errors import FieldlineError
from fieldline.service import EXIT_CONFIGURATION, run
from fieldline.service.arguments import (
    check_bootstrap_servers,
    check_instance,
    parse_address,
    parse_duration,
)

from stream_model.settings import Settings

EXAMPLES = """Examples:

  stream-model --site site.toml --bootstrap-servers 192.168.0.10:9092

  stream-model --site site.toml --bootstrap-servers kafka1:9092,kafka2:9092 --horizon 5min

Several of them with the same --group share the partitions. Exit codes: 0 stopped, 69 cannot go on
(systemd starts it again), 78 a setting or the site is wrong, or another version's state is stored.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def stream_model(
    site: Annotated[Path, typer.Option(help="The declaration of the plant, site.toml.")],
    bootstrap_servers: Annotated[
        str, typer.Option(help="Kafka, as ADDRESS:PORT; several with commas between.")
    ],
    input_topic: Annotated[
        str, typer.Option("--input", help="Topic with the values, as Telegraf writes them.")
    ] = "opc",
    output_topic: Annotated[str, typer.Option("--output", help="Topic for the results.")] = "model",
    dead_letter: Annotated[
        str, typer.Option(help="Topic for records that cannot be used.")
    ] = "opc.dead-letter",
    changelog: Annotated[
        str, typer.Option(help="Topic for the state, compacted, partitions as the input.")
    ] = "model.changelog",
    group: Annotated[str, typer.Option(help="Consumer group.")] = "stream-model",
    instance: Annotated[
        str | None,
        typer.Option(
            help="This process' own name in the group. Started again, it has its partitions back "
            "at once, however it ended. No two that run may have the same."
        ),
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="Where to serve Prometheus metrics, as ADDRESS:PORT.")
    ] = "127.0.0.1:9102",
    horizon: Annotated[
        str,
        typer.Option(
            help="How late a value may come, by source time, to change results at once: 1s to 1d. "
            "For later ones, the log is read again."
        ),
    ] = "60s",
    lookback: Annotated[
        str | None,
        typer.Option(
            help="How far back the log is read for the state where there is no changelog yet. "
            "Without it: three of the longest declared periods, at least the horizon."
        ),
    ] = None,
) -> None:
    """Compute the site's models from the values on Kafka, and write the results to Kafka."""
    try:
        address, port = parse_address("--metrics", metrics)
        settings = Settings(
            site=site,
            bootstrap_servers=check_bootstrap_servers("--bootstrap-servers", bootstrap_servers),
            input=input_topic,
            output=output_topic,
            dead_letter=dead_letter,
            changelog=changelog,
            group=group,
            instance=check_instance("--instance", instance),
            metrics_address=address,
            metrics_port=port,
            horizon_ms=parse_duration("--horizon", horizon),
            lookback_ms=0 if lookback is None else parse_duration("--lookback", lookback),
        )
    except FieldlineError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_CONFIGURATION) from error
    # Kafka's client and NumPy take their time to load; --help should not.
    from stream_model.service import serve

    run(lambda stop: serve(settings, stop))


def main() -> None:
    """Entry point of the script `stream-model`."""
    app()
