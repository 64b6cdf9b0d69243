"""`fieldline ready`: wait until a server answers, or could start; what units run around a start.

Kafka and InfluxDB tell systemd nothing of their readiness. With this as ExecStartPost a unit is
active, and a `systemctl restart` done, when the server answers and not when its process exists.

Before its start, Kafka needs room on its disk: started on a full one after an unclean end, 4.1
takes log segments that it can't index for corrupt, and deletes them, its own metadata among them.
InfluxDB needs a new file of its write-ahead log (see `wal`).
And Telegraf's writer needs its place in the consumer groups, which one that was killed still holds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fieldline.arguments import duration_ns
from fieldline.errors import EXIT_UNAVAILABLE, FieldlineError, ServiceError
from fieldline.provision.report import Waiting

# What takes long to load is loaded where it is needed: each start of Kafka waits for `disk`.

app = typer.Typer(
    help="Wait until a server answers, or has room; exit code 69 if that does not come.",
    no_args_is_help=True,
)

# Room comes when somebody, or the retention of something else, has made it: there is no event.
_POLL_S = 1.0

# A start is not held up for what only makes it faster.
_LEAVE_S = 3.0

# A server that recovers its files after a power cut may take many minutes, and must not be killed.
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait for the server.")]


@app.command(epilog="Example: fieldline ready kafka --bootstrap-servers 192.168.0.10:9092")
def kafka(
    bootstrap_servers: Annotated[str, typer.Option(help="ADDRESS:PORT of a broker.")],
    timeout: Timeout = "1h",
) -> None:
    """Wait until the broker answers a request for its topics."""
    from fieldline.provision.kafka_admin import connect

    seconds = duration_ns(timeout) / 1e9

    async def wait() -> None:
        client = await connect(bootstrap_servers, seconds, while_it_runs("Kafka", seconds))
        try:
            await client.list_topics()
        finally:
            await client.close()

    asyncio.run(wait())


@app.command(
    epilog="Example: fieldline ready group --bootstrap-servers 192.168.0.10:9092"
    " --client-id telegraf-db --group telegraf-opc --group telegraf-model"
)
def group(
    bootstrap_servers: Annotated[str, typer.Option(help="ADDRESS:PORT of a broker.")],
    client_id: Annotated[str, typer.Option(help="Of the client that is about to start.")],
    group: Annotated[list[str], typer.Option(help="A consumer group; more than one may be given.")],
) -> None:
    """Give up the places in consumer groups that a killed client has left taken.

    Exit code 0 also where Kafka does not answer: it then waits until their sessions have run out.
    """

    from aiokafka.errors import KafkaError

    from fieldline.provision.kafka_admin import connect
    from fieldline.provision.membership import leave

    async def ask() -> list[str]:
        client = await connect(bootstrap_servers, 0.0, lambda _passed, _cause: None)
        try:
            return await leave(client, group, client_id)
        finally:
            await client.close()

    async def within() -> list[str]:
        return await asyncio.wait_for(ask(), _LEAVE_S)

    try:
        left = asyncio.run(within())
    except (TimeoutError, KafkaError, OSError, FieldlineError) as error:
        cause = getattr(error, "cause", "") or str(error) or type(error).__name__
        print(f"Kafka gives up no place of {client_id}: {cause}", file=sys.stderr)
        return
    for name in left:
        print(f"gone, and out of its group: {name}", file=sys.stderr)


@app.command(epilog="Example: fieldline ready influxdb --url http://127.0.0.1:8086")
def influxdb(
    url: Annotated[str, typer.Option(help="Where InfluxDB listens.")],
    timeout: Timeout = "1h",
) -> None:
    """Wait until InfluxDB says that it is healthy."""
    from fieldline.influx import InfluxClient
    from fieldline.influx.client import wait_until_healthy

    seconds = duration_ns(timeout) / 1e9
    wait_until_healthy(InfluxClient(url), seconds, while_it_runs("InfluxDB", seconds))


@app.command(epilog="Example: fieldline ready disk --path /var/lib/apache-kafka --free-mib 256")
def disk(
    path: Annotated[Path, typer.Option(help="A folder of the file system that is meant.")],
    free_mib: Annotated[int, typer.Option(help="How much has to be free, MiB.", min=1)],
    timeout: Timeout = "1h",
) -> None:
    """Wait until a file system has room."""
    seconds = duration_ns(timeout) / 1e9
    wait_for_room(path, free_mib, seconds, Waiting(f"room on the disk of {path}", seconds))


@app.command(epilog="Example: fieldline ready wal --path /var/lib/influxdb2/engine/wal")
def wal(
    path: Annotated[Path, typer.Option(help="InfluxDB's folder of write-ahead logs.")],
) -> None:
    """Have InfluxDB, which must not run, go on in a new file of its write-ahead log.

    After a full disk or a power cut it would write behind what it then cuts off.
    """
    from fieldline.provision.wal import begin_segments

    try:
        made = begin_segments(path)
    except OSError as error:
        raise ServiceError(
            f"InfluxDB's write-ahead log in {path} cannot be made ready for a start. Make room on"
            " its disk, or give the folder to InfluxDB's user; nothing is lost meanwhile.",
            str(error),
            code=EXIT_UNAVAILABLE,
        ) from error
    for segment in made:
        print(f"a new segment: {segment}", file=sys.stderr)


def while_it_runs(server: str, seconds: float) -> Callable[[float, str], None]:
    """What tells that a server is waited for, and gives up once its process has ended.

    systemd names the process in MAINPID, and would wait for this one here, rather than start the
    server again.

    Raises:
        ServiceError: from what it returns: the process is gone.
    """
    tell = Waiting(server, seconds)
    process = int(os.environ.get("MAINPID") or 0)

    def waiting(passed: float, cause: str) -> None:
        if process:
            try:
                os.kill(process, 0)
            except PermissionError:
                pass  # Somebody else's, and so there.
            except ProcessLookupError:
                raise ServiceError(
                    f"{server} ended before it answered: the lines before this one say why.",
                    cause,
                    code=EXIT_UNAVAILABLE,
                ) from None
        tell(passed, cause)

    return waiting


def wait_for_room(
    path: Path, free_mib: int, seconds: float, waiting: Callable[[float, str], None]
) -> None:
    """Wait until the file system of `path` has `free_mib` MiB for its user.

    Args:
        waiting: called after each look in vain with the seconds since the start and the cause.
    Raises:
        ServiceError: not within `seconds`, or there is no such folder.
    """
    begin = time.monotonic()
    while True:
        try:
            status = os.statvfs(path)
        except OSError as error:
            raise ServiceError(
                f"Give --path a folder that is there and can be read: {path} is none.",
                str(error),
                code=EXIT_UNAVAILABLE,
            ) from None
        free = status.f_bavail * status.f_frsize >> 20
        if free >= free_mib:
            return
        passed, cause = time.monotonic() - begin, f"{free} MiB are free, {free_mib} are needed"
        if passed >= seconds:
            raise ServiceError(
                f"The disk of {path} is full: make room on it (`du -x /var`), or shorten what "
                "site.toml has Kafka or InfluxDB keep.",
                f"{cause} (waited {passed:.0f} s)",
                code=EXIT_UNAVAILABLE,
            )
        waiting(passed, cause)
        time.sleep(min(_POLL_S, max(0.0, seconds - passed)))
