"""Hops, series and the screen, from what servers told."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from fieldline.errors import FieldlineError
from fieldline.provision.topics import DEAD_LETTER
from fieldline.service import HttpServer
from fieldline.site import Site, load_site
from fieldline.where.follower import series_of
from fieldline.where.hops import HopTable
from fieldline.where.offsets import KafkaReading, TopicEnd
from fieldline.where.probes import Readings
from fieldline.where.render import render, sparkline
from fieldline.where.scrape import Scrape, Scraper
from fieldline.where.state import OK, Hop, Latency, SeriesState, Snapshot
from prometheus_client import CollectorRegistry, Counter
from rich.console import Console

SITE = load_site(Path(__file__).parents[3] / "site.toml")
NOW = 1_800_000_000 * 10**9

WAY = [
    "server opc",
    "collector collector",
    "topic opc",
    "group stream-model",
    "topic model",
    "group telegraf-opc",
    "group telegraf-model",
    "group telegraf-ledger",
    f"topic {DEAD_LETTER}",
]


def readings(seconds: float) -> Readings:
    """A plant that works, `seconds` after its start."""
    produced = 1000 + round(5 * seconds)
    server = Scrape(
        [
            ("opc_server_values_total", {}, produced),
            ("opc_server_newest_source_time_seconds", {}, NOW / 1e9 - 0.5),
            ("opc_server_sessions", {}, 1.0),
            ("opc_server_time_certain", {}, 0.0),
        ]
    )
    telegraf = Scrape(
        [
            ("internal_write_metrics_written", {"output": "kafka"}, produced),
            ("internal_write_metrics_written", {"output": "prometheus_client"}, 9e9),
            ("internal_write_buffer_size", {"output": "kafka"}, 7.0),
            ("internal_write_metrics_dropped", {"output": "kafka"}, 2.0),
        ]
    )
    kafka = KafkaReading(
        {
            "opc": TopicEnd({0: produced, 1: 10, 2: 0, 3: 0}, NOW // 10**6 - 1500),
            "model": TopicEnd({0: 2 * produced, 1: 0, 2: 0, 3: 0}, NOW // 10**6),
            DEAD_LETTER: TopicEnd({0: 0}, -1),
        },
        {
            "stream-model": {("opc", 0): produced - 4},
            "telegraf-opc": {("opc", 0): produced, ("opc", 1): 10},
            "telegraf-model": {},
        },
    )
    return Readings({"opc": server}, {"collector": telegraf}, kafka)


def by_name(hops: list[Hop]) -> dict[str, Hop]:
    return {f"{hop.kind} {hop.name}": hop for hop in hops}


def test_hops_come_in_the_order_of_the_way_with_rates_lags_and_ages() -> None:
    table = HopTable(SITE)
    table.hops(readings(0), 0.0, NOW)
    hops = table.hops(readings(2), 2.0, NOW)
    assert [f"{hop.kind} {hop.name}" for hop in hops] == WAY
    found = by_name(hops)
    assert found["server opc"].rate == pytest.approx(5.0)
    assert found["server opc"].age_s == pytest.approx(0.5, abs=1e-3)
    assert "not synchronised" in found["server opc"].detail
    assert found["collector collector"].rate == pytest.approx(5.0)
    assert found["collector collector"].lag == 7
    assert found["collector collector"].detail == "2 dropped"
    assert found["topic opc"].age_s == pytest.approx(1.5)
    # Partition 1 was never read by it, and counts whole.
    assert found["group stream-model"].lag == 14
    assert found["group telegraf-opc"].lag == 0
    assert found["group telegraf-model"].state == "it has not read anything yet"
    assert found[f"topic {DEAD_LETTER}"].detail == "empty"


def test_what_cannot_be_reached_says_so_and_the_rest_goes_on() -> None:
    working = readings(0)
    table = HopTable(SITE)
    cut = Readings(
        {"opc": Scrape(problem="unreachable: nothing listens there")},
        {"collector": Scrape([("internal_other", {}, 1.0)])},
        working.kafka,
    )
    found = by_name(table.hops(cut, 0.0, NOW))
    assert found["server opc"].state == "unreachable: nothing listens there"
    assert found["collector collector"].state.startswith("Telegraf has told nothing")
    assert found["topic opc"].state == OK
    cut = replace(working, kafka=KafkaReading(problem="does not answer"))
    found = by_name(table.hops(cut, 0.0, NOW))
    assert found["server opc"].state == OK
    assert {h.state for n, h in found.items() if n.startswith(("topic", "group"))} == {
        "does not answer"
    }
    cut = replace(working, kafka=KafkaReading({}, working.kafka.committed))
    assert "does not exist" in by_name(table.hops(cut, 0.0, NOW))["topic opc"].state


def test_an_existing_server_is_shown_as_such() -> None:
    plc = replace(SITE.servers["opc"], name="plc", own=False, host=None)
    site = replace(SITE, servers={"plc": plc})
    hops = HopTable(site).hops(replace(readings(0), servers={}), 0.0, NOW)
    assert "existing server" in hops[0].state


def large_site(assets: int) -> Site:
    first = SITE.assets[0]
    many = tuple(replace(first, name=f"press{i:04d}") for i in range(assets))
    return replace(SITE, assets=many)


def test_all_series_of_a_small_plant_are_watched() -> None:
    names = [(s.kind, s.name) for s in series_of(SITE)]
    assert names == [
        ("variable", "Temperature"),
        ("variable", "Pressure"),
        ("variable", "SlowSensor"),
        ("model", "model1"),
        ("model", "model2"),
    ]
    assert series_of(SITE)[0].id == "ns=2;i=2"


@pytest.mark.parametrize(
    ("wanted", "count"), [("Temperature", 1), ("Sensors", 5), ("Sensors/model1", 1)]
)
def test_one_series_or_one_asset_can_be_named(wanted: str, count: int) -> None:
    assert len(series_of(SITE, wanted)) == count


def test_what_is_not_declared_is_refused() -> None:
    with pytest.raises(FieldlineError, match='"Humidity" is no variable'):
        series_of(SITE, "Humidity")


def test_of_a_large_plant_some_assets_are_watched_as_a_whole() -> None:
    chosen = series_of(large_site(3000))
    assert len(chosen) <= 200
    assets = {s.asset for s in chosen}
    assert len(chosen) == 5 * len(assets)
    assert min(assets) < "press0100"
    assert max(assets) > "press2800"


def snapshot() -> Snapshot:
    table = HopTable(SITE)
    table.hops(readings(0), 0.0, NOW)
    hops = table.hops(readings(2), 2.0, NOW)
    series = SeriesState(
        "variable", "Sensors", "Temperature", "°C", 20.5, 0x808C0000, NOW, 0.1, [NOW], [20.5]
    )
    empty = SeriesState("model", "Sensors", "model1", "", None, None, None, None, [], [])
    latency = Latency(10, 100.0, 200.0, 210.0, 1, 100.0)
    nothing = Latency(0, None, None, None, 0, None)
    return Snapshot(NOW, hops, [series, empty], 2, 5, latency, nothing)


def test_the_screen_shows_hops_values_and_latency() -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(snapshot()))
    text = console.export_text()
    for part in ("stream-model", "20.5", "°C", "bad 0x808C0000", "p99 200 ms", "more series"):
        assert part in text


def test_a_snapshot_is_one_line_of_json_that_reads_back() -> None:
    line = msgspec.json.encode(snapshot())
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Snapshot) == snapshot()


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([0.0, math.nan, 7.0]) == "▁█"


def test_metrics_are_read_over_http() -> None:
    registry = CollectorRegistry()
    counter = Counter("opc_server_values", "Values", ["kind"], registry=registry)
    counter.labels("good").inc(3)
    counter.labels("bad").inc(4)
    Counter("other", "Not ours", registry=registry).inc()
    server = HttpServer("127.0.0.1", 0, registry=registry)
    server.start()
    scraper = Scraper(f"http://127.0.0.1:{server.port}", "opc_server_")
    scrape = scraper.read()
    assert scrape.problem == ""
    assert scrape.total("opc_server_values_total") == 7
    assert scrape.total("opc_server_values_total", kind="bad") == 4
    assert scrape.total("opc_server_nothing") is None
    assert not any(name.startswith("other") for name, _, _ in scrape.samples)
    server.stop()
    assert Scraper(f"http://127.0.0.1:{server.port}", "x").read().problem == (
        "unreachable: nothing listens there"
    )
