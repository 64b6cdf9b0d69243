"""Hops, series and the screen, from what servers told."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from fieldline.errors import FieldlineError
from fieldline.local import Entry, LocalHost, read_message
from fieldline.provision.topics import DEAD_LETTER
from fieldline.remote.offsets import KafkaReading, TopicEnd
from fieldline.remote.scrape import Scrape, Scraper
from fieldline.service import HttpServer
from fieldline.site import Site, load_site
from fieldline.states import StreamModelState
from fieldline.where.diagnosis import Diagnosis, Named, Note, Stopped
from fieldline.where.follower import series_of
from fieldline.where.hops import HopTable
from fieldline.where.probes import Readings, Told
from fieldline.where.render import render, sparkline
from fieldline.where.state import OK, Hop, LastError, Latency, SeriesState, Snapshot
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
    "writer db",
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
    writer = Scrape(
        [
            ("internal_write_metrics_written", {"output": "influxdb_v2"}, 3 * produced),
            ("internal_write_buffer_size", {"output": "influxdb_v2"}, 3.0),
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
    return Readings({"opc": server}, {"collector": telegraf, "db": writer}, kafka)


def failed(line: str, seconds: float) -> Entry:
    return Entry(NOW - round(seconds * 10**9), read_message(line), line)


def test_the_last_error_stands_at_its_hop() -> None:
    kafka_line = "2026-01-01T00:00:00Z E! [outputs.kafka] run out of available brokers"
    influx_line = "2026-01-01T00:00:00Z E! [outputs.influxdb_v2] no space left on device"
    waits = StreamModelState("0.1.0", waiting="Kafka is away", waiting_since_ns=NOW - 5 * 10**9)

    def errors(site: Site, host: str | None, words: dict[str, Entry]) -> dict[str, str]:
        seen = replace(
            readings(0),
            here=LocalHost(host),
            words=words,
            models={"collector": Told(waits)},
        )
        hops = HopTable(site).hops(seen, 0.0, NOW)
        return {f"{h.kind} {h.name}": h.last_error.text for h in hops if h.last_error is not None}

    model = {"group stream-model": "Kafka is away"}
    assert errors(SITE, None, {"telegraf": failed(kafka_line, 1)}) == model
    assert errors(SITE, "db", {"telegraf": failed(influx_line, 1)}) == {
        **model,
        "writer db": "its disk is full",
    }
    assert errors(SITE, "collector", {"telegraf": failed(kafka_line, 1)})["collector collector"]
    units = {"apache-kafka": failed("ERROR A all log dirs in /x have failed", 1)}
    assert errors(SITE, "db", units)["topic opc"].startswith("Kafka cannot write")
    assert errors(SITE, "opc", {"opc-server": failed("the end", 1)})["server opc"] == "the end"
    assert errors(SITE, "opc", {"deploy-guard": failed("the end", 1)}) == model
    # The later of two.
    words = {"stream-model": failed("The changelog of partition 0 is not one of this version's", 1)}
    assert errors(SITE, "collector", words)["group stream-model"].startswith("The changelog")
    words = {"stream-model": failed("older", 60)}
    assert errors(SITE, "collector", words) == model


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
    assert found["writer db"].rate == pytest.approx(15.0)
    assert found["writer db"].lag == 3


def test_what_cannot_be_reached_says_so_and_the_rest_goes_on() -> None:
    working = readings(0)
    table = HopTable(SITE)
    cut = Readings(
        {"opc": Scrape(problem="unreachable: nothing listens there")},
        {"collector": Scrape([("internal_other", {}, 1.0)]), "db": Scrape(problem="gone")},
        working.kafka,
    )
    found = by_name(table.hops(cut, 0.0, NOW))
    assert found["server opc"].state == "unreachable: nothing listens there"
    assert found["collector collector"].state.startswith("Telegraf has told nothing")
    assert found["topic opc"].state == OK
    assert found["writer db"].state == "gone"
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
    stopped = Stopped(
        "kafka",
        "opc",
        "stopped",
        "Kafka was stopped on db",
        "On db: start it.",
        NOW - 90 * 10**9,
        NOW - 80 * 10**9,
        7,
        1,
        0,
        [Named(f"press{i}/Force", NOW - 90 * 10**9) for i in range(7)],
    )
    missing = replace(stopped, since_ns=None, until_ns=None, never=1, variables=1, models=0)
    note = Note("server", "opc", "clock-ahead", "its clock is ahead", "Set it.")
    found = Diagnosis(NOW, "db", 20, 11, "InfluxDB", [stopped, missing], [note], ["the moon"])
    return Snapshot(NOW, hops, [series, empty], 2, 5, latency, nothing, found)


def shown(seen: Snapshot, rows: int = 30) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(seen, rows, 120))
    return " ".join(console.export_text().split())


def test_the_screen_shows_hops_values_and_latency() -> None:
    text = shown(snapshot())
    for part in ("stream-model", "20.5", "°C", "bad 0x808C0000", "p99 200 ms", "more series"):
        assert part in text


def test_the_screen_says_what_stopped_where_since_when_and_why() -> None:
    text = shown(snapshot())
    for part in (
        "stopped at kafka opc since 2027-01-15 07:58:30 UTC, 90 s: 7 variables, 1 model",
        "(press0/Force, press1/Force, press2/Force, press3/Force, press4/Force and 3 more)",
        "Kafka was stopped on db. On db: start it.",
        "stopped at kafka opc, never had a value: 1 variable (",
        "note: its clock is ahead. Set it.",
        "not seen: the moon",
        "11 of 20 series arrive in InfluxDB",
    ):
        assert part in text, part
    unseen = replace(snapshot().diagnosis or Diagnosis(NOW, "opc", 5, 0, ""), seen_at="")
    assert "cannot be seen from this host" in shown(replace(snapshot(), diagnosis=unseen))
    assert "looking where" in shown(replace(snapshot(), diagnosis=None))
    assert "and 1 more groups" in shown(snapshot(), rows=5)


def test_a_hop_shows_its_last_error() -> None:
    def text(state: str, seconds: int) -> str:
        error = LastError("its disk is full", "Free space.", NOW - seconds * 10**9, "db")
        seen = snapshot()
        hops = [h for h in seen.hops if h.kind != "writer"]
        hops.append(Hop("writer", "db", state, last_error=error))
        return shown(replace(seen, hops=hops))

    assert "writer db, 60 s ago: its disk is full. Free space." in text(OK, 60)
    assert "writer db, 50 min ago: its disk is full. Free space." in text("gone", 3000)
    # What works again is shown without its past.
    assert "its disk is full" not in text(OK, 3000)


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
