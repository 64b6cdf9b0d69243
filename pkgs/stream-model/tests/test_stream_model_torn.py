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


async def torn(
    partitions: int, late: bool, what: str, transactions: int
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
        assert tear(log, "model", transactions)
    if "offsets" in what:
        log.offsets = offsets
    if "group" in what:
        log.offsets.clear()
    rest = values(490, 40, late=False)
    await fill(log, rest)
    with capture_logs() as events:
        await Runner(log, plan=PLAN).drain()
    told = [event["event"] for event in events if event["log_level"] == "error"]
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
@given(partitions=st.integers(1, 3), transactions=st.integers(1, 4))
async def test_what_several_of_them_have_lost_is_made_good(
    what: tuple[str, ...], partitions: int, transactions: int
) -> None:
    # A result that outlived its state and its offset comes again with the revision that it had.
    log, expected, _told = await torn(partitions, False, " ".join(what), transactions)
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
    with capture_logs() as events:
        await Runner(log, plan=PLAN).drain()
    assert [event for event in events if event["log_level"] == "error"] == []
    assert last(log) == reference([*before, *rest, *more])
