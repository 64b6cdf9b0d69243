"""The servers of a host share the memory that is declared for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fieldline.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]


def database(folder: Path, mebibytes: int) -> dict[str, Any]:
    """The demonstration plant's host `db` with so much memory."""
    text = (ROOT / "site.toml").read_text()
    before, mark, after = text.partition("[hosts.db]")
    site = folder / "site.toml"
    site.write_text(
        before + mark + re.sub(r"memory = \d+", f"memory = {mebibytes}", after, count=1)
    )
    found: dict[str, Any] = evaluate(ROOT / "lib", site)["hosts"]["db"]
    return found


def mebibytes_of(text: str) -> int:
    found = re.fullmatch(r"(?:-Xmx)?(\d+)(?:m|MiB|M)", text)
    assert found, text
    return int(found[1])


@pytest.mark.parametrize("memory", [2048, 4096, 65536])
def test_what_the_servers_may_take_fits_the_host(tmp_path: Path, memory: int) -> None:
    units = database(tmp_path, memory)["units"]
    options = units["apache-kafka"]["environment"]["KAFKA_OPTS"].split()
    (heap,) = [mebibytes_of(option) for option in options if option.startswith("-Xmx")]
    influxdb = mebibytes_of(units["influxdb2"]["environment"]["GOMEMLIMIT"])
    telegraf = mebibytes_of(units["telegraf"]["serviceConfig"]["MemoryMax"])
    assert influxdb == memory // 2
    assert heap + influxdb + telegraf < memory


@pytest.mark.parametrize(("memory", "cache"), [(2048, 256), (4096, 512), (65536, 1024)])
def test_influxdb_keeps_a_part_of_it_for_what_was_just_written(
    tmp_path: Path, memory: int, cache: int
) -> None:
    settings = database(tmp_path, memory)["files"]["/etc/influxdb2/config.json"]["value"]
    assert settings["storage-cache-max-memory-size"] == cache << 20
