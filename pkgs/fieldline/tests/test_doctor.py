"""Each check tells what is well from what is not, and says what it could not look at."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fieldline import __version__
from fieldline.doctor import CHECKS, Check, Context, Finding, Verdict, certificates, examine
from fieldline.doctor import clocks as clocks_check
from fieldline.doctor import disk as disks
from fieldline.doctor import kafka as kafka_check
from fieldline.doctor import retention as retentions
from fieldline.doctor.backup import backup
from fieldline.doctor.command import app, render
from fieldline.doctor.influxdb import influxdb
from fieldline.doctor.kafka import Broker, Group
from fieldline.doctor.ports import declared_ports, ports
from fieldline.doctor.retention import Kept, days_left, judge
from fieldline.doctor.secrets import parse_credentials, secrets
from fieldline.doctor.units import units
from fieldline.doctor.versions import versions
from fieldline.errors import FieldlineError
from fieldline.local import LocalHost, UnitState
from fieldline.provision.topics import declared_topics
from fieldline.remote.scrape import Scrape
from fieldline.site import Site
from fieldline.states import StreamModelState
from fieldline.where.probes import Told
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner
from where_plant import NOW, SECOND, SITE, Plant, down, failed

TOKEN = Path("/var/lib/influxdb-provision/influxdb-reader-token")


def context(plant: Plant | None = None, root: Path = Path("/nowhere")) -> Context:
    plant = plant or Plant()
    return Context(plant.site, plant.readings(), TOKEN, NOW, root)


def found(findings: Iterable[Finding]) -> dict[str, tuple[Verdict, str]]:
    return {finding.subject: (finding.verdict, finding.text) for finding in findings}


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    return {finding.subject: finding.verdict for finding in findings}


# -- units ----------------------------------------------------------------------------------------


def unit(name: str, active: str = "active", **more: object) -> UnitState:
    return UnitState(name, active, **{"sub": "", "result": "", **more})  # type: ignore[arg-type]


def test_units() -> None:
    states = [
        unit("telegraf"),
        unit("grafana", restarts=1, since_ns=NOW - SECOND),
        unit("influxdb2", restarts=5, since_ns=NOW - 60 * SECOND),
        unit("ledger", restarts=5, since_ns=NOW - 7200 * SECOND),
        unit("apache-kafka", "inactive"),
        unit("kafka-provision", "failed", status=78),
        unit("deploy-guard", restarts=1, since_ns=NOW - SECOND),
    ]
    words = {
        "kafka-provision": failed("Topic opc has 2, declared: 4."),
        "deploy-guard": failed("deploy-guard.service: Watchdog timeout (limit 30s)!"),
    }
    plant = Plant(here=LocalHost("db", {s.name: s for s in states}), words=words)
    seen = found(units(context(plant)))
    assert seen["unit telegraf"] == ("ok", "it runs")
    assert seen["unit grafana"] == ("ok", "it runs, restarted 1 times by itself")
    assert seen["unit influxdb2"][0] == "warning"
    assert seen["unit ledger"][0] == "ok"
    assert seen["unit apache-kafka"] == ("failed", "it was stopped")
    assert seen["unit kafka-provision"] == (
        "failed",
        "it has refused to run (exit code 78): Topic opc has 2, declared: 4.",
    )
    assert seen["unit deploy-guard"][0] == "warning"
    assert "it hung" in seen["unit deploy-guard"][1]
    assert seen["host opc"][0] == seen["host collector"][0] == "skipped"
    assert verdicts(units(context(Plant(host=None)))) == {"this host": "skipped"}
    barred = Plant(here=LocalHost("db", problem="no systemd"))
    assert found(units(context(barred)))["host db"] == ("skipped", "no systemd")


# -- ports ----------------------------------------------------------------------------------------


def local_site(taken: Mapping[str, int]) -> Site:
    """The demonstration plant with all hosts on the loopback; ports of `taken` are listened to."""
    hosts = {name: replace(host, address="127.0.0.1") for name, host in SITE.hosts.items()}
    closed = 1
    servers = {n: replace(s, port=closed) for n, s in SITE.servers.items()}
    metrics = replace(
        SITE.metrics,
        opc_server=closed,
        stream_model=closed,
        telegraf=closed,
        gap_filler=closed,
        ledger=closed,
    )
    return replace(
        SITE,
        hosts=hosts,
        servers=servers,
        metrics=replace(metrics, **{k: v for k, v in taken.items() if k == "telegraf"}),
        kafka=replace(SITE.kafka, port=closed),
        influxdb=replace(SITE.influxdb, port=closed),
        grafana=replace(SITE.grafana, port=closed),
    )


def test_ports() -> None:
    here = LocalHost("collector", {"stream-model": unit("stream-model")})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        site = local_site({"telegraf": port})
        seen = verdicts(ports(context(Plant(site=site, here=here))))
        from_db = verdicts(ports(context(Plant(site=site, here=LocalHost("db")))))
    assert seen[f"collector {port} (telegraf)"] == "ok"
    assert seen[f"db {port} (telegraf)"] == "ok"
    assert seen["opc 1 (opc-server)"] == "failed"
    assert seen["db 1 (apache-kafka)"] == "failed"
    assert seen["collector 1 (stream-model)"] == "failed"
    # InfluxDB's is its own host's alone; a unit that is not there does not listen.
    assert seen["db 1 (influxdb2)"] == from_db["db 1 (influxdb2)"] == "skipped"
    assert from_db["collector 1 (stream-model)"] == "failed"


def test_a_silent_host_and_who_may_reach_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline.doctor.ports.reach_of_port", lambda *_: ("silent", "x"))
    from_opc = verdicts(ports(context(Plant(host="opc"))))
    assert from_opc["db 22 (sshd)"] == "failed"
    assert from_opc["db 9092 (apache-kafka)"] == "skipped"
    assert from_opc["opc 4840 (opc-server)"] == "skipped"
    from_collector = verdicts(ports(context(Plant(host="collector"))))
    assert from_collector["opc 4840 (opc-server)"] == "failed"
    assert from_collector["db 9092 (apache-kafka)"] == "failed"
    assert len(declared_ports(SITE)) == len(from_collector) == 13


# -- clocks ---------------------------------------------------------------------------------------


def test_clocks(tmp_path: Path) -> None:
    seen = found(clocks_check.clocks(context(Plant(clock_s=0.4), tmp_path)))
    assert seen["host db"][0] == "failed"
    assert seen["host opc"] == ("ok", "its clock agrees within 2 s")
    assert seen["host collector"][0] == "skipped"
    assert seen["source times"][0] == "skipped"
    file = tmp_path / "run/systemd/timesync/synchronized"
    file.parent.mkdir(parents=True)
    file.touch()
    for clock, words in ((30.0, "30 s ahead of"), (-30.0, "30 s behind")):
        seen = found(clocks_check.clocks(context(Plant(clock_s=clock), tmp_path)))
        assert seen["host db"] == ("ok", "NTP has set its clock")
        assert seen["host opc"] == ("failed", f"its clock is {words} this host's")
    assert verdicts(clocks_check.clocks(context(Plant(host=None))))["this host"] == "skipped"


# -- disk and retention ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "size", "verdict"),
    [
        (50 << 30, 100 << 30, "ok"),
        (10 << 30, 100 << 30, "warning"),
        (4 << 30, 100 << 30, "failed"),
        (1 << 29, 1 << 31, "ok"),
        (1 << 28, 1 << 31, "failed"),
        (0, 0, "failed"),
    ],
)
def test_free_space(free: int, size: int, verdict: Verdict) -> None:
    assert disks._file_system(["/var/lib/x"], free, size).verdict == verdict


def test_the_folders_of_this_hosts_roles(tmp_path: Path) -> None:
    (tmp_path / "var/lib/influxdb2").mkdir(parents=True)
    seen = found(disks.disk(context(root=tmp_path)))
    assert seen["/var/lib/apache-kafka"] == ("skipped", "it is not there yet")
    assert "/var/lib/influxdb2" in seen
    assert "/var/lib/opc-server" not in seen
    assert verdicts(disks.disk(context(Plant(host=None)))) == {"this host": "skipped"}


def test_sizes_for_people(tmp_path: Path) -> None:
    assert [disks.shown(size) for size in (0, 1023, 2048, 3 << 30, 5 << 40, 9 << 50)] == [
        "0 B",
        "1023 B",
        "2.0 KiB",
        "3.0 GiB",
        "5.0 TiB",
        "9216.0 TiB",
    ]
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "a", tmp_path / "b")
    assert disks.used(tmp_path) >= 20_000
    assert disks.used(tmp_path / "nothing") == 0


def test_a_disk_that_fits_what_is_kept_and_one_that_does_not() -> None:
    kafka = Kept("Kafka", used=10.0, per_day=10.0, need=70.0, measured=True)
    influxdb = Kept("InfluxDB", used=5.0, per_day=5.0, need=150.0, measured=False)
    assert days_left([kafka], 60.0) is None
    assert days_left([kafka], 59.0) == pytest.approx(5.9)
    # Kafka is full after 6 d (90 are used up by then); from then on InfluxDB grows alone.
    assert days_left([kafka, influxdb], 100.0) == pytest.approx(8.0)
    assert days_left([kafka, influxdb], 205.0) is None
    assert days_left([replace(kafka, used=80.0)], 0.0) is None
    finding = judge([kafka, influxdb], 100.0)
    assert (finding.subject, finding.verdict) == ("Kafka and InfluxDB", "warning")
    assert "at full retention 220 B (estimated) of the 115 B" in finding.text
    assert finding.text.endswith("the disk will be full in 8 d")
    assert judge([kafka], 10.0).verdict == "failed"
    assert judge([kafka], 10.0).text.endswith("the disk will be full in 24 h")
    assert judge([kafka], 0.1).text.endswith("the disk is full")
    well = judge([kafka], 60.0)
    assert (well.verdict, well.what_to_do) == ("ok", "")
    assert "(measured)" in well.text


_AMOUNT = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(st.tuples(_AMOUNT, st.floats(0.1, 1e6), _AMOUNT), max_size=4), _AMOUNT)
def test_the_disk_is_full_exactly_when_that_much_has_come(
    stores: list[tuple[float, float, float]], free: float
) -> None:
    kept = [Kept("x", used, per_day, need, True) for used, per_day, need in stores]
    days = days_left(kept, free)

    def grown(after: float) -> float:
        return sum(min(k.per_day * after, max(0.0, k.need - k.used)) for k in kept)

    if days is None:
        assert grown(1e12) <= free * (1 + 1e-9) + 1e-6
    else:
        assert grown(days) == pytest.approx(free, rel=1e-6, abs=1e-6)


def test_declared_rates() -> None:
    values, results = retentions.rates(SITE)
    assert values == pytest.approx(5 + 0.5 + 0.125)
    assert results == pytest.approx(2 * values)


def test_bytes_are_measured_once_there_is_enough(tmp_path: Path) -> None:
    log = tmp_path / "var/lib/apache-kafka/log"
    for number, first in ((0, 0), (1, 500)):
        folder = log / f"opc-{number}"
        folder.mkdir(parents=True)
        (folder / f"{first:020d}.log").write_bytes(b"x" * 60_000)
        (folder / f"{first + 400:020d}.log").write_bytes(b"x" * 20_000)
        (folder / f"{first + 600:020d}.log").write_bytes(b"x")
    (log / "opc.ledger-0").mkdir()
    assert retentions.bytes_per_record(log, "opc") == pytest.approx(160_000 / 1200)
    assert retentions.bytes_per_record(log, "model") is None
    data = tmp_path / "var/lib/influxdb2/engine/data"
    assert retentions.bytes_per_shard(data) is None
    for bucket, sizes in (("b" * 16, (40_000, 80_000, 60_000, 500_000)), ("c" * 16, (1, 1))):
        for number, size in enumerate(sizes, 9):
            shard = data / bucket / "autogen" / str(number)
            shard.mkdir(parents=True)
            (shard / "000.tsm").write_bytes(b"x" * size)
    assert retentions.bytes_per_shard(data) == pytest.approx(60_000, abs=4096)
    seen = list(retentions.retention(context(root=tmp_path)))
    assert [f.subject for f in seen] == ["Kafka and InfluxDB"]
    assert verdicts(retentions.retention(context(Plant(host="opc")))) == {
        "kafka on db": "skipped",
        "influxdb on db": "skipped",
    }
    assert "cannot be looked at" in found(retentions.retention(context()))["kafka on db"][1]


# -- Kafka and InfluxDB ---------------------------------------------------------------------------

DECLARED = declared_topics(SITE)


def broker() -> Broker:
    """A broker that is as declared, with groups that have read nearly all."""
    ends = {(t.name, n): 100 for t in DECLARED for n in range(t.partitions)}
    committed = {
        name: {(topic, n): 99 for n in range(4)} for name, topic in kafka_check.GROUPS.items()
    }
    return Broker(
        {t.name: t.partitions for t in DECLARED},
        {t.name: {**t.configs, "other": "x"} for t in DECLARED},
        dict.fromkeys(ends, 10),
        ends,
        {name: Group(1, offsets) for name, offsets in committed.items()},
    )


def test_topics() -> None:
    assert set(verdicts(kafka_check.topics(broker(), DECLARED)).values()) == {"ok"}
    well = broker()
    partitions = {name: n for name, n in well.partitions.items() if name != "model"}
    configs = dict(well.configs)
    configs["opc"] = {**configs["opc"], "retention.ms": "1"}
    wrong = replace(well, partitions={**partitions, "opc.dead-letter": 3}, configs=configs)
    seen = found(kafka_check.topics(wrong, DECLARED))
    assert seen["topic model"] == ("failed", "it does not exist")
    assert seen["topic opc.dead-letter"] == ("failed", "it has 3 partitions, declared: 1")
    assert seen["topic opc"] == ("failed", "retention.ms is 1, declared: 604800000")
    assert seen["topic model.changelog"][0] == "ok"


def changed(group: Group | None, name: str = "telegraf-opc") -> Broker:
    well = broker()
    others = {n: g for n, g in well.groups.items() if n != name}
    return replace(well, groups=others if group is None else {**others, name: group})


@pytest.mark.parametrize(
    ("group", "verdict", "words"),
    [
        (Group(2, {("opc", n): 99 for n in range(4)}), "ok", "2 member(s), 4 records wait"),
        (None, "failed", "it has not read anything yet"),
        (Group(1, {}), "failed", "it has not read anything yet"),
        (Group(0, {("opc", n): 99 for n in range(4)}), "failed", "nobody reads; 4 records wait"),
        (
            Group(1, {("opc", 0): 101, ("opc", 1): 50}),
            "failed",
            "its offset lies beyond the end of the log, in partition 0",
        ),
        (
            Group(1, {("opc", n): 9 for n in (3, 1)}),
            "failed",
            "retention has removed records that it had not read, in partition 1, 3",
        ),
    ],
)
def test_groups(group: Group | None, verdict: Verdict, words: str) -> None:
    seen = found(kafka_check.groups(changed(group), 5.0))
    assert seen["group telegraf-opc"] == (verdict, words)
    assert seen["group telegraf-model"][0] == "ok"


def test_a_group_without_anything_to_read() -> None:
    nothing = changed(None)
    empty = {key: 0 if key[0] == "opc" else end for key, end in nothing.ends.items()}
    seen = found(kafka_check.groups(replace(nothing, ends=empty), 5.0))
    assert seen["group telegraf-opc"] == ("ok", "topic opc is empty")


def test_a_group_that_is_behind_by_more_than_a_minute() -> None:
    behind = changed(Group(1, {("opc", n): 20 for n in range(4)}))
    assert found(kafka_check.groups(behind, 5.0))["group telegraf-opc"][0] == "warning"
    assert found(kafka_check.groups(behind, 6.0))["group telegraf-opc"][0] == "ok"


def test_kafka_where_it_may_not_or_cannot_be_asked() -> None:
    assert verdicts(kafka_check.kafka(context(Plant(host="opc")))) == {"Kafka": "skipped"}
    away = context(Plant(site=local_site({}), host="db"))
    assert found(kafka_check.kafka(away))["Kafka"] == ("failed", "it does not answer")


def test_influxdb_where_it_cannot_be_asked(tmp_path: Path) -> None:
    seen = found(influxdb(context(Plant(host="opc"))))
    assert seen["bucket dev"] == ("skipped", "it answers on its own host only (db)")
    assert found(influxdb(context()))["bucket dev"][0] == "skipped"
    token = tmp_path / str(TOKEN).lstrip("/")
    token.parent.mkdir(parents=True)
    token.write_text("a-token")
    away = context(Plant(site=local_site({}), host="db"), tmp_path)
    assert found(influxdb(away))["bucket dev"] == ("failed", "InfluxDB does not answer")
    assert found(clocks_check.clocks(away))["source times"][0] == "skipped"
    assert found(versions(away))["InfluxDB"][0] == "skipped"


# -- secrets, certificates, backup, versions ------------------------------------------------------

CREDENTIALS = """\
# /etc/systemd/system/telegraf.service
[Unit]
Description=Telegraf

