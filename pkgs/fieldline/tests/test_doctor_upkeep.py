"""What somebody has to renew in time: secrets, certificates, backups, versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from doctor_findings import context, found, unit, verdicts
from fieldline import __version__
from fieldline.doctor import Verdict, certificates
from fieldline.doctor.backup import backup
from fieldline.doctor.secrets import parse_credentials, secrets
from fieldline.doctor.versions import versions
from fieldline.local import LocalHost
from fieldline.remote.scrape import Scrape
from fieldline.states import StreamModelState
from fieldline.where.probes import Told
from where_plant import NOW, SITE, Plant, down

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
