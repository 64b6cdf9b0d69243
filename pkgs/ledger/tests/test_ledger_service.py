"""The service around the rounds: waiting, readiness, stop, command line."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest
import structlog
from fieldline.influx import InfluxRefusedError, InfluxUnreachableError
from fieldline.ledger import Ints
from fieldline.messages.ledger import HOUR_NS, hour_of
from fieldline.service import Notifier, ServiceError
from fieldline.states import LedgerState, decode_state
from fieldline.stream.quiet import Quiet
from ledger.book import Book
from ledger.guard import StoreGuard
from ledger.kafka import Entry
from ledger.metrics import Metrics
from ledger.service import Service
from ledger_fakes import SITE, MemoryLog, MemoryStore, catalogue, history, latest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs


class Told(Notifier):
    """Remembers what the service manager was told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def _send(self, message: str) -> None:
        self.messages.append(message)

    def all(self) -> str:
        return "\n".join(self.messages)

    def shown(self) -> str:
        """The status line as it is."""
        return next((m for m in reversed(self.messages) if "STATUS=" in m), "")


class Run:
    """A service on everything in memory."""

    def __init__(self) -> None:
        of = catalogue()
        self.log, self.store, self.told = MemoryLog(), MemoryStore(of), Told()
        self.stop = asyncio.Event()
        self.service = Service(
            Book(of, 24 * HOUR_NS),
            self.store,
            interval_s=0.0,
            metrics=Metrics(CollectorRegistry()),
            notifier=self.told,
            log=structlog.get_logger(),
            make_log=lambda: self.log,
            quiet=Quiet(),
            retry_s=0.001,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the service work until something holds; its end is an error."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.001)
                if self.running.done():
                    self.running.result()
                    raise AssertionError("it has ended")

    async def __aenter__(self) -> Self:
        self.running = asyncio.ensure_future(self.service.run(self.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.wait_for(asyncio.gather(self.running, return_exceptions=True), 5)


async def test_kafka_and_influxdb_come_late_go_and_come_back() -> None:
    run = Run()
    run.log.down = True
    with capture_logs() as events:
        async with run:
            await run.until(lambda: run.told.all().count("EXTEND_TIMEOUT_USEC=") >= 3)
            run.store.failure = InfluxUnreachableError("http://127.0.0.1:1", "refused")
            run.log.down = False
            await run.until(lambda: "InfluxDB does not answer" in run.told.all())
            assert "READY" not in run.told.all()
            run.store.failure = None
            await run.until(lambda: "READY=1" in run.told.all())
            hour = hour_of(time.time_ns())
            run.store.put("Temperature", [hour, hour + 1])
            run.log.put(history("Temperature", hour, 2))
            await run.until(
                lambda: latest(run.log.ours()).get(("Temperature", hour), {}).get("stored") == 2
            )
            run.log.down = True
            await run.until(lambda: run.told.shown().endswith("is down."))
            run.log.down = False
            await run.until(lambda: "watches 3 variables" in run.told.shown())
    warnings = [event["event"] for event in events if event["log_level"] == "warning"]
    assert warnings.count("Kafka in memory is down.") == 2
    assert sum("InfluxDB" in text for text in warnings) == 1
    assert run.told.messages[-1] == "STOPPING=1"
    assert run.told.all().count("READY=1") == 1
    assert run.running.result() is None


async def test_a_token_that_is_not_valid_ends_it_so_that_the_new_one_is_read() -> None:
    run = Run()
    run.store.failure = InfluxRefusedError("the token is not valid", 401, "unauthorized")
    async with run:
        with pytest.raises(ServiceError, match="token"):
            await run.until(lambda: False)


async def test_what_is_told_is_read_between_two_questions() -> None:
    run = Run()
    done: list[str] = []
    read, hour = run.log.read, run.store.hour

    async def reading() -> Sequence[Entry]:
        done.append("read")
        return await read()

    def asking(begin: int, part: int) -> Ints:
        done.append("asked")
        return hour(begin, part)

    run.log.read, run.store.hour = reading, asking  # type: ignore[method-assign]
    async with run:
        await run.until(lambda: done.count("asked") > 3 * run.store.parts)
    assert ("asked", "asked") not in set(pairwise(done))


class Nobody:
    """An InfluxDB and a Kafka that do not answer; a look at them may fail."""

    def __init__(self, failure: ServiceError | None = None) -> None:
        self.looks = 0
        self._failure = failure

    def writes(self) -> None:
        return None

    def has_room(self) -> bool:
        return False

    def waiting(self) -> None:
        self.looks += 1
        if self._failure is not None:
            raise self._failure


def guarded(nobody: Nobody) -> Run:
    run = Run()
    run.log.down = True
    run.service = Service(
        Book(catalogue(), 24 * HOUR_NS),
        run.store,
        interval_s=0.0,
        metrics=Metrics(CollectorRegistry()),
        notifier=run.told,
        log=structlog.get_logger(),
        make_log=lambda: run.log,
        quiet=Quiet(),
        guard=StoreGuard(
            nobody,
            nobody,
            {},
            metrics=Metrics(CollectorRegistry()),
            log=structlog.get_logger(),
            look_s=0.001,
        ),
    )
    return run


async def test_the_guard_watches_while_kafka_is_away_and_its_state_is_told() -> None:
    nobody = Nobody()
    run = guarded(nobody)
    async with run:
        await run.until(lambda: nobody.looks > 3)
        status, _, pieces = run.service.route("", "")
    state = decode_state(b"".join(pieces), LedgerState)
    assert (status, state.restarts["telegraf"].count) == (200, 0)
    assert Run().service.state() == LedgerState()


async def test_a_guard_that_fails_ends_the_service() -> None:
    async with guarded(Nobody(ServiceError("it hangs"))) as run:
        with pytest.raises(ServiceError, match="hangs"):
            await run.until(lambda: False)


async def test_another_refusal_is_waited_for() -> None:
    run = Run()
    run.store.failure = InfluxRefusedError("no such bucket", 404, "not found")
    async with run:
        await run.until(lambda: run.told.all().count("no such bucket") >= 3)
        run.store.failure = None
        await run.until(lambda: "READY=1" in run.told.all())


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "ledger", *arguments],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_help_has_examples() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "ledger --site site.toml" in done.stdout
    for option in ("--window", "--interval", "--token-file", "--refill", "--restart-file"):
        assert option in done.stdout


def test_wrong_settings_exit_with_78_and_missing_tokens_with_69(tmp_path: Path) -> None:
    token = tmp_path / "token"
    start = ("--site", str(SITE), "--bootstrap-servers", "127.0.0.1:9", "--token-file", str(token))
    done = command(*start, "--window", "1min")
    assert (done.returncode, "--window" in done.stderr) == (78, True)
    done = command(*start, "--restart-file", "grafana=/run/file")
    assert (done.returncode, "--restart-file" in done.stderr) == (78, True)
    done = command(*start, "--metrics", "127.0.0.1:0")
    assert (done.returncode, str(token) in done.stderr) == (69, True)
    token.write_text("t")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command(*start, "--metrics", address)
    assert (done.returncode, address in done.stderr) == (69, True)
    assert "Traceback" not in done.stderr
