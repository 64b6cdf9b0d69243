"""What `fieldline where` and `fieldline doctor` know of hosts is what `lib/` makes of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fieldline.doctor.disk import DIRECTORIES
from fieldline.doctor.ports import declared_ports
from fieldline.evaluate import evaluate
from fieldline.local import units_of
from fieldline.remote.offsets import GROUPS
from fieldline.site import load_site

ROOT = Path(__file__).resolve().parents[2]
SITES = [ROOT / "site.toml", ROOT / "tests/nix/sites/single.toml"]


@cache
def hosts(site: Path) -> dict[str, Any]:
    found: dict[str, Any] = evaluate(ROOT / "lib", site)["hosts"]
    return found


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_each_unit_that_starts_with_a_host_is_looked_at(path: Path) -> None:
    site = load_site(path)
    for name, host in hosts(path).items():
        started = {unit for unit, body in host["units"].items() if body["wantedBy"]}
        known = set(units_of(site.hosts[name].roles))
        assert started <= known, f"{name}: {started - known} (fieldline.local.units)"


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_each_port_of_a_firewall_is_looked_at_by_whom_it_lets_in(path: Path) -> None:
    site = load_site(path)
    names = {host.address: host.name for host in site.hosts.values()}
    everybody = set(names.values())
    declared = {(p.host, p.port): p for p in declared_ports(site)}
    for name, host in hosts(path).items():
        for rule in host["firewall"]:
            port = declared[name, rule["port"]]
            sources = rule["sources"]
            allowed = everybody if sources is None else {names[a] for a in sources}
            # A host always reaches itself.
            assert (port.clients or everybody) | {name} == allowed | {name}, port
        open_ports = {rule["port"] for rule in host["firewall"]}
        for (on, number), port in declared.items():
            inside = on == name and port.address == "127.0.0.1"
            assert on != name or inside or number in open_ports, port


def test_state_folders_and_groups() -> None:
    found = hosts(SITES[0])
    units = {unit: body for host in found.values() for unit, body in host["units"].items()}
    folders = {
        f"/var/lib/{body['serviceConfig']['StateDirectory']}"
        for body in units.values()
        if "StateDirectory" in body["serviceConfig"]
    }
    assert set(DIRECTORIES.values()) <= folders
    telegraf = found["db"]["files"]["/etc/telegraf/telegraf.toml"]["value"]
    readers = {
        consumer["consumer_group"]: consumer["topics"][0]
        for consumer in telegraf["inputs"]["kafka_consumer"]
    }
    assert {name: topic for name, topic in GROUPS.items() if name != "stream-model"} == readers
    model = units["stream-model"]["command"]["arguments"]
    assert model[model.index("--group") + 1] == "stream-model"
    assert model[model.index("--input") + 1] == GROUPS["stream-model"]
