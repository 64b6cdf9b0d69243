"""Backup and restore of docs/recovery.md, as they stand there, on a running plant."""

import re
from collections.abc import Iterator

import pytest
from fieldline_lab.lab import Lab
from plants import ROOT

BLOCKS = re.findall(
    r"^```sh on (\w+)\n(.*?)^```", (ROOT / "docs/recovery.md").read_text(), re.MULTILINE | re.DOTALL
)
# Below /var, the disk of a lab host.
BACKUP, KEY = "backup", "lib/sops-nix"


@pytest.fixture
def plant() -> Iterator[Lab]:
    lab = Lab.from_worktree(ROOT, name="recovery")
    try:
        lab.up(fresh=True)
        yield lab
    finally:
        lab.down(purge=True)


def run(lab: Lab, block: int) -> None:
    """Run a block of the document on its host, in one shell that ends at the first failure."""
    host, text = BLOCKS[block]
    if f"{host}/grafana" in lab.plan.omitted:
        # No grafana on this machine, so no unit of that name.
        text = re.sub(r" grafana\b", "", text)
    lab.hosts[host].exec(["bash", "-euxc", text], check=True, timeout=180)


def test_a_lost_database_host_is_had_again(plant: Lab) -> None:
    db = plant.hosts["db"]
    db.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
    since = db.exec(["date", "+%s%N"], check=True).stdout.strip()
    db.exec(["fieldline", "verify", "--for", "10s"], check=True)
    until = db.exec(["date", "+%s%N"], check=True).stdout.strip()
    # All of it is stored before the backup begins; what is under way then is not in it.
    db.exec(["fieldline", "verify", "--since", since, "--until", until], check=True, timeout=120)

    run(plant, 0)
    db.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)
    # Nothing is lost by the backup itself: Telegraf and Kafka held what the others did not take.
    db.exec(["fieldline", "verify", "--since", since], check=True, timeout=120)

    # The disk is gone. A new one has the host's key (`fieldline secrets install`) and the copies.
    db.crash()
    old = db.data.rename(db.data.with_name("old"))
    for folder in (KEY, BACKUP):
        (db.data / folder).parent.mkdir(parents=True, exist_ok=True)
        (old / folder).rename(db.data / folder)
    db.boot()
    plant.wait(["db"])
    # The new host is empty: what was verified is not there.
    gone = db.exec(["fieldline", "verify", "--since", since, "--until", until, "--settle", "0s"])
    assert gone.returncode == 1, gone.stdout + gone.stderr

    run(plant, 1)
    plant.hosts["collector"].exec(["systemctl", "restart", "stream-model"], check=True)
    plant.wait()
    db.exec(["fieldline", "verify", "--since", since, "--until", until], check=True, timeout=120)
    # And the plant goes on.
    db.exec(["fieldline", "wait", "--fresh-within", "60s"], check=True)


def test_the_document_has_its_two_blocks() -> None:
    assert [host for host, _ in BLOCKS] == ["db", "db"]
