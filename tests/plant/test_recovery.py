"""Backup and restore of docs/recovery.md, as they stand there, on a running plant."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fieldline_lab.host import Host
from fieldline_lab.lab import Lab
from plants import ROOT, booted, now
from traces import wait_for

BLOCKS = re.findall(
    r"^```sh on (\w+)\n(.*?)^```", (ROOT / "docs/recovery.md").read_text(), re.MULTILINE | re.DOTALL
)
# Below /var, the disk of a lab host.
BACKUP, KEY = "backup", "lib/sops-nix"
CONTENTS = Path(__file__).with_name("contents.py").read_text()
SERVERS = ["apache-kafka", "kafka-provision", "influxdb2", "influxdb-provision", "telegraf"]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    site = tmp_path_factory.mktemp("recovery") / "site.toml"
    # Every 8 s in the demonstration plant, which each window of these tests would have to hold.
    site.write_text((ROOT / "site.toml").read_text().replace('period = "8s"', 'period = "1s"'))
    with booted("recovery", site) as lab:
        yield lab


@pytest.fixture
def db(plant: Lab) -> Host:
    return plant.hosts["db"]


def run(lab: Lab, block: int) -> str:
    """Run a block of the document on its host, in one shell that ends at the first failure."""
    host, text = BLOCKS[block]
    return lab.hosts[host].exec(["bash", "-euxc", text], check=True, timeout=180).stdout


def fresh(host: Host) -> None:
    host.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True, timeout=120)


def python(host: Host, script: str, argument: str) -> str:
    """Run a script in a host, with the packages that are there."""
    shell = 'PYTHONPATH=/opt/fieldline/packages exec /opt/fieldline/venv/bin/python - "$0"'
    done = host.exec(["sh", "-c", shell, argument], input=script, check=True, timeout=60)
    return done.stdout


def contents(host: Host, until: str) -> dict[str, Any]:
    """See contents.py."""
    value = json.loads(python(host, CONTENTS, until))
    assert isinstance(value, dict)
    return value


def drained(host: Host) -> bool:
    """Whether everything in Kafka is where it goes, results included."""
    held = contents(host, "1")
    groups = held["groups"]
    # A transaction ends with a record that no reader sees.
    return all(
        held["ends"][name] - offset <= name.startswith("model-")
        for group in groups.values()
        for name, offset in group.items()
    )


def active(host: Host) -> set[str]:
    states = host.exec(["systemctl", "is-active", *SERVERS]).stdout.split()
    return {unit for unit, state in zip(SERVERS, states, strict=True) if state == "active"}


def test_nothing_is_lost_by_a_backup(plant: Lab, db: Host) -> None:
    fresh(db)
    since = now(db)
    db.exec(["fieldline", "verify", "--for", "5s"], check=True)
    run(plant, 0)
    fresh(db)
    # Telegraf and Kafka held what the others did not take.
    db.exec(["fieldline", "verify", "--since", since], check=True, timeout=120)
    (file,) = (db.data / BACKUP).iterdir()
    assert file.stat().st_mode & 0o7777 == 0o600
    done = db.exec(["fieldline", "restore", f"/var/backup/{file.name}", "--check"], check=True)
    assert "is whole, and can be restored here" in done.stdout
    file.unlink()


def test_a_lost_database_host_is_had_again(plant: Lab, db: Host) -> None:
    collector = plant.hosts["collector"]
    since = now(db)
    db.exec(["fieldline", "verify", "--for", "5s"], check=True)
    until = now(db)
    db.exec(["fieldline", "verify", "--since", since, "--until", until], check=True, timeout=120)
    # Without new values, so that both times can be compared to the last offset. (By pattern: what
    # else brings values is not in every plant.)
    collector.exec(["systemctl", "stop", "telegraf", "gap-filler*"], check=True)
    wait_for("everything to arrive", lambda: drained(db), 60)
    before = contents(db, until)
    assert len(before["stored"]) >= 5
    assert all(before["groups"].values())
    run(plant, 0)

    # The disk is gone. A new one has the host's key (`fieldline secrets install`) and the archive.
    db.crash()
    old = db.data.rename(db.data.with_name("old"))
    for folder in (KEY, BACKUP):
        (db.data / folder).parent.mkdir(parents=True, exist_ok=True)
        (old / folder).rename(db.data / folder)
    db.boot()
    plant.wait(["db"])
    # The new host is empty: nothing of it is there.
    gone = contents(db, until)
    assert gone["stored"] == {}
    assert gone["hash"] != before["hash"]

    run(plant, 1)
    assert contents(db, until) == before
    assert active(db) == set(SERVERS)
    assert not (db.data / "lib/fieldline-restore").exists()
    collector.exec(["systemctl", "start", "multi-user.target"], check=True)
    plant.wait()
    # And the plant goes on; the stream model has not been touched.
    fresh(db)
    after = now(db)
    db.exec(["fieldline", "verify", "--for", "5s"], check=True)
    for window in (["--since", since, "--until", until], ["--since", after]):
        db.exec(["fieldline", "verify", *window], check=True, timeout=120)


FLUX = """
import sys
from pathlib import Path
from fieldline.influx import InfluxClient
token = Path("/var/lib/influxdb-provision/influxdb-reader-token").read_text()
client = InfluxClient("http://127.0.0.1:8086", token)
body = {"query": sys.argv[1], "type": "flux"}
print(client.request("POST", "/api/v2/query", query={"org": "devorg"}, body=body)[1].decode())
"""


def test_the_examples_of_replay(db: Host) -> None:
    """docs/replay.md from its begin to its end: its file, its commands, its query."""
    text = (ROOT / "docs/replay.md").read_text()
    blocks = re.findall(r"^```(\w+)(.*?)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _, _ in blocks] == ["sh", "python", "sh", "flux", "sh"]
    for kind, where, block in blocks:
        if kind == "python":
            db.exec(["sh", "-c", 'cat > "$0"', where.split()[0]], input=block, check=True)
        elif kind == "flux":
            found = python(db, FLUX, block)
            assert found.count(",model,Sensors,model1") > 100
            assert found.count(",model_replay,Sensors,model1,trial") > 100
        else:
            for line in block.splitlines():
                done = db.exec(["sh", "-c", f"cd /root && {line}"], timeout=120)
                wanted = 1 if line.endswith("# exit code 1") else 0
                assert done.returncode == wanted, f"{line}\n{done.stdout}{done.stderr}"
    # Live results and those of the replay are the same to the bit.
    done = db.exec(["fieldline", "replay", "--from", "-1h", "--dry-run", "--json"])
    report = json.loads(done.stdout)
    assert done.returncode == 0, report
    assert all(model["compared"] > 100 for model in report["models"])


def begin(host: Host, unit: str, *argv: str) -> None:
    """Start a command as a unit, so that killing it means all that it has started."""
    host.exec(["systemd-run", "--quiet", "--collect", f"--unit={unit}", *argv], check=True)


def stands_still(host: Host, server: str) -> bool:
    return host.exec(["systemctl", "is-active", "--quiet", server]).returncode != 0


def ended(host: Host, unit: str) -> bool:
    return host.exec(["systemctl", "is-active", "--quiet", unit]).returncode != 0


@pytest.mark.parametrize("number", ["KILL", "INT"])
def test_a_backup_that_is_ended_leaves_everything_running(db: Host, number: str) -> None:
    before = sorted((db.data / BACKUP).iterdir())
    begin(db, "ended-backup", "fieldline", "backup")
    wait_for("Kafka to stand still", lambda: stands_still(db, "apache-kafka"), 30)
    db.exec(["systemctl", "kill", f"--signal={number}", "ended-backup"], check=True)
    wait_for("the backup to end", lambda: ended(db, "ended-backup"), 60)
    wait_for("everything to run", lambda: active(db) == set(SERVERS), 60)
    fresh(db)
    assert sorted((db.data / BACKUP).iterdir()) == before
    wait_for("nothing to be left", lambda: not (db.data / "lib/fieldline-backup").exists(), 30)


def test_a_restore_that_fails_halfway_changes_nothing(db: Host) -> None:
    """A Kafka that does not start on what is restored, once InfluxDB has."""
    state = db.data / "lib/apache-kafka"
    (state / "poison").touch()
    db.exec(["fieldline", "backup", "/var/backup/poisoned.tar"], check=True, timeout=120)
    (state / "poison").unlink()
    dropin = "/run/systemd/system/apache-kafka.service.d"
    text = "[Service]\nExecStartPre=/usr/bin/test ! -e /var/lib/apache-kafka/poison\n"
    script = f"mkdir -p {dropin}; cat > {dropin}/poison.conf; systemctl daemon-reload"
    db.exec(["sh", "-ec", script], input=text, check=True)
    fresh(db)
    since = now(db)
    restore = ["fieldline", "restore", "/var/backup/poisoned.tar", "--replace"]
    done = db.exec(restore, timeout=180)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "what was there before is back in its place and runs" in done.stderr
    assert "apache-kafka.service does not start" in done.stderr
    assert active(db) == set(SERVERS)
    fresh(db)
    db.exec(["fieldline", "verify", "--since", since], check=True, timeout=120)
    # Another one is refused; this one can be gone on with, once the cause is put right.
    done = db.exec(restore)
    assert "A restore of /var/backup/poisoned.tar is under way" in done.stderr
    db.exec(["sh", "-ec", f"rm -r {dropin}; systemctl daemon-reload"], check=True)
    begin(db, "resumed-restore", "fieldline", "restore", "--resume")
    wait_for("Kafka to stand still", lambda: stands_still(db, "apache-kafka"), 30)
    since = now(db)
    wait_for("the restore to end", lambda: ended(db, "resumed-restore"), 180)
    assert (state / "poison").exists()
    assert active(db) == set(SERVERS)
    # Telegraf and the stream model were ahead of what is restored, and go on from there: nothing is
    # lost from the moment on at which Kafka stopped.
    fresh(db)
    db.exec(["fieldline", "verify", "--since", since], check=True, timeout=120)


def test_a_killed_restore_is_gone_back_from(db: Host) -> None:
    fresh(db)
    since = now(db)
    restore = ("fieldline", "restore", "/var/backup/poisoned.tar", "--replace")
    begin(db, "killed-restore", *restore)
    wait_for("InfluxDB to stand still", lambda: stands_still(db, "influxdb2"), 60)
    db.exec(["systemctl", "kill", "--signal=KILL", "killed-restore"], check=True)
    wait_for("its end", lambda: ended(db, "killed-restore"), 30)
    done = db.exec(list(restore))
    assert done.returncode == 1
    assert "`fieldline restore --abort` goes back" in done.stderr
    db.exec(["fieldline", "restore", "--abort"], check=True, timeout=180)
    assert active(db) == set(SERVERS)
    fresh(db)
    db.exec(["fieldline", "verify", "--since", since], check=True, timeout=120)


def test_the_wrong_host_is_told_the_right_one(plant: Lab) -> None:
    done = plant.hosts["collector"].exec(["fieldline", "backup"])
    assert done.returncode == 1
    assert "Run this on db: collector has neither Kafka nor InfluxDB" in done.stderr


def test_the_document_has_its_two_blocks() -> None:
    assert [host for host, _ in BLOCKS] == ["db", "db"]
