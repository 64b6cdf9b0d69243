"""What a system says it cannot go back from: /etc/fieldline/generation.json in two systems.

Source for Kafka: KIP-584 and "Upgrading KRaft-based clusters" in Kafka's documentation; a broker
does not start on a metadata version that is newer than it knows, and lowering the version is
refused where the newer one has changed the format.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from fieldline.errors import FieldlineError

GENERATION = "etc/fieldline/generation.json"
# Older than a working day, an archive lacks what people would miss.
OLDEST_BACKUP_SECONDS = 24 * 3600

Facts = dict[str, Any]


def parse_facts(text: str, where: str) -> Facts:
    """The facts of a system; an empty text (a system from before there were any) has none.

    Raises:
        FieldlineError: it is not what a system of Fieldline writes.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FieldlineError(f"{where} is no JSON; build the system again.", str(error)) from error
    if not isinstance(value, dict):
        raise FieldlineError(f"{where} holds no table of facts; build the system again.", text[:80])
    return value


def metadata_version(text: object) -> tuple[int, int, int] | None:
    """Kafka's metadata version in an order: `4.1`, or `4.2-IV1` for one on the way there."""
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(?:-IV(\d{1,4}))?", str(text))
    if match is None:
        return None
    # The name without IV is the last one of its release.
    return int(match[1]), int(match[2]), int(match[3]) if match[3] else 10_000


def cannot_go_back(old: Facts, new: Facts) -> str | None:
    """Why the way back would not lead back, or None.

    Raises:
        FieldlineError: the new system names a version that is none.
    """
    wanted = new.get("kafka_metadata")
    if wanted is None:
        return None
    rises_to = metadata_version(wanted)
    if rises_to is None:
        raise FieldlineError("The new system names no metadata version of Kafka.", repr(wanted))
    present = old.get("kafka_metadata")
    known = metadata_version(present)
    if known is not None and rises_to <= known:
        return None
    before = str(present) if present is not None else "an unknown version"
    return f"Kafka's metadata version rises from {before} to {wanted}"


def check_backup(file: Path | None, why: str, host: str, now: float | None = None) -> None:
    """Refuse what cannot be gone back from without a fresh archive.

    Raises:
        FieldlineError: with the steps to take.
    """
    steps = (
        f"{why}. The old system's Kafka does not start on that, so the host could go back, but its"
        f" Kafka could not. Take these steps: 1. make an archive of {host}'s data now (`fieldline"
        " backup` there) and copy it here; 2. run this command again with --backup FILE; 3. should"
        " the new system not do, put the archive back after going back (`fieldline restore`)."
    )
    if file is None:
        raise FieldlineError(steps)
    try:
        status = file.stat()
    except OSError as error:
        raise FieldlineError(steps, str(error)) from error
    age = (time.time() if now is None else now) - status.st_mtime
    problem = ""
    if not file.is_file():
        problem = "is no file"
    elif status.st_size == 0:
        problem = "is empty"
    elif age > OLDEST_BACKUP_SECONDS:
        problem = f"is {age / 3600:.0f} h old; at most 24 h"
    elif age < -60:
        problem = "is from the future; look at this machine's clock"
    if problem:
        raise FieldlineError(steps, f"{file} {problem}")
