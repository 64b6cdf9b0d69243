"""What `lib/` makes of a site: as expected by hand, without floats, and taken by the real programs.

Each file of cases/ is a set of name = { actual; expected; }. Telegraf's and Kafka's own checks run
where the lab's parts are in `~/.cache/fieldline`; the rest needs nix-bin and nftables.
"""

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from fieldline.ledger import FIELDS
from fieldline.messages.ledger import MEASUREMENT
from fieldline_lab.formats import scalar

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = sorted((HERE / "cases").glob("*.nix"))
SITES = {
    "demonstration": ROOT / "site.toml",
    **{name: HERE / "sites" / f"{name}.toml" for name in ("single", "existing", "ipv6")},
}
PARTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fieldline" / "parts"


def nix(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *("nix-instantiate", "--store", "dummy://"),  # any user may evaluate
            "--eval",
            "--strict",
            "--json",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def evaluate(*arguments: str) -> Any:
    done = nix(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of_site(site: Path) -> "subprocess.CompletedProcess[str]":
    return nix(str(ROOT / "lib" / "default.nix"), "--arg", "site", str(site), "-A", "lab")


@cache
def text(name: str) -> str:
    done = of_site(SITES[name])
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def lab(name: str) -> Any:
    return json.loads(text(name))


def hosts(name: str) -> Iterator[tuple[str, Any]]:
    yield from lab(name)["hosts"].items()


@pytest.mark.parametrize("file", CASES, ids=lambda path: path.stem)
def test_as_expected(file: Path) -> None:
    cases = evaluate(str(file))
    assert cases
    different = {n: case for n, case in cases.items() if case["actual"] != case["expected"]}
    assert not different, json.dumps(different, indent=1, ensure_ascii=False)


def floats(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, float):
        yield path
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from floats(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from floats(entry, f"{path}[{position}]")


@pytest.mark.parametrize("name", SITES)
def test_no_floats(name: str) -> None:
    """Nix 2.8 prints them with six digits."""
    assert list(floats(lab(name))) == []
    # A float that Nix prints as a whole number is none to Python, but its exponent shows.
    assert "e+" not in text(name)
    assert json.loads(json.dumps(lab(name))) == lab(name)


def test_floats_are_found() -> None:
    assert list(floats({"a": [1, {"b": 1.5}], "c": "1.5"})) == [".a[1].b"]


@pytest.mark.parametrize("name", SITES)
def test_contract_of_hosts(name: str) -> None:
    for host_name, host in hosts(name):
        assert host["name"] == host_name
        programs = {"fieldline", "opc-server", "stream-model", "telegraf", "influxd", "grafana"}
        programs |= {"gap-filler", "kafka-server", "kafka-storage", "ledger", "systemctl"}
        loaded = set()
        for name_of_unit, unit in host["units"].items():
            commands = [unit["command"], *unit["preStart"], *unit["conditions"]]
            assert {command["program"] for command in commands} <= programs
            assert all(isinstance(a, str) for command in commands for a in command["arguments"])
            assert all(isinstance(value, str) for value in unit["environment"].values())
            user = unit["serviceConfig"].get("User")
            # Root's are these alone: what changes the host itself, and what restarts another unit.
            root = name_of_unit == "deploy-guard" or name_of_unit in host["paths"]
            assert root or unit["serviceConfig"].get("DynamicUser") or user in host["users"]
            loaded |= set(unit["credentials"].values())
        secrets = {p.removeprefix("/run/secrets/") for p in loaded if p.startswith("/run/secrets/")}
        # The one that no unit loads: NixOS gives it to root.
        assert "console-password-hash" not in secrets
        assert host["secrets"] == sorted(secrets | {"console-password-hash"})
        for path, file in host["files"].items():
            assert path.startswith("/etc/")
            assert file["format"] in {"toml", "properties", "json", "yaml", "ini", "text"}
        for rule in host["firewall"]:
            assert set(rule) == {"port", "protocol", "sources", "purpose"}


@pytest.mark.parametrize("name", SITES)
def test_every_secret_has_one_file(name: str) -> None:
    """What one host wants is in its file, what several want in the shared one; nothing else is."""
    wanted = lab(name)["secrets"]
    counts = Counter(secret for _, host in hosts(name) for secret in host["secrets"])
    assert set(wanted["shared"]) == {secret for secret, count in counts.items() if count > 1}
    assert wanted["shared"] == sorted(wanted["shared"])
    assert wanted["hosts"].keys() == lab(name)["hosts"].keys()
    for host_name, host in hosts(name):
        own = [secret for secret in host["secrets"] if secret not in wanted["shared"]]
        assert wanted["hosts"][host_name] == own
        assert host["secretFiles"] == {
            secret: f"hosts/{host_name}.yaml" if secret in own else "shared.yaml"
            for secret in host["secrets"]
        }


@pytest.mark.parametrize("name", SITES)
def test_every_text_is_found_where_it_is_needed(name: str) -> None:
    """A credential that a file or a command names is loaded by that unit."""
    for _, host in hosts(name):
        for unit_name, unit in host["units"].items():
            for argument in unit["command"]["arguments"]:
                prefix = f"/run/credentials/{unit_name}.service/"
                if argument.startswith("/run/credentials/"):
                    assert argument.removeprefix(prefix) in unit["credentials"]
        telegraf = host["files"].get("/etc/telegraf/telegraf.toml")
        if telegraf is None:
            continue
        credentials = host["units"]["telegraf"]["credentials"]
        for value in strings(telegraf["value"]):
            if value.startswith("/run/credentials/"):
                prefix = "/run/credentials/telegraf.service/"
                assert value.removeprefix(prefix) in credentials
            if value.startswith("@{"):
                key = value.removeprefix("@{credentials:").removesuffix("}")
                assert key in credentials
                # config/secret.go: \w+ only; another reference is taken for the secret itself.
                assert key.replace("_", "a").isalnum()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)


@pytest.mark.parametrize("name", SITES)
def test_dashboards_have_balanced_queries(name: str) -> None:
    # Panels and choices.
    expected = {"sensors": 4, "completeness": 5}
    assert lab(name)["dashboards"].keys() == expected.keys()
    for board, dashboard in lab(name)["dashboards"].items():
        queries = [t["query"] for panel in dashboard["panels"] for t in panel["targets"]]
        queries += [variable["query"] for variable in dashboard["templating"]["list"]]
        assert len(queries) == expected[board]
        for query in queries:
            for opening, closing in ("()", "[]", "{}"):
                assert query.count(opening) == query.count(closing), query
            # In Flux `and` binds closer than `or`: an `or` must stand in brackets of its own.
            assert " or " not in query
        identifiers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(identifiers)) == len(identifiers)


def test_the_writer_knows_all_counts_of_the_ledger() -> None:
    """A field that Telegraf is not told the type of would be a float in InfluxDB, for ever."""
    file = lab("demonstration")["hosts"]["db"]["files"]["/etc/telegraf/telegraf.toml"]["value"]
    parsers = [
        parser
        for consumer in file["inputs"]["kafka_consumer"]
        for parser in consumer["json_v2"]
        if parser.get("measurement_name") == MEASUREMENT
    ]
    assert [set(parser["object"][0]["fields"]) for parser in parsers] == [set(FIELDS)]


def test_namespace_uri_is_refused_with_the_way_out() -> None:
    done = of_site(HERE / "sites" / "namespace-uri.toml")
    assert done.returncode != 0
    assert "servers.oven.namespace_uri" in done.stderr
    assert "servers.oven.namespace" in done.stderr.split("give the index as ")[1]


def test_wrong_site_is_refused(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITES["demonstration"].read_text().replace("192.168.0.7", "192.168.1.7"))
    done = of_site(site)
    assert done.returncode != 0
    assert "hosts.collector.address" in done.stderr


@pytest.mark.parametrize("name", ["root", "telegraf"])
def test_an_admin_is_no_user_of_a_service(name: str, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    text = SITES["demonstration"].read_text()
    assert "\nadmin = " in text
    site.write_text(text.replace("\nadmin = ", f"\n{name} = "))
    done = of_site(site)
    assert done.returncode != 0
    assert f"admins.{name}: bad-value" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root")
@pytest.mark.parametrize("name", SITES)
def test_nft_takes_the_firewall(name: str, tmp_path: Path) -> None:
    for host_name, host in hosts(name):
        rules = tmp_path / f"{host_name}.nft"
        rules.write_text(host["nftables"])
        # Twice: it replaces what is there.
        script = f"nft -c -f {rules} && nft -f {rules} && nft -f {rules} && nft -j list ruleset"
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        listed = [entry["rule"] for entry in json.loads(done.stdout)["nftables"] if "rule" in entry]
        # Loopback, connection tracking, ICMP and ICMPv6, then each rule for one family.
        assert len(listed) == 4 + len(host["firewall"])


def part(pattern: str) -> Path | None:
    return next(iter(sorted(PARTS.glob(pattern))), None)


TELEGRAF = part("telegraf-*/bin/telegraf")
KAFKA = part("kafka-*/libs")


@pytest.mark.skipif(TELEGRAF is None, reason="the part telegraf has not been obtained")
@pytest.mark.parametrize("name", SITES)
def test_telegraf_takes_its_configuration(name: str, tmp_path: Path) -> None:
    for host_name, host in hosts(name):
        file = host["files"].get("/etc/telegraf/telegraf.toml")
        if file is None:
            continue
        # The store asks a running systemd for its version; everything else is checked as it is.
        value = {key: entry for key, entry in file["value"].items() if key != "secretstores"}
        path = tmp_path / f"{host_name}.toml"
        path.write_text(tomli_w.dumps(value).replace("@{", "{"))
        done = subprocess.run(
            [str(TELEGRAF), "config", "check", "--config", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        assert " E! " not in output
        # The one about 1.38's handling of environment variables, of which there are none.
        warnings = [line for line in output.splitlines() if " W! " in line]
        assert all("environment variable" in line for line in warnings), output


@pytest.mark.skipif(TELEGRAF is None, reason="the part telegraf has not been obtained")
def test_telegraf_refuses_a_wrong_configuration(tmp_path: Path) -> None:
    """The check above can fail."""
    value = lab("demonstration")["hosts"]["collector"]["files"]["/etc/telegraf/telegraf.toml"]
    path = tmp_path / "telegraf.toml"
    path.write_text(tomli_w.dumps(value["value"]).replace('"source"', '"sauce"'))
    done = subprocess.run(
        [str(TELEGRAF), "config", "check", "--config", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0


@pytest.mark.skipif(KAFKA is None or shutil.which("java") is None, reason="no Kafka, or no Java")
def test_kafka_takes_its_properties_and_cluster_id(tmp_path: Path) -> None:
    host = lab("demonstration")["hosts"]["db"]
    properties = dict(host["files"]["/etc/apache-kafka/server.properties"]["value"])
    properties["log.dirs"] = str(tmp_path / "log")
    path = tmp_path / "server.properties"
    path.write_text("".join(f"{key}={scalar(value)}\n" for key, value in properties.items()))
    before = host["units"]["apache-kafka"]["preStart"][-1]
    assert before["program"] == "kafka-storage"
    storage = "kafka.tools.StorageTool"
    arguments = [
        str(path) if argument.endswith("server.properties") else argument
        for argument in before["arguments"]
    ]
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{KAFKA}/*", storage, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    meta = (tmp_path / "log" / "meta.properties").read_text()
    assert f"cluster.id={lab('demonstration')['kafka']['cluster_id']}\n" in meta


def test_ten_thousand_variables_evaluate_in_time(tmp_path: Path) -> None:
    variables = "\n".join(
        f'V{n} = {{ unit = "bar", period = "1s", source = {{ kind = "random-walk", step = 1 }} }}'
        for n in range(10)
    )
    site = SITES["demonstration"].read_text()
    head, rest = site.split("[asset_types.sensors.variables.Temperature]")
    tail = rest[rest.index("[collection]") :]
    path = tmp_path / "site.toml"
    path.write_text(
        f"{head}[asset_types.machine.variables]\n{variables}\n[[assets]]\n"
        f'names = ["machine{{0001..1000}}"]\ntype = "machine"\nserver = "opc"\n{tail}'.replace(
            "memory = 2048", "memory = 32768"
        )
    )
    begin = time.monotonic()
    done = of_site(path)
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stderr
    telegraf = json.loads(done.stdout)["hosts"]["collector"]["files"]["/etc/telegraf/telegraf.toml"]
    listeners = telegraf["value"]["inputs"]["opcua_listener"]
    nodes = sum(len(g["nodes"]) for listener in listeners for g in listener["group"])
    assert nodes == 10_000
    # 10 min at 10,000 values/s, and a quarter more.
    assert telegraf["value"]["outputs"]["kafka"][0]["metric_buffer_limit"] == 7_500_000
    assert seconds < 5.0
