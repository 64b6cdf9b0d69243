"""The real Telegraf, with the settings that `lib/` derives for a site."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

ROOT = Path(__file__).resolve().parents[3]


def telegraf_of(site: Path, host: str) -> dict[str, Any]:
    """Telegraf's settings as `lib/` derives them."""
    done = subprocess.run(
        [
            *("nix-instantiate", "--store", "dummy://", "--eval", "--strict", "--json"),
            *(str(ROOT / "lib/default.nix"), "--arg", "site", str(site)),
            *("-A", f"lab.hosts.{host}.files"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)["/etc/telegraf/telegraf.toml"]["value"]
    return found


@contextmanager
def telegraf(
    folder: Path,
    site: Path,
    host: str,
    bootstrap: str,
    topic: str,
    monitoring: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Its way from OPC UA to Kafka alone, to another broker and topic.

    Args:
        folder: for its configuration and log.
        monitoring: parameters of all monitored items in place of the derived ones.
    """
    config = telegraf_of(site, host)
    # They need systemd.
    config.pop("secretstores", None)
    listeners = config["inputs"]["opcua_listener"]
    for node in (n for listener in listeners for g in listener["group"] for n in g["nodes"]):
        node["monitoring_params"] |= monitoring or {}
    config["inputs"] = {"opcua_listener": listeners}
    [output] = config["outputs"]["kafka"]
    config["outputs"] = {"kafka": [output | {"brokers": [bootstrap], "topic": topic}]}
    (folder / "telegraf.toml").write_text(tomli_w.dumps(config))
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fieldline/parts"
    program = max(cache.glob("telegraf-*/bin/telegraf"))
    with (folder / "telegraf.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config", str(folder / "telegraf.toml")], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)
