"""`fieldline provision`: bring Kafka and InfluxDB to what the site declares."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from fieldline.arguments import DEFAULT_SITE, Json, Site, duration_ns
from fieldline.influx import InfluxClient
from fieldline.influx.client import read_token, wait_until_healthy
from fieldline.provision.influxdb import Secrets, check_influxdb, ensure_influxdb
from fieldline.provision.kafka_admin import KafkaAdmin, connect
from fieldline.provision.report import Action, Waiting, show
from fieldline.provision.topics import declared_topics, ensure_topics
from fieldline.provision.transactions import end_hanging
from fieldline.site import load_site

app = typer.Typer(
    help="Bring Kafka and InfluxDB to what the site declares; repeat it as often as you like.",
    no_args_is_help=True,
)

Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait for the server.")]


@app.command(
    epilog="Example: fieldline provision kafka --site /etc/fieldline/site.toml "
    "--bootstrap-servers 192.168.0.10:9092"
)
def kafka(
    bootstrap_servers: Annotated[str, typer.Option(help="ADDRESS:PORT of a broker.")],
    site: Site = DEFAULT_SITE,
    timeout: Timeout = "120s",
    as_json: Json = False,
) -> None:
    """Create the site's topics, opc.dead-letter and model.changelog, and configure them.

    Another number of partitions than declared is refused, and then nothing is changed. A
    transaction that was left open and that nobody will end, since Kafka's disk has lost what its
    coordinator knew, is aborted: those who read committed records would wait for ever.
    """
    declared = declared_topics(load_site(site))
    seconds = duration_ns(timeout) / 1e9

    async def ensure() -> list[Action]:
        client = await connect(bootstrap_servers, seconds, Waiting("Kafka", seconds))
        try:
            topics = await ensure_topics(KafkaAdmin(client), declared)
            return topics + await end_hanging(client)
        finally:
            await client.close()

    show(asyncio.run(ensure()), as_json=as_json)


@app.command(
    epilog="Example: fieldline provision influxdb --site /etc/fieldline/site.toml "
    "--url http://127.0.0.1:8086 --admin-password-file /run/credentials/"
    "influxdb-provision.service/influxdb-admin-password --admin-token-file /run/credentials/"
    "influxdb-provision.service/influxdb-admin-token "
    "--token-directory /var/lib/influxdb-provision"
)
def influxdb(
    admin_password_file: Annotated[Path, typer.Option(help="The user's password, 8 to 72 bytes.")],
    admin_token_file: Annotated[Path, typer.Option(help="The operator's token, chosen by you.")],
    token_directory: Annotated[Path, typer.Option(help="Gets a file for each service's token.")],
    site: Site = DEFAULT_SITE,
    url: Annotated[str, typer.Option(help="Default: 127.0.0.1 with the site's port.")] = "",
    timeout: Timeout = "120s",
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing: tell whether password and token are right."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Set InfluxDB up, or bring it to the site's bucket, retention, user and tokens.

    Files of the token directory, mode 0400: influxdb-writer-token, influxdb-reader-token,
    influxdb-grafana-token. A lost or invalid one is made anew. No secret is ever printed.
    """
    declared = load_site(site).influxdb
    secrets = Secrets(read_token(admin_password_file), read_token(admin_token_file))
    where = url or f"http://127.0.0.1:{declared.port}"
    seconds = duration_ns(timeout) / 1e9
    wait_until_healthy(InfluxClient(where), seconds, Waiting("InfluxDB", seconds))
    if check:
        show(check_influxdb(where, declared, secrets), as_json=as_json)
        return
    show(ensure_influxdb(where, declared, secrets, token_directory), as_json=as_json)
