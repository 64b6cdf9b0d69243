"""Reading a site: what comes of a right one, and how a wrong one is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fieldline.errors import FieldlineError
from fieldline.site import (
    Mistake,
    NodeId,
    RandomWalk,
    Replay,
    Site,
    SiteError,
    Sysfs,
    check_text,
    find_site,
    load_site,
)

ROOT = Path(__file__).resolve().parents[3]
RIGHT = ROOT / "tests/sites/right"


@pytest.fixture(scope="module")
def plant() -> Site:
    return load_site(ROOT / "site.toml")


def right(name: str) -> Site:
    return load_site(RIGHT / f"{name}.toml")


def changed(*changes: tuple[str, str]) -> bytes:
    text = (ROOT / "site.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def refused(data: bytes) -> tuple[Mistake, ...]:
    with pytest.raises(SiteError) as caught:
        check_text(data, "plant.toml")
    return caught.value.mistakes


def test_hosts_and_servers(plant: Site) -> None:
    assert list(plant.hosts) == ["opc", "collector", "db"]
    assert plant.hosts["opc"].platforms == ("raspberry", "vbox")
    server = plant.servers["opc"]
    assert server.own
    assert server.endpoint == "opc.tcp://192.168.0.5:4840"
    assert server.collector == "collector"
    assert server.record_ms == 24 * 3600 * 1000
    assert server.record_flush_ms == 10_000
    assert plant.network.family == 4
    assert plant.path == ROOT / "site.toml"


def test_types_and_assets(plant: Site) -> None:
    temperature = plant.types["sensors"].variables["Temperature"]
    assert (temperature.unit, temperature.range, temperature.period_ms) == ("°C", (-50, 150), 200)
    assert temperature.source == RandomWalk(step=1, start=20)
    (asset,) = plant.assets
    assert asset.nodes["Temperature"] == NodeId(2, None, "i", "2")
    assert str(asset.nodes["Temperature"]) == "ns=2;i=2"


def test_needed_buffer_is_what_an_outage_of_ten_minutes_gives(plant: Site) -> None:
    # 600 s at 0.2 s, 2 s and 8 s.
    assert plant.collectors["collector"].needed == 3000 + 300 + 75
    assert plant.collectors["collector"].buffer == 10_000


def test_defaults() -> None:
    site = right("minimal")
    assert site.network.device == "enp0s3"
    assert site.collection.outage_ms == 600_000
    assert site.topics["opc"].partitions == 4
    assert site.topics["opc"].retention_ms == 7 * 86_400_000
    assert site.influxdb.retention_ms == 30 * 86_400_000
    assert (site.kafka.port, site.kafka.controller_port, site.grafana.port) == (9092, 9093, 3000)
    assert site.hosts["db"].memory == 2048
    assert site.hosts["db"].settings == {}


def test_existing_server() -> None:
    site = right("existing-server-uri")
    plc = site.servers["plc"]
    assert not plc.own
    assert (plc.host, plc.port, plc.namespace) == (None, None, None)
    oven = {asset.name: asset for asset in site.assets}["Oven-1"]
    uri = "nsu=http://example.org/UA/Plant?line=1#a"
    assert {name: str(node) for name, node in oven.nodes.items()} == {
        "Temperature": f"{uri};i=1017",
        "Door": "ns=4;s=|var|PLC.Door[1]",
        "Gas": f"{uri};g=09087e75-8e5e-499b-954f-f2a9603db28a",
        "State": f"{uri};s=Oven-1/State",
    }


def test_ipv6_endpoint_has_brackets() -> None:
    assert right("ipv6").servers["opc"].endpoint == "opc.tcp://[fd00:0:0:1f:0:0:0:5]:4840"


def test_sources() -> None:
    types = right("sources").types
    assert types["press"].variables["Force"].source == Replay(
        file="recordings/{asset}/2026-01.parquet",
        column="{variable}_raw",
        time_column="Timestamp",
        speed=60,
        loop=False,
    )
    assert types["press"].variables["Stroke"].source == Sysfs(
        path="/sys/bus/w1/devices/28-*/temperature", scale=0.001, offset=-0.5
    )


def test_settings_keep_what_is_declared() -> None:
    settings = right("settings").hosts["db"].settings
    assert set(settings) == {"apache-kafka", "telegraf", "influxdb2"}
    assert settings["apache-kafka"]["num.io.threads"] == 4
    assert settings["telegraf"]["outputs"][0]["urls"][2] == {"a b": 16}


def test_mistake_names_file_line_key_and_remedy() -> None:
    (mistake,) = refused(changed(("prefix = 24", 'prefix = "24"')))
    assert str(mistake) == (
        "plant.toml:7: network.prefix: is a text; write a whole number from 8 to 126"
    )


def test_misspelt_key_is_told_with_the_right_one() -> None:
    missing, unknown = refused(changed(("gateway", "gatway")))
    assert (missing.key, missing.code, missing.line) == ("network.gateway", "missing-key", 5)
    assert (unknown.key, unknown.code, unknown.line) == ("network.gatway", "unknown-key", 6)
    assert unknown.remedy == 'did you mean "gateway"?'


def test_unknown_key_inside_a_server_is_told_with_the_known_ones() -> None:
    (mistake,) = refused(changed(('host = "opc"', 'host = "opc"\nfoo = 1')))
    assert mistake.remedy == "known are collector, host, port, record, record_flush, seed"


def test_all_mistakes_of_a_stage_are_told_in_the_order_of_the_file() -> None:
    found = refused(
        changed(('"10min"', '"10 min"'), ("prefix = 24", "prefix = 0"), ('"i=2"', '"x=2"'))
    )
    assert [mistake.key for mistake in found] == [
        "network.prefix",
        "assets[0].nodes.Temperature",
        "collection.outage",
    ]


def test_error_is_a_known_error_with_each_mistake_on_a_line() -> None:
    with pytest.raises(FieldlineError) as caught:
        check_text(b"", "plant.toml")
    assert len(str(caught.value).splitlines()) == 8


def test_unreadable_keeps_the_raw_cause() -> None:
    with pytest.raises(SiteError) as caught:
        check_text(b"schema = 1\nnetwork: x\n", "plant.toml")
    assert caught.value.mistakes[0].line == 2
    assert "line 2" in caught.value.cause


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"x = " + b"9" * 10_000,
        b"x = " + b"[" * 5_000 + b"]" * 5_000,
        b"\xff\xfe",
        b"x = 1979-05-27T07:32:00Z",
        b"x = [{ y = 07:32:00 }]",
    ],
    ids=["brackets", "digits", "nested", "bytes", "date", "time"],
)
def test_hostile_text_is_refused_as_unreadable(data: bytes) -> None:
    assert [mistake.code for mistake in refused(data)] == ["unreadable"]


def test_deep_keys_are_refused_like_others() -> None:
    deep = ".".join(["a"] * 2_000)
    (mistake,) = refused(changed(("schema = 1", f"schema = 1\n{deep} = 1")))
    assert (mistake.key, mistake.code) == ("a", "unknown-key")


def test_hexadecimal_number_beyond_all_bounds() -> None:
    (mistake,) = refused(changed(("prefix = 24", f"prefix = 0x{'f' * 20_000}")))
    assert mistake.code == "out-of-range"


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SiteError) as caught:
        load_site(tmp_path / "site.toml")
    assert "cannot be read" in caught.value.what_to_do
    assert "No such file" in caught.value.cause


def test_thirty_thousand_variables_load_in_about_a_second() -> None:
    text = (RIGHT / "thousand-assets.toml").read_text()
    data = text.replace("press{0001..1000}", "press{0001..3000}").replace(
        "memory = 16384", "memory = 65536"
    )
    begin = time.perf_counter()
    site = check_text(data.encode(), "plant.toml")
    took = time.perf_counter() - begin
    assert sum(len(asset.nodes) for asset in site.assets) == 30_000
    # It takes 0.1 s on a machine of 2026; the rest is for a busy one.
    assert took < 3


def test_site_is_found_by_name_variable_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIELDLINE_SITE", raising=False)
    monkeypatch.setattr("fieldline.site.load.USUAL_PLACES", (Path("site.toml"),))
    with pytest.raises(FieldlineError, match="Name a site"):
        find_site()
    (tmp_path / "site.toml").touch()
    assert find_site() == Path("site.toml")
    monkeypatch.setenv("FIELDLINE_SITE", "other.toml")
    assert find_site() == Path("other.toml")
    assert find_site(Path("named.toml")) == Path("named.toml")
