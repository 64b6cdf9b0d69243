"""`fieldline ready`: wait until a server answers; what a unit runs after its start.

Kafka and InfluxDB tell systemd nothing of their readiness. With this as ExecStartPost a unit is
active, and a `systemctl restart` done, when the server answers and not when its process exists.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from fieldline.influx import InfluxClient
from fieldline.influx.arguments import duration_ns
from fieldline.influx.client import wait_until_healthy
from fieldline.provision.kafka_admin import connect
from fieldline.provision.report import Waiting

app = typer.Typer(
    help="Wait until a server answers; exit code 69 if it does not.", no_args_is_help=True
)

# A server that recovers its files after a power cut may take many minutes, and must not be killed.
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait for the server.")]


@app.command(epilog="Example: fieldline ready kafka --bootstrap-servers 192.168.0.10:9092")
def kafka(
    bootstrap_servers: Annotated[str, typer.Option(help="ADDRESS:PORT of a broker.")],
    timeout: Timeout = "1h",
) -> None:
    """Wait until the broker answers a request for its topics."""
    seconds = duration_ns(timeout) / 1e9

    async def wait() -> None:
        client = await connect(bootstrap_servers, seconds, Waiting("Kafka", seconds))
        try:
            await client.list_topics()
        finally:
            await client.close()

    asyncio.run(wait())


@app.command(epilog="Example: fieldline ready influxdb --url http://127.0.0.1:8086")
def influxdb(
    url: Annotated[str, typer.Option(help="Where InfluxDB listens.")],
    timeout: Timeout = "1h",
) -> None:
    """Wait until InfluxDB says that it is healthy."""
    seconds = duration_ns(timeout) / 1e9
    wait_until_healthy(InfluxClient(url), seconds, Waiting("InfluxDB", seconds))
