"""What a disk has lost of state, offsets or results is made good from what is left."""

from __future__ import annotations

import pytest
from fieldline.stream import changelog, engine
from fieldline.stream.memory import MemoryLog
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_model_reference import SECOND, START, make_plan, reference, value
from stream_model_run import Runner, fill, make_log, results
from structlog.testing import capture_logs

ASSETS = "pqrs"
PLAN = make_plan(ASSETS)


@pytest.fixture(autouse=True, scope="module")
def _small():
    """Small transactions and changelogs, so that a short log has many of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "MAX_RECORDS", 7)
        patch.setattr(engine, "_COMMIT_RECORDS", 15)
        patch.setattr(engine, "POLL_S", 0.001)
        patch.setattr(changelog, "_LEAST_ENTRIES_BYTES", 200)
        yield


def values(first: int, count: int, *, late: bool):
    """Values of all assets and inputs in turn; some of them come late, within the window or not."""
    found = []
    for n in range(first, first + count):
        behind = (40, 90)[n % 2] if late and n > 300 and n % 23 < 2 else 0
        time = START + (n // 4 - behind) * SECOND + n
        found.append(value(ASSETS[n % 4], "ABC"[n // 4 % 3], time, n % 90))
    return found


def tear(log: MemoryLog, topic: str, transactions: int) -> int:
    """Cut the records of the last transactions off each partition; gives how many there were."""
    lost = 0
    for partition in log.records[topic]:
        found = list(dict.fromkeys(id(record.transaction) for record in partition))
        gone = set(found[-transactions:])
        while partition and id(partition[-1].transaction) in gone:
            partition.pop()
            lost += 1
    return lost


def last(log: MemoryLog) -> dict[tuple[str, str, int], float]:
    """What a reader has in the end; asserts that revisions rise, so that none comes twice."""
    values: dict[tuple[str, str, int], float] = {}
    revisions: dict[tuple[str, str, int], int] = {}
    for result in results(log):
        key = (result.asset, result.name, result.timestamp)
        assert result.revision > revisions.get(key, -1), result
        values[key], revisions[key] = result.value, result.revision
    return values


async def drain(log: MemoryLog) -> list[str]:
    """Take all there is; gives the errors that were told."""
    with capture_logs() as events:
        await Runner(log, plan=PLAN).drain()
    return [event["event"] for event in events if event["log_level"] == "error"]


async def torn(
    partitions: int, late: bool, what: str, transactions: int, results_lost: int = 0
) -> tuple[MemoryLog, dict, list[str]]:
    """Lose something, and go on; gives the log, what is right, and the errors that were told."""
    log = make_log(partitions, outputs=2)
    before = values(0, 400, late=late)
    await fill(log, before)
    await Runner(log, plan=PLAN).drain()
    more = values(400, 90, late=late)
    await fill(log, more)
    offsets = dict(log.offsets)
    await Runner(log, plan=PLAN).drain()
    if "state" in what:
        assert tear(log, "model.changelog", transactions)
    if "results" in what:
        assert tear(log, "model", results_lost or transactions)
    if "offsets" in what:
        log.offsets = offsets
    if "group" in what:
        log.offsets.clear()
    rest = values(490, 40, late=False)
    await fill(log, rest)
    told = await drain(log)
    return log, reference([*before, *more, *rest]), told


SAID = {
    "state": "the state is behind the group's offset",
    "results": "the last outputs are not in their topic",
    "offsets": "the group's offset is behind the state",
    "group": "the group's offset is behind the state",
}


@pytest.mark.parametrize("what", SAID)
@pytest.mark.parametrize("late", [False, True], ids=["in order", "late ones too"])
@settings(max_examples=15)
@given(partitions=st.integers(1, 3), transactions=st.integers(1, 4))
async def test_what_one_of_them_has_lost_is_made_good(
    what: str, late: bool, partitions: int, transactions: int
) -> None:
    log, expected, told = await torn(partitions, late, what, transactions)
    assert last(log) == expected
    # The end of the state may be a recomputation, which is done again.
    assert told or (late and what == "state")
    assert all(SAID[what] in line for line in told)


@pytest.mark.parametrize(
    "what", [("state", "results"), ("results", "offsets"), ("state", "results", "offsets")],
    ids=" and ".join,
)  # fmt: skip
@settings(max_examples=15)
@given(partitions=st.integers(1, 3), transactions=st.integers(1, 4), results_lost=st.integers(1, 4))
async def test_what_several_of_them_have_lost_is_made_good(
    what: tuple[str, ...], partitions: int, transactions: int, results_lost: int
) -> None:
    # A result that outlived its state and its offset comes again with the revision that it had.
    log, expected, _told = await torn(partitions, False, " ".join(what), transactions, results_lost)
    assert {(r.asset, r.name, r.timestamp): r.value for r in results(log)} == expected


async def test_nothing_is_given_again_where_nothing_was_lost() -> None:
    log, expected, told = await torn(2, True, "nothing", 0)
    assert (last(log), told) == (expected, [])


@settings(max_examples=15)
@given(partitions=st.integers(1, 2), place=st.integers(0, 10**6))
async def test_a_changelog_that_has_a_hole_is_not_used(partitions: int, place: int) -> None:
    log = make_log(partitions, outputs=2)
    before = values(0, 400, late=False)
    await fill(log, before)
    await Runner(log, plan=PLAN).drain()
    for partition in log.records["model.changelog"]:
        needed = [r.key for r in partition]
        gone = needed[place % len(needed)]
        partition[:] = [record for record in partition if record.key != gone]
    rest = values(400, 100, late=False)
    await fill(log, rest)
    for _ in range(2):
        # What it writes then is whole again.
        await Runner(log, plan=PLAN).drain()
        more = values(500, 20, late=False)
        await fill(log, more)
    assert await drain(log) == []
    assert last(log) == reference([*before, *rest, *more])


async def test_results_are_looked_for_though_the_last_step_gave_none() -> None:
    log = make_log(1, outputs=1)
    before = values(0, 200, late=False)
    await fill(log, before)
    await drain(log)
    # A repeat and a variable that no model takes: an entry without a result.
    await fill(log, [before[-1], value("p", "Unused", before[-1].time + 1)])
    await drain(log)
    assert tear(log, "model", 2)
    rest = values(200, 4, late=False)
    await fill(log, rest)
    assert any(SAID["results"] in line for line in await drain(log))
    assert last(log) == reference([*before, *rest])


async def test_results_of_a_model_that_is_behind_are_given_again() -> None:
    """What it took last came long before it was taken."""
    log = make_log(1, outputs=1)
    before = values(0, 200, late=False)
    await fill(log, before)
    await drain(log)
    written = START // 10**6 + 3_600_000
    for name in ("model", "model.changelog"):
        (partition,) = log.records[name]
        partition[:] = [record._replace(timestamp=written) for record in partition]
    assert tear(log, "model", 2)
    rest = values(200, 4, late=False)
    await fill(log, rest)
    assert any(SAID["results"] in line for line in await drain(log))
    assert last(log) == reference([*before, *rest])


async def test_results_that_a_late_value_had_revised_are_given_again() -> None:
    """Of a slow input, beyond the horizon, with all ticks since then."""
    times = [START + n * SECOND for n in range(200)]
    before = [value("p", name, START, 1) for name in "ABC"]
    before += [value("p", "A", time, n % 50) for n, time in enumerate(times[1:], 1)]
    slow = value("p", "C", times[90], 7)
    for what in ("state", "results"):
        log = make_log(1, outputs=1)
        await fill(log, before)
        await drain(log)
        await fill(log, [slow])
        await drain(log)
        # The step's, and that of the recomputation of what is before the horizon.
        if what == "results":
            assert tear(log, "model", 2)
        assert tear(log, "model.changelog", 2)
        rest = [value("p", "A", times[-1] + SECOND, 3)]
        await fill(log, rest)
        assert await drain(log)
        assert last(log) == reference([*before, slow, *rest])


async def test_a_recomputation_waits_for_what_is_given_again() -> None:
    log = make_log(1, outputs=1)
    before = values(0, 400, late=False)
    await fill(log, before)
    runner = Runner(log, plan=PLAN)
    await runner.drain()
    assert tear(log, "model", 1)
    again = Runner(log, plan=PLAN)
    await again.broker.open()
    await again.engine.round()
    processor = again.engine.partitions[0].processor
    processor.state.repairs.mark("p", START, START + SECOND, 0)
    assert processor.rereading(len(log.input[0]), 10**6) is None
    assert processor.rereading(len(log.input[0]), 2 * 10**6) is None
    await again.engine.close()
    await again.broker.close()
