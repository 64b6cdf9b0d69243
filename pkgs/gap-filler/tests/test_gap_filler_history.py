"""Histories of all kinds, good and bad, of a real OPC UA server in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from gap_filler import session as sessions
from gap_filler.history import History, NoHistoryError
from gap_filler.metrics import Metrics
from gap_filler.opcua import node_id
from gap_filler.plan import make_plans
from gap_filler.session import Credentials, Session, SessionError
from gap_filler_server import SECOND, FakeServer, Sample, site_of
from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODES = [f"ns=2;s=pump{pump}.{name}" for pump in (1, 2) for name in ("Flow", "Level")]
BEGIN = time.time_ns() // SECOND * SECOND - 60 * SECOND
END = BEGIN + 10 * SECOND
UNKNOWN = 0x80340000


class Asked:
    """A server, a session with it, and its history as the gap filler asks for it."""

    def __init__(self, server: FakeServer, folder: Path) -> None:
        self.server = server
        self.registry = CollectorRegistry()
        [plan] = make_plans(site_of(folder, server.endpoint), "all")
        log = structlog.stdlib.get_logger("gap-filler")
        self.session = Session(plan.server, Credentials(), log)
        self.history = History(plan, self.session, Metrics(self.registry), log)
        self.task = asyncio.create_task(self.session.run(lambda: None))

    async def read(self, *indices: int) -> tuple[dict[int, list[int]], dict[int, int]]:
        """Source times by variable, and what was refused."""
        values: dict[int, list[int]] = {}
        failed: dict[int, int] = {}
        async for part in self.history.read(indices or range(len(NODES)), BEGIN, END):
            values |= {index: found.times.tolist() for index, found in part.values.items()}
            failed |= part.failed
        return values, failed

    def bad(self, kind: str) -> float:
        labels = {"server": "plc", "kind": kind}
        return self.registry.get_sample_value("gap_filler_bad_history_total", labels) or 0.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[FakeServer]:
    """One for all tests here; each gets a new history in it."""
    made = FakeServer(NODES)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def asked(server: FakeServer, tmp_path: Path) -> AsyncIterator[Asked]:
    server.forget()
    made = Asked(server, tmp_path)
    await made.session.up()
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


def seconds(count: int) -> list[Sample]:
    return [(BEGIN + i * SECOND, float(i), 0) for i in range(count)]


def times(samples: list[Sample]) -> list[int]:
    return [sample[0] for sample in samples]


async def test_values_come_in_pages_of_any_size(asked: Asked) -> None:
    held = asked.server.history
    held.samples = {NODES[0]: seconds(10), NODES[2]: seconds(4)}
    for page in (1, 3, 100):
        held.page = page
        values, failed = await asked.read()
        assert values == {0: times(seconds(10)), 1: [], 2: times(seconds(4)), 3: []}
        assert not failed
    assert asked.history.offered is True


async def test_an_interval_includes_its_begin_and_not_its_end(asked: Asked) -> None:
    asked.server.history.samples[NODES[0]] = [(t, 1.0, 0) for t in (BEGIN - 1_000, BEGIN, END)]
    assert (await asked.read(0))[0] == {0: [BEGIN]}


async def test_counts_are_of_good_values_and_say_where_there_are_others(asked: Asked) -> None:
    asked.server.history.samples = {
        NODES[0]: seconds(7),
        NODES[1]: [*seconds(2), (BEGIN + 5 * SECOND, 1.0, 0x808C0000)],
    }
    assert (await asked.history.counts(BEGIN, END)).tolist() == [7, -1, 0, 0]


async def test_a_server_without_counts_or_without_history_says_so(asked: Asked) -> None:
    held = asked.server.history
    held.counts = False
    with pytest.raises(NoHistoryError):
        await asked.history.counts(BEGIN, END)
    assert asked.history.offered is None
    held.offered = False
    with pytest.raises(NoHistoryError):
        await asked.read()
    assert asked.history.offered is False
    with pytest.raises(NoHistoryError):
        await asked.history.first_ns(BEGIN, END)
    held.offered = held.counts = True
    asked.history.forget()
    assert (await asked.history.counts(BEGIN, END)).tolist() == [0, 0, 0, 0]


async def test_a_node_that_is_refused_hides_no_other(asked: Asked) -> None:
    held = asked.server.history
    held.samples = {node: seconds(3) for node in NODES}
    held.refused[NODES[1]] = UNKNOWN
    values, failed = await asked.read()
    assert failed == {1: UNKNOWN}
    assert values == {index: times(seconds(3)) for index in (0, 2, 3)}
    assert (await asked.history.counts(BEGIN, END)).tolist() == [3, -1, 3, 3]
    assert asked.bad("refused") == 1


async def test_a_history_that_does_not_end_is_ended(asked: Asked) -> None:
    asked.server.history.samples[NODES[0]] = seconds(5)
    asked.server.history.endless = True
    values, _ = await asked.read(0, 1)
    assert values == {0: times(seconds(5)), 1: []}
    assert asked.bad("endless") == 2


async def test_broken_times_are_counted_and_left_out(asked: Asked) -> None:
    good = seconds(3)
    asked.server.history.samples[NODES[0]] = [
        good[2],
        good[0],
        # Of two values of one time the last one holds.
        (good[1][0], -1.0, 0),
        good[1],
        (0, 7.0, 0),
    ]
    async for part in asked.history.read([0], BEGIN, END):
        assert part.values[0].times.tolist() == times(good)
        assert [part.values[0].value(place) for place in range(3)] == [0.0, 1.0, 2.0]
    assert asked.bad("no-time") == asked.bad("unordered") == asked.bad("doubled") == 1


async def test_the_oldest_value_is_found_in_one_look(asked: Asked) -> None:
    assert await asked.history.first_ns(BEGIN, END) is None
    asked.server.history.samples = {NODES[0]: seconds(9)[4:], NODES[3]: seconds(9)[2:]}
    assert await asked.history.first_ns(BEGIN, END) == BEGIN + 2 * SECOND


async def test_a_server_that_never_answers_is_given_up_and_met_again(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.server.history.hang = True
    monkeypatch.setattr(sessions, "REQUEST_S", 0.1)
    for _ in range(2):
        with pytest.raises(SessionError):
            await asked.read(0)
    assert not asked.session.connected
    assert asked.session.problem == "it does not answer"
    monkeypatch.undo()
    asked.server.history.hang = False
    asked.server.history.samples[NODES[0]] = seconds(1)
    await asked.session.up()
    assert (await asked.read(0))[0] == {0: [BEGIN]}
    assert asked.session.sessions == 2


async def test_a_server_that_goes_and_comes_is_met_again(asked: Asked) -> None:
    port = asked.server.port
    await asked.server.stop()
    async with asyncio.timeout(60):
        while asked.session.connected:
            try:
                await asked.read(0)
            except SessionError:
                break
    assert asked.session.problem
    asked.server.port = port
    await asked.server.start()
    async with asyncio.timeout(60):
        await asked.session.up()
    assert asked.session.problem == ""


async def test_the_current_values_are_read_with_status_and_time(asked: Asked) -> None:
    await asked.server.write(NODES[0], (BEGIN, 3.5, 0x40900000))
    unknown = node_id("ns=2;s=nowhere")
    found: list[Any] = await asked.session.read([asked.history._nodes[0], unknown])
    assert (found[0].Value.Value, int(found[0].StatusCode.value)) == (3.5, 0x40900000)
    assert int(found[1].StatusCode.value) == UNKNOWN