[Service]
ExecStart=/bin/telegraf

# /etc/systemd/system/telegraf.service.d/overrides.conf
[Service]
LoadCredential=influxdb_writer_token:/var/lib/influxdb-provision/influxdb-writer-token
# /nix/store/abc-unit-influxdb-provision.service/influxdb-provision.service
[Service]
LoadCredential=influxdb-admin-password:/run/secrets/influxdb-admin-password
LoadCredential=influxdb-admin-token:/run/secrets/influxdb-admin-token
"""


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(parse_credentials(CREDENTIALS)) == {
        "influxdb_writer_token",
        "influxdb-admin-password",
        "influxdb-admin-token",
    }
    here = LocalHost("db", {"telegraf": unit("telegraf")})
    plant = Plant(here=here)
    monkeypatch.setattr("fieldline.doctor.secrets.run_command", lambda _: CREDENTIALS)
    (tmp_path / "run/secrets").mkdir(parents=True)
    (tmp_path / "run/secrets/influxdb-admin-password").write_text("x")
    (tmp_path / "run/secrets/influxdb-admin-token").write_text("")
    seen = list(secrets(context(plant, tmp_path)))
    assert found(seen) == {
        "secret influxdb_writer_token": (
            "failed",
            "there is no /var/lib/influxdb-provision/influxdb-writer-token, which telegraf wants",
        ),
        "secret influxdb-admin-password": ("ok", "influxdb-provision is given it"),
        "secret influxdb-admin-token": ("failed", "/run/secrets/influxdb-admin-token is empty"),
    }
    remedies = {f.subject: f.what_to_do for f in seen}
    assert "restart influxdb-provision" in remedies["secret influxdb_writer_token"]
    assert "secrets install db" in remedies["secret influxdb-admin-token"]
    monkeypatch.setattr("fieldline.doctor.secrets.run_command", lambda _: "[Service]\n")
    assert verdicts(secrets(context(plant))) == {"host db": "ok"}

    def broken(_: object) -> str:
        raise FileNotFoundError("systemctl")

    monkeypatch.setattr("fieldline.doctor.secrets.run_command", broken)
    assert verdicts(secrets(context(plant))) == {"host db": "skipped"}
    assert verdicts(secrets(context(Plant(host=None)))) == {"this host": "skipped"}


@pytest.fixture(scope="module")
def certificate() -> Callable[[int, int], x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    now = datetime.fromtimestamp(NOW / 1e9, UTC)

    def make(begin: int, end: int) -> x509.Certificate:
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
        builder = builder.not_valid_before(now + timedelta(days=begin))
        builder = builder.not_valid_after(now + timedelta(days=end, hours=1))
        return builder.sign(key, hashes.SHA256())

    return make


@pytest.mark.parametrize(
    ("begin", "end", "verdict", "words"),
    [
        (-1, 300, "ok", "it is valid until"),
        (-1, 10, "warning", "it expires in 10 d"),
        (-9, -1, "failed", "it has expired on"),
        (1, 300, "failed", "it is valid only from"),
    ],
)
def test_a_certificates_validity(
    certificate: Callable[[int, int], x509.Certificate],
    begin: int,
    end: int,
    verdict: Verdict,
    words: str,
) -> None:
    made = certificate(begin, end)
    now = datetime.fromtimestamp(NOW / 1e9, UTC)
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        finding = certificates.judge("x", made.public_bytes(encoding), now)
        assert finding.verdict == verdict
        assert finding.text.startswith(words)


def test_where_certificates_are_wanted(
    tmp_path: Path, certificate: Callable[[int, int], x509.Certificate]
) -> None:
    subject = "OPC UA client certificate"
    assert found(certificates.certificates(context())) == {
        subject: ("ok", "no server of the site wants one")
    }
    plc = replace(SITE.servers["opc"], own=False, host=None, security_mode="SignAndEncrypt")
    site = replace(SITE, servers={"plc": plc})
    mine = f"{subject} of collector"
    elsewhere = context(Plant(site=site, host="db"))
    assert verdicts(certificates.certificates(elsewhere)) == {mine: "skipped"}
    here = Plant(site=site, host="collector")
    here.server = Scrape()
    file = tmp_path / "run/secrets/opcua-client-certificate"
    assert verdicts(certificates.certificates(context(here, tmp_path))) == {mine: "failed"}
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no certificate")
    assert verdicts(certificates.certificates(context(here, tmp_path))) == {mine: "failed"}
    file.write_bytes(certificate(-1, 300).public_bytes(serialization.Encoding.PEM))
    assert verdicts(certificates.certificates(context(here, tmp_path))) == {mine: "ok"}


def test_backup(tmp_path: Path) -> None:
    folder = tmp_path / "var/backup"
    folder.mkdir(parents=True)
    assert verdicts(backup(context(root=tmp_path))) == {"backup of db": "skipped"}
    for days, expected in ((8, "warning"), (1, "ok")):
        made = folder / f"db-{days}.tar"
        made.touch()
        at = NOW / 1e9 - days * 86_400
        os.utime(made, (at, at))
        assert found(backup(context(root=tmp_path))) == {
            "backup of db": (expected, f"the newest in /var/backup is {days}.0 d old")
        }
    assert verdicts(backup(context(Plant(host="opc")))) == {"backup of db": "skipped"}


def test_versions() -> None:
    def telegraf(version: str) -> Scrape:
        return Scrape([("internal_write_errors", {"output": "x", "version": version}, 0.0)])

    plant = Plant(
        model=Told(StreamModelState(__version__)),
        collector=telegraf("1.37.2"),
        writer=telegraf("1.37.2"),
    )
    seen = found(versions(context(plant)))
    assert seen["fieldline"] == ("ok", __version__)
    assert seen["stream-model on collector"] == ("ok", __version__)
    assert seen["Telegraf on db"] == ("ok", "1.37.2")
    assert seen["InfluxDB"][0] == "skipped"
    plant.model, plant.writer = Told(StreamModelState("0.0.1")), telegraf("1.38.0")
    seen = found(versions(context(plant)))
    assert seen["stream-model on collector"][0] == "warning"
    assert seen["Telegraf on db"] == ("warning", "1.38.0, not on all hosts")
    plant.model, plant.writer = Told(problem="gone", reach="refused"), down("refused")
    seen = found(versions(context(plant)))
    assert seen["stream-model on collector"] == ("skipped", "gone")
    assert seen["Telegraf on db"][0] == "skipped"
    assert seen["Telegraf on collector"][0] == "ok"


# -- all of them ----------------------------------------------------------------------------------


def test_a_check_that_fails_or_hangs_hinders_no_other() -> None:
    release = threading.Event()

    def hangs(_: Context) -> Iterator[Finding]:
        release.wait(30)
        yield Finding("x", "ok", "late")

    def breaks(_: Context) -> Iterator[Finding]:
        raise KeyError("a bug")

    def refused(_: Context) -> Iterator[Finding]:
        raise FieldlineError("Do this.", "because")

    checks = [
        Check("hangs", "", hangs),
        Check("breaks", "", breaks),
        Check("refused", "", refused),
        Check("well", "", lambda _: [Finding("x", "ok", "fine")]),
    ]
    try:
        report = examine(context(), checks, seconds=0.3)
    finally:
        release.set()
    seen = {c.check: c.findings for c in report.checks}
    assert list(seen) == ["hangs", "breaks", "refused", "well"]
    assert seen["hangs"][0].verdict == "skipped"
    assert "KeyError: 'a bug'" in seen["breaks"][0].text
    assert seen["refused"] == [Finding("refused", "failed", "because", "Do this.")]
    assert seen["well"][0].verdict == "ok"
    assert not report.ok
    assert examine(context(), checks[3:]).ok


def test_every_check_has_a_name_of_its_own_and_says_what_it_looks_at() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.about for check in CHECKS)


def test_the_table_shows_everything() -> None:
    report = examine(
        context(),
        [
            Check("a", "", lambda _: [Finding("one", "failed", "is broken", "Mend it.")]),
            Check("b", "", lambda _: [Finding("two", "skipped", "not from here")]),
        ],
    )
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(report))
    text = console.export_text()
    for part in ("FAILED", "one", "is broken", "Mend it.", "skipped", "not from here"):
        assert part in text


def test_the_command_gives_its_verdict_as_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "gather", lambda *_: context(root=tmp_path))
    site = ["--site", str(SITE.path)]
    (tmp_path / "var/backup").mkdir(parents=True)
    done = CliRunner().invoke(app, ["backup", "--json", *site])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ok"] is True
    done = CliRunner().invoke(app, ["clocks", *site])
    assert done.exit_code == 1
    assert "FAILED" in done.output
    assert "db: 1 ok, 0 look, 1 FAILED, 2 skipped" in " ".join(done.output.split())
    done = CliRunner().invoke(app, ["moon", *site])
    assert done.exit_code == 2
    assert "there is no check" in done.output
