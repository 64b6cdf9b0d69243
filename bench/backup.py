"""How long each server stands still for a backup, with little and with much data.

    sudo .venv/bin/python bench/backup.py [--gib 4] [--rounds 3]

Prints one JSON object. On a lab's database host, with the plant running: `fieldline backup`, first
as it is, then with `--gib` of closed segments and as much of TSM files beside the real ones; beside
it what a backup is without second names: stop, tar, start. Then that archive is restored.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lab/src"))

from fieldline_lab.host import Host  # noqa: E402
from fieldline_lab.lab import Lab  # noqa: E402

# Files that neither server looks at, in the folders of both; the second segment is the newest one.
FILLER = {
    "kafka": ("apache-kafka", "filler/00000000000000000000.log", "filler/00000000000000000001.log"),
    "influxdb": ("influxdb2", "filler/000000001-000000001.tsm", "filler/empty"),
}
UNITS = {"kafka": "apache-kafka", "influxdb": "influxdb2"}


def backup(db: Host, file: str) -> dict[str, Any]:
    """One backup: what it took, and how long each server stood still, s."""
    db.exec(["fieldline", "wait", "--fresh-within", "120s"], check=True)
    told = json.loads(db.exec(["fieldline", "backup", file, "--json"], check=True).stdout)
    stopped = {name: round(seconds, 2) for name, seconds in told["stopped"].items()}
    return {"mb": told["bytes"] >> 20, "seconds": round(told["seconds"], 1), "stood_still": stopped}


def by_hand(db: Host, part: str) -> float:
    """Stop, tar, start: how long the server stood still, s."""
    text = f"systemctl stop {UNITS[part]}; tar --create --file /var/by-hand.tar --directory"
    text += f" /var/lib {FILLER[part][0]}; systemctl start {UNITS[part]}"
    begin = time.monotonic()
    db.exec(["sh", "-ec", text], check=True)
    seconds = round(time.monotonic() - begin, 2)
    (db.data / "by-hand.tar").unlink()
    return seconds


def fill(db: Host, part: str, gib: int) -> None:
    """Put files of a size beside the real ones."""
    folder, large, small = FILLER[part]
    place = db.data / "lib" / folder
    (place / large).parent.mkdir()
    with (place / large).open("wb") as file:
        for _ in range(gib * 16):
            file.write(os.urandom(64 << 20))
        os.fsync(file.fileno())
    (place / small).touch()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="How long servers stand still for a backup.")
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    lab = Lab.from_worktree(ROOT, name="bench-backup")
    try:
        lab.up(fresh=True)
        db = lab.hosts["db"]
        folder = "/var/backup"
        small = [backup(db, f"{folder}/small-{n}.tar") for n in range(options.rounds)]
        for part in FILLER:
            fill(db, part, options.gib)
        large, hand = [], []
        for _ in range(options.rounds):
            db.exec(["sh", "-c", f"rm -f {folder}/*"], check=True)
            large.append(backup(db, f"{folder}/large.tar"))
            hand.append({part: by_hand(db, part) for part in FILLER})
        begin = time.monotonic()
        db.exec(["fieldline", "restore", f"{folder}/large.tar", "--replace"], check=True)
        restored = round(time.monotonic() - begin, 1)
    finally:
        lab.down(purge=True)
    machine = {"cpus": os.cpu_count(), "load before": round(load, 1)}
    result = {"machine": machine, "gib": options.gib, "small": small, "large": large}
    print(json.dumps({**result, "by_hand": hand, "restore_s": restored}, indent=1))


if __name__ == "__main__":
    main()
