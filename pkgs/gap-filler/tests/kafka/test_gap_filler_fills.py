"""Holes are filled on a real Kafka, from a server in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from asyncua import ua
from fieldline.messages import decode_opc
from fieldline.messages.ledger import HOUR_NS, Refill, decode_ledger, encode_refill, hour_of
from fieldline.messages.telegraf import HEADERS, partition_of
from gap_filler import guard
from gap_filler.staleness import Restarts
from gap_filler_plant import FLOW, PARTITIONS, Plant, filled, node, past, samples, serve
from gap_filler_server import SECOND, Sample

pytestmark = pytest.mark.kafka

BAD = 0x808C0000


async def test_exactly_the_hole_is_filled(plants: Callable[..., Any]) -> None:
    plant: Plant = await plants()
    begin = past(120)
    serve(plant, 60, begin)
    for variable in plant.variables:
        await plant.collect(variable, [s for s in samples(60, begin) if not 20 <= s[1] < 40])
    await plant.start()
    await filled(plant, begin + 60 * SECOND)
    for variable in plant.variables:
        assert sorted(await plant.times(variable)) == [s[0] for s in samples(60, begin)]
    assert plant.metric("filled_values_total", server="plc") == 20 * len(plant.variables)
    assert plant.metric("unfilled_values_total", server="plc") == 0


async def test_filled_records_are_as_the_others(plants: Callable[..., Any]) -> None:
    plant: Plant = await plants(1)
    begin = past(60)
    values: list[Sample] = [(begin, 20.0, 0), (begin + SECOND, 21.25, 0x40900000)]
    plant.server.history.samples[node(*FLOW)] = values
    await plant.collect(FLOW, values)
    [first, second] = await plant.records()
    # The same values of the other variable, which nobody has collected.
    plant.server.history.samples[node("pump1", "Level")] = values
    await plant.start()
    await filled(plant, begin + 10 * SECOND)
    records = (await plant.records())[2:]
    assert [r.value for r in records] == [
        r.value.replace(b"Flow", b"Level") for r in (first, second)
    ]
    for record in records:
        assert (record.key, list(record.headers)) == (b"pump1", HEADERS)
        assert record.partition == partition_of(b"pump1", PARTITIONS) == first.partition


async def test_values_without_a_number_are_filled_with_their_quality(
    plants: Callable[..., Any],
) -> None:
    plant: Plant = await plants(1)
    begin = past(60)
    plant.server.history.samples[node(*FLOW)] = [
        (begin, ua.Variant(None), BAD),
        (begin + SECOND, float("nan"), 0),
        (begin + 2 * SECOND, "a<b", 0),
    ]
    await plant.start()
    await filled(plant, begin + 10 * SECOND)
    fields = [json.loads(record.value)["fields"] for record in await plant.records()]
    good = "The operation succeeded. StatusGood (0x0)"
    assert [field["Quality"] for field in fields[1:]] == [good, good]
    assert fields[0].keys() == fields[1].keys() == {"Quality"}
    assert fields[2]["Flow"] == "a<b"


# BadLocked: none of those that Telegraf is told to pass on.
LOCKED = 0x80B50000


async def test_a_quality_that_telegraf_has_overwritten_is_mended(
    plants: Callable[..., Any],
) -> None:
    plant: Plant = await plants(1)
    begin = past(60)
    value, bad = (begin, 1.5, 0), (begin + SECOND, ua.Variant(None), LOCKED)
    plant.server.history.samples[node(*FLOW)] = [value, bad]
    # What Telegraf makes of it: the value before, at its own time, with the new status.
    await plant.collect(FLOW, [value, (begin, 1.5, LOCKED)])
    await plant.start()
    await filled(plant, begin + 10 * SECOND)
    last = {}
    for record in await plant.records():
        read = decode_opc(record.value)
        last[read.time] = (read.value, read.quality)
    assert last == {begin: (1.5, 0), begin + SECOND: (None, LOCKED)}
    # And once more, when the window is closed.
    await plant.collect(FLOW, [(begin, 1.5, LOCKED)])
    await plant.until(lambda: plant.metric("mended_values_total", server="plc") == 1)
    assert decode_opc((await plant.records())[-1].value).quality == 0


@pytest.mark.parametrize("counts", [True, False], ids=["counts", "values alone"])
async def test_a_restart_goes_on_where_it_was(plants: Callable[..., Any], counts: bool) -> None:
    plant: Plant = await plants(1)
    plant.server.history.counts = counts
    begin = past(120)
    serve(plant, 30, begin)
    await plant.start()
    await filled(plant, begin + 30 * SECOND)
    await plant.stop()
    position = round(plant.metric("position_seconds", server="plc")) * SECOND
    before = len(await plant.records())
    assert before == 30 * len(plant.variables)
    # More comes while nobody fills.
    for variable in plant.variables:
        plant.server.history.samples[node(*variable)] += samples(3, position)
    await plant.start()
    await filled(plant, position + 3 * SECOND)
    for variable in plant.variables:
        times = [*samples(30, begin), *samples(3, position)]
        assert sorted(await plant.times(variable)) == [s[0] for s in times]


async def test_the_ledger_has_the_hours_totals_over_a_restart(plants: Callable[..., Any]) -> None:
    plant: Plant = await plants(1)
    # Within one hour, whatever the time is now.
    begin = hour_of(time.time_ns()) - HOUR_NS + 60 * SECOND
    serve(plant, 60, begin)
    await plant.collect(FLOW, [*samples(40, begin), *samples(3, begin)])
    await plant.start()
    await filled(plant, begin + 60 * SECOND)
    await plant.stop()
    await plant.start()
    assert plant.service is not None
    [feed] = plant.service._reader._feeds
    await plant.service._teller.tell(feed)
    totals = [decode_ledger(record.value) for record in await plant.records("opc.ledger")]
    [row] = [r for r in totals if r.tags.variable == "Flow" and r.timestamp == hour_of(begin)]
    assert row.fields == {
        "produced": 60,
        "received": 60,
        "missing": 0,
        "filled": 20,
        # The values that were put there minutes after their source time.
        "late": 40,
        "doubled": 3,
    }


async def test_a_request_is_answered_and_committed(plants: Callable[..., Any]) -> None:
    plant: Plant = await plants(1)
    begin = past(120)
    serve(plant, 60, begin)
    for variable in plant.variables:
        await plant.collect(variable, samples(60, begin))
    await plant.start()
    await filled(plant, begin + 60 * SECOND)
    before = len(await plant.times(FLOW))
    await plant.request(b"{")
    await plant.request(encode_refill(Refill("elsewhere", "Flow", begin, begin + SECOND)))
    for since in (10, 12):
        wanted = Refill(*FLOW, begin + since * SECOND, begin + (since + 5) * SECOND)
        await plant.request(encode_refill(wanted))
    await plant.until(lambda: plant.metric("refilled_values_total", server="plc") >= 7)
    await plant.until(lambda: plant.metric("refills_total", outcome="done") >= 1)
    again = (await plant.times(FLOW))[before:]
    assert sorted(set(again)) == [begin + i * SECOND for i in range(10, 17)]
    assert plant.metric("refills_total", outcome="unreadable") == 1


async def test_what_does_not_fit_into_memory_is_read_once_more(
    plants: Callable[..., Any],
) -> None:
    plant: Plant = await plants(1)
    plant.memory_values = 50
    begin = past(120)
    serve(plant, 90, begin)
    for variable in plant.variables:
        await plant.collect(variable, [s for s in samples(90, begin) if s[1] // 10 % 3])
    before = len(await plant.records())
    await plant.start()
    await filled(plant, begin + 90 * SECOND)
    assert plant.metric("rereads_total") >= 1
    assert plant.metric("filled_values_total", server="plc") == 30 * len(plant.variables)
    assert len(await plant.records()) == before + 30 * len(plant.variables)
    for variable in plant.variables:
        assert sorted(await plant.times(variable)) == [s[0] for s in samples(90, begin)]


async def test_kafka_may_be_away(plants: Callable[..., Any], kafka: Any) -> None:
    plant: Plant = await plants(1)
    begin = past(120)
    serve(plant, 20, begin)
    await plant.start()
    await filled(plant, begin + 20 * SECOND)
    kafka.kill()
    await plant.until(lambda: plant.metric("kafka_connected") == 0)
    now = past(5)
    plant.server.history.samples[node(*FLOW)] += samples(3, now)
    kafka.start()
    await filled(plant, now + 3 * SECOND)
    assert set(await plant.times(FLOW)) >= {now, now + SECOND, now + 2 * SECOND}


async def test_a_server_without_history_is_said_once(plants: Callable[..., Any]) -> None:
    plant: Plant = await plants(1)
    plant.server.history.offered = False
    await plant.collect(FLOW, samples(3, past(60)))
    await plant.start()
    await plant.until(lambda: plant.metric("windows_total", server="plc") >= 1)
    assert plant.service is not None
    assert plant.service.state().servers["plc"].history is False
    assert plant.metric("filled_values_total", server="plc") == 0


async def test_a_dead_subscription_asks_for_a_restart(
    plants: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Restarts, "_SOON_NS", 0)
    monkeypatch.setattr(guard, "_STEADY_S", 0)
    plant: Plant = await plants(1)
    await plant.start()
    assert plant.service is not None
    [feed] = plant.service._reader._feeds
    await plant.until(lambda: plant.service._reader.caught_up_at is not None)
    # As if nothing had come for long.
    feed.arrived_ns[:] = 0
    for variable in plant.variables:
        await plant.server.write(node(*variable), (past(0), 1.0, 0), record=False)
    await plant.until((plant.settings.restart or plant._folder / "x").exists)
    state = plant.service.state()
    assert state.restarts["telegraf"].count == 1
    assert {stale.hop for stale in state.stale} == {"subscription"}
    assert state.variables["pump1/Flow"].server_ns is not None
    # It comes again: no longer stale.
    await plant.collect(FLOW, samples(1, past(0)))
    await plant.until(
        lambda: "Flow" not in {stale.variable for stale in plant.service.state().stale}
    )
